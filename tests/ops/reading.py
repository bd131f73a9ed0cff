"""Checks small models read by the rules: results against onnxruntime's, gradients against differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.dtypes import dtype_name
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph
from netlang.compiler.reading import read_model
from onnx import helper

from netlang.types import FLOATS

from .harness import Arrays, central_difference, run_onnx


def model(
    nodes: Sequence[onnx.NodeProto],
    feeds: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    opset: int = 22,
    domains: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model of `nodes` whose inputs have the types of `feeds`."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    results = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "model", inputs, results)
    versions = {"": opset} | dict(domains or {})
    return helper.make_model(graph, ir_version=11, opset_imports=[helper.make_opsetid(*x) for x in versions.items()])


def check_results(proto: onnx.ModelProto, feeds: Arrays) -> None:
    """What is read computes what onnxruntime makes of the model itself."""
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, feeds)
    found = run_onnx(read_model(proto).graph, feeds)
    for output, array in zip(session.get_outputs(), expected, strict=True):
        np.testing.assert_allclose(found[output.name], array, rtol=1e-5, atol=2e-6, err_msg=output.name)


def check_gradients(proto: onnx.ModelProto, feeds: Arrays) -> None:
    """Gradients by all float inputs agree with differences, and onnxruntime agrees with the interpreter."""
    graph = read_model(proto).graph
    together = with_gradients(graph, feeds)
    found = evaluate(together, feeds, "f64")
    rng = np.random.default_rng(7)
    direction = {name: rng.standard_normal(feeds[name].shape) for name in floats(feeds)}

    def loss(values: Arrays) -> float:
        return float(evaluate(together, values, "f64")["loss"])

    along = sum(float(np.sum(found[f"grad.{name}"] * move)) for name, move in direction.items())
    assert along == pytest.approx(central_difference(loss, feeds, direction), rel=1e-7, abs=1e-8)
    for name, array in run_onnx(together, feeds).items():
        np.testing.assert_allclose(array, found[name], rtol=1e-4, atol=1e-5, err_msg=name)


def with_gradients(graph: Graph, feeds: Arrays) -> Graph:
    """`loss`, the sum of all float outputs times random weights, and its gradient by each float input: `grad.` name."""
    b = Builder(graph.name)
    b.adopt(graph)
    for output in graph.outputs:
        b.output(output.name, output.value)
    results = [output.value for output in graph.outputs if output.value.type.dtype in FLOATS]
    weights = output_weights(graph, feeds)
    terms = [b.sum(b.mul(y, weight)) for y, weight in zip(results, weights, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = b.add(total, term)
    b.output("loss", total)
    inputs = {item.name: item.value for item in graph.inputs}
    names = floats(feeds)
    for name, value in zip(names, gradients(b, total, [inputs[name] for name in names]), strict=True):
        b.output(f"grad.{name}", value)
    return b.graph()


def output_weights(graph: Graph, feeds: Arrays) -> list[np.ndarray]:
    """A random weight for each element of each float output."""
    rng = np.random.default_rng(5)
    arrays = [array for array in evaluate(graph, feeds).values() if dtype_name(array.dtype) in FLOATS]
    return [rng.standard_normal(array.shape).astype(array.dtype) for array in arrays]


def floats(feeds: Arrays) -> list[str]:
    """Names of the inputs that a gradient can have."""
    return [name for name, array in feeds.items() if dtype_name(array.dtype) in FLOATS]
