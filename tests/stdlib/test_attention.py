"""Masks of `attention` and `cross_attention` against torch.nn.MultiheadAttention with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from netlang.diagnostics import DiagnosticError

from .harness import Arrays, Parameters, assert_near, program, torch_parameters, variables
from .model_checks import assert_gradients_match_pytorch, attention_weights, results, tensors

D, HEADS = 6, 3
RNG = np.random.default_rng(2)
DATA: Arrays = {
    "x": RNG.standard_normal((2, 4, D)).astype(np.float32),
    "memory": RNG.standard_normal((2, 5, 8)).astype(np.float32),
    "own": np.array([[True, True, True, False], [True, False, True, True]]),
    "theirs": np.array([[True, False, False, True, True], [True, True, True, True, False]]),
}
WEIGHTS = {"weights": RNG.standard_normal((2, 4, D)).astype(np.float32)}

PROGRAM = """
use std.attention: attention, cross_attention
model Case(x: f32[b, t, 6], memory: f32[b, s, 8], own: bool[b, t], theirs: bool[b, s]) -> f32[b, t, 6] {{
  return {expression} + 0 * sum(memory) * f32(own[0, 0]) * f32(theirs[0, 0])
}}
train Case {{
  in weights: f32[b, t, 6]
  minimize sum(forward(x, memory, own, theirs) * weights)
  optimizer sgd(0.1)
}}
"""


def within(p: Parameters, x: Tensor, own: Tensor | None, causal: bool) -> Tensor:
    module = torch.nn.MultiheadAttention(D, HEADS, batch_first=True)
    weights = {name.partition(".")[2]: tensor for name, tensor in attention_weights(p.at("attention"), "m").items()}
    t = x.shape[1]
    options = {
        "key_padding_mask": None if own is None else ~own,
        "attn_mask": torch.ones(t, t).triu(1).bool() if causal else None,
        "need_weights": False,
    }
    return torch.func.functional_call(module, weights, (x, x, x), options, strict=True)[0]


def across(p: Parameters, x: Tensor, memory: Tensor, theirs: Tensor | None) -> Tensor:
    """The module keeps three matrices where the widths differ."""
    module = torch.nn.MultiheadAttention(D, HEADS, kdim=8, vdim=8, batch_first=True)
    query, both, out = (p.at(f"cross_attention.{name}") for name in ("linear", "linear_2", "linear_3"))
    k, v = both["weight"].chunk(2)
    weights = {
        "q_proj_weight": query["weight"],
        "k_proj_weight": k,
        "v_proj_weight": v,
        "in_proj_bias": torch.cat((query["bias"], both["bias"])),
        "out_proj.weight": out["weight"],
        "out_proj.bias": out["bias"],
    }
    options = {"key_padding_mask": None if theirs is None else ~theirs, "need_weights": False}
    return torch.func.functional_call(module, weights, (x, memory, memory), options, strict=True)[0]


CASES = {
    "attention(3)(x)": lambda p, x, memory, own, theirs: within(p, x, None, False),
    "attention(3)(x, own)": lambda p, x, memory, own, theirs: within(p, x, own, False),
    "attention(3, causal = true)(x, own)": lambda p, x, memory, own, theirs: within(p, x, own, True),
    "cross_attention(3)(x, memory)": lambda p, x, memory, own, theirs: across(p, x, memory, None),
    "cross_attention(3)(x, memory, theirs)": lambda p, x, memory, own, theirs: across(p, x, memory, theirs),
}


@pytest.mark.parametrize("expression", CASES)
def test_agrees_with_pytorch(expression: str) -> None:
    network = program(PROGRAM.format(expression=expression)).network()
    values = variables(network)
    reference = CASES[expression]
    expected = reference(torch_parameters(network, values, training=False), **tensors(DATA))
    (found,) = results(network, values, DATA)
    assert_near(found, expected, 1e-5)

    def loss(p: Parameters, weights: Tensor, **data: Tensor) -> Tensor:
        return (reference(p, **data) * weights).sum()

    assert_gradients_match_pytorch(network, values, {**DATA, **WEIGHTS}, loss)


def test_a_mask_of_another_length_is_refused() -> None:
    with pytest.raises(DiagnosticError) as caught:
        program(PROGRAM.format(expression="attention(3)(x, theirs)")).network().graph()
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} == {"shape-mismatch"}
