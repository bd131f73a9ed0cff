"""Maxima and means over windows, their transposes, and windows as an axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.diagnostics import fail
from netlang.dims import Size
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value
from .patches import folded, sliced, transposed
from .reference import torch
from .windows import Ints, Window

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

Sizes = tuple[Size, ...]


def _window(kernel: Ints, stride: Ints, padding: Ints | None = None) -> Window:
    return Window(kernel, stride, (0,) * 2 * len(kernel) if padding is None else padding, (1,) * len(kernel))


def _checked(x: TensorType, window: Window) -> Window:
    if x.rank < 3:
        raise fail("rank-mismatch", "windows move over the axes after the first two", expected="3 axes", found=x)
    window.check(x.rank - 2)
    if any(p >= k for p, k in zip(window.padding, (*window.kernel, *window.kernel), strict=True)):
        raise bad_value("a window would lie wholly in the padding", "padding below the kernel", list(window.padding))
    return window


def _pooled(x: TensorType, kernel: Ints, stride: Ints, padding: Ints, include_padding: bool = True) -> TensorType:
    window = _checked(x, _window(kernel, stride, padding))
    return TensorType(x.dtype, (*x.shape[:2], *window.results(x.shape[2:])))


def _element_axes(views: np.ndarray) -> tuple[int, ...]:
    axes = (views.ndim - 2) // 2
    return tuple(range(2 + axes, 2 + 2 * axes))


# --- maximum -------------------------------------------------------------------------------------------------------


def _max_pool_numpy(x: np.ndarray, kernel: Ints, stride: Ints, padding: Ints) -> np.ndarray:
    views = _window(kernel, stride, padding).views(x, -np.inf)
    return views.max(_element_axes(views))


def _max_pool_vjp(b: Builder, g: Value, y: Value, x: Value, kernel: Ints, stride: Ints, padding: Ints) -> tuple[Value]:
    window = _window(kernel, stride, padding)
    return (_tiled_maximum(b, g, y, x, window) if window.tiles else _overlapping_maximum(b, g, y, x, window),)


def _tiled_maximum(b: Builder, g: Value, y: Value, x: Value, window: Window) -> Value:
    """Where windows do not overlap: x is compared with the result spread over it."""
    sizes = tuple(count * step for count, step in zip(y.type.shape[2:], window.stride, strict=True))
    covered = _cropped(b, x, (0,) * len(sizes), sizes)
    taken = b.cast(b.equal(covered, b.upsample_nearest(y, factors=window.kernel)), dtype=g.type.dtype)
    ties = b.avg_pool(taken, kernel=window.kernel, stride=window.stride, padding=window.padding)
    share = b.div(g, b.mul(ties, float(math.prod(window.kernel))))
    spread = b.mul(taken, b.upsample_nearest(share, factors=window.kernel))
    return _widened(b, spread, x.type.shape[2:])


def _overlapping_maximum(b: Builder, g: Value, y: Value, x: Value, window: Window) -> Value:
    before, after = (0, 0, *window.begin), (0, 0, *window.end)
    wide = b.pad(x, before=before, after=after, value=-math.inf)
    windows = b.unfold(wide, kernel=window.kernel, stride=window.stride)
    column = (*y.type.shape[:2], 1, *y.type.shape[2:])
    taken = b.cast(b.equal(windows, b.reshape(y, shape=column)), dtype=g.type.dtype)
    share = b.div(b.reshape(g, shape=column), b.sum(taken, axis=2, keepdims=True))
    parts = b.mul(taken, share)
    spread = b.fold(parts, size=wide.type.shape[2:], kernel=window.kernel, stride=window.stride)
    return _cropped(b, spread, window.begin, x.type.shape[2:])


def _cropped(b: Builder, x: Value, begin: Ints, sizes: Sizes) -> Value:
    """`sizes` elements of the axes after the first two, from `begin` on."""
    stops = tuple(start + size for start, size in zip(begin, sizes, strict=True))
    return b.slice(x, starts=begin, stops=stops, axes=tuple(range(2, x.type.rank)), steps=(1,) * len(begin))


def _widened(b: Builder, x: Value, sizes: Sizes) -> Value:
    """`x` with zeros at the end of the axes after the first two, up to `sizes`."""
    missing = (size - found for size, found in zip(sizes, x.type.shape[2:], strict=True))
    return b.pad(x, before=(0,) * x.type.rank, after=(0, 0, *missing))


def _onnx_attributes(node: Node) -> dict[str, Any]:
    attributes = node.attributes
    return {
        "kernel_shape": attributes["kernel"],
        "strides": attributes["stride"],
        "pads": attributes["padding"],
    }


def _max_pool_onnx(e: Emitter, node: Node, x: str) -> str:
    return e.node("MaxPool", x, **_onnx_attributes(node))


# --- mean ----------------------------------------------------------------------------------------------------------


def _avg_pool_numpy(x: np.ndarray, kernel: Ints, stride: Ints, padding: Ints, include_padding: bool) -> np.ndarray:
    window = _window(kernel, stride, padding)
    views = window.views(x)
    means = views.mean(_element_axes(views))
    return (means if include_padding else means / _coverage(window, x.shape[2:])).astype(x.dtype)


def _coverage(window: Window, sizes: Ints) -> np.ndarray:
    """Which part of each window lies outside the padding, as [1, 1, *results]."""
    views = window.views(np.ones((1, 1, *sizes)))
    return views.mean(_element_axes(views))


def _avg_pool_vjp(
    b: Builder, g: Value, y: Value, x: Value, kernel: Ints, stride: Ints, padding: Ints, include_padding: bool
) -> tuple[Value]:
    sizes = x.type.shape[2:]
    if _window(kernel, stride, padding).tiles:
        share = b.div(g, float(math.prod(kernel)))
        return (_widened(b, b.upsample_nearest(share, factors=kernel), sizes),)
    spread = b.avg_pool_transpose(
        g, size=sizes, kernel=kernel, stride=stride, padding=padding, include_padding=include_padding
    )
    return (spread,)


def _avg_pool_onnx(e: Emitter, node: Node, x: str) -> str:
    include = int(node.attributes["include_padding"])
    return e.node("AveragePool", x, count_include_pad=include, **_onnx_attributes(node))


def _avg_transpose_shape(
    g: TensorType, size: Sizes, kernel: Ints, stride: Ints, padding: Ints, include_padding: bool
) -> TensorType:
    window = _checked(g, _window(kernel, stride, padding))
    return _spread_shape(g, size, window, g.shape[2:])


def _spread_shape(g: TensorType, size: Sizes, window: Window, counts: Sizes) -> TensorType:
    if len(size) != len(window.kernel):
        raise bad_value("`size` says how long each axis of the result is", f"{len(window.kernel)} sizes", len(size))
    window.expect(size, counts)
    return TensorType(g.dtype, (*g.shape[:2], *size))


def _avg_transpose_numpy(
    g: np.ndarray, size: Ints, kernel: Ints, stride: Ints, padding: Ints, include_padding: bool
) -> np.ndarray:
    window = _window(kernel, stride, padding)
    share = (g if include_padding else g / _coverage(window, size)) / math.prod(kernel)
    parts = np.broadcast_to(share.reshape(*g.shape, *(1,) * len(kernel)), (*g.shape, *kernel))
    return window.fill(size, parts.astype(g.dtype))


def _avg_transpose_onnx(e: Emitter, node: Node, g: str) -> str:
    attributes, type_ = node.attributes, node.inputs[0].type
    window = _window(attributes["kernel"], attributes["stride"], attributes["padding"])
    size, dtype = attributes["size"], numpy_dtype(type_.dtype)
    if not attributes["include_padding"] and any(window.padding):
        ones = e.node("Expand", e.constant(np.ones((), dtype)), e.sizes([1, 1, *size]))
        coverage = e.node("AveragePool", ones, count_include_pad=1, **_onnx_attributes(node))
        g = e.node("Div", g, coverage)
    n, c, *counts = type_.shape
    planes = e.reshape(g, type_.shape, (n * c, 1, *counts))
    weights = np.full((1, 1, *window.kernel), 1 / math.prod(window.kernel), dtype)
    return e.reshape(transposed(e, planes, e.constant(weights), size, window), (n * c, 1, *size), (n, c, *size))


def _avg_transpose_vjp(
    b: Builder,
    h: Value,
    y: Value,
    g: Value,
    size: Sizes,
    kernel: Ints,
    stride: Ints,
    padding: Ints,
    include_padding: bool,
) -> tuple[Value]:
    return (b.avg_pool(h, kernel=kernel, stride=stride, padding=padding, include_padding=include_padding),)


# --- nearest neighbours --------------------------------------------------------------------------------------------


def _upsample_shape(x: TensorType, factors: Ints) -> TensorType:
    if x.rank != len(factors) + 2 or x.rank < 3 or any(factor < 1 for factor in factors):
        raise bad_value("`factors` has one for each axis after the first two", f"{x.rank - 2} factors", list(factors))
    sizes = (size * factor for size, factor in zip(x.shape[2:], factors, strict=True))
    return TensorType(x.dtype, (*x.shape[:2], *sizes))


def _upsample_numpy(x: np.ndarray, factors: Ints) -> np.ndarray:
    for axis, factor in enumerate(factors, start=2):
        x = np.repeat(x, factor, axis)
    return x


def _upsample_vjp(b: Builder, g: Value, y: Value, x: Value, factors: Ints) -> tuple[Value]:
    none = (0,) * 2 * len(factors)
    return (b.mul(b.avg_pool(g, kernel=factors, stride=factors, padding=none), float(math.prod(factors))),)


def _upsample_onnx(e: Emitter, node: Node, x: str) -> str:
    scales = e.constant(np.array([1, 1, *node.attributes["factors"]], np.float32))
    return e.node(
        "Resize", x, "", scales,
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip


# --- windows as an axis --------------------------------------------------------------------------------------------


def _unfold_shape(x: TensorType, kernel: Ints, stride: Ints) -> TensorType:
    window = _checked(x, _window(kernel, stride))
    return TensorType(x.dtype, (*x.shape[:2], math.prod(kernel), *window.results(x.shape[2:])))


def _unfold_numpy(x: np.ndarray, kernel: Ints, stride: Ints) -> np.ndarray:
    views = _window(kernel, stride).views(x)
    axes = len(kernel)
    moved = np.moveaxis(views, range(2 + axes, 2 + 2 * axes), range(2, 2 + axes))
    return moved.reshape(*x.shape[:2], -1, *views.shape[2 : 2 + axes])


def _unfold_onnx(e: Emitter, node: Node, x: str) -> str:
    shape = node.inputs[0].type.shape
    window = _window(node.attributes["kernel"], node.attributes["stride"])
    n, c, elements, *counts = node.outputs[0].type.shape
    return e.reshape(sliced(e, x, shape, window), (n * c, elements, *counts), (n, c, elements, *counts))


def _fold_shape(x: TensorType, size: Sizes, kernel: Ints, stride: Ints) -> TensorType:
    window = _window(kernel, stride)
    if x.rank != len(kernel) + 3:
        title = "windows as an axis stand between the channels and the axes"
        raise fail("rank-mismatch", title, expected=f"{len(kernel) + 3} axes", found=x)
    window.check(len(kernel))
    if x.shape[2] != math.prod(kernel):
        raise bad_value("the third axis holds the elements of a window", f"{math.prod(kernel)}", x.shape[2])
    return _spread_shape(x, size, window, x.shape[3:])


def _fold_numpy(x: np.ndarray, size: Ints, kernel: Ints, stride: Ints) -> np.ndarray:
    axes = len(kernel)
    parts = x.reshape(*x.shape[:2], *kernel, *x.shape[3:])
    moved = np.moveaxis(parts, range(2, 2 + axes), range(2 + axes, 2 + 2 * axes))
    return _window(kernel, stride).fill(size, moved)


def _fold_onnx(e: Emitter, node: Node, x: str) -> str:
    n, c, elements, *counts = node.inputs[0].type.shape
    dtype = numpy_dtype(node.inputs[0].type.dtype)
    size = node.attributes["size"]
    window = _window(node.attributes["kernel"], node.attributes["stride"])
    planes = e.reshape(x, (n, c, elements, *counts), (n * c, elements, *counts))
    return e.reshape(folded(e, planes, size, dtype, window), (n * c, 1, *size), (n, c, *size))


# --- PyTorch -------------------------------------------------------------------------------------------------------


def _torch_padding(x: Any, padding: Ints, value: float) -> Any:
    axes = x.ndim - 2
    pairs = [size for i in reversed(range(axes)) for size in (padding[i], padding[axes + i])]
    return torch.nn.functional.pad(x, pairs, value=value)


def _torch_max_pool(x: Any, kernel: Ints, stride: Ints, padding: Ints) -> Any:
    function = {1: torch.nn.functional.max_pool1d, 2: torch.nn.functional.max_pool2d}[x.ndim - 2]
    return function(_torch_padding(x, padding, -math.inf), kernel, stride)


def _torch_avg_pool(x: Any, kernel: Ints, stride: Ints, padding: Ints, include_padding: bool = True) -> Any:
    function = {1: torch.nn.functional.avg_pool1d, 2: torch.nn.functional.avg_pool2d}[x.ndim - 2]
    means = function(_torch_padding(x, padding, 0.0), kernel, stride)
    if include_padding:
        return means
    return means / function(_torch_padding(torch.ones_like(x), padding, 0.0), kernel, stride)


def _torch_avg_transpose(g: Any, size: Ints, **attrs: Any) -> Any:
    x = g.new_zeros((*g.shape[:2], *size)).requires_grad_()
    return torch.autograd.grad(_torch_avg_pool(x, **attrs), x, g, create_graph=True)[0]


def _torch_upsample(x: Any, factors: Ints) -> Any:
    for axis, factor in enumerate(factors, start=2):
        x = x.repeat_interleave(factor, axis)
    return x


def _torch_unfold(x: Any, kernel: Ints, stride: Ints) -> Any:
    counts = [(size - k) // s + 1 for size, k, s in zip(x.shape[2:], kernel, stride, strict=True)]
    return torch.nn.functional.unfold(x, kernel, stride=stride).reshape(*x.shape[:2], -1, *counts)


def _torch_fold(x: Any, size: Ints, kernel: Ints, stride: Ints) -> Any:
    columns = x.reshape(x.shape[0], x.shape[1] * x.shape[2], -1)
    return torch.nn.functional.fold(columns, size, kernel, stride=stride)


_TILES = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}
_OVERLAP = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1)}
_ODD = {"kernel": (3, 2), "stride": (1, 2), "padding": (0, 1, 2, 0)}
_LINE = {"kernel": (3,), "stride": (3,), "padding": (0, 0)}

OPERATORS: tuple[Op, ...] = (
    Op(
        "max_pool(x: f[n, c, *s], kernel: ints, stride: ints, padding: ints) -> f[n, c, *s]",
        doc="The largest element of each window; padding holds -∞. Ties share the gradient equally.",
        numpy=_max_pool_numpy,
        vjp=_max_pool_vjp,
        shape=_pooled,
        onnx=_max_pool_onnx,
        samples=(
            S((2, 3, 4, 6), **_TILES, torch=_torch_max_pool),
            S((2, 3, 5, 7), **_TILES, torch=_torch_max_pool),
            S((2, 3, 7, 6), **_OVERLAP, torch=_torch_max_pool),
            S((2, 3, 5, 6), **_ODD, torch=_torch_max_pool),
            S((2, 3, 9), **_LINE, torch=_torch_max_pool),
            Bad((2, 3, 1, 4), **_TILES, code="shape-mismatch"),
            Bad((2, 3), **_LINE, code="rank-mismatch"),
            Bad((2, 3, 4), **_TILES, code="bad-value"),
            Bad((2, 3, 4, 4), **_TILES | {"padding": (2, 2, 2, 2)}, code="bad-value"),
        ),
    ),
    Op(
        "avg_pool(x: f[n, c, *s], kernel: ints, stride: ints, padding: ints, include_padding: bool = true) "
        "-> f[n, c, *s]",
        doc="The mean of each window; padding holds zeros, which count only where `include_padding`.",
        numpy=_avg_pool_numpy,
        vjp=_avg_pool_vjp,
        shape=_pooled,
        onnx=_avg_pool_onnx,
        samples=(
            S((2, 3, 4, 6), **_TILES, torch=_torch_avg_pool),
            S((2, 3, 5, 7), **_TILES, torch=_torch_avg_pool),
            S((2, 3, 7, 6), **_OVERLAP, torch=_torch_avg_pool),
            S((2, 3, 7, 6), **_OVERLAP, include_padding=False, torch=_torch_avg_pool),
            S((2, 3, 5, 6), **_ODD, include_padding=False, torch=_torch_avg_pool),
            S((2, 3, 9), **_LINE, torch=_torch_avg_pool),
            Bad((2, 3, 1, 4), **_TILES, code="shape-mismatch"),
        ),
    ),
    Op(
        "avg_pool_transpose(g: f[n, c, *t], size: sizes, kernel: ints, stride: ints, padding: ints, "
        "include_padding: bool = true) -> f[n, c, *size]",
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
            Bad((2, 3, 4, 4), size=(7, 6), **_OVERLAP, code="shape-mismatch"),
            Bad((2, 3, 4, 4), size=(7,), **_OVERLAP, code="bad-value"),
        ),
    ),
    Op(
        "upsample_nearest(x: f[n, c, *s], factors: ints) -> f",
        doc="Each element repeated `factors` times along the axes after the first two.",
        numpy=_upsample_numpy,
        vjp=_upsample_vjp,
        shape=_upsample_shape,
        onnx=_upsample_onnx,
        samples=(
            S((2, 3, 2, 3), factors=(2, 3), torch=_torch_upsample),
            S((2, 3, 4), factors=(3,), torch=_torch_upsample),
            Bad((2, 3, 4), factors=(2, 2), code="bad-value"),
        ),
    ),
    Op(
        "unfold(x: f[n, c, *s], kernel: ints, stride: ints) -> f",
        doc="The elements of each window as an axis after the channels: [n, c, elements, windows …].",
        numpy=_unfold_numpy,
        vjp=lambda b, g, y, x, **attrs: (b.fold(g, size=x.type.shape[2:], **attrs),),
        shape=_unfold_shape,
        onnx=_unfold_onnx,
        samples=(
            S((2, 3, 5, 7), kernel=(3, 2), stride=(1, 2), torch=_torch_unfold),
            S((2, 1, 4, 4), kernel=(1, 1), stride=(2, 2), torch=_torch_unfold),
            S((2, 3, 7), kernel=(3,), stride=(2,)),
            Bad((2, 3, 2, 2), kernel=(3, 3), stride=(1, 1), code="shape-mismatch"),
        ),
    ),
    Op(
        "fold(x: f[n, c, e, *t], size: sizes, kernel: ints, stride: ints) -> f[n, c, *size]",
        doc="The transpose of unfold: windows added up at their places in axes of the given size.",
        numpy=_fold_numpy,
        vjp=lambda b, g, y, x, size, **attrs: (b.unfold(g, **attrs),),
        shape=_fold_shape,
        onnx=_fold_onnx,
        samples=(
            S((2, 3, 6, 3, 3), size=(5, 7), kernel=(3, 2), stride=(1, 2), torch=_torch_fold),
            S((2, 3, 3, 3), size=(8,), kernel=(3,), stride=(2,)),
            Bad((2, 3, 6, 3, 3), size=(5, 9), kernel=(3, 2), stride=(1, 2), code="shape-mismatch"),
            Bad((2, 3, 5, 3, 3), size=(5, 7), kernel=(3, 2), stride=(1, 2), code="bad-value"),
            Bad((2, 3, 3), size=(8,), kernel=(3,), stride=(2,), code="rank-mismatch"),
        ),
    ),
)
