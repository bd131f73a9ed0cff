"""Selective state spaces and time mixing written with `scan`: gradients as PyTorch's, of order two by differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.control import scan
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph, Value

from netlang.types import TensorType

from .harness import Arrays, central_difference, run_onnx

STEPS, BATCH, WIDTH, STATES = 6, 2, 3, 4

SELECTIVE = {
    "x": (STEPS, BATCH, WIDTH),
    "dt": (STEPS, BATCH, WIDTH),
    "a": (WIDTH, STATES),
    "b": (STEPS, BATCH, STATES),
    "c": (STEPS, BATCH, STATES),
}
MIXING = {
    "k": (STEPS, BATCH, WIDTH),
    "v": (STEPS, BATCH, WIDTH),
    "w": (WIDTH,),
    "u": (WIDTH,),
}


def selective(b: Builder, x: Value, dt: Value, a: Value, b_in: Value, c: Value, **options: bool) -> Value:
    """hₜ = exp(dtₜ a) hₜ₋₁ + dtₜ xₜ bₜ and yₜ = hₜ cₜ (Gu and Dao 2023)."""
    body = b.inner("step")
    h = body.input("h", TensorType("f32", (BATCH, WIDTH, STATES)))
    x_t, dt_t, b_t, c_t = (body.input(f"x{i}", one_step(value)) for i, value in enumerate((x, dt, b_in, c)))
    step = body.reshape(dt_t, shape=(BATCH, WIDTH, 1))
    entering = body.reshape(body.mul(dt_t, x_t), shape=(BATCH, WIDTH, 1))
    row = body.reshape(b_t, shape=(BATCH, 1, STATES))
    h = body.add(body.mul(body.exp(body.mul(step, a)), h), body.mul(entering, row))
    y = body.matmul(h, body.reshape(c_t, shape=(BATCH, STATES, 1)))
    body.output("h", h)
    body.output("y", body.reshape(y, shape=(BATCH, WIDTH)))
    zeros = b.full(shape=(BATCH, WIDTH, STATES), value=0.0)
    _, (result,) = scan(b, body, [zeros], [x, dt, b_in, c], **options)
    return result


def torch_selective(x: Any, dt: Any, a: Any, b: Any, c: Any) -> Any:
    h = x.new_zeros(BATCH, WIDTH, STATES)
    results = []
    for t in range(STEPS):
        h = (dt[t][..., None] * a).exp() * h + (dt[t] * x[t])[..., None] * b[t][:, None]
        results.append((h * c[t][:, None]).sum(-1))
    return torch.stack(results)


def mixing(b: Builder, k: Value, v: Value, w: Value, u: Value, **options: bool) -> Value:
    """Weighted means of all values so far, with weights that decay by exp(-eʷ) a step (RWKV: Peng et al. 2023)."""
    body = b.inner("step")
    above, below = (body.input(name, TensorType("f32", (BATCH, WIDTH))) for name in ("above", "below"))
    k_t, v_t = (body.input(name, one_step(value)) for name, value in (("k", k), ("v", v)))
    now, later = body.exp(body.add(k_t, u)), body.exp(k_t)
    y = body.div(body.add(above, body.mul(now, v_t)), body.add(below, now))
    decay = b.exp(b.neg(b.exp(w)))
    body.output("above", body.add(body.mul(above, decay), body.mul(later, v_t)))
    body.output("below", body.add(body.mul(below, decay), later))
    body.output("y", y)
    zeros = b.full(shape=(BATCH, WIDTH), value=0.0)
    _, (result,) = scan(b, body, [zeros, zeros], [k, v], **options)
    return result


def torch_mixing(k: Any, v: Any, w: Any, u: Any) -> Any:
    above = below = k.new_zeros(BATCH, WIDTH)
    decay = (-w.exp()).exp()
    results = []
    for t in range(STEPS):
        now, later = (k[t] + u).exp(), k[t].exp()
        results.append((above + now * v[t]) / (below + now))
        above, below = above * decay + later * v[t], below * decay + later
    return torch.stack(results)


def one_step(value: Value) -> TensorType:
    return TensorType(value.type.dtype, value.type.shape[1:])


Case = tuple[Callable[..., Value], Callable[..., Any], dict[str, tuple[int, ...]]]
CASES: dict[str, Case] = {
    "selective": (selective, torch_selective, SELECTIVE),
    "mixing": (mixing, torch_mixing, MIXING),
}


def random(shapes: dict[str, tuple[int, ...]], seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    return {name: (0.5 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}


def graph_of(case: Case, order: int, **options: bool) -> Graph:
    """y; `loss`, the sum of y · y; its gradients g.name; for the second order s, the sum of those times u.name, and
    its gradients h.name."""
    b = Builder()
    function, _, shapes = case
    inputs = {name: b.input(name, TensorType("f32", shape)) for name, shape in shapes.items()}
    y = function(b, *inputs.values(), **options)
    b.output("y", y)
    loss = b.sum(b.mul(y, y))
    first = outputs(b, "g", shapes, gradients(b, loss, list(inputs.values())))
    if order == 2:
        moves = [b.input(f"u.{name}", TensorType("f32", shape)) for name, shape in shapes.items()]
        terms = [b.sum(b.mul(gradient, move)) for gradient, move in zip(first, moves, strict=True)]
        total = reduce(b.add, terms)
        b.output("s", total)
        outputs(b, "h", shapes, gradients(b, total, list(inputs.values())))
    return b.graph()


def outputs(b: Builder, prefix: str, names: dict[str, Any], values: Sequence[Value]) -> Sequence[Value]:
    for name, value in zip(names, values, strict=True):
        b.output(f"{prefix}.{name}", value)
    return values


@pytest.mark.parametrize("options", [{}, {"recompute": True}], ids=["saved", "recomputed"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_pytorchs(name: str, options: dict[str, bool]):
    _, reference, shapes = CASES[name]
    feeds = random(shapes, 1)
    found = run_onnx(graph_of(CASES[name], 1, **options), feeds)
    tensors = {key: torch.tensor(array, requires_grad=True) for key, array in feeds.items()}
    y = reference(*tensors.values())
    (y * y).sum().backward()
    np.testing.assert_allclose(found["y"], y.detach().numpy(), rtol=1e-5, atol=1e-6)
    for key, tensor in tensors.items():
        np.testing.assert_allclose(found[f"g.{key}"], tensor.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("options", [{}, {"recompute": True}], ids=["saved", "recomputed"])
@pytest.mark.parametrize("name", CASES)
def test_second_gradients_agree_with_differences(name: str, options: dict[str, bool]):
    shapes = CASES[name][2]
    values, moves, direction = (random(shapes, seed) for seed in (1, 2, 3))
    graph = graph_of(CASES[name], 2, **options)
    constant = {f"u.{key}": array for key, array in moves.items()}
    found = evaluate(graph, values | constant, "f64")
    wide = {key: array.astype(np.float64) for key, array in direction.items()}

    def total(moved: Arrays) -> float:
        return float(evaluate(graph, moved | constant, "f64")["s"])

    slope = sum(float(np.sum(found[f"h.{key}"] * move)) for key, move in wide.items())
    assert slope == pytest.approx(central_difference(total, values, wide), rel=1e-6, abs=1e-7)
    for key, array in run_onnx(graph, values | constant).items():
        np.testing.assert_allclose(array, found[key], rtol=1e-4, atol=1e-5, err_msg=key)
