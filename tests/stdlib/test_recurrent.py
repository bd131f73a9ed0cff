"""Recurrent layers against PyTorch's modules with the same weights: forward, gradients, directions, ragged rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from netlang.compiler.initializers import materialise
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .harness import (
    CHECKED,
    Runner,
    Scope,
    assert_gradients_match_differences,
    assert_near,
    program,
    run_inputs,
    torch_parameters,
    variables,
)

SHAPE, HIDDEN = (3, 5, 4), 6
LENGTHS = np.array([5, 2, 3])
KINDS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}


@dataclass(frozen=True)
class Case:
    kind: str
    reverse: bool = False
    bidirectional: bool = False
    ragged: bool = False

    def __str__(self) -> str:
        marks = (name for name in ("reverse", "bidirectional", "ragged") if getattr(self, name))
        return " ".join((self.kind, *marks))

    @property
    def layer(self) -> str:
        if self.bidirectional:
            return f"bidirectional({self.kind}({HIDDEN}), {self.kind}({HIDDEN}, reverse = true))"
        return f"{self.kind}({HIDDEN}, reverse = {str(self.reverse).lower()})"

    def network(self) -> Network:
        """Everything is a parameter, so that everything has a gradient."""
        given = ("lengths: i64[3]", "lengths") if self.ragged else ("", "")
        width = 2 * HIDDEN if self.bidirectional else HIDDEN
        text = f"""
use std.recurrent: {self.kind}{", bidirectional" if self.bidirectional else ""}
model Case({given[0]}) {{
  param x: f32{list(SHAPE)} ~ normal(1.0)
  return {self.layer}(x{", lengths = lengths" if self.ragged else ""})
}}
train Case {{
  in weights: f32[3, 5, {width}]
  minimize sum(forward({given[1]}) * weights)
  optimizer sgd(0.1)
}}
"""
        return program(text).network()

    @property
    def data(self) -> dict[str, np.ndarray]:
        return {"lengths": LENGTHS} if self.ragged else {}


CASES = [
    Case(kind, **options)
    for kind in KINDS
    for options in ({}, {"reverse": True}, {"bidirectional": True}, {"ragged": True}, {"reverse": True, "ragged": True},
                    {"bidirectional": True, "ragged": True})
]  # fmt: skip
_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def module_result(case: Case, x: Tensor, scopes: list[Scope]) -> Tensor:
    """What PyTorch's module makes of x: of both directions, or of the one that is asked for."""
    module = KINDS[case.kind](SHAPE[-1], HIDDEN, batch_first=True, bidirectional=case.bidirectional)
    weights = {f"{name}_l0{'_reverse' * place}": scope[name] for place, scope in enumerate(scopes) for name in _NAMES}
    if not case.ragged:
        given = x.flip(1) if case.reverse else x
        y = torch.func.functional_call(module, weights, (given,))[0]
        return y.flip(1) if case.reverse else y
    lengths = torch.tensor(LENGTHS)
    if case.reverse:
        x = torch.stack([turned(row, n) for row, n in zip(x, LENGTHS, strict=True)])
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, _ = pad_packed_sequence(torch.func.functional_call(module, weights, (packed,))[0], batch_first=True)
    return torch.stack([turned(row, n) for row, n in zip(y, LENGTHS, strict=True)]) if case.reverse else y


def turned(row: Tensor, length: int) -> Tensor:
    """A row with its first `length` steps the other way round."""
    return torch.cat((row[:length].flip(0), row[length:]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_pytorch(case: Case) -> None:
    network = case.network()
    values = variables(network)
    parameters = torch_parameters(network, values, training=True)
    names = [case.kind, f"{case.kind}_2"] if case.bidirectional else [case.kind]
    expected = module_result(case, parameters["x"], [parameters.at(name) for name in names])
    found = Runner(network.graph(**CHECKED))({**values, **case.data})["output"]
    assert_near(found, expected, 2e-6)

    weights = np.random.default_rng(3).standard_normal(expected.shape).astype(np.float32)
    step = Runner(network.gradient_graph(**CHECKED))({**values, **case.data, **run_inputs(), "weights": weights})
    (expected * torch.tensor(weights)).sum().backward()
    for variable in network.variables:
        gradient = parameters[variable.name].grad
        assert gradient is not None
        assert_near(step[f"grad.{variable.name}"], gradient, 1e-5, variable.name)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_differences(kind: str) -> None:
    case = Case(kind, bidirectional=True, ragged=True)
    network = case.network()
    weights = np.random.default_rng(3).standard_normal((3, 5, 2 * HIDDEN)).astype(np.float32)
    assert_gradients_match_differences(network, variables(network), {**case.data, "weights": weights})


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_begin_as_those_of_pytorch(kind: str) -> None:
    network = program(f"use std.recurrent: {kind}\nmodel M(x: f32[b, t, 30]) {{ return x |> {kind}(100) }}").network()
    values = materialise(network.variables, seed=0)
    module = KINDS[kind](30, 100)
    for name in _NAMES:
        found, expected = values[f"{kind}.{name}"], getattr(module, f"{name}_l0").detach().numpy()
        assert found.shape == expected.shape
        limit = 0.1  # 1 / √100
        assert 0.95 * limit < np.abs(found).max() <= limit
        assert abs(found.std() - limit / np.sqrt(3)) < 0.1 * limit


def test_states_are_handed_on() -> None:
    """Two halves, the second from the state that the first leaves, are the whole."""
    network = program("""
use std.recurrent: lstm, lstm_with_state
model M {
  let step = lstm_with_state(6)
  entry whole(x: f32[b, t, 4], h: f32[b, 6], c: f32[b, 6]) -> (f32[b, t, 6], f32[b, 6], f32[b, 6]) {
    return step(x, h, c)
  }
  entry halves(x: f32[b, t, 4], z: f32[b, u, 4], h: f32[b, 6], c: f32[b, 6])
      -> (f32[b, t, 6], f32[b, u, 6], f32[b, 6], f32[b, 6]) {
    first, h, c = step(x, h, c)
    second, h, c = step(z, h, c)
    return first, second, h, c
  }
}
""").network()
    values = variables(network)
    rng = np.random.default_rng(1)
    x, h, c = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 5, 4), (3, 6), (3, 6)))
    whole = list(Runner(network.graph("whole", **CHECKED))({**values, "x": x, "h": h, "c": c}).values())
    halves = list(
        Runner(network.graph("halves", **CHECKED))({**values, "x": x[:, :2], "z": x[:, 2:], "h": h, "c": c}).values()
    )
    assert_near(np.concatenate(halves[:2], 1), whole[0], 1e-6)
    for one, other in zip(halves[2:], whole[1:], strict=True):
        assert_near(one, other, 1e-6)


def test_a_batch_as_large_as_the_time_is_no_trouble() -> None:
    """Sizes alone do not say which axis is the time: the types of the parameters do."""
    text = "use std.recurrent: lstm\nmodel M(x: f32[4, t, 4]) {{ return x |> lstm({}) }}"
    network = program(text.format(1)).network()
    values = variables(network)
    x = np.random.default_rng(1).standard_normal((4, 4, 4)).astype(np.float32)
    found = Runner(network.graph(dims={"t": 4}, **CHECKED))({**values, "x": x})["output"]
    assert_near(found, Runner(network.graph(**CHECKED))({**values, "x": x})["output"], 1e-6)
