"""Rules of element-wise operators: operands that need not be as large as they are, and tests already decided."""

from __future__ import annotations

import numpy as np

from netlang.types import DTYPES

from ..builder import Builder
from ..dtypes import numpy_dtype
from ..ir import Value
from ..ops import OPS
from .algebra_common import Results, Rule, broadcast_shape, filled, made_by, uniform

UNARY = ("abs", "ceil", "exp", "floor", "log", "logical_not", "neg", "relu", "sign", "sqrt", "tanh")
BINARY = (
    *("add", "div", "floor_divide", "maximum", "minimum", "mod", "mul", "pow", "sub"),
    *("equal", "greater", "greater_equal", "less", "less_equal", "logical_and", "logical_or", "not_equal"),
)
WIDENING = {(small, large) for small, large in (("f16", "f32"), ("bf16", "f32"), ("f32", "f64"), ("i32", "i64"))} | {
    ("bool", dtype) for dtype in DTYPES if dtype != "bool"
}
"""Casts that lose nothing, so that casting back is free."""


def compute_uniform(name: str) -> Rule:
    """An operator on operands that are the same number everywhere gives such a tensor: one number is computed."""

    meaning = OPS[name].numpy
    assert meaning is not None

    def rule(b: Builder, *operands: Value) -> Results | None:
        values = [uniform(b, x) for x in operands]
        shape = broadcast_shape(*operands)
        if any(value is None for value in values) or all(x.type.rank == 0 for x in operands):
            return None
        arrays = [np.asarray(value, numpy_dtype(x.type.dtype)) for value, x in zip(values, operands, strict=True)]
        (result,) = OPS[name].infer([x.type for x in operands], {})
        with np.errstate(all="ignore"):
            value = np.asarray(meaning(*arrays), numpy_dtype(result.dtype)).item()
        return filled(b, shape, value, result.dtype)

    return rule


def narrow_uniform(name: str) -> Rule:
    """A tensor of one number is a scalar, where the other operand has the whole shape: x + zeros(n) = x + 0."""

    def rule(b: Builder, x: Value, y: Value) -> Results | None:
        shape = broadcast_shape(x, y)
        for index, (kept, wide) in enumerate(((x, y), (y, x))):
            if wide.type.rank and kept.type.shape == shape:
                value = uniform(b, wide)
                if value is not None:
                    scalar = b.constant(value, wide.type.dtype)
                    return b.apply(name, (kept, scalar) if index == 0 else (scalar, kept), {})
        return None

    return rule


def delay_expand(name: str) -> Rule:
    """An operator that broadcasts needs no operand expanded; where nothing else gives the result its shape, that is.

    Then the result is expanded, which its readers may not need either: -expand(x) = expand(-x).
    """

    meaning = OPS[name].numpy
    assert meaning is not None

    def rule(b: Builder, *operands: Value) -> Results | None:
        smaller = [_before_broadcast(b, x) or x for x in operands]
        if all(x is y for x, y in zip(smaller, operands, strict=True)):
            return None
        shape = broadcast_shape(*operands)
        if broadcast_shape(*smaller) == shape:
            return b.apply(name, smaller, {})
        if any(made_by(b, x, "expand") for x in operands):
            return b.expand(b.apply(name, smaller, {}), shape=shape)
        return None

    return rule


def _before_broadcast(b: Builder, x: Value) -> Value | None:
    """What `x` was before an expansion, or before axes of size 1 were put in front."""
    node = b.producer(x)
    if node is None or node.op not in ("expand", "reshape"):
        return None
    (smaller,) = node.inputs
    added = (1,) * (x.type.rank - smaller.type.rank)
    return smaller if node.op == "expand" or x.type.shape == added + smaller.type.shape else None


def decided_select(b: Builder, condition: Value, x: Value, y: Value) -> Results | None:
    """select(true, x, y) = x, select(false, x, y) = y and select(c, x, x) = x."""
    shape = broadcast_shape(condition, x, y)
    value = uniform(b, condition)
    if value is None and x is not y:
        return None
    chosen = x if value or x is y else y
    return chosen if chosen.type.shape == shape else b.expand(chosen, shape=shape)


def not_not(b: Builder, x: Value) -> Results | None:
    """Not not x is x."""
    inner = made_by(b, x, "logical_not")
    return inner.inputs[0] if inner else None


def not_compared(b: Builder, x: Value) -> Results | None:
    """Not (x = y) is x ≠ y, and the other way round. (Orders are left alone: NaN makes both of them false.)"""
    for name, opposite in (("equal", "not_equal"), ("not_equal", "equal")):
        if inner := made_by(b, x, name):
            return b.apply(opposite, inner.inputs, {})
    return None


def relu_of_relu(b: Builder, x: Value) -> Results | None:
    """relu(relu(x)) = relu(x)."""
    return x if made_by(b, x, "relu") else None


def unbounded_clip(b: Builder, x: Value, low: float | None, high: float | None) -> Results | None:
    """clip without bounds is the identity."""
    return x if low is None and high is None else None


def same_cast(b: Builder, x: Value, dtype: str) -> Results | None:
    """A cast to the dtype that there is already."""
    return x if x.type.dtype == dtype else None


def cast_back(b: Builder, x: Value, dtype: str) -> Results | None:
    """A cast to a wider dtype and back."""
    inner = made_by(b, x, "cast")
    if inner and inner.inputs[0].type.dtype == dtype and (dtype, x.type.dtype) in WIDENING:
        return inner.inputs[0]
    return None


def cast_uniform(b: Builder, x: Value, dtype: str) -> Results | None:
    """full(2, f32) cast to i64 is full(2, i64)."""
    source = made_by(b, x, "full")
    if source is None:
        return None
    value = np.asarray(source.attributes["value"]).astype(numpy_dtype(x.type.dtype)).astype(numpy_dtype(dtype))
    return filled(b, x.type.shape, value.item(), dtype)


def identity(b: Builder, x: Value) -> Results | None:
    """An operator that matters to differentiation only."""
    return x


RULES: dict[str, tuple[Rule, ...]] = {
    "cast": (same_cast, cast_back, cast_uniform),
    "clip": (unbounded_clip,),
    "stop_gradient": (identity,),
    "select": (decided_select, delay_expand("select")),
    **{name: (compute_uniform(name), delay_expand(name)) for name in UNARY},
    **{name: (compute_uniform(name), narrow_uniform(name), delay_expand(name)) for name in BINARY},
}
RULES["logical_not"] += (not_not, not_compared)
RULES["relu"] += (relu_of_relu,)
