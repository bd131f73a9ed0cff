"""Gradients of a batch whose rows are bound together by sums: parts run segment by segment, and wait for each other.

Between two sums (`compiler.barriers`) each core has parts of the batch of its own, as where rows are independent. What
a part hands to its later segments stays where it wrote it; the memory of what no segment reads any more is used again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from threading import Barrier, BrokenBarrierError

import numpy as np

from netlang.types import TensorType

from ..compiler.barriers import Cut
from ..compiler.dtypes import numpy_dtype
from ..compiler.ir import Graph
from ..compiler.passes import run
from ..compiler.segments import closing_graph, segment_graph
from ..compiler.shapes import static_shape
from .explained import explained
from .further_passes import further_passes
from .gradient_pass import Batch, Feeds, GradientPass, Places, Program, metric_arrays
from .memory import aligned
from .parts import Part
from .session import Device
from .training_session import training_session
from .variables import empty
from .workers import Task


class BoundRows(GradientPass):
    """The segments of a cut graph, for parts that may differ in size."""

    def __init__(self, places: Places, cut: Cut, parts: Sequence[Part], threads: int) -> None:
        self.parts = len(parts)
        self.feeds = Feeds()
        self._places = places
        self._threads = min(threads, len(parts))
        self._barrier = Barrier(self._threads)
        self._stacks = {f"sum/{value.name}": empty(_stacked(value.type, len(parts))) for value in cut.sums}
        segments = {rows: _segments(cut, rows, len(parts)) for rows in {part.rows for part in parts}}
        runs = [self._runs(cut, segments[part.rows], part) for part in parts]
        closing = _program(closing_graph(cut, len(parts)))
        self._metrics = metric_arrays(closing.graph)
        ends = [self._end(closing, parts, turn) for turn in places.turns]
        self.tasks = self._tasks(runs, ends[0], 0), self._tasks(runs, ends[-1], 1)

    def feed(self, batch: Batch) -> None:
        super().feed(batch)
        self._barrier.reset()

    def metrics(self) -> dict[str, float]:
        return {name: float(array) for name, array in self._metrics.items()}

    def _runs(self, cut: Cut, programs: Sequence[Program], part: Part) -> list[tuple[Task, Task]]:
        """The runs of a part, segment by segment, in both turns."""
        kept = _Kept(cut)
        found: list[tuple[Task, Task]] = []
        for index, program in enumerate(programs):
            own = kept.arrays(program.graph, index) | self._sums(program.graph, part)
            turns = self._places.turns if program.graph.states else (0,)
            tasks = [self._run(program, part, turn, own) for turn in turns]
            found.append((tasks[0], tasks[-1]))
        return found

    def _sums(self, graph: Graph, part: Part) -> dict[str, np.ndarray]:
        """Where a segment reads the sums of all parts, and where this part writes its shares."""
        read = {item.name: self._stacks[item.name] for item in graph.inputs if item.role == "sum"}
        written = [output.name for output in graph.outputs if output.role == "sum"]
        return read | {name: self._stacks[name][part.index, ...] for name in written}

    def _end(self, closing: Program, parts: Sequence[Part], turn: int) -> list[Task]:
        """What comes when all parts are done; only the first has gradients that are no sums over the parts."""
        others = [
            self._places.gradient(output.name, part.index)
            for output in closing.graph.outputs
            for part in parts[1:]
            if output.role == "gradient"
        ]
        return [
            self._run(closing, parts[0], turn, {**self._stacks, **self._metrics}),
            *(partial(view.fill, 0) for view in others),
        ]

    def _run(self, program: Program, part: Part, turn: int, own: Mapping[str, np.ndarray]) -> Task:
        binding = self._places.bind(program, part, turn, own)
        self.feeds.add(binding, part, program.graph)

        def task() -> None:
            with explained(program.graph):
                program.session.run_with_iobinding(binding)

        return task

    def _tasks(self, runs: Sequence[Sequence[tuple[Task, Task]]], end: list[Task], turn: int) -> list[list[Task]]:
        """One task for each thread: its parts of each segment, then the barrier; in turn from the first part to the
        last and back, so that the part that a core has just had begins the next segment."""
        lists: list[list[Task]] = [[] for _ in range(self._threads)]
        for index, segment in enumerate(zip(*runs, strict=True)):
            for thread, tasks in enumerate(lists):
                own = [run[turn] for run in segment[thread :: self._threads]]
                tasks += [*(own[::-1] if index % 2 else own), self._wait]
        lists[0] += end
        return [[partial(self._run_all, tasks)] for tasks in lists]

    def _wait(self) -> None:
        self._barrier.wait()

    def _run_all(self, tasks: Sequence[Task]) -> None:
        """The work of one thread. One that fails lets the others go, which say nothing of it."""
        try:
            for task in tasks:
                task()
        except BrokenBarrierError:
            return
        except BaseException:
            self._barrier.abort()
            raise


class _Kept:
    """The memory of what a part keeps from segment to segment."""

    def __init__(self, cut: Cut) -> None:
        self._last = {f"kept/{value.name}": last for value, last in cut.kept.items()}
        self._arrays: dict[str, np.ndarray] = {}
        self._memory: dict[str, np.ndarray] = {}
        self._free: dict[int, list[np.ndarray]] = {}

    def arrays(self, graph: Graph, index: int) -> dict[str, np.ndarray]:
        """Where the segment of this number, which is asked for after those before it, reads and writes."""
        for output in graph.outputs:
            if output.role == "kept":
                self._place(output.name, output.value.type)
        names = [item.name for item in (*graph.inputs, *graph.outputs) if item.role == "kept"]
        found = {name: self._arrays[name] for name in names}
        for name in [name for name in self._arrays if self._last[name] <= index]:
            memory = self._memory.pop(name)
            del self._arrays[name]
            self._free.setdefault(memory.nbytes, []).append(memory)
        return found

    def _place(self, name: str, type_: TensorType) -> None:
        shape, dtype = static_shape(type_), numpy_dtype(type_.dtype)
        size = math.prod(shape) * dtype.itemsize
        free = self._free.get(size)
        self._memory[name] = memory = free.pop() if free else aligned((size,), np.dtype(np.uint8))
        self._arrays[name] = memory.view(dtype).reshape(shape)


def _segments(cut: Cut, rows: int, parts: int) -> list[Program]:
    return [_program(segment_graph(cut, index, rows, parts)) for index in range(len(cut.segments))]


def _program(graph: Graph) -> Program:
    graph = run(graph, pipeline=further_passes(1))
    return Program(graph, training_session(graph, Device("cpu", 1)))


def _stacked(type_: TensorType, parts: int) -> TensorType:
    return TensorType(type_.dtype, (parts, *type_.shape))
