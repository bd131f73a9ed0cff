"""How parameters begin: the table of initialisers, and values that depend only on a seed and a parameter's name."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .dtypes import numpy_dtype
from .ir import Variable
from .shapes import static_shape

Shape = tuple[int, ...]
"""Sizes of a parameter, all known."""


@dataclass(frozen=True)
class Initializer:
    """One way to fill a tensor.

    doc: the distribution, and the paper and year it is from.
    defaults: the arguments with their default values.
    draw: `draw(rng, shape, **arguments)`, a float array of `shape`.
    """

    doc: str
    defaults: Mapping[str, float]
    draw: Callable[..., np.ndarray]


def fans(shape: Shape) -> tuple[int, int]:
    """Fan-in and fan-out of a weight `[out, in, *kernel]`; a vector counts as one output for each element."""
    if len(shape) < 2:
        count = shape[0] if shape else 1
        return count, count
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


def initialize(variable: Variable, seed: int) -> np.ndarray:
    """The first value of `variable`: the same for the same seed and name, whatever else the network has.

    Raises KeyError for an initialiser that is not in the table, ValueError for a shape that it has no meaning for.
    """
    type_ = variable.value.type
    entry = INITIALIZERS[variable.init.name]
    arguments = {**entry.defaults, **dict(variable.init.arguments)}
    array = entry.draw(_generator(seed, variable.name), static_shape(type_), **arguments)
    return np.asarray(array, numpy_dtype(type_.dtype), order="C")


def materialise(variables: Iterable[Variable], seed: int) -> dict[str, np.ndarray]:
    """The first values of `variables`, by name."""
    return {variable.name: initialize(variable, seed) for variable in variables}


def _generator(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.sha256(name.encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed % 2**64, *words])))


def _zeros(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return np.zeros(shape, np.float32)


def _ones(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return np.ones(shape, np.float32)


def _constant(rng: np.random.Generator, shape: Shape, value: float) -> np.ndarray:
    return np.full(shape, value, np.float32)


def _normal(rng: np.random.Generator, shape: Shape, std: float, mean: float) -> np.ndarray:
    return rng.standard_normal(shape, np.float32) * np.float32(std) + np.float32(mean)


def _truncated_normal(rng: np.random.Generator, shape: Shape, std: float, mean: float) -> np.ndarray:
    values = rng.standard_normal(shape, np.float32)
    outside = np.abs(values) > 2
    while outside.any():
        values[outside] = rng.standard_normal(int(outside.sum()), np.float32)
        outside = np.abs(values) > 2
    return values * np.float32(std) + np.float32(mean)


def _uniform(rng: np.random.Generator, shape: Shape, low: float, high: float) -> np.ndarray:
    return rng.random(shape, np.float32) * np.float32(high - low) + np.float32(low)


def _symmetric(rng: np.random.Generator, shape: Shape, bound: float) -> np.ndarray:
    return _uniform(rng, shape, -bound, bound)


def _xavier_uniform(rng: np.random.Generator, shape: Shape, gain: float) -> np.ndarray:
    return _symmetric(rng, shape, gain * math.sqrt(6 / sum(fans(shape))))


def _xavier_normal(rng: np.random.Generator, shape: Shape, gain: float) -> np.ndarray:
    return _normal(rng, shape, gain * math.sqrt(2 / sum(fans(shape))), 0)


def _kaiming_uniform(rng: np.random.Generator, shape: Shape, a: float) -> np.ndarray:
    return _symmetric(rng, shape, math.sqrt(6 / ((1 + a * a) * fans(shape)[0])))


def _kaiming_normal(rng: np.random.Generator, shape: Shape, a: float) -> np.ndarray:
    return _normal(rng, shape, math.sqrt(2 / ((1 + a * a) * fans(shape)[0])), 0)


def _lecun_normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return _normal(rng, shape, math.sqrt(1 / fans(shape)[0]), 0)


def _orthogonal(rng: np.random.Generator, shape: Shape, gain: float) -> np.ndarray:
    if len(shape) < 2:
        raise ValueError(f"orthogonal needs at least two dimensions, found {list(shape)}")
    rows, columns = shape[0], math.prod(shape[1:])
    normal = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the distribution uniform (Mezzadri 2007)
    return gain * (q if rows >= columns else q.T).reshape(shape)


def _identity(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    if len(shape) != 2:
        raise ValueError(f"identity needs two dimensions, found {list(shape)}")
    return np.eye(*shape, dtype=np.float32)


INITIALIZERS: dict[str, Initializer] = {
    "zeros": Initializer("All 0.", {}, _zeros),
    "ones": Initializer("All 1.", {}, _ones),
    "constant": Initializer("All `value`.", {"value": 0.0}, _constant),
    "normal": Initializer("Normal with `mean` and standard deviation `std`.", {"std": 0.02, "mean": 0.0}, _normal),
    "truncated_normal": Initializer(
        "Normal with `mean` and `std`, drawn again beyond two standard deviations.",
        {"std": 0.02, "mean": 0.0},
        _truncated_normal,
    ),
    "uniform": Initializer("Uniform between `low` and `high`.", {"low": -1.0, "high": 1.0}, _uniform),
    "xavier_uniform": Initializer(
        "Uniform within ±gain·√(6 / (fan_in + fan_out)); Glorot & Bengio 2010.", {"gain": 1.0}, _xavier_uniform
    ),
    "xavier_normal": Initializer(
        "Normal with variance gain²·2 / (fan_in + fan_out); Glorot & Bengio 2010.", {"gain": 1.0}, _xavier_normal
    ),
    "kaiming_uniform": Initializer(
        "Uniform within ±√(6 / ((1 + a²)·fan_in)) for leaky ReLUs of slope `a`; He et al. 2015. The default slope √5 "
        "gives ±1/√fan_in, customary for linear and convolutional layers.",
        {"a": math.sqrt(5)},
        _kaiming_uniform,
    ),
    "kaiming_normal": Initializer(
        "Normal with variance 2 / ((1 + a²)·fan_in) for leaky ReLUs of slope `a`; He et al. 2015.",
        {"a": 0.0},
        _kaiming_normal,
    ),
    "lecun_normal": Initializer("Normal with variance 1 / fan_in; LeCun et al. 1998.", {}, _lecun_normal),
    "orthogonal": Initializer(
        "A random matrix with orthonormal rows or columns, times `gain`; Saxe et al. 2014.",
        {"gain": 1.0},
        _orthogonal,
    ),
    "identity": Initializer("1 on the diagonal, 0 elsewhere.", {}, _identity),
}
"""Initialisers by name."""
