"""Runs models in onnxruntime, also with dtypes that NumPy lacks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper

EXOTIC = {TensorProto.BFLOAT16, *range(TensorProto.FLOAT8E4M3FN, max(TensorProto.DataType.values()) + 1)}
"""Element types that NumPy lacks."""


def run(model: onnx.ModelProto, names: Sequence[str], inputs: Sequence[Any]) -> list[Any]:
    """What onnxruntime makes of a model; results of dtypes that NumPy lacks come as f32."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    content = _with_plain_outputs(model).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feeds = {name: _feed(value) for name, value in zip(names, inputs, strict=False) if value is not None}
    if not any(isinstance(value, onnxruntime.OrtValue) for value in feeds.values()):
        return list(session.run(None, feeds))
    values = {name: _ort_value(value) for name, value in feeds.items()}
    return [value.numpy() for value in session.run_with_ort_values(None, values)]


def plain(value: Any) -> np.ndarray:
    """An expected result as an array, of a dtype that NumPy lacks as f32."""
    array = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    return array if array.dtype.isbuiltin == 1 else array.astype(np.float32)


def _feed(value: Any) -> Any:
    """An input as onnxruntime takes it: an array, or for a dtype that NumPy lacks a value of the runtime's own."""
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    if isinstance(value, np.generic):
        value = np.asarray(value)
    return _ort_value(value) if isinstance(value, np.ndarray) and value.dtype.isbuiltin != 1 else value


def _ort_value(value: Any) -> onnxruntime.OrtValue:
    if isinstance(value, onnxruntime.OrtValue):
        return value
    if value.dtype.isbuiltin == 1:
        return onnxruntime.OrtValue.ortvalue_from_numpy(value)
    proto = numpy_helper.from_array(value)
    raw = np.frombuffer(proto.raw_data, np.uint16 if proto.data_type == TensorProto.BFLOAT16 else np.uint8)
    array = np.zeros(value.shape, raw.dtype)
    array.reshape(-1)[: raw.size] = raw  # numbers smaller than a byte lie packed at the beginning
    return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array, proto.data_type)


def _with_plain_outputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with results of dtypes that NumPy lacks cast to f32."""
    if not any(info.type.tensor_type.elem_type in EXOTIC for info in model.graph.output):
        return model
    model = copy.deepcopy(model)
    for info in model.graph.output:
        if info.type.tensor_type.elem_type in EXOTIC:
            node = onnx.helper.make_node("Cast", [info.name], [f"{info.name}/plain"], to=TensorProto.FLOAT)
            model.graph.node.append(node)
            info.name = node.output[0]
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    return model
