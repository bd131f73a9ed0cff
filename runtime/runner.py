"""Inference: one entry of a network with fixed weights, arrays in and arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from ..compiler.emit import emit
from ..compiler.ir import Graph
from .explained import explained
from .further_passes import with_fast_sums
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
        self._check = InputCheck(graph)
        self._graph = graph
        used = {variable.name: weights[variable.name] for variable in graph.variables}
        inline = weight_bytes(used) <= INLINE_LIMIT
        self._fixed: dict[str, np.ndarray] = {} if inline else used
        self._fixed |= {item.name: np.zeros((), np.int64) for item in scalar_inputs(graph)}
        device = device or Device()
        model = emit(with_fast_sums(graph, device), weights=used if inline else None)
        self._session = device.session(model)
        self.inputs = tuple(item.name for item in self._check.inputs)
        self.results = [output.name for output in graph.outputs if output.role != "next"]

    def __call__(self, arrays: Mapping[str, Any]) -> Sequence[np.ndarray]:
        """The results in the order of `results`, for inputs by name, in any order.

        Raises DiagnosticError (`missing-input`, `wrong-input`, …).
        """
        feeds, _ = self._check(arrays)
        if self._fixed:
            feeds |= self._fixed
        try:
            return cast(Sequence[np.ndarray], self._session.run(self.results, feeds))
        except Exception:
            with explained(self._graph):
                raise


def weight_bytes(weights: Mapping[str, np.ndarray]) -> int:
    """Bytes of all weights together."""
    return sum(array.nbytes for array in weights.values())
