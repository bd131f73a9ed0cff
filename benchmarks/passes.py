"""What each pass brings: `python -m benchmarks.passes gpt`.

The gradient of a case runs with all passes, and without each of those for speed, in turns; a pass that changes
nothing is not listed. The least times are compared: above 1, the pass makes the graph faster.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

import numpy as np
import onnxruntime as ort
from netlang.compiler.ir import Graph, Node
from netlang.compiler.passes import run
from netlang.runtime.further_passes import further_passes
from netlang.runtime.job import open_network
from netlang.runtime.session import Device
from netlang.runtime.training_session import training_session

from .cases import CASES, Case, case_named
from .profile import feeds_for

NAMES = (
    *("algebra", "targets", "transpose", "columns", "causal", "masks", "affine"),
    *("squares", "fit_cache", "gradient_windows", "pool_parts", "serial", "short_sums", "panels"),
    *("scaled_rows", "multiply_add"),
)
"""Passes that there are for speed; the others are needed by these, or spare them work."""


def variants(case: Case, threads: int) -> dict[str, Graph]:
    """The gradient graph with all passes, as "all", and without each one that has work there."""
    network = open_network(case.source, case.model, case.set)
    further = further_passes(threads)

    def graph(*without: str) -> Graph:
        return run(network.gradient_graph(case.dims, without=without), pipeline=further, without=without)

    found = {"all": graph(), **{name: graph(name) for name in NAMES}}
    kinds = {name: sorted(_kind(node) for node in each.nodes) for name, each in found.items()}
    return {name: each for name, each in found.items() if name == "all" or kinds[name] != kinds["all"]}


def _kind(node: Node) -> str:
    return f"{node.op} {[str(x.type) for x in node.inputs]} {[str(x.type) for x in node.outputs]}"


def least_times(graphs: Mapping[str, Graph], case: Case, threads: int, seconds: float) -> dict[str, float]:
    """The least milliseconds of each graph, which run in turns for so many seconds in all."""
    sessions = {name: training_session(graph, Device(threads=threads)) for name, graph in graphs.items()}
    bindings = {name: _bound(session, feeds_for(graphs[name], case)) for name, session in sessions.items()}
    best = dict.fromkeys(graphs, np.inf)
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 3 or time.perf_counter() < end:
        for name, session in sessions.items():
            begin = time.perf_counter()
            session.run_with_iobinding(bindings[name])
            best[name] = min(best[name], (time.perf_counter() - begin) * 1e3)
        rounds += 1
    return best


def _bound(session: ort.InferenceSession, feeds: Mapping[str, np.ndarray]) -> ort.IOBinding:
    binding = session.io_binding()
    for item in session.get_inputs():
        binding.bind_cpu_input(item.name, np.ascontiguousarray(feeds[item.name]))
    for item in session.get_outputs():
        binding.bind_output(item.name)
    return binding


def main() -> None:
    """Prints a line for each pass."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.passes", description="what each pass brings")
    parser.add_argument("cases", nargs="*", default=[case.name for case in CASES], metavar="CASE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0, help="for all graphs of a case together")
    options = parser.parse_args()
    for case in map(case_named, options.cases):
        graphs = variants(case, options.threads)
        best = least_times(graphs, case, options.threads, options.seconds)
        print(f"{case.title}: {best['all']:.2f} ms", flush=True)
        for name in graphs:
            if name != "all":
                print(f"  without {name:12}{best[name]:10.2f} ms{best[name] / best['all']:8.2f}", flush=True)


if __name__ == "__main__":
    main()
