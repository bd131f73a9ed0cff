"""Cuts a graph at the sums over its rows, so that all between them may be computed in parts of the batch.

Batch normalisation binds the rows of a batch together, but only through sums: of what it normalises, of the squares,
and of two products in its gradient. Each part of the batch computes its share of a sum and waits until the others have
theirs: a barrier. Between two barriers rows are independent, so that each core has parts of its own.

`cut_at_barriers` judges a graph with an open batch size, node by node, as `batching` does; `segments` makes the graphs
of what it finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from netlang.dims import Dim, Size, substitute, symbols

from .builder import Builder, size_of
from .control import needed_nodes
from .determined import determined
from .ir import Graph, Node, Value
from .passes.dead import dead
from .passes.rebuild import Results, rebuild
from .row_rules import Mixed, Rows, draws_rows, has_rows, keep_apart, mixed, reduced_axes, row_axes

VIEW = "reshape"
"""The operator that computes nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A graph and how it falls into segments, each of which a part of the batch runs by itself.

    kinds: of each value, NONE where all parts have the same, SEPARATE where it has rows, SUM where each has its share.
    segments: the nodes with rows or shares, in their order; what is the same in all parts belongs to no segment, since
        each computes of it what it needs. sums: the shares that are added up, and the segment after which they are.
    kept: what later segments read of a part, and the last of them. A reshaped value is kept as it was before: handing
        it on would be a copy, and reshaping it again is none.
    """

    graph: Graph
    batch: str
    kinds: Mapping[Value, Rows]
    segments: tuple[tuple[Node, ...], ...]
    sums: Mapping[Value, int]
    kept: Mapping[Value, int]

    def takes_share(self, node: Node, value: Value) -> bool:
        """Whether `node` reads what only this part has of `value`: rows, or its share of a sum."""
        kind = self.kinds[value]
        return kind is Rows.SEPARATE or (kind is Rows.SUM and self.kinds[node.outputs[0]] is Rows.SUM)

    def is_share(self, role: str, value: Value) -> bool:
        """Whether an output is a sum over the parts that the caller takes: gradients are added up anyway."""
        return role == "gradient" and self.kinds[value] is Rows.SUM


def cut_at_barriers(graph: Graph, batch: str, rows: int) -> Cut:
    """How `graph`, whose open size `batch` will be `rows`, falls into segments. Raises Mixed where it does not."""
    graph = dead(_with_sums(graph, batch, rows))
    kinds = _judge_all(graph, batch)
    sums = _needed_sums(graph, kinds)
    segments, after = _segments(graph, kinds, sums)
    cut = Cut(graph, batch, kinds, segments, after, {})
    return replace(cut, kept=_kept(cut))


def _with_sums(graph: Graph, batch: str, rows: int) -> Graph:
    """The graph with numbers for what counts rows, and with sums for means over them: shares of those add up."""

    def rewrite(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if node.op == "dim" and batch in symbols(node.attributes["size"]):
            return b.constant(np.array(substitute(node.attributes["size"], {batch: rows})), "i64")
        if node.op == "mean" and reduced_axes(node) & set(row_axes(node.inputs[0], batch)):
            count = substitute(size_of([node.inputs[0].type.shape[axis] for axis in reduced_axes(node)]), {batch: rows})
            if isinstance(count, Dim):
                return None
            return b.mul(b.sum(inputs[0], **node.attributes), 1 / count)
        return None

    return rebuild(graph, rewrite)


# --- What each value is --------------------------------------------------------------------------------------------


def _judge_all(graph: Graph, batch: str) -> dict[Value, Rows]:
    kinds = dict.fromkeys(graph.sources(), Rows.NONE)
    for item in graph.inputs:
        if item.role == "data":
            if row_axes(item.value, batch) != [0]:
                raise Mixed(f"`{batch}` is more than the first dimension of `{item.name}`")
            kinds[item.value] = Rows.SEPARATE
    for node in graph.nodes:
        kinds.update(dict.fromkeys(node.outputs, _judge(node, [kinds[x] for x in node.inputs], batch)))
    return kinds


def _judge(node: Node, kinds: list[Rows], batch: str) -> Rows:
    if node.bodies or determined(node):
        raise mixed(node, "is not cut")
    if Rows.SEPARATE not in kinds:
        return _judge_without_rows(node, kinds, batch)
    if _sums_rows(node, kinds, batch):
        return Rows.SUM
    keep_apart(node, [Rows.NONE if kind is Rows.SUM else kind for kind in kinds], batch)
    return Rows.SEPARATE


def _judge_without_rows(node: Node, kinds: list[Rows], batch: str) -> Rows:
    if row_axes(node.outputs[0], batch):
        if (node.op in ("full", "expand") and has_rows(node.outputs[0], batch)) or draws_rows(node, batch):
            return Rows.SEPARATE
        raise mixed(node, "computes something for all rows together")
    return Rows.SUM if _adds_up(node, kinds) else Rows.NONE


def _adds_up(node: Node, kinds: Sequence[Rows]) -> bool:
    """Whether the results for shares of sums add up to the result for the sums."""
    shares = [kind is Rows.SUM for kind in kinds]
    match node.op:
        case "neg" | "reshape" | "transpose" | "expand" | "sum" | "mean" | "add" | "sub":
            return bool(shares) and all(shares)
        case "mul":
            return sum(shares) == 1
        case "div":
            return shares == [True, False]
    return False


def _sums_rows(node: Node, kinds: Sequence[Rows], batch: str) -> bool:
    """Whether a node sums over the rows, all of which its inputs have where one sum needs them."""
    first = row_axes(node.inputs[0], batch)
    both = len(kinds) == 2 and all(kind is Rows.SEPARATE for kind in kinds)
    match node.op:
        case "sum":
            return bool(set(first) & reduced_axes(node)) and not row_axes(node.outputs[0], batch)
        case "conv_weight_gradient" | "scatter_rows":
            return both and first == row_axes(node.inputs[1], batch) == [0]
        case "matmul":
            left, right = node.inputs
            return both and first == [left.type.rank - 1] and row_axes(right, batch) == [right.type.rank - 2]
    return False


# --- Where the barriers are ----------------------------------------------------------------------------------------


def _needed_sums(graph: Graph, kinds: Mapping[Value, Rows]) -> set[Value]:
    """The shares that must be added up before the graph goes on: as early as they are as small."""
    found = {o.value for o in graph.outputs if kinds[o.value] is Rows.SUM and o.role != "gradient"}
    for node in graph.nodes:
        if kinds[node.outputs[0]] is not Rows.SUM:
            found.update(x for x in node.inputs if kinds[x] is Rows.SUM)
    for node in reversed(graph.nodes):
        shares = [x for x in node.inputs if kinds[x] is Rows.SUM]
        if node.outputs[0] in found and shares and _elements(shares) <= _elements(node.outputs):
            found.remove(node.outputs[0])
            found.update(shares)
    return found


def _elements(values: Iterable[Value]) -> int:
    return sum(_known(size_of(value.type.shape)) for value in values)


def _known(size: Size) -> int:
    return size if isinstance(size, int) else 1 << 62


def _of_data(graph: Graph, sums: set[Value]) -> list[Node]:
    """The nodes that sums of the data alone need, such as how many words a batch has."""
    learned = {variable.value for variable in graph.variables}
    for node in graph.nodes:
        if not learned.isdisjoint(node.inputs):
            learned.update(node.outputs)
    return needed_nodes(graph.nodes, sums - learned)


def _segments(
    graph: Graph, kinds: Mapping[Value, Rows], sums: set[Value]
) -> tuple[tuple[tuple[Node, ...], ...], dict[Value, int]]:
    """The segments, and where each sum is complete: a node that needs one of the present segment begins the next.

    Sums of the data alone come before all else, which then keeps nothing until they are complete.
    """
    first = _of_data(graph, sums)
    done = set(first)
    rest = [node for node in graph.nodes if node not in done]
    segments: list[list[Node]] = [[]]
    after: dict[Value, int] = {}
    whole: dict[Value, int] = {}  # the segment that has to end before a value is known that all parts have alike
    for node in [*first, *rest]:
        kind = kinds[node.outputs[0]]
        if kind is not Rows.SEPARATE:
            whole.update(dict.fromkeys(node.outputs, max((whole.get(x, -1) for x in node.inputs), default=-1)))
        if kind is Rows.NONE:
            continue
        shares = Rows.SUM if kind is Rows.SUM else None
        waits = any(whole.get(x) == len(segments) - 1 for x in node.inputs if kinds[x] not in (Rows.SEPARATE, shares))
        if waits or (segments[-1] and segments[-1][-1] in done and node not in done):
            segments.append([])
        segments[-1].append(node)
        after.update({value: len(segments) - 1 for value in node.outputs if value in sums})
        whole.update(after)
    return tuple(map(tuple, segments)), after


def _kept(cut: Cut) -> dict[Value, int]:
    """What later segments read of a part, and the last of them."""
    made: dict[Value, int] = {}
    last: dict[Value, int] = {}
    views: dict[Value, Value] = {}
    for index, nodes in enumerate(cut.segments):
        for node in nodes:
            made.update(dict.fromkeys(node.outputs, index))
            if node.op == VIEW:
                views[node.outputs[0]] = views.get(node.inputs[0], node.inputs[0])
            shares = (views.get(x, x) for x in node.inputs if cut.takes_share(node, x))
            last.update({x: index for x in shares if made.get(x, index) < index})
    return last
