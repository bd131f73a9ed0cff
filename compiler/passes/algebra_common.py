"""What the rules of algebra ask about the values that they match."""

from __future__ import annotations

from collections.abc import Callable

from netlang.dims import Size
from netlang.types import broadcast

from ..builder import Builder
from ..ir import Node, Value

Results = Value | tuple[Value, ...]
Rule = Callable[..., Results | None]
"""`rule(b, *inputs, **attributes)`: the simpler value(s) for an application of an operator, or None."""


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


def broadcast_shape(*values: Value) -> tuple[Size, ...]:
    """The shape that the values broadcast to. Raises Mismatch."""
    shape: tuple[Size, ...] = ()
    for value in values:
        shape = broadcast(shape, value.type.shape)
    return shape


def swaps_last(perm: tuple[int, ...]) -> bool:
    """Whether a transposition swaps the last two axes and leaves the others."""
    rank = len(perm)
    return rank >= 2 and perm == (*range(rank - 2), rank - 1, rank - 2)


def normalise(axis: tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """Axes counted from the left, sorted; None stands for all."""
    return tuple(range(rank)) if axis is None else tuple(sorted({a % rank for a in axis}))
