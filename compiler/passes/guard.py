"""Keeps ONNX Runtime from scanning sequences without elements, which it refuses."""

from __future__ import annotations

from netlang.dims import Dim

from .. import control
from ..builder import Builder
from ..ir import Graph, Node, Value
from .rebuild import Results, rebuild


def guard(graph: Graph) -> Graph:
    """Puts scans whose length only the run knows into a choice: without elements, the carries stay what they are.

    `h = scan(h0, x)` becomes `h = if length > 0 { scan(h0, x) } else { h0 }`.
    """
    if not any(_may_be_empty(node) for node in graph.nodes):
        return graph

    def choice(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if not _may_be_empty(node):
            return None
        carries = node.attributes["carries"]
        then, otherwise = b.inner("some"), b.inner("none")
        found = control.apply(then, node.op, inputs, node.attributes)
        for i, (result, value) in enumerate(zip(node.outputs, found, strict=True)):
            then.output(f"y{i}", value)
            nothing = otherwise.full(shape=result.type.shape, value=0.0, dtype=result.type.dtype)
            otherwise.output(f"y{i}", inputs[i] if i < carries else nothing)
        some = b.greater(b.dim(size=inputs[carries].type.shape[0]), 0)
        return tuple(control.branch(b, some, then, otherwise))

    return rebuild(graph, choice)


def _may_be_empty(node: Node) -> bool:
    return node.op == "scan_over" and isinstance(node.inputs[node.attributes["carries"]].type.shape[0], Dim)
