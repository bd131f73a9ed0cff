"""The weight gradients of convolutions by products of two stacks of shifted images."""

from __future__ import annotations

import math

import numpy as np

from ..builder import Builder
from ..ir import Graph, Node, Value
from .rebuild import Results, rebuild


def shifts(graph: Graph) -> Graph:
    """Rewrites `conv_weight_gradient(x, g)` of two-dimensional kernels with stride 1 to one product for each sample.

    The element (i, j) of the gradient is the sum of g, i rows further, times x, j columns further: so a stack of g in
    as many shifts as the kernel has rows, times a stack of x in as many as it has columns, holds all elements. That
    moves 3 + 3 shifted images where the kernel is 3×3, and not 9. A convolution with ones and zeros makes the stacks.
    """

    def stacked(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        return _gradient(b, *inputs, **node.attributes) if _is_suited(node) else None

    return rebuild(graph, stacked)


def _is_suited(node: Node) -> bool:
    if node.op != "conv_weight_gradient":
        return False
    a = node.attributes
    kernel, results = a["kernel"], node.inputs[1].type.shape[2:]
    if len(kernel) != 2 or math.prod(kernel) == 1 or a["groups"] != 1 or any(n != 1 for n in (*a["stride"], *a["dilation"])):
        return False
    within = all(pad < size for pad, size in zip(a["padding"], kernel * 2, strict=True))
    return within and any(size != 1 for size in results)


def _gradient(b: Builder, x: Value, g: Value, *, kernel: tuple[int, int], padding: tuple[int, ...], **_: object) -> Value:
    (rows, columns), (top, left, bottom, right) = kernel, padding
    batch, channels, height, _width = x.type.shape
    made, width = g.type.shape[1], g.type.shape[3]
    down = _shifted(b, g, np.eye(rows)[::-1, :, None], (rows - 1 - top, 0, rows - 1 - bottom, 0))
    across = _shifted(b, x, np.eye(columns)[:, None, :], (0, left, 0, right))
    down = b.reshape(down, shape=(batch, made * rows, height * width))
    across = b.reshape(across, shape=(batch, channels * columns, height * width))
    total = b.sum(b.matmul(down, b.t(across)), axis=0)
    elements = b.reshape(total, shape=(made, rows, channels, columns))
    return b.transpose(elements, perm=(0, 2, 1, 3))


def _shifted(b: Builder, x: Value, ones: np.ndarray, padding: tuple[int, ...]) -> Value:
    """x[batch, c, h, w] in each of the shifts that `ones`, [shifts, rows, columns], has a one for: [batch, c·shifts, …]."""
    channels = x.type.shape[1]
    assert isinstance(channels, int)
    kernel = b.constant(np.tile(ones[:, None], (channels, 1, 1, 1)).astype(np.float32))
    return b.conv(x, kernel, stride=(1, 1), padding=padding, dilation=(1, 1), groups=channels)
