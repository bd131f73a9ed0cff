"""Puts the definitions of composites in their place."""

from __future__ import annotations

from ..builder import Builder
from ..control import inline
from ..ir import Graph, Node, Value
from ..ops import OPS
from .rebuild import Results, rebuild


def expand(graph: Graph) -> Graph:
    """Replaces composites by their bodies, except where ONNX has a fused operator and the graph holds no gradients.

    `y = softplus(x)` becomes `y = add(maximum(x, 0.0), log(…))` in a graph that holds gradients: they need the values
    in between, and share them with the body that they differentiated. A `block` is expanded always, and so is what
    computes in f64, for which ONNX Runtime has few fused kernels, and faulty ones.
    """
    if not any(_expands(graph, node) for node in graph.nodes):
        return graph

    def definition(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if not _expands(graph, node):
            return None
        if node.op == "block":
            return inline(b, node.attributes["body"], inputs).results
        body = OPS[node.op].body
        assert body is not None
        return body(b, *inputs, **node.attributes)

    expanded = rebuild(graph, definition)
    return expand(expanded)  # composites may be made of composites


def _expands(graph: Graph, node: Node) -> bool:
    op = OPS[node.op]
    if node.op == "block":
        return True
    precise = any(x.type.dtype == "f64" for x in node.inputs)
    return op.body is not None and (graph.differentiated or op.onnx is None or precise)
