"""Computes while compiling what does not depend on inputs."""

from __future__ import annotations

from ..ir import Graph, Value
from ..ops import OPS
from .rebuild import rebuild


def fold(graph: Graph) -> Graph:
    """Replaces operators on constants by their result, up to the builder's limit on size.

    `c = sqrt(64.0); y = div(x, c)` becomes `y = div(x, 8.0)`. The builder does it as nodes are replayed; a graph with
    nothing to compute is given back as it is.
    """
    return rebuild(graph) if _has_constant_operands(graph) else graph


def _has_constant_operands(graph: Graph) -> bool:
    constants: set[Value] = set()
    for node in graph.nodes:
        if node.op == "constant":
            constants.update(node.outputs)
        elif node.inputs and OPS[node.op].foldable and all(value in constants for value in node.inputs):
            return True
    return False
