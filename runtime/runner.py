"""Inference: one entry of a network with fixed weights, arrays in and arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import onnxruntime as ort

from ..compiler.emit import emit
from ..compiler.ir import Graph
from .explained import explained
from .further_passes import with_fast_sums
from .inputs import InputCheck, scalar_inputs
from .row_parts import RowParts
from .session import Device
from .workers import available_cores

INLINE_LIMIT = 1_500_000_000
"""Bytes of weights above which they stay outside an ONNX model, whose file format ends at 2 GiB."""

TWICE_LIMIT = 1 << 29
"""Bytes of weights up to which two sessions may have them: one for few rows, and one for parts of many."""


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
        self._device = device or Device()
        used = {variable.name: weights[variable.name] for variable in graph.variables}
        inline = weight_bytes(used) <= INLINE_LIMIT
        self._inline = used if inline else None
        self._fixed: dict[str, np.ndarray] = {} if inline else used
        self._fixed |= {item.name: np.zeros((), np.int64) for item in scalar_inputs(graph)}
        self._sessions: dict[Device, ort.InferenceSession] = {}
        self._parts = self._row_parts(weight_bytes(used))
        self.inputs = tuple(item.name for item in self._check.inputs)
        self.results = [output.name for output in graph.outputs if output.role != "next"]

    def __call__(self, arrays: Mapping[str, Any]) -> Sequence[np.ndarray]:
        """The results in the order of `results`, for inputs by name, in any order.

        Raises DiagnosticError (`missing-input`, `wrong-input`, …).
        """
        feeds, sizes = self._check(arrays)
        if self._fixed:
            feeds |= self._fixed
        parts = [] if self._parts is None else self._parts.plan(sizes)
        try:
            if self._parts is not None and len(parts) > 1:
                return self._parts.run(feeds, sizes, parts)
            return cast(Sequence[np.ndarray], self._session(self._device).run(self.results, feeds))
        except Exception:
            with explained(self._graph):
                raise

    def _session(self, device: Device) -> ort.InferenceSession:
        """The session of a device, made when it is first needed: of many threads for few rows, of one for parts."""
        if device not in self._sessions:
            graph = with_fast_sums(self._graph, device)
            self._sessions[device] = device.session(emit(graph, weights=self._inline))
        return self._sessions[device]

    def _row_parts(self, weights: int) -> RowParts | None:
        """What computes large batches, on the processor. It may need a session of its own, and so the weights twice."""
        single, threads = replace(self._device, threads=1), self._device.threads or available_cores()
        if self._device.name != "cpu" or (single != self._device and weights > TWICE_LIMIT):
            return None
        return RowParts.of(self._graph, partial(self._session, single), threads)


def weight_bytes(weights: Mapping[str, np.ndarray]) -> int:
    """Bytes of all weights together."""
    return sum(array.nbytes for array in weights.values())
