"""Windows in ONNX: cutting them out of a tensor, and adding them up at their places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    return _strided(e, x, offset, counts, window.stride)


def _strided(e: Emitter, x: str, start: Ints, counts: Sequence[Size], every: Ints) -> str:
    """Of x[_, _, *sizes], `counts` elements from `start` on, `every` so many."""
    axes = np.arange(2, 2 + len(start))
    stops = [begin + (count - 1) * step + 1 for begin, count, step in zip(start, counts, every, strict=True)]
    steps = [e.constant(np.array(every))] if any(step > 1 for step in every) else []
    return e.node("Slice", x, e.constant(np.array(start)), e.sizes(stops), e.constant(axes), *steps)


def sliced(e: Emitter, x: str, shape: Sequence[Size], window: Window) -> str:
    """The windows of x, of the given shape [n, c, *sizes], as [n * c, elements, *results]: one slice an element."""
    n, c, *sizes = shape
    planes = e.reshape(x, tuple(shape), (n * c, 1, *sizes))
    planes = padded(e, planes, window)
    counts = window.results(sizes)
    cut = _phases(e, planes, counts, window)
    parts = [cut(offset) for offset in window.offsets()]
    return parts[0] if len(parts) == 1 else e.node("Concat", *parts, axis=1)


def _phases(e: Emitter, x: str, counts: Sequence[Size], window: Window) -> Callable[[Ints], str]:
    """Gives, as `shifted` does, the elements at an offset in every window.

    With strides, they are taken without steps, which is cheap, from one of the interleaved parts of x, each of which
    is cut out once.
    """
    every, near = tuple(window.stride), (1,) * len(counts)
    if every == near:
        return lambda offset: shifted(e, x, offset, counts, window)
    reach: dict[Ints, Ints] = {}
    for offset in window.offsets():
        phase, step = _phase(offset, every)
        reach[phase] = tuple(map(max, step, reach.get(phase, step)))
    parts: dict[Ints, str] = {}

    def cut(offset: Ints) -> str:
        phase, step = _phase(offset, every)
        longer = [count + more for count, more in zip(counts, reach[phase], strict=True)]
        if phase not in parts:
            parts[phase] = _strided(e, x, phase, longer, every)
        return parts[phase] if not any(reach[phase]) else _strided(e, parts[phase], step, counts, near)

    return cut


def _phase(offset: Ints, stride: Ints) -> tuple[Ints, Ints]:
    """The interleaved part in which an offset lies, and its place there."""
    pairs = list(zip(offset, stride, strict=True))
    return tuple(o % s for o, s in pairs), tuple(o // s for o, s in pairs)


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
