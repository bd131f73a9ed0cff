"""The chapters of the course: each draws its picture, and its program learns what the chapter says that it learns."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

FOLDER = Path(__file__).parents[2] / "examples"
README = (FOLDER / "README.md").read_text("utf-8")
CHAPTERS = re.findall(r"^python examples/(\w+)\.py$", README, re.MULTILINE)
SHORT = 20
"""Steps that are enough to draw something."""


@pytest.fixture(scope="module", autouse=True)
def scripts_import_each_other() -> Iterator[None]:
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def script(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_draws_its_picture(name: str, tmp_path: Path):
    drawn = tmp_path / f"{name}.png"
    script("course").save(script(name).picture(SHORT), drawn)
    shown = FOLDER / "pictures" / drawn.name
    assert f"](pictures/{shown.name})" in README
    assert png_size(shown) == png_size(drawn)
    assert shown.stat().st_size < 60_000


def png_size(path: Path) -> tuple[int, int]:
    header = path.read_bytes()[16:24]
    return int.from_bytes(header[:4]), int.from_bytes(header[4:])


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (FOLDER / target).exists(), target


def trained(file: str, model: str, data: dict[str, Any], steps: int, batch: int | None = None, **settings: Any):
    """A network of the course after so many steps, and the log of them."""
    course = script("course")
    net = course.network(file, model, **settings)
    return net, course.train(net, data, steps, batch)


def pixels(split: str) -> dict[str, np.ndarray]:
    rows = script("course").digits(split)
    return {"x": rows["image"].reshape(-1, 64), "label": rows["label"]}


def test_one_layer_learns_and():
    points = script("course").table("and.csv")
    data = {"x": points[:, :2], "y": points[:, 2:].astype(np.int64)}
    net, log = trained("xor.net", "Perceptron", data, 300)
    assert log["accuracy"][-1] == 1
    np.testing.assert_array_equal(net.forward(data["x"]) > 0, data["y"] == 1)


def test_more_units_come_nearer_to_the_curve():
    points = script("course").table("curve.csv")
    data = {"x": points[:, :1], "y": points[:, 1:]}
    far, near = (trained("curve.net", "Curve", data, 3000, hidden=n)[1]["mae"][-1] for n in (2, 8))
    assert near < 0.02
    assert far > 0.2


@pytest.mark.parametrize(
    ("model", "activation", "vanishes"),
    [("Logistic", torch.sigmoid, True), ("Tangent", torch.tanh, False), ("Rectified", torch.relu, False)],
)
def test_gradients_vanish_behind_logistic_functions(model: str, activation: Any, vanishes: bool):
    net = script("course").network("activations.net", model)
    data = {name: array[:64] for name, array in pixels("train").items()}
    lengths = net.gradients(**data)
    weights = {name: torch.from_numpy(array) for name, array in net.weights.items()}
    np.testing.assert_allclose(lengths, gradient_lengths(weights, activation, data), rtol=1e-4)
    assert (lengths[0] < 1e-5 * lengths[-1]) == vanishes


def gradient_lengths(weights: dict[str, torch.Tensor], activation: Any, data: dict[str, np.ndarray]) -> list[float]:
    """The lengths of the gradients behind the layers, by PyTorch."""
    *body, head = zip(*[iter(weights.values())] * 2, strict=True)
    x, behind = torch.from_numpy(data["x"]), []
    for weight, bias in body:
        x = activation(functional.linear(x, weight, bias)).requires_grad_()
        behind.append(x)
    loss = functional.cross_entropy(functional.linear(x, *head), torch.from_numpy(data["label"]))
    return [float(g.norm()) for g in torch.autograd.grad(loss, behind)]


def test_stopping_early_is_better():
    overfitting, points = script("overfitting"), script("course").table("overfitting.csv")
    learned, held_out = ({"x": part[:, :1], "y": part[:, 1:]} for part in (points[::2], points[1::2]))
    losses, _ = overfitting.follow(learned, held_out, points[:, :1], 600)
    assert losses[-1, 0] == losses[:, 0].min() < 0.03
    assert losses[:, 1].argmin() < len(losses) / 2
    assert losses[-1, 1] > 1.3 * losses[:, 1].min()


def test_the_responses_are_those_of_a_convolution():
    rng = np.random.default_rng(0)
    image, filters = rng.random((12, 12), np.float32), rng.standard_normal((3, 5, 5)).astype(np.float32)
    found = functional.conv2d(torch.from_numpy(image)[None, None], torch.from_numpy(filters)[:, None])[0]
    np.testing.assert_allclose(
        script("filters").responses(image, filters), functional.relu(found), rtol=1e-4, atol=1e-5
    )


def test_equal_digits_are_neighbours_on_the_plane():
    net, _ = trained("latent.net", "Plane", {"x": pixels("train")["x"]}, 800, batch=64)
    learned, test = pixels("train"), pixels("test")
    places, asked = net.encode(learned["x"])[0], net.encode(test["x"])[0]
    nearest = np.square(asked[:, None] - places).sum(-1).argmin(1)
    assert np.mean(learned["label"][nearest] == test["label"]) > 0.6
    assert net.decode(asked).shape == (360, 64)


def test_a_head_looks_with_weights_that_add_up_to_one():
    course = script("course")
    net, _ = trained("attention.net", "Looking", course.digits("train"), 200, batch=64)
    test = course.digits("test")
    maps = net.maps(test["image"])
    np.testing.assert_allclose(maps.sum((2, 3)), 1, rtol=1e-5)
    assert maps.min() >= 0
    assert np.mean(net.forward(test["image"]).argmax(1) == test["label"]) > 0.9


def test_noise_becomes_spirals():
    data = script("course").table("spiral.csv")[:, :2]
    net, _ = trained("spiral.net", "Spiral", {"x": data}, 600, batch=512)
    path = net.path(n=300, seed=0)
    np.testing.assert_array_equal(path[-1], net.sample(n=300, seed=0))
    distances = [np.sqrt(np.square(points[:, None] - data).sum(-1).min(1)) for points in (path[0], path[-1])]
    assert np.median(distances[0]) > 0.1
    assert np.median(distances[1]) < 0.06
