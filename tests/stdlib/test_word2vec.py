"""`SkipGram` and `CBOW` against PyTorch for the same drawn words; how words are drawn; what is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from torch import Tensor
from torch.nn import functional

from netlang.diagnostics import DiagnosticError

from .harness import (
    CHECKED,
    Arrays,
    Parameters,
    Runner,
    assert_gradients_match_differences,
    assert_near,
    library,
    program,
    run_inputs,
    torch_parameters,
    variables,
)
from .model_checks import assert_gradients_match_pytorch, random_numbers, results, tensors, trained

VOCAB, NEGATIVES = 13, 4
TABLES = {"SkipGram": "contexts", "CBOW": "targets"}
DATA: dict[str, Arrays] = {
    "SkipGram": {"word": np.array([0, 3, 12, 3, 7]), "near": np.array([2, 1, 0, 0, 9])},
    "CBOW": {
        "around": np.array([[0, 3], [12, 3], [7, 7], [1, 1], [5, 0]]),
        "word": np.array([2, 1, 0, 0, 9]),
    },
}


def network_of(model: str, **settings: Any) -> Network:
    return library("std.models.word2vec").network(
        model, {"vocab": VOCAB, "d": 6, "negatives": NEGATIVES, "power": 0.6, **settings}
    )


def weights(network: Network) -> Arrays:
    """Numbers instead of the zeros that one of the tables begins with."""
    rng = np.random.default_rng(3)
    return {name: rng.standard_normal(array.shape).astype(np.float32) for name, array in variables(network).items()}


def vector(model: str, p: Parameters, data: dict[str, Tensor]) -> Tensor:
    words = p["words.weight"]
    return words[data["word"]] if model == "SkipGram" else words[data["around"]].mean(1)


def drawn(uniform: np.ndarray, vocab: int, power: float) -> np.ndarray:
    """Where a uniform number falls among the frequencies 1 / x ** power from 1 to vocab + 1, whose integral it is."""
    edges = np.arange(1, vocab + 2, dtype=np.float64)
    cumulative = (edges ** (1 - power) - 1) / ((vocab + 1) ** (1 - power) - 1)
    return np.searchsorted(cumulative, uniform, side="right") - 1


@pytest.mark.parametrize("model", TABLES)
def test_forward_agrees_with_pytorch(model: str) -> None:
    network, data = network_of(model), DATA[model]
    values = weights(network)
    (found,) = results(network, values, data)
    assert_near(found, vector(model, torch_parameters(network, values, training=False), tensors(data)), 1e-6)


@pytest.mark.parametrize("model", TABLES)
def test_gradients_agree_with_pytorch(model: str) -> None:
    network, data = network_of(model), DATA[model]
    (uniform,) = random_numbers(network, data)
    far = torch.tensor(drawn(uniform, VOCAB, 0.6))
    answer = torch.tensor(data["near" if model == "SkipGram" else "word"])
    counts = (far != answer[:, None]).float()
    assert far.shape == (5, NEGATIVES)
    assert counts.min() == 0, "a word is drawn for itself, so that leaving it out is tested"

    def loss(p: Parameters, **given: Tensor) -> Tensor:
        v, table = vector(model, p, given), p[f"{TABLES[model]}.weight"]
        right = functional.logsigmoid((v * table[answer]).sum(-1))
        wrong = functional.logsigmoid(-torch.einsum("bd,bkd->bk", v, table[far]))
        return -(right + (wrong * counts).sum(-1)).mean()

    assert_gradients_match_pytorch(network, weights(network), data, loss)


@pytest.mark.parametrize("model", TABLES)
def test_gradients_agree_with_differences(model: str) -> None:
    network = network_of(model)
    assert_gradients_match_differences(network, weights(network), DATA[model])


def test_node2vec_is_skip_gram_where_all_nodes_are_as_frequent() -> None:
    words = network_of("SkipGram", power=0)
    nodes = library("std.models.word2vec").network("Node2Vec", {"vocab": VOCAB, "d": 6, "negatives": NEGATIVES})
    values, given = weights(words), DATA["SkipGram"]
    found = Runner(words.gradient_graph(**CHECKED))({**run_inputs(), **values, **given})
    moved = {f"walks.{name}": array for name, array in values.items()}
    walked = {"node": given["word"], "near": given["near"]}
    again = Runner(nodes.gradient_graph(**CHECKED))({**run_inputs(), **moved, **walked})
    np.testing.assert_array_equal(found["loss"], again["loss"])
    for name in values:
        np.testing.assert_array_equal(found[f"grad.{name}"], again[f"grad.walks.{name}"])


@pytest.mark.parametrize("power", [0.75, 0.0])
def test_words_are_drawn_by_their_frequencies(power: float) -> None:
    text = f"""
    use std.models.word2vec: drawn_words
    model Draws(near: i64[20000]) -> i64[20000, 5] {{ return drawn_words(near, 5, 50, {power}) }}
    """
    near = np.zeros(20_000, np.int64)
    found = Runner(program(text).network().graph(**CHECKED))({**run_inputs(), "near": near})["output"]
    share = np.bincount(found.ravel(), minlength=50) / found.size
    edges = np.arange(1, 52) ** (1 - power)
    expected = np.diff(edges) / (edges[-1] - edges[0])
    assert len(share) == 50
    assert (np.abs(share - expected) < 5 * np.sqrt(expected / found.size)).all()


def test_the_law_of_the_draws_must_have_an_end() -> None:
    with pytest.raises(DiagnosticError) as raised:
        network_of("SkipGram", power=1.0).gradient_graph()
    assert "words can be drawn by a power below 1" in str(raised.value)


def topics(rows: int) -> np.ndarray:
    """Pairs of words of one topic: even ones stand near even ones, odd ones near odd ones."""
    rng = np.random.default_rng(0)
    return 2 * rng.integers(0, 10, (rows, 3)) + rng.integers(0, 2, (rows, 1))


@pytest.mark.parametrize("model", TABLES)
def test_words_of_a_topic_come_to_lie_together(model: str) -> None:
    network = network_of(model, vocab=20, d=8, power=0, lr=0.05)
    first, second, third = topics(1024).T
    near = {"word": first, "near": second} if model == "SkipGram" else {"around": np.stack([first, second], 1)}
    found, losses = trained(network, near if model == "SkipGram" else {**near, "word": third}, steps=150, batch=128)
    assert losses[0] == pytest.approx((NEGATIVES * 0.95 + 1) * np.log(2), rel=0.05)
    assert np.mean(losses[-10:]) < 0.9 * losses[0]
    words = np.arange(20)
    similar = found.similar(words)
    np.testing.assert_array_equal(similar[:, 0], words)
    assert (similar % 2 == words[:, None] % 2).mean() > 0.95
