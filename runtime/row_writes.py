"""Writing rows into tables where they lie: a program for each pair of shapes."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnxruntime as ort

from netlang.types import TensorType

from ..compiler.emit import emit, output_name
from ..compiler.passes import ONE_THREAD, run
from ..compiler.passes.rows import PLACES, ROWS, TABLE, row_writes
from .binding import Binding
from .row_updates import TouchedRows
from .session import Device
from .workers import Task


class RowWriter:
    """Adds rows to tables, or puts them in the place of theirs, with one thread: those of ScatterND would race."""

    def __init__(self) -> None:
        self._device = Device("cpu", 1)
        self._sessions: dict[tuple[tuple[int, ...], tuple[int, ...], str], ort.InferenceSession] = {}

    def add(self, table: np.ndarray, touched: TouchedRows) -> Task:
        """What adds the rows of a part of a batch to a table f32[n, …], which must live as long as the task."""
        return self._task(table, touched, touched.arrays[ROWS], "add")

    def put(self, table: np.ndarray, touched: TouchedRows, rows: np.ndarray) -> Task:
        """What puts `rows` f32[k, n] where a part of a batch has touched the table. All must live as the task does."""
        return self._task(table, touched, rows, "none")

    def _task(self, table: np.ndarray, touched: TouchedRows, rows: np.ndarray, reduction: str) -> Task:
        table = table.reshape(len(table), -1)
        session = self._session(table.shape, rows.shape, reduction)
        binding, place = Binding(session), self._device.place
        for name, array in ((TABLE, table), (PLACES, touched.arrays[PLACES]), (ROWS, rows)):
            binding.bind_ortvalue_input(name, place(array))
        binding.bind_ortvalue_output(output_name(TABLE, "next"), place(table))
        return partial(session.run_with_iobinding, binding)

    def _session(self, table: tuple[int, ...], rows: tuple[int, ...], reduction: str) -> ort.InferenceSession:
        key = table, rows, reduction
        if key not in self._sessions:
            graph = row_writes(TensorType("f32", table), TensorType("f32", rows), reduction)
            self._sessions[key] = self._device.session(emit(run(graph, pipeline=ONE_THREAD)))
        return self._sessions[key]
