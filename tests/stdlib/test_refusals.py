"""What layers say about uses that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.runtime.bound_network import BoundNetwork

from netlang.diagnostics import DiagnosticError

from .harness import library, program, variables

PROGRAM = """
use std.layers: batch_norm, conv1d, conv2d, layer_norm
use std.attention: attention, learned_positions, sinusoidal_positions
use std.models.gpt: GPT
model Case(x: {type}) {{
  return {expression}
}}
"""


@pytest.mark.parametrize(
    ("type_", "expression", "message"),
    [
        ("f32[2, 5, 6]", "x |> attention(4)", "4 heads must divide d = 6"),
        ("f32[2, 5, 6]", "x |> learned_positions(4)", "5 positions, and the table has 4"),
        ("f32[2, 5, 7]", "x |> sinusoidal_positions", "sines and cosines take turns, so d = 7 must be even"),
        ("f32[2, 5, 8]", "x |> conv1d(4, 3, groups = 2)", "2 groups must divide the 5 channels that come in"),
        ("f32[2, 4, 8, 8]", "x |> conv2d(6, 3, groups = 4)", "4 groups must divide the 6 channels that go out"),
        ("f32[2, 5, 6]", "x |> layer_norm(6)", "eps is from 0 to below 1, not 6; the features are those of x"),
        ("f32[2, 5, 6]", "x |> batch_norm(5)", "momentum is from 0 to 1, not 5; the channels are those of x"),
        ("f32[2, 5, 6]", "x |> batch_norm(eps = 5)", "eps is from 0 to below 1, not 5"),
        ("i64[2, 5]", "GPT(9, d = 4, h = 2, layers = 1, context = 3)(x)", "5 tokens exceed the context of 3"),
    ],
)
def test_says_what_is_wrong(type_: str, expression: str, message: str):
    with pytest.raises(DiagnosticError) as caught:
        program(PROGRAM.format(type=type_, expression=expression)).network().graph()
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.title) == ("assertion-failed", message)


@pytest.mark.parametrize(
    ("module", "model", "settings"),
    [
        ("transformer", "Transformer", {"vocab": 11, "layers": 1, "d": 8, "h": 2, "ff": 8}),
        ("seq2seq", "Seq2Seq", {"source_vocab": 11, "target_vocab": 11, "d": 8, "n": 6}),
    ],
)
@pytest.mark.parametrize("shape", [(0, 3), (1, 0)])
def test_nothing_to_translate(module: str, model: str, settings: dict[str, int], shape: tuple[int, int]):
    network = library(f"std.models.{module}").network(model, settings)
    with pytest.raises(DiagnosticError) as caught:
        BoundNetwork(network, variables(network)).translate(np.zeros(shape, np.int64))
    (diagnostic,) = caught.value.diagnostics
    message = "the source is empty: give it at least one sentence of one word"
    assert (diagnostic.code, diagnostic.title) == ("assertion-failed", message)
