"""Parts what a graph computes of numbers alone from what it computes of tensors."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..ir import Graph, Input, Node, Output, Value
from .dead import dead


def hoist(graph: Graph, roles: Collection[str]) -> tuple[Graph, Graph]:
    """What `graph` computes of its inputs with these roles alone, and the rest, which takes it as inputs.

    Results of the first are inputs of the second, by the same names, with the role "hoisted". An optimizer that runs
    over many pieces of a vector so computes its rate once for all of them.
    """
    known = {item.value for item in graph.inputs if item.role in roles}
    moved = _computed_from(graph, known)
    read = {value for node in graph.nodes if node not in moved for value in node.inputs}
    read |= {output.value for output in graph.outputs}
    results = [value for node in graph.nodes if node in moved for value in node.outputs if value in read]
    taken = {value: Value(value.type, f"hoisted.{index}") for index, value in enumerate(results)}
    first = replace(
        graph,
        inputs=tuple(item for item in graph.inputs if item.role in roles),
        variables=(),
        nodes=tuple(node for node in graph.nodes if node in moved or not node.inputs),
        outputs=tuple(Output(inside.name, value) for value, inside in taken.items()),
    )
    rest = [
        replace(node, inputs=tuple(taken.get(x, x) for x in node.inputs)) for node in graph.nodes if node not in moved
    ]
    own = {value for node in rest for value in node.inputs}
    second = replace(
        graph,
        inputs=(
            *(item for item in graph.inputs if item.role not in roles or item.value in own),
            *(Input(value, "hoisted") for value in taken.values()),
        ),
        nodes=tuple(rest),
        outputs=tuple(replace(output, value=taken.get(output.value, output.value)) for output in graph.outputs),
    )
    return dead(first), dead(second)


def _computed_from(graph: Graph, known: set[Value]) -> set[Node]:
    """The nodes that compute tensors of one element, of `known` ones and constants; not the constants themselves."""
    numbers, constants, found = set(known), set[Value](), set[Node]()
    for node in graph.nodes:
        small = all(size == 1 for x in node.outputs for size in x.type.shape)
        if not small or not all(x in numbers or x in constants for x in node.inputs):
            continue
        if any(x in numbers for x in node.inputs):
            found.add(node)
            numbers.update(node.outputs)
        else:
            constants.update(node.outputs)
    return found
