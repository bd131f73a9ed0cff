"""The gradient of a convolution's weights in ONNX: four lowerings, and the rule that chooses among them.

No lowering wins everywhere, and the losers lose by up to eighty times. Milliseconds on one core with AVX-512 for
channels read, size, kernel, channels made; the chosen ones are marked:

| batch | convolution          | window | slices | identity | offsets |
|-------|----------------------|--------|--------|----------|---------|
| 64    | 1, 28², 5×5, 6       |        | 0.8 *  | 1.3      | 2.9     |
| 64    | 6, 14², 5×5, 16      |        | 1.2 *  | 1.5      | 1.4     |
| 64    | 16, 5², 5×5, 120     | 0.06 * | 1.3    | 1.4      | 0.3     |
| 32    | 16, 32², 3×3, 16     |        | 5.0    | 6.2      | 4.4 *   |
| 32    | 64, 8², 3×3, 64      |        | 2.7    | 2.3      | 2.2 *   |
| 32    | 16, 32², 3×3 by 2, 32|        | 3.9    | 1.9 *    | 3.2     |
| 16    | 64, 56², 3×3, 64     |        | 76     | 64       | 41 *    |
| 16    | 64, 56², 3×3 by 2, 128|       | 42     | 27 *     | 32      |
| 16    | 256, 14², 3×3 by 2, 512|      | 42     | 15 *     | 20      |

A convolution with x and g in exchanged roles loses everywhere, at 1×1 kernels by eighty times, unless the channels lie
innermost: then it wins everywhere on the processor (`passes/gradient_windows.py`). What is exported keeps to these, for
which every provider has fast kernels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from netlang.dims import Size

from ..dtypes import numpy_dtype
from .common import behind_reshape, product
from .patches import convolved, padded, shifted, sliced
from .windows import Ints, Window, whole

if TYPE_CHECKING:
    from ..emit import Emitter
    from ..ir import Node

Lowering = Literal["window", "offsets", "slices", "identity"]

NARROW = 8
"""Fewer channels make products too narrow for the processor's vectors, unless windows are laid side by side."""


def choose(channels: int, results: tuple[Size, ...], stride: Ints, groups: int) -> Lowering:
    """The lowering for `channels` read in each of `groups`, and that many `results` along each axis."""
    if groups == 1 and all(count == 1 for count in results):
        return "window"
    if any(step > 1 for step in stride):
        return "identity"
    return "slices" if groups == 1 and channels < NARROW else "offsets"


def weight_gradient_onnx(e: Emitter, node: Node, x: str, g: str) -> str:
    """Lowers `conv_weight_gradient`; over no images, the gradient is 0."""
    call = Call(e, node)
    if call.batch == 0:
        return e.constant(np.zeros(call.weights, call.dtype))
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
        self.made, self.channels = whole(node.outputs[0].type.shape)[:2]
        self.weights: Ints = (self.made, self.channels, *self.window.kernel)
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
                return self._by_samples(columns, g)
            case "identity":
                columns = convolved(self.e, x, self.groups * self.channels, self.dtype, self.window)
                return self._by_columns(columns, g)

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

    def _by_samples(self, columns: str, g: str) -> str:
        """For each sample a product of g and its windows, [channels, elements, *results]; their sum."""
        e = self.e
        elements, positions = product(self.window.kernel), product(self.results)
        shape = (self.batch * self.channels, elements, *self.results)
        columns = e.reshape(columns, shape, (self.batch, self.channels * elements, positions))
        g = e.reshape(g, self.g_shape, (self.batch, self.made, positions))
        products = e.node("MatMul", g, e.node("Transpose", columns, perm=(0, 2, 1)))
        total = e.node("ReduceSum", products, e.constant(np.array([0])), keepdims=0)
        return e.reshape(total, (self.made, self.channels * elements), self.weights)

    def _by_columns(self, columns: str, g: str) -> str:
        """One product of g and all windows, [batch, groups * channels * elements, *results]."""
        rows = self.channels * math.prod(self.window.kernel)
        total = self._product(self._channels_first(g, self.made), self._channels_first(columns, self.groups * rows))
        group = (self.groups,) if self.groups > 1 else ()
        return self.e.reshape(total, (*group, self.made // self.groups, rows), self.weights)

    def _by_offsets(self, x: str, g: str) -> str:
        """For each element of the window, one product of g and x moved by its offset, over all samples at once."""
        e = self.e
        x = e.node("Transpose", padded(e, x, self.window), perm=(1, 0, *range(2, len(self.x_shape))))
        g = self._channels_first(g, self.made)
        moved = (shifted(e, x, offset, self.results, self.window) for offset in self.window.offsets())
        parts = [self._product(g, self._rows(one, self.groups * self.channels)) for one in moved]
        elements = len(parts)
        stacked = parts[0] if elements == 1 else e.node("Concat", *parts, axis=0)
        group = (elements * self.groups, self.made // self.groups) if self.groups > 1 else (elements * self.made,)
        stacked = e.reshape(stacked, (*group, self.channels), (elements, self.made, self.channels))
        last = e.node("Transpose", stacked, perm=(1, 2, 0))
        return e.reshape(last, (self.made, self.channels, elements), self.weights)

    def _channels_first(self, x: str, channels: int) -> str:
        """x[batch, channels, *results] as `_rows` gives it."""
        return self._rows(self.e.node("Transpose", x, perm=(1, 0, *range(2, len(self.x_shape)))), channels)

    def _rows(self, x: str, channels: int) -> str:
        """x[channels, batch, *results] as [channels, columns], or [groups, channels / groups, columns]."""
        shape = (channels, self.batch, *self.results)
        group = (self.groups, channels // self.groups) if self.groups > 1 else (channels,)
        return self.e.reshape(x, shape, (*group, product(shape[1:])))

    def _product(self, g: str, x: str) -> str:
        """g xᵀ, for each group."""
        if self.groups == 1:
            return self.e.node("Gemm", g, x, transB=1)
        turned = self.e.node("Transpose", x, perm=(0, 2, 1))
        columns = product((self.batch, *self.results))
        if not isinstance(columns, int):  # over no columns, FusedMatMul would not give zeros
            turned = behind_reshape(self.e, turned, 3)
        return self.e.node("MatMul", g, turned)
