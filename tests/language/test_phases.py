"""Phases of a training step, against PyTorch's modules and optimizers doing the same one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from netlang.runtime.artifacts import compile_network
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.engines import make_engine
from netlang.runtime.trainer import Trainer
from netlang.runtime.whole_engine import WholeEngine
from torch import Tensor
from torch.nn import functional

from netlang.diagnostics import DiagnosticError

from ..stdlib.harness import CHECKED, Runner, Training, assert_near, program, variables

RNG = np.random.default_rng(4)
X = RNG.standard_normal((8, 5)).astype(np.float32) + 1
Z = RNG.standard_normal((8, 3)).astype(np.float32)

MODEL = """
use std.layers: linear, batch_norm
model Net() {
  let made = linear(6) >> tanh >> linear(5)
  let judge = linear(6) >> tanh >> linear(1)
  param scale: f32[5] ~ ones()
  entry forward(z: f32[b, 3]) -> f32[b, 1] { return judge(scale * made(z)) }
}
"""


def network_of(train: str, model: str = MODEL) -> Network:
    return program(f"{model}train Net {{ in x: f32[b, 5]; in z: f32[b, 3]; {train} }}").network()


PAIR = """
phase first updates judge {repeats} {{
  minimize mse(judge(x), ones(b, 1)) + mse(forward(z), zeros(b, 1))
  optimizer {first}
  {clip}
}}
phase second updates made, scale {{
  answer = forward(z)
  minimize mse(answer, ones(b, 1))
  report answer = mean(answer)
  optimizer {second}
}}
"""


class Reference:
    """The same network and losses in PyTorch."""

    def __init__(self, values: dict[str, np.ndarray]) -> None:
        self.p = {name: torch.tensor(array, requires_grad=True) for name, array in values.items()}

    def of(self, *prefixes: str) -> list[Tensor]:
        return [tensor for name, tensor in self.p.items() if name.startswith(prefixes)]

    def dense(self, x: Tensor, name: str) -> Tensor:
        p = self.p
        h = torch.tanh(functional.linear(x, p[f"{name}.linear.weight"], p[f"{name}.linear.bias"]))
        return functional.linear(h, p[f"{name}.linear_2.weight"], p[f"{name}.linear_2.bias"])

    def forward(self, z: Tensor) -> Tensor:
        return self.dense(self.p["scale"] * self.dense(z, "made"), "judge")

    def first(self) -> Tensor:
        one, two = self.dense(torch.tensor(X), "judge"), self.forward(torch.tensor(Z))
        return functional.mse_loss(one, torch.ones_like(one)) + two.square().mean()

    def second(self) -> Tensor:
        return (self.forward(torch.tensor(Z)) - 1).square().mean()


@pytest.mark.parametrize(
    ("repeats", "first", "second", "clip"),
    [
        (1, "sgd(0.2)", "sgd(0.1)", None),
        (1, "adam(0.01)", "sgd(0.1, momentum = 0.9)", None),
        (3, "adam(0.01)", "adam(0.02)", 0.1),
        (2, "sgd(0.1, momentum = 0.9)", "adam(0.02)", None),
    ],
)
def test_phases_follow_each_other(repeats: int, first: str, second: str, clip: float | None) -> None:
    """Each phase sees what the one before it has updated, and each repetition counts for its optimizer."""
    text = PAIR.format(
        repeats=f"repeats {repeats}" if repeats > 1 else "",
        first=first,
        second=second,
        clip=f"clip {clip}" if clip else "",
    )
    network = network_of(text)
    values = variables(network)
    training, reference = Training(network, values), Reference(values)
    judge, others = reference.of("judge"), reference.of("made", "scale")
    optimizers = _torch(first, judge), _torch(second, others)
    for _ in range(4):
        for _ in range(repeats):
            loss = _step(reference.first(), judge, optimizers[0], clip)
        answer = reference.forward(torch.tensor(Z)).mean()
        other = _step(reference.second(), others, optimizers[1], None)
        found = training.step({"x": X, "z": Z})
        assert_near(found["first.loss"], loss, 1e-5)
        assert_near(found["second.loss"], other, 1e-5)
        assert_near(found["loss"], loss + other, 1e-5)
        assert_near(found["second.answer"], answer, 1e-5)
        for name, tensor in reference.p.items():
            assert_near(training.variables[name], tensor, 2e-5, name)


def _torch(optimizer: str, parameters: list[Tensor]) -> torch.optim.Optimizer:
    name, arguments = optimizer.rstrip(")").split("(")
    rate, *rest = arguments.split(", ")
    momentum = float(rest[0].split(" = ")[1]) if rest else 0.0
    if name == "adam":
        return torch.optim.Adam(parameters, float(rate))
    return torch.optim.SGD(parameters, float(rate), momentum)


def _step(loss: Tensor, parameters: list[Tensor], optimizer: torch.optim.Optimizer, clip: float | None) -> Tensor:
    optimizer.zero_grad()
    loss.backward(inputs=parameters)
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    return loss.detach()


ONE = "minimize mse(forward(z), ones(b, 1)) + mean(x); optimizer sgd(0.1)"


@pytest.mark.parametrize(
    ("targets", "moved"),
    [
        ("judge", {"judge.linear.weight", "judge.linear.bias", "judge.linear_2.weight", "judge.linear_2.bias"}),
        ("scale", {"scale"}),
        ('"*.linear_2.weight"', {"judge.linear_2.weight", "made.linear_2.weight"}),
        ('scale, "judge.*_2.bias"', {"scale", "judge.linear_2.bias"}),
    ],
)
def test_what_no_phase_names_stays_fixed(targets: str, moved: set[str]) -> None:
    network = network_of(f"phase only updates {targets} {{ {ONE} }}")
    training = Training(network, variables(network))
    before = dict(training.variables)
    training.step({"x": X, "z": Z})
    assert {name for name, array in training.variables.items() if (array != before[name]).any()} == moved


def test_a_frozen_parameter_stays_fixed() -> None:
    text = f"{MODEL}train Net {{ in x: f32[b, 5]; phase only updates judge {{ {ONE} }} }}"
    network = program(text).network(frozen=["judge.linear.*"])
    training = Training(network, variables(network))
    before = dict(training.variables)
    training.step({"x": X, "z": Z})
    moved = {name for name, array in training.variables.items() if (array != before[name]).any()}
    assert moved == {"judge.linear_2.weight", "judge.linear_2.bias"}


def test_one_parameter_can_be_named_in_two_phases() -> None:
    """By its name, after the first phase has given it a new value; with a velocity in each."""
    text = "".join(
        f"phase {p} updates scale {{ minimize sum(scale * scale); optimizer sgd(0.1, momentum = 0.5) }}; "
        for p in ("a", "c")
    )
    network = network_of(f"report result = mean(forward(z)), given = mean(x); {text}")
    training = Training(network, {**variables(network), "scale": np.ones(5, np.float32)})
    training.step({"x": X, "z": Z})
    assert_near(training.variables["scale"], np.full(5, 0.8 * 0.8, np.float32), 1e-6)
    assert {name for name in training.variables if "velocity" in name} == {
        "optimizer.a.scale.velocity",
        "optimizer.c.scale.velocity",
    }


def test_no_gradient_goes_through_an_update() -> None:
    """The judge's new weights depend on what was made; the second phase takes them as they are."""
    network = network_of(PAIR.format(repeats="", first="sgd(5.0)", second="sgd(1.0)", clip=""))
    values = variables(network)
    training, reference = Training(network, values), Reference(values)
    judge, others = reference.of("judge"), reference.of("made", "scale")
    for loss, parameters, rate in ((reference.first, judge, 5.0), (reference.second, others, 1.0)):
        _step(loss(), parameters, torch.optim.SGD(parameters, rate), None)
    training.step({"x": X, "z": Z})
    for name, tensor in reference.p.items():
        assert_near(training.variables[name], tensor, 1e-5, name)


def test_states_are_set_once_for_each_use() -> None:
    """The running mean of a normalisation that two phases use moves twice in a step."""
    model = MODEL.replace("linear(6) >> tanh >> linear(1)", "batch_norm(momentum = 0.5) >> linear(1)")
    text = "".join(
        f"phase {p} updates judge {{ minimize mse(judge(x), zeros(b, 1)) + 0 * mean(z); optimizer sgd(0.0) }}; "
        for p in ("a", "c")
    )
    network = network_of(text, model)
    training = Training(network, variables(network))
    training.variables["judge.batch_norm.running_mean"] = np.zeros(5, np.float32)
    training.step({"x": X, "z": Z})
    assert_near(training.variables["judge.batch_norm.running_mean"], 0.75 * X.mean(0), 1e-5)


def test_evaluation_updates_nothing() -> None:
    network = network_of(PAIR.format(repeats="repeats 3", first="sgd(5.0)", second="sgd(1.0)", clip=""))
    values = variables(network)
    found = Runner(network.eval_graph(**CHECKED))({**values, "x": X, "z": Z})
    reference = Reference(values)
    assert list(found) == ["loss", "first.loss", "second.loss", "second.answer"]
    assert_near(found["first.loss"], reference.first(), 1e-5)
    assert_near(found["second.loss"], reference.second(), 1e-5)
    assert_near(found["loss"], reference.first() + reference.second(), 1e-5)


def test_repetitions_draw_numbers_of_their_own() -> None:
    text = "phase p updates scale repeats 2 { minimize sum(scale * normal(5)); optimizer sgd(1.0) }"
    network = network_of(f"report result = mean(forward(z)), given = mean(x); {text}")
    training = Training(network, variables(network))
    before = training.variables["scale"]
    training.step({"x": X, "z": Z})
    bits = [node for node in network.train_graph().nodes if node.op == "random_bits"]
    assert len({node.attributes["site"] for node in bits}) == len(bits) == 4
    assert (training.variables["scale"] != before).all()


def test_training_uses_the_engine_of_whole_steps(tmp_path: Path) -> None:
    network = network_of(PAIR.format(repeats="", first="adam(0.01)", second="adam(0.01)", clip=""))
    bound = BoundNetwork(network, seed=0)
    assert isinstance(make_engine(network), WholeEngine)
    trainer = Trainer(bound, seed=0)
    data = {"x": np.tile(X, (8, 1)), "z": np.tile(Z, (8, 1))}
    trainer.fit(data, steps=6, batch=8)
    assert list(trainer.evaluate(data)) == ["loss", "first.loss", "second.loss", "second.answer"]
    metrics = trainer.step(x=X, z=Z)
    assert metrics["loss"] == pytest.approx(metrics["first.loss"] + metrics["second.loss"])
    files = {path.name for path in compile_network(bound, tmp_path)}
    assert files == {"forward.onnx", "train.onnx", "eval.onnx", "weights.safetensors", "manifest.json"}


@pytest.mark.parametrize("half", ["gradient_graph", "apply_graph", "flat_step"])
def test_a_step_in_phases_has_no_halves(half: str) -> None:
    network = network_of(PAIR.format(repeats="", first="adam(0.01)", second="adam(0.01)", clip=""))
    arguments: dict[str, Any] = {"parts": 1} if half == "flat_step" else {}
    with pytest.raises(DiagnosticError) as caught:
        getattr(network, half)(**arguments)
    assert [fault.code for fault in caught.value.diagnostics] == ["several-phases"]
