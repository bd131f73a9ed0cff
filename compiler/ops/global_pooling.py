"""Mean, maximum and norm of all positions of each channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.diagnostics import fail
from netlang.types import TensorType

from ..op import Bad, Op, S
from .common import bad_value
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..ir import Value


def _shape(x: TensorType, p: int = 1) -> TensorType:
    if x.rank < 3:
        raise fail("rank-mismatch", "there are positions after the first two axes", expected="3 axes", found=x)
    if p < 1:
        raise bad_value("the norm of a channel has a power `p`", "p of at least 1", p)
    return TensorType(x.dtype, (*x.shape[:2], *(1,) * (x.rank - 2)))


def _positions(rank: int) -> tuple[int, ...]:
    return tuple(range(2, rank))


def _mean(b: Builder, x: Value) -> Value:
    return b.mean(x, axis=_positions(x.type.rank), keepdims=True)


def _maximum(b: Builder, x: Value) -> Value:
    return b.max(x, axis=_positions(x.type.rank), keepdims=True)


def _norm(b: Builder, x: Value, p: int) -> Value:
    powers = b.abs(x) if p == 1 else b.mul(x, x) if p == 2 else b.pow(b.abs(x), float(p))
    total = b.sum(powers, axis=_positions(x.type.rank), keepdims=True)
    return total if p == 1 else b.sqrt(total) if p == 2 else b.pow(total, 1 / p)


def _norm_numpy(x: np.ndarray, p: int) -> np.ndarray:
    total = np.sum(np.abs(x) ** p, _positions(x.ndim), keepdims=True)
    return total ** np.asarray(1 / p, x.dtype)


def _torch_norm(x: Any, p: int = 2) -> Any:
    return torch.linalg.vector_norm(x.flatten(2), p, -1).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))


OPERATORS: tuple[Op, ...] = (
    Op(
        "global_average_pool(x: f[n, c, *s]) -> f",
        doc="The mean of all positions of each channel; each axis after the first two is left with one (Lin et al. "
        "2013).",
        numpy=lambda x: x.mean(_positions(x.ndim), keepdims=True),
        body=_mean,
        shape=_shape,
        onnx="GlobalAveragePool",
        samples=(
            S((2, 3, 4, 5), torch=lambda x: torch.nn.functional.adaptive_avg_pool2d(x, 1)),
            S((2, 3, 4), torch=lambda x: torch.nn.functional.adaptive_avg_pool1d(x, 1)),
            Bad((2, 3), code="rank-mismatch"),
        ),
    ),
    Op(
        "global_max_pool(x: f[n, c, *s]) -> f",
        doc="The largest element of each channel; each axis after the first two is left with one. Ties share the "
        "gradient equally (Oquab et al. 2015).",
        numpy=lambda x: x.max(_positions(x.ndim), keepdims=True),
        body=_maximum,
        shape=_shape,
        onnx="GlobalMaxPool",
        samples=(
            S((2, 3, 4, 5), torch=lambda x: torch.nn.functional.adaptive_max_pool2d(x, 1)),
            S((2, 3, 4), torch=lambda x: torch.nn.functional.adaptive_max_pool1d(x, 1)),
            Bad((2, 3), code="rank-mismatch"),
        ),
    ),
    Op(
        "global_lp_pool(x: f[n, c, *s], p: int = 2) -> f",
        doc="The p-norm of each channel, (∑ |x|ᵖ)^(1/p); each axis after the first two is left with one. The slope at "
        "zeros is not finite for p > 1.",
        numpy=_norm_numpy,
        body=_norm,
        shape=_shape,
        samples=(
            S((2, 3, 4, 5), torch=_torch_norm),
            S((2, 3, 4), p=1, torch=_torch_norm),
            S((2, 3, 4), p=3, torch=_torch_norm),
            Bad((2, 3, 4), p=0, code="bad-value"),
        ),
    ),
)
