"""Where the time of a graph goes: `python -m benchmarks.profile gpt --threads 1`.

The graph that the compiler makes runs with ONNX Runtime's profiler on. Each node counts with the least time of its
runs, so that the sum is one run undisturbed; what is missing to the whole is the runtime's work between the nodes.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from netlang.compiler import Network
from netlang.compiler.dtypes import numpy_dtype
from netlang.compiler.emit import emit
from netlang.compiler.initializers import materialise
from netlang.compiler.ir import Graph, Input
from netlang.compiler.passes import run
from netlang.runtime.further_passes import further_passes, with_fast_sums
from netlang.runtime.job import open_network
from netlang.runtime.session import Device
from netlang.runtime.training_session import training_session

from .cases import CASES, PLANNED_STEPS, Case, case_named

GRAPHS: dict[str, Callable[[Network, dict[str, int]], Graph]] = {
    "train": lambda network, dims: network.train_graph(dims),
    "gradient": lambda network, dims: network.gradient_graph(dims),
    "apply": lambda network, dims: network.apply_graph(),
    "forward": lambda network, dims: network.graph(dims=dims),
}
"""The graphs of a network that can be profiled."""


def graph_of(case: Case, name: str, threads: int) -> Graph:
    """One of `GRAPHS` of a case; the gradient and inference with the further passes that they have on the processor."""
    graph = GRAPHS[name](open_network(case.source, case.model, case.set), case.dims)
    if name == "gradient":
        return run(graph, pipeline=further_passes(threads))
    return with_fast_sums(graph, Device("cpu", threads)) if name == "forward" else graph


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One node: its operator, its name, the shapes it reads, and what all of its runs within a step take.

    milliseconds: the least time of a run, times the number of runs. bytes: what they read and write. flops: of matrix
    products and convolutions. inside: whether the node is in the body of another, whose time includes it.
    """

    operator: str
    name: str
    shapes: str
    milliseconds: float
    bytes: int = 0
    flops: int = 0
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """The nodes as ONNX Runtime ran them, after its own fusions, and the least milliseconds of a whole run."""

    nodes: tuple[NodeTime, ...]
    whole: float

    @property
    def total(self) -> float:
        """The milliseconds of all nodes, those in bodies counted once."""
        return sum(node.milliseconds for node in self.nodes if not node.inside)


def profile(graph: Graph, case: Case, threads: int, runs: int) -> Profile:
    """Runs a graph of a case on its data, that many times."""
    feeds = feeds_for(graph, case)
    with tempfile.TemporaryDirectory() as folder:
        device, place = Device(threads=threads), str(Path(folder) / "profile")
        if any(output.role in ("gradient", "next") for output in graph.outputs):
            session = training_session(graph, device, profile=place)
        else:
            session = device.session(emit(graph), profile=place)
        times = []
        for _ in range(runs):
            begin = time.perf_counter()
            session.run(None, feeds)
            times.append((time.perf_counter() - begin) * 1e3)
        events = json.loads(Path(session.end_profiling()).read_text())
    return Profile(tuple(node_times(events, runs)), min(times))


def feeds_for(graph: Graph, case: Case) -> dict[str, np.ndarray]:
    """What a graph reads: the case's data, initial variables, gradients of 1e-3, and a step in mid-training."""
    scalars = {"step": PLANNED_STEPS // 2, "steps": PLANNED_STEPS, "seed": 1}
    data = case.training_batches(1)[0]

    def value(item: Input) -> np.ndarray:
        if item.role == "data":
            return data[item.name]
        if item.role == "gradient":
            return np.full([int(size) for size in item.value.type.shape], 1e-3, numpy_dtype(item.value.type.dtype))
        return np.array(scalars[item.role], np.int64)

    return {**{item.name: value(item) for item in graph.inputs}, **materialise(graph.variables, 0)}


def node_times(events: Iterable[dict[str, Any]], runs: int) -> list[NodeTime]:
    """The nodes in ONNX Runtime's list of the events of that many runs, the slowest first."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            found[name.removesuffix("_kernel_time")].append(event)
    return sorted((_node_time(name, own, runs) for name, own in found.items()), key=lambda node: -node.milliseconds)


def _node_time(name: str, events: Sequence[dict[str, Any]], runs: int) -> NodeTime:
    details = events[0]["args"]
    inputs, outputs = (_shapes(details.get(f"{side}_type_shape", ())) for side in ("input", "output"))
    rounds = max(1, len(events) // runs)
    return NodeTime(
        details["op_name"],
        name,
        " ".join("×".join(map(str, shape)) or "scalar" for _, shape in inputs),
        min(event["dur"] for event in events) / 1e3 * rounds,
        rounds * sum(math.prod(shape) * _BYTES.get(dtype, 4) for dtype, shape in inputs + outputs),
        rounds * _flops(details["op_name"], [shape for _, shape in inputs], [shape for _, shape in outputs]),
        len(events) > runs,
    )


Shape = Sequence[int]


def _shapes(tensors: Iterable[Mapping[str, Shape]]) -> list[tuple[str, Shape]]:
    """Dtype and shape of each tensor, from ONNX Runtime's list."""
    return [item for tensor in tensors for item in tensor.items()]


_BYTES = {"float": 4, "int64": 8, "double": 8, "bool": 1, "int32": 4, "uint8": 1, "float16": 2, "uint32": 4}


def _flops(operator: str, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """Of matrix products and convolutions, two for each multiplication and addition; 0 where weights are constants.

    ONNX Runtime lays those out anew, and does not list them.
    """
    if len(inputs) < 2:
        return 0
    if operator in ("MatMul", "Gemm", "FusedMatMul", "FusedGemm"):
        return 2 * math.prod(outputs[0]) * _inner(inputs[0], inputs[1], outputs[0])
    if operator in ("Conv", "FusedConv"):
        return 2 * math.prod(outputs[0]) * math.prod(inputs[1][1:])
    if operator == "ConvTranspose":
        return 2 * math.prod(inputs[0]) * math.prod(inputs[1][1:])
    return 0


def _inner(x: Shape, y: Shape, result: Shape) -> int:
    """The size of the axis that a product sums over, whichever of the two is transposed."""
    batch = math.prod(result[:-2]) if len(y) > 2 else 1
    return math.isqrt(math.prod(x) * math.prod(y) // max(1, math.prod(result) * batch))


def table(profile: Profile, key: Callable[[NodeTime], str], top: int) -> str:
    """The nodes in groups, the slowest group first: count, milliseconds and share. Bodies stand behind `in a body:`."""
    groups: dict[str, list[float]] = defaultdict(list)
    for node in profile.nodes:
        groups[f"in a body: {key(node)}" if node.inside else key(node)].append(node.milliseconds)
    total = profile.total
    lines = [f"{'':44}{'nodes':>6}{'ms':>9}{'share':>7}"]
    for name, times in sorted(groups.items(), key=lambda item: -sum(item[1]))[:top]:
        lines.append(f"{name[:80]:44}{len(times):6}{sum(times):9.3f}{sum(times) / total:7.1%}")
    lines.append(f"{'all nodes':44}{len(profile.nodes):6}{total:9.3f}")
    lines.append(f"{'a whole run':50}{profile.whole:9.3f}")
    return "\n".join(lines)


KEYS: dict[str, Callable[[NodeTime], str]] = {
    "operator": lambda node: node.operator,
    "shape": lambda node: f"{node.operator} {node.shapes}",
    "node": lambda node: f"{node.operator} {node.name}",
}
"""What nodes can be grouped by."""


def main() -> None:
    """Prints the table for the case on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description="where the time of a graph goes")
    parser.add_argument("case", choices=[case.name for case in CASES])
    parser.add_argument("--graph", choices=list(GRAPHS), default="train")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--by", choices=list(KEYS), default="operator")
    parser.add_argument("--top", type=int, default=40, help="rows of the table")
    options = parser.parse_args()
    case = case_named(options.case)
    graph = graph_of(case, options.graph, options.threads)
    print(table(profile(graph, case, options.threads, options.runs), KEYS[options.by], options.top))


if __name__ == "__main__":
    main()
