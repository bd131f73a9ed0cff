"""ONNX Runtime's fusions that are slower than what they replace stay out of sessions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.runtime.session import Device

from netlang.types import TensorType


def test_sums_and_normalisations_are_two_operators(tmp_path: Path) -> None:
    b = Builder("post")
    x, residual = (b.input(name, TensorType("f32", (2, 3, 8)), "data") for name in ("x", "residual"))
    scale, shift = (b.input(name, TensorType("f32", (8,)), "data") for name in ("scale", "shift"))
    b.output("y", b.layer_normalize(b.add(x, residual), scale, shift, eps=1e-5)[0])
    session = Device("cpu", 1).session(emit(b.graph()), profile=str(tmp_path / "profile"))
    session.run(
        None, {item.name: np.ones([int(size) for size in item.value.type.shape], np.float32) for item in b.inputs}
    )
    events = json.loads(Path(session.end_profiling()).read_text())
    operators = {event["args"]["op_name"] for event in events if event["name"].endswith("_kernel_time")}
    assert operators == {"Add", "LayerNormalization"}
