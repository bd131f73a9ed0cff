"""Models of the library against PyTorch with the same weights: results, gradients, reports, one training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from torch import Tensor
from torch.nn import functional

from . import references
from .harness import (
    Arrays,
    Parameters,
    Runner,
    Training,
    assert_gradients_match_differences,
    assert_near,
    library,
    program,
    run_inputs,
    torch_parameters,
    variables,
)

RNG = np.random.default_rng(11)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def whole(limit: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, limit, shape)


Group = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Case:
    """A model with settings and a batch, and the same in PyTorch.

    inputs: arguments of `forward`, by name, as `torch` takes them after the parameters.
    target: the other input of the `train` block, by name.
    optimizer: of groups that decay and do not, with the rate of the first of 100 steps.
    gain: what initial weights are multiplied by, where they begin too small to matter.
    h: the step of the differences, small where the model has kinks.
    """

    module: str
    model: str
    torch: Callable[..., Tensor]
    inputs: Arrays
    target: Arrays
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Callable[[list[Group]], torch.optim.Optimizer]
    reports: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    clip: float | None = None
    gain: float = 1.0
    tolerance: float = 2e-5
    h: float = 1e-5

    def __str__(self) -> str:
        return self.model

    @property
    def data(self) -> Arrays:
        return {**self.inputs, **self.target}

    def forward(self, parameters: Parameters) -> Tensor:
        return self.torch(parameters, **{name: torch.tensor(array) for name, array in self.inputs.items()})

    @property
    def answer(self) -> Tensor:
        (array,) = self.target.values()
        return torch.tensor(array)


CASES: tuple[Case, ...] = (
    Case(
        "linear_regression",
        "LinearRegression",
        references.linear_regression,
        {"x": floats(6, 3)},
        {"y": floats(6, 2)},
        functional.mse_loss,
        partial(torch.optim.SGD, lr=0.1),
        {"mae": references.mae},
        {"features": 3, "outputs": 2},
    ),
    Case(
        "perceptron",
        "Perceptron",
        references.perceptron,
        {"x": floats(6, 2)},
        {"y": whole(2, 6, 1)},
        references.yes_or_no,
        partial(torch.optim.SGD, lr=0.5),
        {"accuracy": references.binary_accuracy},
    ),
    Case(
        "mlp",
        "MLP",
        references.mlp,
        {"x": floats(6, 5)},
        {"y": whole(2, 6, 3)},
        references.yes_or_no,
        partial(torch.optim.Adam, lr=0.05),
        {"accuracy": references.binary_accuracy},
        {"features": 5, "hidden": 7, "layers": 2, "outputs": 3},
    ),
    Case(
        "lenet",
        "LeNet5",
        references.lenet5,
        {"image": floats(3, 1, 32, 32)},
        {"label": whole(10, 3)},
        references.cross_entropy,
        partial(torch.optim.AdamW, lr=0.002),
        {"accuracy": references.accuracy},
        {"weight_decay": 0.3},
    ),
    Case(
        "resnet",
        "ResNet20",
        references.resnet20,
        {"image": floats(3, 3, 12, 12)},
        {"label": whole(10, 3)},
        references.cross_entropy,
        partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
        {"accuracy": references.accuracy},
        {"weight_decay": 0.3},
        h=1e-8,
    ),
    Case(
        "resnet",
        "ResNet18",
        references.resnet18,
        {"image": floats(3, 3, 48, 48)},
        {"label": whole(20, 3)},
        references.cross_entropy,
        partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        {"accuracy": references.accuracy, "top_k_accuracy": references.top_5_accuracy},
        {"classes": 20, "weight_decay": 0.3},
        h=1e-9,
    ),
    Case(
        "gpt",
        "GPT",
        references.gpt,
        {"tokens": whole(11, 3, 7)},
        {"target": whole(11, 3, 7)},
        references.cross_entropy,
        partial(torch.optim.AdamW, lr=0.1 / 5, betas=(0.9, 0.95)),
        {},
        {
            "vocab": 11,
            "d": 12,
            "layers": 2,
            "h": 2,
            "context": 9,
            "std": 0.02,
            "lr": 0.1,
            "warmup": 5,
            "beta2": 0.95,
            "weight_decay": 0.3,
        },
        clip=1.0,
        gain=15.0,
    ),
)


@cache
def prepared(case: Case) -> tuple[Network, Arrays]:
    network = library(f"std.models.{case.module}").network(case.model, case.settings)
    values = variables(network)
    return network, {name: array * np.float32(case.gain if array.ndim > 1 else 1) for name, array in values.items()}


@cache
def trained(case: Case) -> tuple[Tensor, Tensor, Parameters]:
    """PyTorch's result and loss in training, and the parameters with their gradients and new statistics."""
    network, values = prepared(case)
    parameters = torch_parameters(network, values, training=True)
    result = case.forward(parameters)
    loss = case.loss(result, case.answer)
    loss.backward()
    return result, loss, parameters


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inference_agrees_with_pytorch(case: Case):
    network, values = prepared(case)
    found = Runner(network.graph())({**values, **case.inputs})["output"]
    assert_near(found, case.forward(torch_parameters(network, values, training=False)), case.tolerance)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_evaluation_agrees_with_pytorch(case: Case):
    network, values = prepared(case)
    found = Runner(network.eval_graph())({**values, **case.data})
    result = case.forward(torch_parameters(network, values, training=False))
    assert_near(found.pop("loss"), case.loss(result, case.answer), case.tolerance)
    assert found == reported(case, result)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_agree_with_pytorch(case: Case):
    network, values = prepared(case)
    found = Runner(network.gradient_graph())({**values, **case.data, **run_inputs()})
    _, loss, parameters = trained(case)
    assert_near(found["loss"], loss, case.tolerance, "loss")
    for variable in network.variables:
        if variable.kind == "param":
            gradient = parameters[variable.name].grad
            assert gradient is not None
            assert_near(found[f"grad.{variable.name}"], gradient, 5 * case.tolerance, variable.name)
        else:
            assert_near(found[f"next.{variable.name}"], parameters[variable.name], case.tolerance, variable.name)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_agree_with_differences(case: Case):
    network, values = prepared(case)
    assert_gradients_match_differences(network, values, case.data, h=case.h)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_step_agrees_with_pytorch(case: Case):
    network, values = prepared(case)
    training = Training(network, values)
    reports = training.step(case.data)
    result, loss, parameters = trained(case)
    assert_near(reports.pop("loss"), loss, case.tolerance, "loss")
    assert reports == reported(case, result)
    gradients = step_in_pytorch(case, network, parameters)
    largest = max(float(np.abs(gradient).max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        # The first step of Adam is the sign of the gradient: where that is nothing but rounding, the step says nothing.
        told = np.abs(gradient) > max(1e-4 * np.abs(gradient).max(), 1e-6 * largest)
        found, expected = training.variables[name] - values[name], parameters[name].detach().numpy() - values[name]
        assert told.mean() > 0.5 or name.endswith("attention.linear.bias"), name  # that of the keys has gradient 0
        assert_near(found[told], expected[told], 10 * case.tolerance, name)


def reported(case: Case, result: Tensor) -> dict[str, Any]:
    """The reports as PyTorch computes them."""
    return {name: pytest.approx(report(result, case.answer).item()) for name, report in case.reports.items()}


def step_in_pytorch(case: Case, network: Network, parameters: Parameters) -> Arrays:
    """Takes the step; returns the gradients."""
    trainable = [variable for variable in network.variables if variable.kind == "param"]
    gradients = {variable.name: parameters[variable.name].grad for variable in trainable}
    if case.clip is not None:
        torch.nn.utils.clip_grad_norm_([parameters[name] for name in gradients], case.clip)
    decay = case.settings.get("weight_decay", 0.0)
    optimizer = case.optimizer(
        [
            {"params": [parameters[v.name] for v in trainable if v.decay == decays], "weight_decay": decays * decay}
            for decays in (True, False)
        ]
    )
    optimizer.step()
    return {name: gradient.numpy() for name, gradient in gradients.items() if gradient is not None}


def test_gpt2_has_the_approximate_gelu_and_its_first_weights():
    """`GPT2` is too large to run here: the same definition at another size."""
    text = """
    use std.models.gpt: GPT
    model Small(tokens: i64[3, 7]) -> f32[3, 7, 11] {
      let gpt = GPT(11, d = 12, layers = 2, h = 2, context = 9, activation = gelu_tanh, std = 0.02)
      return gpt(tokens)
    }
    """
    network = program(text).network()
    inits = {variable.name: str(variable.init) for variable in network.variables}
    assert inits["gpt.tokens_table.weight"] == "normal(std = 0.02, mean = 0)"
    assert inits["gpt.gpt_block.1.attention.linear.weight"] == "normal(std = 0.02, mean = 0)"
    assert inits["gpt.gpt_block.1.attention.linear_2.weight"] == "normal(std = 0.01, mean = 0)"
    assert inits["gpt.gpt_block.1.contract.weight"] == "normal(std = 0.01, mean = 0)"
    assert {init for name, init in inits.items() if name.endswith("bias")} == {"zeros()"}
    values = {name: array * np.float32(15 if array.ndim > 1 else 1) for name, array in variables(network).items()}
    tokens = whole(11, 3, 7)
    found = Runner(network.graph())({**values, "tokens": tokens})["output"]
    parameters = torch_parameters(network, values, training=False)
    expected, exact = (
        references.gpt(parameters.at("gpt"), torch.tensor(tokens), approximate=approximate).detach()
        for approximate in ("tanh", "none")
    )
    assert_near(found, expected, 2e-5)
    assert (exact - expected).abs().max() > 1e-4 * expected.abs().max()
