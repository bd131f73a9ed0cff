"""Reads operators that work element by element: arithmetic, comparisons, activations, casts, bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.types import DTYPES as LANGUAGE_DTYPES
from netlang.types import FLOATS

from ..onnx_types import DTYPES
from .shape import Result, given

if TYPE_CHECKING:
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader

Rule = Callable[["Reader", "Call"], Result]

INT_LIMITS = ("i32", "i64", "u32", "u64")
"""Integers of which ONNX Runtime compares two tensors for the larger."""


def operands(call: Call) -> list[Value]:
    """The inputs that are given."""
    return [value for value in call.inputs if value is not None]


def apply(reader: Reader, name: str, *tensors: Value, **attributes: Any) -> Value:
    """The result of an operator of the table."""
    return getattr(reader.b, name)(*tensors, **attributes)


def named(name: str, **attributes: tuple[str, Any]) -> Callable[[Reader, Call], Value]:
    """The rule of an operator that is one of ours: `attributes` maps ours to ONNX's and its default."""

    def rule(reader: Reader, call: Call) -> Value:
        return apply(
            reader, name, *operands(call), **{ours: call.attribute(*theirs) for ours, theirs in attributes.items()}
        )

    return rule


def _folded(name: str) -> Callable[[Reader, Call], Value]:
    """An operator of any number of tensors, as one of two applied again and again."""
    return lambda reader, call: reduce(partial(apply, reader, name), operands(call))


def mean(reader: Reader, call: Call) -> Value:
    """Mean-8 and -13: of tensors, not of their elements."""
    total = _folded("add")(reader, call)
    return reader.b.mul(total, 1 / len(operands(call)))


# --- arithmetic ----------------------------------------------------------------------------------------------------


def divide(reader: Reader, call: Call) -> Value:
    """Div-7 to -14: of integers, the quotient rounded towards 0."""
    x, y = operands(call)
    return reader.b.div(x, y) if x.type.dtype in FLOATS else reader.b.truncated_divide(x, y)


def modulo(reader: Reader, call: Call) -> Value:
    """Mod-10 and -13."""
    x, y = operands(call)
    return reader.b.fmod(x, y) if call.attribute("fmod", 0) else reader.b.mod(x, y)


def power(reader: Reader, call: Call) -> Value:
    """Pow-7 to -15: the exponent may be of another dtype; a power of integers is computed in f64."""
    b = reader.b
    x, exponent = operands(call)
    dtype = x.type.dtype
    computed = dtype if dtype in FLOATS else "f64"
    result = b.pow(_cast(reader, x, computed), _cast(reader, exponent, computed))
    return _cast(reader, result, dtype)


def _cast(reader: Reader, x: Value, dtype: str) -> Value:
    return x if x.type.dtype == dtype else reader.b.cast(x, dtype=dtype)


def clip(reader: Reader, call: Call) -> Value | None:
    """Clip-6, with bounds as attributes, to -13, with bounds as inputs that may be known at run time only."""
    x = given(call)
    low, high = call.input(1), call.input(2)
    if x.type.dtype in FLOATS:
        return _clip_floats(reader, call, x, low, high)
    if x.type.dtype not in INT_LIMITS:
        return None
    raised = x if low is None else reader.b.maximum(x, low)
    return raised if high is None else reader.b.minimum(raised, high)


def _clip_floats(reader: Reader, call: Call, x: Value, low: Value | None, high: Value | None) -> Value:
    b = reader.b
    known_low, known_high = _bound(reader, call, "min", low), _bound(reader, call, "max", high)
    if (low is None or known_low is not None) and (high is None or known_high is not None):
        return b.clip(x, low=known_low, high=known_high)
    dtype = x.type.dtype
    infinite = (b.constant(np.inf * sign, dtype) for sign in (-1, 1))
    ends = [end if value is None else value for value, end in zip((low, high), infinite, strict=True)]
    return b.clamp(x, *ends)


def _bound(reader: Reader, call: Call, name: str, value: Value | None) -> float | None:
    known = call.attribute(name) if value is None else reader.constant(value)
    return None if known is None else float(np.asarray(known, np.float64).reshape(()))


# --- casts ---------------------------------------------------------------------------------------------------------


def cast(reader: Reader, call: Call) -> Value | None:
    """Cast-6 to -28; to and from dtypes that the language does not have, the node is kept."""
    return _converted(reader, call, DTYPES.get(call.attribute("to"), ""))


def cast_like(reader: Reader, call: Call) -> Value | None:
    """CastLike-15 to -25."""
    return _converted(reader, call, given(call, 1).type.dtype)


def _converted(reader: Reader, call: Call, dtype: str) -> Value | None:
    x = given(call)
    if not {dtype, x.type.dtype} <= set(LANGUAGE_DTYPES):
        return None
    return _cast(reader, x, dtype)


def bit_cast(reader: Reader, call: Call) -> Value | None:
    """BitCast-26."""
    dtype = DTYPES.get(call.attribute("to"), "")
    return reader.b.bit_cast(call.inputs[0], dtype=dtype) if dtype in LANGUAGE_DTYPES else None


def bit_shift(reader: Reader, call: Call) -> Value | None:
    """BitShift-11: of unsigned integers."""
    x, places = operands(call)
    if not x.type.dtype.startswith("u"):
        return None
    shift = "bitwise_left_shift" if call.attribute("direction") == "LEFT" else "bitwise_right_shift"
    return apply(reader, shift, x, places)


def celu(reader: Reader, call: Call) -> Value | None:
    """Celu-12, of an alpha above 0."""
    alpha = call.attribute("alpha", 1.0)
    return reader.b.celu(given(call), alpha=alpha) if alpha > 0 else None


def shrink(reader: Reader, call: Call) -> Value | None:
    """Shrink-9. What a threshold below 0 means with a bias, its definition in ONNX says."""
    threshold, bias = call.attribute("lambd", 0.5), call.attribute("bias", 0.0)
    return None if threshold < 0 and bias else reader.b.shrink(given(call), threshold=threshold, bias=bias)


def gelu(reader: Reader, call: Call) -> Value:
    """Gelu-20."""
    name = "gelu_tanh" if call.attribute("approximate", "none") == "tanh" else "gelu"
    return apply(reader, name, *operands(call))


RULES: dict[str, Rule] = {
    "BitCast": bit_cast,
    "BitShift": bit_shift,
    "Cast": cast,
    "CastLike": cast_like,
    "Celu": celu,
    "Clip": clip,
    "Cosh": named("cosh"),
    "Div": divide,
    "Elu": named("elu", alpha=("alpha", 1.0)),
    "Gelu": gelu,
    "HardSigmoid": named("hardsigmoid", alpha=("alpha", 0.2), beta=("beta", 0.5)),
    "IsInf": named("is_inf", detect_negative=("detect_negative", 1), detect_positive=("detect_positive", 1)),
    "LeakyRelu": named("leaky_relu", slope=("alpha", 0.01)),
    "Max": _folded("maximum"),
    "Mean": mean,
    "Min": _folded("minimum"),
    "Mish": named("mish"),
    "Mod": modulo,
    "Pow": power,
    "PRelu": named("prelu"),
    "Selu": named("selu", alpha=("alpha", 1.67326319217681884765625), gamma=("gamma", 1.05070102214813232421875)),
    "Shrink": shrink,
    "Sinh": named("sinh"),
    "Softplus": named("softplus"),
    "Sum": _folded("add"),
    "SwiGLU": named("swiglu", alpha=("alpha", 1.0)),
    "Swish": named("silu", alpha=("alpha", 1.0)),
    "Tan": named("tan"),
    "ThresholdedRelu": named("thresholded_relu", alpha=("alpha", 1.0)),
}
