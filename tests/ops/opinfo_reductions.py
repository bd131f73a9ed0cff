"""Reductions, and operators along an axis. As PyTorch's samples use them."""

from __future__ import annotations

import math
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, refuse_if, with_axis


def axes_of(x: torch.Tensor, dim: Any) -> tuple[int, ...] | None:
    """PyTorch's `dim`: none or empty means all of them."""
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        return None if x.dim() else ()
    return tuple(d for d in ((dim,) if isinstance(dim, int) else dim)) if x.dim() else ()


def _reduction(name: str, **extra: Any) -> Adapter:
    def adapter(x: torch.Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Use:
        refuse_if(dtype not in (None, x.dtype), "a dtype")
        axes = axes_of(x, dim)
        return Use((x,), lambda b, x: getattr(b, name)(x, axis=axes, keepdims=keepdim, **extra))

    return adapter


def _extreme(name: str) -> Adapter:
    """PyTorch gives the gradient to one of several equal elements, ours share it; the samples have none."""

    def adapter(x: torch.Tensor, dim: Any = None, keepdim: bool = False) -> Use:
        axes = axes_of(x, dim)
        return Use((x,), lambda b, x: getattr(b, name)(x, axis=axes, keepdims=keepdim))

    return adapter


def _extremes(x: torch.Tensor, *, dim: Any = None, keepdim: bool = False) -> Use:
    axes = axes_of(x, dim)
    return Use((x,), lambda b, x: [f(x, axis=axes, keepdims=keepdim) for f in (b.min, b.max)])


def _variance(root: bool = False, mean: bool = False) -> Adapter:
    def adapter(
        x: torch.Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
    ) -> Use:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        less = correction if correction is not None else 1 if unbiased in (None, True) else 0
        axes = axes_of(x, dim)
        count = torch.Size(x.shape[a] for a in (range(x.dim()) if axes is None else axes)).numel()
        refuse_if(count <= less, "no degrees of freedom")

        def build(b: Builder, x: Value) -> Value | list[Value]:
            centre = b.mean(x, axis=axes, keepdims=True)
            centred = b.sub(x, centre)
            total = b.sum(b.mul(centred, centred), axis=axes, keepdims=keepdim)
            variance = b.div(total, float(count - less))
            spread = b.sqrt(variance) if root else variance
            return [spread, b.reshape(centre, shape=spread.type.shape)] if mean else spread

        return Use((x,), build)

    return adapter


def _along(name: str, sign: int = 1) -> Adapter:
    def adapter(x: torch.Tensor, dim: int, *, dtype: Any = None, _stacklevel: int = 0) -> Use:
        def build(b: Builder, x: Value) -> Value:
            x = b.cast(x, dtype="f64") if dtype == torch.float64 else x
            return getattr(b, name)(x if sign > 0 else b.neg(x), axis=dim)

        return Use((x,), build)

    return with_axis(adapter)


def _safe_softmax(x: torch.Tensor, dim: int) -> Use:
    """0 in a row that is -∞ throughout."""

    def build(b: Builder, x: Value) -> Value:
        hidden = b.equal(b.max(x, axis=dim, keepdims=True), -math.inf)
        return b.select(hidden, 0.0, b.softmax(b.select(hidden, 0.0, x), axis=dim))

    return Use((x,), build)


def _softmax_gradient(g: torch.Tensor, y: torch.Tensor, dim: int, dtype: Any) -> Use:
    def build(b: Builder, g: Value, y: Value) -> Value:
        product = b.mul(g, y)
        return b.sub(product, b.mul(y, b.sum(product, axis=dim, keepdims=True)))

    return Use((g, y), build)


def _without_nan(name: str) -> Adapter:
    def adapter(x: torch.Tensor, dim: Any = None, keepdim: bool = False) -> Use:
        axes = axes_of(x, dim)

        def build(b: Builder, x: Value) -> Value:
            missing = b.is_nan(x)
            total = b.sum(b.select(missing, 0.0, x), axis=axes, keepdims=keepdim)
            if name == "sum":
                return total
            return b.div(total, b.sum(b.select(missing, 0.0, b.full(shape=(), value=1.0)), axis=axes, keepdims=keepdim))

        return Use((x,), build)

    return adapter


def _sum_to_size(x: torch.Tensor, *shape: Any) -> Use:
    sizes = shape[0] if shape and not isinstance(shape[0], int) else shape
    new = x.dim() - len(sizes)
    axes = [*range(new), *(i + new for i, size in enumerate(sizes) if size != x.shape[i + new])]
    return Use((x,), lambda b, x: b.reshape(b.sum(x, axis=axes), shape=sizes))


COUNTERPARTS: dict[str, Adapter] = {
    **{name: _reduction(name) for name in ("sum", "mean", "prod", "logsumexp")},
    "amax": _reduction("max"),
    "amin": _reduction("min"),
    "max.reduction_no_dim": _extreme("max"),
    "min.reduction_no_dim": _extreme("min"),
    "max.reduction_with_dim": _extreme("max"),
    "min.reduction_with_dim": _extreme("min"),
    "aminmax": _extremes,
    "nansum": _without_nan("sum"),
    "nanmean": _without_nan("mean"),
    "sum_to_size": _sum_to_size,
    **{f"var_mean{variant}": _variance(mean=True) for variant in ("", ".unbiased")},
    **{f"std_mean{variant}": _variance(root=True, mean=True) for variant in ("", ".unbiased")},
    "var": _variance(),
    "var.unbiased": _variance(),
    "std": _variance(root=True),
    "std.unbiased": _variance(root=True),
    "cumsum": _along("cumsum"),
    "cumprod": _along("cumprod"),
    "softmax": _along("softmax"),
    "log_softmax": _along("log_softmax"),
    "softmax.with_dtype": _along("softmax"),
    "log_softmax.with_dtype": _along("log_softmax"),
    "nn.functional.softmin": _along("softmax", -1),
    "nn.functional.softmin.with_dtype": _along("softmax", -1),
    "torch.ops.aten._safe_softmax.default": _safe_softmax,
    "_softmax_backward_data": _softmax_gradient,
}
"""By the name of the OpInfo, with its variant after a dot."""
