"""The programs of `examples/`, with the data beside them: each trains, and learns what it says that it learns."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from netlang.compiler import Network, load_program
from netlang.compiler.initializers import materialise
from netlang.runtime.data import Dataset, match, open_data
from netlang.runtime.loader import load, open_source

from .harness import Arrays, Runner, Training, library

FOLDER = Path(__file__).parents[2] / "examples"


def example(name: str, model: str | None = None) -> Network:
    source, _ = open_source(str(FOLDER / name))
    return load_program(source, load).network(model)


def dataset(spec: str, network: Network) -> Dataset:
    """The data, as the command line would feed them."""
    return match(open_data(spec), network)


def rows(data: Dataset, split: str = "train") -> Arrays:
    """A split, whole."""
    table = data.splits[split]
    return table.take(table.sequence())


def trained(network: Network, batch: Arrays, steps: int, seed: int = 0) -> Training:
    """The network after so many steps on the same batch."""
    training = Training(network, materialise(network.variables, seed), steps)
    for _ in range(steps):
        training.step(batch)
    return training


def evaluated(network: Network, training: Training, batch: Arrays) -> Arrays:
    return Runner(network.eval_graph())({**training.variables, **batch})


def test_every_example_says_how_to_run_it():
    for path in FOLDER.glob("*.net"):
        header = path.read_text("utf-8").partition("\n\n")[0]
        assert f"\n##   netlang train examples/{path.name}" in header


def test_digits_learns():
    network = example("digits.net")
    data = dataset("digits", network)
    table = data.splits["train"]
    training = Training(network, materialise(network.variables, 0), steps=60)
    order = table.shuffled(0, 0, 32)
    losses = [
        float(training.step(table.take(np.resize(order, 60 * 32)[32 * i : 32 * i + 32]))["loss"]) for i in range(60)
    ]
    assert abs(losses[0] - math.log(10)) < 1
    assert np.mean(losses[-5:]) < 0.6
    assert evaluated(network, training, rows(data, "test"))["accuracy"] > 0.9


def test_two_layers_learn_exclusive_or():
    network = example("xor.net")
    assert network.name == "TwoLayers"
    batch = rows(dataset(f"csv:{FOLDER / 'xor.csv'}", network))
    assert len(batch["y"]) == 4
    found = evaluated(network, trained(network, batch, 300), batch)
    assert found["accuracy"] == 1
    assert found["loss"] < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_one_layer_cannot(seed: int):
    network = example("xor.net", "Perceptron")
    batch = rows(dataset(f"csv:{FOLDER / 'xor.csv'}", network))
    found = evaluated(network, trained(network, batch, 300, seed), batch)
    assert abs(found["loss"] - math.log(2)) < 1e-3
    assert found["accuracy"] <= 0.75


@pytest.mark.parametrize(("model", "learns"), [("mlp", True), ("perceptron", False)])
def test_so_it_is_with_the_models_of_the_library(model: str, learns: bool):
    network = library(f"std.models.{model}").network()
    batch = rows(dataset(f"csv:{FOLDER / 'xor.csv'}", network))
    found = evaluated(network, trained(network, batch, 200), batch)
    assert (found["accuracy"] == 1) == learns


def test_linear_regression_finds_the_least_squares():
    network = example("linear_regression.net")
    batch = rows(dataset(f"csv:{FOLDER / 'linear_regression.csv'}", network))
    training = trained(network, batch, 200)
    columns = np.hstack([batch["x"], np.ones((len(batch["x"]), 1))])
    expected, *_ = np.linalg.lstsq(columns, batch["y"])
    found = [*training.variables["linear.weight"][0], *training.variables["linear.bias"]]
    np.testing.assert_allclose(found, expected[:, 0], atol=1e-4)
    np.testing.assert_allclose(expected[:, 0], [3, -2, 0.5], atol=0.05)
