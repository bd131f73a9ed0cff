"""`DDPM` against a U-Net in PyTorch with the same weights and the same noise; its sampler, against Algorithm 2."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from netlang.runtime.artifacts import export
from netlang.runtime.bound_network import BoundNetwork
from torch import Tensor
from torch.nn import functional

from netlang.diagnostics import DiagnosticError

from .cases import conv, linear
from .harness import Arrays, Parameters, Scope, assert_near, library, torch_parameters, variables
from .model_checks import assert_gradients_match_pytorch, random_numbers, results, tensors, trained

SMALL = {"channels": 2, "side": 8, "c": 4, "levels": 2, "attend_at": 4, "groups": 2, "drop": 0.0, "steps": 6}
BLOCKS = 2


def network_of(**settings: Any) -> Network:
    return library("std.models.ddpm").network("DDPM", {**SMALL, **settings})


def weights(network: Network) -> Arrays:
    """Those that begin at 0 have values too, so that all parts take part."""
    rng, values = np.random.default_rng(2), variables(network)
    for name, array in values.items():
        if array.ndim > 1 and not array.any():
            values[name] = (rng.standard_normal(array.shape) / math.sqrt(array[0].size)).astype(np.float32)
    return values


def images(rows: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (rows, 2, 8, 8)).astype(np.float32)


# --- The network in PyTorch ------------------------------------------------------------------------------------------


def normalized(x: Tensor, p: Scope, name: str = "normalized") -> Tensor:
    return functional.group_norm(x, SMALL["groups"], p.at(name)["scale"], p.at(name)["shift"], 1e-6)


def convolution(x: Tensor, p: Scope, name: str, padding: int = 1) -> Tensor:
    return conv(x, p.at(name), "conv2d", padding=padding) + p.at(name)["bias"][:, None, None]


def block(x: Tensor, time: Tensor, p: Scope) -> Tensor:
    y = convolution(functional.silu(normalized(x, p)), p, "convolution")
    y = y + linear(functional.silu(time), p.at("dense"))[:, :, None, None]
    y = convolution(functional.silu(normalized(y, p, "normalized_2")), p, "convolution_2")
    return y + (convolution(x, p, "convolution_3", 0) if "convolution_3" in p else x)


def attention(x: Tensor, p: Scope) -> Tensor:
    pixels = normalized(x, p).flatten(2).mT
    q, k, v = linear(pixels, p.at("dense")).chunk(3, -1)
    y = linear(functional.scaled_dot_product_attention(q, k, v), p.at("dense_2"))
    return x + y.mT.unflatten(2, x.shape[2:])


def stage(x: Tensor, time: Tensor, p: Scope, place: str, suffix: str = "") -> Tensor:
    """A block, and attention where it has some."""
    x = block(x, time, p.at(f"time_block{suffix}.{place}"))
    name = f"pixel_attention{suffix}.{place}"
    return attention(x, p.at(name)) if name in p else x


def time_vector(t: Tensor, p: Scope) -> Tensor:
    half = SMALL["c"] // 2
    angle = t[:, None] * 10_000.0 ** (-torch.arange(half) / (half - 1))
    waves = torch.cat([angle.sin(), angle.cos()], 1)
    return linear(functional.silu(linear(waves, p.at("dense"))), p.at("dense_2"))


def unet(parameters: Parameters, x: Tensor, t: Tensor) -> Tensor:
    p, levels = parameters.at("network"), SMALL["levels"]
    time = time_vector(t, p)
    y = convolution(x, p, "convolution")
    seen = [y]
    for level in range(levels):
        for n in range(BLOCKS):
            y = stage(y, time, p, f"{level}.{n}")
            seen.append(y)
        if level < levels - 1:
            half = p.at(f"halved.{level}")
            y = conv(functional.pad(y, (0, 1, 0, 1)), half, "conv2d", stride=2) + half["bias"][:, None, None]
            seen.append(y)
    y = block(attention(block(y, time, p.at("middle")), p.at("middle_attention")), time, p.at("middle_2"))
    for risen in range(levels):
        for n in range(BLOCKS + 1):
            y = stage(torch.cat([y, seen.pop()], 1), time, p, f"{risen}.{n}", "_2")
        if risen < levels - 1:
            twice = functional.interpolate(y, scale_factor=2, mode="nearest")
            y = convolution(twice, p.at(f"doubled.{risen}"), "convolution")
    return convolution(functional.silu(normalized(y, p)), p, "convolution_2")


def schedule() -> tuple[Tensor, Tensor]:
    """The variance that each step replaces, and what is left of the image's after it."""
    beta = torch.linspace(0.0001, 0.02, SMALL["steps"], dtype=torch.float64)
    return beta, (1 - beta).cumprod(0)


# --- Tests -----------------------------------------------------------------------------------------------------------


def test_the_network_for_cifar_has_the_published_size() -> None:
    assert library("std.models.ddpm").network("DDPM").parameter_count == 35_746_307


def test_the_network_for_digits_is_smaller() -> None:
    network = library("std.models.ddpm").network("DDPMMnist", {"steps": 2})
    assert network.parameter_count == 1_112_801
    assert BoundNetwork(network, seed=0).sample(3, 0).shape == (3, 1, 28, 28)


def test_forward_agrees_with_pytorch() -> None:
    network = network_of()
    values, data = weights(network), {"x": images(3), "t": np.array([0, 5, 2])}
    with torch.no_grad():
        expected = unet(torch_parameters(network, values, training=False), **tensors(data))
    (found,) = results(network, values, data)
    assert_near(found, expected, 1e-5)


def test_gradients_agree_with_pytorch() -> None:
    network, data = network_of(), {"image": images(3)}
    share, radius, angle = (torch.tensor(bits) for bits in random_numbers(network, data))
    t = (share * SMALL["steps"]).long()
    noise = (-2 * radius.log()).sqrt() * (2 * math.pi * angle).cos()
    kept = schedule()[1].float()[t].reshape(-1, 1, 1, 1)

    def loss(p: Parameters, image: Tensor) -> Tensor:
        return functional.mse_loss(unet(p, kept.sqrt() * (2 * image - 1) + (1 - kept).sqrt() * noise, t), noise)

    assert_gradients_match_pytorch(network, weights(network), data, loss)


def test_the_network_begins_by_seeing_no_noise() -> None:
    network = network_of()
    (found,) = results(network, BoundNetwork(network, seed=0).weights, {"x": images(2), "t": np.array([1, 3])})
    assert not found.any()


def test_one_step_of_noise_is_refused() -> None:
    with pytest.raises(DiagnosticError) as raised:
        network_of(steps=1).graph()
    assert "at least two steps, not in 1" in str(raised.value)


@pytest.mark.parametrize("noise", [(0.0, 0.0), (-1.5, 1.0)], ids=str)
def test_sampling_follows_algorithm_2(noise: tuple[float, float]) -> None:
    """A network that sees the same noise everywhere: then x is normal, with known mean and variance at each step."""
    network = network_of()
    bound = BoundNetwork(network, seed=0)
    bound.weights = {**bound.weights, "network.convolution_2.bias": np.array(noise, np.float32)}
    beta, alpha_bar = schedule()
    mean, variance = np.zeros(2), 1.0
    for t in reversed(range(SMALL["steps"])):
        step, left = beta[t].item(), alpha_bar[t].item()
        mean = (mean - step / math.sqrt(1 - left) * np.array(noise)) / math.sqrt(1 - step)
        variance = variance / (1 - step) + (step if t else 0.0)
    x = 2 * bound.sample(800, 3) - 1  # values beyond -1 and 1 are cut off: quantiles within do not see it
    assert x.shape == (800, 2, 8, 8)
    found = np.quantile(x, [0.4, 0.5, 0.6], (0, 2, 3)) - mean
    expected = 0.2533471 * math.sqrt(variance)  # the quantile 0.6 of the normal distribution
    np.testing.assert_allclose(found, np.array([[-expected], [0], [expected]]) + np.zeros(2), atol=0.02)


def test_the_seed_decides_what_is_drawn() -> None:
    network = network_of()
    bound = BoundNetwork(network, weights(network))
    one, same, other = bound.sample(4, 1), bound.sample(4, 1), bound.sample(4, 2)
    np.testing.assert_array_equal(one, same)
    assert (one != other).mean() > 0.3
    assert one.min() >= 0
    assert one.max() <= 1


def test_it_learns_two_images_and_draws_them() -> None:
    settings = {"channels": 1, "side": 4, "c": 16, "levels": 1, "blocks": 1, "attend_at": 4, "steps": 40}
    network = network_of(**settings, lr=0.01, warmup=10)
    left = (np.arange(4) < 2).astype(np.float32) * np.ones((4, 1), np.float32)
    kinds = np.stack([left, 1 - left])[:, None]
    found, losses = trained(network, {"image": kinds[np.arange(64) % 2]}, steps=250, batch=64)
    assert losses[0] == pytest.approx(1, abs=0.15)
    assert np.mean(losses[-20:]) < 0.4
    drawn = found.sample(32, 0)
    distance = np.abs(drawn[:, None] - kinds).mean((2, 3, 4))
    assert (distance.min(1) < 0.2).mean() > 0.8
    assert set(distance.argmin(1)) == {0, 1}


def test_the_script_draws_with_the_exported_model(tmp_path: Path) -> None:
    network = network_of(channels=1)
    bound = BoundNetwork(network, weights(network))
    export(bound, tmp_path / "sample.onnx", entry="sample")
    script = Path(__file__).parents[2] / "examples" / "deploy" / "draw_digits.py"
    subprocess.run([sys.executable, str(script), "sample.onnx", "digits.pgm"], cwd=tmp_path, check=True)
    header, pixels = (tmp_path / "digits.pgm").read_bytes().split(b"\n", 1)
    assert header == b"P5 64 64 255"
    sheet = np.frombuffer(pixels, np.uint8).reshape(64, 64)
    np.testing.assert_allclose(sheet[8:16, 16:24], 255 * bound.sample(64, 0)[10, 0], atol=1.01)
