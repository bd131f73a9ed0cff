"""Tables of which a step changes some rows only: those that it has read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from netlang.types import TensorType

from ..compiler.emit import emit, output_name
from ..compiler.ir import Graph
from ..compiler.passes import ONE_THREAD, run
from ..compiler.passes.hoist import hoist
from ..compiler.passes.rows import PLACES, ROWS, TABLE, row_outputs, row_update
from .session import Device
from .shared_numbers import bound, shared_numbers
from .variables import empty
from .workers import Task, in_turn


@dataclass(frozen=True, eq=False)
class TouchedRows:
    """What one use of a table in one part of a batch is to add to it: positions and rows, by their outputs' names."""

    table: str
    outputs: Mapping[str, np.ndarray]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The positions i64[k, 1] and the rows f32[k, n], as the update takes them."""
        places, rows = self.outputs.values()
        return {PLACES: places, ROWS: rows.reshape(len(places), -1)}


def touched_rows(graph: Graph) -> list[TouchedRows]:
    """Where a graph of gradients is to put positions and rows."""
    return [
        TouchedRows(table, {output.name: empty(output.value.type) for output in (places, values)})
        for table, places, values in row_outputs(graph)
    ]


class RowUpdates:
    """Adds rows where they belong, in place, each table by one thread: those of ScatterND would race.

    rates: what computes the numbers that all rows share, before `tasks`, of which there is one for each table.
    """

    def __init__(self, touched: Sequence[TouchedRows], scalars: Mapping[str, np.ndarray]) -> None:
        """Of all parts of a batch; `scalars` are the numbers of the run, by the roles of inputs."""
        self.tables = frozenset(rows.table for rows in touched)
        self.rates: list[Task] = []
        self.tasks: list[Task] = []
        self._touched = touched
        self._scalars = scalars
        self._device = Device("cpu", 1)
        self._numbers: dict[Graph, dict[str, np.ndarray]] = {}

    def add(self, name: str, table: np.ndarray, apply: Graph) -> None:
        """Updates a table by the optimizer's flat step `apply`, of which `adds_multiple` holds."""
        updates = [self._update(rows, table, apply) for rows in self._touched if rows.table == name]
        self.tasks.append(partial(in_turn, updates))

    def _update(self, rows: TouchedRows, table: np.ndarray, apply: Graph) -> Task:
        arrays = rows.arrays
        table = table.reshape(len(table), -1)
        graph = row_update(apply, *(TensorType("f32", array.shape) for array in (table, arrays[ROWS])))
        numbers, rest = hoist(run(graph), self._scalars)
        if apply not in self._numbers:
            self._numbers[apply], rates = shared_numbers(numbers, self._scalars)
            self.rates += rates
        session = self._device.session(emit(run(rest, pipeline=ONE_THREAD)))
        binding = bound(session, rest, self._scalars, {**arrays, **self._numbers[apply]})
        binding.bind_ortvalue_input(TABLE, self._device.place(table))
        binding.bind_ortvalue_output(output_name(TABLE, "next"), self._device.place(table))
        return partial(session.run_with_iobinding, binding)
