"""ONNX's preview of training: optimizers as arithmetic, gradients as nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from netlang.compiler.reading import read_model
from onnx import helper, numpy_helper
from onnx.backend.test.loader import load_model_tests

from netlang.diagnostics import DiagnosticError

from .harness import Arrays, run_onnx
from .reading import model

DOMAIN = "ai.onnx.preview.training"


def training(nodes: list[onnx.NodeProto], feeds: Arrays, outputs: list[str]) -> dict[str, np.ndarray]:
    """What a model of `nodes` gives."""
    return run_onnx(read_model(model(nodes, feeds, outputs, domains={DOMAIN: 1})).graph, feeds)


def gradient(
    inputs: list[str], outputs: list[str], y: str, xs: list[str], zs: list[str] | None = None
) -> onnx.NodeProto:
    return helper.make_node("Gradient", inputs, outputs, domain=DOMAIN, y=y, xs=xs, **({"zs": zs} if zs else {}))


# --- gradients -----------------------------------------------------------------------------------------------------

AB: Arrays = {"a": np.array([1.5, -2.0], np.float32), "b": np.array([0.5, 3.0], np.float32)}
PRODUCT = [helper.make_node("Mul", ["a", "b"], ["ab"]), helper.make_node("Mul", ["ab", "a"], ["y"])]
"""y = a · b · a."""


def test_the_model_tests_of_the_onnx_package():
    cases = [case for case in load_model_tests(kind="simple") if "gradient_of" in case.name]
    assert [case.name for case in cases] == ["test_gradient_of_add", "test_gradient_of_add_and_mul"]
    for case in cases:
        folder = Path(case.model_dir)
        graph = read_model(onnx.load(folder / "model.onnx")).graph
        inputs, expected = stored(folder, "input"), stored(folder, "output")
        found = run_onnx(graph, dict(zip((item.name for item in graph.inputs), inputs, strict=True)))
        for array, wanted in zip(found.values(), expected, strict=True):
            np.testing.assert_allclose(array, wanted, rtol=1e-6)


def stored(folder: Path, role: str) -> list[np.ndarray]:
    """The inputs or outputs that the ONNX package keeps with a model."""
    paths = sorted((folder / "test_data_set_0").glob(f"{role}_*.pb"))
    return [numpy_helper.to_array(onnx.load_tensor(path)) for path in paths]


def test_of_a_gradient():
    """The second order: d²y/da² = 2 b, and d²y/da db = 2 a."""
    nodes = [*PRODUCT, gradient(["a", "b"], ["ga", ""], "y", ["a", "b"]),
             gradient(["a", "b"], ["gaa", "gab"], "ga", ["a", "b"])]  # fmt: skip
    found = training(nodes, AB, ["ga", "gaa", "gab"])
    np.testing.assert_allclose(found["ga"], 2 * AB["a"] * AB["b"])
    np.testing.assert_allclose(found["gaa"], 2 * AB["b"])
    np.testing.assert_allclose(found["gab"], 2 * AB["a"])


def test_by_a_value_in_between():
    """y = ab · a, so dy/d(ab) = a; and by a, with ab held, it is ab."""
    nodes = [*PRODUCT, gradient(["ab", "a"], ["g", "rest"], "y", ["ab", "a"])]
    found = training(nodes, AB, ["g", "rest"])
    np.testing.assert_allclose(found["g"], AB["a"])
    np.testing.assert_allclose(found["rest"], AB["a"] * AB["b"])


def test_with_a_value_in_between_held():
    found = training([*PRODUCT, gradient(["a", "ab"], ["g"], "y", ["a"], ["ab"])], AB, ["g"])
    np.testing.assert_allclose(found["g"], AB["a"] * AB["b"])


def test_at_other_values():
    found = training([*PRODUCT, gradient(["b", "a"], ["g"], "y", ["a"], ["b"])], AB, ["g"])
    np.testing.assert_allclose(found["g"], 2 * AB["b"] * AB["a"])


def test_with_an_input_too_few_is_refused():
    with pytest.raises(DiagnosticError) as caught:
        training([*PRODUCT, gradient(["a"], ["g"], "y", ["a", "b"])], AB, ["g"])
    assert caught.value.diagnostics[0].code == "onnx-unsupported"


# --- optimizers ----------------------------------------------------------------------------------------------------


def steps(op: str, states: int, count: int = 3, first: int = 0, **attributes: Any) -> list[np.ndarray]:
    """Two variables after some steps down the gradient 2 x."""
    rng = np.random.default_rng(2)
    values = [rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3), (4,))]
    memory = [np.zeros_like(values[i % 2]) for i in range(2 * states)]
    names = ["x0", "x1", "g0", "g1", *(f"s{i}" for i in range(2 * states))]
    outputs = [f"new_{name}" for name in names if name[0] != "g"]
    node = helper.make_node(op, ["rate", "step", *names], outputs, domain=DOMAIN, **attributes)
    for step in range(first, first + count):
        arrays = [np.array(0.1, np.float32), np.array(step), *values, *(2 * x for x in values), *memory]
        results = list(training([node], dict(zip(["rate", "step", *names], arrays, strict=True)), outputs).values())
        values, memory = results[:2], results[2:]
    return values


def torch_steps(optimizer: type[torch.optim.Optimizer], **options: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    values = [torch.tensor(rng.standard_normal(shape).astype(np.float32)) for shape in ((2, 3), (4,))]
    stepper = optimizer(values, **{"lr": 0.1} | options)
    for _ in range(3):
        for value in values:
            value.grad = 2 * value
        stepper.step()
    return [value.numpy() for value in values]


OPTIMIZERS = {
    "momentum": (("Momentum", 1, 3, 0), {"alpha": 0.9, "beta": 1.0, "mode": "standard", "norm_coefficient": 0.01},
                 torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
    "nesterov": (("Momentum", 1, 3, 0), {"alpha": 0.8, "beta": 1.0, "mode": "nesterov", "norm_coefficient": 0.0},
                 torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
    "adagrad": (("Adagrad", 1, 3, 0), {"decay_factor": 0.1, "epsilon": 1e-5},
                torch.optim.Adagrad, {"lr_decay": 0.1, "eps": 1e-5}),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_pytorchs(name: str):
    call, attributes, optimizer, options = OPTIMIZERS[name]
    for found, expected in zip(steps(*call, **attributes), torch_steps(optimizer, **options), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("first", [0, 1])
def test_adam_is_the_one_of_the_onnx_package(first: int):
    """ONNX adds epsilon before the correction of the bias, PyTorch after it."""
    attributes = {"alpha": 0.8, "beta": 0.95, "epsilon": 1e-2, "norm_coefficient": 0.02, "norm_coefficient_post": 0.1}
    found = steps("Adam", 2, count=1, first=first, **attributes)
    rng = np.random.default_rng(2)
    for x, new in zip([rng.standard_normal(shape) for shape in ((2, 3), (4,))], found, strict=True):
        g = 2.02 * x
        rate = 0.1 * np.sqrt(1 - 0.95) / (1 - 0.8) if first else 0.1
        expected = 0.9 * (x - rate * 0.2 * g / (np.sqrt(0.05 * g * g) + 1e-2))
        np.testing.assert_allclose(new, expected, rtol=1e-5, atol=1e-6)


def test_a_variable_without_its_state_is_refused():
    node = helper.make_node("Adagrad", ["a", "b", "a", "b"], ["y"], domain=DOMAIN)
    with pytest.raises(DiagnosticError) as caught:
        training([node], AB, ["y"])
    assert caught.value.diagnostics[0].code == "onnx-unsupported"
