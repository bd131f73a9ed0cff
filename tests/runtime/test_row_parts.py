"""Inference in parts of the batch gives what the whole gives, and is used only where rows are independent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from netlang.compiler import Network
from netlang.compiler.batching import independent_rows
from netlang.runtime import loader, parts, runner
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.inputs import data_inputs
from netlang.runtime.memory import LARGE, LINE, ResultMemory, aligned
from netlang.runtime.parts import InferenceWork
from netlang.runtime.row_parts import RowParts
from netlang.runtime.session import Device
from netlang.runtime.workers import Workers

from netlang.types import INTEGERS

from .conftest import program

WORDS = {"vocab": 7, "d": 4}
TOKENS = {**WORDS, "layers": 2, "h": 2, "context": 8}
MODELS: list[tuple[str, str, dict[str, Any]]] = [
    ("MLP", "forward", {}),
    ("LeNet5", "forward", {}),
    ("ResNet20", "forward", {}),
    ("LSTM", "forward", {**WORDS, "n": 3}),
    ("GPT", "forward", TOKENS),
    ("BERT", "forward", TOKENS),
    ("Transformer", "forward", {**WORDS, "layers": 1, "h": 2}),
    ("VAE", "encode", {}),
    ("DDPM", "forward", {}),
]
SIZES = {"t": 5, "s": 4, "height": 32, "width": 32}


def network(model: str, settings: dict[str, Any]) -> Network:
    source = loader.read_source(loader.library_models()[model])
    return program(source.text).network(model, settings)


def batch(network: Network, entry: str, rows: int) -> dict[str, np.ndarray]:
    """Random inputs; whole numbers are 0 or 1."""
    rng = np.random.default_rng(3)
    graph, made = network.graph(entry), {}
    size = independent_rows(graph)
    for item in data_inputs(graph):
        type_ = item.value.type
        shape = [n if isinstance(n, int) else rows if str(n) == size else SIZES[str(n)] for n in type_.shape]
        made[item.name] = rng.integers(0, 2, shape) if type_.dtype in INTEGERS else rng.random(shape, np.float32)
    return made


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a row or two pay."""
    monkeypatch.setattr(parts, "CACHE_BYTES", 1)
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    monkeypatch.setattr(parts, "WEIGHT_SHARE", 0)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The rows of the parts of each batch that is computed in parts."""
    seen: list[list[int]] = []
    run = RowParts.run

    def watched(self: RowParts, feeds: Any, sizes: Any, parts: Any) -> list[np.ndarray]:
        seen.append([part.rows for part in parts])
        return run(self, feeds, sizes, parts)

    monkeypatch.setattr(RowParts, "run", watched)
    return seen


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("model", "entry", "settings"), MODELS, ids=str)
def test_parts_give_what_the_whole_gives(
    model: str,
    entry: str,
    settings: dict[str, Any],
    threads: int,
    runs: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = network(model, settings)
    given = batch(made, entry, 5)
    found = BoundNetwork(made, seed=1, device=Device("cpu", threads)).run(entry, given)
    assert runs == [[1] * 5]
    monkeypatch.setattr(parts, "PART_BYTES", 1 << 60)
    whole = BoundNetwork(made, seed=1, device=Device("cpu", threads)).run(entry, given)
    assert len(runs) == 1
    assert found.keys() == whole.keys()
    for name, array in whole.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name], array, rtol=2e-5, atol=1e-6)


@pytest.mark.usefixtures("small_parts")
def test_weights_that_are_passed_in_are_not_cut(runs: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "INLINE_LIMIT", 0)  # as if they were too large for a model
    made = network("MLP", {})
    x = np.random.default_rng(0).random((6, 2), np.float32)
    found = BoundNetwork(made, seed=1, device=Device("cpu", 1))(x)
    assert runs == [[1] * 6]
    monkeypatch.undo()
    np.testing.assert_allclose(found, BoundNetwork(made, seed=1)(x), rtol=1e-6)


MIXED = {
    "a mean over the rows": "return x - mean(x, axis = 0)",
    "the other rows": "return x @ transpose(x, perm = (1, 0))",
    "one number": "return mean(x)",
    "the rows last": "return transpose(x, perm = (1, 0))",
    "sums so far": "return cumsum(x, axis = 0)",
}


@pytest.mark.parametrize("body", MIXED.values(), ids=MIXED)
def test_rows_that_are_not_independent_stay_together(body: str) -> None:
    assert independent_rows(program(f"model M(x: f32[batch, 4]) {{ {body} }}").network().graph()) is None


def test_two_batches_stay_together() -> None:
    text = "model M(x: f32[a, 4], y: f32[b, 4]) -> f32[a, b] { return x @ transpose(y, perm = (1, 0)) }"
    assert independent_rows(program(text).network().graph()) is None


def test_graphs_of_nodes_stay_together() -> None:
    assert independent_rows(network("GCN", {"features": 5, "classes": 3}).graph()) is None


@pytest.mark.parametrize(
    ("rows", "threads", "expected"),
    [
        (0, 2, [0]),
        (1, 2, [1]),
        (3, 1, [3]),  # which fit
        (8, 1, [4, 4]),
        (9, 1, [3, 3, 3]),
        (9, 2, [2, 2, 2, 3]),  # as many for each thread
        (5, 8, [1, 1, 1, 1, 1]),
    ],
)
def test_parts_fit_the_cache(rows: int, threads: int, expected: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    graph = program("model M(x: f32[batch, 10]) -> f32[batch, 10] { return relu(x) }").network().graph()
    monkeypatch.setattr(parts, "CACHE_BYTES", 4 * 2 * 10 * 4)  # four rows, of 10 numbers read and 10 written
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    assert [part.rows for part in InferenceWork(graph, "batch").parts({"batch": rows}, threads)] == expected


def test_parts_are_worth_reading_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "model M(x: f32[batch, 10]) -> f32[batch, 10] { return linear(10, bias = false)(x) }"
    graph = program(f"use std.layers: linear\n{text}").network().graph()
    monkeypatch.setattr(parts, "CACHE_BYTES", 1)
    monkeypatch.setattr(parts, "PART_BYTES", 1)
    work = InferenceWork(graph, "batch")  # weights of 400 bytes, rows of 80
    assert {part.rows for part in work.parts({"batch": 320}, 1)} == {parts.WEIGHT_SHARE * 5}


@pytest.mark.usefixtures("small_parts")
def test_results_that_are_held_are_not_written_over() -> None:
    columns = LARGE  # so that each row of a result is large
    net = BoundNetwork(program(f"model M(x: f32[batch, {columns}]) {{ return x + 1.0 }}").network())
    x = np.zeros((2, columns), np.float32)
    first = net(x)
    view = net(x + 1)[1, :5]
    second = net(x + 2)
    assert first.min() == first.max() == 1 and second.min() == second.max() == 3
    np.testing.assert_array_equal(view, np.full(5, 2, np.float32))


@pytest.mark.usefixtures("small_parts")
def test_several_python_threads_may_call() -> None:
    made = network("MLP", {})
    net = BoundNetwork(made, seed=1, device=Device("cpu", 2))
    batches = [np.random.default_rng(seed).random((3 + seed, 2), np.float32) for seed in range(8)]
    expected = [net(x) for x in batches]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found, wanted in zip(pool.map(net, batches), expected, strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_memory_comes_back_when_nobody_holds_it() -> None:
    memory, shape, dtype = ResultMemory(), (2, LARGE), np.dtype(np.float32)
    first = memory.array(shape, dtype)
    address, view = first.ctypes.data, first[1]
    assert address % LINE == 0
    del first
    assert memory.array(shape, dtype).ctypes.data != address  # the view holds it
    del view
    assert address in {memory.array(shape, dtype).ctypes.data, memory.array(shape, dtype).ctypes.data}


def test_memory_of_another_size_is_not_taken() -> None:
    memory, dtype = ResultMemory(), np.dtype(np.float32)
    small, large = memory.array((LARGE,), dtype), memory.array((4 * LARGE,), dtype)
    del large, small  # the small one comes back last
    assert [block.nbytes for block in memory._free] == [16 * LARGE, 4 * LARGE]
    again = memory.array((4 * LARGE,), dtype)
    again[...] = 1.0
    assert not memory._free and again.nbytes == 16 * LARGE


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 5), (7, 3)])
@pytest.mark.parametrize("dtype", ["f4", "i8", "?"])
def test_arrays_begin_at_a_cache_line(shape: tuple[int, ...], dtype: str) -> None:
    array = aligned(shape, np.dtype(dtype))
    assert array.shape == shape and array.dtype == dtype and not array.any()
    assert array.ctypes.data % LINE == 0 or array.size == 0


def test_a_task_that_fails_is_told_when_the_others_are_done() -> None:
    done: list[int] = []

    def fail() -> None:
        raise ValueError("of a part")

    with pytest.raises(ValueError, match="of a part"):
        Workers(2).share([fail, *(partial(done.append, index) for index in range(6))])
    assert sorted(done) == list(range(6))
