"""Inference: one entry of a network with fixed weights, arrays in and arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import onnxruntime as ort

from ..compiler.batching import batch_symbol
from ..compiler.emit import emit
from ..compiler.ir import Graph
from .explained import explained
from .further_passes import with_fast_sums
from .inputs import InputCheck, scalar_inputs
from .parts import Part
from .row_parts import RowParts
from .session import Device
from .sum_threads import alone
from .workers import OwnProcess, available_cores

INLINE_LIMIT = 1_500_000_000
"""Bytes of weights above which they stay outside an ONNX model, whose file format ends at 2 GiB."""

TWICE_LIMIT = 1 << 29
"""Bytes of weights up to which two sessions may have them: one for few rows, and one for parts of many."""


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """How batches of `sizes` are run: in parts, if there are several, or as a whole by `session`."""

    sizes: Mapping[str, int]
    parts: Sequence[Part]
    session: ort.InferenceSession | None


class Runner:
    """Runs an inference graph.

    The weights are constants of the session, which lets ONNX Runtime lay them out for its kernels; only weights too
    large for a model in memory are passed in at each run. Where rows are independent, large batches are computed in
    parts, on all cores at once.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, np.ndarray], device: Device | None = None) -> None:
        """`weights` holds every variable of the graph by name; names that the graph does not have are left out."""
        self._check = InputCheck(graph)
        self._graph = graph
        device = device or Device()
        self._threads = 1 if device.name != "cpu" else device.threads or available_cores()
        self._single = replace(device, threads=1)
        self._device = self._single if self._threads == 1 and device.name == "cpu" else device
        used = {variable.name: weights[variable.name] for variable in graph.variables}
        inline = weight_bytes(used) <= INLINE_LIMIT
        self._inline = used if inline else None
        self._fixed: dict[str, np.ndarray] = {} if inline else used
        self._fixed |= {item.name: np.zeros((), np.int64) for item in scalar_inputs(graph)}
        self._process = OwnProcess()
        self._sessions: dict[Device, ort.InferenceSession] = {}
        self._plan = _Plan({}, (), None)
        self._batch = batch_symbol(graph)
        self._twice = self._device == self._single or weight_bytes(used) <= TWICE_LIMIT
        self.inputs = tuple(item.name for item in self._check.inputs)
        self.results = [output.name for output in graph.outputs if output.role != "next"]

    def __call__(self, arrays: Mapping[str, Any]) -> Sequence[np.ndarray]:
        """The results in the order of `results`, for inputs by name, in any order.

        Raises DiagnosticError (`missing-input`, `wrong-input`, …).
        """
        self._process.require()
        feeds, sizes = self._check(arrays)
        if self._fixed:
            feeds |= self._fixed
        plan = self._plan
        if plan.sizes is not sizes:  # the same object for arrays like those before
            plan = self._plan = self._planned(sizes)
        try:
            if plan.session is not None:
                return cast(Sequence[np.ndarray], plan.session.run(self.results, feeds))
            assert self._in_parts is not None
            return self._in_parts.run(feeds, sizes, plan.parts)
        except Exception:
            with explained(self._graph):
                raise

    def _planned(self, sizes: Mapping[str, int]) -> _Plan:
        if self._batch is not None and sizes.get(self._batch, 0) > 1 and self._in_parts is not None:
            parts = self._in_parts.parts(sizes)
            if len(parts) > 1:
                return _Plan(sizes, parts, None)
        single = alone(self._graph, sizes, self._threads)
        return _Plan(sizes, (), self._session(self._single if single else self._device))

    def _session(self, device: Device) -> ort.InferenceSession:
        """The session of a device, made when it is first needed."""
        if device not in self._sessions:
            graph = with_fast_sums(self._graph, device)
            self._sessions[device] = device.session(emit(graph, weights=self._inline))
        return self._sessions[device]

    @cached_property
    def _in_parts(self) -> RowParts | None:
        """What computes large batches, on the processor. It may need a session of its own, and so the weights twice.
        Whether it can is found when there is one: for DDPM that takes 40 ms."""
        if self._device.name != "cpu" or not self._twice:
            return None
        return RowParts.of(self._graph, lambda: self._session(self._single), self._threads)


def weight_bytes(weights: Mapping[str, np.ndarray]) -> int:
    """Bytes of all weights together."""
    return sum(array.nbytes for array in weights.values())
