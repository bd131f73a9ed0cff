"""Checks small models read by the rules: results against onnxruntime's, gradients against differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

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
        return float(evaluate(together, values, "f64")["total"])

    along = sum(float(np.sum(found[f"grad.{name}"] * move)) for name, move in direction.items())
    assert along == pytest.approx(central_difference(loss, feeds, direction), rel=1e-7, abs=1e-8)
    for name, array in run_onnx(together, feeds).items():
        np.testing.assert_allclose(array, found[name], rtol=1e-4, atol=1e-5, err_msg=name)


def with_gradients(graph: Graph, feeds: Arrays) -> Graph:
    """The outputs y; `total`, the sum of all y · (y + 1); its gradient by each float input: `grad.` and its name."""
    b = Builder(graph.name)
    b.adopt(graph)
    for output in graph.outputs:
        b.output(output.name, output.value)
    results = [output.value for output in graph.outputs if output.value.type.dtype in FLOATS]
    total = reduce(b.add, [b.sum(b.mul(y, b.add(y, 1.0))) for y in results])
    b.output("total", total)
    inputs = {item.name: item.value for item in graph.inputs}
    names = floats(feeds)
    for name, value in zip(names, gradients(b, total, [inputs[name] for name in names]), strict=True):
        b.output(f"grad.{name}", value)
    return b.graph()


def check_open_sizes(proto: onnx.ModelProto, feeds: Arrays, sizes: Mapping[str, Mapping[int, str]]) -> None:
    """Results and gradients stay the same where sizes are open: for each input, names by axis."""
    opened = onnx.ModelProto()
    opened.CopyFrom(proto)
    for item in opened.graph.input:
        for axis, name in sizes.get(item.name, {}).items():
            item.type.tensor_type.shape.dim[axis].dim_param = name
    found = run_onnx(with_gradients(read_model(opened).graph, feeds), feeds)
    for name, array in run_onnx(with_gradients(read_model(proto).graph, feeds), feeds).items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-6, err_msg=name)


def floats(feeds: Arrays) -> list[str]:
    """Names of the inputs that a gradient can have."""
    return [name for name, array in feeds.items() if dtype_name(array.dtype) in FLOATS]
