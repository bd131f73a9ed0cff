"""The library's models, written from their graphs and compiled again: the same numbers, weights and repeats."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from netlang.compiler import load_program
from netlang.compiler.emit import emit
from netlang.compiler.reading import read_model
from netlang.runtime import loader
from netlang.runtime.runner import Runner

from netlang.source import Source

from .harness import assert_same, feeds, library, random_weights, rewritten, without_scopes

GPT = {"layers": 3, "d": 16, "h": 2, "context": 8, "vocab": 11}
CASES: dict[str, dict[str, Any]] = {
    "LinearRegression": {},
    "Perceptron": {},
    "MLP": {"layers": 4},
    "LeNet5": {},
    "ResNet20": {},
    "GPT": GPT,
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("scopes", [True, False], ids=["scopes", "plain"])
def test_computes_the_same(name: str, scopes: bool):
    network = library(name, CASES[name])
    graph = network.elaborate()
    case = rewritten(graph if scopes else without_scopes(graph), name)
    assert_same(case)
    assert case.network.parameter_count == network.parameter_count


@pytest.mark.parametrize("name", CASES)
def test_through_onnx(name: str):
    network = library(name, CASES[name])
    graph = network.graph()
    weights = random_weights(graph)
    reading = read_model(onnx.ModelProto.FromString(emit(graph, weights=weights).SerializeToString()), name=name)
    case = rewritten(reading.graph, name, reading.weights)
    assert case.network.parameter_count == network.parameter_count
    arrays = feeds(graph)
    expected = Runner(graph, weights)(arrays)
    again = load_program(Source("again.net", case.text), loader.load).network().graph()
    found = Runner(again, case.written.weights)({new.name: arrays[new.name] for new in again.inputs})
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scopes", [True, False], ids=["scopes", "plain"])
@pytest.mark.parametrize(("name", "rounds"), [("MLP", (4,)), ("GPT", (3,))])
def test_repeats_are_found(name: str, rounds: tuple[int, ...], scopes: bool):
    graph = library(name, CASES[name]).elaborate()
    case = rewritten(graph if scopes else without_scopes(graph), name)
    assert case.written.repeats == rounds


def test_resnet_has_one_block_of_each_kind():
    case = rewritten(library("ResNet20").elaborate(), "ResNet20")
    assert sorted(case.written.repeats) == [2, 2, 3]
    assert case.text.count("conv2d(") == 4  # stem, body, strided body, projection
    assert case.written.layers == {"conv2d": 21, "batch_norm": 21, "global_avg_pool": 1, "linear": 1}


def test_lenet_reads_as_it_was_written():
    assert (
        rewritten(library("LeNet5").elaborate(), "LeNet5").text
        == """\
use std.layers: linear, conv2d, avg_pool2d

model LeNet5(image: f32[batch, 1, 32, 32]) -> f32[batch, 10] {
  return image
    |> conv2d(6, 5)
    |> tanh
    |> avg_pool2d(2)
    |> conv2d(16, 5)
    |> tanh
    |> avg_pool2d(2)
    |> conv2d(120, 5)
    |> tanh
    |> flatten
    |> linear(84)
    |> tanh
    |> linear(10)
}
"""
    )


def test_gpt_reads_as_a_block_and_a_repeat():
    text = rewritten(library("GPT", GPT).elaborate(), "GPT").text
    assert [line.split("(")[0] for line in text.splitlines() if line.startswith("layer")] == [
        "layer attention", "layer gpt_block"
    ]  # fmt: skip
    assert "repeat 3 {\n    h = gpt_block()(h, y)" in text
    assert "q, k, v = x |> linear(48) |> split(3)" in text
    assert "tokens_table.weight.T" in text
