"""The functions of `std.augment` against PyTorch and NumPy doing the same with the same random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from netlang.compiler.ir import Output
from torch import Tensor
from torch.nn import functional

from .harness import CHECKED, Runner, assert_near, program, run_inputs

RNG = np.random.default_rng(8)
IMAGES = RNG.random((40, 3, 10, 12), np.float32)
MODEL = "model Net(image: f32[b, c, h, w]) -> f32[b, c, h, w]"
Draws = list[Tensor]


def augmented(call: str, step: int = 0) -> tuple[np.ndarray, Draws]:
    """What a function of the library makes of IMAGES with open sizes, and the uniform numbers that it draws."""
    function = call.partition("(")[0]
    text = f"use std.augment: {function}\n{MODEL} {{ return image |> {call} }}"
    graph = program(text).network().graph(**CHECKED)
    bits = [node.outputs[0] for node in graph.nodes if node.op == "random_bits"]
    outputs = (*graph.outputs, *(Output(f"bits_{i}", value) for i, value in enumerate(bits)))
    found, *drawn = Runner(replace(graph, outputs=outputs))({"image": IMAGES, **run_inputs(step=step)}).values()
    return found, [torch.tensor(a.astype(np.float32) * np.float32(2.0**-32 * (1 - 2.0**-23)) + 0.5) for a in drawn]


def crop(images: Tensor, draws: Draws) -> Tensor:
    down, right = (torch.floor(u * 7).long().flatten() for u in draws)
    padded = functional.pad(images, (3, 3, 3, 3))
    return torch.stack([x[:, i : i + 10, j : j + 12] for x, i, j in zip(padded, down, right, strict=True)])


def flip(images: Tensor, draws: Draws) -> Tensor:
    return torch.where(draws[0] < 0.3, images.flip(3), images)


def vertical_flip(images: Tensor, draws: Draws) -> Tensor:
    return torch.where(draws[0] < 0.5, images.flip(2), images)


def affine(images: Tensor, draws: Draws) -> Tensor:
    angle, zoom, x, y = (2 * u.flatten() - 1 for u in draws)
    angle, size, x, y = angle * math.radians(20), 1 + 0.3 * zoom, 0.2 * x, 0.2 * y
    high, wide = 10.0, 12.0
    above = torch.stack([angle.cos(), angle.sin() * high / wide], 1) / size[:, None]
    below = torch.stack([-angle.sin() * wide / high, angle.cos()], 1) / size[:, None]
    theta = torch.cat([torch.stack([above, below], 1), torch.stack([x, y], 1)[:, :, None]], 2)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def resized_crop(images: Tensor, draws: Draws) -> Tensor:
    area, stretch, x, y = (u.flatten() for u in draws)
    area, stretch = 1 - 0.6 * area, (4 / 3) ** (stretch - 0.5)
    wide, high = (area.sqrt() * stretch).clip(max=1), (area.sqrt() / stretch).clip(max=1)
    theta = torch.zeros(len(images), 2, 3)
    theta[:, 0, 0], theta[:, 0, 2] = wide, (1 - wide) * (2 * x - 1)
    theta[:, 1, 1], theta[:, 1, 2] = high, (1 - high) * (2 * y - 1)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def hidden_square(images: Tensor, draws: Draws) -> Tensor:
    result = images.clone()
    for image, u, v in zip(result, *(draw.flatten() for draw in draws), strict=True):
        top, left = int(u * 10) - 2, int(v * 12) - 2
        image[:, max(top, 0) : top + 5, max(left, 0) : left + 5] = 0
    return result


def brightness(images: Tensor, draws: Draws) -> Tensor:
    return images * (1 + 0.4 * (2 * draws[0][..., None] - 1))


def contrast(images: Tensor, draws: Draws) -> Tensor:
    center = images.mean((1, 2, 3), keepdim=True)
    return center + (images - center) * (1 + 0.4 * (2 * draws[0][..., None] - 1))


def noise(images: Tensor, draws: Draws) -> Tensor:
    radius, angle = draws
    return images + 0.2 * torch.sqrt(-2 * radius.log()) * torch.cos(2 * math.pi * angle)


CASES: dict[str, Callable[[Tensor, Draws], Tensor]] = {
    "random_crop(3)": crop,
    "random_flip(0.3)": flip,
    "random_vertical_flip()": vertical_flip,
    "random_affine(degrees = 20, shift = 0.1, zoom = 0.3)": affine,
    "random_resized_crop(0.4)": resized_crop,
    "cutout(5)": hidden_square,
    "random_brightness(0.4)": brightness,
    "random_contrast(0.4)": contrast,
    "random_noise(0.2)": noise,
}


@pytest.mark.parametrize("call", CASES)
def test_against_pytorch(call: str) -> None:
    found, draws = augmented(call)
    assert_near(found, CASES[call](torch.tensor(IMAGES), draws), 2e-5, call)
    assert not np.array_equal(found, IMAGES)


@pytest.mark.parametrize("call", CASES)
def test_every_image_and_every_step_is_another(call: str) -> None:
    first, draws = augmented(call)
    again, _ = augmented(call)
    later, _ = augmented(call, step=1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later)
    assert all(len(torch.unique(draw.reshape(len(IMAGES), -1)[:, 0])) == len(IMAGES) for draw in draws)


@pytest.mark.parametrize(("p", "expected"), [(0, IMAGES), (1, IMAGES[:, :, :, ::-1])])
def test_flips_that_are_certain(p: int, expected: np.ndarray) -> None:
    assert np.array_equal(augmented(f"random_flip({p})")[0], expected)


def test_nothing_is_lost_where_nothing_moves() -> None:
    for call in ("random_crop(0)", "random_affine()", "random_brightness(0)", "random_noise(0)"):
        assert_near(augmented(call)[0], IMAGES, 1e-5, call)


def test_normalize() -> None:
    """One mean for all channels, or one for each."""
    means, stds = np.array([0.4, 0.5, 0.6], np.float32), np.array([0.2, 0.3, 0.5], np.float32)
    for given, mean, std in (
        ("0.5, 0.25", 0.5, 0.25),
        ("[0.4, 0.5, 0.6], [0.2, 0.3, 0.5]", means[:, None, None], stds[:, None, None]),
    ):
        text = f"use std.layers: normalize\n{MODEL} {{ return image |> normalize({given}) }}".replace("c,", "3,")
        (found,) = Runner(program(text).network().graph(**CHECKED))({"image": IMAGES}).values()
        assert_near(found, (IMAGES - mean) / std, 1e-6)
