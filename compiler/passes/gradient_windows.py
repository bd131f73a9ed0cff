"""Weight gradients of convolutions as convolutions, whose windows are the images of the gradient.

The weights of an offset are a product of the gradient and the images moved by it, over all places. The kernels of
convolutions lay moved images out in the cache, a piece at a time, where the lowerings of `conv_weight_gradient` copy
them through memory. With the channels innermost, in one axis with the columns, a convolution gives the gradients of
all offsets and channels, dilated by the stride and by the number of channels. Milliseconds on one core with AVX-512 for
batch, channels read, size, kernel, channels made, in parts that fit the cache (`fit_cache`) where there are any:

| batch | convolution            | lowered | here | PyTorch |
|-------|------------------------|---------|------|---------|
| 32    | 16, 32², 3×3, 16       | 3.2     | 2.7  | 2.8     |
| 32    | 64, 28², 3×3, 64       | 20      | 16   | 15      |
| 32    | 96, 28², 3×3, 32       | 21      | 12   | 13      |
| 32    | 64, 7², 3×3, 64        | 1.9     | 1.0  | 1.3     |
| 8     | 64, 56², 3×3, 64       | 19      | 17   | 16      |
| 8     | 64, 56², 3×3 by 2, 128 | 13      | 8.6  | 10.5    |
| 8     | 3, 224², 7×7 by 2, 64  | 60      | 22   | 20      |
| 8     | 128 in 32 groups, 28², 3×3, 128 | 7.6 | 4.8 | |
| 32    | 96 in 96 groups, 28², 3×3, 96   | 11  | 27  | |

The last of these is left as it is.
"""

from __future__ import annotations

import math

from ..builder import Builder
from ..ir import Graph, Node, Value
from ..ops.windows import Ints, Window, whole, window_of
from .algebra_shape import transpose_of_ones
from .dead import dead
from .rebuild import Results, rebuild


def gradient_windows(graph: Graph) -> Graph:
    """Rewrites weight gradients of known sizes, whose windows are not dilated; differs by rounding."""

    def rewritten(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if node.op != "conv_weight_gradient" or not _suits(node):
            return None
        return _Call(b, node).result(*inputs)

    return dead(rebuild(graph, rewritten))


def _suits(node: Node) -> bool:
    """In f32, for which there are kernels; not for a single window, nor where each channel is a group of its own and
    windows move by single steps, nor of nothing: an empty batch, or windows that lie before all of x."""
    window, groups = window_of(node), node.attributes["groups"]
    x, g = (value.type for value in node.inputs)
    if x.dtype != "f32" or not all(isinstance(size, int) and size for size in (*x.shape, *g.shape)):
        return False
    alone = groups == x.shape[1] == g.shape[1] != 1 and all(step == 1 for step in window.stride)
    dense = all(step == 1 for step in window.dilation)
    several = any(size != 1 for size in g.shape[2:])
    return dense and several and not alone and min(_stops(window, whole(x.shape[2:]))) > 0


class _Call:
    """One application: x is [batch, groups * read, *sizes], g is [batch, groups * made, *results]."""

    def __init__(self, b: Builder, node: Node) -> None:
        self.b = b
        self.groups: int = node.attributes["groups"]
        self.window = window_of(node)
        self.weights = whole(node.outputs[0].type.shape)
        self.made, self.read = self.weights[0] // self.groups, self.weights[1]
        self.elements = math.prod(self.window.kernel)

    def result(self, x: Value, g: Value) -> Value:
        """The convolution with what has more channels as windows: it lays out what has fewer."""
        exchanged = self.read > self.made and self._is_dense
        return self._with_windows_of_x(x, g) if exchanged else self._with_windows_of_g(x, g)

    @property
    def _is_dense(self) -> bool:
        """Whether the roles of x and g can be exchanged: no step, and no place that only padding reaches."""
        return all(step == 1 for step in self.window.stride) and self.window.pads_little

    def _with_windows_of_g(self, x: Value, g: Value) -> Value:
        x, end = self._reached(x)
        padding = (self.window.begin, end)
        found = self._convolved(x, self.read, g, self.made, padding, self.window.stride)
        moved = self.b.transpose(found, perm=(0, 2, 1))
        return self.b.reshape(moved, shape=self.weights)

    def _with_windows_of_x(self, x: Value, g: Value) -> Value:
        """What is found for an element of the window is that of the opposite one."""
        window = self.window
        begin, end = (
            tuple(k - 1 - p for k, p in zip(window.kernel, side, strict=True)) for side in (window.begin, window.end)
        )
        found = self._convolved(g, self.made, x, self.read, (begin, end), window.stride)
        if self.elements > 1:
            found = self.b.slice(found, starts=self.elements - 1, stops=-1, axes=1, steps=-1)
        shape = (self.groups, self.read, self.elements, self.made)
        moved = self.b.transpose(self.b.reshape(found, shape=shape), perm=(0, 3, 1, 2))
        return self.b.reshape(moved, shape=self.weights)

    def _reached(self, x: Value) -> tuple[Value, Ints]:
        """x without the ends of its axes that no window reaches, and how much padding is reached behind the others."""
        sizes = whole(x.type.shape[2:])
        stops = _stops(self.window, sizes)
        inside = tuple(map(min, sizes, stops))
        if inside != sizes:
            axes = tuple(range(2, x.type.rank))
            x = self.b.slice(x, starts=(0,) * len(axes), stops=inside, axes=axes, steps=(1,) * len(axes))
        return x, tuple(max(stop - size, 0) for stop, size in zip(stops, sizes, strict=True))

    def _convolved(
        self, images: Value, channels: int, windows: Value, made: int, padding: tuple[Ints, ...], stride: Ints
    ) -> Value:
        """`[groups * made, elements, channels]`: for each place of the images under the windows, the sum of products.

        images: [batch, groups * channels, *sizes], windows: [batch, groups * made, *results].
        """
        b, groups = self.b, self.groups
        batch, _, *sizes = whole(images.type.shape)
        split = b.reshape(images, shape=(batch * groups, channels, *sizes))
        last = _transposed(b, split, (0, *range(2, 2 + len(sizes)), 1))
        rows = (*sizes[:-1], sizes[-1] * channels)
        laid = b.reshape(
            self._batch_inside(b.reshape(last, shape=(batch, groups, *rows))), shape=(1, groups * batch, *rows)
        )
        filters = self._batch_inside(windows)
        found = b.conv(
            laid,
            filters,
            stride=(1,) * len(sizes),
            padding=tuple(size for side in padding for size in _widened(side, channels)),
            dilation=_widened(stride, channels),
            groups=groups,
        )
        return b.reshape(found, shape=(groups * made, self.elements, channels))

    def _batch_inside(self, x: Value) -> Value:
        """x[batch, groups * channels, …] with its first two axes exchanged."""
        return _transposed(self.b, x, (1, 0, *range(2, x.type.rank)))


def _stops(window: Window, sizes: Ints) -> Ints:
    """Where the last window along each axis ends, counted from the first element of x."""
    remainders = whole(window.remainder(sizes))
    return tuple(size + end - rest for size, end, rest in zip(sizes, window.end, remainders, strict=True))


def _widened(sizes: Ints, channels: int) -> Ints:
    """Of an axis that holds columns and channels, the last one."""
    return (*sizes[:-1], sizes[-1] * channels)


def _transposed(b: Builder, x: Value, perm: Ints) -> Value:
    view = transpose_of_ones(b, x, perm)
    return view if isinstance(view, Value) else b.transpose(x, perm=perm)
