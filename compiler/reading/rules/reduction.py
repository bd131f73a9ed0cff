"""Reads operators along axes: reductions, positions of extremes, running sums, softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...ops.common import normal_axis, product

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...ir import Value
    from ..call import Call
    from ..reader import Reader

    Rule = Callable[[Reader, Call], Value | Sequence[Value | None] | None]

PER_AXIS = 13
"""The operator set from which on softmax works along one axis; before, along all axes from the given one on."""


def _reduction(name: str) -> Rule:
    def rule(reader: Reader, call: Call) -> Value | Sequence[Value | None]:
        x = call.inputs[0]
        assert x is not None
        axis = _axes(reader, call, x)
        if axis is None:
            return reader.foreign(call)
        if not axis and not call.attribute("noop_with_empty_axes", 0):
            axis = tuple(range(x.type.rank))
        return _reduced(reader, name, x, axis, bool(call.attribute("keepdims", 1)))

    return rule


def _axes(reader: Reader, call: Call, x: Value) -> tuple[int, ...] | None:
    """The axes, an attribute once and an input now; empty where there are none, None where only the run knows them."""
    given = call.input(1)
    if given is None:
        return tuple(call.attribute("axes", ()))
    known = reader.constant(given)
    if known is not None:
        return tuple(known.reshape(-1).tolist())
    return {0: (), x.type.rank: tuple(range(x.type.rank))}.get(given.type.shape[0])  # type: ignore[arg-type]


def _reduced(reader: Reader, name: str, x: Value, axis: tuple[int, ...], keepdims: bool) -> Value:
    """Truth values are reduced as integers: their largest is `any`, their smallest `all`."""
    b = reader.b
    given = b.cast(x, dtype="i32") if x.type.dtype == "bool" else x
    result = b.apply(name, (given,), {"axis": axis, "keepdims": keepdims})
    return b.cast(result, dtype="bool") if x.type.dtype == "bool" else result


def _position(name: str) -> Rule:
    def rule(reader: Reader, call: Call) -> Value:
        b = reader.b
        x = call.inputs[0]
        assert x is not None
        axis = normal_axis(call.attribute("axis", 0), x.type.rank)
        found = b.apply(name, (x,), {"axis": axis, "last": bool(call.attribute("select_last_index", 0))})
        if not call.attribute("keepdims", 1):
            return found
        return b.reshape(found, shape=(*x.type.shape[:axis], 1, *x.type.shape[axis + 1 :]))

    return rule


def _running(name: str) -> Rule:
    def rule(reader: Reader, call: Call) -> Value | Sequence[Value | None]:
        axis = reader.constant(call.input(1))
        if axis is None:
            return reader.foreign(call)
        flags = {flag: bool(call.attribute(flag, 0)) for flag in ("reverse", "exclusive")}
        return reader.b.apply(name, (call.inputs[0],), {"axis": int(axis.reshape(())), **flags})

    return rule


def _along(name: str) -> Rule:
    """Softmax and its like. Before operator set 13 they work on all axes from the given one on, as if they were one."""

    def rule(reader: Reader, call: Call) -> Value:
        b = reader.b
        x = call.inputs[0]
        assert x is not None
        if call.version >= PER_AXIS:
            return b.apply(name, (x,), {"axis": call.attribute("axis", -1)})
        axis = call.attribute("axis", 1)
        at = axis % x.type.rank if axis < 0 else axis
        rows, columns = product(x.type.shape[:at]), product(x.type.shape[at:])
        flat = b.reshape(x, shape=(rows, columns))
        return b.reshape(b.apply(name, (flat,), {"axis": 1}), shape=x.type.shape)

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
