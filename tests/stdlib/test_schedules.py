"""Schedules: the rate that the graph uses, read off a step of gradient descent, against NumPy and PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from .harness import Runner, program, run_inputs

STEPS = 60

# The new parameter is minus the rate: it begins as 0, and its gradient is 1.
PROGRAM = """
model Case() {{
  param weight: f32 ~ zeros()
  return weight
}}
train Case {{
  minimize forward()
  optimizer sgd({schedule})
}}
"""


def rates(schedule: str, steps: int = STEPS) -> np.ndarray:
    """The rate of each step, and of some beyond the planned end."""
    run = Runner(program(PROGRAM.format(schedule=schedule)).network().train_graph())
    start = {"weight": np.zeros((), np.float32)}
    if "step" not in run.inputs:
        return np.full(steps + 5, -run(start)["next.weight"])
    return np.array([-run({**start, **run_inputs(step, steps)})["next.weight"] for step in range(steps + 5)])


def cosine(step: int, peak: float, warmup: int, final: float) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min((step - warmup) / (STEPS - warmup), 1)
    return final + (peak - final) * (1 + math.cos(math.pi * progress)) / 2


def linear(step: int, peak: float, warmup: int, final: float) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak + (final - peak) * min((step - warmup) / (STEPS - warmup), 1)


FORMULAS: dict[str, Callable[[int], float]] = {
    "0.3": lambda step: 0.3,
    "step_decay(0.3, every = 20)": lambda step: 0.3 * 0.1 ** (step // 20),
    "step_decay(0.3, every = 7, factor = 0.5)": lambda step: 0.3 * 0.5 ** (step // 7),
    "cosine(0.3)": lambda step: cosine(step, 0.3, 0, 0),
    "cosine(0.3, warmup = 10)": lambda step: cosine(step, 0.3, 10, 0),
    "cosine(0.3, warmup = 1, final = 0.03)": lambda step: cosine(step, 0.3, 1, 0.03),
    "linear_decay(0.3)": lambda step: linear(step, 0.3, 0, 0),
    "linear_decay(0.3, warmup = 10)": lambda step: linear(step, 0.3, 10, 0),
    "linear_decay(0.3, warmup = 10, final = 0.3)": lambda step: linear(step, 0.3, 10, 0.3),
    "step_decay(0.3, every = 20, warmup = 10)": lambda step: (
        0.3 * (step + 1) / 10 if step < 10 else 0.3 * 0.1 ** (step // 20)
    ),
}


@pytest.mark.parametrize("schedule", FORMULAS)
def test_follows_its_formula(schedule: str):
    expected = [FORMULAS[schedule](step) for step in range(STEPS + 5)]
    np.testing.assert_allclose(rates(schedule), expected, rtol=2e-6, atol=1e-8)


Scheduler = Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]

PYTORCH: dict[str, Scheduler] = {
    "step_decay(0.3, every = 20)": lambda o: lr_scheduler.StepLR(o, 20, 0.1),
    "cosine(0.3, final = 0.03)": lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, 0.03),
    "linear_decay(0.3, final = 0.03)": lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, STEPS),
    "cosine(0.3, warmup = 10)": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, 1.0, 9), lr_scheduler.CosineAnnealingLR(o, STEPS - 10)], [10]
    ),
}


@pytest.mark.parametrize("schedule", PYTORCH)
def test_follows_pytorch(schedule: str):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], 0.3)
    scheduler = PYTORCH[schedule](optimizer)
    expected = []
    for _ in range(STEPS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(rates(schedule)[:STEPS], expected, rtol=1e-5, atol=1e-8)


def test_a_schedule_of_ones_own():
    text = "fn halving(peak: float)(step: f32) -> f32 { return peak * 0.5 ** step }\n"
    run = Runner(program(text + PROGRAM.format(schedule="halving(0.5)")).network().train_graph())
    assert "steps" not in run.inputs
    feeds = {"weight": np.zeros((), np.float32), "step": np.array(3)}
    assert -run(feeds)["next.weight"] == np.float32(0.0625)
