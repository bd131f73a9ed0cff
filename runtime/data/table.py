"""What a split of a data set is: named columns, rows by number, and the orders to go through them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ...compiler.dtypes import dtype_name
from .vocabulary import Vocabulary

Rows = np.ndarray
"""Row numbers, i64[n]."""


@dataclass(frozen=True, slots=True)
class Field:
    """One named column: the dtype and shape of a row of it. A size is None where rows differ, as those of pictures
    before they are fitted, and of sentences, which are filled up as they are taken.

    `image` marks `[channels, height, width]`, which may be resized or padded; `classes` is the number of values that
    an index takes, where known (labels, tokens).
    """

    dtype: str
    shape: tuple[int | None, ...]
    image: bool = False
    classes: int | None = None

    def __str__(self) -> str:
        sizes = ["n", *("_" if size is None else str(size) for size in self.shape)]
        return f"{self.dtype}[{', '.join(sizes)}]"


class Table(Protocol):
    """A split: rows of named columns."""

    @property
    def fields(self) -> Mapping[str, Field]:
        """The columns."""
        ...

    def take(self, rows: Rows) -> dict[str, np.ndarray]:
        """These rows of every column, stacked along the first axis."""
        ...

    def sequence(self) -> Rows:
        """Every row once, in order: how an evaluation goes."""
        ...

    def shuffled(self, seed: int, epoch: int, batch: int) -> Rows:
        """The rows of one epoch of training, which are taken `batch` at a time; the order depends on nothing else."""
        ...


@dataclass(frozen=True)
class Dataset:
    """Named splits (`train`, and perhaps `validation` and `test`) with the same columns.

    `settings` are values for parameters of a model that the data decides (`vocab`, `classes`); `vocabularies` say what
    the numbers of a column stand for; `notes` are for the user to see.
    """

    name: str
    splits: Mapping[str, Table]
    settings: Mapping[str, int] = field(default_factory=dict)
    vocabularies: Mapping[str, Vocabulary] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def fields(self) -> Mapping[str, Field]:
        """The columns of every split."""
        return next(iter(self.splits.values())).fields

    def rows(self) -> dict[str, int]:
        """Rows of each split: what an evaluation goes through, and an epoch of training."""
        return {name: len(table.sequence()) for name, table in self.splits.items()}


class ArrayTable:
    """Rows of arrays in memory.

    `divisors` turn integer columns into float32 ones as they are taken: `{"image": 255}` gives pixels in [0, 1], and
    a byte of memory for each.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], divisors: Mapping[str, int] | None = None, images: tuple[str, ...] = ()
    ) -> None:
        self._arrays = dict(arrays)
        self._divisors = dict(divisors or {})
        self._images = images
        self._count = len(next(iter(self._arrays.values())))
        self._fields = {name: self._field(name, array) for name, array in self._arrays.items()}

    @property
    def fields(self) -> Mapping[str, Field]:
        return self._fields

    def take(self, rows: Rows) -> dict[str, np.ndarray]:
        taken = {name: array[rows] for name, array in self._arrays.items()}
        for name, divisor in self._divisors.items():
            taken[name] = np.divide(taken[name], divisor, dtype=np.float32)
        return {name: _plain(array) for name, array in taken.items()}

    def sequence(self) -> Rows:
        return np.arange(self._count)

    def shuffled(self, seed: int, epoch: int, batch: int) -> Rows:
        return generator(seed, epoch).permutation(self._count)

    def part(self, rows: Rows) -> ArrayTable:
        """The table of these rows only."""
        return ArrayTable({name: array[rows] for name, array in self._arrays.items()}, self._divisors, self._images)

    def _field(self, name: str, array: np.ndarray) -> Field:
        if name in self._divisors:
            return Field("f32", array.shape[1:], image=name in self._images)
        plain = _plain(array[:0])
        classes = None
        if plain.dtype == np.int64 and array.size and int(array.min()) >= 0:
            classes = int(array.max()) + 1
        return Field(dtype_name(plain.dtype), array.shape[1:], name in self._images, classes)


def generator(*key: int) -> np.random.Generator:
    """A random generator that depends on these numbers only."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([part % 2**64 for part in key])))


def spread(count: int, limit: int | None) -> Rows:
    """At most `limit` of `count` row numbers, evenly spread, so that a sorted file loses no class."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.arange(limit) * count // limit


def split_off(count: int, fraction: float, key: int) -> tuple[Rows, Rows]:
    """Row numbers kept and row numbers held out, a `fraction` of them chosen at random but always the same."""
    order = generator(_HOLD_OUT, key).permutation(count)
    held = round(count * fraction)
    return np.sort(order[held:]), np.sort(order[:held])


_HOLD_OUT = 0x6E65746C  # keeps the draws of hold-outs apart from those of training orders


def batches(table: Table, size: int) -> Iterator[dict[str, np.ndarray]]:
    """All rows in order, `size` at a time; the last batch holds what is left."""
    rows = table.sequence()
    for start in range(0, len(rows), size):
        yield table.take(rows[start : start + size])


class TrainingFeed:
    """The batches of training by epoch and position: any of them at any time, which is what resuming needs."""

    def __init__(self, table: Table, size: int, seed: int) -> None:
        self._table = table
        self._size = size
        self._seed = seed
        self._epoch = -1
        self._order: Rows = np.arange(0)
        self.steps_per_epoch = -(-len(table.sequence()) // size)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step counted from 0 over all epochs. The last batch of an epoch may be smaller."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._table.shuffled(self._seed, epoch, self._size)
        start = position * self._size
        return self._table.take(self._order[start : start + self._size])


_WIDE = {"i": np.dtype(np.int64), "u": np.dtype(np.int64), "f": np.dtype(np.float32), "b": np.dtype(np.bool_)}


def _plain(array: np.ndarray) -> Any:
    """Integers as int64, floats as float32: the dtypes of the language's usual inputs."""
    return np.asarray(array, _WIDE[array.dtype.kind])
