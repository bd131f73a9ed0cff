"""Dropout: what it does to the mean and the variance, and that a step uses one mask, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.compiler import Network

from netlang.diagnostics import DiagnosticError

from .harness import (
    CHECKED,
    Arrays,
    Runner,
    assert_gradients_match_differences,
    assert_near,
    program,
    run_inputs,
    variables,
)

COUNT = 60_000

# The gradient of x is the mask times `slope`.
PROGRAM = """
use std.layers: dropout
model Case() {{
  param x: f32[{count}] ~ normal(1.0)
  return x |> dropout({p})
}}
train Case {{
  in slope: f32[{count}]
  minimize sum(forward() * slope)
  optimizer sgd(1.0)
}}
"""


def network_of(p: float, count: int = COUNT) -> Network:
    return program(PROGRAM.format(p=p, count=count)).network()


def mask(run: Runner, count: int = COUNT, **inputs: int) -> np.ndarray:
    ones = np.ones(count, np.float32)
    return run({**run_inputs(**inputs), "x": ones, "slope": ones})["grad.x"]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_zeroes_with_the_probability_and_keeps_the_mean(p: float):
    scaled = mask(Runner(network_of(p).gradient_graph(**CHECKED)))
    assert set(np.unique(scaled)) == {np.float32(0), np.float32(1 / (1 - p))}
    deviation = np.sqrt(p / (1 - p))  # of one element
    assert abs(scaled.mean() - 1) < 4 * deviation / np.sqrt(COUNT)
    assert abs(scaled.std() - deviation) < 0.03 * deviation


def test_draws_anew_at_each_step_and_the_same_again():
    run = Runner(network_of(0.5).gradient_graph(**CHECKED))
    first = mask(run, step=3, seed=1)
    np.testing.assert_array_equal(mask(run, step=3, seed=1), first)
    for other in (mask(run, step=4, seed=1), mask(run, step=3, seed=2)):
        agreement = np.mean(other == first)
        assert abs(agreement - 0.5) < 4 * 0.5 / np.sqrt(COUNT)


def test_the_gradient_has_the_mask_of_the_result():
    """The result is linear in x where the mask stays: its weighted sum is that of x times the gradient."""
    network = network_of(0.4, count=200)
    values = variables(network)
    slope = np.random.default_rng(2).standard_normal(200).astype(np.float32)
    feeds: Arrays = {**run_inputs(step=5, seed=9), **values, "slope": slope}
    found = Runner(network.gradient_graph(**CHECKED))(feeds)
    assert 40 < np.count_nonzero(found["grad.x"] == 0) < 120
    np.testing.assert_allclose(found["loss"], np.sum(values["x"] * found["grad.x"]), rtol=1e-5)
    step = Runner(network.train_graph(**CHECKED))(feeds)
    assert_near(step["next.x"], values["x"] - found["grad.x"], 1e-6)
    assert step["loss"] == found["loss"]


def test_two_layers_draw_apart():
    text = PROGRAM.replace("|> dropout({p})", "|> dropout({p}) |> dropout({p})")
    network = program(text.format(p=0.5, count=COUNT)).network()
    kept = np.mean(mask(Runner(network.gradient_graph(**CHECKED))) > 0)
    assert abs(kept - 0.25) < 4 * np.sqrt(0.25 * 0.75 / COUNT)


@pytest.mark.parametrize("p", [0, 0.5])
def test_does_nothing_where_nothing_is_trained(p: float):
    network = network_of(p, count=20)
    values = variables(network)
    found = Runner(network.graph(**CHECKED))(values)["output"]
    np.testing.assert_array_equal(found, values["x"])


def test_probability_0_draws_nothing():
    graph = network_of(0, count=20).gradient_graph(**CHECKED)
    assert [item.role for item in graph.inputs] == ["data"]


@pytest.mark.parametrize("p", [-0.1, 1, 1.5])
def test_refuses_what_is_no_probability_below_1(p: float):
    with pytest.raises(DiagnosticError, match=f"dropout needs 0 <= p < 1, not {p}"):
        network_of(p).graph()


def test_of_attention_weights():
    text = """
    use std.attention: attention
    model Case() {
      param x: f32[2, 6, 4] ~ normal(1.0)
      return x |> attention(2, drop = DROP)
    }
    train Case { in slope: f32[2, 6, 4]; minimize sum(forward() * slope); optimizer sgd(1.0) }
    """
    with_dropout, without = (program(text.replace("DROP", p)).network() for p in ("0.5", "0.0"))
    values = variables(with_dropout)
    data = {"slope": np.random.default_rng(2).standard_normal((2, 6, 4)).astype(np.float32)}
    assert_gradients_match_differences(with_dropout, values, data)
    assert_near(
        Runner(with_dropout.graph(**CHECKED))(values)["output"], Runner(without.graph())(values)["output"], 1e-6
    )
    losses = {
        float(Runner(n.gradient_graph())({**run_inputs(), **values, **data})["loss"]) for n in (with_dropout, without)
    }
    assert len(losses) == 2
