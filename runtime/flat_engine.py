"""The fast training engine of the CPU: batches in parts, one on each core, and an optimizer in cache and in place.

Measured against one session that does the whole step: a session with one thread on each core beats a pool of threads
within each operator, parts of a batch that fit the cache beat whole batches, and an optimizer over pieces of one flat
vector, written in place, takes half the time and half the memory. Both engines compute the same numbers up to rounding.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnxruntime as ort

from netlang.types import TensorType

from ..compiler import Network
from ..compiler.batching import batch_symbol, row_bytes, row_sites, why_mixed
from ..compiler.control import recomputes
from ..compiler.cost import bytes_moved
from ..compiler.dtypes import numpy_dtype
from ..compiler.elaborate.graphs import FLAT, FlatStep
from ..compiler.emit import emit, output_name
from ..compiler.in_place import is_elementwise, may_overwrite
from ..compiler.initializers import materialise
from ..compiler.ir import Graph
from ..compiler.passes import CPU, ONE_THREAD, run
from ..compiler.passes.fixed import fixed
from ..compiler.passes.hoist import hoist
from .engine import SPECIALISED_LIMIT, Engine, replaced_variables
from .explained import explained
from .flat_layout import Group, copies, flat_states, initial_state, state_suffix
from .inputs import scalar_inputs
from .session import Device
from .variables import VariableBuffers, check_weights

CACHE_BYTES = 11 << 18
"""What the largest operator of a part may touch in the forward pass. Measured on cores with 2 MiB of second-level
cache: for GPT (4 layers, width 128, batch 12) parts of 6 rows, which stay below this, take 36 ms on one core, 12 rows
43 ms, 2 rows 46 ms; LeNet does not care."""

PIECE = 1 << 15
"""Elements of the flat vectors that the optimizer updates at a time: with its states they fit the same cache."""

PARTS_LIMIT_BYTES = 1 << 26
"""Gradients above this are kept once for each part only where there is much more to compute than to add up."""

GRADIENT_SHARE = 16
"""How many times the bytes of all parts' gradients the forward pass must move. For GPT (6 layers, width 384, batch 8),
whose forward pass moves 49 times its gradient, two parts take 1.36 s on one core, eight 1.42 s, and one 1.54 s."""


Task = Callable[[], None]


@dataclass(eq=False)
class Step:
    """Everything that runs for batches of one shape. `tasks` of each stage are one list for each thread.

    gradients: for each of the two turns of the states; metrics: where each part puts its loss and reports.
    inputs: the bindings of the parts, which get their rows before each run; firsts: where in the batch they begin.
    """

    rows: int
    inputs: list[ort.IOBinding]
    firsts: list[np.ndarray]
    metrics: list[Mapping[str, np.ndarray]]
    gradients: tuple[list[list[Task]], list[list[Task]]]
    combine: list[list[Task]]
    squares: list[np.ndarray]
    apply: list[list[Task]]


@dataclass(eq=False)
class Optimizer:
    """The sessions of the second half of a step, for gradients from so many parts.

    step: the graphs, those over pieces without what they compute of numbers alone. sessions: by "combine", or whether
    weights decay. rates: what computes those numbers, once for all pieces; numbers: where it puts them.
    """

    step: FlatStep
    sessions: dict[str, ort.InferenceSession]
    rates: list[Task]
    numbers: dict[bool, dict[str, np.ndarray]]


class FlatEngine(Engine):
    """Computes gradients part by part into flat vectors, one part on each core at a time, and updates in place."""

    def __init__(self, network: Network, device: Device | None = None, seed: int = 0, steps: int | None = None) -> None:
        super().__init__(network, device, seed, steps)
        self._threads = self.device.threads or available_cores()
        self._pool = ThreadPoolExecutor(self._threads, "netlang") if self._threads > 1 else None
        self._batch = None if why_mixed(self._open) else batch_symbol(self._open)
        self._single = Device("cpu", 1)
        self._scalars = {role: np.zeros((), np.int64) for role in ("step", "steps", "seed")}
        self._scale = np.ones((), np.float32)
        self._steps_by_shape: dict[tuple[tuple[str, int], ...], Step] = {}
        self._optimizers: dict[int, Optimizer] = {}
        self._lay_out(network)

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
        others = [v for v in network.variables if v.name not in names]
        states = replaced_variables(self._open)
        self._others = VariableBuffers(others, states, self.device)
        self._turns = (0, 1) if states else (0,)
        self._views = {name: view for group in self._groups for name, view in group.variables().items()}
        self._write(materialise([*trained, *others], self.seed))
        for group in self._groups:
            for variable in apply[group.decay].variables:
                if variable.kind == "optimizer":
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
        kept = []  # the runtime does not keep the arrays that it is bound to
        for part, binding in enumerate(step.inputs):
            for name, array in batch.items():
                rows = array[part * step.rows : (part + 1) * step.rows] if len(step.metrics) > 1 else array
                kept.append(self.device.place(rows))
                binding.bind_ortvalue_input(name, kept[-1])
        with explained(self._open):
            self._parallel(step.gradients[self._others.turn])
        count = len(step.metrics)
        return {name: sum(float(part[name]) for part in step.metrics) / count for name in step.metrics[0]}

    def _commit(self) -> None:
        step = self._step
        parts = len(step.metrics)
        optimizer = self._optimizers[parts]
        clip = optimizer.step.clip
        if clip is not None:
            self._parallel(step.combine)
            norm = math.sqrt(sum(float(square) for square in step.squares)) / parts
            self._scale[...] = min(1.0, clip / (norm + 1e-6)) / parts
        _run_all(optimizer.rates)
        self._parallel(step.apply)
        self._others.advance()

    def _parallel(self, tasks: list[list[Task]]) -> None:
        """Runs one list of tasks on each thread."""
        if self._pool is None or len(tasks) == 1:
            for work in tasks:
                _run_all(work)
        else:
            list(self._pool.map(_run_all, tasks))

    # --- Compiling -------------------------------------------------------------------------------------------------

    def _step_for(self, sizes: dict[str, int]) -> Step:
        key = tuple(sorted(sizes.items()))
        if key not in self._steps_by_shape:
            if len(self._steps_by_shape) >= SPECIALISED_LIMIT:  # data of many shapes: keep the latest few
                self._steps_by_shape.pop(next(iter(self._steps_by_shape)))
            self._steps_by_shape[key] = self._compile(sizes)
        return self._steps_by_shape[key]

    def _compile(self, sizes: dict[str, int]) -> Step:
        rows = self._rows_of_part(sizes)
        parts = sizes[self._batch] // rows if self._batch else 1
        own = {**sizes, self._batch: rows} if self._batch else sizes
        sites = row_sites(self._open, self._batch) if self._batch and parts > 1 else frozenset()
        device = self._single if parts > 1 else self.device
        further = ONE_THREAD if device.threads == 1 else CPU
        graph = run(self.network.gradient_graph(own, sites), pipeline=further)
        session = device.session(emit(graph), in_order=recomputes(graph))
        metrics: list[Mapping[str, np.ndarray]] = [
            {o.name: np.zeros((), np.float32) for o in graph.outputs if o.role in ("loss", "report")}
            for _ in range(parts)
        ]
        firsts = [np.array(part * rows, np.int64) for part in range(parts)]
        bound: dict[tuple[int, int], ort.IOBinding] = {}
        for part in range(parts):
            scalars = {**self._scalars, "first": firsts[part]}
            for turn in self._turns:
                bound[part, turn] = self._bind_part(session, graph, part, turn, scalars, metrics[part])
        passes = [
            self._share([partial(session.run_with_iobinding, bound[part, turn]) for part in range(parts)])
            for turn in self._turns
        ]
        combine, squares, apply = self._optimizer_passes(parts)
        return Step(rows, list(bound.values()), firsts, metrics, (passes[0], passes[-1]), combine, squares, apply)

    def _rows_of_part(self, sizes: dict[str, int]) -> int:
        """The most rows that fit the cache and cut the batch into equal parts, as many on each core."""
        if self._batch is None:
            return 0
        rows = sizes[self._batch]
        gradient_bytes = sum(group.length * 4 for group in self._groups)
        worth = bytes_moved(self._open, sizes) // (GRADIENT_SHARE * gradient_bytes)
        if self._threads > worth and self._threads * gradient_bytes > PARTS_LIMIT_BYTES:
            return rows
        if any(node.bodies for node in self._open.nodes):
            worth = 0  # rounds of a scan take as long for few rows
        parts = [count for count in range(self._threads, rows + 1, self._threads) if rows % count == 0]
        cached = CACHE_BYTES // max(1, row_bytes(self._open, self._batch, sizes))
        worthwhile = [rows // count for count in parts if count <= max(worth, self._threads)]
        return max((part for part in worthwhile if part <= cached), default=min(worthwhile, default=rows))

    def _bind_part(
        self,
        session: ort.InferenceSession,
        graph: Graph,
        part: int,
        turn: int,
        scalars: Mapping[str, np.ndarray],
        metrics: Mapping[str, np.ndarray],
    ) -> ort.IOBinding:
        """Reads parameters where they lie, and writes gradients, new states and metrics where they belong."""
        binding = session.io_binding()
        before, after = self._others.set(turn), self._others.set(1 - turn)
        for variable in graph.variables:
            view = self._views.get(variable.name)
            value = before[variable.name] if view is None else self.device.place(view)
            binding.bind_ortvalue_input(variable.name, value)
        gradients = {
            f"grad.{name}": group.view(group.parts(part + 1)[part], name)
            for group in self._groups
            for name in group.members
        }
        for item in scalar_inputs(graph):
            binding.bind_ortvalue_input(item.name, self.device.place(scalars[item.role]))
        for output in graph.outputs:
            match output.role:
                case "gradient":
                    target = self.device.place(gradients[output.name])
                case "next":
                    target = after[output.name]
                case _:
                    target = self.device.place(metrics[output.name])
            binding.bind_ortvalue_output(output_name(output.name, output.role), target)
        return binding

    def _optimizer_passes(self, parts: int) -> tuple[list[list[Task]], list[np.ndarray], list[list[Task]]]:
        """The passes over all pieces: those that sum and measure the gradients, where they are clipped; the updates."""
        optimizer = self._optimizer(parts)
        sessions = optimizer.sessions
        combine: list[Task] = []
        apply: list[Task] = []
        squares: list[np.ndarray] = []
        for group in self._groups:
            gradients = group.parts(parts)
            for start in range(0, group.length, PIECE):
                piece = slice(start, min(start + PIECE, group.length))
                parts_here = [gradient[piece] for gradient in gradients]
                if optimizer.step.combine is not None:
                    squares.append(np.zeros((), np.float32))
                    binding = self._bind_pieces(sessions["combine"], parts_here)
                    if parts > 1:
                        binding.bind_ortvalue_output("grad", self.device.place(parts_here[0]))  # over the first part
                    binding.bind_ortvalue_output("squares", self.device.place(squares[-1]))
                    combine.append(partial(sessions["combine"].run_with_iobinding, binding))
                    parts_here = parts_here[:1]
                apply.append(self._apply_piece(optimizer, group, piece, parts_here))
        return self._share(combine), squares, self._share(apply)

    def _apply_piece(self, optimizer: Optimizer, group: Group, piece: slice, gradients: list[np.ndarray]) -> Task:
        session, graph = optimizer.sessions[str(group.decay)], optimizer.step.apply[group.decay]
        binding = self._bind_pieces(session, gradients)
        vectors = {FLAT: group.parameters[piece]}
        for state, name in flat_states(graph).items():
            vectors[name] = group.states[state][piece]
        self._bind_numbers(binding, graph, optimizer.numbers[group.decay])
        for name, vector in vectors.items():
            binding.bind_ortvalue_input(name, self.device.place(vector))
            binding.bind_ortvalue_output(output_name(name, "next"), self.device.place(vector))
        return partial(session.run_with_iobinding, binding)

    def _bind_pieces(self, session: ort.InferenceSession, gradients: list[np.ndarray]) -> ort.IOBinding:
        binding = session.io_binding()
        for part, gradient in enumerate(gradients):
            binding.bind_ortvalue_input(f"grad.{part}", self.device.place(gradient))
        return binding

    def _bind_numbers(self, binding: ort.IOBinding, graph: Graph, hoisted: Mapping[str, np.ndarray]) -> None:
        """Binds the inputs that are numbers: those of the run, the scale of the gradient, and what was hoisted."""
        numbers = {**self._scalars, "scale": self._scale}
        for item in graph.inputs:
            array = hoisted.get(item.name, numbers.get(item.role))
            if array is not None:
                binding.bind_ortvalue_input(item.name, self.device.place(array))

    def _optimizer(self, parts: int) -> Optimizer:
        if parts not in self._optimizers:
            flat = _simplified(self.network.flat_step(parts), parts)
            halves = {group.decay: hoist(flat.apply[group.decay], self._scalars) for group in self._groups}
            flat = replace(flat, apply={decay: rest for decay, (_, rest) in halves.items()})
            graphs = {str(decay): graph for decay, graph in flat.apply.items()}
            if flat.combine is not None:
                graphs["combine"] = flat.combine
            sessions = {name: self._single.session(emit(graph)) for name, graph in graphs.items()}
            found = self._optimizers[parts] = Optimizer(flat, sessions, [], {})
            for decay, (numbers, _) in halves.items():
                self._compute_once(found, decay, numbers)
        return self._optimizers[parts]

    def _compute_once(self, optimizer: Optimizer, decay: bool, graph: Graph) -> None:
        """Adds what computes the numbers that the pieces of a group share."""
        results = optimizer.numbers[decay] = {
            output.name: np.zeros((), numpy_dtype(output.value.type.dtype)) for output in graph.outputs
        }
        if results:
            session = self._single.session(emit(graph))
            binding = session.io_binding()
            self._bind_numbers(binding, graph, {})
            for name, array in results.items():
                binding.bind_ortvalue_output(name, self.device.place(array))
            optimizer.rates.append(partial(session.run_with_iobinding, binding))

    def _share(self, tasks: list[Task]) -> list[list[Task]]:
        """Deals tasks out to the threads."""
        return [dealt for start in range(self._threads) if (dealt := tasks[start :: self._threads])]


def _simplified(flat: FlatStep, parts: int) -> FlatStep:
    """The optimizer's graphs with the scale that is known: 1 / parts, or where gradients are clipped, 1 for their sum.

    The gradient of a single part is its own sum, which is not written again.
    """
    if flat.combine is None:
        return replace(flat, apply={decay: fixed(graph, {"scale": 1 / parts}) for decay, graph in flat.apply.items()})
    combine = fixed(flat.combine, {"scale": 1.0})
    if parts == 1:
        combine = replace(combine, outputs=tuple(output for output in combine.outputs if output.name != "grad"))
    return replace(flat, combine=run(combine, pipeline=ONE_THREAD))


def _run_all(tasks: list[Task]) -> None:
    for task in tasks:
        task()


def available_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
