"""The passes for graphs that this process runs itself, by what its ONNX Runtime has and does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from ..compiler.ir import Graph
from ..compiler.passes import CPU, ONE_THREAD, Pipeline, run
from ..compiler.passes.multiply_add import DOMAIN, multiply_add
from ..compiler.passes.panels import panels
from ..compiler.passes.scaled_rows import scaled_rows
from ..compiler.passes.serial import SHORT, combines_rows, serial, short_sums
from .panel_width import panel_width
from .session import Device


def further_passes(threads: int | None) -> Pipeline:
    """What follows the passes for everyone, for sessions of so many threads on the processor."""
    own = ONE_THREAD if threads == 1 else (*CPU, ("short_sums", partial(_short_sums, threads=threads)))
    if width := panel_width():
        own = (*own, ("panels", partial(panels, width=width)))
    return (*own, ("scaled_rows", scaled_rows), ("multiply_add", multiply_add)) if adds_products() else own


def with_fast_sums(graph: Graph, device: Device) -> Graph:
    """An inference graph with sums at positions as the processor computes them fastest; on other devices, as it is."""
    if device.name != "cpu":
        return graph
    own = ("serial", serial) if device.threads == 1 else ("short_sums", partial(_short_sums, threads=device.threads))
    return run(graph, pipeline=(own,))


def _short_sums(graph: Graph, threads: int | None) -> Graph:
    """The pass, for what has sums at positions: whether it may be is asked for these alone, as it takes a while."""
    if not any(map(combines_rows, graph.nodes)) or not sums_alone(threads):
        return graph
    return short_sums(graph)


@cache
def adds_products() -> bool:
    """Whether the runtime has GatedAdd, and it gives x + y · gate. Version 1.31 has it; it is in no standard."""
    node = helper.make_node("GatedAdd", ["x", "y", "gate"], ["z"], domain=DOMAIN)
    x, y, gate = (
        np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape) for shape in ((2, 3), (2, 3), (2, 1))
    )
    model = _model([node], {"x": x, "y": y, "gate": gate}, {"z": (2, 3)})
    try:
        (found,) = Device("cpu", 1).session(model).run(None, {"x": x, "y": y, "gate": gate})
    except Exception:  # of a class of its own for each fault, in another module in each version
        return False
    return np.array_equal(np.asarray(found), x + y * gate)


@cache
def sums_alone(threads: int | None) -> bool:
    """Whether a session of several threads leaves a ScatterND of `SHORT` elements to one of them.

    Threads that share it would lose sums, so its profile must say that none was offered a part.
    """
    widths = (1, 64)
    arrays: dict[str, np.ndarray] = {}
    for width in widths:
        arrays[f"x{width}"] = np.zeros((2, width), np.float32)
        arrays[f"at{width}"] = np.zeros((SHORT // width, 1), np.int64)
        arrays[f"rows{width}"] = np.ones((SHORT // width, width), np.float32)
    nodes = [helper.make_node("ScatterND", [f"x{width}", f"at{width}", f"rows{width}"], [f"y{width}"], reduction="add")
             for width in widths]  # fmt: skip
    model = _model(nodes, arrays, {f"y{width}": (2, width) for width in widths})
    try:
        with TemporaryDirectory() as directory:
            session = Device("cpu", threads).session(model, profile=f"{directory}/sums")
            session.run(None, arrays)
            events = json.loads(Path(session.end_profiling()).read_text())
    except OSError:  # nowhere to write
        return False
    shares = list(_shares(events))
    return len(shares) == len(widths) and all(share == [] for share in shares)


def _shares(events: list[dict[str, Any]]) -> Iterator[Any]:
    """How each ScatterND was cut, as its thread saw it; None where the profile does not say."""
    for event in events:
        of_node = event.get("args", {})
        if of_node.get("op_name") == "ScatterND" and event["name"].endswith("_kernel_time"):
            scheduled = of_node.get("thread_scheduling_stats")
            yield scheduled["main_thread"].get("block_size") if isinstance(scheduled, dict) and scheduled else None


def _model(
    nodes: list[NodeProto], inputs: Mapping[str, np.ndarray], outputs: Mapping[str, tuple[int, ...]]
) -> onnx.ModelProto:
    """Of f32 results of these shapes."""
    given = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
             for name, array in inputs.items()]  # fmt: skip
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(helper.make_graph(nodes, "probe", given, results), opset_imports=opsets, ir_version=8)
