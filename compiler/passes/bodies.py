"""Carries passes into the graphs inside nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..ir import Graph, Node


def with_bodies(simplify: Callable[[Graph], Graph], graph: Graph) -> Graph:
    """`graph` with the graphs inside its nodes simplified, the innermost first; then itself.

    Inputs and outputs of a body keep their places and types, so that its node fits as before.
    """

    def deep(value: Any) -> Any:
        if not isinstance(value, Graph):
            return value
        return with_bodies(simplify, replace(value, differentiated=graph.differentiated))

    def inside(node: Node) -> Node:
        if not node.bodies:
            return node
        return replace(node, attrs=tuple((key, deep(value)) for key, value in node.attrs))

    if any(node.bodies for node in graph.nodes):
        graph = replace(graph, nodes=tuple(map(inside, graph.nodes)))
    return simplify(graph)
