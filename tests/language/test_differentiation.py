"""Derivatives asked for in the language, against PyTorch's: `grad`, `vjp`, `jvp`, `custom_grad` and `@recompute`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler.ir import Graph
from torch.nn import functional

from ..stdlib.harness import CHECKED, Runner, Training, assert_near, program, run_inputs, variables

X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
V = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)


def outputs(text: str, **feeds: np.ndarray) -> list[np.ndarray]:
    network = program(text).network()
    return list(Runner(network.graph(**CHECKED))({**variables(network), **feeds}).values())


def f(x: torch.Tensor) -> torch.Tensor:
    return (torch.tanh(x) * x.exp() * x.sum(-1, keepdim=True)).sum()


def derivative(g: Callable[..., torch.Tensor], v: torch.Tensor) -> Callable[..., torch.Tensor]:
    """The gradient of sum(g(x) · v)."""
    return torch.func.grad(lambda x: (g(x) * v).sum())


F = "sum(tanh(x) * exp(x) * sum(x, -1, keepdims = true))"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"return grad({F}, wrt = x)", lambda x, v: torch.func.grad(f)(x)),
        (f"return grad(sum(grad({F}, wrt = x) * v), wrt = x)",
         lambda x, v: torch.autograd.functional.hvp(f, x, v)[1]),
        (f"return jvp(grad({F}, wrt = x), wrt = x, along = v)",
         lambda x, v: torch.autograd.functional.hvp(f, x, v)[1]),
        (f"return grad(sum(grad(sum(grad({F}, wrt = x) * v), wrt = x) * v), wrt = x)",
         lambda x, v: derivative(derivative(torch.func.grad(f), v), v)(x)),
        ("return vjp(tanh(x) @ x.T, wrt = x, with = v @ v.T)",
         lambda x, v: torch.func.vjp(lambda x: torch.tanh(x) @ x.T, x)[1](v @ v.T)[0]),
        ("return jvp(tanh(x) @ x.T, wrt = x, along = v)",
         lambda x, v: torch.autograd.functional.jvp(lambda x: torch.tanh(x) @ x.T, x, v)[1]),
        ("return jvp(x @ v.T, wrt = (x, v), along = (v, x))",
         lambda x, v: torch.autograd.functional.jvp(lambda x, v: x @ v.T, (x, v), (v, x))[1]),
        ("a, c = grad(sum(x * v * v), wrt = (x, v))\nreturn a + c", lambda x, v: v * v + 2 * x * v),
        ("y = x * x\nreturn grad(sum(y * y), wrt = y)", lambda x, v: 2 * x * x),
        ("return grad(sum(x * stop_gradient(x)), wrt = x)", lambda x, v: x),
        ("return grad(grad(grad(sum(x * x), wrt = x)[0, 0], wrt = x)[0, 0], wrt = x)", lambda x, v: x * 0),
        ("return if sum(v) > 1000 { x } else { grad(sum(x * x * v), wrt = x) }", lambda x, v: 2 * x * v),
        ("y = x * x\nreturn if sum(v) > 1000 { x } else { grad(sum(y * v), wrt = x) }", lambda x, v: 2 * x * v),
    ],
)  # fmt: skip
def test_derivatives(body: str, expected: Callable[..., torch.Tensor]) -> None:
    (found,) = outputs(f"model M(x: f32[b, d], v: f32[b, d]) {{\n{body}\n}}", x=X, v=V)
    assert_near(found, expected(torch.tensor(X), torch.tensor(V)), 5e-6)


def test_descent_inside_the_graph() -> None:
    """The gradient in the body of a loop, by a carry of it."""
    (found,) = outputs(
        "model M(x: f32[b, d], v: f32[b, d]) {\n"
        "return loop i from 1 to 20 carry z = x { next z = z - 0.3 * grad(0.5 * sum((z - v) * (z - v)), wrt = z) }\n}",
        x=X, v=V,
    )  # fmt: skip
    assert_near(found, V + (X - V) * 0.7**20, 1e-5)


def test_forces_of_an_energy_in_an_entry() -> None:
    text = """
use std.layers: linear
model Potential {
  let net = linear(16) >> tanh >> linear(1)
  entry energy(positions: f32[atoms, 3]) -> f32 { return sum(net(positions)) }
  entry forces(positions: f32[atoms, 3]) -> f32[atoms, 3] { return -grad(energy(positions), wrt = positions) }
}
"""
    network = program(text).network()
    values = variables(network)
    positions = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    found = Runner(network.graph("forces", **CHECKED))({**values, "positions": positions})["output"]
    p = {name: torch.tensor(array) for name, array in values.items()}

    def energy(x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(functional.linear(x, p["net.linear.weight"], p["net.linear.bias"]))
        return functional.linear(hidden, p["net.linear_2.weight"], p["net.linear_2.bias"]).sum()

    assert_near(found, -torch.func.grad(energy)(torch.tensor(positions)), 1e-5)


def test_by_a_parameter() -> None:
    text = """
use std.layers: linear
model M {
  let f = linear(2)
  entry forward(x: f32[b, 4]) -> (f32[2, 4], f32[2]) {
    y = f(x)
    return grad(sum(y * y), wrt = (f.weight, f.bias))
  }
}
"""
    network = program(text).network()
    values = variables(network)
    weight, bias = (values[f"f.{name}"] for name in ("weight", "bias"))
    found = list(Runner(network.graph(**CHECKED))({**values, "x": X}).values())
    y = X @ weight.T + bias
    assert_near(found[0], 2 * y.T @ X, 1e-6)
    assert_near(found[1], 2 * y.sum(0), 1e-6)


CRITIC = """
use std.layers: conv2d, linear
model Critic {
  let critic = conv2d(4, 3, stride = 2, pad = 1) >> leaky_relu(0.2)
      >> conv2d(6, 3, pad = 1) >> tanh >> flatten >> linear(1)
  entry forward(real: f32[4, 2, 6, 6], fake: f32[4, 2, 6, 6], mix: f32[4, 1, 1, 1]) -> f32[4, 1] {
    return critic(real)
  }
}
train Critic {
  between = mix * real + (1 - mix) * fake
  slope = grad(sum(critic(between)), wrt = between)
  norm = sqrt(sum(slope * slope, [1, 2, 3]))
  minimize mean(critic(fake)) - mean(critic(real)) + 10 * mean((norm - 1) * (norm - 1))
  optimizer sgd(0.1)
}
"""


def test_gradient_penalty_agrees_with_double_backward() -> None:
    """Gulrajani et al. 2017: the parameters' gradient of the norm of a gradient, through convolutions."""
    network = program(CRITIC).network()
    values = variables(network)
    rng = np.random.default_rng(0)
    data = {name: rng.standard_normal((4, 2, 6, 6)).astype(np.float32) for name in ("real", "fake")}
    data["mix"] = rng.random((4, 1, 1, 1)).astype(np.float32)
    found = Runner(network.gradient_graph(**CHECKED))({**values, **data, **run_inputs()})

    p = {name.removeprefix("critic."): torch.tensor(array, requires_grad=True) for name, array in values.items()}
    t = {name: torch.tensor(array) for name, array in data.items()}

    def critic(x: torch.Tensor) -> torch.Tensor:
        x = functional.leaky_relu(functional.conv2d(x, p["conv2d.weight"], p["conv2d.bias"], 2, 1), 0.2)
        x = torch.tanh(functional.conv2d(x, p["conv2d_2.weight"], p["conv2d_2.bias"], 1, 1))
        return functional.linear(x.flatten(1), p["linear.weight"], p["linear.bias"])

    between = (t["mix"] * t["real"] + (1 - t["mix"]) * t["fake"]).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = ((slope.square().sum((1, 2, 3)).sqrt() - 1) ** 2).mean()
    loss = critic(t["fake"]).mean() - critic(t["real"]).mean() + 10 * penalty
    loss.backward()
    assert_near(found["loss"], loss, 1e-5)
    for name, tensor in p.items():
        assert tensor.grad is not None or name == "linear.bias"
        expected = tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)
        assert_near(found[f"grad.critic.{name}"], expected, 1e-5, name)


# --- custom_grad -----------------------------------------------------------------------------------------------------


def test_straight_through() -> None:
    """Bengio et al. 2013."""
    text = """
fn hard(x: f32[*s]) -> f32[*s] { return round(x) } custom_grad(g) { return g }
model M(x: f32[b, d], v: f32[b, d]) {
  y = hard(x)
  return y, grad(sum(y * v), wrt = x)
}
"""
    y, g = outputs(text, x=X, v=V)
    assert np.array_equal(y, np.round(X))
    assert np.array_equal(g, V)


def test_a_gradient_of_several_tensors_and_results() -> None:
    """A gradient that is not the true one, so that it shows; it differentiates again."""
    text = """
fn pair(x: f32[b, d], n: i64[b], w: f32[d], scale: float) -> (f32[b, d], f32[b]) {
  return x * w * scale, sum(x, -1)
} custom_grad(g, h) {
  return g * w * w + reshape(h, [b, 1]), none, scale * sum(g * x, 0)
}
model M(x: f32[b, d], w: f32[d], n: i64[b]) {
  y, z = pair(x, n, w, 3.0)
  dx, dw = grad(sum(y * y) + sum(z), wrt = (x, w))
  return dx, dw, grad(sum(dx), wrt = w)
}
"""
    w = np.arange(1, 5).astype(np.float32)
    dx, dw, second = outputs(text, x=X, w=w, n=np.arange(3))
    g = 2 * X * w * 3
    assert_near(dx, g * w * w + 1, 1e-6)
    assert_near(dw, 3 * (g * X).sum(0), 1e-6)
    assert_near(second, (2 * X * 3 * 3 * w * w).sum(0), 1e-6)  # d/dw of 6 x w³


def test_one_tensor_given_twice_gets_both_gradients() -> None:
    text = """
fn product(x: f32[*s], y: f32[*s]) -> f32[*s] { return x * y } custom_grad(g) { return g, 10 * g }
model M(x: f32[b, d]) { return grad(sum(product(x, x)), wrt = x) }
"""
    (found,) = outputs(text, x=X)
    assert np.array_equal(found, np.full_like(X, 11))


# --- @recompute ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["scan e in x along b", "loop i from 1 to 3"])
def test_rounds_that_are_computed_again_keep_their_carries_alone(head: str) -> None:
    body = "{{ next h = sin(exp(tanh(h)) * {}); emit next h }}".format("e" if "scan" in head else "f32(i)")
    kept: list[int] = []
    for mark in ("", "@recompute "):
        text = (
            f"model M(x: f32[b, 4]) -> f32[b, 4] {{\n{mark}y = {head} carry h = mean(x, 0) {body}\n"
            "return grad(sum(y * y), wrt = x)\n}"
        )
        graph = program(text).network().elaborate()
        first = next(node for node in graph.nodes if node.bodies)
        kept.append(len(first.outputs))
    assert kept[1] <= 3 < kept[0]


DEEP = """
use std.layers: linear, batch_norm, dropout
{layer}
layer block(n: int)(x: f32[b, i]) -> f32[b, n] {{
  return x |> linear(n) |> batch_norm() |> tanh |> dropout(0.2) |> linear(n)
}}
model M(x: f32[b, 4]) -> f32[b, 4] {{
  {repeat}
  repeat 3 {{
    y = x |> block(4)
    {statement}
    x = x + tanh(y * y)
  }}
  return x
}}
train M {{ minimize mean(forward(x) * forward(x)); optimizer sgd(0.1) }}
"""


def test_what_is_constant_inside_stays_constant() -> None:
    (found,) = outputs(
        "model M(x: f32[b, 4]) { @recompute y = full([4], 1.5)\n@recompute n = 2\nreturn x + y * n }", x=X
    )
    assert_near(found, X + 3, 1e-6)


@pytest.mark.parametrize(
    "value", ["scan e in x along d carry s = zeros(3) { next s = s + sin(e); emit s }", "sin(exp(x))"]
)
def test_the_value_of_a_block_can_be_marked(value: str) -> None:
    text = "model M(x: f32[3, d]) {{ y = if 2 > 1 {{\n{}{} }} else {{ x }}\nreturn grad(sum(y * y), wrt = x) }}"
    (plain,), (marked,) = (outputs(text.format(mark, value), x=X) for mark in ("", "@recompute "))
    assert_near(marked, plain, 1e-6)


def step_of(**marks: str) -> tuple[Graph, dict[str, Any]]:
    network = program(DEEP.format(**{"layer": "", "repeat": "", "statement": "", **marks})).network()
    training = Training(network, variables(network))
    results = [training.step({"x": X})["loss"] for _ in range(3)]
    return network.gradient_graph(**CHECKED), {**training.variables, "losses": np.array(results)}


@pytest.mark.parametrize("marked", ["layer", "repeat", "statement"])
def test_recomputing_changes_nothing_but_when(marked: str) -> None:
    """The same steps to the last digits, running statistics and random draws included, from more nodes."""
    plain, expected = step_of()
    graph, found = step_of(**{marked: "@recompute"})
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_near(found[name], value, 2e-6, name)
    assert sum(node.op == "barrier" for node in graph.nodes) >= 3
    assert sum(node.op == "tanh" for node in graph.nodes) > sum(node.op == "tanh" for node in plain.nodes)
