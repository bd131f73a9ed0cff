"""Gradients where the derivative does not exist or is not finite: what the documentation of each operator says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder

from netlang.types import TensorType

from .harness import run_onnx

INF = math.inf

CONVENTIONS: dict[str, tuple[str, list[list[float]], dict[str, Any], list[list[float]]]] = {
    "relu'(0) = 0": ("relu", [[-1, 0, 2]], {}, [[0, 0, 1]]),
    "abs'(0) = 0": ("abs", [[-3, 0, 2]], {}, [[-1, 0, 1]]),
    "sqrt'(0) = inf": ("sqrt", [[0, 4]], {}, [[INF, 0.25]]),
    "log'(0) = inf": ("log", [[0, 4]], {}, [[INF, 0.25]]),
    "maximum: ties share": ("maximum", [[1, 2, 3], [3, 2, 1]], {}, [[0, 0.5, 1], [1, 0.5, 0]]),
    "minimum: ties share": ("minimum", [[1, 2, 3], [3, 2, 1]], {}, [[1, 0.5, 0], [0, 0.5, 1]]),
    "max: ties share": ("max", [[5, 1, 5, 5, 2]], {}, [[1 / 3, 0, 1 / 3, 1 / 3, 0]]),
    "min: ties share": ("min", [[1, 5, 1, 2]], {}, [[0.5, 0, 0.5, 0]]),
    "clip: the ends belong to it": ("clip", [[-2, -1, 0, 1, 2]], {"low": -1.0, "high": 1.0}, [[0, 1, 1, 1, 0]]),
    "clip: no lower end": ("clip", [[-2, 1, 2]], {"high": 1.0}, [[1, 1, 0]]),
    "pow: no slope of y at x <= 0": ("pow", [[-2, 0, 1], [2, 2, 3]], {}, [[-4, 0, 3], [0, 0, 0]]),
    "pow: x⁰ is flat": ("pow", [[0, 2], [0, 0]], {}, [[0, 0], [0, math.log(2)]]),
    "pow: the slope of √x at 0": ("pow", [[0, 4], [0.5, 0.5]], {}, [[INF, 0.25], [0, 2 * math.log(4)]]),
    "prod: one zero": ("prod", [[2, 0, 3]], {}, [[0, 6, 0]]),
    "prod: two zeros": ("prod", [[0, 0, 3]], {}, [[0, 0, 0]]),
    "prod: one factor": ("prod", [[0]], {}, [[1]]),
    "floor divides nothing": ("mod", [[7, -7], [3, 3]], {}, [[1, 1], [-2, 3]]),
    "stop_gradient": ("stop_gradient", [[1, 2]], {}, [[0, 0]]),
    "sign is flat": ("sign", [[-1, 0, 2]], {}, [[0, 0, 0]]),
    "round is straight-through": ("round", [[0.5, 1.2]], {}, [[1, 1]]),
    "sigmoid far away": ("sigmoid", [[-200, 200]], {}, [[0, 0]]),
    "softmax far away": ("softmax", [[-1000, 1000]], {}, [[0, 0]]),
    "log_softmax far away": ("log_softmax", [[0, 1000]], {}, [[1, -1]]),
}


@pytest.mark.parametrize(("name", "inputs", "attrs", "expected"), CONVENTIONS.values(), ids=CONVENTIONS)
def test_gradient(name, inputs, attrs, expected):
    b = Builder()
    values = [np.array(values, np.float32) for values in inputs]
    xs = [b.input(f"x{i}", TensorType("f32", value.shape)) for i, value in enumerate(values)]
    loss = b.sum(b.apply(name, xs, attrs))
    for i, gradient in enumerate(gradients(b, loss, xs)):
        b.output(f"g{i}", gradient)
    found = run_onnx(b.graph(), {f"x{i}": value for i, value in enumerate(values)})
    for i, wanted in enumerate(expected):
        np.testing.assert_allclose(found[f"g{i}"], wanted, rtol=1e-6)


def test_ties_of_max_pool_share_the_gradient():
    x = np.array([[[[1, 1, 0, 7], [1, 0, 7, 7]]]], np.float32)
    check_pool(x, {"kernel": (2, 2), "stride": (2, 2), "padding": (0,) * 4},
               [[1 / 3, 1 / 3, 0, 1 / 3], [1 / 3, 0, 1 / 3, 1 / 3]])  # fmt: skip


def test_ties_of_overlapping_windows_share_each_gradient():
    x = np.array([[[[2, 2, 2, 0]]]], np.float32)
    check_pool(x, {"kernel": (1, 2), "stride": (1, 1), "padding": (0,) * 4}, [[0.5, 1, 1.5, 0]])


def test_padding_of_max_pool_is_below_everything():
    x = np.full((1, 1, 1, 2), -5.0, np.float32)
    check_pool(x, {"kernel": (1, 3), "stride": (1, 1), "padding": (0, 1, 0, 1)}, [[1, 1]])


def check_pool(x, attrs, expected):
    b = Builder()
    value = b.input("x", TensorType("f32", x.shape))
    (gradient,) = gradients(b, b.sum(b.max_pool(value, **attrs)), [value])
    b.output("g", gradient)
    np.testing.assert_allclose(run_onnx(b.graph(), {"x": x})["g"][0, 0], expected, rtol=1e-6)


def test_the_branch_not_taken_gets_no_gradient_even_where_it_is_not_a_number():
    b = Builder()
    x, y, g = (b.input(name, TensorType("f32", (2,))) for name in ("x", "y", "g"))
    taken = b.constant(np.array([True, False]))
    for name, gradient in zip(("gx", "gy"), gradients(b, b.select(taken, x, y), [x, y], seed=g), strict=True):
        b.output(name, gradient)
    feeds = {"x": np.zeros(2, np.float32), "y": np.zeros(2, np.float32), "g": np.array([3, math.nan], np.float32)}
    found = run_onnx(b.graph(), feeds)
    np.testing.assert_array_equal(found["gx"], [3, 0])
    np.testing.assert_array_equal(found["gy"], [0, math.nan])


def test_results_of_a_split_that_are_not_used_have_no_gradient():
    b = Builder()
    x = b.input("x", TensorType("f32", (6,)))
    _, second, _ = b.split(x, parts=3)
    (gradient,) = gradients(b, b.sum(b.mul(second, second)), [x])
    b.output("g", gradient)
    np.testing.assert_array_equal(run_onnx(b.graph(), {"x": np.arange(6, dtype=np.float32)})["g"], [0, 0, 4, 6, 0, 0])


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_layer_normalize_with_some_results_used(used):
    """Against PyTorch's gradient of the same composition."""
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (4,), (4,))]
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (3, 1), (3, 1))]
    b = Builder()
    xs = [b.input(f"x{i}", TensorType("f32", value.shape)) for i, value in enumerate(values)]
    results = b.layer_normalize(*xs)
    terms = [b.sum(b.mul(results[i], weights[i])) for i in used]
    loss = terms[0] if len(terms) == 1 else b.add(*terms)
    for i, gradient in enumerate(gradients(b, loss, xs)):
        b.output(f"g{i}", gradient)
    found = run_onnx(b.graph(), {f"x{i}": value for i, value in enumerate(values)})

    tensors = [torch.tensor(value, requires_grad=True) for value in values]
    x, scale, shift = tensors
    y = torch.nn.functional.layer_norm(x, (4,), scale, shift)
    expected = (y, x.mean(-1, keepdim=True), (x.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt())
    sum((expected[i] * torch.tensor(weights[i])).sum() for i in used).backward()
    for i, tensor in enumerate(tensors):
        wanted = np.zeros_like(values[i]) if tensor.grad is None else tensor.grad.numpy()
        np.testing.assert_allclose(found[f"g{i}"], wanted, rtol=1e-4, atol=1e-5)


def test_second_derivative_of_prod_with_zeros():
    """d²(xyz)/dxdy = z, where x is 0 as elsewhere."""
    b = Builder()
    x = b.input("x", TensorType("f32", (3,)))
    (first,) = gradients(b, b.prod(x), [x])
    (second,) = gradients(b, b.sum(b.slice(first, starts=1, stops=2, axes=0, steps=1)), [x])
    b.output("h", second)
    found = run_onnx(b.graph(), {"x": np.array([0, 5, 3], np.float32)})["h"]
    np.testing.assert_allclose(found, [3, 0, 0])


def test_batched_matrix_gradient_is_one_product():
    """The gradient of a matrix that multiplies a batch is not a sum of products, one for each sample."""
    b = Builder()
    x, w = b.input("x", TensorType("f32", (4, 5, 6))), b.input("w", TensorType("f32", (6, 7)))
    y = b.matmul(x, w)
    (gradient,) = gradients(b, b.sum(b.mul(y, y)), [w])
    producer = b.producer(gradient)
    assert producer is not None
    assert producer.op == "matmul"
    assert [value.type.shape for value in producer.inputs] == [(6, 20), (20, 7)]
