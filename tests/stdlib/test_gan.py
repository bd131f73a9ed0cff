"""`GAN` and `DCGAN` against PyTorch with the same weights and the same noise: losses and gradients of both phases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from netlang.compiler.ir import Output
from netlang.compiler.passes.dead import dead
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.trainer import Trainer
from torch import Tensor
from torch.nn import functional

from .cases import batch_norm, conv, linear
from .harness import (
    CHECKED,
    Arrays,
    Parameters,
    Runner,
    assert_near,
    library,
    run_inputs,
    torch_parameters,
    variables,
)
from .model_checks import results

SMALL: dict[str, dict[str, Any]] = {
    "GAN": {"latent": 4, "hidden": 8, "pixels": 10, "drop": 0.0},
    "DCGAN": {"latent": 4, "width": 3, "hidden": 5},
}
INPUT = {"GAN": "x", "DCGAN": "image"}
RATES = {
    "GAN": {"discriminate": 0.0005, "generate": 0.0005},
    "DCGAN": {"discriminate": 0.0002, "generate": 0.001},
}


def network_of(model: str, **settings: Any) -> Network:
    return library("std.models.gan").network(model, {**SMALL[model], **settings})


def images(model: str, rows: int) -> np.ndarray:
    shape = (rows, 10) if model == "GAN" else (rows, 1, 28, 28)
    return np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)


def noise(network: Network, data: Arrays) -> list[Tensor]:
    """What `normal` draws in each phase, from the two uniform numbers that it is made of (Box & Muller 1958)."""
    graph = network.train_graph(**CHECKED)
    bits = [node.outputs[0] for node in graph.nodes if node.op == "random_bits"]
    drawn = dead(replace(graph, outputs=tuple(Output(f"bits_{i}", value) for i, value in enumerate(bits))))
    found = Runner(drawn)({**_zeros(network), **variables(network), **run_inputs(), **data}).values()
    uniform = [array.astype(np.float64) * 2.0**-32 * (1 - 2.0**-23) + 0.5 for array in found]
    pairs = zip(uniform[::2], uniform[1::2], strict=True)
    return [torch.tensor(np.sqrt(-2 * np.log(a)) * np.cos(2 * np.pi * b), dtype=torch.float32) for a, b in pairs]


def leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2)


def generate(model: str, p: Parameters, z: Tensor) -> Tensor:
    g = p.at("generator")
    if model == "GAN":
        return (linear(leaky(linear(leaky(linear(z, g)), g, "linear_2")), g, "linear_3").tanh() + 1) / 2
    x = batch_norm(linear(z, g), g).relu()
    x = batch_norm(linear(x, g, "linear_2").reshape(len(z), -1, 7, 7), g, "batch_norm_2").relu()
    first, second = g.at("conv_transpose2d"), g.at("conv_transpose2d_2")
    x = batch_norm(functional.conv_transpose2d(x, first["weight"], None, 2, 1), g, "batch_norm_3").relu()
    return (functional.conv_transpose2d(x, second["weight"], second["bias"], 2, 1).tanh() + 1) / 2


def judge(model: str, p: Parameters, x: Tensor) -> Tensor:
    d = p.at("discriminator")
    if model == "GAN":
        return linear(leaky(linear(leaky(linear(2 * x - 1, d)), d, "linear_2")), d, "linear_3")
    x = leaky(conv(2 * x - 1, d, "conv2d", stride=2, padding=1))
    x = leaky(batch_norm(conv(x, d, "conv2d_2", stride=2, padding=1), d))
    x = leaky(batch_norm(linear(x.flatten(1), d), d, "batch_norm_2"))
    return linear(x, d, "linear_2")


def answer(logits: Tensor, real: bool) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def of(p: Parameters, discriminator: bool) -> dict[str, Tensor]:
    """The parameters of one of the two networks."""
    return {name: t for name, t in p.items() if t.requires_grad and name.startswith("disc") == discriminator}


@pytest.mark.parametrize("model", ["GAN", "DCGAN"])
def test_both_phases_agree_with_pytorch(model: str) -> None:
    """Adam's first moment holds the gradient; the generator meets a discriminator that has learnt in this step."""
    network, x = network_of(model), images(model, 6)
    values, data = variables(network), {INPUT[model]: x}
    found = Runner(network.train_graph(**CHECKED))({**_zeros(network), **values, **data, **run_inputs()})
    p, (first, second) = torch_parameters(network, values, training=True), noise(network, data)
    made = generate(model, p, first).detach()
    loss = answer(judge(model, p, torch.tensor(x)), True) + answer(judge(model, p, made), False)
    _check("discriminate", loss, of(p, True), RATES[model], found)
    loss = answer(judge(model, p, generate(model, p, second)), True)
    _check("generate", loss, of(p, False), RATES[model], found)
    for variable in network.variables:
        if variable.kind == "state":
            assert_near(found[f"next.{variable.name}"], p[variable.name], 1e-5, variable.name)


def _zeros(network: Network) -> Arrays:
    """Optimizers and means that have not begun."""
    moments = [v for v in network.train_graph().variables if v.kind in ("optimizer", "average")]
    return {v.name: np.zeros(v.value.type.shape, np.float32) for v in moments}  # type: ignore[arg-type]


def _check(phase: str, loss: Tensor, parameters: dict[str, Tensor], rates: dict[str, float], found: Arrays) -> None:
    """The loss, its gradients, and what Adam makes of them, which is left in the parameters."""
    assert_near(found[f"{phase}.loss"], loss, 1e-5)
    optimizer = torch.optim.Adam(parameters.values(), rates[phase], (0.5, 0.999))
    optimizer.zero_grad()
    loss.backward(inputs=list(parameters.values()))
    optimizer.step()
    for name, tensor in parameters.items():
        assert tensor.grad is not None
        assert_near(found[f"next.optimizer.{phase}.{name}.adam_step.gradient_sum"], tensor.grad, 1e-4, name)
        assert_near(found[f"next.{name}"], tensor, 1e-4, name)


@pytest.mark.parametrize("model", ["GAN", "DCGAN"])
def test_entries_agree_with_pytorch(model: str) -> None:
    network, x = network_of(model), images(model, 3)
    values = variables(network)
    z = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    p = torch_parameters(network, values, training=False)
    (made,) = results(network, values, {"z": z}, "generate")
    assert_near(made, generate(model, p, torch.tensor(z)), 1e-5)
    (answers,) = results(network, values, {INPUT[model]: x}, "judge")
    assert_near(answers, judge(model, p, torch.tensor(x)), 1e-5)


@pytest.mark.parametrize(("model", "count"), [("GAN", 283_920 + 267_009), ("DCGAN", 853_185 + 837_025)])
def test_the_size_is_that_of_its_layers(model: str, count: int) -> None:
    assert library("std.models.gan").network(model).parameter_count == count


def test_a_digit_is_judged_as_a_whole() -> None:
    """What one corner does to the answer depends on the opposite one, which no convolution sees together with it."""
    network = network_of("DCGAN", hidden=32)
    values = {name: 20 * a if name.endswith("weight") else a for name, a in variables(network).items()}
    x = np.repeat(images("DCGAN", 1), 4, axis=0)
    x[[1, 3], :, :6, :6] = 1
    x[[2, 3], :, -6:, -6:] = 1
    (answers,) = results(network, values, {"image": x}, "judge")
    neither, first, last, both = answers[:, 0]
    assert abs((both - last) - (first - neither)) > 0.01 * abs(first - neither)


def test_samples_differ_by_seed() -> None:
    bound = BoundNetwork(network_of("DCGAN"), seed=0)
    assert bound.sample(4, 1).shape == (4, 1, 28, 28)
    np.testing.assert_array_equal(bound.sample(4, 1), bound.sample(4, 1))
    assert (bound.sample(4, 1) != bound.sample(4, 2)).any()


def test_what_is_made_comes_to_look_real() -> None:
    """Images that are bright on one side: the discriminator learns, then cannot tell them apart any more."""
    network = network_of("GAN", hidden=32, lr=0.002)
    rng = np.random.default_rng(0)
    bright = np.tile(np.arange(10) < 5, (64, 1))
    x = np.where(bright, 0.9, 0.1) + rng.uniform(-0.05, 0.05, (64, 10))
    bound = BoundNetwork(network, seed=0)
    trainer = Trainer(bound, seed=0, threads=1)
    steps = [trainer.step(x=x.astype(np.float32)) for _ in range(300)]
    losses = [step["discriminate.loss"] for step in steps]
    assert losses[0] == pytest.approx(2 * np.log(2), rel=0.05)
    assert min(losses) < 0.9 * losses[0]
    assert np.mean(losses[-20:]) == pytest.approx(2 * np.log(2), rel=0.05)
    assert all(step["loss"] == pytest.approx(step["discriminate.loss"] + step["generate.loss"]) for step in steps)
    found = bound.sample(64, 0)
    assert found[:, :5].mean() > 0.7
    assert found[:, 5:].mean() < 0.3
