"""The engine that cuts batches and updates in place: when it may, and that it computes what the whole step computes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from netlang.compiler import Network, load_program
from netlang.compiler.batching import why_mixed
from netlang.compiler.in_place import is_elementwise, may_overwrite
from netlang.runtime.flat_engine import FlatEngine
from netlang.runtime.loader import load
from netlang.runtime.session import Device
from netlang.runtime.whole_engine import WholeEngine

from netlang.source import Source

HEAD = "use std.layers: linear, dropout, batch_norm, layer_norm, conv2d, embedding\nuse std.attention: attention\n"

RECURRENT = f"{HEAD}use std.recurrent: lstm, gru\nfn last(x: f32[b, t, n]) -> f32[b, n] {{\n  return x[:, -1]\n}}\n"


def network(model: str, train: str, head: str = HEAD) -> Network:
    text = f"{head}\nmodel M(){model}\n\ntrain M {{\n{train}\n}}\n"
    return load_program(Source("test.net", text), load).network()


def regression(
    body: str, loss: str = "mse(forward(x), y)", optimizer: str = "adam(0.01)", more: str = "", head: str = HEAD
) -> Network:
    return network(
        f"(x: f32[b, 6]) -> f32[b, 2] {{\n  return {body}\n}}",
        f"  in y: f32[b, 2]\n  minimize {loss}\n  optimizer {optimizer}\n{more}",
        head,
    )


def batch(rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"x": rng.standard_normal((rows, 6), np.float32), "y": rng.standard_normal((rows, 2), np.float32)}


PLAIN = "x |> linear(8) |> tanh |> linear(2)"

SEPARATE = {
    "dense": lambda: regression(PLAIN),
    "dropout": lambda: regression("x |> linear(64) |> dropout(0.5) |> linear(2)"),
    "layer norm": lambda: regression("x |> linear(8) |> layer_norm() |> linear(2)"),
    "sum by count": lambda: regression(PLAIN, "mse(forward(x), y, reduce = sum) / b"),
    "clipped": lambda: regression(PLAIN, more="  clip 0.1\n"),
    "averaged": lambda: regression(PLAIN, more="  average ema(0.9)\n"),
    "schedule": lambda: regression(PLAIN, optimizer="sgd(cosine(0.1, warmup = 3), momentum = 0.9, weight_decay = 0.1)"),
    "lstm": lambda: regression("reshape(x, (b, 3, 2)) |> lstm(4) |> last |> linear(2)", head=RECURRENT),
    "gru": lambda: regression("reshape(x, (b, 3, 2)) |> gru(4) |> last |> linear(2)", head=RECURRENT),
    "regularised": lambda: regression(PLAIN, "mse(forward(x), y) + 0.5"),
}

MIXED = {
    "batch norm": (
        # no bias before the normalisation: its gradient is 0, and Adam would blow up what rounding leaves of it
        lambda: regression("x |> linear(8, bias = false) |> batch_norm() |> linear(2)"),
        "batch_norm",
    ),
    "root of a mean": (lambda: regression(PLAIN, "sqrt(mse(forward(x), y))"), "sqrt"),
    "a sum": (lambda: regression(PLAIN, "mse(forward(x), y, reduce = sum)"), "mean over the rows"),
    "centred": (lambda: regression(PLAIN, "mse(forward(x) - mean(y), y)"), "row"),
    "softmax over rows": (lambda: regression("x |> linear(2) |> softmax(axis = 0)"), "softmax"),
    "rows times rows": (lambda: regression("(x @ x.T) @ x |> linear(2)"), "matmul"),
    "noise in a weight": (lambda: regression("x * normal(6) |> linear(2)"), None),
}


@pytest.mark.parametrize("name", SEPARATE)
def test_parts_give_what_the_whole_batch_gives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Callable[[], Network] = SEPARATE[name]
    monkeypatch.setattr("netlang.runtime.parts.CACHE_BYTES", 3000)
    flat, whole = FlatEngine(made(), Device("cpu", 2), 0, 10), WholeEngine(made(), Device("cpu", 1), 0, 10)
    for step in range(6):
        ours, theirs = flat.step(batch(24, step)), whole.step(batch(24, step))
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    assert flat._step.gradient.parts > 1, "the batch was not cut"
    expected = whole.variables()
    found = flat.variables()
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=2e-4, atol=2e-6, err_msg=key)


@pytest.mark.parametrize("name", MIXED)
def test_what_mixes_rows_is_seen(name: str) -> None:
    made, told = MIXED[name]
    why = why_mixed(made().loss_graph)
    if told is None:
        assert why is None  # one draw for all rows: every part draws the same
    else:
        assert why is not None and (told in why or "states" in why)


def test_a_batch_that_mixes_rows_stays_whole() -> None:
    made = MIXED["batch norm"][0]
    flat, whole = FlatEngine(made(), Device("cpu", 2), 0, 10), WholeEngine(made(), Device("cpu", 1), 0, 10)
    for step in range(4):
        assert flat.step(batch(24, step))["loss"] == pytest.approx(whole.step(batch(24, step))["loss"], rel=1e-5)
    assert flat._step.gradient.parts == 1
    for key, array in whole.variables().items():
        np.testing.assert_allclose(flat.variables()[key], array, rtol=2e-4, atol=2e-6, err_msg=key)


def test_the_gradient_frees_the_cores_for_the_optimizer() -> None:
    engine = FlatEngine(MIXED["batch norm"][0](), Device("cpu", 2), 0, 10)
    engine.step(batch(24, 0))
    options = engine._step.gradient.program.session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


OPTIMIZER = """
layer mine(lr: schedule = 0.1)(p: f32[*s], g: f32[*s], step: f32) -> f32[*s] {{
  state memory: f32[*s] ~ zeros()
  next memory = {memory}
  return {result}
}}
"""


@pytest.mark.parametrize(
    ("memory", "result", "elementwise", "overwrites"),
    [
        ("memory + g", "p - lr * next memory", True, True),
        ("memory + g", "p - lr * (next memory + memory)", True, False),  # the old value is read after the new is there
        ("memory + g / sqrt(sum(g * g))", "p - lr * next memory", False, True),  # needs all of the gradient at once
        ("memory + p", "p - lr * g", True, False),  # the old parameter may be gone
    ],
)
def test_optimizers_that_may_not_be_cut_or_overwritten(
    memory: str, result: str, elementwise: bool, overwrites: bool
) -> None:
    made = network(
        "(x: f32[b, 6]) -> f32[b, 2] {\n  return x |> linear(2)\n}",
        "  in y: f32[b, 2]\n  minimize mse(forward(x), y)\n  optimizer mine(0.1)",
        HEAD + OPTIMIZER.format(memory=memory, result=result),
    )
    graph = made.flat_step(1).apply[True]
    assert (is_elementwise(graph), may_overwrite(graph)) == (elementwise, overwrites)
    assert FlatEngine.suits(made, Device("cpu")) == (elementwise and overwrites)
