"""Networks as PyTorch exports them: equal results and equal gradients, for another batch size than the exported one."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.passes import run as simplify
from netlang.compiler.reading import Reading, read_model
from netlang.compiler.verify import verify

from . import backend
from .exported import NETWORKS, Exported, export
from .models import operators

DYNAMO = [False, pytest.param(True, marks=pytest.mark.filterwarnings("ignore"))]


@cache
def exported(name: str, dynamo: bool) -> Exported:
    if dynamo:
        pytest.importorskip("onnxscript", reason="PyTorch's newer exporter needs onnxscript")
    return export(name, dynamo)


def run(reading: Reading, x: torch.Tensor) -> np.ndarray:
    model = emit(reading.graph, weights=reading.weights)
    return backend.run(model, [item.name for item in reading.graph.inputs], [x.numpy()])[0]


@pytest.mark.parametrize("dynamo", DYNAMO)
@pytest.mark.parametrize("name", NETWORKS)
def test_results(name: str, dynamo: bool):
    case = exported(name, dynamo)
    reading = read_model(case.model)
    verify(reading.graph)
    np.testing.assert_allclose(run(reading, case.x), case.network(case.x).detach().numpy(), rtol=1e-5, atol=1e-5)
    assert "foreign" not in operators(reading)
    assert all("#" not in str(node) for node in reading.graph.nodes), "a shape is left to the run"


@pytest.mark.parametrize("dynamo", DYNAMO)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name: str, dynamo: bool):
    """Of the sum of squares, by the input; and by a weight that PyTorch has under the same name, where there is one."""
    case = exported(name, dynamo)
    reading = read_model(case.model)
    b = Builder()
    b.adopt(reading.graph)
    (output,) = reading.graph.outputs
    loss = b.sum(b.mul(output.value, output.value))
    (source,) = reading.graph.inputs
    weights = {variable.name: variable.value for variable in reading.graph.params}
    named = {key.replace("layer_", ""): value for key, value in weights.items()}
    theirs = {key: value for key, value in case.network.named_parameters() if key in named}
    assert theirs
    found = gradients(b, loss, [source.value, *(named[key] for key in theirs)])
    for i, gradient in enumerate(found):
        b.output(f"g{i}", gradient)
    b.differentiated = True
    x = case.x.clone().requires_grad_()
    (case.network(x) ** 2).sum().backward()
    results = backend.run(emit(simplify(b.graph()), weights=reading.weights), [source.name], [case.x.numpy()])
    expected = [x.grad, *(case.network.get_parameter(key).grad for key in theirs)]
    case.network.zero_grad()
    for result, wanted in zip(results[-len(expected) :], expected, strict=True):
        assert wanted is not None
        np.testing.assert_allclose(result.reshape(wanted.shape), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_names_say_where_weights_belong():
    names = {name: set(read_model(exported(name, False).model).weights) for name in NETWORKS}
    assert names["mlp"] == {f"layer_{i}.{role}" for i in (0, 2, 4) for role in ("weight", "bias")}
    assert {"lstm.weight_ih", "lstm.weight_hh", "lstm.bias", "head.weight"} <= names["lstm"]
    assert {"layers.0.self_attn.in_proj_bias", "layers.1.norm2.weight"} <= names["transformer"]
