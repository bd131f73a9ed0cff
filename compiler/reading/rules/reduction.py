"""Reads operators along axes: reductions, positions of extremes, running sums, softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ops.common import normal_axis, product
from .elementwise import Rule, apply
from .shape import Result, given

if TYPE_CHECKING:
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader

PER_AXIS = 13
"""The operator set from which on softmax works along one axis; before, along all axes from the given one on."""


def _reduction(name: str) -> Rule:
    def rule(reader: Reader, call: Call) -> Result:
        x = given(call)
        axis = _axes(reader, call, x)
        if axis is None:
            return reader.foreign(call, _rank(call, x))
        if not axis and not call.attribute("noop_with_empty_axes", 0):
            axis = tuple(range(x.type.rank))
        return _reduced(reader, name, x, axis, bool(call.attribute("keepdims", 1)))

    return rule


def _rank(call: Call, x: Value) -> tuple[int, ...]:
    """The rank of a reduction along axes that only the run knows, where it can be told."""
    if call.attribute("keepdims", 1):
        return (x.type.rank,)
    count = given(call, 1).type.shape[0]
    return (x.type.rank - count,) if isinstance(count, int) else ()


def _axes(reader: Reader, call: Call, x: Value) -> tuple[int, ...] | None:
    """The axes, an attribute once and an input now; empty where there are none, None where only the run knows them."""
    axes = call.input(1)
    if axes is None:
        return tuple(call.attribute("axes", ()))
    known = reader.constant(axes)
    if known is not None:
        return tuple(known.reshape(-1).tolist())
    count = axes.type.shape[0]
    return tuple(range(x.type.rank))[:count] if isinstance(count, int) and count in (0, x.type.rank) else None


def _reduced(reader: Reader, name: str, x: Value, axis: tuple[int, ...], keepdims: bool) -> Value:
    """Truth values are reduced as integers: their largest is `any`, their smallest `all`."""
    if x.type.dtype != "bool":
        return apply(reader, name, x, axis=axis, keepdims=keepdims)
    result = apply(reader, name, reader.b.cast(x, dtype="i32"), axis=axis, keepdims=keepdims)
    return reader.b.cast(result, dtype="bool")


def _position(name: str) -> Rule:
    def rule(reader: Reader, call: Call) -> Value:
        x = given(call)
        axis = normal_axis(call.attribute("axis", 0), x.type.rank)
        found = apply(reader, name, x, axis=axis, last=bool(call.attribute("select_last_index", 0)))
        if not call.attribute("keepdims", 1):
            return found
        return reader.b.reshape(found, shape=(*x.type.shape[:axis], 1, *x.type.shape[axis + 1 :]))

    return rule


def _running(name: str) -> Rule:
    def rule(reader: Reader, call: Call) -> Result:
        axis = reader.constant(call.input(1))
        if axis is None:
            return reader.foreign(call)
        flags = {flag: bool(call.attribute(flag, 0)) for flag in ("reverse", "exclusive")}
        return apply(reader, name, given(call), axis=int(axis.reshape(())), **flags)

    return rule


def _along(name: str) -> Rule:
    """Softmax and its like. Before operator set 13 they work on all axes from the given one on, as if they were one."""

    def rule(reader: Reader, call: Call) -> Value:
        b = reader.b
        x = given(call)
        if call.version >= PER_AXIS:
            return apply(reader, name, x, axis=call.attribute("axis", -1))
        axis = call.attribute("axis", 1)
        at = axis % x.type.rank if axis < 0 else axis
        rows, columns = product(x.type.shape[:at]), product(x.type.shape[at:])
        flat = b.reshape(x, shape=(rows, columns))
        return b.reshape(apply(reader, name, flat, axis=1), shape=x.type.shape)

    return rule


RULES: dict[str, Rule] = {
    "ArgMax": _position("argmax"),
    "ArgMin": _position("argmin"),
    "CumProd": _running("cumprod"),
    "CumSum": _running("cumsum"),
    "Hardmax": _along("hardmax"),
    "LogSoftmax": _along("log_softmax"),
    "ReduceL1": _reduction("reduce_l1"),
    "ReduceL2": _reduction("reduce_l2"),
    "ReduceLogSum": _reduction("reduce_log_sum"),
    "ReduceLogSumExp": _reduction("logsumexp"),
    "ReduceMax": _reduction("max"),
    "ReduceMean": _reduction("mean"),
    "ReduceMin": _reduction("min"),
    "ReduceProd": _reduction("prod"),
    "ReduceSum": _reduction("sum"),
    "ReduceSumSquare": _reduction("reduce_sum_square"),
    "Softmax": _along("softmax"),
}
