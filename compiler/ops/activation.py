"""Activation functions: what networks put between their products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value, normal_axis
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

_EDGES = np.array([-30.0, -3.5, -2.0, -1.0, -0.25, 0.25, 1.0, 2.0, 3.5, 30.0], np.float32)
_SELU_ALPHA = 1.6732632423543772
_SELU_GAMMA = 1.0507009873554805

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def sigmoid_numpy(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ˣ), which never overflows."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, np.ones_like(x), small) / (1 + small)


def attributes_onnx(op_type: str, **names: str) -> Any:
    """The lowering to one ONNX node; `names` maps its attributes to those of the operator."""

    def lower(e: Emitter, node: Node, *inputs: str) -> str:
        given = node.attributes
        return e.node(op_type, *inputs, **{theirs: given[ours] for theirs, ours in names.items()})

    return lower


# --- gates: a sigmoid, and what is made of it ----------------------------------------------------------------------


def _gelu_numpy(x: np.ndarray) -> np.ndarray:
    return (0.5 * x * _erfc(-np.asarray(x, np.float64) / math.sqrt(2))).astype(x.dtype)


def _gelu_vjp(b: Builder, g: Value, y: Value, x: Value) -> tuple[Value]:
    scaled = b.mul(x, math.sqrt(0.5))
    distribution = b.add(b.mul(b.erf(scaled), 0.5), 0.5)
    density = b.exp(b.sub(-0.5 * math.log(2 * math.pi), b.mul(scaled, scaled)))  # the factor 1/√2π is in the exponent
    return (b.mul(g, b.add(distribution, b.mul(x, density))),)


def _silu_vjp(b: Builder, g: Value, y: Value, x: Value, alpha: float) -> tuple[Value]:
    """With the sigmoid s, the slope is s + alpha y (1 - s): computed anew, s costs less than what it spares."""
    gate = b.sigmoid(b.mul(x, alpha) if alpha != 1.0 else x)
    rest = b.mul(y, b.sub(1.0, gate))
    return (b.mul(g, b.add(gate, b.mul(rest, alpha) if alpha != 1.0 else rest)),)


def _silu_onnx(e: Emitter, node: Node, x: str) -> str:
    alpha = np.array(node.attributes["alpha"], numpy_dtype(node.inputs[0].type.dtype))
    return e.node("Mul", x, e.node("Sigmoid", x if alpha == 1 else e.node("Mul", x, e.constant(alpha))))


def _gelu_tanh_body(b: Builder, x: Value) -> Value:
    """With (1 + tanh z) / 2 = sigmoid(2 z), two passes fewer than as it is usually written."""
    slope = 2 * math.sqrt(2 / math.pi)
    return b.mul(x, b.sigmoid(b.mul(x, b.add(b.mul(b.mul(x, x), 0.044715 * slope), slope))))


def _gelu_tanh_numpy(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _softplus_numpy(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _softplus_onnx(e: Emitter, node: Node, x: str) -> str:
    """max(x, 0) + log(1 + u) with u = e^-|x|; half of the time of ONNX Runtime's Softplus.

    What rounding took from w = 1 + u comes back to first order: log(1 + u) = log(w) + (u - (w - 1)) / w. Without that,
    the result would lose its digits as x falls.
    """
    one = e.constant(np.ones((), numpy_dtype(node.inputs[0].type.dtype)))
    u = e.node("Exp", e.node("Neg", e.node("Abs", x)))
    w = e.node("Add", u, one)
    lost = e.node("Div", e.node("Sub", u, e.node("Sub", w, one)), w)
    return e.node("Add", e.node("Relu", x), e.node("Add", e.node("Log", w), lost))


# --- pieces of lines and exponentials ------------------------------------------------------------------------------


def _leaky_relu_vjp(b: Builder, g: Value, y: Value, x: Value, slope: float) -> tuple[Value]:
    mask = b.cast(b.greater(x, 0.0), dtype=g.type.dtype)
    return (b.mul(g, b.add(b.mul(mask, 1.0 - slope), slope)),)


def _elu_vjp(b: Builder, g: Value, y: Value, x: Value, alpha: float) -> tuple[Value]:
    """From the output: y + alpha below 0, and 1 above it. (With a negative alpha, y says not which.)"""
    if alpha < 0:
        return (b.mul(g, b.select(b.greater(x, 0.0), 1.0, b.add(y, alpha))),)
    slope = b.add(b.clip(y, high=0.0), alpha)
    if alpha != 1.0:
        slope = b.add(slope, b.mul(b.cast(b.greater(y, 0.0), dtype=g.type.dtype), 1.0 - alpha))
    return (b.mul(g, slope),)


def _celu_shape(x: TensorType, alpha: float) -> TensorType:
    if alpha <= 0:
        raise bad_value("`alpha` is what celu comes down to: -alpha", "a number above 0", alpha)
    return x


def _celu_body(b: Builder, x: Value, alpha: float) -> Value:
    return b.elu(x) if alpha == 1.0 else b.mul(b.elu(b.div(x, alpha)), alpha)


def _celu_numpy(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha)


def _hardsigmoid_vjp(b: Builder, g: Value, y: Value, x: Value, alpha: float, beta: float) -> tuple[Value]:
    """From the output, which is between 0 and 1 where y (1 - y) is above 0."""
    inside = b.greater(b.mul(y, b.sub(1.0, y)), 0.0)
    return (b.mul(g, b.mul(b.cast(inside, dtype=g.type.dtype), alpha)),)


def _shrink_body(b: Builder, x: Value, threshold: float, bias: float) -> Value:
    moved = b.sub(x, b.mul(b.sign(x), bias)) if bias else x
    return b.mul(moved, b.cast(b.greater(b.abs(x), threshold), dtype=x.type.dtype))


def _shrink_shape(x: TensorType, threshold: float, bias: float) -> TensorType:
    if threshold < 0 and bias:
        raise bad_value("`threshold` is a distance from 0 where there is a bias", "0 or more", threshold)
    return x


def _shrink_numpy(x: np.ndarray, threshold: float, bias: float) -> np.ndarray:
    return np.where(x > threshold, x - bias, np.where(x < -threshold, x + bias, np.zeros_like(x)))


def _torch_shrink(x: Any, threshold: float, bias: float) -> Any:
    shrink = torch.nn.functional.softshrink if bias else torch.nn.functional.hardshrink
    return shrink(x, threshold)


# --- the largest ---------------------------------------------------------------------------------------------------


def _hardmax_numpy(x: np.ndarray, axis: int) -> np.ndarray:
    first = np.expand_dims(np.argmax(x, axis), axis)
    positions = np.arange(x.shape[axis]).reshape(-1, *(1,) * (x.ndim - 1 - axis % x.ndim))
    return (positions == first).astype(x.dtype)


def _along(x: TensorType, axis: int) -> TensorType:
    normal_axis(axis, x.rank)
    return x


OPERATORS: tuple[Op, ...] = (
    Op(
        "sigmoid(x: f[*s]) -> f[*s]",
        doc="1 / (1 + e⁻ˣ).",
        numpy=sigmoid_numpy,
        vjp=lambda b, g, y, x: (b.mul(g, b.sub(y, b.mul(y, y))),),
        onnx="Sigmoid",
        samples=(S((2, 3), torch=lambda x: x.sigmoid()), S(_EDGES, torch=lambda x: x.sigmoid())),
    ),
    Op(
        "relu(x: f[*s]) -> f[*s]",
        doc="max(x, 0). The gradient at 0 is 0.",
        numpy=lambda x: np.maximum(x, 0),
        # From the output, so that the input need not be kept.
        vjp=lambda b, g, y, x: (b.mul(g, b.cast(b.greater(y, 0.0), dtype=g.type.dtype)),),
        onnx="Relu",
        samples=(S((2, 3), torch=lambda x: x.relu()), S((2, 1, 4), torch=lambda x: x.relu())),
    ),
    Op(
        "gelu(x: f[*s]) -> f[*s]",
        doc="x Φ(x), with Φ the normal distribution function; exact (Hendrycks and Gimpel 2016).",
        numpy=_gelu_numpy,
        vjp=_gelu_vjp,
        onnx="Gelu",
        since=20,
        samples=(S((2, 3), torch=torch.nn.functional.gelu),),
    ),
    Op(
        "gelu_tanh(x: f[*s]) -> f[*s]",
        doc="x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, the approximation of gelu that GPT-2 and BERT were trained "
        "with (Hendrycks and Gimpel 2016).",
        numpy=_gelu_tanh_numpy,
        body=_gelu_tanh_body,
        samples=(
            S((2, 3), torch=lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
            S(_EDGES, torch=lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
        ),
    ),
    Op(
        "silu(x: f[*s], alpha: float = 1.0) -> f[*s]",
        doc="x sigmoid(alpha x) (Elfwing et al. 2017; swish: Ramachandran et al. 2017).",
        numpy=lambda x, alpha: x * sigmoid_numpy(alpha * x),
        vjp=_silu_vjp,
        onnx=_silu_onnx,
        samples=(
            S((2, 3), torch=torch.nn.functional.silu),
            S(_EDGES, torch=torch.nn.functional.silu),
            S((4,), alpha=1.5, torch=lambda x, alpha: x * (alpha * x).sigmoid()),
        ),
    ),
    Op(
        "swiglu(gate: f[*s], x: f[*s], alpha: float = 1.0) -> f[*s]",
        doc="silu(gate) x: a linear value behind a gate (Shazeer 2020).",
        numpy=lambda gate, x, alpha: gate * sigmoid_numpy(alpha * gate) * x,
        body=lambda b, gate, x, alpha: b.mul(b.silu(gate, alpha=alpha), x),
        samples=(
            S((2, 3), (2, 3), torch=lambda gate, x: torch.nn.functional.silu(gate) * x),
            S((3,), (3,), alpha=0.5, torch=lambda gate, x, alpha: gate * (alpha * gate).sigmoid() * x),
            Bad((2, 3), (3,), code="rank-mismatch"),
        ),
    ),
    Op(
        "softplus(x: f[*s]) -> f[*s]",
        doc="log(1 + eˣ), without overflow (Dugas et al. 2000).",
        numpy=_softplus_numpy,
        vjp=lambda b, g, y, x: (b.mul(g, b.sigmoid(x)),),
        onnx=_softplus_onnx,
        samples=(
            S((2, 3), torch=torch.nn.functional.softplus),
            S(_EDGES * 10, torch=torch.nn.functional.softplus),
        ),
    ),
    Op(
        "mish(x: f[*s]) -> f[*s]",
        doc="x tanh(softplus(x)) (Misra 2019).",
        numpy=lambda x: x * np.tanh(_softplus_numpy(x)),
        body=lambda b, x: b.mul(x, b.tanh(b.softplus(x))),
        samples=(S((2, 3), torch=torch.nn.functional.mish), S(_EDGES, torch=torch.nn.functional.mish)),
    ),
    Op(
        "leaky_relu(x: f[*s], slope: float = 0.01) -> f[*s]",
        doc="x where x > 0, else slope x. The gradient at 0 is the slope (Maas et al. 2013).",
        numpy=lambda x, slope: np.where(x > 0, x, x * np.asarray(slope, x.dtype)),
        vjp=_leaky_relu_vjp,
        onnx=attributes_onnx("LeakyRelu", alpha="slope"),
        samples=(
            S((2, 3), torch=torch.nn.functional.leaky_relu),
            S(_EDGES, slope=-0.5, torch=lambda x, slope: torch.where(x > 0, x, slope * x)),
        ),
    ),
    Op(
        "prelu(x: f[*B], slope: f[*B]) -> f[*B]",
        doc="x where x > 0, else slope x, with a slope that is learned; it broadcasts (He et al. 2015).",
        numpy=lambda x, slope: np.where(x > 0, x, slope * x),
        body=lambda b, x, slope: b.add(b.relu(x), b.mul(b.clip(x, high=0.0), slope)),  # clip has a slope at 0
        samples=(
            S((2, 3), (1,), torch=torch.nn.functional.prelu),
            S((2, 3, 4), (3, 1), torch=lambda x, slope: torch.nn.functional.prelu(x, slope[:, 0])),
            S((3,), (2, 3), torch=lambda x, slope: torch.where(x > 0, x, slope * x)),
            Bad((2, 3), (2,), code="shape-mismatch"),
        ),
    ),
    Op(
        "elu(x: f[*s], alpha: float = 1.0) -> f[*s]",
        doc="x where x > 0, else alpha (eˣ - 1). The gradient at 0 is alpha (Clevert et al. 2015).",
        numpy=lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        vjp=_elu_vjp,
        onnx=attributes_onnx("Elu", alpha="alpha"),
        samples=(
            S((2, 3), torch=torch.nn.functional.elu),
            S(_EDGES, alpha=0.5, torch=torch.nn.functional.elu),
            S(_EDGES, alpha=-0.5),
        ),
    ),
    Op(
        "celu(x: f[*s], alpha: float = 1.0) -> f[*s]",
        doc="max(x, 0) + min(alpha (e^(x/alpha) - 1), 0). The gradient at 0 is 1 (Barron 2017).",
        numpy=_celu_numpy,
        body=_celu_body,
        shape=_celu_shape,
        samples=(
            S((2, 3), torch=torch.nn.functional.celu),
            S(_EDGES, alpha=2.0, torch=torch.nn.functional.celu),
            Bad((2, 3), alpha=0.0, code="bad-value"),
        ),
    ),
    Op(
        f"selu(x: f[*s], alpha: float = {_SELU_ALPHA}, gamma: float = {_SELU_GAMMA}) -> f[*s]",
        doc="gamma elu(x, alpha), which keeps mean and variance (Klambauer et al. 2017).",
        numpy=lambda x, alpha, gamma: gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        body=lambda b, x, alpha, gamma: b.mul(b.elu(x, alpha=alpha), gamma),
        onnx=attributes_onnx("Selu", alpha="alpha", gamma="gamma"),
        samples=(S((2, 3), torch=torch.nn.functional.selu), S(_EDGES, torch=torch.nn.functional.selu)),
    ),
    Op(
        "thresholded_relu(x: f[*s], alpha: float = 1.0) -> f[*s]",
        doc="x where x > alpha, else 0. The gradient at alpha is 0 (Konda et al. 2014).",
        numpy=lambda x, alpha: np.where(x > alpha, x, np.zeros_like(x)),
        body=lambda b, x, alpha: b.select(b.greater(x, alpha), x, 0.0),
        onnx=attributes_onnx("ThresholdedRelu", alpha="alpha"),
        samples=(
            S((2, 3), torch=lambda x: torch.nn.functional.threshold(x, 1.0, 0.0)),
            S(_EDGES, alpha=0.5, torch=lambda x, alpha: torch.nn.functional.threshold(x, alpha, 0.0)),
        ),
    ),
    Op(
        "shrink(x: f[*s], threshold: float = 0.5, bias: float = 0.0) -> f[*s]",
        doc="x moved by `bias` towards 0 where it is farther than `threshold` from 0, else 0: hard shrinkage with bias "
        "0, soft with bias = threshold (Donoho 1995). The gradient at the thresholds is 0.",
        numpy=_shrink_numpy,
        body=_shrink_body,
        shape=_shrink_shape,
        samples=(
            S(_EDGES, threshold=0.75, bias=0.0, torch=_torch_shrink),
            S((2, 3), threshold=0.5, bias=0.5, torch=_torch_shrink),
            S(_EDGES, threshold=0.75, bias=0.2),
            Bad((2, 3), threshold=-0.5, bias=0.1, code="bad-value"),
        ),
    ),
    Op(
        "softsign(x: f[*s]) -> f[*s]",
        doc="x / (1 + |x|) (Bergstra et al. 2009).",
        numpy=lambda x: x / (1 + np.abs(x)),
        body=lambda b, x: b.div(x, b.add(b.abs(x), 1.0)),
        onnx="Softsign",
        samples=(S((2, 3), torch=torch.nn.functional.softsign), S(_EDGES, torch=torch.nn.functional.softsign)),
    ),
    Op(
        "hardsigmoid(x: f[*s], alpha: float = 0.16666666666666666, beta: float = 0.5) -> f[*s]",
        doc="alpha x + beta limited to 0 … 1. The gradient at its ends is 0 (Courbariaux et al. 2015).",
        numpy=lambda x, alpha, beta: np.clip(x * alpha + beta, 0, 1),
        vjp=_hardsigmoid_vjp,
        onnx=attributes_onnx("HardSigmoid", alpha="alpha", beta="beta"),
        samples=(
            S((2, 3), torch=torch.nn.functional.hardsigmoid),
            S(_EDGES, torch=torch.nn.functional.hardsigmoid),
            S(_EDGES, alpha=0.2, beta=0.45, torch=lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1)),
        ),
    ),
    Op(
        "hardswish(x: f[*s]) -> f[*s]",
        doc="x hardsigmoid(x). The gradient at -3 is 0, at 3 it is 1 (Howard et al. 2019).",
        numpy=lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
        body=lambda b, x: b.mul(x, b.hardsigmoid(x)),
        onnx="HardSwish",
        samples=(S((2, 3), torch=torch.nn.functional.hardswish), S(_EDGES, torch=torch.nn.functional.hardswish)),
    ),
    Op(
        "hardmax(x: f[*s], axis: int = -1) -> f[*s]",
        doc="1 at the largest element along an axis, the first of them in a tie, and 0 elsewhere.",
        numpy=_hardmax_numpy,
        nondiff="constant between its steps",
        shape=_along,
        onnx=attributes_onnx("Hardmax", axis="axis"),
        samples=(
            S((2, 5)),
            S((2, 5, 3), axis=1),
            S(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], np.float32)),
            Bad((2, 3), axis=2, code="bad-axis"),
        ),
    ),
)
