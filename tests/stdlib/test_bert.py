"""BERT against PyTorch's own encoder layers with the same weights: both heads, both losses, and what is hidden."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from netlang.compiler.initializers import materialise
from torch import Tensor, nn
from torch.nn import functional

from .harness import (
    Arrays,
    Parameters,
    assert_gradients_match_differences,
    assert_near,
    library,
    torch_parameters,
    variables,
)
from .model_checks import (
    assert_gradients_match_pytorch,
    attention_weights,
    random_numbers,
    renamed,
    results,
    tensors,
    trained,
)

SMALL = {"vocab": 19, "d": 12, "layers": 2, "h": 3, "context": 16, "cls": 1, "sep": 2, "mask": 3}
PADDING, CLS, SEP, MASK = 0, 1, 2, 3


def network_of(**settings: Any) -> Network:
    return library("std.models.bert").network("BERT", {**SMALL, "drop": 0.0, **settings})


def batch(rows: int, t: int = 16, seed: int = 0) -> Arrays:
    """Two sentences in each row, of which the second counts on from the first, or does not; shorter rows padded."""
    rng = np.random.default_rng(seed)
    tokens, segments = np.zeros((rows, t), np.int64), np.zeros((rows, t), np.int64)
    random_next = rng.integers(0, 2, rows)
    for row in range(rows):
        first, second = rng.integers(2, 7, 2)
        start = rng.integers(15)
        jump = rng.integers(3, 12) * random_next[row]
        numbers = 4 + (start + np.arange(first + second) + np.where(np.arange(first + second) < first, 0, jump)) % 15
        line = [CLS, *numbers[:first], SEP, *numbers[first:], SEP][:t]
        tokens[row, : len(line)] = line
        segments[row, first + 2 : len(line)] = 1
    return {"tokens": tokens, "segments": segments, "random_next": random_next}


def encoded(p: Parameters, tokens: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
    scope, d = p.at("encoder"), SMALL["d"]
    x = functional.embedding(tokens, p["words.weight"]) + functional.embedding(segments, scope["sentences.weight"])
    x = x + scope["learned_positions.weight"][: tokens.shape[1]]
    x = functional.layer_norm(x, [d], scope["layer_norm.scale"], scope["layer_norm.shift"], 1e-12)
    for i in range(SMALL["layers"]):
        options: dict[str, Any] = {"dropout": 0.0, "batch_first": True, "activation": "gelu", "layer_norm_eps": 1e-12}
        layer, own = nn.TransformerEncoderLayer(d, SMALL["h"], 4 * d, **options), scope.at(f"bert_layer.{i}")
        names = {"dense.linear": "linear1", "dense_2.linear": "linear2", "layer_norm": "norm1", "layer_norm_2": "norm2"}
        weights = attention_weights(own.at("self_attention"), "self_attn") | renamed(own, names)
        hidden = {"src_key_padding_mask": tokens == PADDING}
        x = torch.func.functional_call(layer, weights, (x,), hidden, strict=True)
    pool = scope.at("pool.dense.linear")
    return x, functional.linear(x[:, 0], pool["weight"], pool["bias"]).tanh()


def guesses(p: Parameters, x: Tensor) -> Tensor:
    dense, norm = p.at("guess.dense.linear"), p.at("guess.layer_norm")
    y = functional.gelu(functional.linear(x, dense["weight"], dense["bias"]))
    y = functional.layer_norm(y, y.shape[-1:], norm["scale"], norm["shift"], 1e-12)
    return y @ p["words.weight"].T + p["guess.bias"]


def forward(p: Parameters, tokens: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
    x, whole = encoded(p, tokens, segments)
    return guesses(p, x), functional.linear(whole, p["follows.linear.weight"], p["follows.linear.bias"])


def hidden(data: Arrays, chance: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that are shown, and the words to guess, -100 elsewhere: as the paper has it, token by token."""
    shown, wanted = data["tokens"].copy(), np.full_like(data["tokens"], -100)
    for place, token in np.ndenumerate(data["tokens"]):
        if token in (PADDING, CLS, SEP) or chance[place] >= 0.15:
            continue
        wanted[place] = token
        if chance[place] < 0.8 * 0.15:
            shown[place] = MASK
        elif chance[place] < 0.9 * 0.15:
            shown[place] = math.floor(other[place] * SMALL["vocab"])
    return shown, wanted


def test_both_sizes_have_the_published_numbers_of_parameters() -> None:
    program = library("std.models.bert")
    assert program.network("BERTBase").parameter_count == 109_482_240
    assert program.network("BERT").parameter_count == 110_106_428
    assert program.network("BERTLarge").parameter_count == 335_141_888


def test_forward_agrees_with_pytorch() -> None:
    network = network_of()
    values, data = variables(network), batch(4)
    del data["random_next"]
    expected = forward(torch_parameters(network, values, training=False), **tensors(data))
    for found, theirs in zip(results(network, values, data), expected, strict=True):
        assert_near(found, theirs, 1e-5)


def test_the_encoder_agrees_with_pytorch() -> None:
    network = network_of()
    values, data = variables(network), batch(4)
    del data["random_next"]
    expected = encoded(torch_parameters(network, values, training=False), **tensors(data))
    for found, theirs in zip(results(network, values, data, "encode"), expected, strict=True):
        assert_near(found, theirs, 1e-5)


def test_gradients_of_both_losses_agree_with_pytorch() -> None:
    network, data = network_of(), batch(8)
    shown, wanted = map(torch.tensor, hidden(data, *random_numbers(network, data)))
    assert (wanted >= 0).sum() > 5

    def loss(p: Parameters, tokens: Tensor, segments: Tensor, random_next: Tensor) -> Tensor:
        x, whole = encoded(p, tokens, segments)
        sentences = functional.linear(whole, p["follows.linear.weight"], p["follows.linear.bias"])
        words = functional.cross_entropy(guesses(p, x).flatten(0, 1), wanted.flatten())
        return words + functional.cross_entropy(sentences, random_next)

    def loss_of_shown(p: Parameters, **data: Tensor) -> Tensor:
        return loss(p, **{**data, "tokens": shown})

    assert_gradients_match_pytorch(network, variables(network), data, loss_of_shown)


def test_gradients_agree_with_differences() -> None:
    network = network_of(layers=1)
    assert_gradients_match_differences(network, variables(network), batch(4), h=1e-6)


def test_one_token_in_seven_is_to_be_guessed() -> None:
    network = network_of(context=64)
    data = {**batch(1), "tokens": np.full((400, 64), 7), "segments": np.zeros((400, 64), np.int64)}
    data["random_next"] = np.zeros(400, np.int64)
    shown, wanted = hidden(data, *random_numbers(network, data))
    chosen = wanted >= 0
    assert chosen.mean() == pytest.approx(0.15, abs=0.01)
    assert (shown[chosen] == MASK).mean() == pytest.approx(0.8, abs=0.03)
    assert (shown[chosen] == 7).mean() == pytest.approx(0.1 + 0.1 / 19, abs=0.02)


def test_both_losses_fall() -> None:
    settings = {**SMALL, "d": 64, "h": 4, "layers": 1, "lr": 0.005, "warmup": 20}
    _, losses = trained(library("std.models.bert").network("BERT", settings), batch(512), steps=150, batch=64)
    assert abs(losses[0] - math.log(SMALL["vocab"]) - math.log(2)) < 0.5
    assert np.mean(losses[-10:]) < 0.75 * losses[0]


def test_a_batch_without_anything_to_guess_has_a_loss() -> None:
    data = {"tokens": np.array([[CLS, SEP, SEP]]), "segments": np.array([[0, 0, 1]]), "random_next": np.array([1])}
    _, (loss,) = trained(network_of(), data, steps=1)
    assert loss == pytest.approx(math.log(2), abs=0.1)


def test_weights_begin_as_in_the_paper() -> None:
    values = materialise(network_of(d=96, vocab=200).variables, seed=0)
    for name in ("words.weight", "encoder.bert_layer.1.self_attention.linear.weight", "guess.dense.linear.weight"):
        assert values[name].std() == pytest.approx(0.02, rel=0.15)
        assert np.abs(values[name]).max() <= 0.04
