"""The ratios of all models in a few numbers, beside what they are meant to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .cases import case_named
from .frameworks import FRAMEWORKS, TORCH
from .statistics import geometric_mean

Row = Mapping[str, Any]

MEASUREMENTS = ("training step", "inference", "first step")
"""What frameworks are compared in."""

GOALS: Mapping[tuple[str, str], float] = {
    ("training step", "torch"): 0.7,
    ("training step", "torch.compile"): 0.8,
    ("training step", "onnxruntime-training"): 0.7,
    ("training step", "jax"): 0.9,
    ("inference", "torch"): 0.6,
    ("inference", "torch.onnx"): 1.0,
    ("first step", "torch.compile"): 0.2,
}
"""Greatest geometric means of the ratios, those of training on two cores; a peer without an entry has no goal."""

LIMIT = 1.25
"""Ratio to PyTorch eager that no model's training step should exceed."""


@dataclass(frozen=True, slots=True)
class Mean:
    """The geometric mean of a peer's ratios in one measurement, by the number of threads; and over how many models."""

    measurement: str
    peer: str
    models: int
    by_threads: Mapping[int, float]

    @property
    def goal(self) -> float | None:
        """What it should not exceed."""
        return GOALS.get((self.measurement, self.peer))


def means(rows: Sequence[Row]) -> list[Mean]:
    """Every measurement of every peer that was measured."""
    found = [_mean(rows, measurement, peer) for measurement in MEASUREMENTS for peer in FRAMEWORKS]
    return [mean for mean in found if mean.by_threads]


def _mean(rows: Sequence[Row], measurement: str, peer: str) -> Mean:
    by_threads: dict[int, list[float]] = {}
    models = set()
    for row in rows:
        for ratio in ratios(row, measurement, peer):
            by_threads.setdefault(row["threads"], []).append(ratio)
            models.add(row["case"])
    values = {threads: geometric_mean(by_threads[threads]) for threads in sorted(by_threads)}
    return Mean(measurement, peer, len(models), values)


def ratios(row: Row, measurement: str, peer: str) -> list[float]:
    """netlang's time in units of the peer's: one number, or at inference one for each batch; none if not measured."""
    if measurement == "first step":
        found = row["first_step_ratios"]
        return [found[peer]] if peer in found else []
    results = [row["training"]] if measurement == "training step" else row["inference"].values()
    return [result["ratios"][peer]["median"] for result in results if peer in result["ratios"]]


def slow(rows: Sequence[Row]) -> list[tuple[str, int, float]]:
    """The training steps above the limit: title of the model, threads, ratio; the slowest first."""
    found = [
        (case_named(row["case"]).title, row["threads"], ratio)
        for row in rows
        for ratio in ratios(row, "training step", TORCH.name)
        if ratio > LIMIT
    ]
    return sorted(found, key=lambda item: -item[2])
