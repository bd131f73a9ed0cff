"""Where the time goes, beside the floor: `python -m benchmarks.where gpt`.

Each kind of operator of a training step's gradient, with the milliseconds that it takes, those that its arithmetic
would take at the speed of the largest matrix product measured here, and those that its bytes would take at the speed
of a large addition. The floor of a node is the greater of the two: what a perfect kernel would need that cannot keep
anything in the cache between nodes. Where the time is below, it did keep it.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.runtime.binding import Binding
from netlang.runtime.session import Device

from netlang.types import TensorType

from .cases import CASES, case_named
from .profile import GRAPHS, NodeTime, Profile, graph_of, profile
from .traffic import VIEWS


@dataclass(frozen=True, slots=True)
class Peaks:
    """What ONNX Runtime reaches here: operations and bytes in a millisecond."""

    flops: float
    bytes: float

    def floor(self, node: NodeTime) -> float:
        """The least milliseconds that a node could take."""
        return max(node.flops / self.flops, moved(node) / self.bytes)


def moved(node: NodeTime) -> int:
    """The bytes that a node reads and writes: none for views."""
    return 0 if node.operator in VIEWS else node.bytes


SIDE = 1024
"""Rows and columns of the product that measures arithmetic."""

ELEMENTS = 1 << 24
"""Of the tensor that measures memory: 64 MiB, beyond all caches."""


def measure_peaks(threads: int, seconds: float = 1.0) -> Peaks:
    """The speed of a product of two square matrices, and of an addition to a tensor too large for the caches."""
    product, addition = Builder("product"), Builder("addition")
    x, y = (product.input(name, TensorType("f32", (SIDE, SIDE)), "data") for name in "xy")
    product.output("z", product.matmul(x, y))
    addition.output("z", addition.add(addition.input("x", TensorType("f32", (ELEMENTS,)), "data"), 1.0))
    arithmetic = _milliseconds(product, dict.fromkeys("xy", (SIDE, SIDE)), (SIDE, SIDE), threads, seconds)
    memory = _milliseconds(addition, {"x": (ELEMENTS,)}, (ELEMENTS,), threads, seconds)
    return Peaks(2 * SIDE**3 / arithmetic, 2 * 4 * ELEMENTS / memory)


def _milliseconds(
    b: Builder, inputs: dict[str, tuple[int, ...]], result: tuple[int, ...], threads: int, seconds: float
) -> float:
    """The least time of a graph of one node."""
    session = Device(threads=threads).session(emit(b.graph()))
    binding = Binding(session)
    for name, shape in inputs.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(np.ones(shape, np.float32)))
    binding.bind_ortvalue_output("z", ort.OrtValue.ortvalue_from_numpy(np.zeros(result, np.float32)))
    return min(_times(lambda: session.run_with_iobinding(binding), seconds))


def _times(run: Callable[[], None], seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        times.append((time.perf_counter() - begin) * 1e3)
    return times


def table(found: Profile, peaks: Peaks) -> str:
    """A line for each kind of operator, the one with most to gain first."""
    groups: dict[str, list[NodeTime]] = defaultdict(list)
    for node in found.nodes:
        if not node.inside:
            groups[node.operator].append(node)
    inside = sum(peaks.floor(node) for node in found.nodes if node.inside)
    lines = [_line(name, nodes, peaks) for name, nodes in groups.items()]
    lines.sort(key=lambda line: line.floor - line.milliseconds)
    head = f"{'operator':24}{'nodes':>6}{'ms':>10}{'share':>8}{'arithmetic':>12}{'memory':>10}{'floor':>10}{'times':>7}"
    rows = [line.text(found.total) for line in lines]
    everything = _line("all", [node for nodes in groups.values() for node in nodes], peaks)
    notes = [f"What runs in bodies of Scan, Loop and If has a floor of {inside:.2f} ms."] if inside else []
    return "\n".join([head, *rows, everything.text(found.total), *notes])


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    nodes: int
    milliseconds: float
    arithmetic: float
    memory: float
    floor: float

    def text(self, total: float) -> str:
        share = self.milliseconds / total
        times = f"{self.milliseconds / self.floor:7.1f}" if self.floor else f"{'–':>7}"
        return (
            f"{self.name[:23]:24}{self.nodes:6}{self.milliseconds:10.2f}{share:8.1%}"
            f"{self.arithmetic:12.2f}{self.memory:10.2f}{self.floor:10.2f}{times}"
        )


def _line(name: str, nodes: list[NodeTime], peaks: Peaks) -> _Line:
    return _Line(
        name,
        len(nodes),
        sum(node.milliseconds for node in nodes),
        sum(node.flops for node in nodes) / peaks.flops,
        sum(map(moved, nodes)) / peaks.bytes,
        sum(peaks.floor(node) for node in nodes),
    )


def main() -> None:
    """Prints the table for the case on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.where", description="time beside the floor")
    parser.add_argument("case", choices=[case.name for case in CASES])
    parser.add_argument("--graph", choices=list(GRAPHS), default="gradient")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    case = case_named(options.case)
    graph = graph_of(case, options.graph, options.threads)
    peaks = measure_peaks(options.threads)
    print(f"{case.title}: {options.graph}, {options.threads} thread{'s' * (options.threads > 1)}")
    print(f"products {peaks.flops / 1e6:.0f} GFLOP/s, memory {peaks.bytes / 1e6:.1f} GB/s")
    print(table(profile(graph, case, options.threads, options.runs), peaks))


if __name__ == "__main__":
    main()
