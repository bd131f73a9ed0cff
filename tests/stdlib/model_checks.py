"""What every larger model is asked: PyTorch's gradients with the same weights, and a loss that falls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from netlang.compiler import Network
from netlang.compiler.ir import Output
from netlang.compiler.passes.dead import dead
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.trainer import Trainer
from torch import Tensor

from .harness import CHECKED, Arrays, Parameters, Runner, Scope, assert_near, run_inputs, torch_parameters, variables

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


PADDING, BEGIN, END = 0, 1, 2
"""Tokens of the translation models."""


def copying_task(rows: int, vocab: int) -> Arrays:
    """Sentences of three to six words, and the same sentences as their translations."""
    rng = np.random.default_rng(0)
    source, target = np.zeros((rows, 7), np.int64), np.zeros((rows, 8), np.int64)
    for row in range(rows):
        words = rng.integers(3, vocab, rng.integers(3, 7))
        source[row, : len(words) + 1] = [*words, END]
        target[row, : len(words) + 2] = [BEGIN, *words, END]
    return {"source": source, "target": target}


def attention_weights(scope: Scope, name: str) -> dict[str, Tensor]:
    """Weights of `attention` or `cross_attention` as nn.MultiheadAttention calls them, in a module of this name."""
    *inner, last = (scope.at(linear) for linear in ("linear", "linear_2", "linear_3") if linear in scope)
    weights = {f"in_proj_{kind}": torch.cat([part[kind] for part in inner]) for kind in ("weight", "bias")}
    weights |= {f"out_proj.{kind}": last[kind] for kind in ("weight", "bias")}
    return {f"{name}.{key}": tensor for key, tensor in weights.items()}


def renamed(scope: Scope, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Weights of linear layers and normalisations as PyTorch calls them; `names` is of ours and theirs."""
    weights: dict[str, Tensor] = {}
    for ours, theirs in names.items():
        part = scope.at(ours)
        kinds = ("weight", "bias") if "weight" in part else ("scale", "shift")
        weights |= {f"{theirs}.{kind}": part[own] for kind, own in zip(("weight", "bias"), kinds, strict=True)}
    return weights


def random_numbers(network: Network, data: Arrays) -> list[np.ndarray]:
    """What each `uniform` of a step of training draws, in the order of the program, where nothing else draws."""
    graph = network.gradient_graph(**CHECKED)
    bits = [node.outputs[0] for node in graph.nodes if node.op == "random_bits"]
    drawn = dead(replace(graph, outputs=tuple(Output(f"bits_{i}", value) for i, value in enumerate(bits))))
    found = Runner(drawn)({**variables(network), **run_inputs(), **data}).values()
    return [array.astype(np.float32) * np.float32(2.0**-32 * (1 - 2.0**-23)) + np.float32(0.5) for array in found]


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
