"""Gradients of tables of which a batch reads few rows: 0 but for these, so that nobody has to write the zeros."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import onnxruntime as ort

from netlang.types import TensorType

from ..compiler.emit import emit, output_name
from ..compiler.passes import ONE_THREAD, run
from ..compiler.passes.rows import PLACES, ROWS, TABLE, row_writes
from .gradient_pass import Task, in_turn
from .row_updates import TouchedRows
from .session import Device
from .variables import empty


class RowSums:
    """One gradient for each table, to which all parts of a batch add their rows in turn, and which is 0 between steps.

    A gradient of each part would be written twice, zeros and rows, and read once.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Of tables with these shapes, by their names."""
        self.tables = frozenset(shapes)
        self._shapes = shapes
        self._sums: dict[str, np.ndarray] = {}
        self._zeros: dict[tuple[int, ...], np.ndarray] = {}  # bindings do not keep what they bind
        self._device = Device("cpu", 1)
        self._sessions: dict[tuple[tuple[int, ...], tuple[int, ...], str], ort.InferenceSession] = {}
        self._cut_off = False

    def of(self, table: str) -> np.ndarray:
        """The gradient of a table, as a matrix of its rows."""
        if table not in self._sums:
            self._sums[table] = empty(TensorType("f32", (self._shapes[table][0], _width(self._shapes[table]))))
        return self._sums[table]

    def tasks(self, touched: Sequence[TouchedRows]) -> tuple[list[Task], list[Task]]:
        """What adds the rows of all parts, and what clears them again: one of each for a table, as threads race."""
        tables = {rows.table: [other for other in touched if other.table == rows.table] for rows in touched}
        add: list[Task] = []
        clear: list[Task] = []
        for each in tables.values():
            rows = [one.arrays[ROWS] for one in each]
            add.append(self._writes(each, rows, "add"))
            clear.append(self._writes(each, [self._no_rows(array.shape) for array in rows], "none"))
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

    def _no_rows(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._zeros.setdefault(shape, empty(TensorType("f32", shape)))

    def _writes(self, touched: Sequence[TouchedRows], rows: Sequence[np.ndarray], reduction: str) -> Task:
        return partial(in_turn, [self._write(*each, reduction) for each in zip(touched, rows, strict=True)])

    def _write(self, touched: TouchedRows, rows: np.ndarray, reduction: str) -> Task:
        gradient = self.of(touched.table)
        session = self._session(gradient.shape, rows.shape, reduction)
        binding, place = session.io_binding(), self._device.place
        for name, array in ((TABLE, gradient), (PLACES, touched.arrays[PLACES]), (ROWS, rows)):
            binding.bind_ortvalue_input(name, place(array))
        binding.bind_ortvalue_output(output_name(TABLE, "next"), place(gradient))
        return partial(session.run_with_iobinding, binding)

    def _session(self, table: tuple[int, ...], rows: tuple[int, ...], reduction: str) -> ort.InferenceSession:
        key = table, rows, reduction
        if key not in self._sessions:
            graph = row_writes(TensorType("f32", table), TensorType("f32", rows), reduction)
            self._sessions[key] = self._device.session(emit(run(graph, pipeline=ONE_THREAD)))
        return self._sessions[key]


def _width(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape[1:], dtype=np.int64))
