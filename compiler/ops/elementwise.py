"""Functions of one tensor, element by element."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.types import FLOATS

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

_EDGES = np.array([-2.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.5], np.float32)
_FLAT = "constant between its steps"


_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _sigmoid_numpy(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, np.ones_like(x), small) / (1 + small)


def _gelu_numpy(x: np.ndarray) -> np.ndarray:
    return (0.5 * x * _erfc(-np.asarray(x, np.float64) / math.sqrt(2))).astype(x.dtype)


def _gelu_vjp(b: Builder, g: Value, y: Value, x: Value) -> tuple[Value]:
    scaled = b.mul(x, math.sqrt(0.5))
    distribution = b.add(b.mul(b.erf(scaled), 0.5), 0.5)
    density = b.exp(b.sub(-0.5 * math.log(2 * math.pi), b.mul(scaled, scaled)))  # the factor 1/√2π is in the exponent
    return (b.mul(g, b.add(distribution, b.mul(x, density))),)


def _clip_numpy(x: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    return x if low is None and high is None else np.clip(x, low, high)


def _clip_onnx(e: Emitter, node: Node, x: str) -> str:
    dtype = numpy_dtype(node.inputs[0].type.dtype)
    low, high = node.attributes["low"], node.attributes["high"]
    bounds = ["" if bound is None else e.constant(np.array(bound, dtype)) for bound in (low, high)]
    return e.node("Clip", x, *bounds)


def _cast_vjp(b: Builder, g: Value, y: Value, x: Value, dtype: str) -> tuple[Value | None]:
    return (b.cast(g, dtype=x.type.dtype) if x.type.dtype in FLOATS else None,)


def _cast_onnx(e: Emitter, node: Node, x: str) -> str:
    return e.node("Cast", x, to=e.onnx_dtype(node.attributes["dtype"]))


def _cast_numpy(x: np.ndarray, dtype: str) -> np.ndarray:
    return x.astype(numpy_dtype(dtype))


def _torch_cast(x: Any, dtype: str) -> Any:
    return {"f64": x.double, "f32": x.float, "i32": x.int}[dtype]()


OPERATORS: tuple[Op, ...] = (
    Op(
        "neg(x: n[*s]) -> n[*s]",
        doc="-x.",
        numpy=np.negative,
        vjp=lambda b, g, y, x: (b.neg(g),),
        onnx="Neg",
        samples=(S((2, 3), torch=lambda x: -x), S((), torch=lambda x: -x), S(np.array([3, 0, -2]))),
    ),
    Op(
        "abs(x: n[*s]) -> n[*s]",
        doc="|x|. The gradient at 0 is 0.",
        numpy=np.abs,
        vjp=lambda b, g, y, x: (b.mul(g, b.sign(x)),),
        onnx="Abs",
        samples=(S((2, 3), torch=lambda x: x.abs()), S(np.array([3, 0, -2]))),
    ),
    Op(
        "sign(x: n[*s]) -> n[*s]",
        doc="-1, 0 or 1.",
        numpy=np.sign,
        nondiff=_FLAT,
        onnx="Sign",
        samples=(S(_EDGES, torch=lambda x: x.sign()),),
    ),
    Op(
        "exp(x: f[*s]) -> f[*s]",
        doc="eˣ.",
        numpy=np.exp,
        vjp=lambda b, g, y, x: (b.mul(g, y),),
        onnx="Exp",
        samples=(S((2, 3), torch=lambda x: x.exp()), Bad(np.array([1, 2]), code="type-mismatch")),
    ),
    Op(
        "log(x: f[*s]) -> f[*s]",
        doc="Natural logarithm; -inf at 0, NaN below.",
        numpy=np.log,
        vjp=lambda b, g, y, x: (b.div(g, x),),
        onnx="Log",
        samples=(S((2, 3), torch=lambda x: x.log(), positive=True),),
    ),
    Op(
        "sqrt(x: f[*s]) -> f[*s]",
        doc="Square root; NaN below 0. The gradient at 0 is infinite.",
        numpy=np.sqrt,
        vjp=lambda b, g, y, x: (b.div(g, b.mul(y, 2.0)),),
        onnx="Sqrt",
        samples=(S((2, 3), torch=lambda x: x.sqrt(), positive=True),),
    ),
    Op(
        "sin(x: f[*s]) -> f[*s]",
        doc="Sine of an angle in radians.",
        numpy=np.sin,
        vjp=lambda b, g, y, x: (b.mul(g, b.cos(x)),),
        onnx="Sin",
        samples=(S((2, 3), torch=lambda x: x.sin()),),
    ),
    Op(
        "cos(x: f[*s]) -> f[*s]",
        doc="Cosine of an angle in radians.",
        numpy=np.cos,
        vjp=lambda b, g, y, x: (b.neg(b.mul(g, b.sin(x))),),
        onnx="Cos",
        samples=(S((2, 3), torch=lambda x: x.cos()),),
    ),
    Op(
        "tanh(x: f[*s]) -> f[*s]",
        doc="Hyperbolic tangent.",
        numpy=np.tanh,
        vjp=lambda b, g, y, x: (b.mul(g, b.sub(1.0, b.mul(y, y))),),
        onnx="Tanh",
        samples=(S((2, 3), torch=lambda x: x.tanh()),),
    ),
    Op(
        "sigmoid(x: f[*s]) -> f[*s]",
        doc="1 / (1 + e⁻ˣ).",
        numpy=_sigmoid_numpy,
        vjp=lambda b, g, y, x: (b.mul(g, b.sub(y, b.mul(y, y))),),
        onnx="Sigmoid",
        samples=(S((2, 3), torch=lambda x: x.sigmoid()), S(_EDGES * 10, torch=lambda x: x.sigmoid())),
    ),
    Op(
        "erf(x: f[*s]) -> f[*s]",
        doc="Error function, 2/√π ∫₀ˣ e^(-t²) dt.",
        numpy=lambda x: _erf(x).astype(x.dtype),
        # The factor 2/√π is in the exponent: one pass less.
        vjp=lambda b, g, y, x: (b.mul(g, b.exp(b.sub(math.log(2 / math.sqrt(math.pi)), b.mul(x, x)))),),
        onnx="Erf",
        samples=(S((2, 3), torch=lambda x: x.erf()),),
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
        "floor(x: f[*s]) -> f[*s]",
        doc="The largest whole number that is not above x.",
        numpy=np.floor,
        nondiff=_FLAT,
        onnx="Floor",
        samples=(S(_EDGES, torch=lambda x: x.floor()),),
    ),
    Op(
        "ceil(x: f[*s]) -> f[*s]",
        doc="The smallest whole number that is not below x.",
        numpy=np.ceil,
        nondiff=_FLAT,
        onnx="Ceil",
        samples=(S(_EDGES, torch=lambda x: x.ceil()),),
    ),
    Op(
        "round(x: f[*s]) -> f[*s]",
        doc="The nearest whole number; halves go to the even one.",
        numpy=np.round,
        nondiff=_FLAT,
        onnx="Round",
        samples=(S(_EDGES, torch=lambda x: x.round()),),
    ),
    Op(
        "is_nan(x: f[*s]) -> bool[*s]",
        doc="Whether x is not a number.",
        numpy=np.isnan,
        nondiff="the result is a truth value",
        onnx="IsNaN",
        samples=(S(np.array([0.0, np.nan, np.inf], np.float32), torch=lambda x: x.isnan()),),
    ),
    Op(
        "clip(x: f[*s], low: float = none, high: float = none) -> f[*s]",
        doc="x limited to the closed interval from low to high. The gradient passes inside it, its ends included.",
        numpy=_clip_numpy,
        vjp=lambda b, g, y, x, **_: (b.mul(g, b.cast(b.equal(x, y), dtype=g.type.dtype)),),
        onnx=_clip_onnx,
        samples=(
            S((2, 3), low=-0.5, high=0.5, torch=lambda x, low, high: x.clamp(low, high)),
            S((2, 3), low=0.25, torch=lambda x, low: x.clamp(low)),
            S((4,), high=0.25, torch=lambda x, high: x.clamp(max=high)),
            S((4,), torch=lambda x: x + 0),
        ),
    ),
    Op(
        "cast(x: t[*s], dtype: dtype) -> dtype[*s]",
        doc="x in another dtype. Floats become integers by dropping their fraction; truth values become 0 and 1.",
        numpy=_cast_numpy,
        vjp=_cast_vjp,
        onnx=_cast_onnx,
        samples=(
            S((2, 3), dtype="f64", torch=_torch_cast),
            S(_EDGES, dtype="i32", torch=_torch_cast, differentiable=False),
            S(np.array([True, False]), dtype="f32", torch=_torch_cast),
            S(np.array([3, -2]), dtype="f32", torch=_torch_cast),
        ),
    ),
    Op(
        "stop_gradient(x: t[*s]) -> t[*s]",
        doc="x, treated as a constant when differentiating.",
        numpy=lambda x: x,
        nondiff="to end differentiation is its purpose",
        onnx="Identity",
        samples=(S((2, 3), torch=lambda x: x.detach()),),
    ),
)
