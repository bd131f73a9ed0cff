"""Removes what no output depends on."""

from __future__ import annotations

from dataclasses import replace

from ..control import needed_nodes
from ..ir import Graph


def dead(graph: Graph) -> Graph:
    """Drops nodes that no output needs, and inputs that nothing reads unless they are data.

    `y = exp(x); z = log(x); output y` becomes `y = exp(x); output y`. Inputs of the role "data" are the caller's
    contract and stay; the step counter and the seed go where nothing asks for them. Variables stay. A node that
    determines a size is needed where that size is.
    """
    results = [output.value for output in graph.outputs]
    kept = needed_nodes(graph.nodes, results)
    read = {*results, *(x for node in kept for x in node.inputs)}
    inputs = tuple(item for item in graph.inputs if item.role == "data" or item.value in read)
    return replace(graph, inputs=inputs, nodes=tuple(kept))
