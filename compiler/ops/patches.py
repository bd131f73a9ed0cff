"""Windows in ONNX: cutting them out of a tensor, and adding them up at their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from netlang.dims import Size

from .windows import Ints, Window

if TYPE_CHECKING:
    from ..emit import Emitter


def padded(e: Emitter, x: str, window: Window) -> str:
    """x[n, c, *sizes] with the zeros around it that the window asks for."""
    if not any(window.padding):
        return x
    return e.node("Pad", x, e.constant(np.array([0, 0, *window.begin, 0, 0, *window.end])))


def shifted(e: Emitter, x: str, offset: Ints, counts: Sequence[Size], window: Window) -> str:
    """Of padded x[_, _, *sizes], the elements at one offset in every window: [_, _, *counts]."""
    axes = np.arange(2, 2 + len(offset))
    stops = [o + (count - 1) * stride + 1 for o, count, stride in zip(offset, counts, window.stride, strict=True)]
    steps = [e.constant(np.array(window.stride))] if any(stride > 1 for stride in window.stride) else []
    return e.node("Slice", x, e.constant(np.array(offset)), e.sizes(stops), e.constant(axes), *steps)


def sliced(e: Emitter, x: str, shape: Sequence[Size], window: Window) -> str:
    """The windows of x, of the given shape [n, c, *sizes], as [n * c, elements, *results]: one slice an element."""
    n, c, *sizes = shape
    planes = e.reshape(x, tuple(shape), (n * c, 1, *sizes))
    planes = padded(e, planes, window)
    counts = window.results(sizes)
    parts = [shifted(e, planes, offset, counts, window) for offset in window.offsets()]
    return parts[0] if len(parts) == 1 else e.node("Concat", *parts, axis=1)


def convolved(e: Emitter, x: str, channels: int, dtype: np.dtype, window: Window) -> str:
    """The windows of x[n, c, *sizes] as [n, c * elements, *results]: each element by a convolution that picks it.

    Not for values that may be infinite: what is not picked is multiplied by 0.
    """
    picks = np.tile(_picks(window, dtype), (channels, *(1,) * (1 + len(window.kernel))))
    return e.node(
        "Conv",
        x,
        e.constant(picks),
        strides=window.stride,
        pads=window.padding,
        dilations=window.dilation,
        group=channels,
    )


def folded(e: Emitter, parts: str, size: Sequence[Size], dtype: np.dtype, window: Window) -> str:
    """The transpose of `sliced`: parts[planes, elements, *results] added up at their places in [planes, 1, *size]."""
    return transposed(e, parts, e.constant(_picks(window, dtype)), size, window)


def _picks(window: Window, dtype: np.dtype) -> np.ndarray:
    count = int(np.prod(window.kernel))
    return np.eye(count, dtype=dtype).reshape(count, 1, *window.kernel)


def transposed(e: Emitter, g: str, w: str, size: Sequence[Size], window: Window, groups: int = 1) -> str:
    """A ConvTranspose whose result has the given sizes, known while compiling or not."""
    remainder = window.remainder(size)
    known = all(isinstance(one, int) for one in remainder)
    result = e.node(
        "ConvTranspose",
        g,
        w,
        strides=window.stride,
        pads=window.padding,
        dilations=window.dilation,
        output_padding=remainder if known else tuple(stride - 1 for stride in window.stride),
        group=groups,
    )
    if known:
        return result
    starts, axes = np.zeros(len(size), np.int64), np.arange(2, 2 + len(size))
    return e.node("Slice", result, e.constant(starts), e.sizes(size), e.constant(axes))
