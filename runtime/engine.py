"""What every training engine does: checks batches, counts steps, refuses a loss that is not finite."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
import onnxruntime as ort

from netlang.diagnostics import DiagnosticError, fail

from ..compiler import Network
from ..compiler.ir import Graph, Variable
from .averages import for_inference
from .inputs import InputCheck, scalar_inputs
from .not_finite import cause_of, not_finite
from .session import Device
from .workers import OwnProcess

SPECIALISED_LIMIT = 8
"""Number of batch shapes that get a step of their own; further ones share the step whose sizes are open."""


class Engine(ABC):
    """Holds the variables of a network in training and advances them one step at a time.

    `step_count` counts the steps done; `changes` counts the times that the variables changed.
    """

    def __init__(self, network: Network, device: Device | None = None, seed: int = 0, steps: int | None = None) -> None:
        """The variables begin with their initial values for `seed`; `steps` is the planned total for schedules.

        Raises DiagnosticError (`no-loss`) where the network has no `train` block.
        """
        require_training(network)
        self.network = network
        self.device = device or Device()
        self.seed = seed
        self.steps = steps
        self.step_count = 0
        self.changes = 0
        self._process = OwnProcess()
        self._turn = Lock()  # steps of two threads at once would wait for each other's helpers forever
        self._open, *others = self._open_graphs()
        self._check = InputCheck(self._open)
        self.needs_steps = any(i.role == "steps" for graph in (self._open, *others) for i in scalar_inputs(graph))

    def step(self, arrays: Mapping[str, Any]) -> dict[str, float]:
        """Runs one step on a batch: the loss as `loss`, then the reports.

        A step whose loss is not finite changes nothing: the engine keeps the variables it had. Raises DiagnosticError
        (`not-finite`, `missing-input`, `wrong-input`, `unplanned-steps`).
        """
        if self.needs_steps and self.steps is None:
            raise _unplanned()
        self._process.require()
        with self._turn:
            batch, sizes = self._check(arrays)
            metrics = self._run(batch, sizes)
            if not math.isfinite(metrics["loss"]):
                roles = {"step": self.step_count, "steps": self.steps or 0, "seed": self.seed}
                cause = cause_of(self.network, self.variables(), batch, roles, self.device)
                raise not_finite(metrics, self.step_count, cause)
            self._commit()
            self.step_count += 1
            self.changes += 1
            return metrics

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Replaces the variables named. Raises DiagnosticError (`wrong-weights`)."""
        self._write(values)
        self.changes += 1

    def for_inference(self) -> Mapping[str, ort.OrtValue]:
        """The variables where they lie, by name: for a parameter with an average, that."""
        return for_inference(self.network, self.current(), self.step_count)

    def diverged(self) -> str | None:
        """The name of a parameter with a value that is not finite, or None: what must not be saved."""
        values = self.current()
        for variable in self._open.params:
            array = values[variable.name].numpy()
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return variable.name
        return None

    @abstractmethod
    def _open_graphs(self) -> list[Graph]:
        """Graphs with open sizes that together are the step; the first takes the data and has all parameters."""

    @abstractmethod
    def current(self) -> Mapping[str, ort.OrtValue]:
        """The variables where they lie, by name."""

    @abstractmethod
    def variables(self) -> dict[str, np.ndarray]:
        """Copies of all variables, the optimizer's state among them, by name."""

    @abstractmethod
    def _write(self, values: Mapping[str, np.ndarray]) -> None:
        """Replaces the variables named. Raises DiagnosticError (`wrong-weights`)."""

    @abstractmethod
    def _run(self, batch: Mapping[str, np.ndarray], sizes: dict[str, int]) -> dict[str, float]:
        """Computes a step on a batch whose open sizes are `sizes`, and changes nothing yet."""

    @abstractmethod
    def _commit(self) -> None:
        """Makes the step that was computed last the present state."""


def require_training(network: Network) -> None:
    """Refuses a network without a `train` block. Raises DiagnosticError (`no-loss`)."""
    if not network.trains:
        help = f"say how it is trained: `train {network.name} {{ in …; minimize …; optimizer … }}`"
        raise fail("no-loss", f"`{network.name}` has no `train` block", help=help)


def all_variables(network: Network, graph: Graph) -> list[Variable]:
    """The variables of the network, then those that only its training step has."""
    own = {variable.name for variable in network.variables}
    return [*network.variables, *(variable for variable in graph.variables if variable.name not in own)]


def replaced_variables(graph: Graph) -> frozenset[str]:
    """Names of the variables that a step gives a new value."""
    return frozenset(output.name for output in graph.outputs if output.role == "next")


def _unplanned() -> DiagnosticError:
    return fail(
        "unplanned-steps",
        "the learning-rate schedule needs the planned number of steps",
        help="`Trainer(network, steps=1000)`, or train with `fit`, which knows it",
    )
