"""`let` in a `repeat`: each round makes its own, also under the name of what it is made of."""

from __future__ import annotations

import pytest

from netlang.diagnostics import DiagnosticError

from .harness import LAYERS, names, network

BLOCK = f"{LAYERS}layer block(d: int)(x: f32[b, d]) -> f32[b, d] {{ return x |> linear(d) }}\n"
NET = "model Net(x: f32[b, 4]) -> f32[b, 4] {{ {} ; return x }}"


def test_a_layer_may_be_called_like_its_definition() -> None:
    found = names(BLOCK + NET.format("repeat 3 { let block = block(4); x = block(x) }"))
    assert found == [f"block.{i}.linear.{kind}" for i in range(3) for kind in ("weight", "bias")]


def test_a_layer_of_the_first_round_is_shared_by_all() -> None:
    found = names(BLOCK + NET.format("repeat 3 as i { if i == 0 { let once = block(4) } ; x = once(x) }"))
    assert found == ["once.0.linear.weight", "once.0.linear.bias"]


def test_without_let_the_second_round_says_what_hides_what() -> None:
    with pytest.raises(DiagnosticError) as caught:
        network(BLOCK + NET.format("repeat 3 { block = block(4); x = block(x) }")).elaborate()
    (fault,) = caught.value.diagnostics
    assert fault.code == "not-callable"
    assert fault.title == "`block` is a layer by now, and hides what it was made of"
    assert fault.help == "give the layer another name; in a `repeat`, `let` makes one for each round"
