"""What leaves the bodies of scans, and that nothing else changes."""

from __future__ import annotations

import numpy as np
from netlang.compiler import control
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph, Node
from netlang.compiler.passes import run
from netlang.compiler.passes.rounds import rounds
from netlang.compiler.verify import verify

from netlang.dims import symbol
from netlang.types import TensorType

STEPS = symbol("steps")
SHAPES = {"x": (STEPS, 2, 3), "w": (3, 4), "u": (4, 4), "bias": (4,)}


def _recurrent(order: int = 0) -> Graph:
    """h ← tanh(xₜ w + bias + h u), stacked; its sum of squares, and the gradients by everything."""
    b = Builder("recurrent")
    inputs = [b.input(name, TensorType("f32", shape)) for name, shape in SHAPES.items()]
    x, w, u, bias = inputs
    body = b.inner("cell")
    h, step = body.input("h", TensorType("f32", (2, 4))), body.input("step", TensorType("f32", (2, 3)))
    new = body.tanh(body.add(body.add(body.matmul(step, w), bias), body.matmul(h, u)))
    body.output("h", new)
    body.output("y", new)
    body.output("unused", body.exp(h))
    _, (y, _) = control.scan(b, body, [b.full(shape=(2, 4), value=0.0)], [x])
    loss = b.sum(b.mul(y, y))
    b.output("loss", loss)
    for name, gradient in zip(SHAPES, gradients(b, loss, inputs) if order else [], strict=False):
        b.output(f"grad.{name}", gradient)
    return b.graph()


def _scans(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op == "scan_over"]


def _operators(node: Node) -> list[str]:
    return sorted(inner.op for inner in node.attributes["body"].nodes)


def test_inputs_are_projected_once_for_all_rounds():
    graph = run(_recurrent())
    (scan,) = _scans(graph)
    assert _operators(scan) == ["add", "matmul", "tanh"]
    assert [node.op for node in graph.nodes if node.op == "matmul"] == ["matmul"]


def test_what_nothing_needs_is_not_stacked():
    (before,), (after,) = _scans(_recurrent()), _scans(run(_recurrent()))
    assert len(before.outputs) == 3
    assert len(after.outputs) == 2


def test_gradients_of_parameters_are_one_product_each():
    """No carry of the gradient's scan sums a parameter's gradient up: only the state's gradient is handed on."""
    _, backward = _scans(run(_recurrent(order=1)))
    assert backward.attributes["carries"] == 1
    assert _operators(backward) == ["add", "matmul", "mul"]


def test_results_stay_the_same():
    rng = np.random.default_rng(3)
    feeds = {name: np.asarray(rng.standard_normal((5, *s[1:]) if s[0] is STEPS else s)) for name, s in SHAPES.items()}
    graph = _recurrent(order=1)
    simplified = rounds(graph)
    verify(simplified)
    expected = evaluate(graph, feeds, "f64")
    for name, array in evaluate(simplified, feeds, "f64").items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-12, atol=1e-12)
