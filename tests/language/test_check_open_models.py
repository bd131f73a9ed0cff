"""`check` of a model that is yet to be given its settings: what is wrong whatever they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from netlang.runtime.loader import open_program

from .harness import program

ROOT = Path(__file__).parents[2]
NET = """use std.layers: linear
model Net(SETTINGS)(x: f32[b, n]) -> f32[b, 1] { BODY }
train Net {
  in y: f32[b]
  minimize mse(forward(x)[:, 0], y)
  optimizer adam(0.1)
}
"""


def codes(settings: str, body: str) -> list[str]:
    """The codes of the errors that `check` finds."""
    text = NET.replace("SETTINGS", settings).replace("BODY", body)
    return [fault.code for fault in program(text).check() if fault.severity == "error"]


@pytest.mark.parametrize(
    ("settings", "body", "expected"),
    [
        ("n: int", "return linear(1)(x)", []),
        ("n: int", "return linear(1)(x, x)", ["unknown-argument"]),
        ("n: int", "return linear(1, wide = true)(x)", ["unknown-argument"]),
        ("n: int, f: layer", "return linear(1)(f(x))", []),
        ("n: int, f: layer", "return linear(1)(sum(f(x), -1))", []),  # f may give more dimensions than it takes
        ("n: int, h: int", "assert n % h == 0; return linear(1)(linear(n / h)(x))", []),
        ("n: int, deep: int", "repeat deep { x = linear(n)(x) } ; return linear(1)(x)", []),
        ("n: int, wide: bool", "return linear(if wide { 1 } else { 2 })(x)", []),
    ],
)
def test_faults_for_any_setting(settings: str, body: str, expected: list[str]) -> None:
    assert codes(settings, body) == expected


def test_the_train_block_is_checked_too() -> None:
    text = NET.replace("SETTINGS", "n: int").replace("BODY", "return linear(1)(x)").replace("[:, 0]", "")
    (fault,) = program(text).check()
    assert (fault.code, fault.help) == (
        "rank-mismatch",
        "`forward(x)[:, 0]` is without the last axis, which has one element",
    )


@pytest.mark.parametrize("name", ["seq2seq", "transformer", "word2vec", "recurrent"])
def test_models_of_the_library_have_none(name: str) -> None:
    found, _ = open_program(str(ROOT / "stdlib" / "models" / f"{name}.net"))
    assert found.check() == []
