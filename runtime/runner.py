"""Inference: one entry of a network with fixed weights, arrays in and arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..compiler.emit import emit
from ..compiler.ir import Graph
from .explained import explained
from .inputs import InputCheck, scalar_inputs
from .session import Device

INLINE_LIMIT = 1_500_000_000
"""Bytes of weights above which they stay outside an ONNX model, whose file format ends at 2 GiB."""


class Runner:
    """Runs an inference graph.

    The weights are constants of the session, which lets ONNX Runtime lay them out for its kernels; only weights too
    large for a model in memory are passed in at each run.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, np.ndarray], device: Device | None = None) -> None:
        """`weights` holds every variable of the graph by name; names that the graph does not have are left out."""
        self._graph = graph
        self._check = InputCheck(graph)
        used = {variable.name: weights[variable.name] for variable in graph.variables}
        inline = weight_bytes(used) <= INLINE_LIMIT
        self._fixed: dict[str, np.ndarray] = {} if inline else used
        self._fixed |= {item.name: np.zeros((), np.int64) for item in scalar_inputs(graph)}
        self._session = (device or Device()).session(emit(graph, weights=used if inline else None))
        self._results = [output.name for output in graph.outputs if output.role != "next"]

    def run(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The results by name. Raises DiagnosticError (`missing-input`, `wrong-input`, …)."""
        feeds, _ = self._check(arrays)
        with explained(self._graph):
            results = self._session.run(self._results, {**self._fixed, **feeds})
        return {name: np.asarray(result) for name, result in zip(self._results, results, strict=True)}


def weight_bytes(weights: Mapping[str, np.ndarray]) -> int:
    """Bytes of all weights together."""
    return sum(array.nbytes for array in weights.values())
