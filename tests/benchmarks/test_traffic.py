"""What each model of the suite has to do in a step, exactly: a change that makes it slower shows here, without a clock.

`pytest tests/benchmarks --update-snapshots -k traffic` writes the numbers anew: look at the difference, and say why.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from netlang.compiler.builder import Builder
from netlang.compiler.passes import ONE_THREAD, run
from netlang.compiler.passes.multiply_add import multiply_add
from netlang.runtime.job import open_network

from benchmarks.cases import CASES, Case
from benchmarks.profile import GRAPHS
from benchmarks.traffic import Traffic, traffic
from netlang.types import TensorType

SNAPSHOT = Path(__file__).with_name("traffic.json")


PASSES = (*ONE_THREAD, ("multiply_add", multiply_add))
"""Those of one core, and of an ONNX Runtime that has GatedAdd, whether or not this one has it."""


def counted(case: Case) -> dict[str, dict[str, int]]:
    """For the gradient of a batch, and the optimizer over all parameters."""
    network = open_network(case.source, case.model, case.set)
    graphs = {"gradient": run(GRAPHS["gradient"](network, case.dims), pipeline=PASSES)}
    graphs["apply"] = GRAPHS["apply"](network, case.dims)
    return {name: traffic(graph).record() for name, graph in graphs.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_work_of_a_step_is_as_recorded(case: Case, request: pytest.FixtureRequest) -> None:
    recorded = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    found = counted(case)
    if request.config.getoption("--update-snapshots"):
        recorded[case.name] = found
        SNAPSHOT.write_text(
            json.dumps({c.name: recorded[c.name] for c in CASES if c.name in recorded}, indent=1) + "\n"
        )
    assert found == recorded.get(case.name)


def test_traffic_counts_tensors_not_views_nor_scalars() -> None:
    b = Builder("counted")
    x = b.input("x", TensorType("f32", (4, 5)), "data")
    y = b.reshape(b.mul(x, 2.0), shape=(20,))
    b.output("y", b.mul(b.sum(y), 0.5))
    assert traffic(b.graph()) == Traffic(nodes=4, passes=2, bytes=(80 + 4 + 80) + (80 + 8 + 4))  # with the axes


def test_bodies_count_as_often_as_they_run() -> None:
    def scanned(steps: int) -> Traffic:
        network = open_network(str(Path(__file__).parents[2] / "benchmarks/programs/lstm.net"), None, {})
        return traffic(network.graph(dims={"batch": 2, "t": steps}, without=("recurrent",)))

    few, more, most = (scanned(steps) for steps in (4, 8, 12))
    assert few.nodes == more.nodes
    assert more.passes - few.passes == most.passes - more.passes >= 4
