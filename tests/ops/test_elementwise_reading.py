"""Models of one operator in each version of its definition give, read and emitted again, what the original gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.ir import Graph
from netlang.compiler.reading import Reading, read_model
from onnx import helper, numpy_helper

from netlang.types import FLOATS

from .harness import run_onnx

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4)).astype(np.float32)
Y = RNG.standard_normal((3, 1)).astype(np.float32)
WHOLE = np.array([[7, -7, 6], [-6, 0, 5]])
THREES = np.array([3, -3, 4])
SQUARE = RNG.standard_normal((3, 3)).astype(np.float32)
BYTES = RNG.integers(0, 255, (2, 3), np.uint8)
AXES = {"axes": [0, -1], "keepdims": 0}


@dataclass(frozen=True)
class Use:
    """A node of an operator. `constants` are the trailing inputs, known while compiling."""

    op: str
    version: int
    inputs: tuple[np.ndarray, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    constants: tuple[np.ndarray, ...] = ()
    results: int = 1

    def __str__(self) -> str:
        return f"{self.op}-{self.version}"

    @property
    def feeds(self) -> dict[str, np.ndarray]:
        return {f"x{i}": array for i, array in enumerate(self.inputs)}

    def model(self) -> onnx.ModelProto:
        names = [f"x{i}" for i in range(len(self.inputs))]
        weights = [numpy_helper.from_array(array, f"c{i}") for i, array in enumerate(self.constants)]
        outputs = [f"y{i}" for i in range(self.results)]
        node = helper.make_node(self.op, [*names, *(w.name for w in weights)], outputs, **self.attrs)
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in self.feeds.items()
        ]
        results = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph([node], "use", infos, results, weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.version)], ir_version=8)


USES = [
    *(Use("Add", v, (X, Y)) for v in (7, 13, 14)),
    *(Use("Div", v, (X, Y)) for v in (7, 14)),
    *(Use("Div", v, (WHOLE, THREES)) for v in (7, 14)),
    *(Use("Mod", v, (WHOLE, THREES)) for v in (10, 13)),
    *(Use("Mod", v, (X, Y), {"fmod": 1}) for v in (10, 13)),
    *(Use("Pow", v, (np.abs(X), Y)) for v in (7, 12, 15)),
    *(Use("Pow", v, (np.abs(X), np.array(2))) for v in (12, 15)),
    Use("Pow", 13, (WHOLE.astype(np.int32), np.array(2.0, np.float32))),
    *(Use(op, v, (X, Y, X + 1)) for op in ("Max", "Min", "Sum", "Mean") for v in (8, 13)),
    Use("Max", 13, (X,)),
    Use("Clip", 7, (X,), {"min": -0.5, "max": 0.5}),
    Use("Clip", 10, (X,), {"max": 0.5}),
    *(Use("Clip", v, (X,), {}, (np.float32(-0.5), np.float32(0.5))) for v in (11, 12, 13)),
    Use("Clip", 13, (X, np.array(-0.5, np.float32), np.array(0.5, np.float32))),
    Use("Clip", 13, (X, np.array(-0.5, np.float32))),
    Use("Clip", 12, (WHOLE,), {}, (np.array(-3), np.array(5))),
    Use("Clip", 12, (WHOLE.astype(np.int8),), {}, (np.int8(-3), np.int8(5))),
    *(Use("Cast", v, (X,), {"to": onnx.TensorProto.INT32}) for v in (7, 9, 13, 19, 21, 23)),
    Use("Cast", 13, (X.astype(np.float16),), {"to": onnx.TensorProto.FLOAT}),
    *(Use("CastLike", v, (X, WHOLE)) for v in (15, 19)),
    *(Use("PRelu", v, (X, Y)) for v in (7, 9, 16)),
    *(Use("LeakyRelu", v, (X,), {"alpha": 0.3}) for v in (7, 16)),
    *(Use("Elu", v, (X,), {"alpha": 0.5}) for v in (7, 22)),
    *(Use("Selu", v, (X,)) for v in (7, 22)),
    Use("Selu", 7, (X,), {"alpha": 1.5, "gamma": 2.0}),
    Use("Celu", 12, (X,), {"alpha": 2.0}),
    *(Use("HardSigmoid", v, (X,)) for v in (7, 22)),
    *(Use("HardSwish", v, (4 * X,)) for v in (14, 22)),
    *(Use("ThresholdedRelu", v, (X,), {"alpha": 0.3}) for v in (10, 22)),
    Use("Shrink", 9, (X,), {"lambd": 0.4, "bias": 0.1}),
    *(Use("Softplus", v, (X,)) for v in (7, 22)),
    *(Use("Softsign", v, (X,)) for v in (7, 22)),
    *(Use("Mish", v, (X,)) for v in (18, 22)),
    *(Use("Gelu", 20, (X,), {"approximate": kind}) for kind in ("none", "tanh")),
    Use("Swish", 24, (X,), {"alpha": 1.5}),
    *(Use("IsInf", v, (np.array([-np.inf, 1, np.inf], np.float32),), {"detect_negative": 0}) for v in (10, 20)),
    Use("BitShift", 11, (BYTES, np.array(2, np.uint8)), {"direction": "RIGHT"}),
    Use("BitCast", 26, (X,), {"to": onnx.TensorProto.INT32}),
    *(Use(op, v, (X,), AXES) for op in ("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceSum", "ReduceProd")
      for v in (7, 11)),
    *(Use(op, 13, (X,), AXES) for op in ("ReduceLogSumExp", "ReduceMin", "ReduceSumSquare")),
    Use("ReduceLogSum", 13, (np.abs(X),), AXES),
    Use("ReduceSum", 13, (X,), {"keepdims": 0}, (np.array([1]),)),
    Use("ReduceMean", 18, (X,), {}, (np.array([1, -1]),)),
    Use("ReduceSum", 13, (X,), {"noop_with_empty_axes": 1}),
    Use("ReduceMax", 20, (X > 0,), {"keepdims": 0}, (np.array([1]),)),
    Use("ReduceMin", 20, (X > 0,), {}),
    Use("ReduceL2", 18, (WHOLE.astype(np.int32),), {}, (np.array([1]),)),
    *(Use(op, v, (np.round(X),), {"axis": 1, **last}) for op in ("ArgMax", "ArgMin") for v, last in
      ((7, {}), (12, {"select_last_index": 1}), (13, {"keepdims": 0, "axis": -1}))),
    *(Use("CumSum", v, (X,), {"exclusive": 1, "reverse": 1}, (np.array(-2),)) for v in (11, 14)),
    *(Use(op, v, (X,), {"axis": axis}) for op in ("Softmax", "LogSoftmax", "Hardmax") for v, axis in
      ((7, 1), (11, -1), (11, 2), (12, 0), (13, 1))),
    *(Use("Softmax", v, (X,)) for v in (11, 13)),
    *(Use("MatMul", v, (X, RNG.standard_normal((4, 2)).astype(np.float32))) for v in (7, 9, 13)),
    Use("MatMul", 13, (X, X[0, 0])),
    Use("MatMul", 13, (X[0, :, 0], X)),
    Use("MatMul", 13, (X[0, 0], X[1, 1])),
    Use("MatMul", 13, (WHOLE, WHOLE.T)),
    *(Use("Gemm", v, (SQUARE, SQUARE + 1, SQUARE[0]), {"alpha": 0.5, "beta": 2.0, "transA": 1})
      for v in (7, 9, 11, 13)),
    Use("Gemm", 13, (X[0], X[1]), {"transB": 1}),
    Use("MatMulInteger", 10, (BYTES, BYTES.T), {}, (np.uint8(3), np.array([1, 2], np.uint8))),
    Use("MatMulInteger", 10, (BYTES, BYTES.T)),
    Use("MatMulInteger", 10, (BYTES, BYTES[1])),
    *(Use("Det", v, (np.stack([SQUARE, SQUARE + 1]),)) for v in (11, 22)),
    Use("Einsum", 12, (X, X), {"equation": "bij, bkj -> bik"}),
    *(Use("QuantizeLinear", v, (X,), {}, (np.float32(0.1), np.uint8(120))) for v in (10, 13, 19, 21, 23)),
    Use("QuantizeLinear", 13, (X,), {"axis": -2},
        (np.array([0.1, 0.2, 0.3], np.float32), np.array([1, 2, 3], np.int8))),
    Use("QuantizeLinear", 13, (X,), {}, (np.float32(0.1),)),
    Use("QuantizeLinear", 21, (X,), {"output_dtype": onnx.TensorProto.INT16}, (np.float32(0.1),)),
    Use("QuantizeLinear", 21, (X,), {"axis": 2, "block_size": 2},
        (np.full((2, 3, 2), 0.1, np.float32), np.full((2, 3, 2), 9, np.uint8))),
    *(Use("DequantizeLinear", v, (BYTES,), {}, (np.float32(0.1), np.uint8(120))) for v in (10, 13, 19, 21, 23)),
    Use("DequantizeLinear", 13, (WHOLE.astype(np.int32),), {}, (np.array([0.1, 0.2, 0.3], np.float32),)),
    Use("DynamicQuantizeLinear", 11, (X,), results=3),
    *(Use("QLinearMatMul", v, (BYTES,), {}, (np.float32(0.1), np.uint8(7), BYTES.T, np.float32(0.2), np.uint8(3),
                                            np.float32(9.0), np.uint8(5))) for v in (10, 21)),
]  # fmt: skip


@pytest.mark.parametrize("use", USES, ids=str)
def test_the_same_results(use: Use):
    expected = session(use.model()).run(None, use.feeds)
    reading = read_model(use.model())
    found = session(emit(reading.graph, weights=reading.weights)).run(None, use.feeds)
    assert len(found) == len(expected)
    for result, wanted in zip(found, expected, strict=True):
        assert result.dtype == wanted.dtype
        assert result.shape == wanted.shape
        np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("use", [use for use in USES if use.inputs[0].dtype == np.float32], ids=str)
def test_floats_are_never_kept_foreign(use: Use):
    assert not [node.op for node in read_model(use.model()).graph.nodes if node.op == "foreign"]


def test_quantising_and_back_lets_the_gradient_through():
    """Kept apart, the two would give the gradient zero: what is between them are integers."""
    scale, zero = np.float32(0.1), np.uint8(120)
    model = Use("QuantizeLinear", 13, (X,), {}, (scale, zero)).model()
    model.graph.node.append(helper.make_node("DequantizeLinear", ["y0", "c0", "c1"], ["y"]))
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name="y"))
    reading = read_model(model)
    np.testing.assert_array_equal(
        session(emit(reading.graph, weights=reading.weights)).run(None, {"x0": 9 * X})[0],
        session(model).run(None, {"x0": 9 * X})[0],
    )
    passing = (np.round(9 * X / scale) + zero >= 0) & (np.round(9 * X / scale) + zero <= 255)
    np.testing.assert_array_equal(slope(reading, 9 * X), passing)


def test_reduction_over_axes_that_only_the_run_knows_is_kept():
    use = Use("ReduceSum", 13, (X, np.array([1])))
    model = use.model()
    model.graph.output[0].type.CopyFrom(helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [2, 1, 4]))
    reading = read_model(model)
    assert [node.op for node in reading.graph.nodes] == ["foreign"]
    np.testing.assert_allclose(session(emit(reading.graph)).run(None, use.feeds)[0], X.sum(1, keepdims=True), rtol=1e-6)


def slope(reading: Reading, x: np.ndarray) -> np.ndarray:
    """The gradient of the sum of a model's result by its input."""
    b = Builder()
    b.adopt(reading.graph)
    (value,) = (item.value for item in reading.graph.inputs)
    assert value.type.dtype in FLOATS
    (gradient,) = gradients(b, b.sum(reading.graph.outputs[0].value), [value])
    b.output("g", gradient)
    graph: Graph = b.graph()
    return run_onnx(graph, {"x0": x, **reading.weights})["g"]


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
