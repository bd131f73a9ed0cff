"""`GCN` and `GAT` against networks of PyTorch's own operations, edge by edge; their sizes; a graph to learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.trainer import Trainer
from torch import Tensor
from torch.nn import functional

from .harness import Arrays, Parameters, Runner, assert_near, library, program, torch_parameters, variables
from .model_checks import assert_gradients_match_pytorch, results

SMALL: dict[str, dict[str, Any]] = {
    "GCN": {"features": 5, "classes": 3, "hidden": 4, "drop": 0.0},
    "GAT": {"features": 5, "classes": 3, "hidden": 4, "h": 2, "drop": 0.0},
}
NODES = 7
EDGES = np.array([[0, 1, 1, 2, 3, 3, 3, 5, 0], [1, 0, 2, 1, 4, 4, 0, 5, 1]])
"""With a node of no edges, two edges that are there twice, and one from a node to itself."""


def network_of(model: str, **settings: Any) -> Network:
    return library("std.models.graph").network(model, {**SMALL[model], **settings})


def graph_data() -> Arrays:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((NODES, 5)).astype(np.float32)
    return {"x": x, "edges": EDGES, "label": np.array([0, 1, 2, -1, 2, -1, 0])}


def looped(edges: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """The ends of the edges, and of one more from each node to itself."""
    own = torch.arange(nodes)
    return torch.cat([edges[0], own]), torch.cat([edges[1], own])


def gcn(x: Tensor, edges: Tensor, p: Parameters, name: str) -> Tensor:
    """With the dense matrix D^-½ (A + I) D^-½ of the paper."""
    u, v = looped(edges, len(x))
    adjacency = torch.zeros(len(x), len(x)).index_put((v, u), torch.ones(len(u)), accumulate=True)
    root = adjacency.sum(1).rsqrt()
    s = p.at(name)
    return (root[:, None] * adjacency * root) @ (x @ s["weight"].T) + s["bias"]


def gat(x: Tensor, edges: Tensor, p: Parameters, name: str) -> Tensor:
    u, v = looped(edges, len(x))
    s = p.at(name)
    heads, out = s["source"].shape
    z = (x @ s["linear.weight"].T).reshape(-1, heads, out)
    scores = functional.leaky_relu((z * s["source"]).sum(-1)[u] + (z * s["target"]).sum(-1)[v], 0.2)
    rows = []
    for node in range(len(x)):
        ending = v == node
        alpha = scores[ending].softmax(0)
        rows.append((alpha[..., None] * z[u[ending]]).sum(0).flatten())
    return torch.stack(rows) + s["bias"]


def reference(model: str, p: Parameters, x: Tensor, edges: Tensor) -> Tensor:
    if model == "GCN":
        return gcn(gcn(x, edges, p, "first").relu(), edges, p, "second")
    return gat(functional.elu(gat(x, edges, p, "gat")), edges, p, "gat_2")


@pytest.mark.parametrize(("model", "count"), [("GCN", 23_063), ("GAT", 92_373)])
def test_the_size_is_the_published_one(model: str, count: int) -> None:
    """For Cora: 1,433 features, 7 classes. Kipf & Welling 2017; Veličković et al. 2018."""
    assert library("std.models.graph").network(model).parameter_count == count


@pytest.mark.parametrize("model", ["GCN", "GAT"])
def test_results_agree_with_pytorch(model: str) -> None:
    network, data = network_of(model), graph_data()
    values = variables(network)
    p = torch_parameters(network, values, training=False)
    for edges in (data["edges"], data["edges"][:, :1], data["edges"][:, :0]):
        (found,) = results(network, values, {"x": data["x"], "edges": edges})
        assert_near(found, reference(model, p, torch.tensor(data["x"]), torch.tensor(edges)), 1e-5)


@pytest.mark.parametrize("model", ["GCN", "GAT"])
def test_gradients_agree_with_pytorch(model: str) -> None:
    def loss(p: Parameters, x: Tensor, edges: Tensor, label: Tensor) -> Tensor:
        decay = 5e-4 / 2 * p["first.weight"].square().sum() if model == "GCN" else 0.0
        return functional.cross_entropy(reference(model, p, x, edges), label, ignore_index=-1) + decay

    network = network_of(model)
    assert_gradients_match_pytorch(network, variables(network), graph_data(), loss)


def test_labels_of_minus_one_are_not_asked_for() -> None:
    network, data = network_of("GCN"), graph_data()
    values = variables(network)
    found = Runner(network.eval_graph())({**values, **data})
    (logits,) = results(network, values, {"x": data["x"], "edges": data["edges"]})
    known = data["label"] >= 0
    assert found["accuracy"] == pytest.approx((logits.argmax(-1) == data["label"])[known].mean())


@pytest.mark.parametrize("model", ["GCN", "GAT"])
def test_neighbours_tell_what_a_node_is(model: str) -> None:
    """Features are noise but for one node in five; the edges stay within the three groups."""
    rng = np.random.default_rng(1)
    group = np.arange(60) % 3
    x = 0.1 * rng.standard_normal((60, 5)).astype(np.float32)
    x[::5, :3] += np.eye(3, dtype=np.float32)[group[::5]]
    ends = rng.integers(0, 20, (2, 300)) * 3 + rng.integers(0, 3, 300)
    trainer = Trainer(BoundNetwork(network_of(model, lr=0.02)), seed=0, threads=1)
    label = np.where(np.arange(60) < 30, group, -1)
    losses = [trainer.step(x=x, edges=ends, label=label)["loss"] for _ in range(150)]
    assert losses[-1] < 0.3 * losses[0]
    found = trainer.network.forward(x, ends).argmax(-1)
    assert (found == group)[30:].mean() > 0.9  # whose labels were never seen


def test_degrees_count_the_edges_that_end_in_a_node() -> None:
    text = """
    use std.graph: degree, with_self_loops
    model Degrees(edges: i64[2, e], x: f32[nodes]) -> (f32[nodes], i64[2, e + nodes]) {
      return degree(edges, nodes), with_self_loops(edges, nodes)
    }
    """
    run = Runner(program(text).network().graph())
    degrees, edges = run({"edges": EDGES, "x": np.zeros(NODES, np.float32)}).values()
    assert degrees.tolist() == np.bincount(EDGES[1], minlength=NODES).tolist()
    np.testing.assert_array_equal(edges, np.concatenate([EDGES, np.tile(np.arange(NODES), (2, 1))], 1))
