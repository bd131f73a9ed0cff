"""Walks along the edges of a graph, against the probabilities of Grover & Leskovec 2016."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from netlang.runtime.data import open_data
from netlang.runtime.data.walks import LENGTH, WALKS, Bias, Graph, WalkTable

from netlang.diagnostics import DiagnosticError

EDGES = np.array([[0, 1], [0, 2], [1, 2], [1, 3], [3, 4], [1, 4], [4, 5]])
NODES = 6


def likelihoods(bias: Bias) -> np.ndarray:
    """Of going on to x after the nodes t and v: [t, v, x], by the definition."""
    joined = np.zeros((NODES, NODES), bool)
    joined[EDGES[:, 0], EDGES[:, 1]] = joined[EDGES[:, 1], EDGES[:, 0]] = True
    found = np.zeros((NODES, NODES, NODES))
    for t, v, x in np.ndindex(*found.shape):
        if joined[t, v] and joined[v, x]:
            found[t, v, x] = 1 / bias.p if x == t else 1 if joined[t, x] else 1 / bias.q
    return found / np.maximum(found.sum(-1, keepdims=True), 1e-30)


@pytest.mark.parametrize("bias", [Bias(), Bias(0.5, 3.0), Bias(4.0, 0.25)])
def test_walks_go_on_as_often_as_they_should(bias: Bias) -> None:
    walks = Graph(EDGES, NODES).walks(1000, bias, np.random.default_rng(0))
    assert walks.shape == (1000 * NODES, LENGTH)
    counts = np.zeros((NODES, NODES, NODES))
    np.add.at(counts, (walks[:, :-2], walks[:, 1:-1], walks[:, 2:]), 1)
    expected, total = likelihoods(bias), counts.sum(-1, keepdims=True)
    assert (counts[expected == 0] == 0).all(), "a walk leaves the edges"
    np.testing.assert_allclose(counts / np.maximum(total, 1), expected, atol=0.02)


def test_a_walk_starts_at_every_node() -> None:
    walks = Graph(EDGES, NODES).walks(2, Bias(), np.random.default_rng(0))
    assert walks[:, 0].tolist() == [*range(NODES), *range(NODES)]


def test_pairs_are_on_one_walk_and_within_the_window() -> None:
    walks = np.arange(5 * 20).reshape(5, 20)  # each node is its place
    table = WalkTable(walks, window=4, nodes=100)
    for rows in (table.sequence(), table.shuffled(0, 0, 8), table.shuffled(0, 1, 8)):
        taken = table.take(rows)
        assert sorted(taken["node"].tolist()) == list(range(100))
        distance = np.abs(taken["node"] - taken["near"])
        assert set(distance.tolist()) == {1, 2, 3, 4}
        np.testing.assert_array_equal(taken["node"] // 20, taken["near"] // 20)
    np.testing.assert_array_equal(table.shuffled(3, 1, 8), table.shuffled(3, 1, 8))


def test_nearer_ones_are_drawn_more_often() -> None:
    table = WalkTable(np.arange(3000).reshape(100, 30), window=4, nodes=3000)
    taken = table.take(table.shuffled(0, 0, 8))
    counts = np.bincount(np.abs(taken["node"] - taken["near"]), minlength=5)[1:]
    assert (np.diff(counts) < 0).all()


def test_nodes_are_numbered_by_their_edges(tmp_path: Path) -> None:
    file = tmp_path / "toy.edgelist"
    file.write_text("# a comment\nann bob\nbob\tcy\n\nbob,ann\nbob dan\n")
    data = open_data(f"walks:{file},p=2,q=0.5", length=2)
    assert data.vocabularies["node"].tokens == ("bob", "cy", "ann", "dan")
    assert data.settings == {"vocab": 4}
    assert data.rows() == {"train": 4 * WALKS * LENGTH, "validation": 4 * LENGTH}
    assert data.notes == ("one graph of 4 nodes and 3 edges; 10 walks from each node",)
    again = open_data(f"walks:{file}", vocabularies=data.vocabularies)
    assert again.vocabularies == data.vocabularies


@pytest.mark.parametrize(
    ("text", "behind", "code", "words"),
    [
        ("", "", "bad-data", "has no edges"),
        ("1 2\n1 2 0.5\n", "", "bad-data", "line 2"),
        ("1\n", "", "bad-data", "line 1"),
        ("a:b c\n", "", "bad-data", "line 1"),
        ("1 2\n", ",p=0", "bad-value", "`p` cannot be `0`"),
        ("1 2\n", ",q=nan", "bad-value", "`q` cannot be `nan`"),
        ("1 2\n", ",r=1", "bad-value", "no setting `r`"),
        ("1 2\n", ".txt", "unreadable-file", "there is no file"),
    ],
)
def test_files_that_are_no_graph(tmp_path: Path, text: str, behind: str, code: str, words: str) -> None:
    file = tmp_path / "toy.edgelist"
    file.write_text(text)
    with pytest.raises(DiagnosticError) as caught:
        open_data(f"walks:{file}{behind}")
    (fault,) = caught.value.diagnostics
    assert (fault.code, words in fault.title) == (code, True), fault.title


def test_another_graph_must_have_the_nodes_of_the_training(tmp_path: Path) -> None:
    first, other = tmp_path / "first.edgelist", tmp_path / "other.edgelist"
    first.write_text("1 2\n2 3\n")
    known = open_data(f"walks:{first}").vocabularies
    for text, words in (("1 2\n2 9\n", "`9`"), ("1 2\n", "no edges for 1")):
        other.write_text(text)
        with pytest.raises(DiagnosticError, match=words):
            open_data(f"walks:{other}", vocabularies=known)
    with pytest.raises(DiagnosticError, match="steps apart"):
        open_data(f"walks:{first}", length=40)
