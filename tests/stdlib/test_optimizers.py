"""Optimizers, clipping and decay groups against torch.optim; the step cut in two against the whole step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from .harness import CHECKED, Arrays, Runner, Training, assert_near, program, run_inputs, variables

STEPS = 5

# The gradients of weight and bias are the inputs `slope` and `bias_slope`.
PROGRAM = """
model Case() {{
  param weight: f32[3, 4] ~ normal(1.0)
  @no_decay
  param bias: f32[4] ~ normal(1.0)
  return weight, bias
}}
train Case {{
  in slope: f32[3, 4]
  in bias_slope: f32[4]
  weight, bias = forward()
  minimize sum(weight * slope) + sum(bias * bias_slope)
  optimizer {optimizer}
  {clip}
}}
"""

Groups = list[dict[str, Any]]
"""Parameters of torch.optim: the weight, which decays, and the bias, which does not."""

OPTIMIZERS: dict[str, Callable[[Groups], torch.optim.Optimizer]] = {
    "sgd(0.1)": lambda p: torch.optim.SGD(p, 0.1),
    "sgd(0.1, momentum = 0.9)": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "sgd(0.1, momentum = 0.9, nesterov = true)": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "sgd(0.1, weight_decay = 0.2)": lambda p: torch.optim.SGD(decayed(p, 0.2), 0.1),
    "sgd(0.1, momentum = 0.9, nesterov = true, weight_decay = 0.2)": lambda p: torch.optim.SGD(
        decayed(p, 0.2), 0.1, momentum=0.9, nesterov=True
    ),
    "adam()": torch.optim.Adam,
    "adam(0.05, beta1 = 0.7, beta2 = 0.9, eps = 1e-3)": lambda p: torch.optim.Adam(p, 0.05, (0.7, 0.9), 1e-3),
    "adam(0.05, weight_decay = 0.2)": lambda p: torch.optim.Adam(decayed(p, 0.2), 0.05),
    "adamw()": lambda p: torch.optim.AdamW(decayed(p, 0.01)),
    "adamw(0.05, weight_decay = 0.3)": lambda p: torch.optim.AdamW(decayed(p, 0.3), 0.05),
    "adamw(0.05, weight_decay = 0)": lambda p: torch.optim.AdamW(decayed(p, 0), 0.05),
    "rmsprop()": torch.optim.RMSprop,
    "rmsprop(0.05, decay = 0.8, eps = 1e-3)": lambda p: torch.optim.RMSprop(p, 0.05, 0.8, 1e-3),
    "rmsprop(0.05, momentum = 0.9)": lambda p: torch.optim.RMSprop(p, 0.05, momentum=0.9),
    "rmsprop(0.05, momentum = 0.9, weight_decay = 0.2)": lambda p: torch.optim.RMSprop(
        decayed(p, 0.2), 0.05, momentum=0.9
    ),
}


def decayed(groups: Groups, weight_decay: float) -> Groups:
    """The same groups, of which the first decays."""
    return [{**groups[0], "weight_decay": weight_decay}, {**groups[1], "weight_decay": 0.0}]


def slopes(step: int) -> Arrays:
    rng = np.random.default_rng([7, step])
    return {
        "slope": rng.standard_normal((3, 4)).astype(np.float32),
        "bias_slope": rng.standard_normal(4).astype(np.float32),
    }


def torch_steps(start: Arrays, make: Callable[[Groups], torch.optim.Optimizer], clip: float | None = None) -> Arrays:
    """Weight and bias after the steps."""
    weight, bias = (torch.nn.Parameter(torch.tensor(start[name])) for name in ("weight", "bias"))
    optimizer = make([{"params": [weight]}, {"params": [bias]}])
    for step in range(STEPS):
        given = slopes(step)
        weight.grad, bias.grad = torch.tensor(given["slope"]), torch.tensor(given["bias_slope"])
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([weight, bias], clip)
        optimizer.step()
    return {"weight": weight.detach().numpy(), "bias": bias.detach().numpy()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_like_pytorch(optimizer: str):
    network = program(PROGRAM.format(optimizer=optimizer, clip="")).network()
    start = variables(network)
    expected = torch_steps(start, OPTIMIZERS[optimizer])
    training = Training(network, start)
    for step in range(STEPS):
        training.step(slopes(step))
    for name, array in expected.items():
        assert_near(training.variables[name], array, 1e-6, name)


@pytest.mark.parametrize("norm", [0.5, 3.0, 100.0])
def test_clips_like_pytorch(norm: float):
    """The norm of the gradients is between 2.7 and 4.9: always clipped, sometimes, and never."""
    network = program(PROGRAM.format(optimizer="sgd(0.1)", clip=f"clip {norm}")).network()
    start = variables(network)
    expected = torch_steps(start, OPTIMIZERS["sgd(0.1)"], clip=norm)
    training = Training(network, start)
    for step in range(STEPS):
        training.step(slopes(step))
    for name, array in expected.items():
        assert_near(training.variables[name], array, 1e-6, name)


@pytest.mark.parametrize("clip", ["", "clip 1.0"])
@pytest.mark.parametrize("optimizer", ["sgd(0.1, momentum = 0.9)", "adamw(cosine(0.1, warmup = 3))"])
def test_the_step_cut_in_two_is_the_step(optimizer: str, clip: str):
    network = program(PROGRAM.format(optimizer=optimizer, clip=clip)).network()
    training = Training(network, variables(network))
    gradient, apply = Runner(network.gradient_graph(**CHECKED)), Runner(network.apply_graph(**CHECKED))
    values = dict(training.variables)
    for step in range(STEPS):
        training.step(slopes(step))
        found = gradient({**run_inputs(step), **values, **slopes(step)})
        results = apply({**run_inputs(step), **values, **found})
        values |= {name.removeprefix("next."): array for name, array in results.items()}
    assert values.keys() == training.variables.keys()
    for name, array in values.items():
        assert_near(array, training.variables[name], 1e-6, name)


def test_a_frozen_parameter_stays():
    text = PROGRAM.replace("@no_decay", "@frozen").format(optimizer="adamw(0.1)", clip="clip 1.0")
    network = program(text).network()
    start = variables(network)
    training = Training(network, start)
    training.step(slopes(0))
    np.testing.assert_array_equal(training.variables["bias"], start["bias"])
    assert not any(name.startswith("optimizer.bias") for name in training.variables)
    assert np.abs(training.variables["weight"] - start["weight"]).max() > 0.05
