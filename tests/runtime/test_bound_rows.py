"""Batches whose rows are bound together by sums, such as those of batch normalisation, in parts that wait."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from netlang.compiler import Network, load_program
from netlang.compiler.barriers import cut_at_barriers
from netlang.runtime.bound_rows import BoundRows
from netlang.runtime.flat_engine import FlatEngine
from netlang.runtime.loader import load
from netlang.runtime.memory import aligned
from netlang.runtime.parts import Work, bound_parts
from netlang.runtime.session import Device
from netlang.runtime.whole_engine import WholeEngine

from netlang.diagnostics import DiagnosticError
from netlang.source import Source

HEAD = "use std.layers: linear, dropout, batch_norm, conv2d, embedding, global_avg_pool\n"


def network(body: str, x: str = "f32[b, 6]", loss: str = "mse(forward(x), y)", more: str = "") -> Network:
    model = f"model M()(x: {x}) -> f32[b, 2] {{\n  return {body}\n}}\n"
    train = f"train M {{\n  in y: f32[b, 2]\n  minimize {loss}\n  optimizer adam(0.01)\n{more}}}\n"
    return load_program(Source("test.net", f"{HEAD}\n{model}\n{train}"), load).network()


NORMALISED = "x |> linear(8, bias = false) |> batch_norm() |> tanh |> linear(2)"
IMAGES = """x |> conv2d(4, 3, pad = 1, bias = false) |> batch_norm() |> tanh
    |> residual(conv2d(4, 3, pad = 1, bias = false) >> batch_norm() >> tanh >> conv2d(4, 3, pad = 1, bias = false)
      >> batch_norm()) |> tanh
    |> conv2d(6, 3, stride = 2, pad = 1, bias = false) |> batch_norm() |> tanh |> global_avg_pool |> linear(2)"""

BOUND: dict[str, Callable[[], Network]] = {
    "batch norm": lambda: network(NORMALISED),
    "images": lambda: network(IMAGES, "f32[b, 3, 8, 8]"),
    "dropout": lambda: network("x |> linear(32, bias = false) |> batch_norm() |> dropout(0.5) |> linear(2)"),
    "clipped": lambda: network(NORMALISED, more="  clip 0.1\n"),
    "root of a mean": lambda: network("x |> linear(8) |> tanh |> linear(2)", loss="sqrt(mse(forward(x), y))"),
    "a sum": lambda: network("x |> linear(8) |> tanh |> linear(2)", loss="mse(forward(x), y, reduce = sum)"),
    "centred": lambda: network("x |> linear(8) |> tanh |> linear(2)", loss="mse(forward(x) - mean(y), y)"),
    "weighted": lambda: network(
        "x |> linear(8) |> tanh |> linear(2)", loss="sum(y * y * (forward(x) - y) * (forward(x) - y)) / sum(y * y)"
    ),
    "reported": lambda: network(NORMALISED, more="  report first = mean(y), largest = sqrt(mean(y * y))\n"),
}


def batch(rows: int, seed: int, *shape: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"x": rng.standard_normal((rows, *shape), np.float32), "y": rng.standard_normal((rows, 2), np.float32)}


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Makes small batches worth barriers, and parts that have so many bytes."""

    def set_sizes(cache: int, segment: int = 1) -> None:
        monkeypatch.setattr("netlang.runtime.parts.CACHE_BYTES", cache)
        monkeypatch.setattr("netlang.runtime.parts.SEGMENT_BYTES", segment)
        monkeypatch.setattr("netlang.runtime.parts.GRADIENT_SHARE", 1)

    return set_sizes


@pytest.mark.parametrize(("name", "threads"), [*((name, 2) for name in BOUND), ("images", 3)])
def test_parts_give_what_the_whole_batch_gives(name: str, threads: int, parts: Any) -> None:
    parts(2000)
    flat, whole = FlatEngine(BOUND[name](), Device("cpu", threads)), WholeEngine(BOUND[name](), Device("cpu", 1))
    shape = (3, 8, 8) if name == "images" else (6,)
    for step, rows in enumerate((24, 24, 7)):
        ours, theirs = flat.step(batch(rows, step, *shape)), whole.step(batch(rows, step, *shape))
        assert ours == pytest.approx(theirs, rel=1e-5)
        assert isinstance(flat._step.gradient, BoundRows), "the batch was not cut"
    expected, found = whole.variables(), flat.variables()
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=2e-4, atol=2e-6, err_msg=key)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_rows(rows: int, parts: Any) -> None:
    parts(1)
    flat, whole = FlatEngine(BOUND["images"](), Device("cpu", 2)), WholeEngine(BOUND["images"](), Device("cpu", 1))
    data = batch(rows, 0, 3, 8, 8)
    assert flat.step(data) == pytest.approx(whole.step(data), rel=1e-5)
    assert flat._step.gradient.parts == (1 if rows == 1 else 2)


@pytest.mark.parametrize(
    ("rows", "expected"), [(24, [4] * 6), (32, [4] * 8), (28, [7] * 4), (25, [4, 4, 4, 4, 4, 5]), (2, [1, 1]), (1, [1])]
)
def test_parts_fit_the_cache_and_are_equal_where_they_can_be(
    rows: int, expected: list[int], parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts(0)
    monkeypatch.setattr(Work, "cached_rows", lambda work: 5)
    made = BOUND["batch norm"]()
    cut = cut_at_barriers(made.gradient_graph(), "b", rows)
    found = bound_parts(Work(made.loss_graph, "b", {"b": rows}, gradient_bytes=1), cut, threads=2)
    assert sorted(part.rows for part in found) == expected
    assert [part.start for part in found] == [0, *(part.end for part in found[:-1])]


def test_large_gradients_are_not_kept_for_many_threads(parts: Any) -> None:
    parts(0)
    made = BOUND["batch norm"]()
    cut = cut_at_barriers(made.gradient_graph(), "b", 64)
    work = Work(made.loss_graph, "b", {"b": 64}, gradient_bytes=1 << 27)
    assert [len(bound_parts(work, cut, threads)) for threads in (2, 4)] == [2, 1]


def test_what_parts_hand_on_stays_in_memory(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody but the bindings holds it, and before version 1.30 ONNX Runtime's own held addresses alone."""
    for way in ("bind_ortvalue_input", "bind_ortvalue_output"):
        monkeypatch.setattr(
            ort.IOBinding, way, lambda self, name, value, way=way: getattr(self._iobinding, way)(name, value._ortvalue)
        )
    made: list[weakref.ref[Any]] = []

    def recorded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        array = aligned(shape, dtype)
        made.append(weakref.ref(array.base))
        return array

    monkeypatch.setattr("netlang.runtime.bound_rows.aligned", recorded)
    parts(2000)
    engine = FlatEngine(BOUND["batch norm"](), Device("cpu", 2))
    step = engine._step_for({"b": 24})
    gc.collect()
    assert isinstance(step.gradient, BoundRows)
    assert made and all(memory() is not None for memory in made)


def test_the_same_parts_give_the_same_bits(parts: Any) -> None:
    parts(2000)
    first, second = (FlatEngine(BOUND["dropout"](), Device("cpu", 2)) for _ in range(2))
    for step in range(3):
        assert first.step(batch(16, step, 6)) == second.step(batch(16, step, 6))
    for name, array in first.variables().items():
        np.testing.assert_array_equal(array, second.variables()[name], err_msg=name)


def test_a_whole_batch_after_parts_finds_its_own_gradients(parts: Any) -> None:
    """Vectors of gradients are shared by all shapes of batches; what parts left in them must not count."""
    parts(2000)
    flat, whole = FlatEngine(BOUND["batch norm"](), Device("cpu", 2)), WholeEngine(BOUND["batch norm"](), Device())
    for step, rows in enumerate((24, 1, 24, 1)):
        assert flat.step(batch(rows, step, 6)) == pytest.approx(whole.step(batch(rows, step, 6)), rel=1e-5)


def test_little_work_stays_whole(parts: Any) -> None:
    parts(1 << 20, 1 << 20)
    engine = FlatEngine(BOUND["batch norm"](), Device("cpu", 2))
    engine.step(batch(24, 0, 6))
    assert engine._step.gradient.parts == 1


def test_one_thread_keeps_the_batch_whole(parts: Any) -> None:
    parts(2000)
    engine = FlatEngine(BOUND["batch norm"](), Device("cpu", 1))
    engine.step(batch(24, 0, 6))
    assert engine._step.gradient.parts == 1


def test_a_fault_in_one_part_ends_all(parts: Any) -> None:
    """The fault is told once, with its line, and the next step finds nothing broken."""
    parts(2000)
    body = "(2 * x) |> embedding(5, 8) |> batch_norm() |> linear(2)"
    engine = FlatEngine(network(body, "i64[b]"), Device("cpu", 2))
    good = {"x": np.arange(24) % 3, "y": np.ones((24, 2), np.float32)}
    engine.step(good)
    assert isinstance(engine._step.gradient, BoundRows)
    for place in (0, 23):
        bad = good["x"].copy()
        bad[place] = 4
        with pytest.raises(DiagnosticError) as caught:
            engine.step({**good, "x": bad})
        (diagnostic,) = caught.value.diagnostics
        assert diagnostic.code == "index-out-of-range"
        assert "8" in diagnostic.title
        assert diagnostic.primary is not None
        assert "embedding" in diagnostic.primary.text
    engine.step(good)


def test_steps_of_several_threads_take_turns(parts: Any) -> None:
    parts(2000)
    engines = [FlatEngine(BOUND["images"](), Device("cpu", 2)) for _ in range(2)]
    given = batch(64, 0, 3, 8, 8)
    for _ in range(40):
        engines[0].step(given)

    def work() -> None:
        for _ in range(10):
            engines[1].step(given)

    threads = [Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert engines[1].step_count == 40
    for name, value in engines[0].variables().items():
        np.testing.assert_array_equal(engines[1].variables()[name], value)
