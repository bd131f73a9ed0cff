"""What a model has to do, counted and not measured: the same on every machine, quiet or not.

The operators of the ONNX model are counted before ONNX Runtime fuses any, those of a body as often as it runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import onnx
from netlang.compiler.emit import emit
from netlang.compiler.ir import Graph
from onnx import helper, shape_inference

VIEWS = frozenset({"Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Constant", "Shape"})
"""Operators that leave the elements where they are."""

Shapes = dict[str, tuple[int, int]]
"""Elements and bytes of each tensor."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of one run: nodes in the model; passes, which are runs of nodes over tensors, not scalars; bytes these move."""

    nodes: int
    passes: int
    bytes: int

    def record(self) -> dict[str, int]:
        """Plain numbers for JSON."""
        return asdict(self)


def traffic(graph: Graph) -> Traffic:
    """Of a graph whose sizes are known. Raises ValueError where ONNX's inference leaves a size open."""
    model = emit(graph)
    _repeat_constants(model.graph, {})
    return _count(shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph, {}, 1)


def _repeat_constants(graph: onnx.GraphProto, outer: Mapping[str, onnx.TensorProto]) -> None:
    """Gives bodies the constants around them that they read: ONNX's inference does not look outside for shapes."""
    known = {**outer, **{tensor.name: tensor for tensor in graph.initializer}}
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(tensor for name, tensor in outer.items() if name in read)
    for node in graph.node:
        for body in _bodies(node):
            _repeat_constants(body, known)


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]


def _count(graph: onnx.GraphProto, outer: Shapes, rounds: int) -> Traffic:
    shapes = outer | dict(_shapes(graph))
    nodes = passes = moved = 0
    for node in graph.node:
        nodes += 1
        bodies = _bodies(node)
        for body in bodies:
            found = _count(body, shapes, rounds * _rounds(node, body, shapes))
            nodes, passes, moved = nodes + found.nodes, passes + found.passes, moved + found.bytes
        tensors = [shapes[name] for name in {*node.input, *node.output} if name]
        if not bodies and node.op_type not in VIEWS and any(elements > 1 for elements, _ in tensors):
            passes += rounds
            moved += rounds * sum(size for _, size in tensors)
    return Traffic(nodes, passes, moved)


def _rounds(node: onnx.NodeProto, body: onnx.GraphProto, shapes: Shapes) -> int:
    """How often a body runs: a Scan once for each slice of what it goes through."""
    if node.op_type != "Scan":
        return 1
    slices = dict(_shapes(body))[body.input[-1].name][0]
    return shapes[node.input[-1]][0] // max(slices, 1)


def _shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, int]]]:
    for tensor in graph.initializer:
        yield tensor.name, _size(tuple(tensor.dims), tensor.data_type)
    for info in (*graph.input, *graph.value_info, *graph.output):
        kind = info.type.tensor_type
        if kind.HasField("shape"):
            yield info.name, _size(tuple(_known(dim, info.name) for dim in kind.shape.dim), kind.elem_type)


def _known(dim: onnx.TensorShapeProto.Dimension, name: str) -> int:
    if not dim.HasField("dim_value"):
        raise ValueError(f"a size of `{name}` is open")
    return dim.dim_value


def _size(shape: tuple[int, ...], dtype: int) -> tuple[int, int]:
    elements = math.prod(shape)
    return elements, elements * helper.tensor_dtype_to_np_dtype(dtype).itemsize
