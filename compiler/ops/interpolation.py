"""Interpolation along one axis as a matrix: how much of each element goes into each result."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .common import bad_value

MODES = ("nearest", "linear", "cubic")
COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "tf_half_pixel_for_nn", "align_corners",
               "asymmetric", "tf_crop_and_resize")  # fmt: skip
ROUNDINGS = {
    "round_prefer_floor": lambda at: np.ceil(at - at.dtype.type(0.5)),
    "round_prefer_ceil": lambda at: np.floor(at + at.dtype.type(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
}


@dataclass(frozen=True, slots=True)
class Interpolation:
    """How an axis is interpolated, in ONNX's words.

    mode: "nearest", "linear" or "cubic" (Keys 1981, of sharpness `cubic`).
    coordinates: where the results lie among the elements. With "tf_crop_and_resize" they cover the axis from `start` to
        `end`, as fractions of it, and results beyond its ends are zero; otherwise the outermost elements go on.
    rounding: which element is the nearest one.
    exclude_outside: whether weights of elements beyond the ends are dropped and the others made to sum to 1.
    antialias: whether the kernel is as much wider as the axis is made shorter.
    scale: results per element; 0 where the sizes say it.
    """

    mode: str = "nearest"
    coordinates: str = "half_pixel"
    rounding: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    scale: float = 0.0
    start: float = 0.0
    end: float = 1.0

    @property
    def is_cropped(self) -> bool:
        """Whether the results cover a part of the axis."""
        return self.coordinates == "tf_crop_and_resize"

    def check(self) -> None:
        """Raises DiagnosticError (`bad-value`) where a word is none of ONNX's or two do not go together."""
        for name, word, known in (
            ("mode", self.mode, MODES),
            ("coordinates", self.coordinates, COORDINATES),
            ("rounding", self.rounding, tuple(ROUNDINGS)),
        ):
            if word not in known:
                raise bad_value(f"`{name}` of `resize` is none of the known ones", " or ".join(known), word)
        if self.antialias and self.mode == "nearest":
            raise bad_value("`antialias` widens a kernel, which the nearest element has none of", "linear", self.mode)

    def matrix(self, size: int, result: int) -> np.ndarray:
        """The weight of each element in each result, [size, result] in float64; columns sum to 1 or are zero."""
        at = self.positions(size, result)
        if self.mode == "nearest":
            weights = _spread(ROUNDINGS[self.rounding](at)[None], np.ones((1, result)), size)
        else:
            weights = self._weighted(at, size, result)
        if self.is_cropped:
            weights[:, (at < 0) | (at > size - 1)] = 0
        return weights

    def positions(self, size: int, result: int) -> np.ndarray:
        """Where the results lie: 0 is the first element and `size - 1` the last.

        The nearest one depends on the last bit: it is found in float32, as runtimes do.
        """
        number = np.float32 if self.mode == "nearest" else np.float64
        i = np.arange(result, dtype=number)
        half = number(0.5)
        scale = number(self._ratio(size, result))
        match self.coordinates:
            case "asymmetric":
                return i / scale
            case "tf_half_pixel_for_nn":
                return (i + half) / scale
            case "align_corners":
                return i * number(size - 1) / number(max(result - 1, 1))
            case "pytorch_half_pixel" if result == 1:
                return i
            case "half_pixel_symmetric":
                offset = number(size / 2) * (1 - number(result) / (scale * number(size)))
                return offset + (i + half) / scale - half
            case "tf_crop_and_resize":
                return self._cropped(i, size, result)
        return (i + half) / scale - half

    def _ratio(self, size: int, result: int) -> float:
        return float(np.float32(self.scale or result / max(size, 1)))

    def _cropped(self, i: np.ndarray, size: int, result: int) -> np.ndarray:
        number = i.dtype.type
        start, end = number(self.start), number(self.end)
        if result == 1:
            return i + number(0.5) * (start + end) * number(size - 1)
        return start * number(size - 1) + i * (end - start) * number(size - 1) / number(result - 1)

    def _weighted(self, at: np.ndarray, size: int, result: int) -> np.ndarray:
        wider = max(1 / self._ratio(size, result), 1.0) if self.antialias else 1.0
        reach = math.ceil((1 if self.mode == "linear" else 2) * wider)
        places = np.floor(at) + np.arange(1 - reach, reach + 1)[:, None]
        distance = (places - at) / wider
        weights = _hat(distance) if self.mode == "linear" else cubic_kernel(distance, self.cubic)
        if self.exclude_outside:
            weights[(places < 0) | (places >= size)] = 0
        total = weights.sum(0)
        return _spread(places, weights / np.where(total == 0, 1, total), size)


def cubic_kernel(distance: np.ndarray, a: float) -> np.ndarray:
    """The weight of an element at a distance: the cubic convolution kernel (Keys 1981)."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _hat(distance: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - np.abs(distance))


def _spread(places: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """`weights[tap, result]` at `places[tap, result]` of an axis whose outermost elements go on."""
    matrix = np.zeros((size, places.shape[1]))
    columns = np.broadcast_to(np.arange(places.shape[1]), places.shape)
    np.add.at(matrix, (np.clip(places, 0, size - 1).astype(np.int64), columns), weights)
    return matrix
