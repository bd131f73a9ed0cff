"""How long the compiler takes: `python -m benchmarks.compilation NAME` prints the stages for one network as JSON.

Each network is compiled in a process of its own, so that imports, the parser's tables and the library count as they do
for a user who types one command.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cases import CASES
from .machine import installed_environment, today

DEPTHS = (12, 24, 48, 96)
"""Numbers of layers of the GPT whose compile time must grow no faster than they do."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A network whose training step is compiled."""

    title: str
    source: str
    dims: Mapping[str, int]
    settings: Mapping[str, int | float] = field(default_factory=dict)
    model: str | None = None


def depth_name(layers: int) -> str:
    """What the GPT of this many layers is called in results."""
    return f"gpt-{layers}"


def _gpt_of_depth(layers: int) -> Subject:
    settings = {"vocab": 65, "d": 64, "layers": layers, "h": 4, "context": 64}
    return Subject(f"GPT, {layers} layers, d 64", "std:GPT", {"batch": 12, "t": 64}, settings)


SUBJECTS: dict[str, Subject] = {
    **{case.name: Subject(case.title, case.source, case.dims, case.set, case.model) for case in CASES},
    "gpt2": Subject("GPT-2 small, context 1024, batch 4", "std:GPT2", {"batch": 4, "t": 1024}),
    **{depth_name(layers): _gpt_of_depth(layers) for layers in DEPTHS},
}
"""Every network whose compile time is measured, by name."""

STAGES = ("import", "read", "elaborate", "passes", "emit", "session")
"""The road from nothing to a step that can run."""


def measure(name: str) -> dict[str, Any]:
    """The seconds of each stage in a fresh process, and the size of the graph."""
    command = [sys.executable, "-m", "benchmarks.compilation", name]
    environment = installed_environment()
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=_ROOT, env=environment)
    return {"name": name, "date": today(), **json.loads(run.stdout)}


_ROOT = Path(__file__).parents[1]


def compile_once(name: str) -> dict[str, Any]:
    """Compiles a subject's training step from nothing; the seconds of each stage and the numbers of nodes."""
    subject = SUBJECTS[name]
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(title: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        seconds[title] = round(time.perf_counter() - begin, 4)

    with stage("import"):
        from netlang.compiler import passes
        from netlang.compiler.emit import emit
        from netlang.runtime.job import open_network
        from netlang.runtime.session import Device
    with stage("read"):
        network = open_network(subject.source, subject.model, subject.settings)
    with stage("elaborate"):
        elaborated = network.train_graph(subject.dims, without=[title for title, _ in passes.PIPELINE])
    with stage("passes"):
        graph = passes.run(elaborated)
    with stage("emit"):
        model = emit(graph)
    with stage("session"):
        Device(threads=1).session(model)
    nodes = {"elaborated": len(elaborated.nodes), "graph": len(graph.nodes), "onnx": len(model.graph.node)}
    return {"seconds": seconds, "nodes": nodes}


if __name__ == "__main__":
    print(json.dumps(compile_once(sys.argv[1])))
