"""Initialisers: their distributions against PyTorch's formulae, and values that depend on seed and name alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from netlang.compiler.initializers import INITIALIZERS, Shape, fans, initialize, materialise
from netlang.compiler.ir import Init, Value, Variable

from netlang.dims import symbol
from netlang.types import TensorType

SHAPES: list[Shape] = [(400, 300), (64, 32, 3, 3), (128, 64, 5)]


def variable(name: str, initializer: str, shape: tuple, dtype: str = "f32", **arguments: float) -> Variable:
    return Variable(Value(TensorType(dtype, shape), name), "param", Init(initializer, tuple(arguments.items())))


def draw(initializer: str, shape: Shape, **arguments: float) -> np.ndarray:
    return initialize(variable("w", initializer, shape, **arguments), seed=1)


@pytest.mark.parametrize("shape", [*SHAPES, (5, 4), (7, 6, 3)])
def test_fans_are_those_of_torch(shape: Shape):
    assert fans(shape) == torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


def test_a_vector_has_one_fan():
    assert fans((10,)) == (10, 10)
    assert fans(()) == (1, 1)


UNIFORM = {
    "xavier_uniform": lambda i, o: math.sqrt(6 / (i + o)),
    "kaiming_uniform": lambda i, o: 1 / math.sqrt(i),
}
NORMAL = {
    "xavier_normal": lambda i, o: math.sqrt(2 / (i + o)),
    "kaiming_normal": lambda i, o: math.sqrt(2 / i),
    "lecun_normal": lambda i, o: math.sqrt(1 / i),
}


def assert_moments(array: np.ndarray, mean: float, std: float) -> None:
    """Mean and standard deviation within five standard errors (of a normal, which has the largest of those here)."""
    count = array.size
    assert abs(array.mean(dtype=np.float64) - mean) < 5 * std / math.sqrt(count)
    assert abs(array.std(dtype=np.float64) - std) < 5 * std / math.sqrt(2 * count)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_initialisers(name: str, shape: Shape):
    bound = UNIFORM[name](*fans(shape))
    array = draw(name, shape)
    assert_moments(array, 0, bound / math.sqrt(3))
    assert bound * 0.999 < np.abs(array).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NORMAL)
def test_normal_initialisers(name: str, shape: Shape):
    array = draw(name, shape)
    std = NORMAL[name](*fans(shape))
    assert_moments(array, 0, std)
    kurtosis = np.mean((array / std) ** 4)
    assert abs(kurtosis - 3) < 5 * math.sqrt(96 / array.size)


@pytest.mark.parametrize(
    ("name", "torch_name", "ours", "theirs"),
    [
        ("xavier_uniform", "xavier_uniform_", {"gain": 2.0}, {"gain": 2.0}),
        ("xavier_normal", "xavier_normal_", {"gain": 0.5}, {"gain": 0.5}),
        ("kaiming_uniform", "kaiming_uniform_", {"a": 0.0}, {}),
        ("kaiming_uniform", "kaiming_uniform_", {}, {"a": math.sqrt(5)}),
        ("kaiming_normal", "kaiming_normal_", {}, {}),
        ("kaiming_normal", "kaiming_normal_", {"a": 0.2}, {"a": 0.2}),
        ("truncated_normal", "trunc_normal_", {}, {"std": 0.02, "a": -0.04, "b": 0.04}),
        ("normal", "normal_", {"std": 2.0, "mean": 1.0}, {"std": 2.0, "mean": 1.0}),
        ("uniform", "uniform_", {"low": -3.0, "high": 1.0}, {"a": -3.0, "b": 1.0}),
    ],
)
def test_distributions_are_those_of_torch(name: str, torch_name: str, ours: dict, theirs: dict):
    shape = (200, 300)
    torch.manual_seed(0)
    expected = getattr(torch.nn.init, torch_name)(torch.empty(shape), **theirs).numpy()
    found = draw(name, shape, **ours)
    quantiles = np.linspace(0.01, 0.99, 33)
    distance = np.abs(np.quantile(found, quantiles) - np.quantile(expected, quantiles))
    assert distance.max() < 0.02 * np.ptp(expected)
    assert abs(found.std() / expected.std() - 1) < 0.02


def test_linear_layers_begin_as_those_of_torch():
    torch.manual_seed(0)
    weight = torch.nn.Linear(300, 400).weight.detach().numpy()
    assert abs(draw("kaiming_uniform", (400, 300)).std() / weight.std() - 1) < 0.02


def test_truncated_normals_stay_within_two_deviations():
    array = draw("truncated_normal", (300, 300), std=0.5, mean=1.0)
    assert np.abs(array - 1).max() <= 1
    assert_moments(array, 1, 0.5 * 0.8796)  # of a normal truncated at two deviations


@pytest.mark.parametrize("shape", [(40, 40), (30, 50), (50, 30), (16, 4, 3, 3)])
def test_orthogonal_matrices_are_orthogonal(shape: Shape):
    matrix = draw("orthogonal", shape, gain=2.0).reshape(shape[0], -1).astype(np.float64) / 2
    product = matrix @ matrix.T if shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-6)


def test_constants():
    np.testing.assert_array_equal(draw("zeros", (2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(draw("ones", (2,)), np.ones(2))
    np.testing.assert_array_equal(draw("constant", (2,), value=0.25), [0.25, 0.25])
    np.testing.assert_array_equal(draw("identity", (2, 3)), [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initialiser_gives_its_shape_and_dtype(name: str):
    for dtype, expected in (("f32", np.float32), ("f64", np.float64)):
        array = initialize(variable("w", name, (4, 4), dtype), seed=0)
        assert (array.shape, array.dtype) == ((4, 4), expected)
        assert array.flags.c_contiguous
    assert INITIALIZERS[name].doc.endswith(".")


@pytest.mark.parametrize("name", ["zeros", "ones", "constant", "normal", "uniform"])
def test_scalars_can_be_initialised(name: str):
    assert initialize(variable("s", name, ()), seed=0).shape == ()


@pytest.mark.parametrize(("name", "shape"), [("orthogonal", (3,)), ("identity", (2, 2, 2))])
def test_refuses_shapes_that_have_no_meaning(name: str, shape: Shape):
    with pytest.raises(ValueError, match=r"needs (at least )?two dimensions, found \["):
        draw(name, shape)


def test_refuses_open_sizes():
    with pytest.raises(ValueError, match=r"a size of f32\[n\] is open"):
        initialize(variable("w", "zeros", (symbol("n"),)), 0)


def test_values_depend_on_seed_and_name_alone():
    a, b, c = (variable(name, "normal", (3, 4)) for name in "abc")
    alone = materialise([b], seed=7)
    among = materialise([c, a, b], seed=7)
    np.testing.assert_array_equal(alone["b"], among["b"])
    assert list(among) == ["c", "a", "b"]
    assert not np.array_equal(among["a"], among["b"])
    assert not np.array_equal(materialise([b], seed=8)["b"], alone["b"])


def test_values_are_the_same_in_every_version():
    """Published checkpoints and recorded runs rest on these bits."""
    found = initialize(variable("linear.weight", "kaiming_uniform", (2, 3)), seed=0)
    np.testing.assert_array_equal(found, np.array(RECORDED, np.float32).reshape(2, 3))


RECORDED = [
    *(0.21805119514465332, -0.214086651802063, -0.013119876384735107),
    *(0.1170772910118103, -0.23587879538536072, -0.010756313800811768),
]
