"""Operators whose results are as large as the data say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlang.dims import Dim, Size
from netlang.types import INTEGERS

from ...ir import Value
from .shape import given

if TYPE_CHECKING:
    from ..call import Call
    from ..reader import Reader

Result = Value | Sequence[Value | None] | None


def compress(reader: Reader, call: Call) -> Result:
    return reader.b.compress(given(call), given(call, 1), axis=call.attribute("axis"))


def nonzero(reader: Reader, call: Call) -> Result:
    return reader.b.nonzero(given(call)) if given(call).type.rank else None


def unique(reader: Reader, call: Call) -> Result:
    return reader.b.unique(given(call), axis=call.attribute("axis"), sorted=bool(call.attribute("sorted", 1)))


def range_(reader: Reader, call: Call) -> Result:
    """Of known length where the numbers are known, as sizes or else; of a length that the run tells otherwise."""
    b = reader.b
    start, limit, step = (b.reshape(given(call, i), shape=()) for i in range(3))
    count = _count(_number(reader, start), _number(reader, limit), _number(reader, step))
    if count is None:
        return b.arange(start, limit, step)
    steps = b.cast(b.iota(count=count), dtype=start.type.dtype)
    return b.add(b.mul(steps, step), start)


def _number(reader: Reader, value: Value) -> Size | float | None:
    """A scalar as a size, or as another number; None where it is known only at run time."""
    if value.type.dtype in INTEGERS:
        known = reader.sizes(value)
        return None if known is None else known[0]
    array = reader.constant(value)
    return None if array is None else float(array)


def _count(start: Size | float | None, limit: Size | float | None, step: Size | float | None) -> Size | None:
    """How many numbers from `start` on, in steps, come before `limit`."""
    if start is None or limit is None or not isinstance(step, int | float) or step == 0:
        return None
    if isinstance(start, float) or isinstance(limit, float) or isinstance(step, float):
        assert not isinstance(start, Dim) and not isinstance(limit, Dim)
        return max(0, math.ceil((limit - start) / step))
    span = limit - start if step > 0 else start - limit
    count = (span + (abs(step) - 1)) // abs(step)
    return max(count, 0) if isinstance(count, int) else count


RULES = {"Compress": compress, "NonZero": nonzero, "Range": range_, "Unique": unique}
