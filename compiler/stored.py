"""How a weight is made of tensors that a file holds: joined, cut, transposed. Data, which the runtime carries out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from .builder import size_of
from .shapes import static_shape

Read = Callable[[str], np.ndarray]
"""Reads a tensor of a file, by its name there."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of a file."""

    name: str
    type: TensorType

    def sources(self) -> Iterator[str]:
        """Names in the file of what this is made of."""
        yield self.name

    def array(self, read: Read) -> np.ndarray:
        """The values."""
        return read(self.name)


@dataclass(frozen=True, slots=True)
class Transposed:
    """With the last two axes swapped."""

    of: Tensor

    @property
    def type(self) -> TensorType:
        *outer, rows, columns = self.of.type.shape
        return replace(self.of.type, shape=(*outer, columns, rows))

    def sources(self) -> Iterator[str]:
        return self.of.sources()

    def array(self, read: Read) -> np.ndarray:
        return self.of.array(read).swapaxes(-1, -2)


@dataclass(frozen=True, slots=True)
class Joined:
    """One after the other, along the first axis."""

    parts: tuple[Tensor, ...]

    @property
    def type(self) -> TensorType:
        first = self.parts[0].type
        length = sum(_length(part.type) for part in self.parts)
        return replace(first, shape=(length, *first.shape[1:]))

    def sources(self) -> Iterator[str]:
        for part in self.parts:
            yield from part.sources()

    def array(self, read: Read) -> np.ndarray:
        return np.concatenate([part.array(read) for part in self.parts])


@dataclass(frozen=True, slots=True)
class Part:
    """`length` rows along the first axis, from the row `start` on."""

    of: Tensor
    start: int
    length: int

    @property
    def type(self) -> TensorType:
        whole = self.of.type
        return replace(whole, shape=(self.length, *whole.shape[1:]))

    def sources(self) -> Iterator[str]:
        return self.of.sources()

    def array(self, read: Read) -> np.ndarray:
        return self.of.array(read)[self.start : self.start + self.length]


@dataclass(frozen=True, slots=True)
class Reshaped:
    """With the same numbers in another shape, which the weight decides that this fills."""

    of: Tensor
    shape: tuple[Size, ...] | None = None

    @property
    def type(self) -> TensorType:
        return self.of.type if self.shape is None else replace(self.of.type, shape=self.shape)

    def to(self, shape: tuple[Size, ...]) -> Reshaped:
        """In this shape, where it has as many numbers."""
        return replace(self, shape=shape) if size_of(shape) == size_of(self.of.type.shape) else self

    def sources(self) -> Iterator[str]:
        return self.of.sources()

    def array(self, read: Read) -> np.ndarray:
        return self.of.array(read).reshape(static_shape(self.type))


Tensor = Stored | Transposed | Joined | Part | Reshaped


def _length(type_: TensorType) -> int:
    length = type_.shape[0]
    assert isinstance(length, int)
    return length
