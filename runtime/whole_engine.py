"""The portable training engine: one session runs the complete step, and no parameter is moved."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from ..compiler import Network
from ..compiler.initializers import materialise
from ..compiler.ir import Graph
from ..compiler.passes import run
from .binding import Binding
from .engine import SPECIALISED_LIMIT, Engine, all_variables, replaced_variables
from .further_passes import further_passes
from .metric_session import MetricSession
from .session import Device
from .variables import VariableBuffers

Step = tuple[MetricSession, tuple[Binding, Binding]]
"""A compiled step, with the bindings that read each of the two sets of buffers and write the other."""


class WholeEngine(Engine):
    """Runs the graph that `train.onnx` holds, on any device; on a processor with what is faster there.

    A step is compiled for each shape of batch that occurs (the usual one, and the last partial one): known sizes make
    faster kernels. All of them work on the same two sets of buffers.
    """

    def __init__(self, network: Network, device: Device | None = None, seed: int = 0, steps: int | None = None) -> None:
        super().__init__(network, device, seed, steps)
        self._compiled: dict[tuple[tuple[str, int], ...], Step] = {}
        variables = all_variables(network, self._open)
        self.buffers = VariableBuffers(variables, replaced_variables(self._open), self.device)
        self.buffers.write(materialise(variables, seed))

    def _open_graphs(self) -> list[Graph]:
        return [self.network.train_graph()]

    def current(self) -> Mapping[str, ort.OrtValue]:
        return self.buffers.current()

    def variables(self) -> dict[str, np.ndarray]:
        return self.buffers.read()

    def _write(self, values: Mapping[str, np.ndarray]) -> None:
        self.buffers.write(values)

    def _run(self, batch: Mapping[str, np.ndarray], sizes: dict[str, int]) -> dict[str, float]:
        session, bindings = self._step_for(sizes)
        scalars = {"step": self.step_count, "steps": self.steps or 0, "seed": self.seed}
        return session.run(bindings[self.buffers.turn], batch, scalars)

    def _commit(self) -> None:
        self.buffers.advance()

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
        if self.device.name == "cpu":
            graph = run(graph, pipeline=further_passes(self.device.threads))
        session = MetricSession(graph, self.device)
        first, second = self.buffers.set(0), self.buffers.set(1)
        return session, (session.bind(first, second), session.bind(second, first))
