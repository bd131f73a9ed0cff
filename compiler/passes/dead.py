"""Removes what no output depends on."""

from __future__ import annotations

from dataclasses import replace

from ..ir import Graph, Node, Value


def dead(graph: Graph) -> Graph:
    """Drops nodes that no output needs, and inputs that nothing reads unless they are data.

    `y = exp(x); z = log(x); output y` becomes `y = exp(x); output y`. Inputs of the role "data" are the caller's
    contract and stay; the step counter and the seed go where nothing asks for them. Variables stay.
    """
    needed: set[Value] = {output.value for output in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(value in needed for value in node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    inputs = tuple(item for item in graph.inputs if item.role == "data" or item.value in needed)
    return replace(graph, inputs=inputs, nodes=tuple(reversed(kept)))
