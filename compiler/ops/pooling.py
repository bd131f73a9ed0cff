"""Means and norms over windows, and the transpose of the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value
from .patches import transposed
from .reference import torch
from .windows import (
    Ints,
    Sizes,
    Window,
    checked,
    element_axes,
    onnx_attributes,
    pooled,
    pooling_window,
    spread,
    window_of,
)

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value


def _pooled_shape(x: TensorType, include_padding: bool, **geometry: Any) -> TensorType:
    return pooled(x, pooling_window(**geometry))


# --- mean ----------------------------------------------------------------------------------------------------------


def _avg_pool_numpy(x: np.ndarray, include_padding: bool, **geometry: Any) -> np.ndarray:
    window = pooling_window(**geometry)
    views = window.views(x)
    means = views.mean(element_axes(views))
    return (means if include_padding else means / _coverage(window, x.shape[2:])).astype(x.dtype)


def _coverage(window: Window, sizes: Ints) -> np.ndarray:
    """Which part of each window lies outside the padding, as [1, 1, *results]."""
    views = window.views(np.ones((1, 1, *sizes)))
    return views.mean(element_axes(views))


def _avg_pool_vjp(b: Builder, g: Value, y: Value, x: Value, include_padding: bool, **geometry: Any) -> tuple[Value]:
    sizes = x.type.shape[2:]
    window = pooling_window(**geometry)
    if window.tiles:
        share = b.upsample_nearest(b.div(g, float(math.prod(window.kernel))), factors=window.kernel)
        missing = (size - found for size, found in zip(sizes, share.type.shape[2:], strict=True))
        return (b.pad(share, before=(0,) * x.type.rank, after=(0, 0, *missing)),)
    return (b.avg_pool_transpose(g, size=sizes, include_padding=include_padding, **geometry),)


def _avg_pool_onnx(e: Emitter, node: Node, x: str) -> str:
    """AveragePool; a convolution where there is dilation, which that has from operator set 19 on only."""
    window, type_ = window_of(node), node.inputs[0].type
    include, dtype = node.attributes["include_padding"], numpy_dtype(type_.dtype)
    if all(step == 1 for step in window.dilation) and window.pads_little:
        return e.node("AveragePool", x, count_include_pad=int(include), **onnx_attributes(node, dilation=False))
    n, c, *sizes = type_.shape
    means = _convolved_mean(e, e.reshape(x, type_.shape, (n * c, 1, *sizes)), window, dtype)
    if not include and any(window.padding):
        means = e.node("Div", means, _convolved_coverage(e, sizes, window, dtype))
    counts = window.results(sizes)
    return e.reshape(means, (n * c, 1, *counts), (n, c, *counts))


def _convolved_mean(e: Emitter, planes: str, window: Window, dtype: np.dtype) -> str:
    """The means of the windows of planes[_, 1, *sizes], padding counted."""
    weights = e.constant(_weights(window, dtype))
    return e.node("Conv", planes, weights, strides=window.stride, pads=window.padding, dilations=window.dilation)


def _convolved_coverage(e: Emitter, sizes: Sequence[Size], window: Window, dtype: np.dtype) -> str:
    """`_coverage` in ONNX."""
    ones = e.node("Expand", e.constant(np.ones((), dtype)), e.sizes([1, 1, *sizes]))
    return _convolved_mean(e, ones, window, dtype)


def _weights(window: Window, dtype: np.dtype) -> np.ndarray:
    return np.full((1, 1, *window.kernel), 1 / math.prod(window.kernel), dtype)


# --- its transpose -------------------------------------------------------------------------------------------------


def _avg_transpose_shape(g: TensorType, size: Sizes, include_padding: bool, **geometry: Any) -> TensorType:
    window = checked(g, pooling_window(**geometry))
    return spread(g, size, window, g.shape[2:])


def _avg_transpose_numpy(g: np.ndarray, size: Ints, include_padding: bool, **geometry: Any) -> np.ndarray:
    window = pooling_window(**geometry)
    share = (g if include_padding else g / _coverage(window, size)) / math.prod(window.kernel)
    parts = np.broadcast_to(share.reshape(*g.shape, *(1,) * len(size)), (*g.shape, *window.kernel))
    return window.fill(size, parts.astype(g.dtype))


def _avg_transpose_onnx(e: Emitter, node: Node, g: str) -> str:
    type_ = node.inputs[0].type
    window, size, dtype = window_of(node), node.attributes["size"], numpy_dtype(type_.dtype)
    if not node.attributes["include_padding"] and any(window.padding):
        g = e.node("Div", g, _convolved_coverage(e, size, window, dtype))
    n, c, *counts = type_.shape
    planes = e.reshape(g, type_.shape, (n * c, 1, *counts))
    weights = e.constant(_weights(window, dtype))
    return e.reshape(transposed(e, planes, weights, size, window), (n * c, 1, *size), (n, c, *size))


def _avg_transpose_vjp(b: Builder, h: Value, y: Value, g: Value, size: Sizes, **attrs: Any) -> tuple[Value]:
    return (b.avg_pool(h, **attrs),)


# --- norm ----------------------------------------------------------------------------------------------------------
# Expanded even in inference: ONNX Runtime's LpPool takes thirty times as long as the mean of powers.


def _lp_pool_shape(x: TensorType, p: int, **geometry: Any) -> TensorType:
    if p < 1:
        raise bad_value("the norm of a window has a power `p`", "p of at least 1", p)
    return pooled(x, pooling_window(**geometry))


def _lp_pool_numpy(x: np.ndarray, p: int, **geometry: Any) -> np.ndarray:
    views = pooling_window(**geometry).views(np.abs(x) ** p)
    return views.sum(element_axes(views)) ** np.asarray(1 / p, x.dtype)


def _lp_pool_body(b: Builder, x: Value, p: int, **geometry: Any) -> Value:
    powers = b.abs(x) if p == 1 else b.mul(x, x) if p == 2 else b.pow(b.abs(x), float(p))
    totals = b.mul(b.avg_pool(powers, **geometry), float(math.prod(geometry["kernel"])))
    return totals if p == 1 else b.sqrt(totals) if p == 2 else b.pow(totals, 1 / p)


# --- PyTorch -------------------------------------------------------------------------------------------------------


def _torch_avg_pool(
    x: Any, kernel: Ints, stride: Ints, padding: Ints, include_padding: bool = True, dilation: Ints | None = None
) -> Any:
    axes = x.ndim - 2
    means = _torch_means(x, kernel, stride, padding, dilation or (1,) * axes)
    return means if include_padding else means / _torch_means(torch.ones_like(x), kernel, stride, padding, dilation)


def _torch_means(x: Any, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints | None) -> Any:
    """PyTorch's own pooling; a convolution where there is dilation, which that does not have."""
    axes, functions = x.ndim - 2, torch.nn.functional
    pairs = [size for i in reversed(range(axes)) for size in (padding[i], padding[axes + i])]
    wide = functions.pad(x, pairs)
    if not dilation or set(dilation) == {1}:
        return (functions.avg_pool1d, functions.avg_pool2d, functions.avg_pool3d)[axes - 1](wide, kernel, stride)
    weights = torch.full((x.shape[1], 1, *kernel), 1 / math.prod(kernel))
    return functions.conv2d(wide, weights, None, stride, 0, dilation, x.shape[1])


def _torch_avg_transpose(g: Any, size: Ints, **attrs: Any) -> Any:
    x = g.new_zeros((*g.shape[:2], *size)).requires_grad_()
    return torch.autograd.grad(_torch_avg_pool(x, **attrs), x, g, create_graph=True)[0]


def _torch_lp_pool(x: Any, p: int = 2, **geometry: Any) -> Any:
    return (_torch_avg_pool(x.abs() ** p, **geometry) * math.prod(geometry["kernel"])) ** (1 / p)


_TILES: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}
_OVERLAP: dict[str, Any] = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1)}
_ODD: dict[str, Any] = {"kernel": (3, 2), "stride": (1, 2), "padding": (0, 1, 2, 0)}
_LINE: dict[str, Any] = {"kernel": (3,), "stride": (3,), "padding": (0, 0)}
_SPARSE: dict[str, Any] = {"kernel": (2, 3), "stride": (1, 2), "padding": (1, 1, 1, 1), "dilation": (3, 2)}
_FAR: dict[str, Any] = _SPARSE | {"padding": (3, 2, 2, 4)}
_SOLID: dict[str, Any] = {"kernel": (2, 2, 1), "stride": (1, 2, 1), "padding": (1, 0, 0, 0, 1, 0)}

OPERATORS: tuple[Op, ...] = (
    Op(
        "avg_pool(x: f[n, c, *s], kernel: ints, stride: ints, padding: ints, include_padding: bool = true, "
        "dilation: ints = none) -> f[n, c, *s]",
        doc="The mean of each window; padding holds zeros, which count only where `include_padding`.",
        numpy=_avg_pool_numpy,
        vjp=_avg_pool_vjp,
        shape=_pooled_shape,
        onnx=_avg_pool_onnx,
        samples=(
            S((2, 3, 4, 6), **_TILES, torch=_torch_avg_pool),
            S((2, 3, 5, 7), **_TILES, torch=_torch_avg_pool),
            S((2, 3, 7, 6), **_OVERLAP, torch=_torch_avg_pool),
            S((2, 3, 7, 6), **_OVERLAP, include_padding=False, torch=_torch_avg_pool),
            S((2, 3, 5, 6), **_ODD, include_padding=False, torch=_torch_avg_pool),
            S((2, 3, 9), **_LINE, torch=_torch_avg_pool),
            S((2, 3, 6, 7), **_SPARSE, torch=_torch_avg_pool),
            S((2, 3, 5, 6), **_FAR, include_padding=False, torch=_torch_avg_pool),
            S((2, 3, 3, 4, 2), **_SOLID, torch=_torch_avg_pool),
            Bad((2, 3, 1, 4), **_TILES, code="shape-mismatch"),
            Bad((2, 3, 5, 6), **_FAR | {"dilation": (1, 2)}, code="bad-value"),
        ),
    ),
    Op(
        "avg_pool_transpose(g: f[n, c, *t], size: sizes, kernel: ints, stride: ints, padding: ints, "
        "include_padding: bool = true, dilation: ints = none) -> f[n, c, *size]",
        doc="The transpose of avg_pool: from the gradient of its result that of its argument, of the given size.",
        numpy=_avg_transpose_numpy,
        vjp=_avg_transpose_vjp,
        shape=_avg_transpose_shape,
        onnx=_avg_transpose_onnx,
        samples=(
            S((2, 3, 2, 3), size=(5, 6), **_TILES, torch=_torch_avg_transpose),
            S((2, 3, 4, 3), size=(7, 6), **_OVERLAP, torch=_torch_avg_transpose),
            S((2, 3, 4, 3), size=(7, 6), **_OVERLAP, include_padding=False, torch=_torch_avg_transpose),
            S((2, 3, 5, 3), size=(5, 6), **_ODD, torch=_torch_avg_transpose),
            S((2, 3, 7, 4), size=(5, 6), **_FAR, include_padding=False, torch=_torch_avg_transpose),
            Bad((2, 3, 4, 4), size=(7, 6), **_OVERLAP, code="shape-mismatch"),
            Bad((2, 3, 4, 4), size=(7,), **_OVERLAP, code="bad-value"),
        ),
    ),
    Op(
        "lp_pool(x: f[n, c, *s], kernel: ints, stride: ints, padding: ints, p: int = 2, dilation: ints = none) "
        "-> f[n, c, *s]",
        doc="The p-norm of each window, (∑ |x|ᵖ)^(1/p). The slope at a window of zeros is not finite for p > 1.",
        numpy=_lp_pool_numpy,
        body=_lp_pool_body,
        shape=_lp_pool_shape,
        samples=(
            S((2, 3, 4, 6), **_TILES, torch=_torch_lp_pool),
            S((2, 3, 7, 6), **_OVERLAP, p=3, torch=_torch_lp_pool),
            S((2, 3, 5, 6), **_ODD, p=1, torch=_torch_lp_pool),
            S((2, 3, 6, 7), **_SPARSE, torch=_torch_lp_pool),
            S((2, 3, 9), **_LINE, p=4, torch=_torch_lp_pool),
            Bad((2, 3, 9), **_LINE, p=0, code="bad-value"),
        ),
    ),
)
