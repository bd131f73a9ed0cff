"""The pipeline on the training steps of the library's models: well formed after every pass, and the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from netlang.compiler import load_program
from netlang.compiler.elaborate.graphs import train_graph
from netlang.compiler.initializers import materialise
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph
from netlang.compiler.passes import run
from netlang.compiler.shapes import static_shape
from netlang.compiler.verify import verify
from netlang.runtime import loader

MODELS: dict[str, dict[str, Any]] = {
    "LinearRegression": {},
    "Perceptron": {},
    "MLP": {},
    "LeNet5": {},
    "ResNet20": {},
    "GPT": {"layers": 2, "d": 16, "h": 2, "context": 8, "vocab": 11},
}
OPEN = {"batch": 2, "t": 8, "i": 3, "height": 8, "width": 8}


def step(name: str) -> Graph:
    """The training step of a model as differentiated, before any pass."""
    program = load_program(loader.read_source(loader.library_models()[name]), loader.load)
    return train_graph(program.network(name, MODELS[name]).blueprint, OPEN)


def feeds(graph: Graph) -> dict[str, np.ndarray]:
    """Initial variables; normal numbers, classes 0 and 1, and the second step of ten."""
    rng = np.random.default_rng(0)
    arrays = materialise(graph.variables, seed=0)
    for item in graph.inputs:
        shape = static_shape(item.value.type)
        whole = item.value.type.dtype == "i64"
        drawn = rng.integers(0, 2, shape) if whole else rng.standard_normal(shape).astype(np.float32)
        arrays[item.name] = {"step": np.asarray(1), "steps": np.asarray(10)}.get(item.role, np.asarray(drawn))
    return arrays


@pytest.mark.parametrize("name", MODELS)
def test_training_steps_keep_their_meaning(name: str):
    before = step(name)
    verify(before)
    after = run(before, after=lambda _, graph: verify(graph))
    assert len(after.nodes) < len(before.nodes)
    arrays = feeds(before)
    kept = {value.name for value in after.sources()}
    expected = evaluate(before, arrays, "f64")
    found = evaluate(after, {key: array for key, array in arrays.items() if key in kept}, "f64")
    assert list(found) == list(expected)
    for key, array in found.items():
        np.testing.assert_allclose(array, expected[key], rtol=1e-6, atol=1e-9, err_msg=key)
