"""The training engine: runs the complete step, graph in and numbers out, without moving a parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from netlang.compiler.initializers import materialise
from netlang.compiler.ir import Graph, Variable
from netlang.compiler.network import Network
from netlang.diagnostics import DiagnosticError, fail

from .inputs import InputCheck, scalar_inputs
from .metric_session import MetricSession
from .session import Device
from .variables import VariableBuffers

SPECIALISED_LIMIT = 8
"""Number of batch shapes that get a step of their own; further ones share the step whose sizes are open."""


Step = tuple[MetricSession, tuple[ort.IOBinding, ort.IOBinding]]
"""A compiled step, with the bindings that read each of the two sets of buffers and write the other."""


class Engine:
    """Holds the variables of a network in training and advances them one step at a time.

    `step_count` counts the steps done; `changes` counts the times that the variables changed.

    A step is compiled for each shape of batch that occurs (the usual one, and the last partial one): known sizes make
    faster kernels. All of them work on the same two sets of buffers.
    """

    def __init__(self, network: Network, device: Device | None = None, seed: int = 0, steps: int | None = None) -> None:
        """The variables begin with their initial values for `seed`; `steps` is the planned total for schedules.

        Raises DiagnosticError (`no-loss`) where the network has no `train` block.
        """
        self.network = network
        self.device = device or Device()
        self.seed = seed
        self.steps = steps
        self.step_count = 0
        self.changes = 0
        self._open = network.train_graph()
        self._check = InputCheck(self._open)
        self.needs_steps = any(item.role == "steps" for item in scalar_inputs(self._open))
        self._compiled: dict[tuple[tuple[str, int], ...], Step] = {}
        variables = all_variables(network, self._open)
        self._buffers = VariableBuffers(variables, replaced_variables(self._open), self.device)
        self._buffers.write(materialise(variables, seed))

    @property
    def buffers(self) -> VariableBuffers:
        """The variables where they lie."""
        return self._buffers

    def step(self, arrays: Mapping[str, Any]) -> dict[str, float]:
        """Runs one step on a batch: the loss as `loss`, then the reports.

        A step whose loss is not finite changes nothing: the engine keeps the variables it had. Raises DiagnosticError
        (`not-finite`, `missing-input`, `wrong-input`, `unplanned-steps`).
        """
        if self.needs_steps and self.steps is None:
            raise _unplanned()
        batch, sizes = self._check(arrays)
        session, bindings = self._step_for(sizes)
        scalars = {"step": self.step_count, "steps": self.steps or 0, "seed": self.seed}
        metrics = session.run(bindings[self._buffers.turn], batch, scalars)
        if not math.isfinite(metrics["loss"]):
            raise not_finite(metrics, self.step_count)
        self._buffers.advance()
        self.step_count += 1
        self.changes += 1
        return metrics

    def variables(self) -> dict[str, np.ndarray]:
        """Copies of all variables, the optimizer's state among them, by name."""
        return self._buffers.read()

    def load(self, values: Mapping[str, np.ndarray]) -> None:
        """Replaces the variables named. Raises DiagnosticError (`wrong-weights`)."""
        self._buffers.write(values)
        self.changes += 1

    def diverged(self) -> str | None:
        """The name of a parameter with a value that is not finite, or None: what must not be saved."""
        values = self._buffers.current()
        for variable in self._open.params:
            array = values[variable.name].numpy()
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return variable.name
        return None

    def _step_for(self, sizes: dict[str, int]) -> Step:
        """The compiled step for batches of these sizes."""
        key = tuple(sorted(sizes.items()))
        found = self._compiled.get(key)
        if found is None and len(self._compiled) >= SPECIALISED_LIMIT:
            key = ()
            found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = self._compile(self.network.train_graph(dims=dict(key)) if key else self._open)
        return found

    def _compile(self, graph: Graph) -> Step:
        session = MetricSession(graph, self.device)
        first, second = self._buffers.set(0), self._buffers.set(1)
        return session, (session.bind(first, second), session.bind(second, first))


def all_variables(network: Network, graph: Graph) -> list[Variable]:
    """The variables of the network, then those that only its training step has."""
    own = {variable.name for variable in network.variables}
    return [*network.variables, *(variable for variable in graph.variables if variable.name not in own)]


def replaced_variables(graph: Graph) -> frozenset[str]:
    """Names of the variables that a step gives a new value."""
    return frozenset(output.name for output in graph.outputs if output.role == "next")


def not_finite(metrics: Mapping[str, float], step: int) -> DiagnosticError:
    """The error for a loss that is infinite or no number, at a step counted from 0."""
    reports = [f"{name} = {value:g}" for name, value in metrics.items() if name != "loss"]
    return fail(
        "not-finite",
        f"the loss is {metrics['loss']:g} at step {step}",
        notes=[f"at this step {', '.join(reports)}"] if reports else (),
        help="lower the learning rate, warm it up, or clip the gradients (`clip norm(1.0)`); look for log or division "
        "by zero in the loss, and for such values in the data",
    )


def _unplanned() -> DiagnosticError:
    return fail(
        "unplanned-steps",
        "the learning-rate schedule needs the planned number of steps",
        help="`Trainer(network, steps=1000)`, or train with `fit`, which knows it",
    )
