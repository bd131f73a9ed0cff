"""The fast training engine of the CPU: batches in parts, one on each core, and an optimizer in cache and in place.

Measured against one session that does the whole step: a session with one thread on each core beats a pool of threads
within each operator, parts of a batch that fit the cache beat whole batches, and an optimizer over pieces of one flat
vector, written in place, takes half the time and half the memory. Both engines compute the same numbers up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from netlang.types import TensorType

from ..compiler import Network
from ..compiler.barriers import cut_at_barriers
from ..compiler.batching import batch_symbol, row_sites, why_mixed
from ..compiler.in_place import is_elementwise, may_overwrite
from ..compiler.initializers import materialise
from ..compiler.ir import Graph
from ..compiler.passes import run
from ..compiler.passes.fixed import fixed
from ..compiler.passes.rows import adds_multiple, rows
from ..compiler.row_rules import Mixed
from .bound_rows import BoundRows
from .engine import SPECIALISED_LIMIT, Engine, replaced_variables
from .explained import explained
from .flat_layout import Group, copies, flat_states, initial_state, spans, state_suffix
from .flat_optimizer import PIECE, FlatOptimizer, Passes, Piece
from .further_passes import further_passes
from .gradient_pass import GradientPass, Places, Program
from .parts import Part, Work, bound_parts, separate_parts
from .row_sums import RowSums
from .row_updates import RowUpdates
from .row_writes import RowWriter
from .separate_rows import SeparateRows
from .session import Device
from .training_session import training_session
from .variables import VariableBuffers, check_weights
from .workers import Task, Workers, available_cores, deal, in_turn


@dataclass(eq=False)
class Step:
    """Everything that runs for batches of one shape.

    add_rows, clear_rows: what fills the gradients of RowSums after the pass over the batch, and what empties them: one
    list of tasks for each thread. rates: what computes numbers for the updates of rows.
    """

    gradient: GradientPass
    add_rows: list[list[Task]]
    rates: list[Task]
    optimizer: Passes
    clear_rows: list[list[Task]]


class FlatEngine(Engine):
    """Computes gradients part by part into flat vectors, one part on each core at a time, and updates in place."""

    def __init__(self, network: Network, device: Device | None = None, seed: int = 0, steps: int | None = None) -> None:
        super().__init__(network, device, seed, steps)
        self._threads = self.device.threads or available_cores()
        self._workers = Workers(self._threads)
        self._batch = batch_symbol(self._open)
        self._separate = why_mixed(self._open) is None
        self._single = Device("cpu", 1)
        self._scalars = {role: np.zeros((), np.int64) for role in ("step", "steps", "seed")}
        self._scale = np.ones((), np.float32)
        self._steps_by_shape: dict[tuple[tuple[str, int], ...], Step] = {}
        self._writer = RowWriter()
        self._lay_out(network)
        numbers = {**self._scalars, "scale": self._scale}
        self._optimizer = FlatOptimizer(network, self._groups, numbers, self._threads)

    @staticmethod
    def suits(network: Network, device: Device) -> bool:
        """Whether a network has one optimizer, which works element by element and in place, on the CPU."""
        if device.name != "cpu" or not network.trains or network.phases:
            return False
        trained = [v for v in network.variables if v.kind == "param" and v.trainable]
        if not trained or any(v.value.type.dtype != "f32" for v in trained):
            return False
        graphs = network.flat_step(1).apply.values()
        return all(is_elementwise(graph) and may_overwrite(graph) for graph in graphs)

    def _open_graphs(self) -> list[Graph]:
        return [self.network.loss_graph, *self.network.flat_step(1).apply.values()]

    def _lay_out(self, network: Network) -> None:
        """Puts trained parameters and their optimizer states into groups, and everything else into buffers."""
        trained = [v for v in network.variables if v.kind == "param" and v.trainable]
        names = {v.name for v in trained}
        apply = network.flat_step(1).apply
        self._groups = [Group.of(trained, decay, flat_states(graph)) for decay, graph in apply.items()]
        self._groups = [group for group in self._groups if group.length]
        self._clip = network.flat_step(1).clip
        linear = [g for g in self._groups if self._clip is None and adds_multiple(apply[g.decay])]
        self._linear = frozenset(name for group in linear for name in group.members)
        tables = {name: shape for group in self._groups for name, shape in group.tables(PIECE).items()}
        self._large = frozenset(tables)
        self._sums = RowSums({name: tables[name] for name in tables if name not in self._linear}, self._writer)
        others = [v for v in network.variables if v.name not in names]
        states = replaced_variables(self._open)
        self._others = VariableBuffers(others, states, self.device)
        self._views = {name: view for group in self._groups for name, view in group.variables().items()}
        turns = (0, 1) if states else (0,)
        self._places = Places(self.device, self._groups, self._views, self._others, turns, self._scalars)
        self._write(materialise([*trained, *others], self.seed))
        for group in self._groups:
            for variable in apply[group.decay].variables:
                if variable.kind != "param":
                    group.states[state_suffix(variable.name)][...] = initial_state(variable, group.length)

    def current(self) -> dict[str, ort.OrtValue]:
        placed = {name: self.device.place(view) for name, view in self._views.items()}
        return {**self._others.current(), **placed}

    def variables(self) -> dict[str, np.ndarray]:
        return {**self._others.read(), **copies(self._views)}

    def _types(self) -> dict[str, TensorType]:
        views = {name: TensorType("f32", view.shape) for name, view in self._views.items()}
        return {**self._others.types, **views}

    def _write(self, values: Mapping[str, np.ndarray]) -> None:
        check_weights(self._types(), values, complete=False)
        self._others.write({name: array for name, array in values.items() if name not in self._views})
        for name, array in values.items():
            if name in self._views:
                self._views[name][...] = array

    def _run(self, batch: Mapping[str, np.ndarray], sizes: dict[str, int]) -> dict[str, float]:
        step = self._step = self._step_for(sizes)
        for role, value in (("step", self.step_count), ("steps", self.steps or 0), ("seed", self.seed)):
            self._scalars[role][...] = value
        step.gradient.feed(batch)
        with explained(self._open):
            self._workers.run(step.gradient.tasks[self._others.turn])
        return step.gradient.metrics()

    def _commit(self) -> None:
        step, passes = self._step, self._step.optimizer
        with self._sums.in_use():
            self._workers.run(step.add_rows)
            if self._clip is not None:
                self._workers.run(passes.combine)
                norm = math.sqrt(sum(float(square) for square in passes.squares))
                self._scale[...] = min(1.0, self._clip / (norm + 1e-6))
            in_turn([*step.rates, *passes.rates])
            self._workers.run(passes.apply)
            self._workers.run(step.clear_rows)
        self._others.advance()

    # --- Compiling -------------------------------------------------------------------------------------------------

    def _step_for(self, sizes: dict[str, int]) -> Step:
        key = tuple(sorted(sizes.items()))
        if key not in self._steps_by_shape:
            if len(self._steps_by_shape) >= SPECIALISED_LIMIT:  # data of many shapes: keep the latest few
                self._steps_by_shape.pop(next(iter(self._steps_by_shape)))
            self._steps_by_shape[key] = self._compile(sizes)
        return self._steps_by_shape[key]

    def _compile(self, sizes: dict[str, int]) -> Step:
        gradient = self._gradient(sizes)
        updates = self._row_updates(gradient)
        summed = [rows for rows in gradient.touched if rows.table in self._sums.tables]
        add_rows, clear_rows = (deal(tasks, self._threads) for tasks in self._sums.tasks(summed))
        pieces = {group.decay: list(self._pieces(group, gradient)) for group in self._groups}
        passes = self._optimizer.passes(pieces, updates.tasks)
        return Step(gradient, add_rows, updates.rates, passes, clear_rows)

    def _pieces(self, group: Group, gradient: GradientPass) -> Iterator[Piece]:
        """Parts of the vectors that fit the cache, with their gradients: of each part of the batch, or their sum."""
        touched = {rows.table for rows in gradient.touched}
        for place in group.pieces(PIECE, without=touched):
            yield Piece(place, [vector[place] for vector in group.parts(gradient.parts)])
        for name, whole in group.members.items():
            if name not in touched or name not in self._sums.tables:
                continue
            total = self._sums.of(name).reshape(-1)
            for place in spans(whole.start, whole.stop, PIECE):
                yield Piece(place, [total[place.start - whole.start : place.stop - whole.start]])

    def _row_updates(self, gradient: GradientPass) -> RowUpdates:
        """What adds rows to tables, where the pass over the gradient leaves them alone."""
        updates = RowUpdates([rows for rows in gradient.touched if rows.table in self._linear], self._scalars)
        for group in self._groups:
            tables = [name for name in group.members if name in updates.tables]
            if tables:
                apply = fixed(self.network.flat_step(1).apply[group.decay], {"scale": 1.0})
                for name in tables:
                    updates.add(name, self._views[name], apply)
        return updates

    def _gradient(self, sizes: dict[str, int]) -> GradientPass:
        """What computes the gradients: in parts, where the rows of the batch and their number allow it."""
        if self._batch is None:
            return self._whole(sizes)
        work = Work(self._open, self._batch, sizes, sum(group.length * 4 for group in self._groups))
        parts = separate_parts(work, self._threads) if self._separate else []
        if len(parts) > 1:
            sites = row_sites(self._open, self._batch)
            sizes = {**sizes, self._batch: parts[0].rows}
            program = self._program(sizes, self._single, sites, 1 / len(parts))
            return SeparateRows(self._places, program, parts, self._threads, self._writer)
        return (None if self._separate else self._bound(work)) or self._whole(sizes)

    def _whole(self, sizes: dict[str, int]) -> GradientPass:
        program = self._program(sizes, self.device)
        return SeparateRows(self._places, program, [Part(0, 0, 0)], self._threads, self._writer)

    def _bound(self, work: Work) -> GradientPass | None:
        """Parts that wait for each other's sums; None where the graph cannot be cut so, or is not worth it."""
        if self._threads == 1 or any(node.bodies for node in work.loss.nodes):
            return None
        sizes = {name: size for name, size in work.sizes.items() if name != work.batch}
        graph = self.network.gradient_graph(sizes, row_sites(work.loss, work.batch))
        try:
            cut = cut_at_barriers(graph, work.batch, work.rows)
        except Mixed:
            return None
        parts = bound_parts(work, cut, self._threads)
        return BoundRows(self._places, cut, parts, self._threads) if len(parts) > 1 else None

    def _program(
        self, sizes: dict[str, int], device: Device, sites: frozenset[int] = frozenset(), share: float = 1.0
    ) -> Program:
        most = {**dict.fromkeys(self._linear, 2.0), **dict.fromkeys(self._sums.tables, 1.0)}
        graph = rows(self.network.gradient_graph(sizes, sites, share), most, beside=self._large)
        graph = run(graph, pipeline=further_passes(device.threads))
        return Program(graph, training_session(graph, device, yields=True))
