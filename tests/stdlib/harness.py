"""Runs programs of the language with onnxruntime, and with the float64 interpreter, beside PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from netlang.compiler import Network, Program, load_program
from netlang.compiler.emit import emit
from netlang.compiler.initializers import materialise
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph
from netlang.compiler.passes.dead import dead
from netlang.compiler.verify import verify
from netlang.runtime.loader import load

from netlang.source import Source

Arrays = dict[str, np.ndarray]


def program(text: str) -> Program:
    """A user's file that may use the library."""
    return load_program(Source("case.net", text), load)


def library(module: str) -> Program:
    """A module of the library: `std.models.lenet`."""
    return load_program(load(module, False, Source("case.net", "")), load)


def after_pass(name: str, graph: Graph) -> None:
    """Every graph of these tests is verified after every pass."""
    verify(graph)


CHECKED: dict[str, Any] = {"after": after_pass}
"""Options of the methods of `Network` that make graphs."""


class Runner:
    """A graph in onnxruntime on one thread, its model accepted by the checker. Feeds are taken by name."""

    def __init__(self, graph: Graph) -> None:
        model = emit(graph)
        onnx.checker.check_model(model, full_check=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [item.name for item in self._session.get_inputs()]
        self._outputs = [item.name for item in self._session.get_outputs()]

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> Arrays:
        given = {name: feeds[name] for name in self.inputs}
        return dict(zip(self._outputs, self._session.run(self._outputs, given), strict=True))


class Training:
    """The complete training step, which keeps the variables between steps."""

    def __init__(self, network: Network, weights: Mapping[str, np.ndarray], steps: int = 100, seed: int = 0) -> None:
        graph = network.train_graph(**CHECKED)
        self.variables: Arrays = {**materialise(graph.variables, seed=0), **weights}
        self.count = 0
        self._steps = np.array(steps)
        self._seed = np.array(seed)
        self._run = Runner(graph)

    def step(self, feeds: Mapping[str, np.ndarray] | None = None) -> Arrays:
        """Loss and reports of one step."""
        scalars = {"step": np.array(self.count), "steps": self._steps, "seed": self._seed}
        outputs = self._run({**scalars, **self.variables, **(feeds or {})})
        for name in [name for name in outputs if name.startswith("next.")]:
            self.variables[name.removeprefix("next.")] = outputs.pop(name)
        self.count += 1
        return outputs


def variables(network: Network, seed: int = 0) -> Arrays:
    """Values of parameters and states: the initial ones, and noise on vectors, which begin as zeros and ones."""
    rng = np.random.default_rng([seed, 1])
    values = materialise(network.variables, seed)
    for variable in network.variables:
        array = values[variable.name]
        if variable.kind == "state":
            values[variable.name] = (array + rng.uniform(0.5, 1.5, array.shape)).astype(np.float32)
        elif array.ndim == 1:
            values[variable.name] = (array + 0.3 * rng.standard_normal(array.shape)).astype(np.float32)
    return values


def run_inputs(step: int = 0, steps: int = 100, seed: int = 0) -> Arrays:
    """The inputs that are neither data nor variables."""
    return {"step": np.array(step), "steps": np.array(steps), "seed": np.array(seed)}


class Parameters(dict[str, torch.Tensor]):
    """Variables of a network as PyTorch tensors, by name, and the mode to compute in."""

    def __init__(self, arrays: Mapping[str, np.ndarray], training: bool, trained: Iterable[str]) -> None:
        super().__init__({name: torch.tensor(array) for name, array in arrays.items()})
        self.training = training
        for name in trained:
            self[name].requires_grad_()

    def at(self, scope: str) -> Scope:
        """The variables of one layer."""
        return Scope(self, scope)


class Scope:
    """The variables of one layer, by their names within it."""

    def __init__(self, parameters: Parameters, path: str) -> None:
        self._parameters = parameters
        self._path = path

    @property
    def training(self) -> bool:
        return self._parameters.training

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._parameters[f"{self._path}.{name}"]

    def get(self, name: str) -> torch.Tensor | None:
        """The variable, where the layer has it."""
        return self._parameters.get(f"{self._path}.{name}")

    def __contains__(self, name: str) -> bool:
        """Whether the layer has a variable, or a layer, of this name."""
        return any(f"{known}.".startswith(f"{self._path}.{name}.") for known in self._parameters)

    def at(self, scope: str) -> Scope:
        return Scope(self._parameters, f"{self._path}.{scope}")


def torch_parameters(network: Network, arrays: Mapping[str, np.ndarray], *, training: bool) -> Parameters:
    """The variables of `network` for PyTorch; the parameters require gradients."""
    return Parameters(arrays, training, [v.name for v in network.variables if v.kind == "param" and v.trainable])


def assert_near(found: np.ndarray, expected: np.ndarray | torch.Tensor, tolerance: float, what: str = "") -> None:
    """The largest difference is at most `tolerance` times the largest expected magnitude (or times 1 where less)."""
    reference = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    assert found.shape == reference.shape, f"{what}: shape {found.shape}, expected {reference.shape}"
    scale = max(float(np.abs(reference).max(initial=0)), 1e-2)
    error = float(np.abs(found - reference).max(initial=0)) / scale
    assert error <= tolerance, f"{what}: relative error {error:.2e}, more than {tolerance:g}"


def assert_gradients_match_differences(
    network: Network, values: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray], h: float = 1e-5
) -> None:
    """The slope of the loss along a random direction over all parameters, in float64, against differences."""
    graph = network.gradient_graph(**CHECKED)
    known = {value.name for value in graph.sources()}
    feeds: Arrays = {name: array for name, array in {**run_inputs(), **values, **data}.items() if name in known}
    trained = [output.name.removeprefix("grad.") for output in graph.outputs if output.role == "gradient"]
    rng = np.random.default_rng(5)
    direction = {name: rng.standard_normal(feeds[name].shape) for name in trained}

    forward = dead(replace(graph, outputs=tuple(output for output in graph.outputs if output.role == "loss")))

    def loss(step: float) -> float:
        moved = {name: feeds[name].astype(np.float64) + step * move for name, move in direction.items()}
        return float(evaluate(forward, {**feeds, **moved}, "f64")["loss"])

    gradients = evaluate(graph, feeds, "f64")
    slope = sum(float(np.sum(gradients[f"grad.{name}"] * move)) for name, move in direction.items())
    expected = (loss(h) - loss(-h)) / (2 * h)
    assert abs(slope - expected) <= 1e-6 * max(1.0, abs(expected)), f"slope {slope}, by differences {expected}"
