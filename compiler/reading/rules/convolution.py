"""Reads convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netlang.dims import Size

from .windows import Placed, per_channel, placed, whole, widened

if TYPE_CHECKING:
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader


def conv(reader: Reader, call: Call) -> Value | None:
    """Conv-1 to -22."""
    x, w = call.inputs[:2]
    assert x is not None and w is not None
    sizes = whole(w.type.shape)
    if sizes is None:
        return None
    windows = placed(reader, call, x.type.shape[2:], sizes[2:])
    x, padding = windows.around(reader.b, x)
    groups = call.attribute("group", 1)
    y = reader.b.conv(x, w, stride=windows.stride, padding=padding, dilation=windows.dilation, groups=groups)
    return _with_bias(reader, y, call.input(2))


def conv_transpose(reader: Reader, call: Call) -> Value | None:
    """ConvTranspose-1 to -22."""
    x, w = call.inputs[:2]
    assert x is not None and w is not None
    sizes = whole(w.type.shape)
    if sizes is None:
        return None
    windows = placed(reader, call, x.type.shape[2:], sizes[2:])
    axes = [_transposed(reader, call, windows, axis, count) for axis, count in enumerate(x.type.shape[2:])]
    y = reader.b.conv_transpose(
        x,
        w,
        size=tuple(axis.size for axis in axes),
        stride=windows.stride,
        padding=(*(axis.begin for axis in axes), *(axis.end for axis in axes)),
        dilation=windows.dilation,
        groups=call.attribute("group", 1),
    )
    if any(axis.beyond for axis in axes):
        y = widened(reader.b, y, (0,) * len(axes), tuple(axis.beyond for axis in axes))
    return _with_bias(reader, y, call.input(2))


@dataclass(frozen=True)
class _Transposed:
    """One axis of a ConvTranspose: `begin` and `end` are cut off, `size` is left, zeros `beyond` it are added."""

    size: Size
    begin: int
    end: int
    beyond: int


def _transposed(reader: Reader, call: Call, windows: Placed, axis: int, count: Size) -> _Transposed:
    """ONNX's output padding takes back what is cut off at the end; what it asks for past that holds zeros."""
    stride = windows.stride[axis]
    extent = (windows.kernel[axis] - 1) * windows.dilation[axis] + 1
    full = (count - 1) * stride + extent
    begin, end, more = _cut(reader, call, axis, len(windows.kernel), full, extent - stride)
    taken = min(end, more)
    rest = more - taken
    beyond = rest if rest >= stride else 0  # less than a stride, conv_transpose adds itself
    size = full - begin - (end - taken) + (rest - beyond)
    return _Transposed(size, begin, end - taken, beyond)


def _cut(reader: Reader, call: Call, axis: int, axes: int, full: Size, overlap: int) -> tuple[int, int, int]:
    """What is cut off before and after an axis of `full` elements, and what is put after it again.

    `overlap` is by how much neighbouring windows overlap (less than 0: how far they are apart): what there is to cut
    where the result has `stride` elements for each of the input. Windows that are apart give fewer, as in ONNX
    Runtime; by the text of ONNX, zeros would make up for them.
    """
    mode, pads, shape = call.attribute("auto_pad", "NOTSET"), call.attribute("pads"), call.attribute("output_shape")
    paddings = call.attribute("output_padding") or (0,) * axes
    if len(paddings) != axes or (shape and len(shape) < axes):
        raise reader.malformed(f"{call} states a result that does not fit {axes} axes")
    more = paddings[axis]
    if shape:
        total = full + more - shape[len(shape) - axes + axis]
        if not isinstance(total, int):
            raise reader.refuse(call, "its result has a fixed size while that of its input is open")
        more += max(-total, 0)
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        total = overlap + more
    elif mode == "VALID" or not pads:
        return 0, 0, more
    else:
        return pads[axis], pads[axes + axis], more
    total = max(total, 0)
    half = total // 2
    return (half, total - half, more) if mode == "SAME_UPPER" else (total - half, half, more)


def deform_conv(reader: Reader, call: Call) -> Value | None:
    """DeformConv-19 and -22, over two axes."""
    b, (x, w, offset) = reader.b, call.inputs[:3]
    assert x is not None and w is not None and offset is not None
    sizes = whole(w.type.shape)
    if x.type.rank != 4 or sizes is None:
        return None
    windows = placed(reader, call, x.type.shape[2:], sizes[2:])
    n, places, *results = offset.type.shape
    mask = call.input(4)
    if mask is None:
        mask = b.full(shape=(n, places // 2, *results), value=1.0, dtype=x.type.dtype)
    y = b.deform_conv(
        x,
        w,
        offset,
        mask,
        stride=windows.stride,
        padding=windows.padding(),
        dilation=windows.dilation,
        groups=call.attribute("group", 1),
        offset_groups=call.attribute("offset_group", 1),
    )
    return _with_bias(reader, y, call.input(3))


def _with_bias(reader: Reader, y: Value, bias: Value | None) -> Value:
    return y if bias is None else reader.b.add(y, per_channel(reader.b, bias, y.type.rank))


RULES = {"Conv": conv, "ConvTranspose": conv_transpose, "DeformConv": deform_conv}
