"""A model as text, one line for each node, so that messages about a node can point at its line."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from netlang.source import Source, Span


class Listing:
    """The nodes of a model's main graph as lines of a source."""

    def __init__(self, name: str, nodes: Sequence[onnx.NodeProto]) -> None:
        lines = [_line(node) for node in nodes]
        self._source = Source(name, "\n".join(lines))

    def span(self, index: int) -> Span:
        """The line of the node at `index`."""
        start = self._source.line_starts[index]
        return Span(self._source, start, start + len(self._source.line(index + 1)))


def _line(node: onnx.NodeProto) -> str:
    call = f"{', '.join(node.output)} = {node.op_type}({', '.join(node.input)})"
    return " ".join(f"{call}   # {node.name}".split("\n")) if node.name else " ".join(call.split("\n"))
