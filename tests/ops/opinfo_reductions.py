"""Reductions, and operators along an axis. As PyTorch's samples use them."""

from __future__ import annotations

from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, refuse_if


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
    def adapter(x: torch.Tensor, dim: Any = None, keepdim: bool = False) -> Use:
        refuse_if(dim is not None, "values and positions: PyTorch gives ties to one element, ours share")
        return Use((x,), lambda b, x: getattr(b, name)(x))

    return adapter


def _variance(root: bool = False) -> Adapter:
    def adapter(
        x: torch.Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
    ) -> Use:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        less = correction if correction is not None else 1 if unbiased in (None, True) else 0
        axes = axes_of(x, dim)
        count = torch.Size(x.shape[a] for a in (range(x.dim()) if axes is None else axes)).numel()
        refuse_if(count <= less, "no degrees of freedom")

        def build(b: Builder, x: Value) -> Value:
            centred = b.sub(x, b.mean(x, axis=axes, keepdims=True))
            total = b.sum(b.mul(centred, centred), axis=axes, keepdims=keepdim)
            variance = b.div(total, float(count - less))
            return b.sqrt(variance) if root else variance

        return Use((x,), build)

    return adapter


def _along(name: str, **extra: Any) -> Adapter:
    def adapter(x: torch.Tensor, dim: int, *, dtype: Any = None, _stacklevel: int = 0, **kwargs: Any) -> Use:
        refuse_if(dtype not in (None, x.dtype), "a dtype")
        refuse_if(kwargs, "options")
        refuse_if(not x.dim(), "a scalar has no axis")
        return Use((x,), lambda b, x: getattr(b, name)(x, axis=dim, **extra))

    return adapter


def _softmin(x: torch.Tensor, dim: int, *, dtype: Any = None) -> Use:
    refuse_if(dtype not in (None, x.dtype), "a dtype")
    refuse_if(not x.dim(), "a scalar has no axis")
    return Use((x,), lambda b, x: b.softmax(b.neg(x), axis=dim))


COUNTERPARTS: dict[str, Adapter] = {
    **{name: _reduction(name) for name in ("sum", "mean", "prod", "logsumexp")},
    "amax": _reduction("max"),
    "amin": _reduction("min"),
    "max.reduction_no_dim": _extreme("max"),
    "min.reduction_no_dim": _extreme("min"),
    "var": _variance(),
    "var.unbiased": _variance(),
    "std": _variance(root=True),
    "std.unbiased": _variance(root=True),
    "cumsum": _along("cumsum"),
    "cumprod": _along("cumprod"),
    "softmax": _along("softmax"),
    "log_softmax": _along("log_softmax"),
    "nn.functional.softmin": _softmin,
}
"""By the name of the OpInfo, with its variant after a dot."""
