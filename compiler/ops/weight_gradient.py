"""The gradient of a convolution's weights in ONNX: four lowerings, and the rule that chooses among them.

No lowering wins everywhere, and the losers lose by up to eighty times. Measured on one thread of an x86-64 core with
AVX-512 (batch 64 first row, 32 the next three, 16 the last two), ms; the chosen one is marked:

| channels, size, kernel, made  | window | offsets | slices | identity |
|-------------------------------|--------|---------|--------|----------|
| 1, 28², 5×5, 6                |        | 3.1     | 0.9 *  | 1.0      |
| 16, 32², 3×3, 16              |        | 4.4 *   | 5.0    | 5.4      |
| 64, 8², 3×3, 64               |        | 2.4 *   | 2.7    | 2.4      |
| 16, 32², 3×3 by 2, 32         |        | 3.8     | 4.0    | 2.4 *    |
| 64, 56², 3×3, 64              |        | 41 *    | 76     | 64       |
| 64, 56², 3×3 by 2, 128        |        | 37      | 40     | 24 *     |
| 16, 5², 5×5, 120 (batch 64)   | 0.06 * | 0.33    | 1.3    | 1.4      |

A convolution with x and g in exchanged roles loses everywhere, at 1×1 kernels by eighty times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from netlang.dims import Size

from ..dtypes import numpy_dtype
from .common import product
from .patches import convolved, padded, shifted, sliced
from .windows import Ints, Window

if TYPE_CHECKING:
    from ..emit import Emitter
    from ..ir import Node

Lowering = Literal["window", "offsets", "slices", "identity"]

VECTOR = 16
"""Float32 numbers in the widest vectors of a processor: a product with fewer columns leaves part of them idle."""


def choose(channels: int, results: tuple[Size, ...], stride: Ints, groups: int) -> Lowering:
    """The lowering for `channels` read in each of `groups`, and that many `results` along each axis."""
    if groups == 1 and all(count == 1 for count in results):
        return "window"
    if any(step > 1 for step in stride):
        return "identity"
    return "slices" if groups == 1 and channels < VECTOR else "offsets"


def weight_gradient_onnx(e: Emitter, node: Node, x: str, g: str) -> str:
    """Lowers `conv_weight_gradient`."""
    call = Call(e, node)
    return call.lowered(choose(call.channels, call.results, call.window.stride, call.groups), x, g)


class Call:
    """One application: x is [batch, groups * channels, *sizes], g is [batch, made, *results]."""

    def __init__(self, e: Emitter, node: Node) -> None:
        attributes = node.attributes
        x, g = node.inputs[0].type, node.inputs[1].type
        self.e = e
        self.dtype = numpy_dtype(x.dtype)
        self.groups: int = attributes["groups"]
        self.window = Window(attributes["kernel"], attributes["stride"], attributes["padding"], attributes["dilation"])
        self.weights: Ints = node.outputs[0].type.shape
        self.made, self.channels = self.weights[:2]
        self.x_shape, self.g_shape = x.shape, g.shape
        self.batch: Size = g.shape[0]
        self.results: tuple[Size, ...] = g.shape[2:]

    def lowered(self, lowering: Lowering, x: str, g: str) -> str:
        """The ONNX nodes of one of the lowerings."""
        match lowering:
            case "window":
                return self._by_window(x, g)
            case "offsets":
                return self._by_offsets(x, g)
            case "slices":
                columns = sliced(self.e, x, self.x_shape, self.window)
                shape = (self.batch * self.x_shape[1], product(self.window.kernel), *self.results)
                return self._by_columns(columns, shape, g)
            case "identity":
                columns = convolved(self.e, x, self.groups * self.channels, self.dtype, self.window)
                shape = (self.batch, self.groups * self.channels * product(self.window.kernel), *self.results)
                return self._by_columns(columns, shape, g)

    def _by_window(self, x: str, g: str) -> str:
        """Where there is one window only: a product of g and what is in it, summed over the batch."""
        e, window = self.e, self.window
        x = padded(e, x, window)
        starts, axes = np.zeros(len(window.kernel), np.int64), np.arange(2, 2 + len(window.kernel))
        ends = e.constant(np.array(window.extent))
        x = e.node("Slice", x, e.constant(starts), ends, e.constant(axes), e.constant(np.array(window.dilation)))
        elements = self.channels * product(window.kernel)
        x = e.reshape(x, (self.batch, self.channels, *window.kernel), (self.batch, elements))
        g = e.reshape(g, self.g_shape, (self.batch, self.made))
        return e.reshape(e.node("Gemm", g, x, transA=1), (self.made, elements), self.weights)

    def _by_columns(self, columns: str, shape: tuple[Size, ...], g: str) -> str:
        """A product for each sample of g and the columns, windows laid side by side, and a sum over the samples."""
        e = self.e
        group = (self.groups,) if self.groups > 1 else ()
        elements, positions = self.channels * product(self.window.kernel), product(self.results)
        columns = e.reshape(columns, shape, (self.batch, *group, elements, positions))
        g = e.reshape(g, self.g_shape, (self.batch, *group, self.made // self.groups, positions))
        rank = 3 + len(group)
        columns = e.node("Transpose", columns, perm=(*range(rank - 2), rank - 1, rank - 2))
        total = e.node("ReduceSum", e.node("MatMul", g, columns), e.constant(np.array([0])), keepdims=0)
        return e.reshape(total, (*group, self.made // self.groups, elements), self.weights)

    def _by_offsets(self, x: str, g: str) -> str:
        """For each element of the window, one product of g and x moved by its offset, over all samples at once."""
        e = self.e
        swapped = (1, 0, *range(2, len(self.x_shape)))
        x = e.node("Transpose", padded(e, x, self.window), perm=swapped)
        g = self._rows(e.node("Transpose", g, perm=swapped), self.made)
        moved = (shifted(e, x, offset, self.results, self.window) for offset in self.window.offsets())
        parts = [self._product(g, self._rows(one, self.groups * self.channels)) for one in moved]
        elements = len(parts)
        stacked = parts[0] if elements == 1 else e.node("Concat", *parts, axis=0)
        group = (elements * self.groups, self.made // self.groups) if self.groups > 1 else (elements * self.made,)
        stacked = e.reshape(stacked, (*group, self.channels), (elements, self.made, self.channels))
        last = e.node("Transpose", stacked, perm=(1, 2, 0))
        return e.reshape(last, (self.made, self.channels, elements), self.weights)

    def _rows(self, x: str, channels: int) -> str:
        """x[channels, batch, *results] as [channels, columns], or [groups, channels / groups, columns]."""
        shape = (channels, self.batch, *self.results)
        group = (self.groups, channels // self.groups) if self.groups > 1 else (channels,)
        return self.e.reshape(x, shape, (*group, product(shape[1:])))

    def _product(self, g: str, x: str) -> str:
        """g xᵀ, for each group."""
        if self.groups == 1:
            return self.e.node("Gemm", g, x, transB=1)
        return self.e.node("MatMul", g, self.e.node("Transpose", x, perm=(0, 2, 1)))
