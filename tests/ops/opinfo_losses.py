"""Losses. As PyTorch's samples use them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_norms import p_norm
from .opinfo_use import Adapter, Use, given, refuse_if, with_axis

Formula = Callable[..., Value]


def _reduced(b: Builder, errors: Value, reduction: str) -> Value:
    return errors if reduction == "none" else getattr(b, reduction)(errors)


def _loss(formula: Formula, **defaults: Any) -> Adapter:
    """Of tensors alone, and numbers in the options: `formula(b, *tensors, **numbers)` is reduced as they say."""

    def adapter(*tensors: Any, reduction: str = "mean", **options: Any) -> Use:
        unknown = {name for name in options if name not in defaults}
        refuse_if(unknown, f"options {sorted(unknown)}")
        numbers = defaults | options
        return Use(tensors, lambda b, *values: _reduced(b, formula(b, *values, **numbers), reduction))

    return adapter


# --- of classes ----------------------------------------------------------------------------------------------------


def _of_classes(name: str) -> Adapter:
    def adapter(x: torch.Tensor, target: torch.Tensor, weight: Any = None, **kwargs: Any) -> Use:
        kwargs = {"reduction": "mean", "ignore_index": -100} | kwargs
        smoothing = kwargs.pop("label_smoothing", 0.0)
        if target.is_floating_point():
            return _of_distributions(x, target, weight, kwargs["reduction"], smoothing)
        refuse_if(smoothing, "label smoothing")
        if weight is None:
            return Use((x, target), lambda b, x, t: getattr(b, name)(x, t, **kwargs))
        return Use((x, target, weight), lambda b, x, t, w: getattr(b, f"weighted_{name}")(x, t, w, **kwargs))

    return with_axis(adapter, rank=2, positions=(0, 1))


def _of_distributions(x: torch.Tensor, target: torch.Tensor, weight: Any, reduction: str, smoothing: float) -> Use:
    """Cross entropy with probabilities of the classes, on axis 1, as targets; the mean is over the samples."""

    classes = x.shape[1]

    def build(b: Builder, x: Value, target: Value, weight: Value | None = None) -> Value:
        shares = b.add(b.mul(target, 1 - smoothing), smoothing / classes)
        if weight is not None:
            shares = b.mul(shares, b.reshape(weight, shape=(*weight.type.shape, *(1,) * (x.type.rank - 2))))
        errors = b.neg(b.sum(b.mul(shares, b.log_softmax(x, axis=1)), axis=1))
        return _reduced(b, errors, reduction)

    return Use(given(x, target, weight), build)


def _linear_cross_entropy(x: torch.Tensor, linear_weight: torch.Tensor, target: torch.Tensor, *,
                          linear_bias: Any = None, options: Any = None, ignore_index: int | None = None,
                          **kwargs: Any) -> Use:  # fmt: skip
    """Of logits [*batch, classes, *axes], with weights [classes, *axes, columns]."""
    *axes, columns = linear_weight.shape
    logits = torch.empty(*x.shape[:-1], *axes)
    index = -100 if ignore_index is None else ignore_index
    loss = _of_classes("cross_entropy")(logits, target, ignore_index=index, **kwargs)
    count = 2 if linear_bias is None else 3

    def build(b: Builder, *values: Value) -> Value | Sequence[Value]:
        (x, weight, *bias), others = values[:count], values[count:]
        rows = b.reshape(x, shape=(math.prod(x.type.shape[:-1]), columns))
        y = b.matmul(rows, b.t(b.reshape(weight, shape=(math.prod(axes), columns))))
        y = b.reshape(y, shape=tuple(logits.shape))
        return loss.build(b, b.add(y, bias[0]) if bias else y, *others)

    return Use((*given(x, linear_weight, linear_bias), *loss.tensors[1:]), build)


def _multi_margin(x: torch.Tensor, target: torch.Tensor, *, p: int = 1, margin: float = 1.0,
                  weight: torch.Tensor | None = None, reduction: str = "mean") -> Use:  # fmt: skip
    rows = (1, x.numel()) if x.dim() < 2 else tuple(x.shape)

    def build(b: Builder, x: Value, target: Value, weight: Value | None = None) -> Value:
        x, chosen = b.reshape(x, shape=rows), b.reshape(target, shape=(rows[0], 1))
        errors = b.relu(b.add(b.sub(x, b.gather_elements(x, chosen, axis=1)), float(margin)))
        errors = b.mul(errors, errors) if p == 2 else errors
        if weight is not None:
            errors = b.mul(errors, b.gather(weight, chosen))
        others = b.sub(1.0, b.one_hot(b.reshape(chosen, shape=(rows[0],)), classes=rows[1]))
        sums = b.reshape(b.div(b.sum(b.mul(errors, others), axis=1), float(rows[1])), shape=target.type.shape)
        return _reduced(b, sums, reduction)

    return Use(given(x, target, weight), build)


def _multilabel_margin(x: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> Use:
    """Labels come first in a row of targets, up to the first number below 0."""
    classes = max(1, x.shape[-1] if x.dim() else 1)
    rows = x.numel() // classes

    def build(b: Builder, x: Value, target: Value) -> Value:
        y, labels = (b.reshape(v, shape=(rows, classes)) for v in (x, target))
        ended = b.cumsum(b.cast(b.less(labels, 0), dtype="i64"), axis=1)
        used = b.cast(b.equal(ended, 0), dtype="f32")
        safe = b.maximum(labels, 0)
        hits = b.mul(b.one_hot(safe, classes=classes), b.reshape(used, shape=(rows, classes, 1)))
        others = b.reshape(b.sub(1.0, b.max(hits, axis=1)), shape=(rows, 1, classes))
        wanted = b.reshape(b.gather_elements(y, safe, axis=1), shape=(rows, classes, 1))
        errors = b.relu(b.add(b.sub(b.reshape(y, shape=(rows, 1, classes)), wanted), 1.0))
        errors = b.mul(b.mul(errors, others), b.reshape(used, shape=(rows, classes, 1)))
        sums = b.div(b.sum(errors, axis=(1, 2)), float(classes))
        return _reduced(b, b.reshape(sums, shape=x.type.shape[:-1]), reduction)

    return Use((x, target), build)


def _multilabel_soft_margin(x: torch.Tensor, target: torch.Tensor, *, weight: Any = None,
                            reduction: str = "mean") -> Use:  # fmt: skip
    def build(b: Builder, x: Value, target: Value, weight: Value | None = None) -> Value:
        errors = _binary_with_logits(b, x, target)
        errors = errors if weight is None else b.mul(errors, weight)
        return _reduced(b, b.mean(errors, axis=-1), reduction)

    return Use(given(x, target, weight), build)


# --- of two classes ------------------------------------------------------------------------------------------------


def _binary_with_logits(b: Builder, x: Value, target: Value) -> Value:
    return b.sub(b.softplus(x), b.mul(x, target))


def _binary_logits(x: torch.Tensor, target: torch.Tensor, *, weight: Any = None, pos_weight: Any = None,
                   reduction: str = "mean") -> Use:  # fmt: skip
    weighted = weight is not None

    def build(b: Builder, x: Value, target: Value, *weights: Value) -> Value:
        missed = b.softplus(b.neg(x))
        missed = missed if pos_weight is None else b.mul(missed, weights[-1])
        errors = b.add(b.mul(target, missed), b.mul(b.sub(1.0, target), b.softplus(x)))
        return _reduced(b, b.mul(errors, weights[0]) if weighted else errors, reduction)

    return Use(given(x, target, weight, pos_weight), build)


def _binary(x: torch.Tensor, target: torch.Tensor, *, weight: Any = None, reduction: str = "mean") -> Use:
    def build(b: Builder, x: Value, target: Value, weight: Value | None = None) -> Value:
        logs = (b.maximum(b.log(p), -100.0) for p in (x, b.sub(1.0, x)))
        first, second = logs
        errors = b.neg(b.add(b.mul(target, first), b.mul(b.sub(1.0, target), second)))
        return _reduced(b, errors if weight is None else b.mul(errors, weight), reduction)

    return Use(given(x, target, weight), build)


def _hinge_embedding(b: Builder, x: Value, target: Value, margin: float) -> Value:
    zero = b.full(shape=(), value=0.0)
    far = b.select(b.equal(target, 1.0), zero, b.relu(b.sub(margin, x)))
    return b.add(far, b.select(b.equal(target, -1.0), zero, x))


def _soft_margin(b: Builder, x: Value, target: Value) -> Value:
    return b.softplus(b.neg(b.mul(target, x)))


def _cosine_embedding(b: Builder, x: Value, y: Value, target: Value, margin: float) -> Value:
    """PyTorch adds 1e-12 to the squares of the lengths."""
    dots, first, second = (b.sum(b.mul(u, v), axis=-1) for u, v in ((x, y), (x, x), (y, y)))
    size = b.sqrt(b.mul(b.add(first, 1e-12), b.add(second, 1e-12)))
    angle = b.div(dots, size)
    zero = b.full(shape=(), value=0.0)
    near = b.select(b.equal(target, 1.0), b.sub(1.0, angle), zero)
    return b.add(near, b.select(b.equal(target, -1.0), b.relu(b.sub(angle, margin)), zero))


# --- of distances --------------------------------------------------------------------------------------------------


def _absolute(b: Builder, x: Value, y: Value) -> Value:
    return b.abs(b.sub(x, y))


def _squared(b: Builder, x: Value, y: Value) -> Value:
    error = b.sub(x, y)
    return b.mul(error, error)


def _huber(b: Builder, x: Value, y: Value, delta: float) -> Value:
    error = b.abs(b.sub(x, y))
    small = b.mul(b.mul(error, error), 0.5)
    return b.select(b.less(error, delta), small, b.mul(b.sub(error, delta / 2), delta))


def _smooth(b: Builder, x: Value, y: Value, beta: float) -> Value:
    return b.div(_huber(b, x, y, beta), beta) if beta else _absolute(b, x, y)


def _margin_ranking(b: Builder, x: Value, y: Value, target: Value, margin: float) -> Value:
    return b.relu(b.add(b.neg(b.mul(target, b.sub(x, y))), margin))


def _triplet(b: Builder, anchor: Value, positive: Value, negative: Value, margin: float, swap: bool, eps: float,
             p: float, distance_function: Any) -> Value:  # fmt: skip
    def distance(x: Value, y: Value) -> Value:
        return p_norm(b, b.add(b.sub(x, y), eps), p, (-1,))

    near, far = distance(anchor, positive), distance(anchor, negative)
    far = b.minimum(far, distance(positive, negative)) if swap else far
    return b.relu(b.add(b.sub(near, far), margin))


# --- of likelihoods ------------------------------------------------------------------------------------------------


def _divergence(x: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean", log_target: bool = False) -> Use:
    refuse_if(not log_target and bool((target < 0).any()), "targets below 0")
    count = target.shape[0] if target.dim() else 1

    def build(b: Builder, x: Value, target: Value) -> Value:
        log, share = (target, b.exp(target)) if log_target else (b.log(target), target)
        errors = b.mul(share, b.sub(log, x))
        if reduction == "batchmean":
            return b.div(b.sum(errors), float(count))
        return _reduced(b, errors, reduction)

    return Use((x, target), build)


def _poisson(b: Builder, x: Value, target: Value, log_input: bool, full: bool, eps: float) -> Value:
    errors = b.sub(b.exp(x), b.mul(target, x)) if log_input else b.sub(x, b.mul(target, b.log(b.add(x, eps))))
    if not full:
        return errors
    stirling = b.add(b.sub(b.mul(target, b.log(target)), target), b.mul(b.log(b.mul(target, 2 * math.pi)), 0.5))
    return b.add(errors, b.select(b.greater(target, 1.0), stirling, 0.0))


def _gaussian(x: torch.Tensor, target: torch.Tensor, var: Any, *, full: bool = False, eps: float = 1e-6,
              reduction: str = "mean") -> Use:  # fmt: skip
    refuse_if(not isinstance(var, torch.Tensor), "a number as variance")
    shape = var.shape if var.shape == x.shape or var.shape[-1:] == (1,) else (*var.shape, 1)

    def build(b: Builder, x: Value, target: Value, var: Value) -> Value:
        safe = b.stop_gradient(b.sub(b.maximum(var, eps), var))  # the limit does not change the gradient
        spread = b.reshape(b.add(var, safe), shape=shape if x.type.rank else var.type.shape)
        errors = b.mul(b.add(b.log(spread), b.div(_squared(b, x, target), spread)), 0.5)
        return _reduced(b, b.add(errors, 0.5 * math.log(2 * math.pi)) if full else errors, reduction)

    return Use((x, target, var), build)


COUNTERPARTS: dict[str, Adapter] = {
    "nn.functional.linear_cross_entropy": _linear_cross_entropy,
    "nn.functional.linear_cross_entropy.chunked": _linear_cross_entropy,
    "nn.functional.linear_cross_entropy.chunked_none": _linear_cross_entropy,
    "nn.functional.cross_entropy": _of_classes("cross_entropy"),
    "nn.functional.nll_loss": _of_classes("nll_loss"),
    "nn.functional.multi_margin_loss": _multi_margin,
    "nn.functional.multilabel_margin_loss": _multilabel_margin,
    "nn.functional.multilabel_soft_margin_loss": _multilabel_soft_margin,
    "nn.functional.binary_cross_entropy": _binary,
    "nn.functional.binary_cross_entropy_with_logits": _binary_logits,
    "nn.functional.hinge_embedding_loss": _loss(_hinge_embedding, margin=1.0),
    "nn.functional.cosine_embedding_loss": _loss(_cosine_embedding, margin=0.0),
    "nn.functional.soft_margin_loss": _loss(_soft_margin),
    "nn.functional.l1_loss": _loss(_absolute),
    "nn.functional.mse_loss": _loss(_squared),
    "nn.functional.huber_loss": _loss(_huber, delta=1.0),
    "nn.functional.smooth_l1_loss": _loss(_smooth, beta=1.0),
    "nn.functional.margin_ranking_loss": _loss(_margin_ranking, margin=0.0),
    "nn.functional.triplet_margin_loss": _loss(
        _triplet, margin=1.0, swap=False, eps=1e-6, p=2.0, distance_function=None
    ),
    "nn.functional.triplet_margin_with_distance_loss": _loss(
        _triplet, margin=1.0, swap=False, eps=1e-6, p=2.0, distance_function=None
    ),
    "nn.functional.kl_div": _divergence,
    "nn.functional.poisson_nll_loss": _loss(_poisson, log_input=True, full=False, eps=1e-8),
    "nn.functional.gaussian_nll_loss": _gaussian,
}
"""By the name of the OpInfo, with its variant after a dot."""
