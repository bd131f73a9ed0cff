"""The same network in every operator set from 7 on: attributes became inputs, defaults and broadcasting changed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from .models import check

X = np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)


class Writer:
    """Writes nodes as an operator set wants them."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, op_type: str, *inputs: str, **attributes) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
        return name

    def weight(self, value) -> str:
        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def with_numbers(self, op_type: str, x: str, since: int, **numbers: list[int]) -> str:
        """A node whose lists of numbers are attributes before operator set `since`, and inputs from there on."""
        if self.opset < since:
            return self.node(op_type, x, **numbers)
        return self.node(op_type, x, *(self.weight(np.array(value, np.int64)) for value in numbers.values()))

    def model(self, x: onnx.ValueInfoProto, y: str) -> onnx.ModelProto:
        output = helper.make_tensor_value_info(y, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "old", [x], [output], self.initializers)
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=min(10, 3 + self.opset // 3))


def old_network(opset: int) -> onnx.ModelProto:
    """A chain of operators that have changed over the years."""
    rng = np.random.default_rng(1)
    w = Writer(opset)
    x = w.node("Conv", "x", w.weight(rng.standard_normal((5, 3, 3, 3)).astype(np.float32)), pads=[1, 1, 1, 1])
    statistics = [w.weight(np.full(5, value, np.float32)) for value in (1.5, 0.5, 0.1, 2.0)]
    x = w.node("BatchNormalization", x, *statistics, epsilon=1e-3)
    if opset < 11:
        x = w.node("Clip", x, min=-1.0, max=2.0)
    else:
        x = w.node("Clip", x, w.weight(np.float32(-1)), w.weight(np.float32(2)))
    if opset < 11:
        x = w.node("Pad", x, pads=[0, 0, 1, 0, 0, 0, 0, 2], value=0.5)
    else:
        pads = w.weight(np.array([0, 0, 1, 0, 0, 0, 0, 2], np.int64))
        x = w.node("Pad", x, pads, w.weight(np.float32(0.5)))
    x = w.node("MaxPool", x, kernel_shape=[2, 2], strides=[1, 2])
    x = _doubled(w, x)
    x = w.with_numbers("Slice", x, 10, starts=[0, 1], ends=[9, 7], axes=[1, 2])
    x = w.node("Dropout", x)
    x = w.with_numbers("ReduceMean", x, 18, axes=[3])
    x = w.with_numbers("Squeeze", x, 13, axes=[3])
    x = w.node("Softmax", x, **({"axis": 1} if opset < 13 else {"axis": -1}))
    x = w.with_numbers("Unsqueeze", x, 13, axes=[0])
    x = w.with_numbers("ReduceSum", x, 13, axes=[0, 2])
    x = w.node("Flatten", x, axis=2)
    x = w.node("Add", x, w.weight(np.ones((1, 6), np.float32)))
    x = w.node("Gemm", x, w.weight(rng.standard_normal((6, 3)).astype(np.float32)), w.weight(np.zeros(3, np.float32)))
    return w.model(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 4]), x)


def _doubled(w: Writer, x: str) -> str:
    """Twice as high and wide."""
    scales = np.array([1, 1, 2, 2], np.float32)
    if w.opset < 9:
        return w.node("Upsample", x, scales=scales.tolist())
    if w.opset < 10:
        return w.node("Upsample", x, w.weight(scales))
    if w.opset < 11:
        return w.node("Resize", x, w.weight(scales))
    roi = w.weight(np.zeros(0, np.float32)) if w.opset < 13 else ""
    return w.node("Resize", x, roi, w.weight(scales), coordinate_transformation_mode="asymmetric", nearest_mode="floor")


@pytest.mark.parametrize("opset", range(7, 28))
def test_every_operator_set(opset: int):
    reading = check(old_network(opset), {"x": X}, {"x": X[:1]})
    assert all(node.op != "foreign" for node in reading.graph.nodes)
