"""What somebody who writes Python sees of a mistake: all of the diagnostic, and at the line that makes it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netlang as nl

NET = """use std.layers: linear
model Net(out: int, scale: float = 1.0)(x: f32[b, 4]) -> f32[b, out] { return linear(out)(x) * scale }
"""


@pytest.fixture
def models(tmp_path: Path) -> nl.Models:
    (tmp_path / "net.net").write_text(NET, "utf-8")
    return nl.load(tmp_path / "net.net")


@pytest.mark.parametrize(
    ("settings", "code", "says"),
    [
        ({"out": 2, "scal": 2.0}, "unknown-argument", "did you mean `scale`?"),
        ({}, "missing-argument", "`Net` needs `out`"),
        ({"out": "two"}, "type-mismatch", "expected: int"),
    ],
)
def test_settings_are_looked_at_where_they_are_given(
    models: nl.Models, settings: dict[str, Any], code: str, says: str
) -> None:
    with pytest.raises(nl.DiagnosticError, match=rf"error\[{code}\]") as caught:
        models["Net"](**settings)
    assert says in str(caught.value)


def test_a_process_hands_an_error_on(models: nl.Models) -> None:
    with pytest.raises(nl.DiagnosticError) as caught:
        models["Net"](out=2, scal=2.0)
    received = pickle.loads(pickle.dumps(caught.value))
    assert received.diagnostics == caught.value.diagnostics
    assert str(received) == str(caught.value)


def test_the_text_of_an_error_is_what_the_command_line_shows(models: nl.Models) -> None:
    net = models["Net"](out=2)
    with pytest.raises(nl.DiagnosticError) as caught:
        net.forward(np.zeros((3, 5), np.float32))
    first, place, *rest = str(caught.value).splitlines()
    assert first == "error[wrong-input]: the input `x` has the wrong shape"
    assert place.endswith("net.net:2:41")
    assert {"  = expected: f32[b, 4]", "  = found:    f32[3, 5]"} <= set(rest)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.array([[1, 2, 3, None]], object), "found:    object[1, 4]"),
        (np.array([[1, 2, 3, 4.5]], object), "`x.astype(np.float32)`"),
        (np.array([["a", "b", "c", "d"]], object), "found:    string[1, 4]"),
        (None, "found:    object"),
        (np.ma.masked_array(np.ones((1, 4)), [[0, 0, 0, 1]]), "`x.filled(0)`"),
    ],
)
def test_arrays_that_hold_no_numbers(models: nl.Models, given: Any, says: str) -> None:
    with pytest.raises(nl.DiagnosticError) as caught:
        models["Net"](out=2).forward(given)
    assert says in str(caught.value)


def test_a_model_that_is_not_there(models: nl.Models) -> None:
    with pytest.raises(KeyError, match="has no model `net`; it has Net"):
        models["net"]
    assert models.get("net") is None
