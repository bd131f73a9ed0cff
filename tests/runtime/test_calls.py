"""Calls of entries: what was right in the call before is not looked at again; what is wrong now is still refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netlang as nl

PICK = """\
model Net {
  param table: f32[5, 2] ~ normal()
  entry forward(word: i64[b], scale: f32[b]) -> f32[b, 2] { return table[word] * reshape(scale, [b, 1]) }
  entry several(n: int, shift: f32) -> f32[n, 2] where n <= 3 : "{n} of 3" { return zeros(n, 2) + shift }
}
"""

WORD = np.array([4, 0, 2])
SCALE = np.array([1.0, 2.0, 3.0], np.float32)


@pytest.fixture
def net(tmp_path: Path) -> nl.BoundNetwork:
    (tmp_path / "net.net").write_text(PICK, "utf-8")
    return nl.load(tmp_path / "net.net")["Net"](threads=1)


@pytest.mark.parametrize(
    ("inputs", "code", "says"),
    [
        ({"word": np.array([4, 0, 5])}, "index-out-of-range", "5"),
        ({"word": np.array([4, -1, 2])}, "index-out-of-range", "-1"),
        ({"word": np.array([4, -(2**63), 2])}, "index-out-of-range", str(-(2**63))),
        ({"word": np.array([4, 0, 2], np.float64)}, "wrong-input", "type"),
        ({"word": np.array([4, 0])}, "wrong-input", "shape"),
        ({"word": np.array([[4, 0, 2]])}, "wrong-input", "shape"),
        ({"other": SCALE}, "wrong-input", "no input `other`"),
        ({"scale": None}, "wrong-input", "wrong type"),
    ],
)
def test_a_wrong_call_after_a_right_one_is_refused(
    net: nl.BoundNetwork, inputs: dict[str, Any], code: str, says: str
) -> None:
    right = net.forward(word=WORD, scale=SCALE)
    with pytest.raises(nl.DiagnosticError) as caught:
        net.forward(**{"word": WORD, "scale": SCALE, **inputs})
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert says in diagnostic.title
    np.testing.assert_array_equal(net.forward(WORD, SCALE), right)


def test_a_missing_input_after_a_right_call_is_told(net: nl.BoundNetwork) -> None:
    net.forward(WORD, SCALE)
    with pytest.raises(nl.DiagnosticError, match="no value given for the input `scale`"):
        net.forward(word=WORD)


def test_an_input_given_by_place_and_by_name_is_refused(net: nl.BoundNetwork) -> None:
    with pytest.raises(nl.DiagnosticError, match="`word` twice"):
        net.forward(WORD, word=WORD)
    with pytest.raises(nl.DiagnosticError, match="takes 2 inputs"):
        net.forward(WORD, SCALE, SCALE)


def test_arrays_of_another_layout_kind_and_length_give_the_same(net: nl.BoundNetwork) -> None:
    table = net.weights["table"]
    expected = table[WORD] * SCALE[:, None]
    strided = np.repeat(WORD, 2)[::2]
    for word in (WORD, strided, WORD.astype(np.int8), WORD.astype(">i8"), WORD.tolist(), WORD):
        np.testing.assert_array_equal(net.forward(scale=SCALE, word=word), expected)
    np.testing.assert_array_equal(net.forward(WORD[:1], SCALE[:1]), expected[:1])
    np.testing.assert_array_equal(net.forward(WORD[:0], SCALE[:0]), expected[:0])


def test_numbers_that_are_sizes_are_looked_at_in_every_call(net: nl.BoundNetwork) -> None:
    shift = np.float32(1)
    for count in (np.array(2), np.array(3), np.array(0)):
        assert np.shape(net.several(count, np.asarray(shift))) == (int(count), 2)
    with pytest.raises(nl.DiagnosticError, match="4 of 3"):
        net.several(np.array(4), np.asarray(shift))


def test_new_weights_are_used_by_the_next_call(net: nl.BoundNetwork) -> None:
    net.forward(WORD, SCALE)
    net.weights = {"table": np.ones((5, 2), np.float32)}
    np.testing.assert_array_equal(net.forward(WORD, SCALE), np.repeat(SCALE[:, None], 2, 1))
