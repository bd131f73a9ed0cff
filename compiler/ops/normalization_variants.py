"""Normalisations made of other operators: of groups, by root mean square, by neighbouring channels, by a norm.

Most are expanded in inference too: what they expand to takes half as long as ONNX Runtime's kernel for groups, two
thirds for mean and variance, a seventh for neighbouring channels (2²⁰ elements, one core).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value, normal_axes, normal_axis, product
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value


# --- groups of channels --------------------------------------------------------------------------------------------


def _group_shape(x: TensorType, scale: TensorType, shift: TensorType, groups: int, eps: float) -> TensorType:
    channels = x.shape[1]
    if groups < 1 or (isinstance(channels, int) and channels % groups):
        raise bad_value("groups have equally many channels", f"groups that divide {channels}", groups)
    return x


def _group_norm(b: Builder, x: Value, scale: Value, shift: Value, groups: Size, eps: float) -> Value:
    """With one factor for each channel of each sample, so that x is read as often as its statistics need and once."""
    n, channels, *sizes = x.type.shape
    each, places = channels // groups, product(sizes)
    rows = b.reshape(x, shape=(n, groups, each * places))
    centred = b.sub(rows, b.mean(rows, axis=-1, keepdims=True))
    variance = b.mean(b.mul(centred, centred), axis=-1, keepdims=True)
    factor = b.mul(b.div(1.0, b.sqrt(b.add(variance, eps))), b.reshape(scale, shape=(groups, each)))
    planes = b.reshape(centred, shape=(n, channels, places))
    scaled = b.mul(planes, b.reshape(factor, shape=(n, channels, 1)))
    return b.reshape(b.add(scaled, b.reshape(shift, shape=(channels, 1))), shape=x.type.shape)


def _group_norm_numpy(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, groups: int, eps: float) -> np.ndarray:
    rows = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    centred = rows - rows.mean(-1, keepdims=True)
    normal = centred / np.sqrt(np.mean(centred * centred, -1, keepdims=True) + np.asarray(eps, x.dtype))
    shape = (-1, *(1,) * (x.ndim - 2))
    return normal.reshape(x.shape) * scale.reshape(shape) + shift.reshape(shape)


def _group_norm_onnx(e: Emitter, node: Node, x: str, scale: str, shift: str) -> str:
    return _grouped(e, node, (x, scale, shift), node.attributes["groups"])


def _grouped(e: Emitter, node: Node, inputs: tuple[str, str, str], groups: Size) -> str:
    """A group is normalised as if it were one channel; ONNX's own operator takes twice as long."""
    x, scale, shift = inputs
    type_ = node.inputs[0].type
    n, channels, *sizes = type_.shape
    wide = (n, groups, product((channels // groups, *sizes)))
    normal = _normalized(e, e.reshape(x, type_.shape, wide), groups, node.attributes["eps"], numpy_dtype(type_.dtype))
    laid = (channels, *(1,) * len(sizes))
    scale, shift = (e.reshape(values, (channels,), laid) for values in (scale, shift))
    return e.node("Add", e.node("Mul", e.reshape(normal, wide, type_.shape), scale), shift)


def _normalized(e: Emitter, rows: str, groups: Size, eps: float, dtype: np.dtype) -> str:
    """rows[n, groups, elements] with mean 0 and variance 1; ONNX Runtime's kernel for it knows no float64."""
    if dtype != np.float64 and isinstance(groups, int):
        ones, zeros = e.constant(np.ones(groups, dtype)), e.constant(np.zeros(groups, dtype))
        return e.node("InstanceNormalization", rows, ones, zeros, epsilon=eps)
    last = e.constant(np.array([2]))
    centred = e.node("Sub", rows, e.node("ReduceMean", rows, last))
    variance = e.node("ReduceMean", e.node("Mul", centred, centred), last)
    return e.node("Div", centred, e.node("Sqrt", e.node("Add", variance, e.constant(np.array(eps, dtype)))))


def _instance_norm(b: Builder, x: Value, scale: Value, shift: Value, eps: float) -> Value:
    return _group_norm(b, x, scale, shift, x.type.shape[1], eps)


def _instance_norm_numpy(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, eps: float) -> np.ndarray:
    return _group_norm_numpy(x, scale, shift, x.shape[1], eps)


def _instance_norm_onnx(e: Emitter, node: Node, x: str, scale: str, shift: str) -> str:
    type_ = node.inputs[0].type
    if type_.dtype == "f64":
        return _grouped(e, node, (x, scale, shift), type_.shape[1])
    return e.node("InstanceNormalization", x, scale, shift, epsilon=node.attributes["eps"])


# --- root mean square ----------------------------------------------------------------------------------------------


def _rms_norm(b: Builder, x: Value, scale: Value, eps: float) -> Value:
    square = b.mean(b.mul(x, x), axis=-1, keepdims=True)
    return b.mul(b.mul(x, b.div(1.0, b.sqrt(b.add(square, eps)))), scale)


def _rms_norm_numpy(x: np.ndarray, scale: np.ndarray, eps: float) -> np.ndarray:
    return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + np.asarray(eps, x.dtype)) * scale


def _rms_norm_onnx(e: Emitter, node: Node, x: str, scale: str) -> str:
    """The form that ONNX Runtime fuses into one kernel; ONNX's own operator needs operator set 23."""
    dtype = numpy_dtype(node.inputs[0].type.dtype)
    squares = e.node("Pow", x, e.constant(np.array(2, dtype)))
    mean = e.node("ReduceMean", squares, e.constant(np.array([-1])), keepdims=1)
    root = e.node("Sqrt", e.node("Add", mean, e.constant(np.array(node.attributes["eps"], dtype))))
    return e.node("Mul", e.node("Div", x, root), scale)


# --- mean and deviation along axes ---------------------------------------------------------------------------------


def _standard_shape(x: TensorType, axis: tuple[int, ...], eps: float) -> TensorType:
    normal_axes(axis, x.rank)
    return x


def _standardize(b: Builder, x: Value, axis: tuple[int, ...], eps: float) -> Value:
    centred = b.sub(x, b.mean(x, axis=axis, keepdims=True))
    deviation = b.sqrt(b.mean(b.mul(centred, centred), axis=axis, keepdims=True))
    return b.mul(centred, b.div(1.0, b.add(deviation, eps)))


def _standardize_numpy(x: np.ndarray, axis: tuple[int, ...], eps: float) -> np.ndarray:
    deviation = x.std(axis, keepdims=True) + np.asarray(eps, x.dtype)
    return (x - x.mean(axis, keepdims=True)) / deviation


# --- neighbouring channels -----------------------------------------------------------------------------------------


def _response_shape(x: TensorType, size: int, alpha: float, beta: float, k: float) -> TensorType:
    if size < 1:
        raise bad_value("`size` channels are neighbours", "a size of at least 1", size)
    return x


def _response_norm(b: Builder, x: Value, size: int, alpha: float, beta: float, k: float) -> Value:
    n, channels, *sizes = x.type.shape
    planes = b.reshape(b.mul(x, x), shape=(n, 1, channels, product(sizes)))
    pads = ((size - 1) // 2, 0, size // 2, 0)
    means = b.avg_pool(planes, kernel=(size, 1), stride=(1, 1), padding=pads)
    base = b.reshape(b.add(b.mul(means, alpha), k), shape=x.type.shape)
    return b.div(x, _power(b, base, beta))


def _power(b: Builder, base: Value, exponent: float) -> Value:
    """baseᵉ; by roots for the exponent that the paper uses, since a general power takes ten times as long."""
    if exponent != 0.75:
        return b.pow(base, exponent)
    root = b.sqrt(base)
    return b.mul(root, b.sqrt(root))


def _response_norm_numpy(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    before, channels = (size - 1) // 2, x.shape[1]
    spans = [slice(max(0, c - before), c + size // 2 + 1) for c in range(channels)]
    sums = np.stack([(x[:, span] * x[:, span]).sum(1) for span in spans], 1)
    return x / (k + alpha / size * sums) ** np.asarray(beta, x.dtype)


def _torch_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """PyTorch's looks to the other side first where `size` is even."""
    flipped = torch.nn.functional.local_response_norm(x.flip(1), size, alpha, beta, k)
    return flipped.flip(1)


# --- a norm --------------------------------------------------------------------------------------------------------


def _lp_shape(x: TensorType, p: int, axis: int) -> TensorType:
    normal_axis(axis, x.rank)
    if p not in (1, 2):
        raise bad_value("vectors are divided by their sum or their length", "p of 1 or 2", p)
    return x


def _lp_normalize(b: Builder, x: Value, p: int, axis: int) -> Value:
    total = b.sum(b.abs(x) if p == 1 else b.mul(x, x), axis=axis, keepdims=True)
    safe = b.select(b.equal(total, 0.0), 1.0, total)  # before the root, whose slope at 0 is infinite
    return b.div(x, safe if p == 1 else b.sqrt(safe))


def _lp_normalize_numpy(x: np.ndarray, p: int, axis: int) -> np.ndarray:
    norm = np.linalg.norm(x, p, axis, keepdims=True)
    return x / np.where(norm == 0, 1, norm)


# --- PyTorch -------------------------------------------------------------------------------------------------------


def _torch_group_norm(x: Any, scale: Any, shift: Any, groups: int | None = None, eps: float = 1e-5) -> Any:
    return torch.nn.functional.group_norm(x, groups or x.shape[1], scale, shift, eps)


def _torch_rms_norm(x: Any, scale: Any, eps: float = 1e-5) -> Any:
    return torch.nn.functional.rms_norm(x, scale.shape, scale, eps)


def _torch_standardize(x: Any, axis: Any, eps: float = 1e-9) -> Any:
    return (x - x.mean(axis, keepdim=True)) / (x.std(axis, unbiased=False, keepdim=True) + eps)


_DOUBLE = np.sin(np.arange(24.0) ** 2).reshape(2, 4, 3)

OPERATORS: tuple[Op, ...] = (
    Op(
        "group_norm(x: f[n, c, *s], scale: f[c], shift: f[c], groups: int, eps: float = 1e-5) -> f[n, c, *s]",
        doc="(x - mean) / √(variance + eps) · scale + shift, with mean and variance of each group of channels of a "
        "sample (Wu and He 2018).",
        numpy=_group_norm_numpy,
        body=_group_norm,
        onnx=_group_norm_onnx,
        shape=_group_shape,
        samples=(
            S((2, 6, 3, 4), (6,), (6,), groups=2, torch=_torch_group_norm),
            S((3, 4, 5), (4,), (4,), groups=4, eps=0.1, torch=_torch_group_norm),
            S((2, 6), (6,), (6,), groups=3, torch=_torch_group_norm),
            S(_DOUBLE, _DOUBLE[0, :, 0], _DOUBLE[1, :, 0], groups=2, torch=_torch_group_norm),
            Bad((2, 6, 3), (6,), (6,), groups=4, code="bad-value"),
            Bad((2, 6, 3), (5,), (6,), groups=2, code="shape-mismatch"),
        ),
    ),
    Op(
        "instance_norm(x: f[n, c, *s], scale: f[c], shift: f[c], eps: float = 1e-5) -> f[n, c, *s]",
        doc="(x - mean) / √(variance + eps) · scale + shift, with mean and variance of each channel of a sample "
        "(Ulyanov et al. 2016).",
        numpy=_instance_norm_numpy,
        body=_instance_norm,
        onnx=_instance_norm_onnx,
        samples=(
            S((2, 3, 3, 4), (3,), (3,), torch=_torch_group_norm),
            S((3, 2, 5), (2,), (2,), eps=0.1, torch=_torch_group_norm),
            S(_DOUBLE, _DOUBLE[0, :, 0], _DOUBLE[1, :, 0], torch=_torch_group_norm),
            Bad((2, 6, 3), (5,), (6,), code="shape-mismatch"),
        ),
    ),
    Op(
        "rms_norm(x: f[*s, d], scale: f[d], eps: float = 1e-5) -> f[*s, d]",
        doc="x / √(mean of squares + eps) · scale, along the last axis (Zhang and Sennrich 2019).",
        numpy=_rms_norm_numpy,
        body=_rms_norm,
        onnx=_rms_norm_onnx,
        samples=(
            S((2, 3, 8), (8,), torch=_torch_rms_norm),
            S((4, 5), (5,), eps=0.1, torch=_torch_rms_norm),
            Bad((4, 5), (4,), code="shape-mismatch"),
        ),
    ),
    Op(
        "mean_variance_normalize(x: f[*s], axis: ints, eps: float = 1e-9) -> f[*s]",
        doc="(x - mean) / (deviation + eps), with mean and standard deviation along axes. Where x is constant along "
        "them, the slope is not a number, that of the root at 0 being infinite.",
        numpy=_standardize_numpy,
        body=_standardize,
        shape=_standard_shape,
        samples=(
            S((3, 2, 4, 3), axis=(0, 2, 3), torch=_torch_standardize),
            S((4, 5), axis=-1, eps=0.1, torch=_torch_standardize),
            Bad((4, 5), axis=(2,), code="bad-axis"),
        ),
    ),
    Op(
        "local_response_norm(x: f[n, c, *s], size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) "
        "-> f[n, c, *s]",
        doc="x / (k + alpha · mean of squares)ᵇᵉᵗᵃ, the mean over `size` neighbouring channels with zeros beyond the "
        "ends; of an even number, one more lies after the channel than before it (Krizhevsky et al. 2012).",
        numpy=_response_norm_numpy,
        body=_response_norm,
        shape=_response_shape,
        samples=(
            S((2, 7, 3, 4), size=5, alpha=0.5, torch=_torch_response_norm),
            S((2, 5, 3), size=2, alpha=2.0, beta=0.5, k=2.0, torch=_torch_response_norm),
            S((2, 3), size=5, alpha=1.0),
            Bad((2, 3), size=0, code="bad-value"),
        ),
    ),
    Op(
        "lp_normalize(x: f[*s], p: int = 2, axis: int = -1) -> f[*s]",
        doc="x over its p-norm along an axis, p being 1 or 2. Zeros are left as they are, with a slope of 1.",
        numpy=_lp_normalize_numpy,
        body=_lp_normalize,
        shape=_lp_shape,
        samples=(
            S((3, 4), torch=lambda x: torch.nn.functional.normalize(x, dim=-1)),
            S((3, 4, 2), p=1, axis=1, torch=lambda x, p, axis: torch.nn.functional.normalize(x, float(p), axis)),
            S(np.zeros((2, 3), np.float32), differentiable=False),
            Bad((3, 4), p=3, code="bad-value"),
            Bad((3, 4), axis=2, code="bad-axis"),
        ),
    ),
)
