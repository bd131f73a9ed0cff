"""Values and gradients at zeros, ties, ends of domains and infinities, against PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from torch.nn import functional

from netlang.types import TensorType

from .harness import Arrays, run_onnx

INF = math.inf
POINTS = [-INF, -88, -6, -3.5, -3, -2.5, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 6, 88, INF]

UNARY: dict[str, Callable[[Any], Any]] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "acosh": torch.acosh,
    "asin": torch.asin,
    "asinh": torch.asinh,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "celu": functional.celu,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "elu": functional.elu,
    "erf": torch.erf,
    "exp": torch.exp,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "hardsigmoid": functional.hardsigmoid,
    "leaky_relu": functional.leaky_relu,
    "log": torch.log,
    "mish": functional.mish,
    "reciprocal": torch.reciprocal,
    "relu": functional.relu,
    "selu": functional.selu,
    "shrink": functional.hardshrink,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros(())),
    "softsign": functional.softsign,
    "sqrt": torch.sqrt,
    "tan": torch.tan,
    "tanh": torch.tanh,
    "thresholded_relu": lambda x: functional.threshold(x, 1.0, 0.0),
}
FINITE: dict[str, Callable[[Any], Any]] = {"gelu": functional.gelu, "hardswish": functional.hardswish}
"""Of infinity PyTorch has no gelu, and ours no slope of hardswish."""

ZEROS = [[2.0, 0.0, 3.0, 4.0], [0.0, 5.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]]
TIES = [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [0.0, -0.0, -1.0]]
FLAT: dict[str, tuple[str, list[Any], dict[str, Any], Callable[..., Any]]] = {
    "pow of zero": ("pow", [[0, 0, 0, 0, 1, 2], [0, 1, 2, 0.5, 0, -1]], {}, torch.pow),
    "maximum": ("maximum", [[1, 2, 3], [3, 2, 1]], {}, torch.maximum),
    "minimum": ("minimum", [[1, 2, 3], [3, 2, 1]], {}, torch.minimum),
    "clamp: ends and crossed ends": ("clamp", [[0, 1, 2, 3, 4, 2], [1, 1, 1, 1, 1, 3], [3, 3, 3, 3, 3, 1]], {},
                                     torch.clamp),
    "prelu at 0": ("prelu", [[-1, 0, 2], [0.5, 0.5, 0.5]], {}, lambda x, a: functional.prelu(x, a[:1]) + 0 * a.sum()),
    "fmod": ("fmod", [[7, -7, 7.5], [3, 3, -3]], {}, torch.fmod),
    "div by infinity": ("div", [[1, 2], [INF, 4]], {}, torch.div),
    "swiglu at 0": ("swiglu", [[0, -1], [0, 3]], {}, lambda g, x: functional.silu(g) * x),
    "max: ties": ("max", [TIES], {"axis": (1,)}, lambda x: x.amax(1)),
    "min: ties": ("min", [TIES], {"axis": (-1, 0)}, lambda x: x.amin((0, 1))),
    "prod of zeros": ("prod", [ZEROS], {"axis": (1,)}, lambda x: x.prod(1)),
    "cumprod of zeros": ("cumprod", [ZEROS], {}, lambda x: x.cumprod(1)),
    "norm of zeros": ("reduce_l2", [ZEROS], {"axis": (1,)}, lambda x: x.norm(2, 1)),
    "sum of absolute zeros": ("reduce_l1", [ZEROS], {"axis": (1,)}, lambda x: x.norm(1, 1)),
    "logsumexp far away": ("logsumexp", [[[-64, -64], [1e4, 0], [-INF, 0]]], {"axis": (1,)},
                           lambda x: x.logsumexp(1)),
    "softmax of -inf": ("softmax", [[[-INF, 0, 1]]], {}, lambda x: x.softmax(-1)),
    "det of a singular matrix": ("det", [[[1, 2, 3], [2, 4, 6], [0, 1, -1]]], {}, torch.det),
    "det of rank 1": ("det", [[[1, 2, 3], [2, 4, 6], [3, 6, 9]]], {}, torch.det),
    "det of no rows": ("det", [np.zeros((0, 0))], {}, torch.det),
    "det of zeros": ("det", [[[0, 0], [0, 0]]], {}, torch.det),
}  # fmt: skip

SHAPES: dict[str, tuple[str, list[tuple[int, ...]], dict[str, Any], Callable[..., Any]]] = {
    "sum of nothing": ("sum", [(2, 0, 3)], {"axis": (-2,)}, lambda x: x.sum(1)),
    "prod of nothing": ("prod", [(0, 3)], {"axis": (0,)}, lambda x: x.prod(0)),
    "norm of nothing": ("reduce_l2", [(2, 0)], {"axis": (1,)}, lambda x: x.norm(2, 1)),
    "sum of squares of nothing": ("reduce_sum_square", [(2, 0)], {"axis": (1,)}, lambda x: (x * x).sum(1)),
    "mean over a row": ("mean", [(0, 3)], {"axis": (-1,), "keepdims": True}, lambda x: x.mean(-1, True)),
    "max over size 1": ("max", [(1, 3, 1)], {"axis": (0, -1)}, lambda x: x.amax((0, 2))),
    "softmax of one": ("softmax", [(3, 1)], {}, lambda x: x.softmax(-1)),
    "softmax of no rows": ("softmax", [(0, 4)], {"axis": -1}, lambda x: x.softmax(-1)),
    "cumsum of nothing": ("cumsum", [(3, 0)], {"axis": -1}, lambda x: x.cumsum(-1)),
    "cumprod of one": ("cumprod", [(1, 4)], {"axis": -2}, lambda x: x.cumprod(0)),
    "matmul over nothing": ("matmul", [(2, 0), (0, 3)], {}, torch.matmul),
    "no matrices": ("matmul", [(0, 2, 3), (3, 4)], {}, torch.matmul),
    "broadcast against nothing": ("mul", [(2, 1), (1, 0)], {}, torch.mul),
    "prelu broadcast": ("prelu", [(2, 1, 3), (4, 1)], {}, lambda x, a: torch.where(x > 0, x, a * x)),
    "clamp broadcast": ("clamp", [(2, 3), (), (2, 1)], {}, torch.clamp),
    "einsum over nothing": ("einsum", [(2, 0), (0, 3)], {"equation": "ij,jk->ki"},
                            lambda *x: torch.einsum("ij,jk->ki", *x)),
    "activation of nothing": ("mish", [(0,)], {}, functional.mish),
    "activation of a number": ("gelu_tanh", [()], {}, lambda x: functional.gelu(x, approximate="tanh")),
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_function_at_special_points(name):
    check(name, [np.array(POINTS, np.float32)], {}, UNARY[name])


@pytest.mark.parametrize("name", FINITE)
def test_function_at_special_finite_points(name):
    check(name, [np.array(POINTS[1:-1], np.float32)], {}, FINITE[name])


@pytest.mark.parametrize(("name", "inputs", "attrs", "reference"), FLAT.values(), ids=FLAT)
def test_zeros_and_ties(name, inputs, attrs, reference):
    check(name, [np.array(values, np.float32) for values in inputs], attrs, reference)


@pytest.mark.parametrize(("name", "shapes", "attrs", "reference"), SHAPES.values(), ids=SHAPES)
def test_sizes_zero_and_one(name, shapes, attrs, reference):
    rng = np.random.default_rng(0)
    check(name, [np.asarray(rng.standard_normal(shape), np.float32) for shape in shapes], attrs, reference)


def test_softplus_keeps_its_digits():
    x = np.array([-30, -20, -10, -5, -1, 0, 1, 20], np.float32)
    np.testing.assert_allclose(found("softplus", [x], {})["y"], np.logaddexp(0, x.astype(np.float64)), rtol=1e-6)


def test_logsumexp_of_infinities():
    x = np.array([[-INF, -INF], [INF, 0], [INF, -INF], [-INF, 7]], np.float32)
    np.testing.assert_allclose(found("logsumexp", [x], {"axis": (1,)})["y"], [-INF, INF, INF, 7])


@pytest.mark.parametrize("name", ["sinh", "cosh"])
def test_hyperbolic_functions_keep_their_digits(name):
    """Near 0, and as far as the result is a number of f32."""
    x = np.array([-89.25, -88.8, -20, -1e-4, 1e-6, 3, 88.8, 89.25], np.float32)
    expected = getattr(np, name)(x.astype(np.float64))
    np.testing.assert_allclose(found(name, [x], {})["y"], expected, rtol=5e-6)


def test_is_inf_of_each_sign():
    x = np.array([-INF, -1, 0, math.nan, INF], np.float32)
    flags = {"detect_negative": True, "detect_positive": False}
    b = Builder()
    b.output("y", b.is_inf(b.input("x", TensorType("f32", x.shape)), **flags))
    np.testing.assert_array_equal(run_onnx(b.graph(), {"x": x})["y"], [True, False, False, False, False])


def check(name: str, inputs: list[np.ndarray], attrs: dict[str, Any], reference: Callable[..., Any]) -> None:
    """The result, and the gradients of its sum, are those of PyTorch."""
    results = found(name, inputs, attrs)
    tensors = [torch.tensor(values, requires_grad=True) for values in inputs]
    y = reference(*tensors)
    y.sum().backward()
    np.testing.assert_allclose(results["y"], y.detach().numpy(), rtol=2e-5, atol=2e-6)
    for i, tensor in enumerate(tensors):
        np.testing.assert_allclose(results[f"g{i}"], tensor.grad.numpy(), rtol=2e-5, atol=2e-6)


def found(name: str, inputs: list[np.ndarray], attrs: dict[str, Any]) -> Arrays:
    """What onnxruntime makes of an operator and the gradients of the sum of its results."""
    b = Builder()
    xs = [b.input(f"x{i}", TensorType("f32", values.shape)) for i, values in enumerate(inputs)]
    y = b.apply(name, xs, attrs)
    assert not isinstance(y, tuple)
    b.output("y", y)
    for i, gradient in enumerate(gradients(b, b.sum(y), xs)):
        b.output(f"g{i}", gradient)
    return run_onnx(b.graph(), {f"x{i}": values for i, values in enumerate(inputs)})
