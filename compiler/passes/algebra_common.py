"""What the rules of algebra ask about the values that they match."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from netlang.dims import Size
from netlang.types import broadcast

from ..builder import Builder
from ..dtypes import numpy_dtype
from ..ir import Node, Value
from ..op import Op

Results = Value | tuple[Value, ...]
Rule = Callable[..., Results | None]
"""`rule(b, *inputs, **attributes)`: the simpler value(s) for an application of an operator, or None."""


class Simplifier(Builder):
    """A builder that tries the rules of an operator on each application, those that rules make included: every rule
    makes a graph smaller."""

    def __init__(self, name: str, rules: Mapping[str, tuple[Rule, ...]]) -> None:
        super().__init__(name)
        self._rules = rules

    def _emit(self, name: str, inputs: tuple[Value, ...], attrs: dict[str, Any], op: Op) -> tuple[Value, ...]:
        for rule in self._rules.get(name, ()):
            result = rule(self, *inputs, **attrs)
            if result is not None:
                return result if isinstance(result, tuple) else (result,)
        return super()._emit(name, inputs, attrs, op)


def made_by(b: Builder, x: Value, name: str) -> Node | None:
    """The node that computes `x`, if its operator is called `name`."""
    node = b.producer(x)
    return node if node is not None and node.op == name else None


def uniform(b: Builder, x: Value) -> float | None:
    """The number that every element of `x` is, where that is known."""
    array = b.constant_value(x)
    if array is not None:
        if array.size == 0 or array.dtype.kind not in "fiub" or not (array == array.flat[0]).all():
            return None
        return array.flat[0].item()
    node = made_by(b, x, "full")
    return node.attributes["value"] if node else None


def number(b: Builder, x: Value) -> float | None:
    """The value of `x`, where it is a constant scalar: no shape of its own to add."""
    return uniform(b, x) if x.type.rank == 0 else None


def filled(b: Builder, shape: tuple[Size, ...], value: float, dtype: str) -> Value | None:
    """A tensor of one number; None where `full`, which is told a float, has none of this dtype that is the same."""
    kind = numpy_dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        if float(value) != value or not limits.min <= value <= limits.max:
            return None
    return b.full(shape=shape, value=float(value), dtype=dtype)


def broadcast_shape(*values: Value) -> tuple[Size, ...]:
    """The shape that the values broadcast to. Raises Mismatch."""
    shape: tuple[Size, ...] = ()
    for value in values:
        shape = broadcast(shape, value.type.shape)
    return shape


def normalise(axis: tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """Axes counted from the left, sorted; None stands for all."""
    return tuple(range(rank)) if axis is None else tuple(sorted({a % rank for a in axis}))
