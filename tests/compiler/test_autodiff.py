"""Reverse mode: against finite differences and PyTorch, through sharing, broadcasting, and twice over."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from netlang.compiler import autodiff
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Value
from netlang.compiler.op import Op
from netlang.compiler.verify import verify

from netlang.diagnostics import DiagnosticError
from netlang.source import Source, Span

from .graphs import BATCH, TIME, f32, f64, feeds, i64, parameter, perceptron, perceptron_gradients


def slopes(function: Callable[[Builder, Value], Value], x: np.ndarray) -> np.ndarray:
    """The gradient of a scalar function at `x`, computed in float64."""
    b = Builder()
    value = b.input("x", f32(*x.shape))
    loss = function(b, value)
    (gradient,) = gradients(b, loss, [value])
    b.output("gradient", gradient)
    verify(b.graph())
    return evaluate(b.graph(), {"x": x.astype(np.float64)}, "f64")["gradient"]


def test_agrees_with_finite_differences():
    graph = perceptron_gradients()
    arrays = f64(feeds(graph, batch=3, time=2))
    found = evaluate(graph, arrays, "f64")
    rng = np.random.default_rng(1)
    for name in ("linear.weight", "linear.bias"):
        direction = rng.standard_normal(arrays[name].shape)
        ends = [evaluate(graph, arrays | {name: arrays[name] + step * direction}, "f64") for step in (1e-5, -1e-5)]
        slope = (ends[0]["loss"] - ends[1]["loss"]) / 2e-5
        np.testing.assert_allclose(np.sum(found[f"gradient.{name}"] * direction), slope, rtol=1e-8)


def test_agrees_with_torch():
    graph = perceptron_gradients()
    arrays = feeds(graph, batch=3, time=2)
    found = evaluate(graph, arrays)
    x, w, c = (torch.tensor(arrays[n], requires_grad=True) for n in ("x", "linear.weight", "linear.bias"))
    torch.tanh(x @ w.T + c).square().mean().backward()
    np.testing.assert_allclose(found["gradient.linear.weight"], w.grad.numpy(), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found["gradient.linear.bias"], c.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_uses_of_a_value_add_up():
    found = slopes(lambda b, x: b.sum(b.add(b.mul(x, x), b.mul(x, 3.0))), np.array([1.0, -2.0]))
    np.testing.assert_array_equal(found, [5.0, -1.0])


def test_two_equal_uses_by_one_operator_are_summed_first():
    """So that the sum can be simplified whatever the value's other uses add."""
    b = Builder()
    x = b.input("x", f32(3))
    gradients(b, b.sum(b.add(b.mul(x, x), b.exp(x))), [x])
    *_, doubled, total = [node for node in b.nodes if node.op == "add"]
    assert doubled.inputs[0] is doubled.inputs[1]
    assert doubled.outputs[0] in total.inputs


def test_broadcasting_is_summed_back():
    b = Builder()
    x = b.input("x", f32(BATCH, TIME, 3))
    shapes = [(), (3,), (1, 3), (1, 1, 1), (BATCH, 1, 3), (TIME, 1)]
    operands = [b.input(f"y{i}", f32(*shape)) for i, shape in enumerate(shapes)]
    total = b.sum(b.mul(x, 0.0))
    for y in operands:
        total = b.add(total, b.sum(b.mul(x, y)))
    for y, gradient in zip(operands, gradients(b, total, operands), strict=True):
        assert gradient.type == y.type
        b.output(f"gradient.{y.name}", gradient)
    graph = b.graph()
    arrays = feeds(graph, batch=2, time=4)
    found = evaluate(graph, f64(arrays), "f64")
    for i, shape in enumerate(shapes):
        y = torch.tensor(arrays[f"y{i}"], dtype=torch.float64, requires_grad=True)
        (torch.tensor(arrays["x"], dtype=torch.float64) * y).sum().backward()
        np.testing.assert_allclose(found[f"gradient.y{i}"], y.grad.numpy(), rtol=1e-12, err_msg=str(shape))


def test_a_seed_weights_the_results():
    b = Builder()
    x, seed = b.input("x", f32(3)), b.input("seed", f32(3))
    (gradient,) = gradients(b, b.mul(x, x), [x], seed)
    b.output("gradient", gradient)
    found = evaluate(b.graph(), {"x": [1, 2, 3], "seed": [1, 0, 2]})["gradient"]
    np.testing.assert_array_equal(found, [2, 0, 12])


def test_with_respect_to_values_between():
    b = Builder()
    x = b.input("x", f32())
    y = b.mul(x, 3.0)
    z = b.mul(y, y)
    for i, gradient in enumerate(gradients(b, z, [x, y, z])):
        b.output(str(i), gradient)
    assert [float(v) for v in evaluate(b.graph(), {"x": 2}).values()] == [36, 12, 1]


def test_second_order_agrees_with_torch():
    rng = np.random.default_rng(0)
    x, direction = rng.standard_normal(4), rng.standard_normal(4)

    def curvature(b: Builder, value: Value) -> Value:
        loss = b.sum(b.exp(b.mul(b.sin(value), value)))
        (gradient,) = gradients(b, loss, [value])
        return b.sum(b.mul(gradient, b.constant(direction, "f32")))

    point = torch.tensor(x, requires_grad=True)
    weights = torch.tensor(direction.astype(np.float32)).double()  # constants are written as f32
    _, expected = torch.autograd.functional.hvp(lambda v: (v.sin() * v).exp().sum(), point, weights)
    np.testing.assert_allclose(slopes(curvature, x), expected.numpy(), rtol=1e-9)


def test_third_order():
    def jerk(b: Builder, x: Value) -> Value:
        (first,) = gradients(b, b.sum(b.mul(b.mul(x, x), b.mul(x, x))), [x])
        (second,) = gradients(b, b.sum(first), [x])
        return b.sum(second)

    np.testing.assert_allclose(slopes(jerk, np.array([2.0, -1.0])), [48.0, -24.0])


def test_gradient_penalty_reaches_the_weights():
    """Gulrajani et al. 2017: the norm of an input gradient is part of the loss."""
    b = Builder()
    x, w = b.input("x", f32(BATCH, 3)), parameter(b, "w", 3, 1)
    (slope,) = gradients(b, b.sum(b.tanh(b.matmul(x, w))), [x])
    loss = b.mean(b.mul(slope, slope))
    b.output("gradient", gradients(b, loss, [w])[0])
    arrays = f64(feeds(b.graph(), batch=4))
    inputs = torch.tensor(arrays["x"], requires_grad=True)
    weight = torch.tensor(arrays["w"], requires_grad=True)
    (inner,) = torch.autograd.grad(torch.tanh(inputs @ weight).sum(), inputs, create_graph=True)
    inner.square().mean().backward()
    np.testing.assert_allclose(evaluate(b.graph(), arrays, "f64")["gradient"], weight.grad.numpy(), rtol=1e-9)


def test_no_dependence_gives_zeros():
    b = Builder()
    x, y = b.input("x", f32(BATCH, 2)), b.input("y", f32(BATCH))
    (gradient,) = gradients(b, b.sum(x), [y])
    b.output("gradient", gradient)
    found = evaluate(b.graph(), {"x": np.ones((3, 2), np.float32), "y": np.ones(3, np.float32)})["gradient"]
    np.testing.assert_array_equal(found, np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("stop", "values"),
    [
        (lambda b, x: b.stop_gradient(x), [1.5, -2.25]),
        (lambda b, x: b.floor(x), [1, -3]),
        (lambda b, x: b.cast(b.greater(x, 0.0), dtype="f32"), [1, 0]),
    ],
)
def test_what_has_no_slope_is_constant(stop: Callable[[Builder, Value], Value], values: list[float]):
    """The slope of x c + c is c."""
    found = slopes(lambda b, x: b.sum(b.add(b.mul(x, stop(b, x)), stop(b, x))), np.array([1.5, -2.25]))
    np.testing.assert_array_equal(found, values)


def test_integers_carry_no_gradient():
    b = Builder()
    x, index = b.input("x", f32(4)), b.input("index", i64())
    loss = b.sum(b.mul(x, b.cast(index, dtype="f32")))
    (gradient,) = gradients(b, loss, [x])
    b.output("gradient", gradient)
    np.testing.assert_array_equal(evaluate(b.graph(), {"x": np.ones(4, np.float32), "index": 3})["gradient"], [3.0] * 4)


def test_results_of_a_split_that_nothing_uses():
    found = slopes(lambda b, x: b.sum(b.mul(b.split(x, parts=3, axis=0)[1], 2.0)), np.arange(6.0))
    np.testing.assert_array_equal(found, [0, 0, 2, 2, 0, 0])


def test_visits_only_nodes_on_the_way():
    b = Builder()
    x, y = b.input("x", f32(3)), b.input("y", f32(3))
    loss = b.sum(b.mul(b.exp(y), x))
    b.log(x)  # leads nowhere
    before = len(b.nodes)
    gradients(b, loss, [x])
    added = [node.op for node in b.nodes[before:]]
    assert "exp" not in added and "div" not in added
    assert len(added) <= 6


def test_nodes_remember_line_and_scope():
    b, loss, wrt = perceptron()
    forward = len(b.nodes)
    gradients(b, loss, wrt)
    scopes = {node.scope for node in b.nodes[forward:]}
    assert scopes == {"grad", "linear/grad"}


def test_an_operator_without_a_rule_is_named(monkeypatch: pytest.MonkeyPatch):
    unruly = Op("floor(x: f[*s]) -> f[*s]", doc="", numpy=np.floor, onnx="Floor")
    monkeypatch.setitem(autodiff.OPS, "floor", unruly)
    source = Source("net.net", "y = floor(x)\nz = sum(y)\n")
    b = Builder()
    x = b.input("x", f32(2))
    with b.at(Span(source, 4, 12)):
        y = b.floor(x)
    with b.at(Span(source, 17, 23)):
        loss = b.sum(y)
    with pytest.raises(DiagnosticError) as caught:
        gradients(b, loss, [x])
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "no-gradient"
    assert diagnostic.title == "operator `floor` has no gradient"
    assert diagnostic.primary is not None and diagnostic.primary.span.line == 1
    assert diagnostic.notes == ("the way to the loss: floor (net.net:1:5) -> sum (net.net:2:5)",)


def test_an_integer_has_no_gradient():
    b = Builder()
    x, i = b.input("x", f32(2)), b.input("i", i64(2))
    with pytest.raises(DiagnosticError) as caught:
        gradients(b, b.sum(x), [i])
    assert caught.value.diagnostics[0].code == "no-gradient"


def test_takes_time_linear_in_the_graph():
    def count(depth: int) -> int:
        b = Builder()
        x = y = b.input("x", f32(2))
        for _ in range(depth):
            y = b.tanh(b.add(y, x))
        gradients(b, b.sum(y), [x])
        return len(b.nodes)

    assert count(200) - count(100) == count(100) - count(0)
