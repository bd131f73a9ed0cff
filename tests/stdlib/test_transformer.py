"""`Transformer` against the layers of torch.nn, with the same weights; beam search against a search by hand."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from netlang.compiler.initializers import materialise
from torch import Tensor, nn
from torch.nn import functional

from .cases import sinusoidal
from .harness import (
    CHECKED,
    Arrays,
    Parameters,
    Runner,
    Scope,
    assert_gradients_match_differences,
    assert_near,
    library,
    torch_parameters,
    variables,
)
from .model_checks import (
    BEGIN,
    END,
    PADDING,
    assert_gradients_match_pytorch,
    attention_weights,
    copying_task,
    renamed,
    results,
    tensors,
    trained,
)

SMALL = {"vocab": 11, "d": 12, "layers": 2, "h": 3, "ff": 20}
SOURCE = np.array([[5, 3, 9, 2, 0], [7, 2, 0, 0, 0], [4, 4, 8, 10, 2]])
TARGET = np.array([[1, 6, 3, 2], [1, 9, 2, 0], [1, 8, 7, 2]])


def network_of(**settings: Any) -> Network:
    return library("std.models.transformer").network("Transformer", {**SMALL, "drop": 0.0, **settings})


def layer_weights(scope: Scope, i: int, attentions: dict[str, str]) -> dict[str, Tensor]:
    """Weights of one layer as nn.TransformerEncoderLayer and nn.TransformerDecoderLayer name them."""
    weights: dict[str, Tensor] = {}
    for ours, name in attentions.items():
        weights |= attention_weights(scope.at(f"{ours}.{i}"), name)
    names = {f"feed_forward.{i}.expand": "linear1", f"feed_forward.{i}.contract": "linear2"}
    for place in range(1, len(attentions) + 2):
        names[f"add_and_norm{f'_{place}' if place > 1 else ''}.{i}.layer_norm"] = f"norm{place}"
    return weights | renamed(scope, names)


def embedded(p: Parameters, words: Tensor) -> Tensor:
    return sinusoidal(functional.embedding(words, p["table.weight"]) * math.sqrt(SMALL["d"]), p)


def encoded(p: Parameters, source: Tensor) -> Tensor:
    x = embedded(p, source)
    for i in range(SMALL["layers"]):
        layer = nn.TransformerEncoderLayer(SMALL["d"], SMALL["h"], SMALL["ff"], dropout=0.0, batch_first=True)
        weights = layer_weights(p.at("encoder"), i, {"self_attention": "self_attn"})
        options = {"src_key_padding_mask": source == PADDING}
        x = torch.func.functional_call(layer, weights, (x,), options, strict=True)
    return x


def decoded(p: Parameters, target: Tensor, memory: Tensor, hidden: Tensor) -> Tensor:
    x = embedded(p, target)
    t = target.shape[1]
    for i in range(SMALL["layers"]):
        layer = nn.TransformerDecoderLayer(SMALL["d"], SMALL["h"], SMALL["ff"], dropout=0.0, batch_first=True)
        names = {"self_attention": "self_attn", "source_attention": "multihead_attn"}
        weights = layer_weights(p.at("decoder"), i, names)
        options = {"tgt_mask": torch.ones(t, t).triu(1).bool(), "memory_key_padding_mask": hidden}
        x = torch.func.functional_call(layer, weights, (x, memory), options, strict=True)
    return x


def forward(p: Parameters, source: Tensor, target: Tensor) -> Tensor:
    return decoded(p, target, encoded(p, source), source == PADDING) @ p["table.weight"].T


def loss(p: Parameters, source: Tensor, target: Tensor) -> Tensor:
    logits = forward(p, source, target[:, :-1]).flatten(0, 1)
    return functional.cross_entropy(logits, target[:, 1:].flatten(), label_smoothing=0.1, ignore_index=PADDING)


def test_the_base_model_has_the_published_size() -> None:
    assert library("std.models.transformer").network("Transformer").parameter_count == 63_082_496


def test_forward_agrees_with_pytorch() -> None:
    network = network_of()
    values = variables(network)
    data = {"source": SOURCE, "target": TARGET}
    expected = forward(torch_parameters(network, values, training=False), **tensors(data))
    (found,) = results(network, values, data)
    assert_near(found, expected, 1e-5)


def test_encoding_agrees_with_pytorch() -> None:
    network = network_of()
    values = variables(network)
    expected = encoded(torch_parameters(network, values, training=False), torch.tensor(SOURCE))
    (found,) = results(network, values, {"source": SOURCE}, "encode")
    assert_near(found[SOURCE != PADDING], expected[torch.tensor(SOURCE != PADDING)], 1e-5)


def test_gradients_agree_with_pytorch() -> None:
    network = network_of()
    assert_gradients_match_pytorch(network, variables(network), {"source": SOURCE, "target": TARGET}, loss)


def test_gradients_agree_with_differences() -> None:
    network = network_of(layers=1)
    assert_gradients_match_differences(network, variables(network), {"source": SOURCE, "target": TARGET}, h=1e-7)


def test_the_plain_loss_is_reported_beside_the_smoothed_one() -> None:
    network = network_of()
    values = variables(network)
    data = {"source": SOURCE, "target": TARGET}
    found = Runner(network.eval_graph(**CHECKED))({**values, **data})
    parameters = torch_parameters(network, values, training=False)
    logits = forward(parameters, torch.tensor(SOURCE), torch.tensor(TARGET[:, :-1])).flatten(0, 1)
    plain = functional.cross_entropy(logits, torch.tensor(TARGET[:, 1:]).flatten(), ignore_index=PADDING)
    assert_near(found["plain"], plain, 1e-5)
    assert_near(found["loss"], loss(parameters, **tensors(data)), 1e-5)


def test_padding_changes_nothing() -> None:
    network = network_of()
    values = variables(network)
    (short,) = results(network, values, {"source": SOURCE[:1, :4], "target": TARGET[:1]})
    (long,) = results(network, values, {"source": SOURCE[:1], "target": TARGET[:1]})
    assert_near(long, short, 1e-6)


@cache
def copier() -> tuple[Arrays, list[float]]:
    """The weights of a network that has begun to learn to copy, and the loss of each step."""
    found, losses = trained(network_of(warmup=40, drop=0.1), copying_task(256, SMALL["vocab"]), steps=120, batch=64)
    return dict(found.weights), losses


def test_it_learns_to_copy() -> None:
    _, losses = copier()
    assert np.mean(losses[-5:]) < 0.75 * losses[0]


def searched(p: Parameters, source: Tensor, beam: int) -> list[int]:
    """Beam search for one sentence, line by line."""
    memory, longest = encoded(p, source), source.shape[1] + 50
    lines = [(0.0, [BEGIN])]
    for _ in range(longest - 1):
        grown = []
        for score, words in lines:
            if words[-1] == END:
                grown.append((score, words))
                continue
            last = decoded(p, torch.tensor([words]), memory, source == PADDING)[0, -1]
            log_p = (p["table.weight"] @ last).log_softmax(-1)
            grown += [(score + value, [*words, word]) for word, value in enumerate(log_p.tolist())]
        lines = sorted(grown, reverse=True)[:beam]
    _, best = max(lines, key=lambda line: line[0] / ((5 + len(line[1])) / 6) ** 0.6)
    return best + [PADDING] * (longest - len(best))


@pytest.mark.parametrize("beam", [1, 3])
def test_translations_are_those_of_a_search_by_hand(beam: int) -> None:
    network, source = network_of(beam=beam), copying_task(5, SMALL["vocab"])["source"]
    weights, _ = copier()
    p = torch_parameters(network, weights, training=False)
    with torch.no_grad():
        expected = [searched(p, torch.tensor(row[None]), beam) for row in source]
    assert len({row.index(END) for row in expected}) > 1, "the lines finish in different rounds"
    (found,) = results(network, weights, {"source": source}, "translate")
    assert found.tolist() == expected


def test_weights_begin_as_in_the_paper() -> None:
    values = materialise(network_of(d=96, h=3).variables, seed=0)
    assert abs(values["table.weight"].std() * math.sqrt(96) - 1) < 0.1
    weight = values["encoder.feed_forward.0.expand.weight"]
    assert 0.95 < np.abs(weight).max() / math.sqrt(6 / sum(weight.shape)) <= 1
    assert not values["encoder.self_attention.1.linear.bias"].any()
