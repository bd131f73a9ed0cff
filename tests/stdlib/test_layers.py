"""Layers, functions and losses: forward, training, gradients and running statistics against PyTorch; differences."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from netlang.compiler.dtypes import dtype_name

from .cases import FUNCTIONS, LAYERS, LOSSES, Case
from .harness import (
    CHECKED,
    Arrays,
    Parameters,
    Runner,
    assert_gradients_match_differences,
    assert_near,
    program,
    run_inputs,
    torch_parameters,
    variables,
)

CASES = (*LAYERS, *FUNCTIONS, *LOSSES)

# Everything is a parameter, so that everything has a gradient; `weights` make the gradient of the result random.
PROGRAM = """
use std.layers: linear, conv1d, conv2d, max_pool1d, max_pool2d, avg_pool1d, avg_pool2d, global_avg_pool, global_max_pool
use std.layers: conv_transpose2d, batch_norm, layer_norm, dropout, embedding
use std.attention: attention, learned_positions, sinusoidal_positions
model Case({inputs}) {{
  param x: f32{shape} ~ normal(1.0)
  return {expression}
}}
train Case {{
  in weights: f32{result}
  minimize sum(forward({names}) * weights)
  optimizer sgd(0.1)
}}
"""


def network_of(case: Case, result: tuple[int, ...]) -> Network:
    text = PROGRAM.format(
        inputs=", ".join(f"{name}: {dtype_name(a.dtype)}{list(a.shape)}" for name, a in case.data.items()),
        names=", ".join(case.data),
        shape=list(case.shape),
        expression=case.expression,
        result=list(result),
    )
    return program(text).network()


@cache
def prepared(case: Case) -> tuple[Network, Arrays, np.ndarray]:
    """The network of a case, values for its variables, and weights for its result."""
    shape = tuple(network_of(case, ()).elaborate().outputs[0].value.type.shape)
    network = network_of(case, shape)
    weights = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    return network, variables(network), weights


def reference(case: Case, *, training: bool) -> tuple[torch.Tensor, Parameters]:
    """PyTorch's result and the parameters, which afterwards hold new running statistics."""
    network, values, _ = prepared(case)
    parameters = torch_parameters(network, values, training=training)
    data = {name: torch.tensor(array) for name, array in case.data.items()}
    return case.torch(parameters["x"], parameters, **data), parameters


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inference_agrees_with_pytorch(case: Case):
    network, values, _ = prepared(case)
    found = Runner(network.graph(**CHECKED))({**values, **case.data})["output"]
    expected, _ = reference(case, training=False)
    assert_near(found, expected, 2e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_training_agrees_with_pytorch(case: Case):
    network, values, weights = prepared(case)
    found = Runner(network.gradient_graph(**CHECKED))({**values, **case.data, **run_inputs(), "weights": weights})
    result, parameters = reference(case, training=True)
    terms = result * torch.tensor(weights)
    terms.sum().backward()
    assert abs(found["loss"] - terms.sum().item()) <= 1e-6 * terms.abs().sum().item()
    for variable in network.variables:
        if variable.kind == "param":
            gradient = parameters[variable.name].grad
            assert gradient is not None
            assert_near(found[f"grad.{variable.name}"], gradient, 1e-5, variable.name)
        else:
            assert_near(found[f"next.{variable.name}"], parameters[variable.name], 1e-6, variable.name)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_agree_with_differences(case: Case):
    network, values, weights = prepared(case)
    assert_gradients_match_differences(network, values, {**case.data, "weights": weights})
