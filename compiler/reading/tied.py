"""Weights that a network uses twice, once transposed: exporters store the transposed one as a second weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from ..ir import Value
from .weights import content

if TYPE_CHECKING:
    from .reader import Reader

DISTINCT = 16
"""How many distinct numbers make a matrix unlike any other."""


class TiedWeights:
    """The matrices among the weights that are read.

    A matrix that equals another one transposed, number by number, is that one: trained apart, the two would no longer
    be the network's one weight. (Matrices of a few distinct numbers, such as ones, tell nothing.)
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._matrices: dict[tuple[int, ...], list[Value]] = {}

    def add(self, value: Value) -> None:
        """Remembers a weight that is a matrix."""
        array = self._reader.model.weights.get(value)
        if array is not None and array.ndim == 2 and len(np.unique(array[:64, :64])) >= DISTINCT:
            self._matrices.setdefault(array.T.shape, []).append(value)

    def find(self, tensor: onnx.TensorProto) -> Value | None:
        """The transposed matrix that `tensor` is a copy of."""
        candidates = self._matrices.get(tuple(tensor.dims))
        if not candidates:
            return None
        array = content(tensor, self._reader.model.external)
        for value in candidates:
            if _equal(array, self._reader.model.weights[value].T):
                return self._reader.b.transpose(value, perm=(1, 0))
        return None


def _equal(x: np.ndarray, y: np.ndarray) -> bool:
    return x.dtype == y.dtype and np.array_equal(x[0], y[0]) and np.array_equal(x, y)
