"""Softmax, and normalisation by mean and variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.types import TensorType

from ..op import Bad, Op, S
from .common import divided, normal_axis, total
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value


# --- softmax -------------------------------------------------------------------------------------------------------


def _along(x: TensorType, axis: int) -> TensorType:
    normal_axis(axis, x.rank)
    return x


def _softmax_numpy(x: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(x - np.max(x, axis, keepdims=True))
    return powers / np.sum(powers, axis, keepdims=True)


def _log_softmax_numpy(x: np.ndarray, axis: int) -> np.ndarray:
    below = x - np.max(x, axis, keepdims=True)
    return below - np.log(np.sum(np.exp(below), axis, keepdims=True))


def _softmax_vjp(b: Builder, g: Value, y: Value, x: Value, axis: int) -> tuple[Value]:
    share = b.mul(g, y)
    return (b.sub(share, b.mul(y, b.sum(share, axis=axis, keepdims=True))),)


def _log_softmax_vjp(b: Builder, g: Value, y: Value, x: Value, axis: int) -> tuple[Value]:
    return (b.sub(g, b.mul(b.exp(y), b.sum(g, axis=axis, keepdims=True))),)


def _softmax_onnx(e: Emitter, node: Node, x: str) -> str:
    return e.node("Softmax", x, axis=node.attributes["axis"])


def _log_softmax_onnx(e: Emitter, node: Node, x: str) -> str:
    return e.node("LogSoftmax", x, axis=node.attributes["axis"])


# --- layer normalisation -------------------------------------------------------------------------------------------


def _layer_normalize_numpy(
    x: np.ndarray, scale: np.ndarray, shift: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean = x.mean(-1, keepdims=True)
    centred = x - mean
    inverse = 1 / np.sqrt(np.mean(centred * centred, -1, keepdims=True) + np.asarray(eps, x.dtype))
    return centred * inverse * scale + shift, mean, inverse


def _layer_normalize_vjp(
    b: Builder,
    gs: tuple[Value | None, Value | None, Value | None],
    ys: tuple[Value, Value, Value],
    x: Value,
    scale: Value,
    shift: Value,
    eps: float,
) -> tuple[Value, Value | None, Value | None]:
    """With c = x - mean and r the inverse deviation, dx is g r scale + offset + c tilt; offset and tilt are per row.

    Products with a column take the place of row sums of products: they read g r and g r c once and write nothing big.
    """
    g, g_mean, g_inverse = gs
    _, mean, inverse = ys
    count = x.type.shape[-1]
    centred = b.sub(x, mean)
    square = b.mul(inverse, inverse)
    terms: list[Value] = []
    offsets: list[Value] = []
    tilts: list[Value] = []
    g_scale = g_shift = None
    if g is not None:
        steep = b.mul(g, inverse)
        matched = b.mul(steep, centred)
        leading = tuple(range(x.type.rank - 1))
        g_scale, g_shift = b.sum(matched, axis=leading), b.sum(g, axis=leading)
        terms.append(b.mul(steep, scale))
        offsets.append(b.neg(_row_means(b, steep, scale)))
        tilts.append(b.neg(b.mul(square, _row_means(b, matched, scale))))
    if g_mean is not None:
        offsets.append(divided(b, g_mean, count))
    if g_inverse is not None:
        tilts.append(b.neg(divided(b, b.mul(g_inverse, b.mul(square, inverse)), count)))
    terms += offsets
    if tilts:
        terms.append(b.mul(centred, total(b, tilts)))
    return b.expand(total(b, terms), shape=x.type.shape), g_scale, g_shift


def _row_means(b: Builder, x: Value, weights: Value) -> Value:
    """The mean over the last axis of `x` times weights, with that axis kept."""
    count = x.type.shape[-1]
    rows = x if x.type.rank > 1 else b.reshape(x, shape=(1, count))
    column = b.reshape(divided(b, weights, count), shape=(count, 1))
    return b.reshape(b.matmul(rows, column), shape=(*x.type.shape[:-1], 1))


def _layer_normalize_onnx(e: Emitter, node: Node, *inputs: str) -> tuple[str, ...]:
    y, *statistics = e.node("LayerNormalization", *inputs, outputs=3, axis=-1, epsilon=node.attributes["eps"])
    dtype = node.inputs[0].type.dtype
    if dtype != "f32":  # ONNX computes the mean and the inverse deviation in float32
        statistics = [e.node("Cast", value, to=e.onnx_dtype(dtype)) for value in statistics]
    return (y, *statistics)


def _torch_layer_normalize(x: Any, scale: Any, shift: Any, eps: float = 1e-5) -> tuple[Any, ...]:
    y = torch.nn.functional.layer_norm(x, scale.shape, scale, shift, eps)
    return y, x.mean(-1, keepdim=True), (x.var(-1, unbiased=False, keepdim=True) + eps).rsqrt()


# --- batch normalisation -------------------------------------------------------------------------------------------


def _batch_normalize_numpy(
    x: np.ndarray, scale: np.ndarray, shift: np.ndarray, mean: np.ndarray, variance: np.ndarray, eps: float
) -> np.ndarray:
    shape = (-1, *(1,) * (x.ndim - 2))
    factor = scale / np.sqrt(variance + np.asarray(eps, x.dtype))
    return (x - mean.reshape(shape)) * factor.reshape(shape) + shift.reshape(shape)


def _batch_normalize_vjp(
    b: Builder, g: Value, y: Value, x: Value, scale: Value, shift: Value, mean: Value, variance: Value, eps: float
) -> tuple[Value, ...]:
    def spread(values: Value) -> Value:  # one for each channel, against x
        return b.reshape(values, shape=(x.type.shape[1], *(1,) * (x.type.rank - 2)))

    axes = (0, *range(2, x.type.rank))
    inverse = b.div(1.0, b.sqrt(b.add(variance, eps)))
    factor = b.mul(scale, inverse)
    total = b.sum(g, axis=axes)
    matched = b.mul(b.sum(b.mul(g, b.sub(x, spread(mean))), axis=axes), inverse)
    g_variance = b.mul(b.mul(matched, b.mul(factor, inverse)), -0.5)
    return b.mul(g, spread(factor)), matched, total, b.neg(b.mul(total, factor)), g_variance


def _batch_normalize_onnx(e: Emitter, node: Node, *inputs: str) -> str:
    return e.node("BatchNormalization", *inputs, epsilon=node.attributes["eps"])


def _torch_batch_normalize(x: Any, scale: Any, shift: Any, mean: Any, variance: Any, eps: float = 1e-5) -> Any:
    shape = (-1, *(1,) * (x.ndim - 2))
    factor = scale * (variance + eps).rsqrt()
    return (x - mean.reshape(shape)) * factor.reshape(shape) + shift.reshape(shape)


OPERATORS: tuple[Op, ...] = (
    Op(
        "softmax(x: f[*s], axis: int = -1) -> f[*s]",
        doc="eˣ over its sum along an axis.",
        numpy=_softmax_numpy,
        vjp=_softmax_vjp,
        shape=_along,
        onnx=_softmax_onnx,
        samples=(
            S((2, 5), torch=lambda x: x.softmax(-1)),
            S((2, 5, 3), axis=1, torch=torch.softmax),
            S(np.array([[1000.0, 0.0], [-1000.0, 0.0]], np.float32), torch=lambda x: x.softmax(-1)),
            Bad((2, 3), axis=2, code="bad-axis"),
        ),
    ),
    Op(
        "log_softmax(x: f[*s], axis: int = -1) -> f[*s]",
        doc="Logarithm of softmax; exact where softmax would be 0.",
        numpy=_log_softmax_numpy,
        vjp=_log_softmax_vjp,
        shape=_along,
        onnx=_log_softmax_onnx,
        samples=(
            S((2, 5), torch=lambda x: x.log_softmax(-1)),
            S((2, 5, 3), axis=-2, torch=torch.log_softmax),
            S(np.array([[1000.0, 0.0], [-1000.0, 0.0]], np.float32), torch=lambda x: x.log_softmax(-1)),
            Bad((2, 3), axis=-3, code="bad-axis"),
        ),
    ),
    Op(
        "layer_normalize(x: f[*s, d], scale: f[d], shift: f[d], eps: float = 1e-5) -> (f[*s, d], f[*s, 1], f[*s, 1])",
        doc="(x - mean) / √(variance + eps) · scale + shift, with mean and variance of the last axis; then the mean; "
        "then 1 / √(variance + eps) (Ba et al. 2016).",
        numpy=_layer_normalize_numpy,
        vjp=_layer_normalize_vjp,
        onnx=_layer_normalize_onnx,
        samples=(
            S((2, 3, 8), (8,), (8,), torch=_torch_layer_normalize),
            S((4, 5), (5,), (5,), eps=0.1, torch=_torch_layer_normalize),
            S((6,), (6,), (6,), torch=_torch_layer_normalize),
            Bad((4, 5), (4,), (5,), code="shape-mismatch"),
        ),
    ),
    Op(
        "batch_normalize(x: f[n, c, *s], scale: f[c], shift: f[c], mean: f[c], variance: f[c], eps: float = 1e-5) "
        "-> f[n, c, *s]",
        doc="(x - mean) / √(variance + eps) · scale + shift, with the given mean and variance of each channel "
        "(Ioffe and Szegedy 2015).",
        numpy=_batch_normalize_numpy,
        vjp=_batch_normalize_vjp,
        onnx=_batch_normalize_onnx,
        samples=(
            S((2, 3, 4, 5), (3,), (3,), (3,), (3,), torch=_torch_batch_normalize, positive=True),
            S((4, 3), (3,), (3,), (3,), (3,), eps=0.1, torch=_torch_batch_normalize, positive=True),
            S((2, 3, 5), (3,), (3,), (3,), (3,), torch=_torch_batch_normalize, positive=True),
            Bad((2, 3, 4), (4,), (3,), (3,), (3,), code="shape-mismatch"),
        ),
    ),
)
