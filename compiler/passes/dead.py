"""Removes what no output depends on."""

from __future__ import annotations

from dataclasses import replace

from ..ir import Graph, Node, Value
from ..ops import OPS
from ..shapes import attribute_symbols


def dead(graph: Graph) -> Graph:
    """Drops nodes that no output needs, and inputs that nothing reads unless they are data.

    `y = exp(x); z = log(x); output y` becomes `y = exp(x); output y`. Inputs of the role "data" are the caller's
    contract and stay; the step counter and the seed go where nothing asks for them. Variables stay. A node that
    determines a size is needed where that size is.
    """
    needed: set[Value] = {output.value for output in graph.outputs}
    sizes: set[str] = set()
    for output in graph.outputs:
        sizes |= attribute_symbols(output.value.type.shape)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(value in needed for value in node.outputs) or not sizes.isdisjoint(_determined(node)):
            needed.update(node.inputs)
            sizes |= _sizes(node)
            kept.append(node)
    inputs = tuple(item for item in graph.inputs if item.role == "data" or item.value in needed)
    return replace(graph, inputs=inputs, nodes=tuple(reversed(kept)))


def _determined(node: Node) -> frozenset[str]:
    """The symbols whose values the node's result tells."""
    names = OPS[node.op].determines
    return attribute_symbols(tuple(node.attributes[name] for name in names)) if names else frozenset()


def _sizes(node: Node) -> frozenset[str]:
    """The symbols that computing the node takes."""
    found = attribute_symbols(tuple(value for _, value in node.attrs))
    for body in node.bodies:
        found = found.union(*map(_sizes, body.nodes))
    return found.union(*(attribute_symbols(value.type.shape) for value in (*node.inputs, *node.outputs)))
