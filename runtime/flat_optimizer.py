"""The second half of a training step: the optimizer over pieces of flat vectors, in the cache and in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np

from ..compiler import Network
from ..compiler.elaborate.graphs import FLAT, FlatStep
from ..compiler.emit import emit, output_name
from ..compiler.ir import Graph
from ..compiler.passes import run
from ..compiler.passes.fixed import fixed
from ..compiler.passes.hoist import hoist
from .binding import Binding
from .flat_layout import Group, flat_states
from .further_passes import further_passes
from .gradient_pass import Program
from .session import Device
from .shared_numbers import bound, shared_numbers
from .workers import Task, deal

PIECE = 1 << 15
"""Elements of the flat vectors that are updated at a time: with the optimizer's states they fit the same cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A place in the vectors of a group, and the gradients f32[n] whose sum is its own."""

    place: slice
    gradients: list[np.ndarray]


Pieces = Mapping[bool, Sequence[Piece]]
"""Of each group, by whether its weights decay."""


@dataclass(frozen=True, eq=False)
class Passes:
    """The passes over all pieces for batches of one shape: one list of tasks for each thread, but for the `rates`.

    rates: what computes the numbers that the pieces of a group share. combine: what sums and measures the gradients,
    where they are clipped; squares: where it puts the sums of their squares. apply: the updates.
    """

    rates: list[Task]
    combine: list[list[Task]]
    squares: list[np.ndarray]
    apply: list[list[Task]]


class FlatOptimizer:
    """Makes the passes of a network's optimizer."""

    def __init__(
        self, network: Network, groups: Sequence[Group], numbers: Mapping[str, np.ndarray], threads: int
    ) -> None:
        """`numbers` are those of the run, by the roles of inputs, with the `scale` of clipped gradients."""
        self._network = network
        self._groups = groups
        self._numbers = numbers
        self._threads = threads
        self._clips = network.flat_step(1).clip is not None
        self._of_parts: dict[int, _Programs] = {}

    def passes(self, pieces: Pieces, first: Sequence[Task] = ()) -> Passes:
        """The passes over these pieces; the updates begin with the tasks in `first`."""
        rates: list[Task] = []
        combine: list[Task] = []
        squares: list[np.ndarray] = []
        apply: list[Task] = list(first)
        for group in self._groups:
            for count, found in groupby(pieces[group.decay], key=lambda piece: len(piece.gradients)):
                programs = self._programs(count)
                rates += programs.rates(group.decay)
                for piece in found:
                    if self._clips:
                        squares.append(np.zeros((), np.float32))
                        combine.append(programs.combine(piece, squares[-1]))
                    apply.append(programs.apply(group, piece))
        return Passes(rates, deal(combine, self._threads), squares, deal(apply, self._threads))

    def _programs(self, parts: int) -> _Programs:
        if parts not in self._of_parts:
            self._of_parts[parts] = _Programs(_simplified(self._network.flat_step(parts), parts), self._numbers)
        return self._of_parts[parts]


class _Programs:
    """The programs of an optimizer for gradients from so many parts."""

    def __init__(self, step: FlatStep, numbers: Mapping[str, np.ndarray]) -> None:
        self._numbers = numbers
        self._device = Device("cpu", 1)
        self._combine = step.combine and self._program(step.combine)
        self._step = step
        self._apply: dict[bool, Program] = {}
        self._own: dict[bool, dict[str, np.ndarray]] = {}
        self._rates: dict[bool, list[Task]] = {}

    def rates(self, decay: bool) -> list[Task]:
        """What computes the numbers that all updates of a group read."""
        if decay not in self._rates:
            numbers, rest = hoist(self._step.apply[decay], ("step", "steps", "seed"))
            self._apply[decay] = self._program(rest)
            self._own[decay], self._rates[decay] = shared_numbers(numbers, self._numbers)
        return self._rates[decay]

    def apply(self, group: Group, piece: Piece) -> Task:
        """The update of a piece, after the `rates` of its group."""
        program = self._apply[group.decay]
        binding = self._binding(program, piece, self._own[group.decay])
        states = {name: group.states[state] for state, name in flat_states(program.graph).items()}
        for name, vector in {FLAT: group.parameters, **states}.items():
            value = self._device.place(vector[piece.place])
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(output_name(name, "next"), value)
        return partial(program.session.run_with_iobinding, binding)

    def combine(self, piece: Piece, squares: np.ndarray) -> Task:
        """The total of a piece's gradients, which `apply` reads where the first of them was, and of its squares."""
        assert self._combine is not None
        binding = self._binding(self._combine, piece, {})
        if len(piece.gradients) > 1:
            binding.bind_ortvalue_output("grad", self._device.place(piece.gradients[0]))
        binding.bind_ortvalue_output("squares", self._device.place(squares))
        return partial(self._combine.session.run_with_iobinding, binding)

    def _program(self, graph: Graph) -> Program:
        return Program(graph, self._device.session(emit(graph)))

    def _binding(self, program: Program, piece: Piece, given: Mapping[str, np.ndarray]) -> Binding:
        gradients = {f"grad.{part}": gradient for part, gradient in enumerate(piece.gradients)}
        return bound(program.session, program.graph, self._numbers, {**gradients, **given})


def _simplified(flat: FlatStep, parts: int) -> FlatStep:
    """The optimizer's graphs with the scale where it is known: 1, but for `apply` where gradients are clipped.

    The gradient of a single part is its own sum, which is not written again.
    """
    pipeline = further_passes(1)
    if flat.combine is None:
        whole = {decay: fixed(graph, {"scale": 1.0}) for decay, graph in flat.apply.items()}
        return replace(flat, apply={decay: run(graph, pipeline=pipeline) for decay, graph in whole.items()})
    combine = fixed(flat.combine, {"scale": 1.0})
    if parts == 1:
        combine = replace(combine, outputs=tuple(output for output in combine.outputs if output.name != "grad"))
    apply = {decay: run(graph, pipeline=pipeline) for decay, graph in flat.apply.items()}
    return replace(flat, combine=run(combine, pipeline=pipeline), apply=apply)
