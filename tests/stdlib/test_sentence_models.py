"""`LSTM`, `GRU` and `SimpleRNN` against PyTorch's modules on packed sequences; each learns what came long before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from .cases import linear
from .harness import (
    Arrays,
    Parameters,
    assert_gradients_match_differences,
    assert_near,
    library,
    torch_parameters,
    variables,
)
from .model_checks import assert_gradients_match_pytorch, results, trained

KINDS = {"LSTM": ("lstm", torch.nn.LSTM), "GRU": ("gru", torch.nn.GRU), "SimpleRNN": ("simple_rnn", torch.nn.RNN)}
SMALL = {"vocab": 9, "d": 5, "n": 6, "classes": 3}
DATA: Arrays = {
    "tokens": np.array([[3, 8, 1, 2, 5], [4, 0, 0, 0, 0], [7, 7, 6, 0, 0], [1, 2, 3, 4, 0]]),
    "label": np.array([2, 0, 1, 1]),
}


def network_of(model: str, **settings: Any) -> Network:
    return library("std.models.recurrent").network(model, {**SMALL, "drop": 0.0, **settings})


def forward(model: str, p: Parameters, tokens: Tensor) -> Tensor:
    name, module = KINDS[model]
    x = functional.embedding(tokens, p["embedding.weight"])
    packed = pack_padded_sequence(x, (tokens != 0).sum(1), batch_first=True, enforce_sorted=False)
    weights = {f"{kind}_l0": p[f"{name}.{kind}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    _, last = torch.func.functional_call(module(SMALL["d"], SMALL["n"]), weights, (packed,))
    return linear(last[0][0] if model == "LSTM" else last[0], p)


@pytest.mark.parametrize("model", KINDS)
def test_forward_agrees_with_pytorch(model: str) -> None:
    network = network_of(model)
    values = variables(network)
    expected = forward(model, torch_parameters(network, values, training=False), torch.tensor(DATA["tokens"]))
    (found,) = results(network, values, {"tokens": DATA["tokens"]})
    assert_near(found, expected, 1e-5)


@pytest.mark.parametrize("model", KINDS)
def test_gradients_agree_with_pytorch(model: str) -> None:
    def loss(p: Parameters, tokens: Tensor, label: Tensor) -> Tensor:
        return functional.cross_entropy(forward(model, p, tokens), label)

    network = network_of(model)
    assert_gradients_match_pytorch(network, variables(network), DATA, loss)


@pytest.mark.parametrize("model", KINDS)
def test_gradients_agree_with_differences(model: str) -> None:
    network = network_of(model)
    assert_gradients_match_differences(network, variables(network), DATA)


def test_an_empty_row_is_classified_by_the_bias() -> None:
    network = network_of("GRU")
    values = variables(network)
    (found,) = results(network, values, {"tokens": np.array([[0, 0], [3, 0]])})
    assert_near(found[0], values["linear.bias"], 1e-6)
    assert np.abs(found[1] - found[0]).max() > 1e-3


def sentences(rows: int, longest: int = 9) -> Arrays:
    """Rows of three to `longest` words, of which the first says the class."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, SMALL["vocab"], (rows, longest))
    tokens[np.arange(longest) >= rng.integers(3, longest + 1, (rows, 1))] = 0
    return {"tokens": tokens, "label": tokens[:, 0] % SMALL["classes"]}


@pytest.mark.parametrize("model", KINDS)
def test_it_learns_to_remember(model: str) -> None:
    settings = {**SMALL, "d": 16, "n": 32, "lr": 0.01, "drop": 0.1}
    network = library("std.models.recurrent").network(model, settings)
    _, losses = trained(network, sentences(512), steps=150, batch=64)
    assert losses[0] == pytest.approx(np.log(3), rel=0.1)
    assert np.mean(losses[-10:]) < 0.6 * losses[0]
