"""The names that imported programs need: `infinity`, `sizes`, `tensor` and the operators of `onnx`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from netlang.compiler import load_program
from netlang.runtime import loader
from netlang.runtime.runner import Runner

from netlang.diagnostics import DiagnosticError
from netlang.source import Source


def run(body: str, result: str = "f32[3]", **arrays: Any) -> np.ndarray:
    """What a model of `x: f32[3]` with this body computes in onnxruntime."""
    text = f"model M(x: f32[3]) -> {result} {{\n{body}\n}}\n"
    graph = load_program(Source("m.net", text), loader.load).network().graph()
    x = np.array([1.5, -2.0, 0.5], np.float32)
    return Runner(graph, {})({"x": x} | arrays)[0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return minimum(maximum(x, -infinity), infinity)", [1.5, -2, 0.5]),
        ("return x * sizes(x)[0]", [4.5, -6, 1.5]),
        ("return x + tensor([1, 2, 3], f32)", [2.5, 0, 3.5]),
        ("return x + tensor([0.5])", [2, -1.5, 1]),
        ("return select(tensor([true, false, true]), x, 0.0)", [1.5, 0, 0.5]),
        ("return onnx.Relu(x)", [1.5, 0, 0.5]),
        ("return onnx.LeakyRelu(x, alpha = 0.5)", [1.5, -1, 0.5]),
    ],
)
def test_values(body: str, expected: list[float]):
    np.testing.assert_allclose(run(body), expected)


def test_several_results_and_inputs_left_out():
    lines = [
        "values, _places = onnx.TopK(x, tensor([2]), sorted = 1, outputs = 2)",
        "return onnx.Clip(values, none, f32(1))",
    ]
    found = run("\n".join(lines), "f32[_]")
    np.testing.assert_allclose(found, [1, 0.5])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return onnx.Rellu(x)", "unknown-attribute"),
        ("return onnx.Relu(x, alpha = 1)", "`onnx.Relu` has no attribute `alpha`"),
        ("return onnx.LeakyRelu(x, alpha = [1])", "`alpha` of `onnx.LeakyRelu` is of another type"),
        ("return onnx.Relu(1)", "`onnx.Relu` takes tensors"),
        ("return onnx.Relu(x, opset = 99)", "ONNX has no `Relu` in operator set 99"),
        ("return onnx.Relu(x, outputs = x)", "`outputs` must be the number 1 or the like"),
        ("return onnx.Relu(x, types = [3])", "`types` lists for each result"),
        ("return onnx.MatMul(x)", "onnx-malformed"),
        ("return x * sizes(3)[0]", "`sizes` takes a tensor"),
        ("return x * sizes()[0]", "`sizes` takes one tensor"),
        ("return x + tensor([[1, 2], [3]])", "the rows of a tensor are of one length"),
        ('return x + tensor(["a"])', "`tensor` takes numbers or truth values"),
        ("return x + tensor([1], 2)", "takes an element type"),
        ("return x + tensor([1], u8, 3)", "`tensor` takes a list of numbers"),
    ],
)
def test_mistakes_are_explained(body: str, message: str):
    with pytest.raises(DiagnosticError) as caught:
        run(body)
    assert message in str(caught.value)
    assert all(diagnostic.primary is not None for diagnostic in caught.value.diagnostics)
