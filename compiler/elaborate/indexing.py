"""Indexing and slicing: `x[0]`, `x[:, 1:]`, `x[..., -1]` is written `x[:, -1]`, and `table[index]` gathers rows."""

from __future__ import annotations

from typing import Any

from netlang import syntax
from netlang.diagnostics import Diagnostic, DiagnosticError, Label, counted, fail
from netlang.dims import Size, decide_less
from netlang.source import Span
from netlang.types import INTEGERS

from ..demands import Comparison, Demand
from ..ir import Value
from . import aggregation
from .context import Context
from .operators import apply_op
from .values import POISON, EdgeEnd, Environment, Poison, describe, is_size


def index(context: Context, expr: syntax.Index, value: Any, environment: Environment) -> Any:
    """The value of `value[…]`."""
    edge = next((item for item in expr.items if isinstance(item, syntax.Edge)), None)
    if edge is not None:
        return aggregation.read_edge(context, expr, value, edge)
    if isinstance(value, tuple):
        return _item(context, expr, value, environment)
    if not isinstance(value, Value):
        raise fail("bad-index", f"{describe(value)} cannot be indexed", expr.value.span)
    if len(expr.items) > value.type.rank:
        raise fail(
            "bad-index",
            f"{len(expr.items)} indices for a tensor of {counted(value.type.rank, 'dimension')}",
            expr.span,
            str(value.type),
        )
    nodes = [item for item in expr.items if not isinstance(item, syntax.Edge)]
    items = [_evaluated(context, item, environment) for item in nodes]
    if any(isinstance(item, Poison) for item in items):
        return POISON
    end = next((item for item in items if isinstance(item, EdgeEnd)), None)
    if end is not None:
        return aggregation.read(context, expr, value, end)
    if isinstance(items[0], Value):
        return _gather(context, expr, value, items)
    return _slice(context, expr, value, items, nodes)


def _item(context: Context, expr: syntax.Index, value: tuple[Any, ...], environment: Environment) -> Any:
    from .expressions import evaluate

    item = expr.items[0]
    position = evaluate(context, item, environment) if not isinstance(item, syntax.Slice | syntax.Edge) else None
    if len(expr.items) != 1 or not isinstance(position, int) or isinstance(position, bool):
        raise fail("bad-index", "a list is indexed with one whole number, known while compiling", expr.span,
                   describe(position), help=_RUN_TIME if isinstance(position, Value) else None)  # fmt: skip
    if not -len(value) <= position < len(value):
        raise fail("bad-index", f"index {position} is outside a list of {len(value)}", item.span)
    return value[position]


_MASK = "`select(mask, x, 0)` keeps what a mask says, and puts 0 elsewhere"
_BESIDE = "a tensor takes from the first axis; `gather(x, index, axis = 1)` takes from another"
_FROM_A_RUN = "a number that a run gives can be a size: `k: int` of an `entry`"
_NEW_AXIS = "`reshape(x, [n, 1, d])` adds an axis"
_RUN_TIME = "`tensor([16, 32])` makes a tensor of a list, which can be indexed at run time"


def _evaluated(context: Context, item: syntax.Expr | syntax.Slice, environment: Environment) -> Any:
    from .expressions import evaluate

    if not isinstance(item, syntax.Slice):
        return evaluate(context, item, environment)
    parts = [None if p is None else evaluate(context, p, environment) for p in (item.start, item.stop, item.step)]
    for part, node in zip(parts, (item.start, item.stop, item.step), strict=True):
        if part is not None and not is_size(part):
            help = "`//` divides whole numbers" if isinstance(part, float) else None
            help = _FROM_A_RUN if isinstance(part, Value) else help
            raise fail("bad-index", "slice bounds are sizes known while compiling", node.span if node else item.span,
                       describe(part), help=help)  # fmt: skip
    return slice(*parts)


def _gather(context: Context, expr: syntax.Index, value: Value, items: list[Any]) -> Any:
    if len(items) != 1:
        rest = f"`{expr.value.span.text}[{expr.items[0].span.text}][…]` indexes what it takes"
        if len(items) == 2 and isinstance(items[1], Value):
            rest = f"`take_along({expr.value.span.text}[i], j)` takes one element for each pair of positions"
        raise fail("bad-index", "a tensor of indices stands alone in the brackets", expr.span, help=rest)
    if items[0].type.dtype not in INTEGERS:
        is_mask = items[0].type.dtype == "bool"
        raise fail("bad-index", "indices are whole numbers", expr.items[0].span, str(items[0].type),
                   help=_MASK if is_mask else "`i64(x)` makes whole numbers")  # fmt: skip
    return apply_op(context, "gather", (value, items[0]), {}, expr.span, (expr.value.span, expr.items[0].span))


def _slice(
    context: Context, expr: syntax.Index, value: Value, items: list[Any], nodes: list[syntax.Expr | syntax.Slice]
) -> Value:
    starts: list[Size] = []
    stops: list[Size] = []
    steps: list[int] = []
    axes: list[int] = []
    dropped: list[int] = []
    for axis, (item, node) in enumerate(zip(items, nodes, strict=True)):
        size = value.type.shape[axis]
        if isinstance(item, slice):
            start, stop, step = _bounds(context, item, size, node)
        else:
            start = _position(context, item, size, node)
            stop, step = start + 1, 1
            dropped.append(axis)
        if (start, stop, step) != (0, size, 1):
            starts.append(start)
            stops.append(stop)
            steps.append(step)
            axes.append(axis)
    result = value
    b = context.builder
    with b.at(expr.span):
        if axes:
            attrs = {"starts": tuple(starts), "stops": tuple(stops), "axes": tuple(axes), "steps": tuple(steps)}
            result = apply_op(context, "slice", (result,), attrs, expr.span, (expr.value.span,))
        if dropped:
            shape = tuple(s for axis, s in enumerate(result.type.shape) if axis not in dropped)
            result = b.reshape(result, shape=shape)
    return result


def _position(context: Context, item: Any, size: Size, node: syntax.Expr | syntax.Slice) -> Size:
    if not is_size(item):
        raise fail("bad-index", "an index is a whole number, a slice or a tensor of indices", node.span, describe(item),
                   help=_BESIDE if isinstance(item, Value) else _NEW_AXIS if item is None else None)  # fmt: skip
    position = item + size if isinstance(item, int) and item < 0 else item
    title = ("index ", item, " is outside a dimension of size ", size)
    _require(context, [(0, position), (position + 1, size)], title, node.span, "the first index is 0; -1 is the last")
    return position


def _require(
    context: Context,
    order: list[tuple[Size, Size]],
    title: tuple[str | Size, ...],
    place: Span,
    help: str | None = None,
) -> None:
    """Raises bad-index where a pair is not in ascending order; what open sizes decide is left to the run."""
    fault = Diagnostic("bad-index", "".join(map(str, title)), Label(place), help=help)
    for low, high in order:
        decided = decide_less(high, low)
        if decided:
            raise DiagnosticError(fault)
        if decided is None:
            context.demand(Demand(Comparison(low, "<=", high), title, (), fault))


def _bounds(context: Context, item: slice, size: Size, node: syntax.Expr | syntax.Slice) -> tuple[Size, Size, int]:
    step = 1 if item.step is None else item.step
    if not isinstance(step, int) or step < 1:
        raise fail("bad-index", "the step of a slice is a whole number above 0", node.span,
                   help="`gather(x, n - 1 - iota(n), axis = 0)` turns an axis around")  # fmt: skip
    start = 0 if item.start is None else _from_end(item.start, size)
    stop = size if item.stop is None else _from_end(item.stop, size)
    title = ("the slice ", start, ":", stop, " does not fit a dimension of size ", size)
    _require(context, [(0, start), (start, stop), (stop, size)], title, node.span)
    return start, stop, step


def _from_end(bound: Any, size: Size) -> Size:
    return size + bound if isinstance(bound, int) and bound < 0 else bound
