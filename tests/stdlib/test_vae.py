"""`VAE` against PyTorch with the same weights and the same noise; its samples; the bound, against its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from netlang.compiler import Network
from netlang.runtime.bound_network import BoundNetwork
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from .cases import linear
from .harness import (
    Arrays,
    Parameters,
    assert_gradients_match_differences,
    assert_near,
    library,
    torch_parameters,
    variables,
)
from .model_checks import assert_gradients_match_pytorch, random_numbers, results, trained

SMALL = {"latent": 3, "hidden": 8, "pixels": 10}


def network_of(**settings: Any) -> Network:
    return library("std.models.vae").network("VAE", {**SMALL, **settings})


def images(rows: int, pixels: int = SMALL["pixels"]) -> np.ndarray:
    """Bright on the left or on the right, with some noise."""
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, (rows, 1)) == (np.arange(pixels) < pixels // 2)
    return np.where(side, 0.9, 0.05).astype(np.float32) + rng.uniform(0, 0.1, (rows, pixels)).astype(np.float32)


def encoded(p: Parameters, x: Tensor) -> tuple[Tensor, Tensor]:
    h = linear(x, p, "encoder.linear").relu()
    return linear(h, p, "center"), linear(h, p, "log_variance")


def decoded(p: Parameters, z: Tensor) -> Tensor:
    return linear(linear(z, p, "decoder.linear").relu(), p, "decoder.linear_2")


def noise(network: Network, data: Arrays) -> Tensor:
    """What `normal_like` draws, from the two uniform numbers that it is made of (Box & Muller 1958)."""
    radius, angle = random_numbers(network, data)
    return torch.tensor(np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * angle))


def test_the_size_is_that_of_its_layers() -> None:
    expected = (784 + 1) * 400 + 2 * (400 + 1) * 20 + (20 + 1) * 400 + (400 + 1) * 784
    assert library("std.models.vae").network("VAE").parameter_count == expected


def test_both_directions_agree_with_pytorch() -> None:
    network = network_of()
    values, x = variables(network), images(6)
    z = np.random.default_rng(1).standard_normal((6, SMALL["latent"])).astype(np.float32)
    p = torch_parameters(network, values, training=False)
    found = results(network, values, {"x": x}, "encode")
    for ours, theirs in zip(found, encoded(p, torch.tensor(x)), strict=True):
        assert_near(ours, theirs, 1e-5)
    (found,) = results(network, values, {"z": z}, "decode")
    assert_near(found, decoded(p, torch.tensor(z)).sigmoid(), 1e-5)


def test_gradients_of_the_bound_agree_with_pytorch() -> None:
    network, data = network_of(beta=0.7), {"x": images(6)}
    drawn = noise(network, data)
    assert drawn.shape == (6, SMALL["latent"])

    def loss(p: Parameters, x: Tensor) -> Tensor:
        center, log_variance = encoded(p, x)
        posterior = Normal(center, (log_variance / 2).exp())
        z = center + posterior.stddev * drawn
        reconstruction = -Bernoulli(logits=decoded(p, z), validate_args=False).log_prob(x)
        divergence = kl_divergence(posterior, Normal(0.0, 1.0))
        return (reconstruction.sum() + 0.7 * divergence.sum()) / len(x)

    assert_gradients_match_pytorch(network, variables(network), data, loss)


def test_gradients_agree_with_differences() -> None:
    network = network_of()
    assert_gradients_match_differences(network, variables(network), {"x": images(6)}, h=1e-7)


def test_samples_are_decoded_normal_numbers() -> None:
    """A decoder that gives the sign of each number gives ones and zeros, half and half."""
    network = network_of(latent=2, hidden=4, pixels=2)
    bound = BoundNetwork(network, seed=0)
    weights = {name: np.zeros_like(array) for name, array in bound.weights.items()}
    weights["decoder.linear.weight"] = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    weights["decoder.linear_2.weight"] = np.array([[1, -1, 0, 0], [0, 0, 1, -1]], np.float32)
    bound.weights = weights
    found = bound.sample(20_000, 3)
    normal = np.log(found / (1 - found))  # the inverse of the sigmoid
    assert found.shape == (20_000, 2)
    np.testing.assert_allclose(normal.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(normal.T), np.eye(2), atol=0.03)
    np.testing.assert_array_equal(bound.sample(5, 1), bound.sample(5, 1))
    assert (bound.sample(5, 1) != bound.sample(5, 2)).all()


def test_the_bound_falls_and_images_come_out() -> None:
    network = library("std.models.vae").network("VAE", {"latent": 2, "hidden": 32, "pixels": 16, "lr": 0.01})
    x = images(256, 16)
    found, losses = trained(network, {"x": x}, steps=150, batch=64)
    assert losses[0] == pytest.approx(16 * np.log(2), rel=0.1)
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
    drawn = found.sample(64, 0) > 0.5
    halves = drawn.reshape(64, 2, 8)
    assert (halves == halves[:, :, :1]).mean() > 0.9  # each half is bright or dark as a whole
    assert 0.2 < drawn[:, 0].mean() < 0.8  # both kinds are drawn
