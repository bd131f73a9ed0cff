"""What `@recompute` saves and costs: `python -m benchmarks.recompute`.

The gradient graph of an 8-layer decoder (width 128, 8 sequences of 256 tokens) runs twice: keeping the values of its
blocks, and computing them again. Each runs in a process of its own; memory is what the first run adds to the most that
the process ever held, time the median of the later runs. The gradients are compared.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from netlang.compiler.initializers import materialise
from netlang.runtime.job import open_network
from netlang.runtime.session import Device
from netlang.runtime.training_session import training_session

PROGRAM = Path(__file__).parent / "programs" / "recompute.net"
DIMS = {"batch": 8, "t": 256}
RUNS = 5


def measure(model: str) -> dict[str, object]:
    """Peak memory in MiB, milliseconds of a run, and a few sums of gradients, of one model."""
    graph = open_network(str(PROGRAM), model).gradient_graph(DIMS)
    session = training_session(graph, Device(threads=2))
    rng = np.random.default_rng(0)
    feeds = materialise(graph.variables, 0)
    feeds |= {i.name: rng.integers(0, 65, (DIMS["batch"], DIMS["t"])) for i in graph.inputs}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = session.run(None, feeds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        session.run(None, feeds)
        times.append(time.perf_counter() - start)
    sums = [float(np.abs(np.asarray(array, np.float64)).sum()) for array in results]
    return {"peak": peak / 1024, "milliseconds": statistics.median(times) * 1e3, "sums": sums}


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    found = {}
    for model in ("Kept", "Recomputed"):
        command = [sys.executable, "-m", "benchmarks.recompute", model]
        found[model] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"{model:<12}{found[model]['peak']:8.0f} MiB{found[model]['milliseconds']:10.0f} ms")
    assert found["Kept"]["sums"] == found["Recomputed"]["sums"], "the gradients differ"
    print("the gradients are equal to the last bit")


if __name__ == "__main__":
    main()
