"""Steps that change only the rows of tables that they have read, beside the whole step in one graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from netlang.compiler import Network, load_program
from netlang.runtime.flat_engine import FlatEngine
from netlang.runtime.job import open_network
from netlang.runtime.loader import load
from netlang.runtime.session import Device
from netlang.runtime.whole_engine import WholeEngine

from netlang.source import Source

TEXT = """
use std.layers: embedding, linear

model Pairs(vocab: int = 300)(word: i64[b], near: i64[b, 3]) -> f32[b, 2] {{
  let words = embedding(vocab, 8)
  let contexts = embedding(vocab, 8)
  return words(word) * mean(contexts(near), 1) + words(near[:, 0]) |> linear(2)
}}

train Pairs {{
  in y: f32[b, 2]
  minimize mse(forward(word, near), y)
  optimizer {optimizer}
  {more}
}}
"""

TABLES = {"words.weight", "contexts.weight"}


def network(optimizer: str, more: str = "") -> Network:
    return load_program(Source("test.net", TEXT.format(optimizer=optimizer, more=more)), load).network()


def batch(seed: int, rows: int = 24) -> dict[str, np.ndarray]:
    """Many words come several times."""
    rng = np.random.default_rng(seed)
    word, near = rng.integers(0, 40, rows), rng.integers(0, 40, (rows, 3))
    return {"word": word, "near": near, "y": rng.standard_normal((rows, 2), np.float32)}


def tables(engine: FlatEngine) -> set[str]:
    return {rows.table for rows in engine._step.gradient.touched}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("optimizer", ["sgd(0.5)", "sgd(cosine(0.5, warmup = 3))", "sgd(0.5, weight_decay = 0.0)"])
def test_rows_alone_give_what_the_whole_table_gives(optimizer: str, threads: int) -> None:
    flat = FlatEngine(network(optimizer), Device("cpu", threads), 0, 10)
    whole = WholeEngine(network(optimizer), Device("cpu", 1), 0, 10)
    for step in range(5):
        assert flat.step(batch(step))["loss"] == pytest.approx(whole.step(batch(step))["loss"], rel=1e-5)
    assert tables(flat) == TABLES
    assert flat._step.gradient.parts == threads
    for name, expected in whole.variables().items():
        np.testing.assert_allclose(flat.variables()[name], expected, rtol=1e-4, atol=1e-6, err_msg=name)


def test_rows_that_were_not_read_keep_their_bits() -> None:
    engine = FlatEngine(network("sgd(0.5)"), Device("cpu", 1))
    before = engine.variables()["words.weight"]
    given = batch(0)
    engine.step(given)
    changed = (engine.variables()["words.weight"] != before).any(axis=1)
    assert set(np.flatnonzero(changed)) == {*given["word"], *given["near"][:, 0]}


LARGE = 5000
"""Words, so many that their tables have gradients of their own."""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("optimizer", "more"),
    [("adam(0.1)", ""), ("sgd(0.1, momentum = 0.9)", ""), ("sgd(0.1)", "clip 0.1"), ("adamw(0.1)", "clip 0.1")],
)
def test_optimizers_that_need_the_whole_gradient_get_it(optimizer: str, more: str, threads: int) -> None:
    flat, whole = engines(optimizer, more, threads)
    for step in range(4):
        flat.step(batch(step, 24 if step != 2 else 16))
        whole.step(batch(step, 24 if step != 2 else 16))
    assert tables(flat) == TABLES
    assert flat._step.gradient.parts == threads
    assert all(not flat._sums.of(name).any() for name in TABLES), "0 between the steps"
    for name, expected in whole.variables().items():
        np.testing.assert_allclose(flat.variables()[name], expected, rtol=2e-4, atol=2e-6, err_msg=name)


def engines(optimizer: str, more: str, threads: int) -> tuple[FlatEngine, WholeEngine]:
    def large() -> Network:
        text = TEXT.replace("vocab: int = 300", f"vocab: int = {LARGE}")
        return load_program(Source("test.net", text.format(optimizer=optimizer, more=more)), load).network()

    return FlatEngine(large(), Device("cpu", threads), 0, 10), WholeEngine(large(), Device("cpu", 1), 0, 10)


TIED = """
use std.layers: embedding, linear

model Tied(vocab: int = 3000)(word: i64[b, 5]) -> f32[b, vocab] {{
  let words = embedding(vocab, 16)
  hidden = mean(words(word), 1) |> linear(16) |> tanh
  return hidden @ words.weight.T
}}

train Tied {{
  in y: i64[b]
  minimize cross_entropy(forward(word), y)
  optimizer {optimizer}
}}
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("optimizer", ["adam(0.01)", "sgd(0.5)"])
def test_rows_are_added_to_what_the_rest_of_the_network_gives_a_table(optimizer: str, threads: int) -> None:
    def tied() -> Network:
        return load_program(Source("test.net", TIED.format(optimizer=optimizer)), load).network()

    flat, whole = FlatEngine(tied(), Device("cpu", threads)), WholeEngine(tied(), Device("cpu", 1))
    rng = np.random.default_rng(0)
    for _ in range(4):
        given = {"word": rng.integers(0, 40, (24, 5)), "y": rng.integers(0, 3000, 24)}
        assert flat.step(given)["loss"] == pytest.approx(whole.step(given)["loss"], rel=1e-5)
    assert not tables(flat)
    assert any(output.name == "grad.words.weight.rows.0" for output in flat._step.gradient.program.graph.outputs)
    for name, expected in whole.variables().items():
        np.testing.assert_allclose(flat.variables()[name], expected, rtol=2e-4, atol=2e-6, err_msg=name)


def test_small_tables_have_gradients_like_all_else() -> None:
    engine = FlatEngine(network("adam(0.1)"), Device("cpu", 1))
    engine.step(batch(0))
    assert not tables(engine)


def test_a_step_that_is_cut_off_leaves_no_rows_behind() -> None:
    flat, whole = engines("sgd(0.1, momentum = 0.9)", "", 1)
    flat.step(batch(0)), whole.step(batch(0))
    passes = flat._step.optimizer

    def interrupted() -> None:
        raise KeyboardInterrupt

    flat._step.optimizer = replace(passes, apply=[[interrupted]])
    with pytest.raises(KeyboardInterrupt):
        flat.step(batch(1))
    flat._step.optimizer = passes
    assert flat._sums.of("words.weight").any()
    flat.step(batch(2)), whole.step(batch(2))
    for name, expected in whole.variables().items():
        np.testing.assert_allclose(flat.variables()[name], expected, rtol=2e-4, atol=2e-6, err_msg=name)


def test_a_large_batch_gives_whole_gradients() -> None:
    flat, whole = FlatEngine(network("sgd(0.5)"), Device("cpu", 1)), WholeEngine(network("sgd(0.5)"), Device("cpu", 1))
    for engine in (flat, whole):
        for step, rows in enumerate((250, 24, 250)):
            engine.step(batch(step, rows))
    assert tables(flat) == {"words.weight"}, "750 of 300 rows of the contexts"
    for name, expected in whole.variables().items():
        np.testing.assert_allclose(flat.variables()[name], expected, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("model", "given", "tables_of_words"),
    [
        ("SkipGram", {"word": (16,), "near": (16,)}, {"words.weight", "contexts.weight"}),
        ("CBOW", {"around": (16, 4), "word": (16,)}, {"words.weight", "targets.weight"}),
    ],
)
def test_word_vectors_by_descent(model: str, given: dict[str, tuple[int, ...]], tables_of_words: set[str]) -> None:
    settings = {"vocab": 500, "d": 8, "descent": True, "lr": 1.6}
    engines = [
        kind(open_network(f"std:{model}", None, settings), Device("cpu", 1), 0, 10)
        for kind in (FlatEngine, WholeEngine)
    ]
    rng = np.random.default_rng(0)
    for _ in range(4):
        words = {name: rng.integers(0, 60, shape) for name, shape in given.items()}
        ours, theirs = (engine.step(words) for engine in engines)
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    flat, whole = engines
    assert isinstance(flat, FlatEngine) and tables(flat) == tables_of_words
    for name, expected in whole.variables().items():
        np.testing.assert_allclose(flat.variables()[name], expected, rtol=1e-4, atol=1e-6, err_msg=name)
