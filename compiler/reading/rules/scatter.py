"""Operators that write at positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...ir import Value
from .shape import given

if TYPE_CHECKING:
    from ..call import Call
    from ..reader import Reader

Result = Value | Sequence[Value | None] | None


def scatter_elements(reader: Reader, call: Call) -> Result:
    how = {"axis": call.attribute("axis", 0), "reduction": call.attribute("reduction", "none")}
    return reader.b.scatter_elements(given(call), given(call, 1), given(call, 2), **how)


def scatter_nd(reader: Reader, call: Call) -> Result:
    how = call.attribute("reduction", "none")
    return reader.b.scatter_nd(given(call), given(call, 1), given(call, 2), reduction=how)


def tensor_scatter(reader: Reader, call: Call) -> Result:
    b, cache = reader.b, given(call)
    start = call.input(2)
    if start is None:
        start = b.full(shape=cache.type.shape[:1], value=0.0, dtype="i64")
    circular = call.attribute("mode", "linear") == "circular"
    return b.tensor_scatter(cache, given(call, 1), start, axis=call.attribute("axis", -2), circular=circular)


RULES = {
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "TensorScatter": tensor_scatter,
}
