"""Every operator of the table, by its samples: the same tests for all, so that a new operator brings its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from netlang.compiler.interpret import evaluate
from netlang.compiler.op import BadSample, Op, Sample
from netlang.compiler.ops import ALL

from .harness import (
    Case,
    bad_cases,
    cases,
    central_difference,
    differentiable_cases,
    opened,
    refusal,
    run_onnx,
    run_torch,
    slope,
    weighted,
)

LINEAR = {
    "neg", "sum", "mean", "cumsum", "reshape", "transpose", "expand", "concat", "split", "slice", "pad", "gather",
    "scatter_rows", "take_along", "avg_pool", "avg_pool_transpose", "upsample_nearest", "unfold", "fold", "add", "sub",
    "resize", "resize_axis", "resize_axis_transpose",
}  # fmt: skip
"""Operators whose result doubles when all their inputs double, and adds up when they add up."""

STATIC = {
    "constant", "full", "iota", "dim", "random_bits", "placeholder", "arange", "eye", "hann_window", "hamming_window",
    "blackman_window", "mel_weight_matrix",
}  # fmt: skip
"""Operators without a tensor input whose size could be left open."""

ELSEWHERE = {"scan_over", "loop_while", "branch", "block", "foreign"}
"""Operators on graphs, which test_control.py tests, and nodes kept as they are, which tests/reading tests."""

STRAIGHT_THROUGH = {"round", "fake_quantize"}
"""Operators whose gradient is not the derivative by intent: it is compared with PyTorch's, not with differences."""

with_torch = [case for case in cases() if case.sample.torch]
differentiable = differentiable_cases()
smooth = [case for case in differentiable if case.op.name not in STRAIGHT_THROUGH]


@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_is_complete(op: Op):
    assert op.signature.name == op.name
    assert op.doc.endswith("."), "the documentation is made of sentences"
    ways = (op.vjp, op.node_vjp, op.nondiff, op.body)
    assert sum(way is not None for way in ways) == 1, "a gradient, a body that has one, or the reason why there is none"
    assert op.body or op.numpy, "an operator that is no composite needs its meaning in NumPy"
    if op.name in ELSEWHERE:
        return
    assert any(isinstance(sample, Sample) for sample in op.samples), "an operator without samples is not tested"
    assert op.nondiff or any(case.op is op for case in differentiable), "no sample tests the gradient"
    assert op.name in STATIC or any(case.op is op and opened(case) for case in cases()), "no sample leaves a size open"


@pytest.mark.parametrize("case", cases(), ids=str)
def test_onnxruntime_agrees_with_numpy(case: Case):
    compare(run_onnx(case.graph(), case.values), evaluate(case.graph(), case.values))


@pytest.mark.parametrize("case", [case for case in map(opened, cases()) if case], ids=str)
def test_an_open_size_changes_nothing(case: Case):
    compare(run_onnx(case.graph(), case.values), evaluate(case.graph(), case.values))


@pytest.mark.parametrize("case", with_torch, ids=str)
def test_pytorch_agrees_with_onnxruntime(case: Case):
    found = run_onnx(case.graph(), case.values)
    for i, tensor in enumerate(run_torch(case)[0]):
        np.testing.assert_allclose(found[f"y{i}"], tensor.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [case for case in differentiable if case.sample.torch], ids=str)
def test_gradient_agrees_with_pytorch(case: Case):
    results, tensors = run_torch(case)
    loss = sum((y * torch.tensor(case.weights[f"w{i}"])).sum() for i, y in enumerate(results))
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    found = run_onnx(case.gradient_graph(), case.values | case.weights)
    for name in case.floats:
        np.testing.assert_allclose(found[f"g{name[1:]}"], tensors[name].grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in map(opened, differentiable) if case], ids=str)
def test_gradient_with_an_open_size(case: Case):
    feeds = case.values | case.weights
    compare(run_onnx(case.gradient_graph(), feeds), evaluate(case.gradient_graph(), feeds))


@pytest.mark.parametrize("case", smooth, ids=str)
def test_gradient_agrees_with_differences(case: Case):
    direction = case.direction(seed=2)
    found = evaluate(case.gradient_graph(), case.values | case.weights, "f64")

    def loss(values):
        return weighted(evaluate(case.graph(), values, "f64"), case.weights)

    expected = central_difference(loss, case.values, direction)
    assert slope(found, "g", direction) == pytest.approx(expected, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("case", smooth, ids=str)
def test_second_gradient_agrees_with_differences(case: Case):
    direction = case.direction(seed=2)
    moves = {f"u{name[1:]}": move for name, move in case.direction(seed=3).items()}
    graph = case.second_gradient_graph()
    found = evaluate(graph, case.values | case.weights | moves, "f64")

    def total(values):
        return float(evaluate(graph, values | case.weights | moves, "f64")["s"])

    expected = central_difference(total, case.values, direction)
    assert slope(found, "h", direction) == pytest.approx(expected, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("case", [case for case in differentiable if case.op.name in LINEAR], ids=str)
def test_gradient_of_a_linear_operator_is_its_transpose(case: Case):
    """⟨A x, w⟩ = ⟨x, Aᵀ w⟩, to the last digits."""
    direction = case.direction(seed=2)
    shift = {name: case.values[name] for name in case.values if name not in case.floats}
    image = weighted(evaluate(case.graph(), shift | direction, "f64"), case.weights)
    origin = {name: np.zeros_like(move) for name, move in direction.items()}
    image -= weighted(evaluate(case.graph(), shift | origin, "f64"), case.weights)  # `pad` adds a constant
    found = evaluate(case.gradient_graph(), case.values | case.weights, "f64")
    assert slope(found, "g", direction) == pytest.approx(image, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("op", "sample"), bad_cases(), ids=lambda item: getattr(item, "name", "bad"))
def test_bad_sample_is_refused(op: Op, sample: BadSample):
    assert refusal(op, sample) == sample.code


def compare(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=2e-6)
        else:
            np.testing.assert_array_equal(found[name], array)
