"""Scans of LSTM and GRU cells as one operator: the same numbers as the scans, however the cell is written."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.compiler import Network, load_program
from netlang.compiler.emit import emit
from netlang.compiler.ir import Graph
from netlang.compiler.passes import run
from netlang.compiler.verify import verify
from netlang.runtime import loader
from netlang.runtime.session import Device

from netlang.source import Source

SIZES = ((1, 1), (3, 5), (2, 0), (0, 4))
"""Rows and steps: one of each, several, no steps, no rows."""

WITH_CONCAT = """
layer cell(n: int)(x: f32[b, t, i]) -> f32[b, t, n] {
  param w: f32[4 * n, i + n] ~ normal(0.5)
  param bias: f32[4 * n] ~ normal(0.5)
  return scan x_t in x along t carry h = zeros(b, n), c = zeros(b, n) {
    i, f, g, o = split(concat(x_t, h) @ w.T + bias, 4)
    next c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    next h = sigmoid(o) * tanh(next c)
    emit next h
  }
}
"""

FOUR_PRODUCTS = """
layer gate(n: int)(x: f32[b, i], h: f32[b, n]) -> f32[b, n] {
  param of_x: f32[i, n] ~ normal(0.5)
  param of_h: f32[n, n] ~ normal(0.5)
  param bias: f32[n] ~ normal(0.5)
  return h @ of_h - bias + x @ (2 * of_x)
}

layer cell(n: int)(x: f32[b, t, i]) -> (f32[b, n], f32[b, t, n]) {
  let input = gate(n)
  let forget = gate(n)
  let candidate = gate(n)
  let output = gate(n)
  states, c = scan x_t in x along t backward carry c = ones(b, n), h = full([b, n], 0.5) {
    added = tanh(candidate(x_t, h)) * sigmoid(input(x_t, h))
    next c = added + c * sigmoid(1 + forget(x_t, h))
    next h = tanh(next c) * sigmoid(output(x_t, h))
    emit next h
    keep c
  }
  return c, states
}
"""

GRU_OF_CHO = """
layer cell(n: int)(x: f32[b, t, i]) -> f32[b, n] {
  param w: f32[3 * n, i] ~ normal(0.5)
  param u: f32[2 * n, n] ~ normal(0.5)
  param v: f32[n, n] ~ normal(0.5)
  return scan x_t in x along t carry h = full([b, n], 0.3) {
    of_z, of_r, of_n = split(x_t @ w.T, 3)
    z, r = split(sigmoid(concat(of_z, of_r) + h @ u.T), 2)
    next h = z * h + (1 - z) * tanh(of_n + (r * h) @ v.T)
    keep h
  }
}
"""

GRU_BETWEEN = """
layer cell(n: int)(x: f32[b, t, i]) -> f32[b, t, n] {
  param w: f32[3 * n, i] ~ normal(0.5)
  param u: f32[3 * n, n] ~ normal(0.5)
  param bias: f32[3 * n] ~ normal(0.5)
  param inner: f32[n] ~ normal(0.5)
  return scan x_t in x along t carry h = zeros(b, n) {
    of_z, of_r, of_n = split(x_t @ w.T + bias, 3)
    z, r, new = split(h @ u.T, 3)
    new = tanh(of_n + sigmoid(of_r + r) * (inner + new))
    next h = h + sigmoid(of_z + z) * (new - h)
    emit next h
  }
}
"""

GRU_OF_TWO_BIASES = """
layer cell(n: int)(x: f32[b, t, i]) -> f32[b, t, n] {
  param w: f32[3 * n, i] ~ normal(0.5)
  param u: f32[3 * n, n] ~ normal(0.5)
  param bias: f32[n] ~ normal(0.5)
  return scan x_t in x along t carry h = zeros(b, n) {
    of_z, of_r, of_n = split(x_t @ w.T, 3)
    z, r, new = split(h @ u.T, 3)
    new = tanh(of_n + bias + 0.5 + sigmoid(of_r + r) * new)
    next h = h + sigmoid(of_z + z) * (new - h)
    emit next h
  }
}
"""

CELLS = {
    "lstm, concat": (WITH_CONCAT, "lstm"),
    "lstm, four products": (FOUR_PRODUCTS, "lstm"),
    "gru, reset before the product": (GRU_OF_CHO, "gru"),
    "gru, from h to the candidate": (GRU_BETWEEN, "gru"),
    "gru, two biases that are not reset": (GRU_OF_TWO_BIASES, "gru"),
}

LIKE_CELLS = {
    "a cell state is emitted": WITH_CONCAT.replace("emit next h", "emit next c"),
    "another function": WITH_CONCAT.replace("tanh(g)", "relu(g)"),
    "a forget gate twice": WITH_CONCAT.replace("sigmoid(f) * c", "sigmoid(f) * sigmoid(f) * c"),
    "the cell of the round before": WITH_CONCAT.replace("tanh(next c)", "tanh(c)"),
    "a cell half as large": WITH_CONCAT.replace("sigmoid(f) * c", "0.5 * sigmoid(f) * c"),
    "two update gates": GRU_BETWEEN.replace("(new - h)", "new - sigmoid(of_z - z) * h"),
    "a reset of half the product": GRU_OF_CHO.replace("(r * h) @ v.T", "(r * h) @ v.T + h @ v.T"),
    "a reset of the input": GRU_OF_CHO.replace("(r * h) @ v.T", "(r * h) @ v.T + (r * x_t) @ v.T"),
    "a bias for each row": WITH_CONCAT.replace("+ bias", "+ bias + x[:, 0, :1]"),
    "f64": WITH_CONCAT.replace("x: f32", "x: f64").replace("-> f32", "-> f64").replace("param w: f32", "param w: f64")
    .replace("param bias: f32", "param bias: f64").replace("zeros(b, n)", "f64(zeros(b, n))"),
}  # fmt: skip


def network(source: str) -> Network:
    return load_program(Source("cells.net", source), loader.load).network()


def cell_network(layer: str, width: int = 2) -> Network:
    kind = "f64" if "x: f64" in layer else "f32"
    return network(f"{layer}\nmodel Cells(n: int = 3)(x: {kind}[batch, t, {width}]) {{ return cell(n)(x) }}")


def operators(graph: Graph) -> set[str]:
    return {node.op for node in graph.nodes}


def results(network: Network, feeds: dict[str, np.ndarray], without: tuple[str, ...] = ()) -> list[np.ndarray]:
    """Of the entry `forward` with weights from a seed, in ONNX Runtime."""
    rng = np.random.default_rng(1)
    shapes = {v.name: [size for size in v.value.type.shape if isinstance(size, int)] for v in network.variables}
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    model = emit(network.graph(without=without), weights=weights)
    return [np.asarray(result) for result in Device("cpu", 1).session(model).run(None, feeds)]


def assert_same(network: Network, feeds: dict[str, np.ndarray]) -> None:
    scanned, found = results(network, feeds, ("recurrent",)), results(network, feeds)
    for expected, result in zip(scanned, found, strict=True):
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6)


def sequences(rows: int, steps: int, width: int = 2) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((rows, steps, width)).astype(np.float32)


@pytest.mark.parametrize("name", CELLS)
def test_cells_are_one_operator_however_they_are_written(name: str) -> None:
    layer, op = CELLS[name]
    cells = cell_network(layer)
    graph = cells.graph(after=lambda _, each: verify(each))
    assert op in operators(graph) and "scan_over" not in operators(graph)
    for rows, steps in SIZES:
        assert_same(cells, {"x": sequences(rows, steps)})


@pytest.mark.parametrize("name", LIKE_CELLS)
def test_what_is_like_a_cell_stays_a_scan(name: str) -> None:
    found = operators(cell_network(LIKE_CELLS[name], width=3).graph())
    assert "scan_over" in found and not {"lstm", "gru"} & found


RAGGED = """
use std.recurrent: lstm_with_state, gru, bidirectional

model Ragged(n: int = 3)(x: f32[batch, t, 2], lengths: i64[batch], h: f32[batch, n], c: f32[batch, n]) {
  y, last, cell = lstm_with_state(n)(x, h, c, lengths)
  back, first, first_cell = lstm_with_state(n, reverse = true)(x, h, c, lengths)
  both = bidirectional(gru(n), gru(n, reverse = true))(x, lengths)
  return y, last, cell, back, first, first_cell, both, gru(n)(x, h)
}
"""


@pytest.mark.parametrize(("rows", "steps"), SIZES)
def test_sequences_that_have_lengths(rows: int, steps: int) -> None:
    ragged = network(RAGGED)
    assert {"ragged_lstm", "ragged_gru", "gru"} <= operators(ragged.graph())
    assert "scan_over" not in operators(ragged.graph())
    h, c = np.random.default_rng(3).standard_normal((2, rows, 3)).astype(np.float32)
    for lengths in ([0, 9, -1], [1, 5, 4]):  # none, too many, less than none; as many as there are, and fewer
        feeds = {"x": sequences(rows, steps), "lengths": np.array(lengths[:rows], np.int64), "h": h, "c": c}
        assert_same(ragged, feeds)


def test_what_a_ragged_scan_stacks_past_the_lengths_is_kept() -> None:
    """Where the mask is the program's own, what it gives past the lengths is not what the operator gives."""
    layer = WITH_CONCAT.replace("x: f32[b, t, i]", "x: f32[b, t, i], on: bool[b, t]").replace(
        "x_t in x", "x_t in x, go in on"
    )
    masked = layer.replace("next c = ", "wide = reshape(go, [b, 1])\n    next c = select(wide, ").replace(
        "tanh(g)\n", "tanh(g), c)\n"
    )
    masked = masked.replace("next h = sigmoid(o) * tanh(next c)", "next h = select(wide, sigmoid(o) * tanh(next c), h)")
    program = network(f"{masked}\nmodel M(x: f32[batch, t, 2], on: bool[batch, t]) {{ return cell(3)(x, on) }}")
    assert "scan_over" in operators(program.graph())


def test_a_number_for_each_step_is_no_bias() -> None:
    """Of as many steps as the state has columns."""
    layer = GRU_BETWEEN.replace("x: f32[b, t, i]", "x: f32[b, t, i], s: f32[t]")
    layer = layer.replace("x_t in x", "x_t in x, s_t in s").replace("sigmoid(of_z + z)", "sigmoid(of_z + z + s_t)")
    program = network(f"{layer}\nmodel M(x: f32[batch, 3, 2], s: f32[3]) {{ return cell(3)(x, s) }}")
    assert "scan_over" in operators(program.graph())
    assert_same(program, {"x": sequences(2, 3), "s": np.array([-1, 0, 2], np.float32)})


def test_sequences_of_words_and_stacks_of_layers() -> None:
    """Behind an embedding, one layer on another, inside a choice: the projections are read off the graph around."""
    program = network("""
use std.layers: embedding
use std.recurrent: lstm
model Words(word: i64[batch, t], twice: bool[]) -> f32[batch, t, 4] {
  x = word |> embedding(5, 2) |> lstm(3)
  return if twice { x |> lstm(4) |> lstm(4) } else { x |> lstm(4, reverse = true) }
}
""")
    graph = program.graph()
    assert operators(graph) >= {"lstm", "branch"}
    (choice,) = (node for node in graph.nodes if node.op == "branch")
    assert [sum(node.op == "lstm" for node in body.nodes) for body in choice.bodies] == [1, 2]
    for twice in (True, False):
        assert_same(program, {"word": np.arange(6).reshape(2, 3) % 5, "twice": np.array(twice)})


def test_training_keeps_scans() -> None:
    source = loader.read_source(loader.library_models()["LSTM"])
    trained = load_program(source, loader.load).network("LSTM", {"vocab": 7, "n": 3, "d": 3})
    assert "scan_over" in operators(trained.train_graph())
    assert "ragged_lstm" in operators(trained.graph())
    assert "ragged_lstm" in operators(trained.eval_graph())


def test_equal_programs_give_equal_bytes() -> None:
    models = [emit(cell_network(FOUR_PRODUCTS).graph()).SerializeToString(deterministic=True) for _ in range(3)]
    assert len(set(models)) == 1


def test_the_pass_can_be_left_out() -> None:
    before = cell_network(WITH_CONCAT).elaborate()
    assert "lstm" not in operators(run(before, without=("recurrent",)))
