"""The graphs inside an ONNX node: the names that they use of the graph around, and other names for their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def graphs_of(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs among the attributes of a node, in the order of the attributes' names."""
    from onnx import AttributeProto

    for attribute in sorted(node.attribute, key=lambda attribute: attribute.name):
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def inner_nodes(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """The nodes of the graphs inside a node, at any depth."""
    for graph in graphs_of(node):
        for inner in graph.node:
            yield inner
            yield from inner_nodes(inner)


def free_names(node: onnx.NodeProto) -> list[str]:
    """Names that the graphs inside a node use and do not define, in the order of first use."""
    found: dict[str, None] = {}
    for graph in graphs_of(node):
        own = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
        for inner in graph.node:
            used = [*(name for name in inner.input if name), *free_names(inner)]
            found.update(dict.fromkeys(name for name in used if name not in own))
            own.update(inner.output)
        found.update(dict.fromkeys(info.name for info in graph.output if info.name not in own))
    return list(found)


def rename_values(node: onnx.NodeProto, name: Callable[[str], str]) -> None:
    """Calls every value of the graphs inside a node `name(old name)`."""
    for graph in graphs_of(node):
        for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            item.name = name(item.name)
        for inner in graph.node:
            for field in (inner.input, inner.output):
                for i, old in enumerate(field):
                    field[i] = name(old) if old else ""
            rename_values(inner, name)
