"""Sums at positions at inference: one thread adds with ScatterND, several do not, and both give the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from netlang.compiler import load_program
from netlang.compiler.emit import emit
from netlang.runtime import loader
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.further_passes import with_fast_sums
from netlang.runtime.session import Device
from netlang.runtime.sum_threads import alone

ONE, SEVERAL = Device("cpu", 1), Device("cpu", 2)
SETTINGS = {"GCN": {"features": 5, "classes": 3}, "GAT": {"features": 5, "classes": 3, "hidden": 4, "h": 2}}


def network(model: str, device: Device) -> BoundNetwork:
    source = loader.read_source(loader.library_models()[model])
    return BoundNetwork(load_program(source, loader.load).network(model, SETTINGS[model]), seed=1, device=device)


def sums(model: str, device: Device) -> set[str]:
    graph = network(model, device).network.graph()
    return {
        node.op_type for node in emit(with_fast_sums(graph, device)).graph.node if node.op_type.startswith("Scatter")
    }


@pytest.mark.parametrize("model", SETTINGS)
def test_threads_that_would_race_do_not_add(model: str) -> None:
    assert sums(model, ONE) == {"ScatterND"}
    assert sums(model, SEVERAL) == {"ScatterElements"}


@pytest.mark.parametrize("model", SETTINGS)
@pytest.mark.parametrize(
    ("nodes", "edges"),
    [
        (6, [(0, 1), (0, 1), (0, 1), (1, 0), (4, 1), (4, 4)]),  # some repeat, one to itself; 2, 3 and 5 are alone
        (3, []),
        (1, [(0, 0), (0, 0)]),
        (0, []),
    ],
    ids=["repeated and alone", "no edges", "one node", "no nodes"],
)
def test_sums_are_the_same_with_one_thread(model: str, nodes: int, edges: Sequence[tuple[int, int]]) -> None:
    x = np.random.default_rng(0).standard_normal((nodes, 5)).astype(np.float32)
    ends = np.array(edges, np.int64).reshape(-1, 2).T
    expected, found = (network(model, device).forward(x, ends) for device in (SEVERAL, ONE))
    assert isinstance(found, np.ndarray) and found.shape == (nodes, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_what_sums_nothing_is_left_as_it_is() -> None:
    source = loader.read_source(loader.library_models()["MLP"])
    graph = load_program(source, loader.load).network("MLP").graph()
    assert [node.op for node in with_fast_sums(graph, ONE).nodes] == [node.op for node in graph.nodes]


def test_one_thread_sums_where_several_would_take_longer() -> None:
    source = loader.read_source(loader.library_models()["GAT"])
    graph = load_program(source, loader.load).network("GAT", {"features": 1433, "classes": 7}).graph()
    cora = {"nodes": 2708, "e": 10556}
    assert not alone(graph, cora, 1)
    assert alone(graph, cora, 2)
    assert not alone(graph, cora, 64)  # what is left gains more from so many


def test_what_only_the_run_knows_is_left_to_all_threads() -> None:
    graph = network("GAT", SEVERAL).network.graph()
    assert not alone(graph, {"nodes": 3}, 2)


def test_a_network_of_several_threads_sums_with_one() -> None:
    net = network("GAT", SEVERAL)
    rng = np.random.default_rng(0)
    x, edges = rng.standard_normal((500, 5)).astype(np.float32), rng.integers(0, 500, (2, 4000))
    np.testing.assert_array_equal(net.forward(x, edges), network("GAT", ONE).forward(x, edges))
