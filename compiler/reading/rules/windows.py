"""The geometry of windows as ONNX states it: automatic padding, and results rounded up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netlang.dims import Size, floor_divide, maximum, minimum

if TYPE_CHECKING:
    from ...builder import Builder
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader

Sizes = tuple[Size, ...]
Ints = tuple[int, ...]


@dataclass(frozen=True)
class Placed:
    """Windows placed over axes: `begin` and `end` are what must stand before and after each; `stated_end` what the
    node itself says, without what rounding up adds."""

    kernel: Ints
    stride: Ints
    dilation: Ints
    begin: Sizes
    end: Sizes
    stated_end: Sizes

    @property
    def geometry(self) -> dict[str, Ints]:
        """The attributes of a pooling, without padding."""
        given = {"kernel": self.kernel, "stride": self.stride}
        return given | {"dilation": self.dilation} if any(step > 1 for step in self.dilation) else given

    def padding(self) -> Ints | None:
        """The padding as an attribute; None where it is known only at run time."""
        both = (*self.begin, *self.end)
        known = tuple(size for size in both if isinstance(size, int))
        return known if len(known) == len(both) else None

    def around(self, b: Builder, x: Value, value: float = 0.0) -> tuple[Value, Ints]:
        """x and the padding it still needs: x itself, or x with the padding already around it."""
        padding = self.padding()
        if padding is not None:
            return x, padding
        return widened(b, x, self.begin, self.end, value), (0,) * 2 * len(self.kernel)


def widened(b: Builder, x: Value, begin: Sequence[Size], end: Sequence[Size], value: float = 0.0) -> Value:
    """x[n, c, *sizes] with elements of this value before and after each axis."""
    return b.pad(x, before=(0, 0, *begin), after=(0, 0, *end), value=value)


def placed(reader: Reader, call: Call, sizes: Sequence[Size], kernel: Sequence[int] | None = None) -> Placed:
    """How the node moves its windows over axes of these sizes.

    `kernel` is that of the weights, where there are any. Raises DiagnosticError (`onnx-malformed`).
    """
    axes = len(sizes)
    windows = tuple(kernel or call.attribute("kernel_shape") or ())
    strides = tuple(call.attribute("strides") or (1,) * axes)
    dilations = tuple(call.attribute("dilations") or (1,) * axes)
    pads = tuple(call.attribute("pads") or (0,) * 2 * axes)
    if not len(windows) == len(strides) == len(dilations) == axes or len(pads) != 2 * axes:
        raise reader.malformed(f"{call} has windows that do not fit {axes} axes")
    extents = tuple((k - 1) * d + 1 for k, d in zip(windows, dilations, strict=True))
    begin, stated = _padding(call.attribute("auto_pad", "NOTSET"), sizes, extents, strides, pads)
    end = stated
    if call.attribute("ceil_mode", 0):
        items = zip(sizes, extents, strides, begin, stated, strict=True)
        end = tuple(_rounded_up(*item) for item in items)
    return Placed(windows, strides, dilations, begin, end, stated)


def _padding(
    mode: str, sizes: Sequence[Size], extents: Ints, strides: Ints, pads: Sequence[int]
) -> tuple[Sizes, Sizes]:
    axes = len(extents)
    if mode == "VALID":
        return (0,) * axes, (0,) * axes
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        return tuple(pads[:axes]), tuple(pads[axes:])
    totals = [_same(*item) for item in zip(sizes, extents, strides, strict=True)]
    smaller = tuple(floor_divide(total, 2) for total in totals)
    larger = tuple(total - half for total, half in zip(totals, smaller, strict=True))
    return (smaller, larger) if mode == "SAME_UPPER" else (larger, smaller)


def _same(size: Size, extent: int, stride: int) -> Size:
    """The padding with which there are size / stride windows, rounded up."""
    if stride == 1:
        return extent - 1
    count = floor_divide(size + (stride - 1), stride)
    return maximum((count - 1) * stride + extent - size, 0)


def _rounded_up(size: Size, extent: int, stride: int, begin: Size, end: Size) -> Size:
    """The padding at the end with which a last window that is not full counts, unless it begins behind `size`."""
    room = size + begin + end - extent
    count = minimum(floor_divide(room + (stride - 1), stride) + 1, floor_divide(size + begin - 1, stride) + 1)
    return maximum((count - 1) * stride + extent - size - begin, end)


def per_channel(b: Builder, values: Value, rank: int) -> Value:
    """One value for each channel, against a tensor [n, c, *sizes] of that rank."""
    return b.reshape(values, shape=(*values.type.shape, *(1,) * (rank - 2)))


def whole(sizes: Sequence[Size]) -> Ints | None:
    """Sizes known while compiling; None where one is not."""
    known = tuple(size for size in sizes if isinstance(size, int))
    return known if len(known) == len(sizes) else None
