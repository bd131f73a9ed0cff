"""`aggregate sum over (u -> v) in edges { … }`: message passing on graphs (Gilmer et al. 2017).

The body is computed for all edges at once: what `x[u]` and `alpha[u -> v]` are worth has the edges as its first axis.
Operators with two operands pair such tensors edge by edge, whatever dimensions an edge has in each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, did_you_mean, fail
from netlang.dims import Size, decide_equal
from netlang.source import Span
from netlang.types import FLOATS

from ..builder import Builder
from ..ir import Value
from .context import Context, Reported
from .values import EdgeEnd, Environment, Poison, describe, is_number

REDUCERS = ("sum", "mean", "max", "min", "softmax")


@dataclass(eq=False)
class Edges:
    """The edges of an `aggregate` whose body is being executed.

    nodes: the size of the node tensors that were read, None before the first; found: where that was. values: tensors
    with a row for each edge.
    """

    expr: syntax.Aggregate
    index: Value
    nodes: Size | None = None
    found: Span | None = None
    values: set[Value] = field(default_factory=set)

    @property
    def count(self) -> Size:
        """The number of edges."""
        return self.index.type.shape[1]

    @property
    def size(self) -> Size:
        """The number of nodes, known once the body was executed."""
        assert self.nodes is not None
        return self.nodes

    def row(self, b: Builder, row: int) -> Value:
        """The source (0) or the target (1) of each edge: i64[edges]."""
        one = b.slice(self.index, starts=(row,), stops=(row + 1,), axes=(0,), steps=(1,))
        return b.reshape(one, shape=(self.count,))


def aggregate(context: Context, expr: syntax.Aggregate, environment: Environment) -> Value:
    """The value of an `aggregate`: a row for each node, or, of `softmax`, for each edge."""
    from .expressions import evaluate_block

    _check_reducer(expr.reducer)
    edges = Edges(expr, _index(context, expr, environment))
    inner = Environment(environment)
    for row, name in enumerate((expr.edge.source, expr.edge.target)):
        inner.set(name.name, EdgeEnd(name.name, row, edges))
    context.frame.edges.append(edges)
    try:
        value = evaluate_block(context, expr.body, inner)
    finally:
        context.frame.edges.pop()
    messages = _messages(context, edges, value)
    with context.builder.at(expr.span):
        result = _REDUCE[expr.reducer.name](context.builder, edges, messages)
    context.remember(result, expr.span, (messages,))
    return result


def _check_reducer(name: syntax.Name) -> None:
    if name.name not in REDUCERS:
        known = ", ".join(f"`{word}`" for word in REDUCERS)
        raise fail("bad-value", f"`aggregate` has no `{name.name}`", name.span,
                   help=did_you_mean(name.name, REDUCERS) or f"it has {known}")  # fmt: skip


def _index(context: Context, expr: syntax.Aggregate, environment: Environment) -> Value:
    from .expressions import evaluate

    value = evaluate(context, expr.edges, environment)
    if isinstance(value, Poison):
        raise Reported
    is_pairs = isinstance(value, Value) and value.type.rank == 2 and value.type.shape[0] == 2
    if not is_pairs or value.type.dtype not in ("i64", "i32"):
        way_out = None
        if isinstance(value, Value) and value.type.rank == 2 and value.type.shape[1] == 2:
            way_out = "the first row holds the sources, the second the targets: `edges.T`"
        raise fail("edges-shape", "edges are two rows of node numbers: sources and targets", expr.edges.span,
                   describe(value), expected="i64[2, edges]", found=describe(value), help=way_out)  # fmt: skip
    return value


# --- Reading ---------------------------------------------------------------------------------------------------------


def read(context: Context, expr: syntax.Index, value: Value, end: EdgeEnd) -> Value:
    """`x[u]`: the row of `x` that belongs to an end of each edge."""
    edges = _running(context, end, expr)
    if len(expr.items) != 1:
        raise fail("bad-index", f"the node `{end.name}` stands alone in the brackets", expr.span,
                   help=f"`x[{end.name}]` has the dimensions of `x` behind the first")  # fmt: skip
    if not value.type.rank:
        raise fail("bad-index", "this is one number, and has no row for each node", expr.value.span, str(value.type))
    _check_nodes(edges, value, expr)
    b = context.builder
    with b.at(expr.span):
        result = b.gather(value, edges.row(b, end.row))
    edges.values.add(result)
    return result


def read_edge(context: Context, expr: syntax.Index, value: Any, edge: syntax.Edge) -> Value:
    """`alpha[u -> v]`: a tensor with a row for each edge."""
    around = [e for e in context.frame.edges if _names(e.expr.edge) == _names(edge)]
    if not around or len(expr.items) != 1:
        known = context.frame.edges
        way_out = f"the edges are called `{known[-1].expr.edge.span.text}` here" if known else None
        raise fail("bad-index", f"`[{edge.span.text}]` reads the edges of an `aggregate … over ({edge.span.text})`",
                   edge.span, help=way_out)  # fmt: skip
    edges = around[-1]
    if not isinstance(value, Value) or not value.type.rank or value.type.shape[0] != edges.count:
        raise fail("edges-shape", f"`[{edge.span.text}]` reads a tensor with a row for each edge", expr.value.span,
                   describe(value), expected=f"[{edges.count}, …]", found=describe(value),
                   help=f"`[{edge.source.name}]` reads the row of a node")  # fmt: skip
    edges.values.add(value)
    return value


def _names(edge: syntax.Edge) -> tuple[str, str]:
    return edge.source.name, edge.target.name


def _running(context: Context, end: EdgeEnd, expr: syntax.Index) -> Edges:
    """The edges that an end is of, in whose body the expression must stand itself."""
    if end.edges in context.frame.edges:
        return end.edges
    raise fail("bad-index", f"the node `{end.name}` has no meaning here", expr.items[0].span,
               help="read the rows in the body of the `aggregate`, and hand them on")  # fmt: skip


def _check_nodes(edges: Edges, value: Value, expr: syntax.Index) -> None:
    size = value.type.shape[0]
    if edges.nodes is None:
        edges.nodes, edges.found = size, expr.value.span
    elif not decide_equal(edges.nodes, size):
        assert edges.found is not None
        raise fail("shape-mismatch", "this tensor has another number of nodes than the one read before",
                   expr.value.span, str(value.type), expected=f"[{edges.nodes}, …]", found=value.type,
                   secondary=[Label(edges.found, f"{edges.nodes} nodes")],
                   help=f"a tensor with a row for each edge is read with `[{edges.expr.edge.span.text}]`")  # fmt: skip


# --- Operators -------------------------------------------------------------------------------------------------------


def paired(context: Context, operands: tuple[Any, Any]) -> tuple[Any, Any]:
    """Both operands, with axes of size 1 behind the edges of the one that has fewer for each edge."""
    ranks = [_rank(context, x) for x in operands]
    if not context.frame.edges or None in ranks:
        return operands
    wanted = max(rank for rank in ranks if rank is not None)
    return tuple(_widened(context, x, wanted) for x in operands)  # type: ignore[return-value]


def _rank(context: Context, value: Any) -> int | None:
    """Dimensions that a value has for each edge; None for what is no tensor."""
    if not isinstance(value, Value):
        return None
    return value.type.rank - is_of_edges(context, value)


def _widened(context: Context, value: Value, rank: int) -> Value:
    if not is_of_edges(context, value) or value.type.rank - 1 == rank:
        return value
    first, *rest = value.type.shape
    return context.builder.reshape(value, shape=(first, *(1,) * (rank - len(rest)), *rest))


def is_of_edges(context: Context, value: Value) -> bool:
    """Whether a tensor was read edge by edge in the body of the innermost `aggregate`, or computed from such ones."""
    edges = context.frame.edges[-1] if context.frame.edges else None
    if edges is None or not value.type.rank or value.type.shape[0] != edges.count:
        return False
    waiting, seen = [value], {value}
    while waiting:
        one = waiting.pop()
        if one in edges.values:
            edges.values.add(value)
            return True
        producer = context.builder.producer(one)
        fresh = [x for x in producer.inputs if x not in seen] if producer is not None else []
        seen.update(fresh)
        waiting.extend(fresh)
    return False


# --- Reducing --------------------------------------------------------------------------------------------------------


def _messages(context: Context, edges: Edges, value: Any) -> Value:
    """What the body is worth, a row for each edge."""
    expr = edges.expr
    place = expr.body.statements[-1].span if expr.body.statements else expr.body.span
    if isinstance(value, Poison):
        raise Reported
    context.frame.edges.append(edges)
    of_edges = isinstance(value, Value) and is_of_edges(context, value)
    context.frame.edges.pop()
    if not isinstance(value, Value) or not of_edges:
        raise _no_message(edges, value, place)
    if edges.nodes is None:
        raise _no_nodes(edges, place)
    divides = expr.reducer.name in ("mean", "softmax")
    if value.type.dtype not in (FLOATS if divides else (*FLOATS, "i64", "i32")):
        kind = "floats" if divides else "numbers"
        raise fail("type-mismatch", f"`aggregate {expr.reducer.name}` needs {kind}", place, describe(value),
                   help="`f32(x)` converts")  # fmt: skip
    return value


def _no_message(edges: Edges, value: Any, span: Span) -> DiagnosticError:
    way_out = f"read nodes with `[{edges.expr.edge.source.name}]`, edges with `[{edges.expr.edge.span.text}]`"
    if isinstance(value, Value) and edges.values:
        way_out = "the edges are the first axis: `sum(x, -1)`, for example, sums over the last one alone"
    shown = "the body" if not is_number(value) else f"{describe(value)} is the same for all edges; the body"
    return fail("edges-shape", f"{shown} must be worth a row for each edge", span, describe(value),
                expected=f"[{edges.count}, …]", found=describe(value), help=way_out)  # fmt: skip


def _no_nodes(edges: Edges, span: Span) -> DiagnosticError:
    target = edges.expr.edge.target.name
    return fail("edges-shape", "nothing says how many nodes there are", span,
                help=f"read a tensor of nodes in the body: `… * ones(nodes)[{target}]`")  # fmt: skip


def _sum(b: Builder, edges: Edges, messages: Value) -> Value:
    return b.scatter_rows(messages, edges.row(b, 1), rows=edges.size)


def _received(b: Builder, edges: Edges, messages: Value) -> Value:
    """How many edges end in each node, with an axis of size 1 for each dimension of a message."""
    ones = b.full(shape=(edges.count,), value=1.0, dtype="f32")
    counts = b.scatter_rows(ones, edges.row(b, 1), rows=edges.size)
    return b.reshape(counts, shape=(edges.size, *(1,) * (messages.type.rank - 1)))


def _mean(b: Builder, edges: Edges, messages: Value) -> Value:
    """The mean of what a node receives, 0 where that is nothing."""
    counts = b.cast(b.maximum(_received(b, edges, messages), 1.0), dtype=messages.type.dtype)
    return b.div(_sum(b, edges, messages), counts)


def _largest(b: Builder, edges: Edges, messages: Value, reduction: str) -> Value:
    """The extreme of what each node receives; where that is nothing, the value that everything exceeds."""
    dtype = messages.type.dtype
    if dtype in FLOATS:
        lowest = -np.inf if reduction == "max" else np.inf
    else:
        limits = np.iinfo(np.int64 if dtype == "i64" else np.int32)
        lowest = limits.min if reduction == "max" else limits.max
    start = b.full(shape=(edges.size, *messages.type.shape[1:]), value=lowest, dtype=dtype)
    places = b.reshape(edges.row(b, 1), shape=(edges.count, 1))
    return b.scatter_nd(start, places, messages, reduction=reduction)


def _extreme(b: Builder, edges: Edges, messages: Value) -> Value:
    """The largest or smallest of what a node receives, 0 where that is nothing."""
    found = _largest(b, edges, messages, edges.expr.reducer.name)
    return b.select(b.greater(_received(b, edges, messages), 0.0), found, b.constant(0, messages.type.dtype))


def _softmax(b: Builder, edges: Edges, scores: Value) -> Value:
    """exp(score) over the sum of it for all edges that end in the same node, without overflow."""
    targets, nodes = edges.row(b, 1), edges.size
    largest = b.gather(_largest(b, edges, b.stop_gradient(scores), "max"), targets)
    powers = b.exp(b.sub(scores, largest))
    totals = b.scatter_rows(powers, targets, rows=nodes)
    return b.div(powers, b.gather(totals, targets))


_REDUCE = {"sum": _sum, "mean": _mean, "max": _extreme, "min": _extreme, "softmax": _softmax}
