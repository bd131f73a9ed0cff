"""Which axis determines a symbol, and what its size says."""

from __future__ import annotations

import pytest
from netlang.compiler.ir import Value
from netlang.compiler.shapes import attribute_symbols, bind_symbols, substitute_all, symbol_sources

from .graphs import BATCH, TIME, f32


def test_exact_axes_come_before_others():
    twice, once, again = Value(f32(2 * BATCH), "twice"), Value(f32(3, BATCH), "once"), Value(f32(BATCH), "again")
    source = symbol_sources([twice, once, again])["batch"]
    assert (source.value, source.axis, source.exact) == (once, 1, True)


@pytest.mark.parametrize(
    ("size", "found"),
    [
        (BATCH, (1, 0)),
        (3 * BATCH - 2, (3, -2)),
        (BATCH * BATCH, None),
        (BATCH * TIME, None),
        (BATCH + TIME, None),
        (BATCH // 2, None),
        (5 - BATCH, None),
    ],
    ids=str,
)
def test_only_linear_sizes_determine_a_symbol(size, found: tuple[int, int] | None):
    source = symbol_sources([Value(f32(size), "x")]).get("batch")
    assert (source and (source.scale, source.offset)) == found


def test_binding():
    x, y = Value(f32(2 * BATCH + 1, TIME), "x"), Value(f32(BATCH * TIME), "y")
    assert bind_symbols([x, y], {x: (7, 4), y: (12,)}) == {"batch": 3, "time": 4}


@pytest.mark.parametrize("shapes", [((6, 4), (12,)), ((7, 4), (11,)), ((7, 4, 1), (12,))])
def test_shapes_that_do_not_fit(shapes: tuple[tuple[int, ...], tuple[int, ...]]):
    x, y = Value(f32(2 * BATCH + 1, TIME), "x"), Value(f32(BATCH * TIME), "y")
    with pytest.raises(ValueError, match=r"`[xy]` must be"):
        bind_symbols([x, y], {x: shapes[0], y: shapes[1]})


def test_attributes():
    attribute = (1, BATCH, (TIME + 1, "f32"))
    assert attribute_symbols(attribute) == {"batch", "time"}
    assert substitute_all(attribute, {"batch": 2, "time": 3}) == (1, 2, (4, "f32"))
