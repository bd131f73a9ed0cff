"""Rows of different lengths: batches of rows of similar length, filled up to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from netlang.diagnostics import fail

from .table import ArrayTable, Field, Rows, generator

BUCKETS = 6
"""How many lengths rows are filled up to: a training step is compiled for each, and few are kept at a time."""

LONGEST = 10_000
"""More tokens in a row are a mistake, such as a file without line ends, unless a length is asked for."""

_EDGES_TRIED = 400


class Sequences:
    """Sequences of tokens one behind the other. `classes` is the number of values that a token takes."""

    def __init__(self, rows: Sequence[np.ndarray], classes: int) -> None:
        """`rows` are integers of any dtype and length."""
        self.lengths = np.array([len(row) for row in rows], np.int64)
        self.classes = classes
        self._tokens = np.concatenate([*rows, np.zeros(1, np.int32)]).astype(np.int32)
        self._starts = np.cumsum(self.lengths) - self.lengths

    def padded(self, rows: Rows, width: int, padding: int) -> np.ndarray:
        """These rows, filled up to `width`: i64[n, width]."""
        places = np.arange(width)
        inside = places < self.lengths[rows][:, None]
        found = self._tokens[np.where(inside, self._starts[rows][:, None] + places, 0)]
        return np.where(inside, found, padding).astype(np.int64)


class SequenceTable:
    """Columns of sequences, filled up with the number `padding`, and columns with a number for each row.

    Rows are put into a few buckets by the length of their longest sequence. All rows of a bucket are filled up to the
    same lengths, and rows that are taken together to those of the longest bucket among them. Training takes rows of one
    bucket at a time, in random order. What is left over of the buckets makes mixed batches, and a smaller one, with the
    longest of it, at the end.
    """

    def __init__(
        self,
        sequences: Mapping[str, Sequences],
        columns: ArrayTable | None = None,
        padding: int = 0,
        rows: Rows | None = None,
    ) -> None:
        """`rows` are those of the table, all where they are not given."""
        self._sequences = dict(sequences)
        self._columns = columns
        self._padding = padding
        count = len(next(iter(self._sequences.values())).lengths)
        self._rows = np.arange(count) if rows is None else rows
        lengths = {name: each.lengths[self._rows] for name, each in self._sequences.items()}
        self.longest = np.max(list(lengths.values()), axis=0)
        """The length of the longest sequence of each row, i64[n]."""
        self._bucket, self._widths = _buckets(self.longest, lengths)

    @property
    def fields(self) -> dict[str, Field]:
        fields = {name: Field("i64", (None,), classes=each.classes) for name, each in self._sequences.items()}
        return {**fields, **(self._columns.fields if self._columns else {})}

    def take(self, rows: Rows) -> dict[str, np.ndarray]:
        own = self._rows[rows]
        bucket = int(self._bucket[rows].max(initial=0))
        taken = {
            name: each.padded(own, int(self._widths[name][bucket]), self._padding)
            for name, each in self._sequences.items()
        }
        return {**taken, **(self._columns.take(own) if self._columns else {})}

    def sequence(self) -> Rows:
        return np.arange(len(self._rows))

    def shuffled(self, seed: int, epoch: int, batch: int) -> Rows:
        random = generator(seed, epoch)
        order = random.permutation(len(self._rows))
        order = order[np.argsort(self._bucket[order], kind="stable")]
        buckets = np.split(order, np.cumsum(np.bincount(self._bucket))[:-1])
        whole = [rows[: len(rows) // batch * batch].reshape(-1, batch) for rows in buckets]
        rest = np.concatenate([rows[len(rows) // batch * batch :] for rows in buckets])
        mixed = rest[: len(rest) // batch * batch].reshape(-1, batch)
        batches = random.permutation(np.concatenate([*whole, mixed]))
        return np.concatenate([batches.reshape(-1), rest[mixed.size :]])

    def part(self, rows: Rows) -> SequenceTable:
        """The table of these rows only."""
        return SequenceTable(self._sequences, self._columns, self._padding, self._rows[rows])


def check_longest(path: Path, table: SequenceTable, what: str) -> None:
    """Refuses rows that no batch could hold; `what` is done where a length is asked for. Raises DiagnosticError."""
    row = int(table.longest.argmax())
    if table.longest[row] > LONGEST:
        title = f"line {row + 1} of `{path}` has {table.longest[row]:,} tokens"
        raise fail("bad-data", title, expected=f"at most {LONGEST:,}", help=f"`--length 500` {what}")


def _buckets(longest: np.ndarray, lengths: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The bucket of each row, and for each column the lengths to which the rows of a bucket are filled up."""
    edges = _edges(longest)
    bucket = np.searchsorted(edges, longest)
    widths = {name: np.ones(len(edges), np.int64) for name in lengths}
    for name, found in lengths.items():
        np.maximum.at(widths[name], bucket, found)
        widths[name] = np.maximum.accumulate(widths[name])
    return bucket, widths


def _edges(longest: np.ndarray) -> np.ndarray:
    """The greatest length of each bucket, such that the least is filled up: by dynamic programming over the lengths."""
    lengths, counts = np.unique(longest, return_counts=True)
    if len(lengths) > _EDGES_TRIED:
        lengths = np.unique(np.quantile(longest, np.arange(1, _EDGES_TRIED + 1) / _EDGES_TRIED, method="higher"))
        counts = np.bincount(np.searchsorted(lengths, longest))
    rows = np.concatenate([[0], np.cumsum(counts)])
    filled = np.where(rows[1:] >= rows[:-1, None], (rows[1:] - rows[:-1, None]) * lengths, np.inf)  # [first, last]
    cost, begins = filled[0], []
    for _ in range(min(BUCKETS, len(lengths)) - 1):
        total = np.concatenate([[np.inf], cost[:-1]])[:, None] + filled
        total[np.tril_indices(len(lengths), -1)] = np.inf
        begins.append(total.argmin(axis=0))
        cost = total.min(axis=0)
    chosen = [len(lengths) - 1]
    for begin in reversed(begins):
        chosen.append(int(begin[chosen[-1]]) - 1)
    return lengths[chosen[::-1]]
