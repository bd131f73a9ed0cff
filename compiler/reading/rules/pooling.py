"""Reads pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netlang.dims import Size

from ...ops.common import product
from .windows import Placed, placed, widened

if TYPE_CHECKING:
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader


def max_pool(reader: Reader, call: Call) -> Sequence[Value | None] | None:
    """MaxPool-1 to -22."""
    b, x = reader.b, call.inputs[0]
    assert x is not None
    windows = placed(reader, call, x.type.shape[2:])
    if not call.asks(1):
        x, padding = windows.around(b, x, -math.inf)
        return (b.max_pool(x, padding=padding, **windows.geometry),)
    padding = windows.padding()
    if padding is None or any(p >= k for p, k in zip(padding, (*windows.kernel, *windows.kernel), strict=True)):
        return None
    y, index = b.max_pool_with_indices(x, padding=padding, **windows.geometry)
    if call.attribute("storage_order", 0):
        index = _column_major(reader, index, x.type.shape[2:])
    return y, index


def _column_major(reader: Reader, index: Value, sizes: Sequence[Size]) -> Value:
    """Positions with the first axis after the channels counted fastest, from those with the last one fastest."""
    b = reader.b
    rest, place = index, b.constant(0, "i64")
    for size in reversed(sizes):  # the last axis becomes the slowest
        length = b.dim(size=size)
        place = b.add(b.mul(place, length), b.mod(rest, length))
        rest = b.floor_divide(rest, length)
    return b.add(b.mul(rest, b.dim(size=product(sizes))), place)


def average_pool(reader: Reader, call: Call) -> Value:
    """AveragePool-1 to -22. What rounding up adds at the end never counts."""
    b, x = reader.b, call.inputs[0]
    assert x is not None
    windows = placed(reader, call, x.type.shape[2:])
    include = bool(call.attribute("count_include_pad", 0))
    if include and windows.end != windows.stated_end:
        x = widened(b, x, windows.begin, windows.stated_end)
        windows = _without(windows)
        include = False
    if windows.padding() is None and not include:
        return _open_average(reader, x, windows)
    x, padding = windows.around(b, x)
    return b.avg_pool(x, padding=padding, include_padding=include, **windows.geometry)


def _without(windows: Placed) -> Placed:
    """The windows over axes that have the stated padding already."""
    none = (0,) * len(windows.kernel)
    more = tuple(end - stated for end, stated in zip(windows.end, windows.stated_end, strict=True))
    return Placed(windows.kernel, windows.stride, windows.dilation, none, more, none)


def _open_average(reader: Reader, x: Value, windows: Placed) -> Value:
    """With padding known only at run time: the mean with zeros, over the mean of ones with zeros."""
    b = reader.b
    ones = b.full(shape=(1, 1, *x.type.shape[2:]), value=1.0, dtype=x.type.dtype)
    means: list[Value] = []
    for values in (x, ones):
        wide, padding = windows.around(b, values)
        means.append(b.avg_pool(wide, padding=padding, **windows.geometry))
    return b.div(*means)


def lp_pool(reader: Reader, call: Call) -> Value:
    """LpPool-2 to -22."""
    x = call.inputs[0]
    assert x is not None
    windows = placed(reader, call, x.type.shape[2:])
    x, padding = windows.around(reader.b, x)
    return reader.b.lp_pool(x, padding=padding, p=call.attribute("p", 2), **windows.geometry)


def global_lp_pool(reader: Reader, call: Call) -> Value:
    """GlobalLpPool-2 to -22."""
    return reader.b.global_lp_pool(call.inputs[0], p=call.attribute("p", 2))


def max_unpool(reader: Reader, call: Call) -> Value | None:
    """MaxUnpool-9 to -22: to the size that the third input states, or that the windows came from."""
    b, (x, index) = reader.b, call.inputs[:2]
    assert x is not None and index is not None
    counts = x.type.shape[2:]
    axes = range(len(counts))
    if call.input(2) is not None:
        shape = reader.sizes(call.input(2))
        if shape is None:
            return None
        size = shape[2:]
    else:
        kernel = call.attribute("kernel_shape")
        strides = call.attribute("strides") or [1] * len(counts)
        pads = call.attribute("pads") or [0] * 2 * len(counts)
        size = tuple((counts[i] - 1) * strides[i] + kernel[i] - pads[i] - pads[len(counts) + i] for i in axes)
    return b.max_unpool(x, index, size=size)


RULES = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "MaxUnpool": max_unpool,
    "GlobalAveragePool": lambda reader, call: reader.b.global_average_pool(call.inputs[0]),
    "GlobalMaxPool": lambda reader, call: reader.b.global_max_pool(call.inputs[0]),
    "GlobalLpPool": global_lp_pool,
}
