"""Maxima over windows, their positions, and values put back at positions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value, listed, product
from .reference import torch
from .windows import Ints, Sizes, Window, element_axes, onnx_attributes, pooled, pooling_window, window_of

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value


# --- maximum -------------------------------------------------------------------------------------------------------


def _max_pool_shape(x: TensorType, **geometry: Any) -> TensorType:
    return pooled(x, pooling_window(**geometry))


def _max_pool_numpy(x: np.ndarray, **geometry: Any) -> np.ndarray:
    views = pooling_window(**geometry).views(x, -np.inf)
    return views.max(element_axes(views))


def _max_pool_vjp(b: Builder, g: Value, y: Value, x: Value, **geometry: Any) -> tuple[Value]:
    window = pooling_window(**geometry)
    return (_tiled_maximum(b, g, y, x, window) if window.tiles else overlapping_maximum(b, g, y, x, window),)


def _tiled_maximum(b: Builder, g: Value, y: Value, x: Value, window: Window) -> Value:
    """Where windows do not overlap: x is compared with the result spread over it."""
    sizes = tuple(count * step for count, step in zip(y.type.shape[2:], window.stride, strict=True))
    axes = tuple(range(2, x.type.rank))
    covered = b.slice(x, starts=(0,) * len(axes), stops=sizes, axes=axes, steps=(1,) * len(axes))
    taken = b.cast(b.equal(covered, b.upsample_nearest(y, factors=window.kernel)), dtype=g.type.dtype)
    ties = b.avg_pool(taken, kernel=window.kernel, stride=window.stride, padding=window.padding)
    share = b.div(g, b.mul(ties, float(math.prod(window.kernel))))
    put = b.mul(taken, b.upsample_nearest(share, factors=window.kernel))
    missing = (size - found for size, found in zip(x.type.shape[2:], sizes, strict=True))
    return b.pad(put, before=(0,) * x.type.rank, after=(0, 0, *missing))


def overlapping_maximum(b: Builder, g: Value, y: Value, x: Value, window: Window) -> Value:
    """The gradient of y, the largest elements of the windows of x, where windows may overlap: g is that of y."""
    before, after = (0, 0, *window.begin), (0, 0, *window.end)
    wide = b.pad(x, before=before, after=after, value=-math.inf)
    geometry = {"kernel": window.kernel, "stride": window.stride, "dilation": window.dilation}
    windows = b.unfold(wide, **geometry)
    column = (*y.type.shape[:2], 1, *y.type.shape[2:])
    taken = b.cast(b.equal(windows, b.reshape(y, shape=column)), dtype=g.type.dtype)
    share = b.div(b.reshape(g, shape=column), b.sum(taken, axis=2, keepdims=True))
    return b.fold(b.mul(taken, share), size=x.type.shape[2:], padding=window.padding, **geometry)


def _max_pool_onnx(e: Emitter, node: Node, x: str) -> str:
    window, attributes = window_of(node), onnx_attributes(node)
    if window.pads_little:
        return e.node("MaxPool", x, **attributes)
    # Refused by ONNX Runtime, though with dilation no window lies wholly in the padding.
    lowest = np.array(-np.inf, numpy_dtype(node.inputs[0].type.dtype))
    wide = e.node("Pad", x, e.constant(np.array([0, 0, *window.begin, 0, 0, *window.end])), e.constant(lowest))
    attributes["pads"] = (0,) * len(window.padding)
    return e.node("MaxPool", wide, **attributes)


# --- maximum and where it was --------------------------------------------------------------------------------------


def _indexed_shape(x: TensorType, **geometry: Any) -> tuple[TensorType, TensorType]:
    window = pooling_window(**geometry)
    y = pooled(x, window)
    if not window.pads_little:
        raise bad_value("windows with positions reach less far", "padding below the kernel", listed(window.padding))
    return y, TensorType("i64", y.shape)


def _indexed_numpy(x: np.ndarray, **geometry: Any) -> tuple[np.ndarray, np.ndarray]:
    window = pooling_window(**geometry)
    views = window.views(x, -np.inf)
    counts = views.shape[2 : x.ndim]
    flat = views.reshape(*x.shape[:2], *counts, math.prod(window.kernel))
    elements = np.unravel_index(flat.argmax(-1), window.kernel)
    place = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * len(counts))
    for axis, element in enumerate(elements):
        start = np.arange(counts[axis]) * window.stride[axis] - window.begin[axis]
        along = start.reshape(-1, *(1,) * (len(counts) - axis - 1)) + element * window.dilation[axis]
        place = place * x.shape[2 + axis] + along
    return flat.max(-1), place


def _indexed_vjp(
    b: Builder, gs: tuple[Value | None, None], ys: tuple[Value, Value], x: Value, **geometry: Any
) -> tuple[Value]:
    g, index = gs[0], ys[1]
    assert g is not None  # positions have no gradient
    count, total = product(g.type.shape), product(x.type.shape)
    places = b.reshape(index, shape=(count,))
    return (b.reshape(b.scatter_rows(b.reshape(g, shape=(count,)), places, rows=total), shape=x.type.shape),)


def _indexed_onnx(e: Emitter, node: Node, x: str) -> tuple[str, ...]:
    return e.node("MaxPool", x, outputs=2, **onnx_attributes(node))


# --- back to the positions -----------------------------------------------------------------------------------------


def _unpool_shape(x: TensorType, index: TensorType, size: Sizes) -> TensorType:
    if x.rank != len(size) + 2:
        raise bad_value("`size` says how long each axis of the result is", f"{x.rank - 2} sizes", len(size))
    return TensorType(x.dtype, (*x.shape[:2], *size))


def _unpool_body(b: Builder, x: Value, index: Value, size: Sizes) -> Value:
    shape = (*x.type.shape[:2], *size)
    zeros = b.full(shape=(product(shape),), value=0.0, dtype=x.type.dtype)
    places, values = (b.reshape(value, shape=(product(x.type.shape),)) for value in (index, x))
    return b.reshape(b.scatter_elements(zeros, places, values, axis=0), shape=shape)


def _unpool_numpy(x: np.ndarray, index: np.ndarray, size: Ints) -> np.ndarray:
    shape = (*x.shape[:2], *size)
    result = np.zeros(math.prod(shape), x.dtype)
    result[index.ravel()] = x.ravel()
    return result.reshape(shape)


# --- PyTorch -------------------------------------------------------------------------------------------------------


def _torch_max_pool(x: Any, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints | None = None) -> Any:
    return _torch_indexed(x, kernel, stride, padding, dilation)[0]


def _torch_indexed(x: Any, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints | None = None) -> tuple[Any, Any]:
    """Positions as ONNX counts them: in the whole tensor; PyTorch counts in each channel."""
    axes = x.ndim - 2
    pairs = [size for i in reversed(range(axes)) for size in (padding[i], padding[axes + i])]
    wide = torch.nn.functional.pad(x, pairs, value=-math.inf)
    function = (torch.nn.functional.max_pool1d, torch.nn.functional.max_pool2d, torch.nn.functional.max_pool3d)[
        axes - 1
    ]
    y, index = function(wide, kernel, stride, 0, dilation or (1,) * axes, return_indices=True)
    place = torch.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * axes)
    for along, size, before in zip(torch.unravel_index(index, wide.shape[2:]), x.shape[2:], padding, strict=False):
        place = place * size + along - before
    return y, place


def _torch_unpool(x: Any, index: Any, size: Ints) -> Any:
    shape = (*x.shape[:2], *size)
    return torch.zeros(math.prod(shape)).scatter(0, index.reshape(-1), x.reshape(-1)).reshape(shape)


_TILES: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}
_OVERLAP: dict[str, Any] = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1)}
_ODD: dict[str, Any] = {"kernel": (3, 2), "stride": (1, 2), "padding": (0, 1, 2, 0)}
_LINE: dict[str, Any] = {"kernel": (3,), "stride": (3,), "padding": (0, 0)}
_SPARSE: dict[str, Any] = {"kernel": (2, 3), "stride": (1, 2), "padding": (1, 1, 1, 1), "dilation": (3, 2)}
_FAR: dict[str, Any] = _SPARSE | {"padding": (3, 2, 2, 4)}
_SOLID: dict[str, Any] = {
    "kernel": (2, 2, 1),
    "stride": (1, 2, 1),
    "padding": (1, 0, 0, 0, 1, 0),
    "dilation": (1, 1, 1),
}

OPERATORS: tuple[Op, ...] = (
    Op(
        "max_pool(x: f[n, c, *s], kernel: ints, stride: ints, padding: ints, dilation: ints = none) -> f[n, c, *s]",
        doc="The largest element of each window; padding holds -∞. Ties share the gradient equally.",
        numpy=_max_pool_numpy,
        vjp=_max_pool_vjp,
        shape=_max_pool_shape,
        onnx=_max_pool_onnx,
        samples=(
            S((2, 3, 4, 6), **_TILES, torch=_torch_max_pool),
            S((2, 3, 5, 7), **_TILES, torch=_torch_max_pool),
            S((2, 3, 7, 6), **_OVERLAP, torch=_torch_max_pool),
            S((2, 3, 5, 6), **_ODD, torch=_torch_max_pool),
            S((2, 3, 9), **_LINE, torch=_torch_max_pool),
            S((2, 3, 6, 7), **_SPARSE, torch=_torch_max_pool),
            S((2, 1, 5, 6), **_FAR, torch=_torch_max_pool),
            S((2, 3, 3, 4, 2), **_SOLID, torch=_torch_max_pool),
            S((0, 3, 7, 6), **_OVERLAP, torch=_torch_max_pool),
            Bad((2, 3, 1, 4), **_TILES, code="shape-mismatch"),
            Bad((2, 3), **_LINE, code="rank-mismatch"),
            Bad((2, 3, 4), **_TILES, code="bad-value"),
            Bad((2, 3, 4, 4), **_TILES | {"padding": (2, 2, 2, 2)}, code="bad-value"),
            Bad((2, 3, 6, 7), **_SPARSE | {"dilation": (1,)}, code="bad-value"),
        ),
    ),
    Op(
        "max_pool_with_indices(x: f[n, c, *s], kernel: ints, stride: ints, padding: ints, dilation: ints = none) "
        "-> (f[n, c, *s], i64[n, c, *s])",
        doc="The largest element of each window, and where it is in x, counted through the whole tensor. Of several "
        "equal ones, the first is meant and gets the gradient.",
        numpy=_indexed_numpy,
        vjp=_indexed_vjp,
        shape=_indexed_shape,
        onnx=_indexed_onnx,
        samples=(
            S((2, 3, 4, 6), **_TILES, torch=_torch_max_pool),
            S((2, 3, 7, 6), **_OVERLAP, torch=_torch_max_pool),
            S((2, 3, 6, 7), **_SPARSE, torch=_torch_max_pool),
            S((2, 3, 5, 6), **_ODD, torch=_torch_indexed, differentiable=False),
            S((2, 3, 9), **_LINE, torch=_torch_indexed, differentiable=False),
            S((2, 3, 6, 7), **_SPARSE, torch=_torch_indexed, differentiable=False),
            S((2, 3, 3, 4, 2), **_SOLID, torch=_torch_indexed, differentiable=False),
            S(np.ones((1, 2, 4, 4), np.float32), **_OVERLAP, torch=_torch_indexed, differentiable=False),
            Bad((2, 3, 5, 6), **_FAR, code="bad-value"),
            Bad((2, 3), **_LINE, code="rank-mismatch"),
        ),
    ),
    Op(
        "max_unpool(x: f[n, c, *s], index: i64[n, c, *s], size: sizes) -> f[n, c, *size]",
        doc="Zeros with the elements of x at the positions that max_pool_with_indices gave, counted through the whole "
        "result. Elements that share a position must be equal; each gets its gradient (Zeiler and Fergus 2014).",
        numpy=_unpool_numpy,
        body=_unpool_body,
        shape=_unpool_shape,
        samples=(
            S((1, 1, 2, 2), np.array([[[[5, 2], [8, 15]]]]), size=(4, 4), torch=_torch_unpool),
            S((2, 1, 2), np.array([[[3, 2]], [[6, 9]]]), size=(5,), torch=_torch_unpool),
            S(np.ones((1, 1, 3), np.float32), np.array([[[1, 1, 0]]]), size=(3,), differentiable=False),
            Bad((1, 1, 2, 2), np.zeros((1, 1, 2, 2), np.int64), size=(4,), code="bad-value"),
            Bad((1, 1, 2), np.zeros((1, 1, 3), np.int64), size=(4,), code="shape-mismatch"),
        ),
    ),
)
