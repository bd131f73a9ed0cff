"""`Seq2Seq` against PyTorch's modules and an ordinary loop, with the same weights; greedy translation, word by word."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .cases import linear
from .harness import (
    CHECKED,
    Arrays,
    Parameters,
    Runner,
    assert_gradients_match_differences,
    assert_near,
    library,
    run_inputs,
    torch_parameters,
    variables,
)
from .model_checks import (
    BEGIN,
    END,
    PADDING,
    assert_gradients_match_pytorch,
    copying_task,
    results,
    tensors,
    trained,
)

SMALL = {"source_vocab": 9, "target_vocab": 9, "d": 5, "n": 6}
DATA: Arrays = {
    "source": np.array([[5, 3, 8, 2, 0], [7, 2, 0, 0, 0], [4, 4, 8, 6, 2]]),
    "target": np.array([[1, 6, 3, 2], [1, 5, 2, 0], [1, 8, 7, 2]]),
}
_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def network_of(**settings: Any) -> Network:
    return library("std.models.seq2seq").network("Seq2Seq", {**SMALL, **settings})


def encoded(p: Parameters, source: Tensor) -> tuple[Tensor, Tensor]:
    """All states in both directions, and the first state of the decoder."""
    x = functional.embedding(source, p["source_words.weight"])
    module = torch.nn.GRU(x.shape[-1], p["ahead.weight_hh"].shape[1], batch_first=True, bidirectional=True)
    weights = {f"{kind}_l0": p[f"ahead.{kind}"] for kind in _KINDS}
    weights |= {f"{kind}_l0_reverse": p[f"back.{kind}"] for kind in _KINDS}
    packed = pack_padded_sequence(x, (source != PADDING).sum(1), batch_first=True, enforce_sorted=False)
    states, last = torch.func.functional_call(module, weights, (packed,))
    memory, _ = pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
    return memory, linear(last[1], p, "first.linear").tanh()


def step(p: Parameters, word: Tensor, h: Tensor, memory: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """The next state and the logits for the next word. The equations of the paper's appendix A.1.2."""
    given = functional.embedding(word, p["target_words.weight"])
    agreement = linear(h, p, "attend.linear")[:, None] + memory @ p["key.weight"].T
    scores = (agreement.tanh() @ p["attend.linear_2.weight"].T)[..., 0]
    weights = scores.masked_fill(source == PADDING, -torch.inf).softmax(-1)
    context = torch.einsum("bs,bsm->bm", weights, memory)
    cell = torch.nn.GRUCell(given.shape[1] + context.shape[1], h.shape[1])
    parameters = {kind: p[f"decoder.{kind}"] for kind in _KINDS}
    h = torch.func.functional_call(cell, parameters, (torch.cat((given, context), 1), h))
    return h, linear(torch.cat((given, h, context), 1), p, "readout")


def forward(p: Parameters, source: Tensor, target: Tensor) -> Tensor:
    memory, h = encoded(p, source)
    logits = []
    for word in target.T:
        h, out = step(p, word, h, memory, source)
        logits.append(out)
    return torch.stack(logits, 1)


def loss(p: Parameters, source: Tensor, target: Tensor) -> Tensor:
    logits = forward(p, source, target[:, :-1]).flatten(0, 1)
    return functional.cross_entropy(logits, target[:, 1:].flatten(), ignore_index=PADDING)


def test_forward_agrees_with_pytorch() -> None:
    network = network_of()
    values = variables(network)
    expected = forward(torch_parameters(network, values, training=False), **tensors(DATA))
    (found,) = results(network, values, DATA)
    assert_near(found, expected, 1e-5)


def test_gradients_agree_with_pytorch() -> None:
    network = network_of()
    values = {name: array * np.float32(2) for name, array in variables(network).items()}
    assert_gradients_match_pytorch(network, values, DATA, loss)


def test_gradients_agree_with_differences() -> None:
    network = network_of()
    assert_gradients_match_differences(network, variables(network), DATA)


def test_a_batch_can_have_as_many_sentences_as_a_target_has_words() -> None:
    graph = network_of().gradient_graph({"batch": 3, "s": 5, "t": 4}, **CHECKED)
    found = Runner(graph)({**variables(network_of()), **DATA, **run_inputs()})
    expected = Runner(network_of().gradient_graph(**CHECKED))({**variables(network_of()), **DATA, **run_inputs()})
    assert_near(found["loss"], expected["loss"], 1e-6)


@cache
def copier() -> tuple[Arrays, list[float]]:
    """The weights of a network that has begun to learn to copy, and the loss of each step."""
    network = network_of(d=16, n=32, drop=0.1, lr=0.01)
    found, losses = trained(network, copying_task(256, SMALL["source_vocab"]), steps=80, batch=64)
    return dict(found.weights), losses


def test_it_learns_to_copy() -> None:
    _, losses = copier()
    assert losses[0] == pytest.approx(np.log(9), rel=0.1)
    assert np.mean(losses[-5:]) < 0.6 * losses[0]


def greedy(p: Parameters, source: Tensor) -> list[int]:
    """The most probable word after each, for one sentence."""
    memory, h = encoded(p, source)
    words = [BEGIN]
    while words[-1] != END and len(words) < source.shape[1] + 50:
        h, logits = step(p, torch.tensor(words[-1:]), h, memory, source)
        words.append(int(logits.argmax()))
    return words + [PADDING] * (source.shape[1] + 50 - len(words))


def test_translations_are_those_of_a_loop_over_words() -> None:
    network, source = network_of(d=16, n=32), copying_task(12, SMALL["source_vocab"])["source"]
    weights, _ = copier()
    p = torch_parameters(network, weights, training=False)
    with torch.no_grad():
        expected = [greedy(p, torch.tensor(row[None])) for row in source]
    assert len({row.index(END) for row in expected if END in row}) > 1, "the rows finish in different rounds"
    (found,) = results(network, weights, {"source": source}, "translate")
    assert found.tolist() == expected
