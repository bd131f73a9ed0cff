"""Small ONNX models written as text, and what the runtime makes of them before and after reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx.parser
from netlang.compiler.emit import emit
from netlang.compiler.reading import Reading, read_model
from netlang.compiler.verify import verify

from .backend import run

Feeds = Mapping[str, Any]


def model(text: str, opset: int = 18, ir_version: int = 9, imports: str = "", functions: str = "") -> onnx.ModelProto:
    """A model from its graph in ONNX's textual form; `imports` are further operator sets."""
    more = f", {imports}" if imports else ""
    return onnx.parser.parse_model(
        f'<ir_version: {ir_version}, opset_import: ["": {opset}{more}]>\n{text}\n{functions}'
    )


def outputs(reading: Reading, feeds: Feeds) -> list[Any]:
    """What onnxruntime makes of a graph that was read."""
    verify(reading.graph)
    emitted = emit(reading.graph, weights=reading.weights)
    onnx.checker.check_model(emitted, full_check=True)
    return run(emitted, [item.name for item in reading.graph.inputs], list(feeds.values()))


def check(proto: onnx.ModelProto, *feeds: Feeds) -> Reading:
    """Reads a model; for each of `feeds` it must give what onnxruntime makes of the original."""
    reading = read_model(proto)
    for one in feeds:
        found, expected = outputs(reading, one), run(proto, list(one), list(one.values()))
        assert len(found) == len(expected)
        for result, wanted in zip(found, expected, strict=True):
            assert result.dtype == wanted.dtype and _same_shape(result, wanted)
            np.testing.assert_allclose(result.reshape(wanted.shape), wanted, rtol=1e-6, atol=1e-6)
    return reading


def _same_shape(result: np.ndarray, wanted: np.ndarray) -> bool:
    """(Of a Loop that did not run, onnxruntime takes every open size of the stacks for 0; we give those they have.)"""
    nothing = wanted.ndim and wanted.shape[0] == 0 and result.shape[:1] == (0,)
    return result.ndim == wanted.ndim if nothing else result.shape == wanted.shape


def operators(reading: Reading) -> set[str]:
    """The operators of the table that a graph uses."""
    return {node.op for node in reading.graph.nodes}
