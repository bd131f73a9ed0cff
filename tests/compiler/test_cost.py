"""Costs, against counts by hand."""

from __future__ import annotations

import pytest
from netlang.compiler import control
from netlang.compiler.builder import Builder
from netlang.compiler.cost import count, count_by_scope, node_flops
from netlang.compiler.ir import Graph, Init, Node, Value

from netlang.types import TensorType

from .graphs import BATCH, f32, parameter


def mlp() -> Graph:
    """784-300-10 with ReLU."""
    b = Builder()
    y = b.input("x", f32(BATCH, 784))
    for i, (inputs, outputs) in enumerate(((784, 300), (300, 10))):
        with b.at(b.loc, f"linear_{i}"):
            w, c = parameter(b, f"linear_{i}.weight", outputs, inputs), parameter(b, f"linear_{i}.bias", outputs)
            y = b.add(b.matmul(y, b.t(w)), c)
        if not i:
            y = b.relu(y)
    b.variable("steps", TensorType("i64"), "state", Init("zeros"))
    b.output("y", y)
    return b.graph()


def test_parameters_and_operations():
    costs = count(mlp(), {"batch": 5})
    assert costs.parameters == 784 * 300 + 300 + 300 * 10 + 10
    assert costs.parameter_bytes == 4 * costs.parameters
    assert costs.flops == 5 * (2 * 784 * 300 + 300 + 300 + 2 * 300 * 10 + 10)


def test_memory_is_what_lives_at_one_time():
    b = Builder()
    x = b.input("x", f32(10))
    y = b.exp(x)  # x dies here
    z = b.exp(y)
    b.output("z", b.add(z, y))
    assert count(b.graph()).activation_bytes == 3 * 40  # y, z and their sum


def test_the_peak_may_lie_in_the_middle():
    b = Builder()
    x = b.input("x", f32(10))
    wide = b.expand(x, shape=(100, 10))
    b.output("y", b.sum(b.exp(wide), axis=(0,)))
    assert count(b.graph()).activation_bytes == 2 * 4000


def test_views_take_no_memory():
    b = Builder()
    x = b.input("x", f32(10))
    b.output("y", b.exp(b.reshape(b.reshape(x, shape=(2, 5)), shape=(5, 2))))
    assert count(b.graph()).activation_bytes == 2 * 40


def test_a_view_keeps_its_memory_alive():
    b = Builder()
    y = b.exp(b.input("x", f32(10)))
    view = b.reshape(y, shape=(2, 5))
    z = b.log(b.neg(y))
    b.output("z", b.add(b.reshape(z, shape=(2, 5)), view))
    assert count(b.graph()).activation_bytes == 3 * 40


def test_scopes():
    rows = {row.scope: row for row in count_by_scope(mlp(), {"batch": 5})}
    assert list(rows) == ["linear_0", "", "linear_1"]
    assert rows["linear_0"].parameters == 784 * 300 + 300
    assert rows["linear_0"].flops == 5 * (2 * 784 * 300 + 300)
    assert str(rows["linear_1"].result) == "f32[batch, 10]"
    assert sum(row.flops for row in rows.values()) == count(mlp(), {"batch": 5}).flops


def test_composites_cost_what_their_definitions_do():
    b = Builder()
    x, w = b.input("x", f32(BATCH, 5, 7)), b.input("w", f32(7, 3))
    b.einsum(x, w, equation="bij,jk->bik")
    b.dft(b.input("signal", f32(BATCH, 8, 1)), axis=1)
    product, spectrum = (node_flops(node, {"batch": 2}) for node in b.nodes if node.op in ("einsum", "dft"))
    assert product == 2 * 2 * 5 * 7 * 3
    assert spectrum >= 2 * 2 * 8  # at least one product and one sum for each number


def test_bodies_cost_as_often_as_they_run():
    b = Builder()
    x = b.input("x", f32(BATCH, 5))
    body = b.inner("rounds")
    carry, item = body.input("carry", f32(5)), body.input("item", f32(5))
    body.output("carry", body.tanh(body.add(carry, item)))
    control.scan(b, body, [b.full(shape=(5,), value=0.0)], [x])
    block = b.inner("block")
    block.output("y", block.exp(x))
    gradient = b.inner("gradient")
    _, (y,), (g,) = control.gradient_inputs(gradient, block)
    gradient.output("x", gradient.sin(gradient.sin(gradient.mul(g, y))))
    control.block(b, block, gradient=gradient)
    scan, blocked = (node_flops(node, {"batch": 4}) for node in b.nodes if node.bodies)
    assert scan == 4 * 2 * 5
    assert blocked == 4 * 5  # what its gradient costs is no part of it


def test_an_open_dimension_is_named():
    with pytest.raises(ValueError, match="the dimension `batch` is open"):
        count(mlp())


@pytest.mark.parametrize(
    ("op", "inputs", "output", "attrs", "flops"),
    [
        ("matmul", [(7, 2, 3), (3, 5)], (7, 2, 5), {}, 2 * 7 * 2 * 3 * 5),
        ("conv", [(2, 6, 8, 8), (4, 3, 5, 5)], (2, 4, 4, 4), {}, 2 * (2 * 4 * 4 * 4) * (3 * 5 * 5)),
        ("conv_transpose", [(2, 4, 4, 4), (4, 3, 5, 5)], (2, 6, 8, 8), {}, 2 * (2 * 4 * 4 * 4) * (3 * 5 * 5)),
        ("conv_weight_gradient", [(2, 6, 8, 8), (2, 4, 4, 4)], (4, 3, 5, 5), {}, 2 * (2 * 4 * 4 * 4) * (3 * 5 * 5)),
        ("max_pool", [(2, 3, 8, 8)], (2, 3, 4, 4), {"kernel": (2, 2)}, 2 * 3 * 4 * 4 * 4),
        ("resize_axis", [(2, 3)], (2, 6), {"axis": -1, "mode": "linear", "antialias": False}, 2 * 2 * 12),
        ("resize_axis", [(2, 6)], (2, 3), {"axis": 1, "mode": "cubic", "antialias": True}, 2 * 8 * 6),
        ("resize_axis_transpose", [(2, 6)], (2, 3), {"axis": 1, "mode": "cubic", "antialias": False}, 2 * 4 * 12),
        ("resize_axis_transpose", [(2, 6)], (2, 3), {"axis": 1, "mode": "nearest", "antialias": False}, 0),
        ("sum", [(3, 4)], (), {}, 12),
        ("exp", [(3, 4)], (3, 4), {}, 12),
        ("softmax", [(3, 4)], (3, 4), {}, 60),
        ("transpose", [(3, 4)], (4, 3), {}, 0),
    ],
)
def test_operations_of_one_node(op: str, inputs: list, output: tuple, attrs: dict, flops: int):
    values = tuple(Value(f32(*shape)) for shape in inputs)
    node = Node(op, values, tuple(attrs.items()), (Value(f32(*output)),))
    assert node_flops(node, {}) == flops
