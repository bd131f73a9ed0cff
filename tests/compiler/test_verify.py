"""The verifier notices each way in which a graph can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from netlang.compiler.ir import Graph, Input, Node, Output, Value
from netlang.compiler.verify import InternalError, verify

from .graphs import TIME, f32, i64, perceptron_gradients

GRAPH = perceptron_gradients()


def change_node(name: str, **fields) -> Callable[[Graph], Graph]:
    """Changes the first node of that operator."""

    def change(graph: Graph) -> Graph:
        nodes = list(graph.nodes)
        index = next(i for i, node in enumerate(nodes) if node.op == name)
        nodes[index] = replace(nodes[index], **fields)
        return replace(graph, nodes=tuple(nodes))

    return change


def attributes(name: str, **changes) -> Callable[[Graph], Graph]:
    node = next(node for node in GRAPH.nodes if node.op == name)
    return change_node(name, attrs=tuple(sorted((node.attributes | changes).items())))


def test_accepts_what_is_right():
    verify(GRAPH)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: replace(g, nodes=g.nodes[::-1]), r"is used before it is computed: .* = "),
        (lambda g: replace(g, nodes=(*g.nodes, g.nodes[-1])), "a result is computed twice"),
        (lambda g: replace(g, nodes=g.nodes[:-1]), r"output `gradient.linear.weight` is .*, which nothing computes"),
        (lambda g: replace(g, inputs=g.inputs * 2), "two inputs or variables are called `x`"),
        (lambda g: replace(g, outputs=(*g.outputs, g.outputs[0])), "two outputs are called `gradient.linear.weight`"),
        (
            lambda g: replace(g, outputs=(Output("x", g.outputs[0].value),)),
            "an output is called `x`, as an input is",
        ),
        (change_node("tanh", op="tanhh"), "there is no operator `tanhh`"),
        (change_node("tanh", outputs=(Value(f32(3)),)), "the types of the results must be"),
        (change_node("matmul", inputs=(GRAPH.inputs[0].value,) * 2), "the types do not fit"),
        (change_node("mean", attrs=()), r"the attributes must be \['axis', 'keepdims'\], found \[\]"),
        (attributes("mean", axis=[0]), "attribute `axis` cannot be hashed"),
        (
            lambda g: replace(g, outputs=(*g.outputs, Output("linear.bias", g.outputs[-1].value, "next"))),
            r"the next `linear.bias` is %\w+: f32, the variable f32\[5\]",
        ),
    ],
)
def test_refuses_what_is_wrong(change: Callable[[Graph], Graph], message: str):
    with pytest.raises(InternalError, match=message):
        verify(change(GRAPH))


def test_refuses_a_symbol_that_no_input_determines():
    value = Value(f32(TIME), "z")
    node = Node("full", (), (("dtype", "f32"), ("shape", (TIME,)), ("value", 0.0)), (value,))
    graph = Graph("g", (), (), (node,), (Output("z", value),))
    with pytest.raises(InternalError, match=r"no input determines \['time'\] in `shape`: %z: f32\[time\] = full"):
        verify(graph)


def test_refuses_an_input_whose_symbol_only_a_product_mentions():
    graph = Graph("g", (Input(Value(i64(TIME * TIME), "z")),), (), (), ())
    with pytest.raises(InternalError, match=r"no input determines \['time'\]: %z: i64\[time\*\*2\]"):
        verify(graph)
