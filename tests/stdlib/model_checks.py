"""What every larger model is asked: PyTorch's gradients with the same weights, and a loss that falls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from netlang.compiler import Network
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.trainer import Trainer
from torch import Tensor

from .harness import CHECKED, Arrays, Parameters, Runner, assert_near, run_inputs, torch_parameters

LossInPytorch = Callable[..., Tensor]
"""From parameters and the arrays of a batch, by name, to the loss."""


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.tensor(array) for name, array in arrays.items()}


def results(network: Network, values: Arrays, data: Arrays, entry: str = "forward") -> list[np.ndarray]:
    """What an entry computes in onnxruntime, with all sizes open."""
    return list(Runner(network.graph(entry, **CHECKED))({**values, **data}).values())


def assert_gradients_match_pytorch(
    network: Network, values: Arrays, data: Arrays, loss: LossInPytorch, tolerance: float = 1e-4
) -> Parameters:
    """The loss in training, and its gradients by all parameters; PyTorch's parameters, with their gradients."""
    found = Runner(network.gradient_graph(**CHECKED))({**values, **data, **run_inputs()})
    parameters = torch_parameters(network, values, training=True)
    expected = loss(parameters, **tensors(data))
    expected.backward()
    assert_near(found["loss"], expected, tolerance, "loss")
    for variable in network.variables:
        gradient = parameters[variable.name].grad
        assert gradient is not None, f"{variable.name} has no part in PyTorch's loss"
        assert_near(found[f"grad.{variable.name}"], gradient, tolerance, variable.name)
    return parameters


def trained(network: Network, data: Mapping[str, Any], steps: int, batch: int = 8) -> tuple[BoundNetwork, list[float]]:
    """The network after training on random parts of `data`, by the trainer that users have; the loss of each step."""
    bound = BoundNetwork(network, seed=0)
    trainer = Trainer(bound, seed=0, threads=1, steps=steps)
    rng = np.random.default_rng(0)
    rows = len(next(iter(data.values())))
    losses = []
    for _ in range(steps):
        some = rng.permutation(rows)[:batch]
        losses.append(trainer.step(**{name: array[some] for name, array in data.items()})["loss"])
    return bound, losses
