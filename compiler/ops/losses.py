"""Losses of classification as one operator each: what ONNX and PyTorch call by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.types import TensorType

from ..op import Bad, Op, S
from .common import bad_value
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..ir import Value

_LABELS = np.array([2, 0, 1, 2])
_WEIGHTS = np.array([0.5, 2.0, 1.5], np.float32)
_MAP = np.array([[[0, 2], [-1, 1]], [[1, -1], [2, 0]]])


def _of_rows(
    b: Builder, log_p: Value, target: Value, weight: Value | None, ignore_index: int | None, reduction: str
) -> Value:
    """The loss of log-probabilities [*s, c] and targets [*s]."""
    ignored = None if ignore_index is None else b.equal(target, ignore_index)
    index = target if ignored is None else b.select(ignored, 0, target)
    share = _shares(b, ignored, index, weight, log_p.type.dtype)
    loss = b.neg(b.take_along(log_p, index))
    if share is not None:
        loss = b.mul(loss, share)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return b.sum(loss)
    return b.mean(loss) if share is None else b.div(b.sum(loss), b.sum(share))


def _shares(b: Builder, ignored: Value | None, index: Value, weight: Value | None, dtype: str) -> Value | None:
    """What each target counts; None where all count 1."""
    if weight is None:
        return None if ignored is None else b.cast(b.logical_not(ignored), dtype=dtype)
    share = b.gather(weight, index)
    return share if ignored is None else b.select(ignored, b.constant(0.0, dtype), share)


def _classes_last(b: Builder, x: Value) -> Value:
    return b.transpose(x, perm=(0, *range(2, x.type.rank), 1)) if x.type.rank > 2 else x


def _nll(b: Builder, log_p: Value, target: Value, weight: Value | None = None, **attrs: Any) -> Value:
    return _of_rows(b, _classes_last(b, log_p), target, weight, **attrs)


def _cross_entropy(b: Builder, logits: Value, target: Value, weight: Value | None = None, **attrs: Any) -> Value:
    return _of_rows(b, b.log_softmax(_classes_last(b, logits)), target, weight, **attrs)


def _shape(x: TensorType, target: TensorType, *weight: TensorType, ignore_index: int | None, reduction: str) -> Any:
    if reduction not in ("mean", "sum", "none"):
        raise bad_value("no such reduction", '"mean", "sum" or "none"', f'"{reduction}"')
    return TensorType(x.dtype, target.shape if reduction == "none" else ())


def _torch(name: str) -> Any:
    def loss(x: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
        function = getattr(torch.nn.functional, name)
        if weight is None:
            return function(x, target, ignore_index=ignore_index, reduction=reduction)
        share = weight[target] * (target != ignore_index)  # PyTorch itself has no gradient by the weights
        losses = share * function(x, target, ignore_index=ignore_index, reduction="none")
        return losses if reduction == "none" else losses.sum() / share.sum()

    return loss


OPERATORS: tuple[Op, ...] = (
    Op(
        'nll_loss(log_p: f[n, c, *s], target: i[n, *s], ignore_index: int = none, reduction: str = "mean") -> f',
        doc="Minus the log-probability of each target; 0 where the target is `ignore_index`. The mean is over the "
        "others; it is NaN where there are none.",
        body=_nll,
        shape=_shape,
        samples=(
            S((4, 3), _LABELS, torch=_torch("nll_loss")),
            S((4, 3), _LABELS, ignore_index=0, torch=_torch("nll_loss")),
            S((2, 3, 2, 2), _MAP, ignore_index=-1, reduction="none", torch=_torch("nll_loss")),
            S((2, 3, 2, 2), _MAP.astype(np.int32) % 3, reduction="sum"),
            Bad((4, 3), _LABELS, reduction="median", code="bad-value"),
            Bad((4, 3, 2), _LABELS, code="rank-mismatch"),
        ),
    ),
    Op(
        "weighted_nll_loss(log_p: f[n, c, *s], target: i[n, *s], weight: f[c], ignore_index: int = none, "
        'reduction: str = "mean") -> f',
        doc="Minus the log-probability of each target, times the weight of its class; 0 where the target is "
        "`ignore_index`. The mean is the sum over that of the weights.",
        body=_nll,
        shape=_shape,
        samples=(
            S((4, 3), _LABELS, _WEIGHTS, torch=_torch("nll_loss")),
            S((2, 3, 2, 2), _MAP, _WEIGHTS, ignore_index=-1, torch=_torch("nll_loss")),
            S((2, 3, 2, 2), _MAP, _WEIGHTS, ignore_index=-1, reduction="none", torch=_torch("nll_loss")),
            Bad((4, 3), _LABELS, (4,), code="shape-mismatch"),
        ),
    ),
    Op(
        'cross_entropy(logits: f[n, c, *s], target: i[n, *s], ignore_index: int = none, reduction: str = "mean") -> f',
        doc="`nll_loss` of the logarithm of the softmax over the classes.",
        body=_cross_entropy,
        shape=_shape,
        samples=(
            S((4, 3), _LABELS, torch=_torch("cross_entropy")),
            S((4, 3), _LABELS, ignore_index=2, reduction="sum", torch=_torch("cross_entropy")),
            S((2, 3, 2, 2), _MAP, ignore_index=-1, torch=_torch("cross_entropy")),
        ),
    ),
    Op(
        "weighted_cross_entropy(logits: f[n, c, *s], target: i[n, *s], weight: f[c], ignore_index: int = none, "
        'reduction: str = "mean") -> f',
        doc="`weighted_nll_loss` of the logarithm of the softmax over the classes.",
        body=_cross_entropy,
        shape=_shape,
        samples=(
            S((4, 3), _LABELS, _WEIGHTS, torch=_torch("cross_entropy")),
            S((2, 3, 2, 2), _MAP, _WEIGHTS, ignore_index=-1, torch=_torch("cross_entropy")),
        ),
    ),
)
