"""Weights of a scan of open length: ONNX Runtime finds them where it lays them out for its kernels beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from netlang.compiler import load_program
from netlang.compiler.emit import emit
from netlang.runtime import loader

from netlang.source import Source

PROGRAM = """
use std.recurrent: simple_rnn
model Scanned(x: f32[b, t, 3]) -> f32[b, t, 7] { return simple_rnn(7)(x) }
"""


def test_weights_are_folded_into_the_branch_around_the_scan(tmp_path: Path) -> None:
    graph = load_program(Source("scanned.net", PROGRAM), loader.load).network().graph()
    shapes = {v.name: [size for size in v.value.type.shape if isinstance(size, int)] for v in graph.variables}
    model = emit(graph, weights={name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it warns that what is written is for this processor only
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (choice,) = (node for node in onnx.load(options.optimized_model_filepath).graph.node if node.op_type == "If")
    rounds = next(attribute.g for attribute in choice.attribute if attribute.name == "else_branch")
    assert [list(tensor.dims) for tensor in rounds.initializer] == [[7, 7]]
    assert [node.op_type for node in rounds.node] == ["Scan"]
