"""Sliding windows over the axes after the first two: the geometry that convolution and pooling share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product as combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from netlang.diagnostics import fail
from netlang.dims import Size
from netlang.types import TensorType

from .common import bad_value, listed, shape_mismatch

if TYPE_CHECKING:
    from ..ir import Node

Ints = tuple[int, ...]
Sizes = tuple[Size, ...]


def whole(sizes: Sequence[Size]) -> Ints:
    """Sizes that are known to be known while compiling. Raises TypeError where one is not."""
    if not all(isinstance(size, int) for size in sizes):
        raise TypeError(f"{listed(sizes)} is not known while compiling")
    return tuple(size for size in sizes if isinstance(size, int))


@dataclass(frozen=True)
class Window:
    """A window of `kernel` elements, `dilation` apart, moved by `stride` over axes padded at both ends.

    `padding` lists what stands before each axis, then what stands after each, as ONNX does.
    """

    kernel: Ints
    stride: Ints
    padding: Ints
    dilation: Ints

    @property
    def begin(self) -> Ints:
        return self.padding[: len(self.kernel)]

    @property
    def end(self) -> Ints:
        return self.padding[len(self.kernel) :]

    @property
    def extent(self) -> Ints:
        """How many elements of each axis the window spans."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def tiles(self) -> bool:
        """Whether windows cover the axes side by side: none overlap, none leave gaps, none reach into padding."""
        return self.kernel == self.stride and not any(self.padding) and all(d == 1 for d in self.dilation)

    @property
    def is_point(self) -> bool:
        """Whether each window is one element and every element has its window."""
        return all(k == 1 for k in self.kernel) and self.tiles

    @property
    def pads_little(self) -> bool:
        """Whether padding stays below the kernel's length, as ONNX Runtime asks of pooling, dilated or not."""
        return all(p < k for p, k in zip(self.padding, (*self.kernel, *self.kernel), strict=True))

    def check(self, axes: int) -> None:
        """Raises DiagnosticError (`bad-value`) unless the lists have the length they need and sensible entries."""
        for name, values, count, least in (
            ("kernel", self.kernel, axes, 1),
            ("stride", self.stride, axes, 1),
            ("padding", self.padding, 2 * axes, 0),
            ("dilation", self.dilation, axes, 1),
        ):
            if len(values) != count or any(value < least for value in values):
                wanted = f"{count} whole number{'s' * (count > 1)}, each at least {least}"
                raise bad_value(f"`{name}` does not fit {axes} axes", wanted, listed(values))

    def results(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """The number of windows along each axis. Raises DiagnosticError (`shape-mismatch`) where there is no room."""
        counts: list[Size] = []
        for size, begin, end, extent, stride in zip(sizes, self.begin, self.end, self.extent, self.stride, strict=True):
            room = size + (begin + end - extent)
            if isinstance(room, int) and room < 0:
                title = f"a window of {extent} does not fit an axis of {size} with {begin + end} of padding"
                raise shape_mismatch(title, f"a size of at least {extent - begin - end}", size)
            counts.append(room // stride + 1)
        return tuple(counts)

    def expect(self, sizes: Sequence[Size], found: Sequence[Size]) -> None:
        """Raises DiagnosticError (`shape-mismatch`) unless windows over `sizes` are `found` many."""
        results = self.results(sizes)
        if results != tuple(found):
            raise shape_mismatch("the gradient has another shape than the result", listed(results), listed(found))

    def remainder(self, sizes: Sequence[Size]) -> tuple[Size, ...]:
        """How many elements at the end of each axis no window reaches."""
        return tuple(
            size + begin + end - ((count - 1) * stride + extent)
            for size, begin, end, extent, stride, count in zip(
                sizes, self.begin, self.end, self.extent, self.stride, self.results(sizes), strict=True
            )
        )

    def offsets(self) -> Iterator[Ints]:
        """The place of each element of the window, relative to its first one, in row-major order."""
        steps = (range(0, k * d, d) for k, d in zip(self.kernel, self.dilation, strict=True))
        return combinations(*steps)

    def pads(self) -> list[tuple[int, int]]:
        """Padding for each of all axes, as NumPy takes it."""
        return [(0, 0), (0, 0), *zip(self.begin, self.end, strict=True)]

    def views(self, x: np.ndarray, value: float = 0.0) -> np.ndarray:
        """`x[n, c, *sizes]` padded with `value`, as `[n, c, *results, *kernel]`."""
        axes = tuple(range(2, x.ndim))
        windows = sliding_window_view(np.pad(x, self.pads(), constant_values=value), self.extent, axes)
        every = tuple(slice(None, None, step) for step in (*self.stride, *self.dilation))
        return windows[(slice(None), slice(None), *every)]

    def fill(self, sizes: Sequence[int], parts: np.ndarray) -> np.ndarray:
        """The transpose of `views`: sums `parts[n, c, *results, *kernel]` at their places in `[n, c, *sizes]`."""
        n, c, *counts = parts.shape[: 2 + len(self.kernel)]
        padded = [size + b + e for size, b, e in zip(sizes, self.begin, self.end, strict=True)]
        total = np.zeros((n, c, *padded), parts.dtype)
        for offset, element in zip(self.offsets(), np.ndindex(*self.kernel), strict=True):
            places = tuple(
                slice(o, o + (count - 1) * stride + 1, stride)
                for o, count, stride in zip(offset, counts, self.stride, strict=True)
            )
            total[(slice(None), slice(None), *places)] += parts[(..., *element)]
        crop = tuple(slice(b, b + size) for b, size in zip(self.begin, sizes, strict=True))
        return total[(slice(None), slice(None), *crop)]


def pooling_window(kernel: Ints, stride: Ints, padding: Ints | None = None, dilation: Ints | None = None) -> Window:
    """The window of a pooling: without padding and dilation unless they are given."""
    axes = len(kernel)
    return Window(
        kernel, stride, (0,) * 2 * axes if padding is None else padding, (1,) * axes if dilation is None else dilation
    )


def checked(x: TensorType, window: Window) -> Window:
    """`window`, which fits the axes of x[n, c, *sizes] and never lies wholly in the padding.

    Raises DiagnosticError (`rank-mismatch`, `bad-value`).
    """
    if x.rank < 3:
        raise fail("rank-mismatch", "windows move over the axes after the first two", expected="3 axes", found=x)
    window.check(x.rank - 2)
    if any(p >= extent for p, extent in zip(window.padding, (*window.extent, *window.extent), strict=True)):
        title = "a window would lie wholly in the padding"
        raise bad_value(title, "padding below the extent of the window", listed(window.padding))
    return window


def pooled(x: TensorType, window: Window) -> TensorType:
    """The type of one element for each window over x."""
    return TensorType(x.dtype, (*x.shape[:2], *checked(x, window).results(x.shape[2:])))


def spread(g: TensorType, size: Sizes, window: Window, counts: Sizes) -> TensorType:
    """The type of what has `size` elements along the axes and `counts` windows, with the first two axes of g.

    Raises DiagnosticError (`bad-value`, `shape-mismatch`).
    """
    if len(size) != len(window.kernel):
        raise bad_value("`size` says how long each axis of the result is", f"{len(window.kernel)} sizes", len(size))
    window.expect(size, counts)
    return TensorType(g.dtype, (*g.shape[:2], *size))


def element_axes(views: np.ndarray) -> Ints:
    """The axes of the elements in what `Window.views` gives."""
    axes = (views.ndim - 2) // 2
    return tuple(range(2 + axes, 2 + 2 * axes))


def onnx_attributes(node: Node, dilation: bool = True) -> dict[str, Any]:
    """How ONNX calls the geometry of a pooling; `dilation` only where it is not 1, and has a place there."""
    attributes = node.attributes
    named = {
        "kernel_shape": attributes["kernel"],
        "strides": attributes["stride"],
        "pads": attributes["padding"],
    }
    steps = attributes["dilation"]
    return named | {"dilations": steps} if dilation and steps and any(step > 1 for step in steps) else named


def window_of(node: Node) -> Window:
    """The window of a node with attributes for it."""
    attributes = node.attributes
    return pooling_window(*(attributes[name] for name in ("kernel", "stride", "padding", "dilation")))
