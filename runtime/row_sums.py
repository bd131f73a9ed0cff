"""Gradients of tables of which a batch reads few rows: 0 but for these, so that nobody has to write the zeros."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np

from netlang.types import TensorType

from ..compiler.passes.rows import ROWS
from .row_updates import TouchedRows
from .row_writes import RowWriter
from .variables import empty
from .workers import Task, in_turn


class RowSums:
    """One gradient for each table, to which all parts of a batch add their rows in turn, and which is 0 between steps.

    A gradient of each part would be written twice, zeros and rows, and read once.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], writer: RowWriter) -> None:
        """Of tables with these shapes, by their names."""
        self.tables = frozenset(shapes)
        self._shapes = shapes
        self._writer = writer
        self._sums: dict[str, np.ndarray] = {}
        self._zeros: dict[tuple[int, ...], np.ndarray] = {}
        self._cut_off = False

    def of(self, table: str) -> np.ndarray:
        """The gradient of a table."""
        if table not in self._sums:
            self._sums[table] = empty(TensorType("f32", self._shapes[table]))
        return self._sums[table]

    def tasks(self, touched: Sequence[TouchedRows]) -> tuple[list[Task], list[Task]]:
        """What adds the rows of all parts, and what clears them again: one of each for a table, as threads race."""
        tables = {rows.table: [other for other in touched if other.table == rows.table] for rows in touched}
        add: list[Task] = []
        clear: list[Task] = []
        for name, each in tables.items():
            table = self.of(name)
            add.append(partial(in_turn, [self._writer.add(table, rows) for rows in each]))
            clear.append(partial(in_turn, [self._writer.put(table, rows, self._no_rows(rows)) for rows in each]))
        return add, clear

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While rows are added, read and cleared. What is cut off there leaves rows, which the next use clears."""
        if self._cut_off:
            for gradient in self._sums.values():
                gradient[...] = 0
        self._cut_off = True
        yield
        self._cut_off = False

    def _no_rows(self, touched: TouchedRows) -> np.ndarray:
        shape = touched.arrays[ROWS].shape
        return self._zeros.setdefault(shape, empty(TensorType("f32", shape)))
