"""Gradients that are 0 but for rows at positions, kept as these rows, and an update that touches no others."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

from netlang.types import TensorType

from ..builder import Builder, size_of
from ..ir import Graph, Init, Node, Output, Value
from .dead import dead

PLACES, ROWS, TABLE = "places", "rows", "table"
"""Roles of results: positions i64[k, 1], and k rows that are to be added there. And the name of what is updated."""

Sum = list[tuple[Value, Value]]
"""Of rows at positions: (values, index), as scatter_rows takes them."""


def rows(graph: Graph, tables: Mapping[str, float], beside: Collection[str] = ()) -> Graph:
    """Puts, for the gradients of `tables` that are sums of rows at positions, these in their place.

    `grad.NAME` becomes `grad.NAME.places.0`, `grad.NAME.rows.0`, …: a pair for each use of the table. Where there would
    be more rows than as many times those of the table as `tables` says, the gradient stays. Of the tables `beside`,
    gradients to which something else adds as well lose these rows to results beside them.
    """
    b = Builder(graph.name)
    b.differentiated = graph.differentiated
    b.demands.extend(graph.demands)
    b.adopt(graph)
    for output in graph.outputs:
        name = output.name.removeprefix("grad.") if output.role == "gradient" else ""
        found, rest = _split(b, output.value) if name in tables or name in beside else ([], output.value)
        if found and rest is None and _count(found) <= tables.get(name, 0) * _length(output.value):
            b.outputs.extend(_as_rows(b, output.name, found))
        elif found and rest is not None and name in beside and _count(found) < math.inf:
            b.outputs.append(Output(output.name, rest, output.role))
            b.outputs.extend(_as_rows(b, output.name, found))
        else:
            b.outputs.append(output)
    return dead(b.graph(**graph.metadata))


def _split(b: Builder, x: Value) -> tuple[Sum, Value | None]:
    """The rows at positions that add to x, and the rest, if there is any."""
    node = b.producer(x)
    if node is not None and node.op == "scatter_rows":
        values, index = node.inputs
        return [(values, index)], None
    if node is None or node.op != "add" or any(term.type != x.type for term in node.inputs):
        return [], x
    (one, first), (other, second) = (_split(b, term) for term in node.inputs)
    if not one and not other:
        return [], x
    return one + other, second if first is None else first if second is None else b.add(first, second)


def _length(table: Value) -> float:
    size = table.type.shape[0]
    return size if isinstance(size, int) else 0


def _count(found: Sum) -> float:
    sizes = [size for _, index in found for size in index.type.shape]
    if any(not isinstance(size, int) for size in sizes):
        return math.inf
    return sum(math.prod(index.type.shape) for _, index in found)  # type: ignore[arg-type]


def _as_rows(b: Builder, name: str, found: Sum) -> Iterator[Output]:
    for number, (values, index) in enumerate(found):
        places = b.cast(b.reshape(index, shape=(size_of(index.type.shape), 1)), dtype="i64")
        yield Output(f"{name}.{PLACES}.{number}", places, PLACES)
        yield Output(f"{name}.{ROWS}.{number}", values, ROWS)


def row_outputs(graph: Graph) -> Iterator[tuple[str, Output, Output]]:
    """The name of the table, the positions and the rows, for each use of a table that `rows` has found."""
    places = (output for output in graph.outputs if output.role == PLACES)
    values = (output for output in graph.outputs if output.role == ROWS)
    for place, value in zip(places, values, strict=True):
        yield value.name.removeprefix("grad.").rpartition(f".{ROWS}.")[0], place, value


def adds_multiple(apply: Graph) -> bool:
    """Whether a flat optimizer step adds a multiple of the gradient to the parameter and does nothing else.

    A part of the gradient that is 0 then changes nothing, and sums of gradients change what their parts change.
    """
    if len(apply.variables) != 1:
        return False
    producers = {value: node for node in apply.nodes for value in node.outputs}
    gradients = {item.value for item in apply.inputs if item.role == "gradient"}
    parameter, (new,) = apply.variables[0].value, (output.value for output in apply.outputs)

    def is_multiple(x: Value) -> bool:
        node = producers.get(x)
        if x in gradients or node is None:
            return x in gradients
        match node.op:
            case "mul":
                return any(is_multiple(one) and not other.type.rank for one, other in _both_ways(node))
            case "div":
                return is_multiple(node.inputs[0]) and not node.inputs[1].type.rank
            case "neg" | "add" | "sub":
                return all(map(is_multiple, node.inputs))
        return False

    last = producers.get(new)
    if last is None or last.op not in ("add", "sub"):
        return False
    pairs = _both_ways(last) if last.op == "add" else [last.inputs]
    return any(kept is parameter and is_multiple(change) for kept, change in pairs)


def _both_ways(node: Node) -> list[tuple[Value, ...]]:
    return [node.inputs, node.inputs[::-1]]


def row_update(apply: Graph, table: TensorType, values: TensorType) -> Graph:
    """From the table, `places` i64[k, 1] and `rows` f32[k, n] to the new table, as `apply` would do it.

    `apply` is a flat optimizer step of which `adds_multiple` holds: what it makes of 0 by a gradient of 1 is the
    factor.
    """
    b = Builder(ROWS)
    old, places, given = _table_and_rows(b, table, values)
    known = {apply.variables[0].value: b.constant(0.0)}
    for item in apply.inputs:
        numeric = item.role != "gradient"
        known[item.value] = b.input(item.name, item.value.type, item.role) if numeric else b.constant(1.0)
    for node in apply.nodes:
        results = b.apply(node.op, [known[x] for x in node.inputs], node.attributes)
        known.update(zip(node.outputs, results if isinstance(results, tuple) else (results,), strict=True))
    (output,) = apply.outputs
    change = b.mul(given, known[output.value])
    b.output(TABLE, b.scatter_nd(old, places, change, reduction="add"), "next")
    return b.graph()


def row_writes(table: TensorType, values: TensorType, reduction: str) -> Graph:
    """From the table, `places` i64[k, 1] and `rows` f32[k, n] to the new table: with the rows added to its own ("add"),
    or in their place ("none").
    """
    b = Builder(ROWS)
    b.output(TABLE, b.scatter_nd(*_table_and_rows(b, table, values), reduction=reduction), "next")
    return b.graph()


def _table_and_rows(b: Builder, table: TensorType, values: TensorType) -> tuple[Value, Value, Value]:
    old = b.variable(TABLE, table, "param", Init("zeros"))
    places = b.input(PLACES, TensorType("i64", (values.shape[0], 1)), "data")
    return old, places, b.input(ROWS, values, "data")
