"""Rules of reductions: what sums over nothing, over copies, or over sums."""

from __future__ import annotations

import math
from collections.abc import Collection

from netlang.dims import Size
from netlang.types import FLOATS

from ..builder import Builder, size_of
from ..ir import Value
from .algebra_common import Results, Rule, filled, made_by, normalise, number

Axes = tuple[int, ...] | None


def over_ones(b: Builder, x: Value, axis: Axes, keepdims: bool) -> Results | None:
    """A reduction over no axes, or axes of size 1, keeps every element."""
    axes = normalise(axis, x.type.rank)
    if any(x.type.shape[a] != 1 for a in axes):
        return None
    if keepdims or not axes:
        return x
    return b.reshape(x, shape=_without(x.type.shape, axes))


def of_itself(name: str) -> Rule:
    """The sum of sums is one sum; likewise the mean, maximum, minimum and product."""

    def rule(b: Builder, x: Value, axis: Axes, keepdims: bool) -> Results | None:
        inner = made_by(b, x, name)
        if inner is None or inner.attributes["keepdims"] != keepdims:
            return None
        (base,) = inner.inputs
        first = normalise(inner.attributes["axis"], base.type.rank)
        second = normalise(axis, x.type.rank)
        if not keepdims:
            left = [a for a in range(base.type.rank) if a not in first]
            second = tuple(left[a] for a in second)
        return b.apply(name, (base,), {"axis": tuple(sorted({*first, *second})), "keepdims": keepdims})

    return rule


def of_copies(name: str) -> Rule:
    """The sum over an axis along which a tensor was expanded is a product with its size; the mean, the element."""

    def rule(b: Builder, x: Value, axis: Axes, keepdims: bool) -> Results | None:
        expanded = made_by(b, x, "expand")
        if expanded is None or x.type.dtype not in FLOATS:
            return None
        (base,) = expanded.inputs
        shape, axes = x.type.shape, normalise(axis, x.type.rank)
        leading = len(shape) - base.type.rank
        before = (1,) * leading + base.type.shape
        copied = [a for a in axes if before[a] == 1 and shape[a] != 1]
        if not copied:
            return None
        others = tuple(a - leading for a in axes if a not in copied and a >= leading)
        total = getattr(b, name)(base, axis=others, keepdims=keepdims)
        if not keepdims:
            total = b.reshape(total, shape=_without(base.type.shape, [a - leading for a in axes]))
        if name == "sum":
            total = b.mul(total, _float(b, size_of([shape[a] for a in copied]), x.type.dtype))
        after = tuple(1 if a in axes else size for a, size in enumerate(shape))
        return b.expand(total, shape=after if keepdims else _without(after, axes))

    return rule


def of_uniform(count_matters: bool) -> Rule:
    """The sum of n equal numbers is n times the number; their mean, maximum and minimum are the number."""

    def rule(b: Builder, x: Value, axis: Axes, keepdims: bool) -> Results | None:
        source = made_by(b, x, "full")
        axes = normalise(axis, x.type.rank)
        sizes = [x.type.shape[a] for a in axes]
        known = [size for size in sizes if isinstance(size, int) and size > 0]
        if source is None or len(known) != len(sizes):
            return None
        value = source.attributes["value"]
        if count_matters:
            value = (value if x.type.dtype in FLOATS else int(value)) * math.prod(known)
        shape = tuple(1 if a in axes else size for a, size in enumerate(x.type.shape))
        return filled(b, shape if keepdims else _without(shape, axes), value, x.type.dtype)

    return rule


def of_scaled(name: str) -> Rule:
    """The sum of x · c is c times the sum of x, for a number c: one pass instead of two."""

    def rule(b: Builder, x: Value, axis: Axes, keepdims: bool) -> Results | None:
        node = b.producer(x)
        if node is None or node.op not in ("mul", "div") or x.type.dtype not in FLOATS:
            return None
        base, factor = node.inputs
        if node.op == "mul" and number(b, base) is not None:
            base, factor = factor, base
        if number(b, factor) in (None, 0, math.inf, -math.inf):  # 0 · ∞ would make numbers of nothing
            return None
        total = getattr(b, name)(base, axis=axis, keepdims=keepdims)
        return b.apply(node.op, (total, factor), {})

    return rule


def of_negated(name: str) -> Rule:
    """The sum of -x is minus the sum of x."""

    def rule(b: Builder, x: Value, axis: Axes, keepdims: bool) -> Results | None:
        negated = made_by(b, x, "neg")
        return b.neg(getattr(b, name)(negated.inputs[0], axis=axis, keepdims=keepdims)) if negated else None

    return rule


def of_centered(b: Builder, x: Value, axis: Axes, keepdims: bool) -> Results | None:
    """The sum of x - mean(x) is 0, and so it is times what is the same along the axes; likewise the mean.

    So the gradient of a normalisation does not go back through the mean of what it scales.
    """
    axes = normalise(axis, x.type.rank)
    difference = made_by(b, _unscaled(b, x, axes), "sub")
    if difference is None or x.type.dtype not in FLOATS:
        return None
    base, center = difference.inputs
    reshaped = made_by(b, center, "reshape")
    average = made_by(b, reshaped.inputs[0] if reshaped else center, "mean")
    if average is None or average.inputs[0] is not base or normalise(average.attributes["axis"], x.type.rank) != axes:
        return None
    kept = tuple(1 if a in axes else size for a, size in enumerate(x.type.shape))
    if (1,) * (x.type.rank - center.type.rank) + center.type.shape != kept:
        return None
    return b.full(shape=kept if keepdims else _without(kept, axes), value=0.0, dtype=x.type.dtype)


def _unscaled(b: Builder, x: Value, axes: Collection[int]) -> Value:
    """What x is a multiple of, by factors that are the same along the axes."""
    scaled = made_by(b, x, "mul")
    if scaled is None:
        return x
    for base, factor in (scaled.inputs, scaled.inputs[::-1]):
        leading = x.type.rank - factor.type.rank
        if base.type == x.type and all(a < leading or factor.type.shape[a - leading] == 1 for a in axes):
            return base
    return x


def _without(shape: tuple[Size, ...], axes: Collection[int]) -> tuple[Size, ...]:
    return tuple(size for a, size in enumerate(shape) if a not in axes)


def _float(b: Builder, size: Size, dtype: str) -> Value:
    """A size as a number of the dtype, computed at run time where it is open."""
    return b.constant(size, dtype) if isinstance(size, int) else b.cast(b.dim(size=size), dtype=dtype)


_LINEAR = (of_scaled, of_negated)

RULES: dict[str, tuple[Rule, ...]] = {
    "max": (over_ones, of_uniform(False), of_itself("max")),
    "mean": (over_ones, of_uniform(False), of_centered, *(rule("mean") for rule in (of_itself, of_copies, *_LINEAR))),
    "min": (over_ones, of_uniform(False), of_itself("min")),
    "prod": (over_ones, of_itself("prod")),
    "sum": (over_ones, of_uniform(True), of_centered, *(rule("sum") for rule in (of_itself, of_copies, *_LINEAR))),
}
