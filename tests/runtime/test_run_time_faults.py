"""What only the run can know: sizes, indices and numbers that do not fit are told with their line and value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netlang as nl
from netlang.diagnostics import Diagnostic

TRAIN = "\ntrain Net {\n  minimize mean(forward(x))\n  optimizer sgd(0.1)\n}\n"


def network(folder: Path, text: str) -> nl.BoundNetwork:
    """The model `Net` of this text, in one thread."""
    path = folder / "net.net"
    path.write_text(text, "utf-8")
    return nl.load(path)["Net"](threads=1)


def fault(net: nl.BoundNetwork, entry: str = "forward", **inputs: Any) -> Diagnostic:
    """The one fault that running an entry gives."""
    with pytest.raises(nl.DiagnosticError) as caught:
        net.run(entry, inputs)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def place(diagnostic: Diagnostic) -> str:
    """The text that a fault points at."""
    assert diagnostic.primary is not None
    return diagnostic.primary.span.text


POSITIONS = """\
layer positions(context: int)(x: f32[b, t, d]) -> f32[b, t, d]
    where t <= context and not (t == 2) : "{t} positions, and the table has {context}" {
  param weight: f32[context, d] ~ ones()
  return x + weight[0:t]
}

model Net(x: f32[b, t, 2]) -> f32[b, t, 2] {
  return x |> positions(3)
}
"""


def test_a_where_on_open_sizes_is_checked_when_they_are_known(tmp_path: Path) -> None:
    net = network(tmp_path, POSITIONS)
    assert net(np.zeros((1, 3, 2), np.float32)).shape == (1, 3, 2)
    for length in (4, 2):
        found = fault(net, x=np.zeros((1, length, 2), np.float32))
        assert (found.code, found.title) == ("assertion-failed", f"{length} positions, and the table has 3")
        assert found.notes == (f"`t` is {length}, `context` is 3",)
        assert place(found) == "positions(3)"


def test_a_condition_of_a_branch_that_may_not_run_is_no_demand(tmp_path: Path) -> None:
    text = "model Net(x: f32[t], far: f32) -> f32 {\n  return if far > 0 { x[5] } else { x[0] }\n}\n"
    net = network(tmp_path, text)
    assert net(np.arange(3, dtype=np.float32), 0.0) == 0
    assert net(np.arange(6, dtype=np.float32), 1.0) == 5


@pytest.mark.parametrize(
    ("index", "size", "title"),
    [
        ("5", 5, "index 5 is outside a dimension of size 5"),
        ("-3", 2, "index -3 is outside a dimension of size 2"),
        ("1:4", 3, "the slice 1:4 does not fit a dimension of size 3"),
        ("2:t - 2", 3, "the slice 2:1 does not fit a dimension of size 3"),
    ],
)
def test_positions_in_open_dimensions(index: str, size: int, title: str, tmp_path: Path) -> None:
    net = network(tmp_path, f"model Net(x: f32[b, t]) -> f32 {{\n  return sum(x[:, {index}])\n}}\n")
    found = fault(net, x=np.zeros((1, size), np.float32))
    assert (found.code, found.title, place(found)) == ("bad-index", title, index)


def test_training_checks_the_same(tmp_path: Path) -> None:
    net = network(tmp_path, POSITIONS + TRAIN)
    trainer = nl.Trainer(net, threads=1)
    trainer.step(x=np.zeros((1, 3, 2), np.float32))
    with pytest.raises(nl.DiagnosticError, match="4 positions, and the table has 3"):
        trainer.step(x=np.zeros((1, 4, 2), np.float32))


def test_indices_into_an_open_dimension(tmp_path: Path) -> None:
    net = network(tmp_path, "model Net(x: f32[n], i: i64[k]) -> f32[k] {\n  return x[i]\n}\n")
    found = fault(net, x=np.zeros(3, np.float32), i=np.array([0, 7]))
    assert (found.code, found.title) == ("index-out-of-range", "`i` holds 7")
    assert found.expected == "0 to 2, since there are 3 of what it counts"


@pytest.mark.parametrize("body", ["return x[i * 2]", "return scan j in i along k {\n    emit x[j + 5]\n  }"])
def test_indices_that_are_computed(body: str, tmp_path: Path) -> None:
    net = network(tmp_path, f"model Net(x: f32[n], i: i64[k]) -> f32[k] {{\n  {body}\n}}\n")
    found = fault(net, x=np.zeros(9, np.float32), i=np.array([0, 7]))
    assert (found.code, found.expected) == ("index-out-of-range", "0 to 8")
    assert found.title in ("an index is 14", "an index is 12")
    assert found.primary is not None
    assert found.primary.span.source.name.endswith("net.net")


def test_a_negative_number_of_things(tmp_path: Path) -> None:
    net = network(tmp_path, "model Net() {\n  entry draw(n: int) -> f32[n] {\n    return normal(n)\n  }\n}\n")
    assert net.draw(0).shape == (0,)
    found = fault(net, "draw", n=-3)
    assert (found.code, found.title) == ("bad-value", "`n` is a number of things, and cannot be -3")
    assert place(found) == "n: int"


def test_an_input_that_is_too_small_for_a_convolution(tmp_path: Path) -> None:
    text = "use std.layers: conv2d\nmodel Net(x: f32[b, 1, h, w]) -> f32[b, 1, _, _] {\n  return x |> conv2d(1, 5)\n}\n"
    found = fault(network(tmp_path, text), x=np.zeros((1, 1, 3, 9), np.float32))
    assert (found.code, found.title) == ("shape-mismatch", "the size h - 4 becomes -1")


LOGARITHM = "model Net(x: f32[n]) -> f32[n] {\n  param w: f32 ~ ones()\n  return log(w * x)\n}\n" + TRAIN


def test_the_line_where_the_first_nan_comes_up(tmp_path: Path) -> None:
    trainer = nl.Trainer(network(tmp_path, LOGARITHM), threads=1)
    with pytest.raises(nl.DiagnosticError) as caught:
        trainer.step(x=np.array([1, -1], np.float32))
    (found,) = caught.value.diagnostics
    assert (found.code, place(found)) == ("not-finite", "log(w * x)")


def test_a_nan_in_the_batch_is_told_as_such(tmp_path: Path) -> None:
    trainer = nl.Trainer(network(tmp_path, LOGARITHM), threads=1)
    with pytest.raises(nl.DiagnosticError) as caught:
        trainer.step(x=np.array([1, np.nan], np.float32))
    (found,) = caught.value.diagnostics
    assert (found.primary, found.notes) == (None, ("the input `x` holds nan",))
    assert found.help == "take such rows out of the data, or put numbers in"


def test_a_batch_of_nothing_is_told_as_such(tmp_path: Path) -> None:
    trainer = nl.Trainer(network(tmp_path, LOGARITHM), threads=1)
    with pytest.raises(nl.DiagnosticError) as caught:
        trainer.step(x=np.zeros(0, np.float32))
    (found,) = caught.value.diagnostics
    assert (found.code, found.notes) == ("not-finite", ("the batch is empty",))


def test_a_parameter_that_an_earlier_step_has_spoilt(tmp_path: Path) -> None:
    text = LOGARITHM.replace("log(w * x)", "w * x").replace("sgd(0.1)", "sgd(1e38)")
    trainer = nl.Trainer(network(tmp_path, text), threads=1)
    trainer.step(x=np.array([30, 30], np.float32))
    with pytest.raises(nl.DiagnosticError) as caught:
        trainer.step(x=np.array([1, 1], np.float32))
    assert caught.value.diagnostics[0].notes == ("the parameter `w` holds an infinity",)


def test_a_nan_in_a_phase(tmp_path: Path) -> None:
    phase = 'phase one updates "*" {\n    minimize mean(forward(x))\n    optimizer sgd(0.1)\n  }'
    text = f"{LOGARITHM.partition('train')[0]}train Net {{\n  {phase}\n}}\n"
    trainer = nl.Trainer(network(tmp_path, text), threads=1)
    with pytest.raises(nl.DiagnosticError) as caught:
        trainer.step(x=np.array([1, -1], np.float32))
    assert place(caught.value.diagnostics[0]) == "log(w * x)"
