"""Norms and distances. As PyTorch's samples use them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_reductions import axes_of
from .opinfo_use import Adapter, Use, refuse_if, with_axis


def p_norm(b: Builder, x: Value, p: float, axes: Sequence[int] | None, keepdims: bool = False) -> Value:
    """(∑ |x|ᵖ)^(1/p); the number of elements other than 0 for p = 0, the extremes for infinities."""
    options: dict[str, Any] = {"axis": axes, "keepdims": keepdims}
    if p == 1:
        return b.reduce_l1(x, **options)
    if p == 2:
        return b.reduce_l2(x, **options)
    size = b.abs(x)
    if math.isinf(p):
        return b.max(size, **options) if p > 0 else b.min(size, **options)
    if p == 0:
        return b.sum(b.sign(size), **options)
    return b.pow(b.sum(b.pow(size, float(p)), **options), 1 / p)


def _vector_norm(x: torch.Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Use:
    refuse_if(dtype not in (None, x.dtype), "a dtype")
    by_power = ord not in (0, 1, 2, math.inf, -math.inf)
    refuse_if(by_power and not bool(x.any()), "a vector of zeros, where the slope of a power is NaN here, 0 there")
    axes = axes_of(x, dim)
    return Use((x,), lambda b, x: p_norm(b, x, ord, axes, keepdim))


def _matrix_norm(x: torch.Tensor, ord: Any = "fro", dim: Sequence[int] = (-2, -1), keepdim: bool = False) -> Use:
    refuse_if(ord in ("nuc", 2, -2), "singular values")
    rows, columns = (axis % x.dim() for axis in dim)
    summed, chosen = (rows, columns) if ord in (1, -1) else (columns, rows)

    def build(b: Builder, x: Value) -> Value:
        if ord == "fro":
            return b.reduce_l2(x, axis=(rows, columns), keepdims=keepdim)
        sums = b.reduce_l1(x, axis=summed, keepdims=True)
        y = (b.max if ord > 0 else b.min)(sums, axis=chosen, keepdims=True)
        kept = tuple(n for i, n in enumerate(y.type.shape) if keepdim or i not in (rows, columns))
        return b.reshape(y, shape=kept)

    return Use((x,), build)


def _norm(x: torch.Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Use:
    """Of vectors, or of matrices where there are two axes and the order is not that of a vector."""
    if ord is None and dim is None:
        shape = (1,) * x.dim() if keepdim else ()
        return Use((x,), lambda b, x: b.reshape(b.reduce_l2(x), shape=shape))
    axes = list(range(x.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    if len(axes) == 1 or ord is None:
        return _vector_norm(x, 2 if ord is None else ord, axes, keepdim)
    return _matrix_norm(x, ord, axes, keepdim)


def _old_norm(x: torch.Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False) -> Use:
    """`torch.norm`, which takes every number as the order of a vector."""
    refuse_if(p == "nuc", "singular values")
    return _vector_norm(x, 2 if p == "fro" else p, dim, keepdim)


def _distance(x: torch.Tensor, y: torch.Tensor, p: float = 2) -> Use:
    return Use((x, y), lambda b, x, y: p_norm(b, b.sub(x, y), p, None))


def _pair_distance(x: torch.Tensor, y: torch.Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Use:
    return Use((x, y), lambda b, x, y: p_norm(b, b.add(b.sub(x, y), eps), p, (-1,), keepdim))


def _all_distances(x: torch.Tensor, y: torch.Tensor, p: float = 2.0, mode: str = "") -> Use:
    def build(b: Builder, x: Value, y: Value) -> Value:
        *batch, m, d = x.type.shape
        *others, n, _ = y.type.shape
        difference = b.sub(b.reshape(x, shape=(*batch, m, 1, d)), b.reshape(y, shape=(*others, 1, n, d)))
        return p_norm(b, difference, p, (-1,))

    return Use((x, y), build)


def _own_distances(x: torch.Tensor, p: float = 2.0) -> Use:
    first, second = torch.triu_indices(len(x), len(x), 1).numpy()

    def build(b: Builder, x: Value) -> Value:
        return p_norm(b, b.sub(b.gather(x, first), b.gather(x, second)), p, (-1,))

    return Use((x,), build)


def _normalized(x: torch.Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Use:
    return Use((x,), lambda b, x: b.div(x, b.maximum(p_norm(b, x, p, (dim,), True), eps)))


def _renormalized(x: torch.Tensor, p: float, dim: int, largest: float) -> Use:
    axes = [axis for axis in range(x.dim()) if axis != dim % x.dim()]

    def build(b: Builder, x: Value) -> Value:
        size = p_norm(b, x, p, axes, True)
        factor = b.select(b.greater(size, float(largest)), b.div(float(largest), b.add(size, 1e-7)), 1.0)
        return b.mul(x, factor)

    return Use((x,), build)


def _cosine(x: torch.Tensor, y: torch.Tensor, dim: int = 1, eps: float = 1e-8) -> Use:
    return Use((x, y), lambda b, x, y: cosine(b, x, y, dim, eps))


def cosine(b: Builder, x: Value, y: Value, axis: int, eps: float) -> Value:
    """The cosine of the angle between vectors along an axis (of the tensors, broadcast)."""
    shape = torch.broadcast_shapes(x.type.shape, y.type.shape)
    x, y = (b.expand(v, shape=shape) for v in (x, y))
    x, y = (b.div(v, b.maximum(b.reduce_l2(v, axis=axis, keepdims=True), eps)) for v in (x, y))
    return b.sum(b.mul(x, y), axis=axis)


COUNTERPARTS: dict[str, Adapter] = {
    "linalg.vector_norm": _vector_norm,
    "linalg.matrix_norm": _matrix_norm,
    "linalg.norm": _norm,
    "linalg.norm.subgradients_at_zero": _norm,
    "norm": _old_norm,
    "norm.fro": _old_norm,
    "norm.inf": _old_norm,
    "dist": _distance,
    "cdist": _all_distances,
    "nn.functional.pairwise_distance": _pair_distance,
    "nn.functional.pdist": _own_distances,
    "nn.functional.normalize": with_axis(_normalized),
    "nn.functional.cosine_similarity": with_axis(_cosine),
    "renorm": _renormalized,
}
"""By the name of the OpInfo, with its variant after a dot."""
