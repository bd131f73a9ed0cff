"""Models of the library, given a batch of nothing: results of nothing, in their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from netlang.compiler import Network
from netlang.compiler.dtypes import numpy_dtype

from netlang.types import TensorType

from ..stdlib.harness import CHECKED, Runner, library, variables

WORDS = {"vocab": 7, "d": 4}
MODELS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("mlp", "MLP", "forward", {}),
    ("lenet", "LeNet5", "forward", {}),
    ("resnet", "ResNet20", "forward", {}),
    ("recurrent", "LSTM", "forward", {**WORDS, "n": 3}),
    ("recurrent", "GRU", "forward", {**WORDS, "n": 3}),
    ("recurrent", "SimpleRNN", "forward", {**WORDS, "n": 3}),
    ("gpt", "GPT", "forward", {**WORDS, "layers": 1, "h": 2, "context": 8}),
    ("bert", "BERT", "forward", {**WORDS, "layers": 1, "h": 2, "context": 8}),
    ("vae", "VAE", "encode", {}),
    ("gan", "DCGAN", "generate", {}),
    ("gan", "DCGAN", "judge", {}),
]
SIZES = {"batch": 0, "b": 0, "n": 0, "t": 3, "height": 32, "width": 32}


def results(network: Network, entry: str, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """What an entry makes of zeros of these sizes, each result of the shape that its type says."""
    graph = network.graph(entry, **CHECKED)

    def shape(type_: TensorType) -> tuple[int, ...]:
        return tuple(size if isinstance(size, int) else sizes[str(size)] for size in type_.shape)

    types = {item.name: item.value.type for item in graph.inputs}
    batch = {name: np.zeros(shape(type_), numpy_dtype(type_.dtype)) for name, type_ in types.items()}
    found = Runner(graph)({**variables(network), **batch})
    assert {name: array.shape for name, array in found.items()} == {
        output.name: shape(output.value.type) for output in graph.outputs
    }
    return found


@pytest.mark.parametrize(("module", "model", "entry", "settings"), MODELS, ids=str)
def test_batches_may_be_empty(module: str, model: str, entry: str, settings: dict[str, Any]) -> None:
    network = library(f"std.models.{module}").network(model, settings)
    assert all(array.size == 0 for array in results(network, entry, SIZES).values())


@pytest.mark.parametrize("model", ["LSTM", "GRU", "SimpleRNN"])
def test_sentences_may_have_no_words(model: str) -> None:
    """Their class is what follows from the biases alone, and the same for each."""
    network = library("std.models.recurrent").network(model, {**WORDS, "n": 3})
    (logits,) = results(network, "forward", {**SIZES, "batch": 2, "t": 0}).values()
    np.testing.assert_array_equal(logits, np.tile(variables(network)["linear.bias"], (2, 1)))
