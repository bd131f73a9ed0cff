"""Whole graphs as data, and pairs of words near each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from netlang.runtime.data import open_data
from netlang.runtime.data.neighbours import ContextTable, NeighbourTable

from netlang.diagnostics import Diagnostic, DiagnosticError


def refused(call: Callable[[], object]) -> Diagnostic:
    with pytest.raises(DiagnosticError) as caught:
        call()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


GRAPH: dict[str, Any] = {
    "shape": np.array([4, 3]),
    "x_row": np.array([0, 0, 1, 3]),
    "x_col": np.array([0, 2, 1, 1]),
    "edges": np.array([[0, 1], [1, 0], [1, 2], [2, 2]]),
    "y": np.array([0, 1, 2, 1], np.int8),
    "train": np.array([0, 1]),
    "val": np.array([2]),
    "test": np.array([3]),
}


def save(folder: Path, **changes: Any) -> str:
    """Writes the graph with changes, None for what is left out; the source that names it."""
    arrays = {name: array for name, array in {**GRAPH, **changes}.items() if array is not None}
    np.savez(folder / "toy.npz", **arrays)
    return f"planetoid:{folder}"


def test_a_graph_is_one_row_with_the_labels_of_its_split(tmp_path: Path) -> None:
    data = open_data(save(tmp_path))
    assert data.settings == {"features": 3, "classes": 3}
    assert data.notes == ("one graph of 4 nodes and 2 edges; nodes with a label: 2 train, 1 validation, 1 test",)
    taken = {name: table.take(table.sequence()) for name, table in data.splits.items()}
    assert {name: arrays["label"].tolist() for name, arrays in taken.items()} == {
        "train": [0, 1, -1, -1],
        "validation": [-1, -1, 2, -1],
        "test": [-1, -1, -1, 1],
    }
    x = [[0.5, 0, 0.5], [0, 1, 0], [0, 0, 0], [0, 1, 0]]  # rows divided by their sums
    np.testing.assert_array_equal(taken["train"]["x"], np.array(x, np.float32))
    assert taken["train"]["edges"].tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]


def test_features_may_be_a_plain_table(tmp_path: Path) -> None:
    x = np.array([[1.0, 3.0], [0.0, 0.0], [2.0, 2.0], [1.0, 0.0]])
    data = open_data(save(tmp_path, x=x, shape=None, x_row=None, x_col=None))
    found = data.splits["train"].take(np.arange(1))["x"]
    np.testing.assert_array_equal(found, np.array([[0.25, 0.75], [0, 0], [0.5, 0.5], [1, 0]], np.float32))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edges": np.array([[0, 4]])}, "`edges` does not name nodes"),
        ({"edges": np.array([[0, -1]])}, "`edges` does not name nodes"),
        ({"edges": np.array([[0, 1, 2]])}, "`edges` does not name nodes"),
        ({"edges": np.array([[0.0, 1.0]])}, "`edges` holds no whole numbers"),
        ({"y": np.array([0, 1, 2])}, "`y` is no class for each node"),
        ({"y": np.array([0, 1, 2, -1])}, "`y` is no class for each node"),
        ({"y": np.array([0, 1, 2, 10**9])}, "`y` is no class for each node"),
        ({"train": np.array([], np.int64)}, "there is no array `train`"),
        ({"train": None}, "there is no array `train`"),
        ({"test": np.array([9])}, "`test` does not name nodes"),
        ({"shape": np.array([10**6, 10**6])}, "`shape` is no size of `x`"),
        ({"shape": np.array([4, 0])}, "`shape` is no size of `x`"),
        ({"x_col": np.array([0, 2, 1, 3])}, "`x_col` does not say where ones are"),
        ({"x_row": np.array([0])}, "does not say where ones are"),
        ({"x": np.arange(4.0)}, "`x` is no table"),
    ],
)
def test_arrays_that_are_no_graph(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    fault = refused(lambda: open_data(save(tmp_path, **changes)))
    assert fault.code == "bad-data"
    assert words in fault.title


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    (tmp_path / "ind.cora.graph").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    for spec in (f"planetoid:{tmp_path}", str(tmp_path)):
        fault = refused(lambda spec=spec: open_data(spec))
        assert (fault.code, "never opened" in fault.title) == ("bad-data", True)
    assert refused(lambda: open_data(f"planetoid:{tmp_path / 'ind.cora.graph'}")).code in ("bad-data", "truncated-data")


def test_neighbours_stand_within_the_window() -> None:
    words = np.arange(2000)  # each word is its place, and rare
    table = NeighbourTable(words, window=3, classes=2000)
    rows = table.sequence()
    assert len(np.unique(rows)) == 1994
    taken = table.take(rows)
    distance = taken["near"] - taken["word"]
    assert set(distance.tolist()) == {-3, -2, -1, 1, 2, 3}
    for epoch in range(5):
        drawn = table.take(table.shuffled(0, epoch, 8))
        distance = np.abs(drawn["near"] - drawn["word"])
        assert set(distance.tolist()) == {1, 2, 3}
        # a neighbour at distance d is within reach with probability (4 - d) / 3
        counts = np.bincount(distance)[1:]
        assert counts[0] > counts[1] > counts[2]


def test_frequent_words_are_left_out_more_often() -> None:
    random = np.random.default_rng(1)
    words = np.where(random.random(60_000) < 0.5, 0, random.integers(1, 5000, 60_000))
    table = NeighbourTable(words, window=2, classes=5000)
    drawn = table.take(table.shuffled(0, 0, 8))["word"]
    kept = np.sqrt(1e-3 / 0.5)  # Mikolov et al. 2013: a word of frequency f stays with probability sqrt(t / f)
    assert (drawn == 0).mean() == pytest.approx(kept / (kept + 1), rel=0.15)


@pytest.mark.parametrize("table", [NeighbourTable, ContextTable])
def test_an_epoch_has_always_the_same_number_of_rows(table: type[NeighbourTable | ContextTable]) -> None:
    for words in (np.zeros(50, int), np.arange(50), np.arange(50) % 3):
        made = table(words, window=2, classes=50)
        for epoch in range(9):
            rows = made.shuffled(0, epoch, 8)
            assert len(rows) == len(made.sequence()) == 46
            made.take(rows)  # all within the text
            np.testing.assert_array_equal(rows, made.shuffled(0, epoch, 8))


def test_contexts_are_the_words_around() -> None:
    table = ContextTable(np.arange(9), window=2, classes=9)
    taken = table.take(table.sequence())
    assert taken["word"].tolist() == [2, 3, 4, 5, 6]
    assert taken["around"][0].tolist() == [0, 1, 3, 4]
    assert taken["around"][4].tolist() == [4, 5, 7, 8]


def test_the_vocabulary_of_neighbours_has_words_alone(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("The cat, the dog. And the cat, he or she?\n" * 50)
    data = open_data(f"neighbours:{tmp_path / 't.txt'}", tokens="words:5:lower", length=2)
    assert data.vocabularies["word"].tokens == ("the", "cat", "and", "dog", "he")
    assert data.settings == {"vocab": 5}
    again = open_data(f"neighbours:{tmp_path / 't.txt'}", vocabularies=data.vocabularies)
    assert again.vocabularies == data.vocabularies
    assert refused(lambda: open_data(f"neighbours:{tmp_path / 't.txt'}", tokens="bpe:99")).code == "bad-value"
    (tmp_path / "t.txt").write_text("one two three")
    assert refused(lambda: open_data(f"neighbours:{tmp_path / 't.txt'}")).code == "bad-data"
