"""Weights that a network uses twice, once transposed: exporters store the transposed one as a second weight."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import onnx

from ..ir import Value
from .names import is_made_up
from .weights import content

if TYPE_CHECKING:
    from .reader import Reader

Matrix = tuple[tuple[int, ...], bytes]


class TiedWeights:
    """The matrices among the weights that are read, by their content.

    A matrix under a name that the exporter made up, equal to another one transposed, is that one: trained apart, the two
    would no longer be the network's one weight.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._matrices: dict[Matrix, Value] = {}

    def add(self, tensor: onnx.TensorProto, value: Value) -> None:
        """Remembers a matrix under a name of its own."""
        array = self._reader.model.weights.get(value)
        if array is not None and array.ndim == 2 and not is_made_up(tensor.name):
            self._matrices[_key(array.T)] = value

    def find(self, tensor: onnx.TensorProto) -> Value | None:
        """The transposed matrix that `tensor` is a copy of."""
        if len(tensor.dims) != 2 or not is_made_up(tensor.name):
            return None
        array = content(tensor, self._reader.model.external)
        found = self._matrices.get(_key(array))
        return None if found is None else self._reader.b.transpose(found, perm=(1, 0))


def _key(array: np.ndarray) -> Matrix:
    digest = sha256(np.ascontiguousarray(array).tobytes()).digest()
    return (array.shape, array.dtype.str.encode() + digest)
