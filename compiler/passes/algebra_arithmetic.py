"""Rules of arithmetic: neutral elements, signs, and constants that merge."""

from __future__ import annotations

import math

from netlang.types import FLOATS

from ..builder import Builder
from ..ir import Value
from .algebra_common import Results, Rule, broadcast_shape, made_by, number, uniform


def add_zero(b: Builder, x: Value, y: Value) -> Results | None:
    """x + 0 = x."""
    for kept, zero in ((x, y), (y, x)):
        if uniform(b, zero) == 0:
            return _stretched(b, kept, x, y)
    return None


def add_itself(b: Builder, x: Value, y: Value) -> Results | None:
    """x + x = 2 · x, which merges with other factors."""
    return b.mul(x, 2.0) if x is y and x.type.dtype in FLOATS else None


def add_negated(b: Builder, x: Value, y: Value) -> Results | None:
    """x + (-y) = x - y."""
    for left, right in ((x, y), (y, x)):
        if negated := made_by(b, right, "neg"):
            return b.sub(left, negated.inputs[0])
    return None


def subtract_zero(b: Builder, x: Value, y: Value) -> Results | None:
    """x - 0 = x."""
    return _stretched(b, x, x, y) if uniform(b, y) == 0 else None


def subtract_from_zero(b: Builder, x: Value, y: Value) -> Results | None:
    """0 - x = -x, where there are numbers below 0."""
    return _stretched(b, b.neg(y), x, y) if uniform(b, x) == 0 and _is_signed(y) else None


def subtract_negated(b: Builder, x: Value, y: Value) -> Results | None:
    """x - (-y) = x + y."""
    negated = made_by(b, y, "neg")
    return b.add(x, negated.inputs[0]) if negated else None


def multiply_by_one(b: Builder, x: Value, y: Value) -> Results | None:
    """x · 1 = x and x · (-1) = -x."""
    for kept, factor in ((x, y), (y, x)):
        value = uniform(b, factor)
        if value in (1, -1):
            return _stretched(b, kept if value == 1 else b.neg(kept), x, y)
    return None


def multiply_negated(b: Builder, x: Value, y: Value) -> Results | None:
    """(-x) · c = x · (-c) and (-x) · (-y) = x · y."""
    left, right = made_by(b, x, "neg"), made_by(b, y, "neg")
    if left and right:
        return b.mul(left.inputs[0], right.inputs[0])
    for negated, factor in ((left, y), (right, x)):
        value = number(b, factor)
        if negated and value is not None and _is_signed(factor):
            return b.mul(negated.inputs[0], _like(b, factor, -value))
    return None


def merge_factors(b: Builder, x: Value, y: Value) -> Results | None:
    """(x · a) · b = x · (a · b) and (x / a) · b = x · (b / a), where a and b are numbers or smaller than x.

    One pass over x instead of two.
    """
    for scaled, factor in ((x, y), (y, x)):
        if found := _scaled(b, scaled, factor):
            base, name, inner = found
            merged = b.mul(inner, factor) if name == "mul" else b.div(factor, inner)
            return b.mul(base, merged) if _is_harmless(b, merged) else None
    return None


def merge_divisors(b: Builder, x: Value, y: Value) -> Results | None:
    """(x · a) / b = x · (a / b) and (x / a) / b = x / (a · b), where a and b are numbers or smaller than x."""
    if not (found := _scaled(b, x, y)):
        return None
    base, name, inner = found
    merged = b.div(inner, y) if name == "mul" else b.mul(inner, y)
    return b.apply(name, (base, merged), {}) if _is_harmless(b, merged) else None


def divide_by_one(b: Builder, x: Value, y: Value) -> Results | None:
    """x / 1 = x and x / (-1) = -x."""
    value = uniform(b, y)
    return _stretched(b, x if value == 1 else b.neg(x), x, y) if value in (1, -1) else None


def negate_negated(b: Builder, x: Value) -> Results | None:
    """-(-x) = x."""
    negated = made_by(b, x, "neg")
    return negated.inputs[0] if negated else None


def negate_difference(b: Builder, x: Value) -> Results | None:
    """-(x - y) = y - x."""
    difference = made_by(b, x, "sub")
    return b.sub(difference.inputs[1], difference.inputs[0]) if difference else None


def negate_scaled(b: Builder, x: Value) -> Results | None:
    """-(x · c) = x · (-c)."""
    product = made_by(b, x, "mul")
    if product is None or not _is_signed(x):
        return None
    for kept, factor in (product.inputs, product.inputs[::-1]):
        value = number(b, factor)
        if value is not None:
            return b.mul(kept, _like(b, factor, -value))
    return None


def plain_power(b: Builder, x: Value, y: Value) -> Results | None:
    """x^1 = x, x^2 = x · x, x^(1/2) = √x, x^(-1) = 1 / x: each many times cheaper than a power.

    At minus infinity the root gives NaN where the power gives infinity.
    """
    value = uniform(b, y)
    if value not in (1, 2, 0.5, -1) or x.type.dtype not in FLOATS:
        return None
    match value:
        case 2:
            x = b.mul(x, x)
        case 0.5:
            x = b.sqrt(x)
        case -1:
            x = b.div(1.0, x)
    return _stretched(b, x, x, y)


def absolute_of_sign_free(b: Builder, x: Value) -> Results | None:
    """|-x| = |x| and ||x|| = |x|."""
    inner = made_by(b, x, "neg") or made_by(b, x, "abs")
    return b.abs(inner.inputs[0]) if inner and _is_signed(x) else None


def _scaled(b: Builder, x: Value, factor: Value) -> tuple[Value, str, Value] | None:
    """`(base, "mul" or "div", inner)` of which the float `x` is made, where `factor` may be merged with `inner`."""
    node = b.producer(x)
    if node is None or node.op not in ("mul", "div") or x.type.dtype not in FLOATS:
        return None
    operands = [node.inputs] if node.op == "div" else [node.inputs, node.inputs[::-1]]
    for base, inner in operands:
        constant = number(b, inner) is not None and number(b, factor) is not None
        result = broadcast_shape(x, factor)
        if constant or (base.type.shape == result and broadcast_shape(inner, factor) != result):
            return base, node.op, inner
    return None


def _stretched(b: Builder, result: Value, *operands: Value) -> Value:
    """`result` in the shape to which the operands broadcast."""
    shape = broadcast_shape(*operands)
    return result if result.type.shape == shape else b.expand(result, shape=shape)


def _is_signed(x: Value) -> bool:
    """Whether the dtype of x has numbers below 0."""
    return not x.type.dtype.startswith("u")


def _is_harmless(b: Builder, factor: Value) -> bool:
    """Whether a merged constant neither overflowed nor vanished: 0 · ∞ would make numbers of nothing."""
    value = number(b, factor)
    return value is None or (value != 0 and math.isfinite(value))


def _like(b: Builder, x: Value, value: float) -> Value:
    return b.constant(value, x.type.dtype)


RULES: dict[str, tuple[Rule, ...]] = {
    "abs": (absolute_of_sign_free,),
    "add": (add_zero, add_itself, add_negated),
    "div": (divide_by_one, merge_divisors),
    "mul": (multiply_by_one, multiply_negated, merge_factors),
    "neg": (negate_negated, negate_difference, negate_scaled),
    "pow": (plain_power,),
    "sub": (subtract_zero, subtract_from_zero, subtract_negated),
}
