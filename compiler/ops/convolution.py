"""Convolution, and the two other products that are its gradients: the three are closed under differentiation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.diagnostics import fail
from netlang.dims import Size
from netlang.types import TensorType

from ..op import Bad, Op, S
from .common import bad_value
from .patches import transposed
from .reference import torch
from .weight_gradient import weight_gradient_onnx
from .windows import Ints, Window, whole

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value


# --- shapes --------------------------------------------------------------------------------------------------------


def _conv_shape(x: TensorType, w: TensorType, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> TensorType:
    window = _window(w, stride, padding, dilation, groups)
    _check_axes(x, w)
    return TensorType(x.dtype, (x.shape[0], w.shape[0], *window.results(x.shape[2:])))


def _conv_transpose_shape(
    g: TensorType, w: TensorType, size: tuple[Size, ...], stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> TensorType:
    window = _window(w, stride, padding, dilation, groups)
    _check_axes(g, w)
    if len(size) != w.rank - 2:
        raise bad_value("`size` says how long each axis of the result is", f"{w.rank - 2} sizes", len(size))
    window.expect(size, g.shape[2:])
    return TensorType(g.dtype, (g.shape[0], w.shape[1] * groups, *size))


def _weight_gradient_shape(
    x: TensorType, g: TensorType, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> TensorType:
    channels = x.shape[1] // groups
    w = TensorType(x.dtype, (g.shape[1], channels, *kernel))
    window = _window(w, stride, padding, dilation, groups)
    _check_axes(x, w)
    window.expect(x.shape[2:], g.shape[2:])
    return w


def _window(w: TensorType, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> Window:
    """The window of a convolution with weights `w`, checked."""
    if not all(isinstance(size, int) for size in w.shape):
        raise fail("not-compile-time", "the weights of a convolution need sizes known while compiling", found=w)
    if groups < 1 or w.shape[0] % groups:
        raise bad_value("each group makes as many channels", f"groups that divide {w.shape[0]}", groups)
    window = Window(whole(w.shape[2:]), stride, padding, dilation)
    window.check(w.rank - 2)
    return window


def _check_axes(x: TensorType, w: TensorType) -> None:
    if x.rank != w.rank or x.rank < 3:
        title = "a convolution over n axes needs x of n + 2 axes (batch, channels, …) and weights of as many"
        raise fail("rank-mismatch", title, expected=f"{max(w.rank, 3)} axes", found=x)


# --- NumPy ---------------------------------------------------------------------------------------------------------


def _conv_numpy(x: np.ndarray, w: np.ndarray, stride: Ints, padding: Ints, dilation: Ints, groups: int) -> np.ndarray:
    window = Window(w.shape[2:], stride, padding, dilation)
    columns = _columns(window.views(x), groups)
    results = window.results(x.shape[2:])
    weights = w.reshape(groups, w.shape[0] // groups, math.prod(w.shape[1:]))
    return (weights @ columns).reshape(x.shape[0], w.shape[0], *results)


def _columns(views: np.ndarray, groups: int) -> np.ndarray:
    """`[n, c, *results, *kernel]` as `[n, groups, c/groups * kernel, results]`."""
    n, c = views.shape[:2]
    axes = (views.ndim - 2) // 2
    moved = np.moveaxis(views, range(2 + axes, 2 + 2 * axes), range(2, 2 + axes))
    results, elements = math.prod(views.shape[2 : 2 + axes]), math.prod(views.shape[2 + axes :])
    return moved.reshape(n, groups, c // groups * elements, results)


def _conv_transpose_numpy(
    g: np.ndarray, w: np.ndarray, size: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> np.ndarray:
    window = Window(w.shape[2:], stride, padding, dilation)
    n, axes = g.shape[0], len(size)
    grouped = g.reshape(n, groups, w.shape[0] // groups, math.prod(g.shape[2:]))
    weights = w.reshape(groups, w.shape[0] // groups, math.prod(w.shape[1:]))
    columns = weights.swapaxes(-1, -2) @ grouped
    parts = columns.reshape(n, groups * w.shape[1], *w.shape[2:], *g.shape[2:])
    return window.fill(size, np.moveaxis(parts, range(2, 2 + axes), range(2 + axes, 2 + 2 * axes)))


def _weight_gradient_numpy(
    x: np.ndarray, g: np.ndarray, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, groups: int
) -> np.ndarray:
    window = Window(kernel, stride, padding, dilation)
    columns = _columns(window.views(x), groups)
    grouped = g.reshape(g.shape[0], groups, g.shape[1] // groups, math.prod(g.shape[2:]))
    total = (grouped @ columns.swapaxes(-1, -2)).sum(0)
    return total.reshape(g.shape[1], x.shape[1] // groups, *kernel)


# --- gradients -----------------------------------------------------------------------------------------------------


def _conv_vjp(b: Builder, g: Value, y: Value, x: Value, w: Value, **attrs: Any) -> tuple[Value, Value]:
    return (
        b.conv_transpose(g, w, size=x.type.shape[2:], **attrs),
        b.conv_weight_gradient(x, g, kernel=w.type.shape[2:], **attrs),
    )


def _conv_transpose_vjp(
    b: Builder, h: Value, y: Value, g: Value, w: Value, size: tuple[Size, ...], **attrs: Any
) -> tuple[Value, Value]:
    return b.conv(h, w, **attrs), b.conv_weight_gradient(h, g, kernel=w.type.shape[2:], **attrs)


def _weight_gradient_vjp(
    b: Builder, h: Value, y: Value, x: Value, g: Value, kernel: Ints, **attrs: Any
) -> tuple[Value, Value]:
    return b.conv_transpose(g, h, size=x.type.shape[2:], **attrs), b.conv(x, h, **attrs)


# --- ONNX ----------------------------------------------------------------------------------------------------------


def _onnx_attributes(node: Node) -> dict[str, Any]:
    attributes = node.attributes
    return {
        "strides": attributes["stride"],
        "pads": attributes["padding"],
        "dilations": attributes["dilation"],
        "group": attributes["groups"],
    }


def _conv_onnx(e: Emitter, node: Node, x: str, w: str) -> str:
    return e.node("Conv", x, w, **_onnx_attributes(node))


def _conv_transpose_onnx(e: Emitter, node: Node, g: str, w: str) -> str:
    """ConvTranspose; for 1×1 weights a Conv with swapped channels, which takes 0.6 to 0.9 of its time."""
    attributes = node.attributes
    weights: TensorType = node.inputs[1].type
    window = Window(whole(weights.shape[2:]), attributes["stride"], attributes["padding"], attributes["dilation"])
    if window.is_point and attributes["groups"] == 1:
        return e.node("Conv", g, e.node("Transpose", w, perm=(1, 0, *range(2, weights.rank))))
    return transposed(e, g, w, attributes["size"], window, attributes["groups"])


# --- PyTorch -------------------------------------------------------------------------------------------------------


def _torch_conv(x: Any, w: Any, stride: Ints, padding: Ints, dilation: Ints, groups: int = 1) -> Any:
    axes = x.ndim - 2
    pairs = [size for i in reversed(range(axes)) for size in (padding[i], padding[axes + i])]
    function = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[axes]
    return function(torch.nn.functional.pad(x, pairs), w, None, stride, 0, dilation, groups)


def _torch_conv_transpose(g: Any, w: Any, size: Ints, groups: int = 1, **attrs: Ints) -> Any:
    x = g.new_zeros((g.shape[0], w.shape[1] * groups, *size)).requires_grad_()
    y = _torch_conv(x, w, groups=groups, **attrs)
    return torch.autograd.grad(y, x, g, create_graph=True)[0]


def _torch_weight_gradient(x: Any, g: Any, kernel: Ints, groups: int = 1, **attrs: Ints) -> Any:
    w = x.new_zeros((g.shape[1], x.shape[1] // groups, *kernel)).requires_grad_()
    y = _torch_conv(x, w, groups=groups, **attrs)
    return torch.autograd.grad(y, w, g, create_graph=True)[0]


_PLAIN = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
_SAME = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1)}
_HALF = {"stride": (2, 2), "padding": (1, 1, 1, 1), "dilation": (1, 1)}
_ODD = {"stride": (2, 1), "padding": (0, 2, 1, 0), "dilation": (1, 2)}
_LINE = {"stride": (2,), "padding": (1, 1), "dilation": (1,)}
_SOLID = {"stride": (1, 2, 1), "padding": (1, 0, 0, 0, 1, 0), "dilation": (1, 1, 2)}

OPERATORS: tuple[Op, ...] = (
    Op(
        "conv(x: f[n, g*groups, *s], w: f[o, g, *k], stride: ints, padding: ints, dilation: ints, groups: int = 1) "
        "-> f[n, o, *s]",
        doc="Cross-correlation of x (batch, channels, axes) with weights (channels made, channels read, window). "
        "`padding` lists the zeros before each axis, then those after each. Each of `groups` reads its own channels.",
        numpy=_conv_numpy,
        vjp=_conv_vjp,
        shape=_conv_shape,
        onnx=_conv_onnx,
        samples=(
            S((2, 3, 6, 5), (4, 3, 3, 3), **_SAME, torch=_torch_conv),
            S((2, 3, 7, 7), (4, 3, 3, 3), **_HALF, torch=_torch_conv),
            S((2, 3, 7, 6), (4, 3, 3, 2), **_ODD, torch=_torch_conv),
            S((2, 4, 5, 5), (6, 2, 3, 3), groups=2, **_SAME, torch=_torch_conv),
            S((2, 4, 5, 5), (4, 1, 3, 3), groups=4, **_HALF, torch=_torch_conv),
            S((2, 3, 4, 4), (5, 3, 1, 1), **_PLAIN, torch=_torch_conv),
            S((3, 2, 5, 5), (4, 2, 5, 5), **_PLAIN, torch=_torch_conv),
            S((2, 3, 8), (4, 3, 3), **_LINE, torch=_torch_conv),
            S((2, 2, 4, 5, 6), (3, 2, 2, 2, 2), **_SOLID, torch=_torch_conv),
            S((0, 4, 5, 5), (6, 2, 3, 3), groups=2, **_SAME, torch=_torch_conv),
            Bad((2, 3, 6, 6), (4, 2, 3, 3), **_SAME, code="shape-mismatch"),
            Bad((2, 3, 2, 2), (4, 3, 3, 3), **_PLAIN, code="shape-mismatch"),
            Bad((2, 3, 6), (4, 3, 3, 3), **_SAME, code="rank-mismatch"),
            Bad((2, 4, 6, 6), (3, 2, 3, 3), groups=2, **_SAME, code="bad-value"),
            Bad((2, 3, 6, 6), (4, 3, 3, 3), **_LINE, code="bad-value"),
            Bad((2, 3, 6, 6), (4, 3, 3, 3), **_SAME | {"stride": (0, 1)}, code="bad-value"),
        ),
    ),
    Op(
        "conv_transpose(g: f[n, o, *t], w: f[o, i, *k], size: sizes, stride: ints, padding: ints, dilation: ints, "
        "groups: int = 1) -> f[n, i*groups, *size]",
        doc="The transpose of conv in its first argument: from the gradient of conv(x, w) that of x, of that size.",
        numpy=_conv_transpose_numpy,
        vjp=_conv_transpose_vjp,
        shape=_conv_transpose_shape,
        onnx=_conv_transpose_onnx,
        samples=(
            S((2, 4, 6, 5), (4, 3, 3, 3), size=(6, 5), **_SAME, torch=_torch_conv_transpose),
            S((2, 4, 4, 4), (4, 3, 3, 3), size=(8, 7), **_HALF, torch=_torch_conv_transpose),
            S((2, 4, 3, 6), (4, 3, 3, 2), size=(7, 6), **_ODD, torch=_torch_conv_transpose),
            S((2, 6, 5, 5), (6, 2, 3, 3), size=(5, 5), groups=2, **_SAME, torch=_torch_conv_transpose),
            S((2, 5, 4, 4), (5, 3, 1, 1), size=(4, 4), **_PLAIN, torch=_torch_conv_transpose),
            S((2, 4, 3, 3), (4, 1, 1, 1), size=(3, 3), groups=4, **_PLAIN, torch=_torch_conv_transpose),
            S((2, 4, 4), (4, 3, 3), size=(8,), **_LINE, torch=_torch_conv_transpose),
            S((0, 6, 5, 5), (6, 2, 3, 3), size=(5, 5), groups=2, **_SAME),
            Bad((2, 4, 6, 6), (4, 3, 3, 3), size=(7, 6), **_SAME, code="shape-mismatch"),
            Bad((2, 4, 6, 6), (5, 3, 3, 3), size=(6, 6), **_SAME, code="shape-mismatch"),
            Bad((2, 4, 6, 6), (4, 3, 3, 3), size=(6,), **_SAME, code="bad-value"),
        ),
    ),
    Op(
        "conv_weight_gradient(x: f[n, c*groups, *s], g: f[n, o, *t], kernel: ints, stride: ints, padding: ints, "
        "dilation: ints, groups: int = 1) -> f[o, c, *kernel]",
        doc="The transpose of conv in its second argument: from the gradient of conv(x, w) that of w.",
        numpy=_weight_gradient_numpy,
        vjp=_weight_gradient_vjp,
        shape=_weight_gradient_shape,
        onnx=weight_gradient_onnx,
        samples=(
            S((2, 3, 6, 5), (2, 4, 6, 5), kernel=(3, 3), **_SAME, torch=_torch_weight_gradient),
            S((2, 16, 5, 4), (2, 4, 5, 4), kernel=(3, 3), **_SAME, torch=_torch_weight_gradient),
            S((2, 3, 7, 7), (2, 4, 4, 4), kernel=(3, 3), **_HALF, torch=_torch_weight_gradient),
            S((2, 3, 7, 6), (2, 4, 3, 6), kernel=(3, 2), **_ODD, torch=_torch_weight_gradient),
            S((2, 4, 5, 5), (2, 6, 5, 5), kernel=(3, 3), groups=2, **_SAME, torch=_torch_weight_gradient),
            S((2, 4, 5, 5), (2, 4, 3, 3), kernel=(3, 3), groups=4, **_HALF, torch=_torch_weight_gradient),
            S((2, 3, 4, 4), (2, 5, 4, 4), kernel=(1, 1), **_PLAIN, torch=_torch_weight_gradient),
            S((3, 2, 5, 5), (3, 4, 1, 1), kernel=(5, 5), **_PLAIN, torch=_torch_weight_gradient),
            S((2, 3, 8), (2, 4, 4), kernel=(3,), **_LINE, torch=_torch_weight_gradient),
            S((0, 4, 5, 5), (0, 6, 5, 5), kernel=(3, 3), groups=2, **_SAME),
            Bad((2, 3, 6, 6), (2, 4, 5, 6), kernel=(3, 3), **_SAME, code="shape-mismatch"),
            Bad((2, 3, 6, 6), (3, 4, 6, 6), kernel=(3, 3), **_SAME, code="shape-mismatch"),
            Bad((2, 3, 6, 6), (2, 4, 6, 6), kernel=(3, 3), groups=2, **_SAME, code="shape-mismatch"),
        ),
    ),
)
