"""Recurrences with lengths mean what they mean in ONNX Runtime; LSTM and GRU are read as one operator."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import netlang as nl


def model(op: str, gates: int, direction: str) -> onnx.ModelProto:
    """With weights from a seed, for sequences x [t, b, 4] and their lengths i32[b]."""
    count = 2 if direction == "bidirectional" else 1
    rng = np.random.default_rng(0)
    shapes = {"w": (count, gates * 5, 4), "r": (count, gates * 5, 5), "bias": (count, gates * 10)}
    weights = [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), name) for name, s in shapes.items()]
    results = ["y", "h", "c"] if op == "LSTM" else ["y", "h"]
    node = helper.make_node(op, ["x", "w", "r", "bias", "lengths"], results, hidden_size=5, direction=direction)
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["t", "b", 4]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["b"]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results]
    graph = helper.make_graph([node], "ragged", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_lengths(op: str, gates: int, direction: str) -> None:
    theirs = model(op, gates, direction)
    ours = nl.from_onnx(theirs)
    operators = {node.op for node in ours.network.graph(ours.entries[0]).nodes}
    assert (f"ragged_{op.lower()}" if op != "RNN" else "scan_over") in operators
    x = np.random.default_rng(1).standard_normal((6, 3, 4)).astype(np.float32)
    lengths = np.array([6, 0, 2], np.int32)
    expected = onnxruntime.InferenceSession(theirs.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, {"x": x, "lengths": lengths}
    )
    for found, wanted in zip(ours(x, lengths), expected, strict=True):
        np.testing.assert_allclose(found, np.asarray(wanted), rtol=0, atol=1e-6)
