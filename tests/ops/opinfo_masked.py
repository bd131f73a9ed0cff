"""Reductions of the elements that a mask leaves (`torch.masked`). As PyTorch's samples use them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_functions import log_sum
from .opinfo_norms import p_norm
from .opinfo_reductions import axes_of
from .opinfo_use import Adapter, Use, refuse_if, with_axis


def _whole(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return torch.ones(x.shape, dtype=torch.bool) if mask is None else mask.broadcast_to(x.shape)


def _counts(x: torch.Tensor, mask: torch.Tensor | None, dim: Any, keepdim: bool) -> torch.Tensor:
    """How many elements each result is made of."""
    axes = axes_of(x, dim)
    return _whole(x, mask).sum(dim=tuple(range(x.dim())) if axes is None else axes, keepdim=keepdim)


def _reduction(name: str, hidden: float) -> Adapter:
    def adapter(x: torch.Tensor, dim: Any = None, *, keepdim: bool = False, mask: torch.Tensor | None = None,
                dtype: Any = None) -> Use:  # fmt: skip
        refuse_if(dtype not in (None, x.dtype), "a dtype")
        axes = axes_of(x, dim)
        counts = _counts(x, mask, dim, keepdim)
        refuse_if(name == "logsumexp" and bool((counts == 0).any()), "a slope at -∞")

        def build(b: Builder, x: Value, mask: Value) -> Value:
            reduce = getattr(b, "sum" if name == "mean" else name)
            y = reduce(b.select(mask, x, hidden), axis=axes, keepdims=keepdim)
            return b.div(y, b.constant(counts.float().numpy())) if name == "mean" else y

        return Use((x, _whole(x, mask)), build)

    return adapter


def _variance(root: bool = False) -> Adapter:
    def adapter(x: torch.Tensor, dim: Any = None, unbiased: Any = None, *, keepdim: bool = False,
                correction: Any = None, mask: torch.Tensor | None = None) -> Use:  # fmt: skip
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        less = correction if correction is not None else 1 if unbiased in (None, True) else 0
        axes = axes_of(x, dim)
        wide, counts = (_counts(x, mask, dim, kept).float() for kept in (True, keepdim))
        refuse_if(bool((counts <= max(less, root)).any()), "no degrees of freedom")

        def build(b: Builder, x: Value, mask: Value) -> Value:
            mean = b.div(b.sum(b.select(mask, x, 0.0), axis=axes, keepdims=True), b.constant(wide.numpy()))
            centred = b.select(mask, b.sub(x, mean), 0.0)
            total = b.sum(b.mul(centred, centred), axis=axes, keepdims=keepdim)
            variance = b.div(total, b.constant((counts - less).numpy()))
            return b.sqrt(variance) if root else variance

        return Use((x, _whole(x, mask)), build)

    return adapter


def _norm(x: torch.Tensor, ord: float, dim: Any = None, *, keepdim: bool = False, mask: Any = None) -> Use:
    axes, hidden = axes_of(x, dim), 0.0 if ord >= 0 else math.inf
    return Use((x, _whole(x, mask)), lambda b, x, m: p_norm(b, b.select(m, x, hidden), ord, axes, keepdim))


def _normalized(x: torch.Tensor, ord: float, dim: int, *, eps: float = 1e-12, mask: Any = None) -> Use:
    hidden = 0.0 if ord >= 0 else math.inf

    def build(b: Builder, x: Value, mask: Value) -> Value:
        size = p_norm(b, b.select(mask, x, hidden), ord, (dim,), True)
        return b.div(b.select(mask, x, 0.0), b.maximum(size, eps))

    return with_axis(lambda x, mask: Use((x, mask), build))(x, _whole(x, mask))


def _along(build: Callable[..., Value], hidden: float, rows: bool = True) -> Adapter:
    """`build(b, x, axis)` of what is shown; for softmax in `rows` that show something."""

    def adapter(x: torch.Tensor, dim: int, *, mask: Any = None) -> Use:
        whole = _whole(x, mask)
        refuse_if(rows and not bool(whole.any(dim=dim).all()), "a row that is hidden throughout, which is NaN")

        def of_vectors(x: torch.Tensor, whole: torch.Tensor) -> Use:
            return Use((x, whole), lambda b, x, m: build(b, b.select(m, x, hidden), dim))

        return with_axis(of_vectors)(x, whole)

    return adapter


def _median(x: torch.Tensor, dim: int, *, keepdim: bool = False, mask: Any = None) -> Use:
    """The lower one of two; what is hidden comes last in the order."""
    refuse_if(not x.dim(), "a scalar has no axis")
    counts = _whole(x, mask).sum(dim=dim, keepdim=True)
    refuse_if(bool((counts == 0).any()), "a row that is hidden throughout, which is NaN")
    places = ((counts - 1) // 2).numpy()
    kept = tuple(x.nanmedian(dim, keepdim).values.shape)

    def build(b: Builder, x: Value, mask: Value) -> Value:
        ordered = b.sort(b.select(mask, x, math.inf), axis=dim)[0]
        return b.reshape(b.gather_elements(ordered, b.constant(places), axis=dim), shape=kept)

    return Use((x, _whole(x, mask)), build)


def _log_add(x: torch.Tensor, y: torch.Tensor, *, input_mask: Any = None, other_mask: Any = None) -> Use:
    def build(b: Builder, x: Value, y: Value, mine: Value, theirs: Value) -> Value:
        both = b.select(theirs, log_sum(b, x, y), x)
        return b.select(mine, both, b.select(theirs, y, -math.inf))

    return Use((x, y, _whole(x, input_mask), _whole(y, other_mask)), build)


COUNTERPARTS: dict[str, Adapter] = {
    "masked.sum": _reduction("sum", 0.0),
    "masked.prod": _reduction("prod", 1.0),
    "masked.mean": _reduction("mean", 0.0),
    "masked.amax": _reduction("max", -math.inf),
    "masked.amin": _reduction("min", math.inf),
    "masked.logsumexp": _reduction("logsumexp", -math.inf),
    "masked.var": _variance(),
    "masked.std": _variance(root=True),
    "masked.norm": _norm,
    "masked.normalize": _normalized,
    "masked.cumsum": _along(lambda b, x, axis: b.cumsum(x, axis=axis), 0.0, rows=False),
    "masked.cumprod": _along(lambda b, x, axis: b.cumprod(x, axis=axis), 1.0, rows=False),
    "masked.softmax": _along(lambda b, x, axis: b.softmax(x, axis=axis), -math.inf),
    "masked.log_softmax": _along(lambda b, x, axis: b.log_softmax(x, axis=axis), -math.inf),
    "masked.softmin": _along(lambda b, x, axis: b.softmax(b.neg(x), axis=axis), math.inf),
    "masked.median": _median,
    "masked.logaddexp": _log_add,
}
"""By the name of the OpInfo, with its variant after a dot."""
