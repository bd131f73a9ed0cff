"""Every operator of the table, by its samples: the same tests for all, so that a new operator brings its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from netlang.compiler.op import Op, Sample
from netlang.compiler.ops import ALL, OPS

from .harness import (
    arrays,
    build,
    cases,
    central_difference,
    directions,
    feeds,
    normal_like,
    result_shapes,
    run_numpy,
    run_onnx,
    run_torch,
    slope,
    with_gradients,
)


@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_is_complete(op: Op):
    assert op.signature.name == op.name
    assert op.doc.endswith(".")
    assert (op.vjp is None) != (op.nondiff is None), "either a gradient, or the reason why there is none"
    assert any(isinstance(sample, Sample) for sample in op.samples), "an operator without samples is not tested"
    if op.vjp:
        assert cases_of(op, differentiable=True), "no sample tests the gradient"


def cases_of(op: Op, differentiable: bool = False) -> list:
    return [case for case in cases(differentiable=differentiable) if case.op is op]


@pytest.mark.parametrize("case", cases(), ids=str)
def test_onnxruntime_agrees_with_numpy(case):
    built = build(case)
    values = feeds(arrays(case))
    expected, found = run_numpy(built.graph, values), run_onnx(built.graph, values)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [case for case in cases() if case.sample.torch], ids=str)
def test_pytorch_agrees_with_onnxruntime(case):
    built = build(case)
    values = arrays(case)
    found = run_onnx(built.graph, feeds(values))
    expected, _ = run_torch(case, values)
    for i, tensor in enumerate(expected):
        np.testing.assert_allclose(found[f"y{i}"], tensor.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [case for case in cases(differentiable=True) if case.sample.torch], ids=str)
def test_gradient_agrees_with_pytorch(case):
    built = build(case)
    values = arrays(case)
    expected, tensors = run_torch(case, values, built.floats)
    weights = normal_like([tuple(y.shape) for y in expected], seed=1)
    total = sum((y * torch.tensor(w)).sum() for y, w in zip(expected, weights, strict=True))
    total.backward()
    found = run_onnx(with_gradients(built, weights), feeds(values))
    for i in built.floats:
        np.testing.assert_allclose(found[f"g{i}"], tensors[i].grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", cases(differentiable=True), ids=str)
def test_gradient_agrees_with_differences(case):
    built = build(case)
    values = arrays(case)
    weights = normal_like(result_shapes(built, values), seed=1)
    direction = directions(built, values, seed=2)
    graph = with_gradients(built, weights)
    found = slope(run_numpy(graph, feeds(values), "f64"), direction)
    expected = central_difference(built.graph, values, direction, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
