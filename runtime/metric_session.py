"""Graphs that read variables and give numbers: the training step and the evaluation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort

from ..compiler.emit import output_name
from ..compiler.ir import Graph
from .binding import Binding
from .explained import explained
from .inputs import scalar_inputs
from .session import Device
from .training_session import training_session
from .variables import empty


class MetricSession:
    """A session that works on variables where they lie and writes its loss and reports to fixed places."""

    def __init__(self, graph: Graph, device: Device) -> None:
        self._graph = graph
        self._device = device
        self._session = training_session(graph, device)
        self._scalars = {item.role: item.name for item in scalar_inputs(graph)}
        metrics = [output for output in graph.outputs if output.role in ("loss", "report")]
        self._metrics = {output.name: empty(output.value.type) for output in metrics}

    def bind(self, sources: Mapping[str, ort.OrtValue], targets: Mapping[str, ort.OrtValue] | None = None) -> Binding:
        """A binding that reads the variables from `sources` and writes their new values to `targets`."""
        binding = Binding(self._session)
        for variable in self._graph.variables:
            binding.bind_ortvalue_input(variable.name, sources[variable.name])
        for name, array in self._metrics.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
        for output in self._graph.outputs:
            if output.role == "next" and targets is not None:
                binding.bind_ortvalue_output(output_name(output.name, output.role), targets[output.name])
        return binding

    def run(self, binding: Binding, batch: Mapping[str, np.ndarray], scalars: Mapping[str, int]) -> dict[str, float]:
        """The loss and the reports of one batch; `scalars` holds step, steps and seed by role."""
        feeds = dict(batch)
        feeds |= {name: np.array(scalars.get(role, 0), np.int64) for role, name in self._scalars.items()}
        for name, array in feeds.items():
            binding.bind_ortvalue_input(name, self._device.place(array))
        with explained(self._graph):
            self._session.run_with_iobinding(binding)
        return {name: float(value) for name, value in self._metrics.items()}
