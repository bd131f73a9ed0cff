"""Decides whether a graph may write its new variables over the old ones, and may run on one piece of them at a time."""

from __future__ import annotations

from .ir import Graph, Node, Value
from .row_rules import ELEMENTWISE


def is_elementwise(graph: Graph) -> bool:
    """Whether element i of every tensor depends on element i of the others alone (scalars aside)."""
    return all(
        node.op in ("constant", "full", "expand", *ELEMENTWISE)
        or all(not x.type.rank for x in node.outputs + node.inputs)
        for node in graph.nodes
    )


def may_overwrite(graph: Graph) -> bool:
    """Whether every reader of a variable comes before its new value whatever order the nodes run in.

    That holds where each reader is the node that computes the new value, or something that this node needs.
    """
    producers = {output: node for node in graph.nodes for output in node.outputs}
    variables = {variable.name: variable.value for variable in graph.variables}
    for output in graph.outputs:
        if output.role == "next":
            needed = _ancestors(output.value, producers)
            readers = {node for node in graph.nodes if variables[output.name] in node.inputs}
            if not readers <= needed:
                return False
    return True


def _ancestors(value: Value, producers: dict[Value, Node]) -> set[Node]:
    found: set[Node] = set()
    waiting = [value]
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and node not in found:
            found.add(node)
            waiting.extend(node.inputs)
    return found
