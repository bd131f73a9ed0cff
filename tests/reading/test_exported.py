"""Networks as PyTorch exports them: equal results and equal gradients, for other sizes than those exported."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.ir import Variable
from netlang.compiler.passes import run as simplify
from netlang.compiler.reading import Reading, read_model
from netlang.compiler.verify import verify

from . import backend
from .exported import NETWORKS, Exported, export, export_module, export_program
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
    types = [value.type for node in reading.graph.nodes for value in node.outputs]
    assert all("#" not in str(type_) for type_ in types), "a shape is left to the run"


@pytest.mark.parametrize("dynamo", DYNAMO)
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name: str, dynamo: bool):
    """Of a weighted sum of the results, by the input and by every weight that the exporter left as it was."""
    case = exported(name, dynamo)
    reading = read_model(case.model)
    weights = {variable.name.replace("layer_", ""): variable for variable in reading.graph.params}
    kept = {key: value for key, value in case.network.named_parameters() if _is_kept(key, value, weights, reading)}
    assert kept
    floats = case.x.is_floating_point()
    x = case.x.clone().requires_grad_(floats)
    y = case.network(x)
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (y * direction).sum().backward()
    expected = [*([x.grad] if floats else []), *(value.grad for value in kept.values())]
    case.network.zero_grad()

    b = Builder()
    b.adopt(reading.graph)
    b.differentiated = True
    loss = b.sum(b.mul(reading.graph.outputs[0].value, b.input("direction", reading.graph.outputs[0].value.type)))
    wrt = [*([reading.graph.inputs[0].value] if floats else []), *(weights[key].value for key in kept)]
    for i, gradient in enumerate(gradients(b, loss, wrt)):
        b.output(f"g{i}", gradient)
    model = emit(simplify(b.graph()), weights=reading.weights)
    names = [item.name for item in b.graph().inputs]
    for result, wanted in zip(backend.run(model, names, [case.x.numpy(), direction.numpy()]), expected, strict=True):
        assert wanted is not None
        np.testing.assert_allclose(result, wanted.numpy(), rtol=1e-4, atol=1e-5)


def _is_kept(name: str, value: torch.Tensor, weights: dict[str, Variable], reading: Reading) -> bool:
    """Whether the model has a weight of PyTorch's under the same name, with the same content."""
    return name in weights and np.array_equal(reading.weights[weights[name].name], value.detach().numpy())


def test_names_say_where_weights_belong():
    names = {name: set(read_model(exported(name, False).model).weights) for name in NETWORKS}
    assert names["mlp"] == {f"layer_{i}.{role}" for i in (0, 2, 4) for role in ("weight", "bias")}
    assert {"lstm.weight_ih", "lstm.weight_hh", "lstm.bias", "head.weight"} <= names["lstm"]
    assert {"layers.0.self_attn.in_proj_bias", "layers.1.norm2.weight"} <= names["transformer"]


def test_weights_that_are_equal_at_first_are_kept_apart():
    """The older exporter stores them once, and copies them with Identity."""
    network = torch.nn.Sequential(torch.nn.LayerNorm(4), torch.nn.LayerNorm(4), torch.nn.LayerNorm(4))
    reading = read_model(export_module(network, torch.randn(2, 4)))
    assert set(reading.weights) == {f"layer_{i}.{role}" for i in range(3) for role in ("weight", "bias")}


class Sums(torch.nn.Module):
    """Sums of messages at nodes, which begin with zeros that the exporter stores."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 4)
        self.register_buffer("ends", torch.tensor([0, 2, 2, 4, 1, 0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(5, 4).index_add(0, self.ends, self.linear(x))


@pytest.mark.filterwarnings("ignore")
def test_what_sums_begin_with_is_no_weight():
    pytest.importorskip("onnxscript", reason="PyTorch's newer exporter needs onnxscript")
    network, x = Sums(), torch.randn(6, 3)
    reading = read_model(export_program(network, x, {}))
    assert {math.prod(variable.value.type.shape) for variable in reading.graph.params} == {12, 4}
    np.testing.assert_allclose(run(reading, x), network(x).detach().numpy(), rtol=1e-5, atol=1e-6)
