"""`aggregate … over (u -> v) in edges`, against loops over the edges in NumPy and against PyTorch's gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from netlang.compiler.emit import emit
from torch import Tensor

from ..stdlib.harness import (
    CHECKED,
    Runner,
    assert_gradients_match_differences,
    assert_near,
    program,
    run_inputs,
    variables,
)

RNG = np.random.default_rng(2)
NODES = 6
X = RNG.standard_normal((NODES, 3)).astype(np.float32)
SCALE = RNG.uniform(0.5, 2, NODES).astype(np.float32)

GRAPHS = {
    "simple": [(0, 1), (1, 2), (2, 0), (3, 1), (4, 5)],
    "duplicates": [(0, 1), (0, 1), (1, 0), (0, 1), (2, 1)],
    "loops": [(0, 0), (1, 1), (1, 1), (2, 1)],
    "one edge": [(5, 0)],
    "no edge": [],
}
"""Some nodes receive nothing in each of them."""


def edges_of(graph: str) -> np.ndarray:
    return np.array(GRAPHS[graph], np.int64).reshape(-1, 2).T


def weights_of(graph: str) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(len(GRAPHS[graph])).astype(np.float32)


def text(body: str, result: str = "f32[nodes, 3]") -> str:
    """A model whose data are parameters of the graph that it is differentiated by."""
    return f"""
    model Net(x: f32[nodes, 3], d: f32[nodes], w: f32[e], edges: i64[2, e]) -> {result} {{
      {body}
    }}
    """


def computed(body: str, graph: str, result: str = "f32[nodes, 3]", nodes: int = NODES) -> np.ndarray:
    """In onnxruntime, with the numbers of nodes and edges open."""
    run = Runner(program(text(body, result)).network().graph(**CHECKED))
    feeds = {"x": X[:nodes], "d": SCALE[:nodes], "w": weights_of(graph), "edges": edges_of(graph)}
    (found,) = run(feeds).values()
    return found


Message = Callable[[Tensor, Tensor, Tensor, int, int, int], Tensor]
"""Of x, d, w, and the numbers of the edge and of its ends."""

MESSAGES: dict[str, Message] = {
    "x[u]": lambda x, d, w, k, u, v: x[u],
    "x[u] / sqrt(d[u] * d[v])": lambda x, d, w, k, u, v: x[u] / (d[u] * d[v]).sqrt(),
    "w[u -> v] * (x[u] - x[v])": lambda x, d, w, k, u, v: w[k] * (x[u] - x[v]),
    "tanh(x[v]) * d[u] + 1": lambda x, d, w, k, u, v: x[v].tanh() * d[u] + 1,
    "x[u] * (d[u] > 1)": lambda x, d, w, k, u, v: x[u] * (d[u] > 1),
}

REDUCERS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda rows: rows.sum(0),
    "mean": lambda rows: rows.mean(0),
    "max": lambda rows: rows.amax(0),
    "min": lambda rows: rows.amin(0),
}


def expected(message: Message, reducer: str, graph: str, x: Tensor, d: Tensor, w: Tensor) -> Tensor:
    received: list[list[Tensor]] = [[] for _ in range(NODES)]
    for k, (u, v) in enumerate(GRAPHS[graph]):
        received[v].append(message(x, d, w, k, u, v))
    nothing = torch.zeros(3)
    return torch.stack([REDUCERS[reducer](torch.stack(rows)) if rows else nothing for rows in received])


def given(graph: str) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(torch.tensor(a, requires_grad=True) for a in (X, SCALE, weights_of(graph)))  # type: ignore[return-value]


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("reducer", REDUCERS)
@pytest.mark.parametrize("body", MESSAGES)
def test_messages_are_reduced(body: str, reducer: str, graph: str) -> None:
    body_of_cast = body.replace("(d[u] > 1)", "f32(d[u] > 1)")
    found = computed(f"return aggregate {reducer} over (u -> v) in edges {{ {body_of_cast} }}", graph)
    assert_near(found, expected(MESSAGES[body], reducer, graph, *given(graph)), 1e-5)


TRAINED = """
use std.layers: linear
model Net(edges: i64[2, e]) -> f32[6, 3] {{
  param x: f32[6, 3] ~ normal(1.0)
  param d: f32[6] ~ ones()
  param w: f32[{count}] ~ normal(1.0)
  {body}
}}
train Net {{
  in target: f32[6, 3]
  minimize sum(forward(edges) * target)
  optimizer sgd(1.0)
}}
"""


@pytest.mark.parametrize("graph", ["simple", "duplicates", "loops", "no edge"])
@pytest.mark.parametrize("reducer", REDUCERS)
@pytest.mark.parametrize("body", ["w[u -> v] * (x[u] - x[v]) / sqrt(d[u] * d[v])"])
def test_gradients_agree_with_pytorch(body: str, reducer: str, graph: str) -> None:
    count = len(GRAPHS[graph])
    written = f"return aggregate {reducer} over (u -> v) in edges {{ {body} }}"
    network = program(TRAINED.format(body=written, count=count).replace("[2, e]", f"[2, {count}]")).network()
    target = np.random.default_rng(5).standard_normal((NODES, 3)).astype(np.float32)
    values = {**variables(network), "d": SCALE}
    feeds = {**values, "target": target, "edges": edges_of(graph), **run_inputs()}
    found = Runner(network.gradient_graph(**CHECKED))(feeds)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in values.items()}

    def message(x: Tensor, d: Tensor, w: Tensor, k: int, u: int, v: int) -> Tensor:
        return w[k] * (x[u] - x[v]) / (d[u] * d[v]).sqrt()

    total = expected(message, reducer, graph, tensors["x"], tensors["d"], tensors["w"]) * torch.tensor(target)
    if count:
        total.sum().backward()
    for name, tensor in tensors.items():
        gradient = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        assert_near(found[f"grad.{name}"], gradient, 1e-5, name)


ATTENTION = """alpha = aggregate softmax over (u -> v) in edges { 30 * d[u] * d[v] + w[u -> v] }
    return aggregate sum over (u -> v) in edges { alpha[u -> v] * x[u] }"""


def attention(graph: str, x: Tensor, d: Tensor, w: Tensor) -> Tensor:
    rows = []
    for node in range(NODES):
        ending = [(k, u) for k, (u, v) in enumerate(GRAPHS[graph]) if v == node]
        scores = [30 * d[u] * d[node] + w[k] for k, u in ending]
        weights = torch.stack(scores).softmax(0) if scores else []
        rows.append(sum((a * x[u] for a, (_, u) in zip(weights, ending, strict=True)), start=torch.zeros(3)))
    return torch.stack(rows)


@pytest.mark.parametrize("graph", GRAPHS)
def test_softmax_weighs_the_edges_that_end_in_a_node(graph: str) -> None:
    assert_near(computed(ATTENTION, graph), attention(graph, *given(graph)), 1e-5)


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_weights_of_a_node_add_up_to_1(graph: str) -> None:
    body = "return aggregate softmax over (u -> v) in edges { 100 * (w[u -> v] + d[u] - d[v]) }"
    found = computed(body, graph, "f32[e]")
    totals = np.zeros(NODES)
    np.add.at(totals, edges_of(graph)[1], found)
    assert found.shape == (len(GRAPHS[graph]),)
    np.testing.assert_allclose(totals[np.unique(edges_of(graph)[1])], 1, rtol=1e-5)


@pytest.mark.parametrize("graph", ["simple", "duplicates", "loops"])
def test_gradients_of_attention(graph: str) -> None:
    count = len(GRAPHS[graph])
    network = program(TRAINED.format(body=ATTENTION, count=count).replace("[2, e]", f"[2, {count}]")).network()
    target = np.random.default_rng(5).standard_normal((NODES, 3)).astype(np.float32)
    values = {**variables(network), "d": SCALE / 4}
    data = {"target": target, "edges": edges_of(graph)}
    found = Runner(network.gradient_graph(**CHECKED))({**values, **data, **run_inputs()})
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in values.items()}
    (attention(graph, tensors["x"], tensors["d"], tensors["w"]) * torch.tensor(target)).sum().backward()
    for name, tensor in tensors.items():
        assert tensor.grad is not None
        assert_near(found[f"grad.{name}"], tensor.grad, 1e-4, name)
    assert_gradients_match_differences(network, values, data)


def test_an_empty_graph() -> None:
    for reducer in REDUCERS:
        body = f"return aggregate {reducer} over (u -> v) in edges {{ x[u] / d[v] }}"
        assert computed(body, "no edge", nodes=0).shape == (0, 3)


def test_one_graph_serves_any_other() -> None:
    """The same session, with graphs of other sizes one after the other."""
    network = program(text("return aggregate mean over (u -> v) in edges { x[u] }")).network()
    run = Runner(network.graph(**CHECKED))
    for graph in ("simple", "no edge", "duplicates"):
        feeds = {"x": X, "d": SCALE, "w": weights_of(graph), "edges": edges_of(graph)}
        (found,) = run(feeds).values()
        assert_near(found, expected(MESSAGES["x[u]"], "mean", graph, *given(graph)), 1e-5)


def test_whole_numbers_are_summed_and_compared() -> None:
    """A node that receives nothing gets 0, also where all others get less."""
    degrees = computed("return aggregate max over (u -> v) in edges { -i64(d[u] * 0) - 3 }", "simple", "i64[nodes]")
    assert degrees.tolist() == [-3, -3, -3, 0, 0, -3]


def test_the_count_of_edges_may_equal_another_size() -> None:
    """Rows are paired because they were read edge by edge, and not because their number is that of the edges."""
    body = "return aggregate sum over (u -> v) in edges { d[u] * x[v] * iota_of }".replace("iota_of", "f32(iota(3))")
    sized = text(body).replace("[2, e]", "[2, 3]").replace("w: f32[e]", "w: f32[3]")
    (found,) = Runner(program(sized).network().graph(**CHECKED))(
        {"x": X, "d": SCALE, "w": X[0], "edges": edges_of("simple")[:, :3]}
    ).values()
    rows = np.zeros((NODES, 3), np.float32)
    for u, v in GRAPHS["simple"][:3]:
        rows[v] += SCALE[u] * X[v] * np.float32([0, 1, 2])
    assert_near(found, rows, 1e-6)


def test_layers_in_the_body_are_applied_to_every_edge() -> None:
    """A message that a small network computes of both ends. Gilmer et al. 2017."""
    made = program("""
    use std.layers: linear
    model Net(x: f32[nodes, 3], edges: i64[2, e]) -> f32[nodes, 4] {
      return aggregate sum over (u -> v) in edges { concat(x[u], x[v]) |> linear(4) |> relu }
    }
    """).network()
    values = variables(made)
    assert list(values) == ["linear.weight", "linear.bias"]
    (found,) = Runner(made.graph(**CHECKED))({**values, "x": X, "edges": edges_of("duplicates")}).values()
    rows = np.zeros((NODES, 4), np.float32)
    for u, v in GRAPHS["duplicates"]:
        rows[v] += np.maximum(values["linear.weight"] @ np.concatenate([X[u], X[v]]) + values["linear.bias"], 0)
    assert_near(found, rows, 1e-5)


@pytest.mark.parametrize("reducer", ["sum", "mean", "max", "softmax"])
def test_nothing_is_summed_by_threads_that_race(reducer: str) -> None:
    """ScatterND adds wrongly where positions repeat; equal runs with two threads give equal bits."""
    body = f"y = aggregate {reducer} over (u -> v) in edges {{ x[u] * w[u -> v] }}\n  return sum(y * y) + sum(d)"
    graph = program(text(body, "f32")).network().graph(**CHECKED)
    model = emit(graph)
    assert not any(node.op_type == "ScatterND" and node.attribute for node in model.graph.node)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feeds = {
        "x": rng.standard_normal((5, 3)).astype(np.float32),
        "d": SCALE[:5],
        "w": rng.standard_normal(20_000).astype(np.float32),
        "edges": rng.integers(0, 5, (2, 20_000)),
    }
    results = {float(session.run(None, feeds)[0]) for _ in range(5)}
    assert len(results) == 1
