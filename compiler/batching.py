"""Decides whether a batch may be computed in parts: whether the loss is a mean over independent rows.

Where it is, the gradient of a batch is the mean of the gradients of its parts, and the parts can run on several cores,
each in its own session, in pieces that fit the cache. Batch normalisation, for example, mixes rows, and forbids it.

The proof is an abstract interpretation of the graph with an open batch size: wherever that size shows in a shape, the
tensor has rows; operators must keep rows apart until a mean over all of them ends them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from netlang.dims import substitute, symbol, symbols

from .builder import Builder, size_of
from .control import body_of
from .dtypes import numpy_dtype
from .ir import Graph, Node, Value
from .ops import OPS
from .row_rules import (
    Mixed,
    Rows,
    draws_rows,
    has_rows,
    has_rule,
    is_multiple,
    keep_apart,
    mixed,
    reduced_axes,
    row_axes,
)


def batch_symbol(graph: Graph) -> str | None:
    """The open size that is the first dimension of every data input, if there is one."""
    firsts = {str(i.value.type.shape[0]) if i.value.type.shape else "" for i in graph.inputs if i.role == "data"}
    if len(firsts) != 1:
        return None
    (name,) = firsts
    return name if name.isidentifier() else None


def why_mixed(graph: Graph) -> str | None:
    """None where loss and reports are means over independent rows, else what stands against it."""
    try:
        kinds = _kinds(graph, batch_symbol(graph))
    except Mixed as mixed:
        return str(mixed)
    for output in graph.outputs:
        if kinds[output.value] not in (Rows.MEAN, Rows.NONE):
            return f"`{output.name}` is not a mean over the rows"
    return None


def independent_rows(graph: Graph) -> str | None:
    """The open size of the batch, where every row of every output is made of the same row of the inputs alone; None
    where there is no such size."""
    batch = batch_symbol(graph)
    if batch is None or row_sites(graph, batch):
        return None
    try:
        kinds = _kinds(graph, batch)
    except Mixed:
        return None
    values = [output.value for output in graph.outputs]
    apart = all(kinds[value] is Rows.SEPARATE and row_axes(value, batch) == [0] for value in values)
    return batch if apart and all(value.type.shape[0] == symbol(batch) for value in values) else None


def _kinds(graph: Graph, batch: str | None) -> dict[Value, Rows]:
    """What each value has to do with the rows of the batch. Raises Mixed."""
    if batch is None:
        raise Mixed("the inputs do not share an open first dimension")
    if any(output.role == "next" for output in graph.outputs):
        raise Mixed("the step updates states")
    kinds = dict.fromkeys(graph.sources(), Rows.NONE)
    for item in graph.inputs:
        if item.role == "data":
            if any(batch in symbols(size) for size in item.value.type.shape[1:]):
                raise Mixed(f"`{batch}` is more than the first dimension of `{item.name}`")
            kinds[item.value] = Rows.SEPARATE
    _judge_all(graph, kinds, batch)
    return kinds


def _judge_all(graph: Graph, kinds: dict[Value, Rows], batch: str) -> None:
    """Adds what each node of `graph` computes to `kinds`."""
    for node in graph.nodes:
        given = [kinds[x] for x in node.inputs]
        if node.bodies:
            kinds.update(zip(node.outputs, _BODIES[node.op](node, given, batch), strict=True))
        elif OPS[node.op].body is not None and not has_rule(node.op):
            kinds.update(zip(node.outputs, _judge_composite(node, given, batch), strict=True))
        else:
            kinds.update(dict.fromkeys(node.outputs, _judge(node, given, batch)))


def _judge_composite(node: Node, kinds: Sequence[Rows], batch: str) -> list[Rows]:
    """A composite does with the rows what its definition does."""
    body = body_of(Builder(node.op), node)
    known = dict(zip(body.sources(), kinds, strict=True))
    try:
        _judge_all(body, known, batch)
    except Mixed as mixed:
        raise Mixed(f"in `{node.op}`, {mixed}") from mixed
    return [known[output.value] for output in body.outputs]


def _judge_body(node: Node, body: Graph, kinds: Sequence[Rows], batch: str) -> list[Rows]:
    """The kinds of the outputs of a body: rows, or nothing to do with them."""
    known = dict(zip(body.sources(), kinds, strict=True))
    _judge_all(body, known, batch)
    found = [known[output.value] for output in body.outputs]
    if any(kind not in (Rows.NONE, Rows.SEPARATE) for kind in found):
        raise mixed(node, "sums rows up")
    return found


def _judge_rounds(node: Node, body: Graph, carries: list[Rows], others: list[Rows], batch: str) -> list[Rows]:
    """Of an iteration, whose inputs end with `carries` and `others`: carries have rows as soon as one round says so."""
    start = len(body.inputs) - len(carries) - len(others)
    first = len(body.outputs) - (len(node.outputs) - len(carries)) - len(carries)
    while True:
        found = _judge_body(node, body, [Rows.NONE] * start + carries + others, batch)
        if any(kind is not Rows.NONE for kind in found[:first]):
            raise mixed(node, "ends when the rows say so")
        after = [b if a is Rows.NONE else a for a, b in zip(carries, found[first:], strict=False)]
        if after == carries:
            return found[first:]
        carries = after


def _judge_scan(node: Node, kinds: list[Rows], batch: str) -> list[Rows]:
    carries = node.attributes["carries"]
    for sequence in node.inputs[carries : carries + node.attributes["sequences"]]:
        if 0 in row_axes(sequence, batch):
            raise mixed(node, "runs along the rows")
    return _judge_rounds(node, node.attributes["body"], kinds[:carries], kinds[carries:], batch)


def _judge_loop(node: Node, kinds: list[Rows], batch: str) -> list[Rows]:
    if any(kind is not Rows.NONE for kind in kinds[:2]):
        raise mixed(node, "runs as often as the rows say")
    carries = node.attributes["carries"]
    return _judge_rounds(node, node.attributes["body"], kinds[2 : carries + 2], kinds[carries + 2 :], batch)


def _judge_branch(node: Node, kinds: list[Rows], batch: str) -> list[Rows]:
    if kinds[0] is not Rows.NONE:
        raise mixed(node, "decides for all rows together")
    then, otherwise = (_judge_body(node, node.attributes[n], kinds[1:], batch) for n in ("then", "otherwise"))
    return [b if a is Rows.NONE else a for a, b in zip(then, otherwise, strict=True)]


def _judge_block(node: Node, kinds: list[Rows], batch: str) -> list[Rows]:
    return _judge_body(node, node.attributes["body"], kinds, batch)


_BODIES: Mapping[str, Callable[[Node, list[Rows], str], list[Rows]]] = {
    "scan_over": _judge_scan,
    "loop_while": _judge_loop,
    "branch": _judge_branch,
    "block": _judge_block,
}
"""What operators on graphs compute, by the kinds of their inputs."""


def _judge(node: Node, kinds: list[Rows], batch: str) -> Rows:
    result = node.outputs[0]
    if node.op == "dim":
        return _judge_count(node, batch)
    if all(kind is Rows.NONE for kind in kinds):
        if not row_axes(result, batch):
            return Rows.NONE
        same = node.op in ("full", "expand") and has_rows(result, batch)
        if same or draws_rows(node, batch):  # the same for every row, or its own
            return Rows.SEPARATE
        raise mixed(node, "computes something for all rows together")
    if Rows.SEPARATE in kinds:
        return _separate(node, kinds, batch)
    return _combine(node, kinds, batch)


def _judge_count(node: Node, batch: str) -> Rows:
    """The number of rows times something; `n - 1` or `n * n` would not be the sum of what its parts give."""
    size = node.attributes["size"]
    if batch not in symbols(size):
        return Rows.NONE
    if not is_multiple(size, batch):
        raise mixed(node, f"is `{size}`, not a multiple of the number of rows")
    return Rows.COUNT


def row_sites(graph: Graph, batch: str) -> frozenset[int]:
    """The places that draw random numbers for each row of the batch."""
    own = frozenset(node.attributes["site"] for node in graph.nodes if draws_rows(node, batch))
    return own.union(*(row_sites(body, batch) for node in graph.nodes for body in node.bodies))


def _separate(node: Node, kinds: list[Rows], batch: str) -> Rows:
    """An operator with a tensor of rows among its inputs."""
    if any(kind in (Rows.MEAN, Rows.SUM, Rows.COUNT) for kind in kinds):
        raise mixed(node, "uses a mean over the rows within a row")
    if node.op in ("mean", "sum") and set(row_axes(node.inputs[0], batch)) & reduced_axes(node):
        return Rows.MEAN if node.op == "mean" else Rows.SUM
    keep_apart(node, kinds, batch)
    return Rows.SEPARATE


def _combine(node: Node, kinds: list[Rows], batch: str) -> Rows:
    """Arithmetic on what is left after the rows have been summed up: only what commutes with taking a mean."""
    present = [kind for kind in kinds if kind is not Rows.NONE]
    if row_axes(node.outputs[0], batch):
        raise mixed(node, "uses a mean over the rows within a row")
    if node.op in ("add", "sub"):
        if present[0] is Rows.MEAN or (len(present) == len(kinds)):
            return _same(node, present)
    elif node.op == "div" and len(kinds) == 2:
        if kinds[0] is Rows.SUM and kinds[1] is Rows.COUNT:
            return Rows.MEAN
        if kinds[1] is Rows.NONE:
            return kinds[0]
    elif (node.op == "mul" and len(present) == 1) or node.op in _LINEAR:
        return present[0]
    elif node.op == "cast" and (kinds[0] is Rows.COUNT or node.outputs[0].type == node.inputs[0].type):
        return kinds[0]
    raise mixed(node, "computes with a mean over the rows")


_LINEAR = ("neg", "sum", "mean", "reshape", "transpose", "expand")


def _same(node: Node, kinds: list[Rows]) -> Rows:
    if len(set(kinds)) == 1:
        return kinds[0]
    raise mixed(node, "adds a mean and a sum over the rows")


def row_bytes(graph: Graph, batch: str, dims: Mapping[str, int]) -> int:
    """Bytes that the largest node reads and writes for each row: what should fit a core's cache, times rows."""
    largest = 0
    for node in graph.nodes:
        largest = max((largest, *(row_bytes(body, batch, dims) for body in node.bodies)))
        if node.bodies:
            continue
        touched = {x for x in (*node.inputs, *node.outputs) if row_axes(x, batch)}
        largest = max(largest, sum(_bytes(x, {**dims, batch: 1}) for x in touched))
    return largest


def _bytes(value: Value, dims: Mapping[str, int]) -> int:
    count = substitute(size_of(value.type.shape), dims)
    return count * numpy_dtype(value.type.dtype).itemsize if isinstance(count, int) else 0
