"""Small graphs, and ways to run them, that the tests of the compiler share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Graph, Init, Value

from netlang.dims import symbol
from netlang.types import TensorType

BATCH, TIME = symbol("batch"), symbol("time")

Arrays = dict[str, np.ndarray]


def f32(*shape) -> TensorType:
    return TensorType("f32", shape)


def i64(*shape) -> TensorType:
    return TensorType("i64", shape)


def parameter(b: Builder, name: str, *shape: int) -> Value:
    return b.variable(name, f32(*shape), "param", Init("zeros"))


def perceptron() -> tuple[Builder, Value, list[Value]]:
    """The mean square of tanh(x wᵀ + c) over a batch and time that are open; and its parameters."""
    b = Builder("perceptron")
    x = b.input("x", f32(BATCH, TIME, 4))
    w, c = parameter(b, "linear.weight", 5, 4), parameter(b, "linear.bias", 5)
    with b.at(b.loc, "linear"):
        y = b.tanh(b.add(b.matmul(x, b.t(w)), c))
    loss = b.mean(b.mul(y, y))
    return b, loss, [w, c]


def perceptron_gradients() -> Graph:
    """The loss of `perceptron` and its gradients."""
    b, loss, wrt = perceptron()
    for value, gradient in zip(wrt, gradients(b, loss, wrt), strict=True):
        b.output(f"gradient.{value.name}", gradient, "gradient")
    b.output("loss", loss, "loss")
    return b.graph()


def feeds(graph: Graph, seed: int = 0, **sizes: int) -> Arrays:
    """Normal numbers for every float input and variable, small positive integers for the others."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for value in graph.sources():
        shape = [sizes[str(size)] if not isinstance(size, int) else size for size in value.type.shape]
        if value.type.dtype == "f32":
            arrays[value.name] = rng.standard_normal(shape).astype(np.float32)
        else:
            arrays[value.name] = rng.integers(0, 4, shape, np.int64)
    return arrays


def run_onnx(model: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """What onnxruntime makes of a model that the checker accepts; one thread."""
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = {item.name for item in session.get_inputs()}
    return dict(zip(names, session.run(names, {k: v for k, v in arrays.items() if k in wanted}), strict=True))


def f64(arrays: Arrays) -> Arrays:
    return {name: array.astype(np.float64) if array.dtype == np.float32 else array for name, array in arrays.items()}
