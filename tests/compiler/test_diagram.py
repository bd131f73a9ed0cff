"""The layers of a graph: nothing that flows is lost, no box depends on itself, and the numbers of parameters add up."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.compiler import Network, load_program
from netlang.compiler.diagram import Diagram, diagram
from netlang.runtime.loader import load, open_source

from netlang.source import Source

RESIDUAL = """
use std.layers: linear

layer inner(x: f32[b, d]) -> f32[b, d] {
  return x |> linear(d) |> tanh |> linear(d)
}

layer block(x: f32[b, d]) -> f32[b, d] {
  return x + (x |> inner())
}

model Net(x: f32[batch, 4], y: f32[batch, 4]) -> f32[batch, 4] {
  repeat 2 { x = x |> block() }
  return relu(x) + y
}
"""


def network(text: str) -> Network:
    return load_program(Source("net.net", text), load).network()


def drawn(found: Diagram) -> list[tuple[str, str, list[str]]]:
    """Each box with its kind and what it takes from."""
    return [
        (box.name, box.kind, [found.boxes[s].name for s, target in found.edges if target == number])
        for number, box in enumerate(found.boxes)
    ]


def test_a_layer_is_one_box_and_an_operator_of_the_model_another() -> None:
    found = diagram(network(RESIDUAL).elaborate())
    assert drawn(found) == [
        ("x", "input", []),
        ("y", "input", []),
        ("block.0", "layer", ["x"]),
        ("block.1", "layer", ["block.0"]),
        ("relu", "operator", ["block.1"]),
        ("add", "operator", ["y", "relu"]),
        ("output", "output", ["add"]),
    ]
    assert [box.parameters for box in found.boxes if box.kind == "layer"] == [40, 40]
    assert str(found.boxes[2].type) == "f32[batch, 4]"


def test_layers_are_opened_as_far_as_is_asked() -> None:
    graph = network(RESIDUAL).elaborate()
    assert [name for name, kind, _ in drawn(diagram(graph, 2)) if kind == "layer"] == ["block.0.inner", "block.1.inner"]
    names = [name for name, _, _ in drawn(diagram(graph, 3))]
    assert names[2:7] == ["block.0.inner.linear", "tanh", "block.0.inner.linear_2", "add", "block.1.inner.linear"]
    assert drawn(diagram(graph, 3)) == drawn(diagram(graph, 9))


def test_a_scope_that_is_left_and_entered_again_is_two_boxes() -> None:
    """Else a box would depend on itself."""
    text = """
    use std.layers: linear
    model Net(x: f32[batch, 4]) -> f32[batch, 4] {
      let twice = linear(4)
      return x |> twice |> tanh |> twice
    }
    """
    assert drawn(diagram(network(text).elaborate())) == [
        ("x", "input", []),
        ("twice", "layer", ["x"]),
        ("tanh", "operator", ["twice"]),
        ("twice", "layer", ["tanh"]),
        ("output", "output", ["twice"]),
    ]


MODELS = [("LeNet5", {}), ("ResNet18", {}), ("GPT", {"vocab": 11, "layers": 2}), ("GRU", {"vocab": 11}), ("GCN", {})]


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize(("model", "settings"), MODELS, ids=[model for model, _ in MODELS])
def test_diagrams_are_in_order_and_complete(model: str, settings: dict[str, int], depth: int) -> None:
    source, name = open_source(f"std:{model}")
    net = load_program(source, load).network(name, settings)
    graph = net.elaborate(net.entries[0])
    found = diagram(graph, depth)
    assert all(source < target for source, target in found.edges)
    assert len(set(found.edges)) == len(found.edges)
    used = {value for node in graph.nodes for value in node.inputs}
    counted = sum(
        int(np.prod([int(str(size)) for size in v.value.type.shape])) for v in graph.params if v.value in used
    )
    assert sum(box.parameters for box in found.boxes) == counted
    ends = [number for number, box in enumerate(found.boxes) if box.kind == "output"]
    taking = {source for source, _ in found.edges}
    assert {number for number in range(len(found.boxes)) if number not in taking} == set(ends)
