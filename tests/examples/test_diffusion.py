"""`examples/diffusion.net`: the network of the library on squares of 2×2 pixels, which learns to take noise away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

import netlang as nl

FILE = Path(__file__).parents[2] / "examples" / "diffusion.net"
SMALL = {"c": 8, "steps": 4}


def test_each_square_of_pixels_is_one_place():
    network = nl.load(FILE)["Diffusion"](**SMALL)
    rng = np.random.default_rng(0)
    network.weights = {name: 0.1 * rng.standard_normal(w.shape, np.float32) for name, w in network.weights.items()}
    folded = nl.load("std:DDPM")["DDPM"](
        channels=4, side=14, levels=2, blocks=1, attend_at=7, groups=8, drop=0.0, most=0.13, **SMALL
    )
    folded.weights = {name.removeprefix("ddpm."): array for name, array in network.weights.items()}
    x, t = rng.standard_normal((2, 1, 28, 28), np.float32), np.array([0, 3])
    inside = folded.forward(pixel_unshuffle(torch.from_numpy(x), 2).numpy(), t)
    expected = pixel_shuffle(torch.from_numpy(np.asarray(inside)), 2)
    np.testing.assert_allclose(network.forward(x, t), expected, atol=1e-5)


def test_nothing_of_the_image_is_left_in_the_last_step():
    """As much is left as in the 1,000 steps of Ho et al. 2020: 4e-5 of the variance; here, at most ten times that."""
    settings = nl.load(FILE)["Diffusion"]().settings
    beta = np.linspace(0.0001, settings["most"], settings["steps"])
    assert np.prod(1 - beta) < 4e-4


def test_the_noise_is_learned():
    network = nl.load(FILE)["Diffusion"](lr=0.005, warmup=1, **SMALL)
    trainer = nl.Trainer(network, steps=30, threads=1)
    image = np.zeros((32, 1, 28, 28), np.float32)
    image[:, :, 8:20, 10:18] = 1
    losses = [trainer.step(image=image)["loss"] for _ in range(30)]
    assert abs(losses[0] - 1) < 0.05
    assert np.mean(losses[-5:]) < 0.7
    assert network.sample(2, 0).shape == (2, 1, 28, 28)
