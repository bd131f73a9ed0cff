"""Gradients of gradients through a critic: the penalty of Gulrajani et al. 2017, against PyTorch's double backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from netlang.types import TensorType
from tests.ops.harness import run_onnx

BATCH = 3

SHAPES: dict[str, tuple[int, ...]] = {
    "x": (BATCH, 2, 8, 8),
    "w1": (4, 2, 3, 3),
    "b1": (4,),
    "w2": (6, 4, 4, 4),
    "b2": (6,),
    "w3": (24, 5),
    "b3": (5,),
    "w4": (5, 1),
}
"""The image, and the parameters of two convolutions (the second strided) and two linear layers."""


def values() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {name: (0.5 * rng.standard_normal(shape)).astype(np.float32) for name, shape in SHAPES.items()}


def leaky_relu(b: Builder, x: Value) -> Value:
    return b.maximum(x, b.mul(x, 0.2))


def critic(b: Builder, v: dict[str, Value], norm: bool) -> Value:
    """One number for each image, from the network that `critic_of_torch` is too."""
    y = b.conv(v["x"], v["w1"], stride=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1))
    y = leaky_relu(b, b.add(y, b.reshape(v["b1"], shape=(4, 1, 1))))
    if norm:
        ones, zeros = (b.full(shape=(4,), value=value) for value in (1.0, 0.0))
        y = b.instance_norm(y, ones, zeros)
    y = b.conv(y, v["w2"], stride=(2, 2), padding=(1, 1, 1, 1), dilation=(1, 1))
    y = leaky_relu(b, b.add(y, b.reshape(v["b2"], shape=(6, 1, 1))))
    y = b.avg_pool(y, kernel=(2, 2), stride=(2, 2), padding=(0,) * 4)
    y = b.reshape(y, shape=(BATCH, 24))
    return b.matmul(leaky_relu(b, b.add(b.matmul(y, v["w3"]), v["b3"])), v["w4"])


def critic_of_torch(v: dict[str, Any], norm: bool) -> Any:
    functions = torch.nn.functional
    y = functions.leaky_relu(functions.conv2d(v["x"], v["w1"], v["b1"], 1, 1), 0.2)
    if norm:
        y = functions.instance_norm(y)
    y = functions.leaky_relu(functions.conv2d(y, v["w2"], v["b2"], 2, 1), 0.2)
    y = functions.avg_pool2d(y, 2).flatten(1)
    return functions.leaky_relu(y @ v["w3"] + v["b3"], 0.2) @ v["w4"]


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "instance norm"])
def test_gradient_penalty(norm: bool) -> None:
    """The penalty 10 (‖∂critic/∂x‖ - 1)², its gradient by every parameter, and that of the critic's loss with it."""
    feeds = values()
    b = Builder()
    inputs = {name: b.input(name, TensorType("f32", shape)) for name, shape in SHAPES.items()}
    score = critic(b, inputs, norm)
    (slope,) = gradients(b, b.sum(score), [inputs["x"]])
    squares = b.sum(b.mul(slope, slope), axis=(1, 2, 3))
    distance = b.sub(b.sqrt(squares), 1.0)
    penalty = b.mul(b.mean(b.mul(distance, distance)), 10.0)
    loss = b.add(b.neg(b.mean(score)), penalty)
    b.output("penalty", penalty)
    for name, gradient in zip(SHAPES, gradients(b, loss, list(inputs.values())), strict=True):
        b.output(f"g.{name}", gradient)
    found = run_onnx(b.graph(), feeds)

    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in feeds.items()}
    score = critic_of_torch(tensors, norm)
    (slope,) = torch.autograd.grad(score.sum(), tensors["x"], create_graph=True)
    penalty = 10 * ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()
    (penalty - score.mean()).backward()
    np.testing.assert_allclose(found["penalty"], penalty.detach().numpy(), rtol=1e-5)
    for name, tensor in tensors.items():
        assert tensor.grad is not None
        np.testing.assert_allclose(found[f"g.{name}"], tensor.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


def test_third_order() -> None:
    """A gradient of a gradient of a gradient: Σ (∂/∂x Σ (∂/∂x Σ y²)²)² through a convolution, in PyTorch the same."""
    rng = np.random.default_rng(4)
    feeds = {
        name: rng.standard_normal(shape).astype(np.float32) for name, shape in (("x", (1, 2, 4)), ("w", (2, 2, 3)))
    }
    b = Builder()
    x, w = (b.input(name, TensorType("f32", array.shape)) for name, array in feeds.items())
    y = b.conv(b.mul(b.mul(x, x), x), w, stride=(1,), padding=(1, 1), dilation=(1,))
    for _ in range(2):
        (y,) = gradients(b, b.sum(b.mul(y, y)), [x])
    for name, gradient in zip(feeds, gradients(b, b.sum(b.mul(y, y)), [x, w]), strict=True):
        b.output(f"g.{name}", gradient)
    found = run_onnx(b.graph(), feeds)
    tensors = {name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in feeds.items()}
    z = torch.nn.functional.conv1d(tensors["x"] ** 3, tensors["w"], padding=1)
    for _ in range(2):
        (z,) = torch.autograd.grad((z * z).sum(), tensors["x"], create_graph=True)
    expected = torch.autograd.grad((z * z).sum(), list(tensors.values()))
    for name, wanted in zip(feeds, expected, strict=True):
        np.testing.assert_allclose(found[f"g.{name}"], wanted.numpy(), rtol=1e-4, err_msg=name)
