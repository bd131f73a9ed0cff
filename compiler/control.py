"""Builds nodes on graphs: `scan_over`, `loop_while`, `branch` and `block`.

The body of each is made with a builder of its own, `body = b.inner("name")`. Values of the graph around may be operands
in it: they become captures, which the node takes as inputs, so that a body depends on nothing but its own inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from netlang.diagnostics import fail
from netlang.dims import Size
from netlang.source import BUILTIN
from netlang.types import TensorType

from .builder import Builder, last_fresh
from .determined import NOTHING, determined, sizes_of
from .ir import Graph, Input, Node, Value
from .ops import OPS
from .shapes import attribute_symbols


def scan(
    b: Builder,
    body: Builder,
    carries: Sequence[Value],
    sequences: Sequence[Value],
    *,
    reverse: bool = False,
    recompute: bool = False,
) -> tuple[list[Value], list[Value]]:
    """Runs `body` for each element of `sequences` along their first axis: the last carries, and what is stacked.

    Inputs of the body: the carries, then a slice of each sequence. Outputs: the next carries, of the same types, then
    what is to be stacked along a new first axis. With `reverse` it runs from the last element to the first, and stacks
    keep the order of the sequences.
    """
    graph, captures = finish(body)
    attrs = {"body": graph, "carries": len(carries), "sequences": len(sequences)}
    attrs |= {"reverse": reverse, "recompute": recompute}
    results = apply(b, "scan_over", (*carries, *sequences, *captures), attrs)
    return list(results[: len(carries)]), list(results[len(carries) :])


def loop(
    b: Builder,
    body: Builder,
    trips: Value | None,
    condition: Value | None,
    carries: Sequence[Value],
    *,
    bound: int | None = None,
    recompute: bool = False,
) -> tuple[list[Value], list[Value]]:
    """Runs `body` at most `trips` times (i64[]), while a condition (bool[]) holds: last carries, what is stacked.

    Inputs of the body: the number of rounds done (i64[]), then the carries. Outputs: whether to go on (bool[]), the
    next carries, of the same types, then what is to be stacked along a new first axis, whose size is known at run
    time. `bound` states how many rounds there can be; without it there is no gradient.
    """
    graph, captures = finish(body)
    rounds = trips if trips is not None else b.constant(np.array(np.iinfo(np.int64).max if bound is None else bound))
    go_on = condition if condition is not None else b.constant(True)
    attrs = {"body": graph, "carries": len(carries), "bound": bound, "recompute": recompute}
    results = apply(b, "loop_while", (rounds, go_on, *carries, *captures), attrs)
    return list(results[: len(carries)]), list(results[len(carries) :])


def branch(b: Builder, condition: Value, then: Builder, otherwise: Builder) -> list[Value]:
    """The outputs of `then` where `condition` (bool[]) is true, else those of `otherwise`, of the same types.

    Both bodies have no inputs but captures.
    """
    assert not then.inputs and not otherwise.inputs, "the bodies of a choice have no inputs of their own"
    first, first_captures = finish(then)
    second, second_captures = finish(otherwise)
    captures = list(dict.fromkeys((*first_captures, *second_captures)))
    inputs = tuple(Input(value) for value in captures)
    attrs = {"then": with_inputs(first, inputs), "otherwise": with_inputs(second, inputs)}
    return list(apply(b, "branch", (condition, *captures), attrs))


def block(b: Builder, body: Builder, *, recompute: bool = False, gradient: Builder | None = None) -> list[Value]:
    """The outputs of `body`, which has no inputs but captures, differentiated in a way of its own.

    recompute: the gradient computes the body once more instead of keeping its values.
    gradient: computes the gradients of the captures, in the order in which `body` uses them first. Its inputs are
        made by `gradient_inputs`.
    """
    graph, captures = finish(body)
    attrs = {"body": graph, "recompute": recompute, "gradient": None if gradient is None else gradient.graph()}
    return list(apply(b, "block", captures, attrs))


def gradient_inputs(gradient: Builder, body: Builder) -> tuple[list[Value], list[Value], list[Value]]:
    """The inputs of a gradient of one's own: stand-ins for the captures of `body`, its results and their gradients."""
    graph, captures = finish(body)
    results = [output.value for output in graph.outputs]
    return (
        [gradient.input(f"x{i}", value.type) for i, value in enumerate(captures)],
        [gradient.input(f"y{i}", value.type) for i, value in enumerate(results)],
        [gradient.input(f"g{i}", value.type) for i, value in enumerate(results)],
    )


def placeholder(b: Builder, type_: TensorType) -> Value:
    """Zeros that stand for any value of this type: what is computed from them can be differentiated."""
    return b.placeholder(shape=type_.shape, dtype=type_.dtype)


def apply(b: Builder, name: str, inputs: Sequence[Value], attrs: dict[str, Any]) -> tuple[Value, ...]:
    """Applies an operator on graphs. Its inputs are positional, so constants among them stay inputs."""
    results = b.apply(name, inputs, attrs)
    assert isinstance(results, tuple)
    return results


def finish(body: Builder) -> tuple[Graph, list[Value]]:
    """The graph of a body, with its captures as further inputs; and the captures."""
    own = {item.value for item in body.inputs}
    captures = free_values(body.nodes, [output.value for output in body.outputs], own)
    inputs = (*body.inputs, *map(Input, captures))
    return Graph(body.name, inputs, (), tuple(body.nodes), tuple(body.outputs)), captures


def free_values(nodes: Iterable[Node], results: Iterable[Value], known: Iterable[Value] = ()) -> list[Value]:
    """The values that `nodes` and `results` use and neither `nodes` nor `known` define, in the order of first use."""
    defined = set(known)
    free: dict[Value, None] = {}
    for node in nodes:
        free.update(dict.fromkeys(x for x in node.inputs if x not in defined))
        defined.update(node.outputs)
    free.update(dict.fromkeys(x for x in results if x not in defined))
    return list(free)


def needed_nodes(nodes: Sequence[Node], results: Iterable[Value]) -> list[Node]:
    """Those of `nodes` that `results` depend on, in their order.

    A node that determines a size is needed where that size is.
    """
    needed = set(results)
    told = frozenset().union(*map(determined, nodes))
    sizes = frozenset().union(*(attribute_symbols(x.type.shape) for x in needed)) if told else NOTHING
    kept: list[Node] = []
    for node in reversed(nodes):
        if any(value in needed for value in node.outputs) or (told and not determined(node).isdisjoint(sizes)):
            needed.update(node.inputs)
            if told:
                sizes |= sizes_of(node)
            kept.append(node)
    kept.reverse()
    return kept


def with_inputs(graph: Graph, inputs: tuple[Input, ...]) -> Graph:
    """A body with other inputs."""
    return Graph(graph.name, inputs, (), graph.nodes, graph.outputs)


@dataclass(frozen=True)
class Inlined:
    """A graph repeated inside another: its results, and the nodes that compute them, in order."""

    results: tuple[Value, ...]
    nodes: list[Node]


def inline(b: Builder, graph: Graph, inputs: Sequence[Value]) -> Inlined:
    """Repeats the nodes of `graph` in `b`, with `inputs` for its inputs; places and scopes are those of `b`."""
    values = dict(zip(graph.sources(), inputs, strict=True))
    for node in graph.nodes:
        with b.at(node.loc if node.loc is not BUILTIN else b.loc, node.scope or b.scope):
            results = b.apply(node.op, [values[x] for x in node.inputs], node.attributes)
        values.update(zip(node.outputs, results if isinstance(results, tuple) else (results,), strict=True))
    producers = (b.producer(values[output]) for node in graph.nodes for output in node.outputs)
    nodes = list(dict.fromkeys(node for node in producers if node is not None))
    return Inlined(tuple(values[output.value] for output in graph.outputs), nodes)


def body_of(b: Builder, node: Node) -> Graph:
    """The definition of a composite, for the types and attributes of one application; remembered by `b`."""
    op = OPS[node.op]
    assert op.body is not None
    key = (node.op, tuple(x.type for x in node.inputs), node.attrs)
    graph = b.root.bodies.get(key)
    if graph is None:
        body = b.inner(node.op)
        body.loc, body.scope = node.loc, node.scope
        inputs = [body.input(f"x{i}", value.type) for i, value in enumerate(node.inputs)]
        results = op.body(body, *inputs, **node.attributes)
        for i, result in enumerate(results if isinstance(results, tuple) else (results,)):
            body.output(f"y{i}", result)
        graph = body.graph()
        if not last_fresh(graph):  # else each use needs symbols of its own
            b.root.bodies[key] = graph
    return graph


def trips_between(b: Builder, first: Value, last: Value) -> Value:
    """How many whole numbers there are from `first` to `last` (i64[]), both included."""
    return b.maximum(b.add(b.sub(last, first), 1), 0)


def stacked_type(length: Size, type_: TensorType) -> TensorType:
    """The type of `length` tensors of a type, along a new first axis."""
    return TensorType(type_.dtype, (length, *type_.shape))


def unbounded(node: Node) -> Exception:
    """The fault of a loop that is differentiated without a bound."""
    return fail(
        "unbounded-loop",
        "a `loop while` has no gradient without a bound of its rounds",
        node.loc,
        "the loss depends on this",
        help="state how many rounds there can be: `loop i from 1 to 100 while …`",
    )
