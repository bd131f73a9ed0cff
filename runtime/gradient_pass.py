"""The first half of a training step: what computes the gradients of a batch, and where it finds and puts things."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

from ..compiler.emit import output_name
from ..compiler.ir import Graph
from .binding import Binding
from .flat_layout import Group
from .inputs import scalar_inputs
from .parts import Part
from .session import Device
from .variables import VariableBuffers
from .workers import Task

if TYPE_CHECKING:
    from .row_updates import TouchedRows

Batch = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Program:
    """A graph and the session that runs it."""

    graph: Graph
    session: ort.InferenceSession


@dataclass(frozen=True, eq=False)
class Places:
    """Where variables, gradients and the numbers of a run lie.

    views: parameters in the vectors of `groups`; others: all further variables, whose states have two turns or one.
    scalars: by the roles of inputs.
    """

    device: Device
    groups: Sequence[Group]
    views: Mapping[str, np.ndarray]
    others: VariableBuffers
    turns: Sequence[int]
    scalars: Mapping[str, np.ndarray]

    def gradient(self, output: str, part: int) -> np.ndarray:
        """Where a part of the batch writes the gradient that a graph calls `output`."""
        name = output.removeprefix("grad.")
        group = next(group for group in self.groups if name in group.members)
        return group.view(group.parts(part + 1)[part], name)

    def bind(self, program: Program, part: Part, turn: int, own: Mapping[str, np.ndarray]) -> Binding:
        """A binding of everything but the data: parameters are read where they lie, gradients and states written
        where they belong. `own` has what else there is, by the names of inputs and outputs.
        """
        graph, binding = program.graph, Binding(program.session)
        numbers = {**self.scalars, "first": part.first}
        before, after = self.others.set(turn), self.others.set(1 - turn)
        for variable in graph.variables:
            view = self.views.get(variable.name)
            value = before[variable.name] if view is None else self.device.place(view)
            binding.bind_ortvalue_input(variable.name, value)
        for item in scalar_inputs(graph):
            array = numbers[item.role] if item.role in numbers else own[item.name]
            binding.bind_ortvalue_input(item.name, self.device.place(array))
        for output in graph.outputs:
            match output.role:
                case "gradient":
                    target = self.device.place(self.gradient(output.name, part.index))
                case "next":
                    target = after[output.name]
                case _:
                    target = self.device.place(own[output.name])
            binding.bind_ortvalue_output(output_name(output.name, output.role), target)
        return binding


class GradientPass(ABC):
    """Computes the gradients for batches of one shape.

    parts: how many vectors of gradients it writes; their sum is the gradient of the loss.
    tasks: for each of the two turns of the states, one list for each thread, which run at the same time.
    touched: the rows that it has found in place of gradients of whole tables.
    """

    parts: int
    tasks: tuple[list[list[Task]], list[list[Task]]]
    feeds: Feeds
    touched: Sequence[TouchedRows] = ()

    def feed(self, batch: Batch) -> None:
        """Binds a batch, which must live until the tasks have run."""
        self.feeds.feed(batch)

    @abstractmethod
    def metrics(self) -> dict[str, float]:
        """Loss and reports of the batch that ran last."""


class Feeds:
    """The bindings that get the rows of each batch, and keep them until the next."""

    def __init__(self) -> None:
        self._bindings: list[tuple[Binding, Part | None, list[str]]] = []

    def add(self, binding: Binding, part: Part | None, graph: Graph) -> None:
        """Gives the data that a graph reads to a binding: the rows of a part, or None for the whole batch."""
        names = [item.name for item in graph.inputs if item.role == "data"]
        if names:
            self._bindings.append((binding, part, names))

    def feed(self, batch: Batch) -> None:
        for binding, part, names in self._bindings:
            for name in names:
                binding.bind_cpu_input(name, batch[name] if part is None else part.of(batch[name]))


def metric_arrays(graph: Graph) -> dict[str, np.ndarray]:
    """Where a graph is to put its loss and reports."""
    return {o.name: np.zeros((), np.float32) for o in graph.outputs if o.role in ("loss", "report")}
