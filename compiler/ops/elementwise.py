"""Functions of one tensor, element by element."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.types import FLOATS, TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

_EDGES = np.array([-2.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.5], np.float32)
_SPECIAL = np.array([0.0, -1.5, np.inf, -np.inf, np.nan], np.float32)
_FLAT = "constant between its steps"


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _clip_numpy(x: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    return x if low is None and high is None else np.clip(x, low, high)


def _clip_onnx(e: Emitter, node: Node, x: str) -> str:
    dtype = numpy_dtype(node.inputs[0].type.dtype)
    low, high = node.attributes["low"], node.attributes["high"]
    bounds = ["" if bound is None else e.constant(np.array(bound, dtype)) for bound in (low, high)]
    return e.node("Clip", x, *bounds)


def _is_inf_numpy(x: np.ndarray, detect_negative: bool, detect_positive: bool) -> np.ndarray:
    return np.isinf(x) & np.where(x < 0, detect_negative, detect_positive)


def _is_inf_onnx(e: Emitter, node: Node, x: str) -> str:
    if node.inputs[0].type.dtype in ("f16", "bf16"):  # for which ONNX has it later only
        x = e.node("Cast", x, to=e.onnx_dtype("f32"))
    signs = {name: int(node.attributes[name]) for name in ("detect_negative", "detect_positive")}
    return e.node("IsInf", x, **signs)


def _bit_cast_shape(x: TensorType, dtype: str) -> TensorType:
    widths = [numpy_dtype(name).itemsize * 8 for name in (x.dtype, dtype)]
    if widths[0] != widths[1]:
        raise bad_value("only a dtype of the same width has the same bits", f"{widths[0]} bits", f"{widths[1]} bits")
    return TensorType(dtype, x.shape)


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
        "erf(x: f[*s]) -> f[*s]",
        doc="Error function, 2/√π ∫₀ˣ e^(-t²) dt.",
        numpy=lambda x: _erf(x).astype(x.dtype),
        # The factor 2/√π is in the exponent: one pass less.
        vjp=lambda b, g, y, x: (b.mul(g, b.exp(b.sub(math.log(2 / math.sqrt(math.pi)), b.mul(x, x)))),),
        onnx="Erf",
        samples=(S((2, 3), torch=lambda x: x.erf()),),
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
        doc="The nearest whole number; halves go to the even one. The gradient passes as if nothing were rounded (the "
        "straight-through estimator: Bengio et al. 2013).",
        numpy=np.round,
        vjp=lambda b, g, y, x: (g,),
        onnx="Round",
        samples=(S(_EDGES, torch=lambda x: x + (x.round() - x).detach()),),
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
        "is_inf(x: f[*s], detect_negative: bool = true, detect_positive: bool = true) -> bool[*s]",
        doc="Whether x is infinite, of one of the signs asked for.",
        numpy=_is_inf_numpy,
        nondiff="the result is a truth value",
        onnx=_is_inf_onnx,
        samples=(
            S(_SPECIAL, torch=lambda x: x.isinf()),
            S(_SPECIAL.astype(np.float16), torch=lambda x: x.isinf()),
            S(_SPECIAL, detect_negative=False, torch=lambda x, detect_negative: x.isposinf()),
            S(_SPECIAL, detect_positive=False, torch=lambda x, detect_positive: x.isneginf()),
        ),
    ),
    Op(
        "reciprocal(x: f[*s]) -> f[*s]",
        doc="1 / x.",
        numpy=np.reciprocal,
        vjp=lambda b, g, y, x: (b.neg(b.mul(g, b.mul(y, y))),),
        onnx="Reciprocal",
        samples=(S((2, 3), torch=lambda x: x.reciprocal(), positive=True),),
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
        "bit_cast(x: t[*s], dtype: dtype) -> dtype[*s]",
        doc="The bits of x read as another dtype of the same width.",
        numpy=lambda x, dtype: x.view(numpy_dtype(dtype)),
        nondiff="bits have no derivative",
        shape=_bit_cast_shape,
        onnx=lambda e, node, x: e.node("BitCast", x, to=e.onnx_dtype(node.attributes["dtype"])),
        since=26,
        samples=(
            S((2, 3), dtype="i32"),
            S(np.array([0, 1, 1 << 30], np.int32), dtype="f32"),
            Bad((2, 3), dtype="i64", code="bad-value"),
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
