"""Loss and reports over a whole data set, in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import onnxruntime as ort

from ..compiler import Network
from .inputs import InputCheck
from .metric_session import MetricSession
from .session import Device

Batch = Mapping[str, Any]


class Interrupted(Exception):
    """An evaluation was asked to stop before it was through."""


class Evaluator:
    """Evaluates a network on batches; compiled once, used after every epoch."""

    def __init__(self, network: Network, device: Device | None = None) -> None:
        graph = network.eval_graph()
        self._check = InputCheck(graph)
        self._session = MetricSession(graph, device or Device())

    def run(
        self,
        variables: Mapping[str, ort.OrtValue],
        batches: Iterable[Batch],
        stop: Callable[[], bool] = lambda: False,
    ) -> dict[str, float]:
        """The mean over all rows of the loss and each report.

        Each batch counts by its number of rows (the size of the first input's first axis), so a smaller last batch
        does not distort the mean. Sums are kept in float64. Raises Interrupted as soon as `stop()` is true, and
        ValueError where there are no batches.
        """
        binding = self._session.bind(variables)
        totals: dict[str, float] = {}
        rows = 0
        for arrays in batches:
            if stop():
                raise Interrupted
            batch, _ = self._check(arrays)
            count = row_count(batch)
            for name, value in self._session.run(binding, batch, {}).items():
                totals[name] = totals.get(name, 0.0) + value * count
            rows += count
        if rows == 0:
            raise ValueError("nothing to evaluate")
        return {name: total / rows for name, total in totals.items()}


def row_count(batch: Mapping[str, np.ndarray]) -> int:
    """The number of rows of a batch: the size of the first axis of its first array; 1 where that has none."""
    first = next(iter(batch.values()))
    return first.shape[0] if first.ndim else 1
