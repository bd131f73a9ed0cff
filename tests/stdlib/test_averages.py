"""Averages of parameters over the steps, against NumPy and torch.optim.swa_utils; what inference computes with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler.in_place import is_elementwise, may_overwrite
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.engines import make_engine
from netlang.runtime.flat_engine import FlatEngine
from netlang.runtime.run_directory import RunDirectory
from netlang.runtime.session import Device
from netlang.runtime.trainer import Trainer
from netlang.runtime.whole_engine import WholeEngine
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import netlang as nl
from netlang.diagnostics import DiagnosticError

from .harness import CHECKED, Arrays, Runner, Training, assert_near, program, run_inputs, variables

STEPS = 12

PROGRAM = """
use std.layers: linear, batch_norm
model Net(x: f32[b, 5]) -> f32[b, 2] {{
  return x |> linear(6, bias = false) |> batch_norm() |> tanh |> linear(2)
}}
train Net {{
  in y: f32[b, 2]
  minimize mse(forward(x), y)
  optimizer adam(0.02)
  {average}
}}
"""


def batch(step: int, rows: int = 8) -> Arrays:
    rng = np.random.default_rng([3, step])
    return {
        "x": (rng.standard_normal((rows, 5)) + 1).astype(np.float32),
        "y": rng.standard_normal((rows, 2)).astype(np.float32),
    }


def network_of(average: str = "average ema(0.9)") -> Any:
    return program(PROGRAM.format(average=average)).network()


def warmed(decay: float, step: int) -> float:
    """What a step, from 1, keeps of the mean."""
    return min(decay, (step - 1) / (step + 8))


def numpy_mean(average: str, mean: np.ndarray, value: np.ndarray, step: int) -> np.ndarray:
    """The mean behind a step, from 1, in float64."""
    kept = {
        "ema(0.9)": warmed(0.9, step),
        "ema(0.3)": warmed(0.3, step),
        "ema(0.9, warmup = false)": 0.9 if step > 1 else 0.0,
        "polyak()": 1 - 1 / step,
        "polyak(4)": 1 - 1 / max(step - 4, 1),
    }[average]
    return kept * mean + (1 - kept) * value


@pytest.mark.parametrize("average", ["ema(0.9)", "ema(0.3)", "ema(0.9, warmup = false)", "polyak()", "polyak(4)"])
def test_averages_as_numpy_does(average: str):
    """In the complete step; the training goes on with the parameters themselves."""
    network, plain = network_of(f"average {average}"), network_of("")
    start = variables(network)
    training, without = Training(network, start), Training(plain, start)
    names = [v.name for v in network.variables if v.kind == "param"]
    means = {name: np.zeros_like(start[name], np.float64) for name in names}
    for step in range(STEPS):
        loss, other = training.step(batch(step))["loss"], without.step(batch(step))["loss"]
        assert_near(loss, other, 1e-6)
        for name in names:
            means[name] = numpy_mean(average, means[name], training.variables[name].astype(np.float64), step + 1)
            assert_near(training.variables[f"optimizer.{name}.average"], means[name], 1e-6, name)
    assert_near(training.variables["linear.weight"], without.variables["linear.weight"], 1e-5)


@pytest.mark.parametrize(
    ("average", "torch_average"),
    [
        ("ema(0.9, warmup = false)", {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}),
        ("ema(0.9)", {"avg_fn": lambda mean, value, n: mean + (1 - warmed(0.9, int(n) + 1)) * (value - mean)}),
        ("polyak()", {}),
    ],
)
def test_averages_as_pytorch_does(average: str, torch_average: dict[str, Any]):
    network = network_of(f"average {average}")
    training = Training(network, variables(network))
    module = torch.nn.Linear(5, 6, bias=False)
    averaged = AveragedModel(module, **torch_average)
    for step in range(STEPS):
        training.step(batch(step))
        with torch.no_grad():
            module.weight.copy_(torch.tensor(training.variables["linear.weight"]))
        averaged.update_parameters(module)
        expected = next(averaged.parameters()).detach()
        assert_near(training.variables["optimizer.linear.weight.average"], expected, 1e-6)


def test_the_step_cut_in_two_is_the_step():
    network = network_of()
    training = Training(network, variables(network))
    gradient, apply = Runner(network.gradient_graph(**CHECKED)), Runner(network.apply_graph(**CHECKED))
    values = dict(training.variables)
    for step in range(4):
        training.step(batch(step))
        found = gradient({**run_inputs(step), **values, **batch(step)})
        results = {**found, **apply({**run_inputs(step), **values, **found})}
        values |= {name.removeprefix("next."): a for name, a in results.items() if name.startswith("next.")}
    assert values.keys() == training.variables.keys()
    for name, array in values.items():
        assert_near(array, training.variables[name], 1e-6, name)


@pytest.mark.parametrize("average", ["ema(0.9)", "ema(0.9, warmup = false)", "polyak(2)"])
def test_it_is_updated_in_place_and_piece_by_piece(average: str):
    network = network_of(f"average {average}")
    graph = network.flat_step(1).apply[True]
    assert is_elementwise(graph) and may_overwrite(graph)
    assert isinstance(make_engine(network, Device("cpu", 1)), FlatEngine)


@pytest.mark.parametrize("engine", [FlatEngine, WholeEngine])
def test_inference_has_the_averages_and_states_as_they_are(engine: type[Any]):
    """The running mean of a batch norm is a mean already, and is not averaged once more."""
    network = network_of()
    training = Training(network, {})
    ours = engine(network, Device("cpu", 1))
    ours.load(training.variables)
    before = {name: value.numpy().copy() for name, value in ours.for_inference().items()}
    for name in ("linear.weight", "batch_norm.running_mean"):
        np.testing.assert_array_equal(before[name], training.variables[name], err_msg="before the first step")
    for step in range(5):
        ours.step(batch(step))
        training.step(batch(step))
    found = ours.for_inference()
    for name, average in network.averages.items():
        assert_near(found[name].numpy(), training.variables[average], 1e-4, name)
        assert np.abs(found[name].numpy() - training.variables[name]).max() > 1e-3
    assert_near(found["batch_norm.running_mean"].numpy(), training.variables["batch_norm.running_mean"], 1e-5)
    assert set(network.averages) == {v.name for v in network.variables if v.kind == "param"}


def trained(steps: int, average: str = "average ema(0.9)") -> Trainer:
    trainer = Trainer(BoundNetwork(network_of(average)), seed=1, threads=1)
    for step in range(steps):
        trainer.step(**batch(step))
    return trainer


def test_everything_that_infers_has_the_averages(tmp_path: Path):
    trainer = trained(6)
    values, network = trainer.variables(), trainer.network
    for name, average in network.network.averages.items():
        np.testing.assert_array_equal(network.weights[name], values[average])
    x, y = batch(9).values()
    expected = network(x)
    loss = trainer.evaluate({"x": x, "y": y}, batch=8)["loss"]
    assert loss == pytest.approx(np.square(expected - y).mean(), rel=1e-5)

    trainer.save(tmp_path / "run")
    np.testing.assert_array_equal(nl.load_run(tmp_path / "run")(x), expected)
    nl.compile(network, tmp_path / "build")
    forward = nl.from_onnx(tmp_path / "build" / "forward.onnx")
    assert_near(forward(x), expected, 1e-6)


def test_a_run_goes_on_with_both(tmp_path: Path):
    """Stopped, saved and restored: bit for bit what a run is that was not stopped."""
    whole, first = trained(9), trained(4)
    first.save(tmp_path / "run")
    second = Trainer.restore(tmp_path / "run", threads=1)
    for step in range(4, 9):
        second.step(**batch(step))
    found = second.variables()
    for name, array in whole.variables().items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    for name, array in whole.network.weights.items():
        np.testing.assert_array_equal(second.network.weights[name], array, err_msg=name)


def test_a_run_saved_before_its_first_step_has_no_averages(tmp_path: Path):
    trainer = trained(0)
    trainer.save(tmp_path / "run")
    np.testing.assert_array_equal(
        nl.load_run(tmp_path / "run").weights["linear.weight"], trainer.variables()["linear.weight"]
    )


def test_a_checkpoint_without_an_average_is_refused(tmp_path: Path):
    trainer = trained(2)
    trainer.save(tmp_path / "run")
    run = RunDirectory.open(tmp_path / "run")
    values = {name: array for name, array in trainer.variables().items() if not name.endswith(".average")}
    run.keep("last", values, trainer.progress())
    with pytest.raises(DiagnosticError) as caught:
        nl.load_run(tmp_path / "run")
    assert [fault.code for fault in caught.value.diagnostics] == ["bad-checkpoint"]


def test_a_frozen_parameter_has_no_average():
    network = program(PROGRAM.format(average="average ema(0.9)")).network(frozen=["linear.*"])
    assert set(network.averages) == {"batch_norm.scale", "batch_norm.shift", "linear_2.weight", "linear_2.bias"}


PHASES = """
model Pair() {
  param left: f32[3] ~ ones()
  param right: f32[3] ~ ones()
  param middle: f32[3] ~ ones()
  entry forward(x: f32[3]) -> f32[3] { return left * right * middle * x }
}
train Pair {
  phase one updates left repeats 2 {
    minimize sum(forward(x) * forward(x))
    optimizer sgd(0.01)
    average ema(0.5, warmup = false)
  }
  phase two updates right, middle {
    minimize sum(forward(x))
    optimizer sgd(0.1)
    FURTHER
  }
}
"""


def test_each_phase_has_its_own():
    """A mean over the updates of its phase, of which there may be several in a step."""
    network = program(PHASES.replace("FURTHER", "average polyak()")).network()
    training = Training(network, variables(network))
    x = np.array([0.5, 1.0, 2.0], np.float32)
    value = {name: training.variables[name].astype(np.float64) for name in ("left", "right", "middle")}
    means = {name: np.zeros(3) for name in value}
    for step in range(4):
        for repetition in range(2):
            others = value["right"] * value["middle"] * x
            value["left"] = value["left"] - 0.01 * 2 * value["left"] * others**2
            kept = 0.5 if 2 * step + repetition > 0 else 0.0
            means["left"] = kept * means["left"] + (1 - kept) * value["left"]
        right = value["right"] - 0.1 * value["left"] * value["middle"] * x
        value["middle"] = value["middle"] - 0.1 * value["left"] * value["right"] * x
        value["right"] = right
        for name in ("right", "middle"):
            means[name] += (value[name] - means[name]) / (step + 1)
        training.step({"x": x})
        for name, array in value.items():
            assert_near(training.variables[name], array, 1e-5, name)
            assert_near(training.variables[network.averages[name]], means[name], 1e-5, name)


def test_a_phase_may_have_none():
    network = program(PHASES.replace("FURTHER", "")).network()
    assert dict(network.averages) == {"left": "optimizer.left.average"}
    trainer = Trainer(BoundNetwork(network), threads=1)
    for _ in range(3):
        trainer.step(x=np.ones(3, np.float32))
    values, weights = trainer.variables(), trainer.network.weights
    np.testing.assert_array_equal(weights["left"], values["optimizer.left.average"])
    np.testing.assert_array_equal(weights["right"], values["right"])
    assert (values["left"] != weights["left"]).any()
