"""Times of interleaved rounds: medians, minima and ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one thing that was run many times, in rounds.

    median: of the rounds' medians. minimum: of all. low, high: the least and the greatest median of a round.
    """

    median: float
    minimum: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """How long the first framework takes in units of another: medians of the same round divided.

    low and high are the least and the greatest of the rounds; minimum is the ratio of the least times.
    """

    median: float
    low: float
    high: float
    minimum: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The times of every framework, and the first one's ratios to the others."""

    times: Mapping[str, Times]
    ratios: Mapping[str, Ratio]

    def record(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "times_ms": {name: _plain(times) for name, times in self.times.items()},
            "ratios": {name: _plain(ratio) for name, ratio in self.ratios.items()},
        }


def compare(rounds: Mapping[str, Sequence[Sequence[float]]]) -> Comparison:
    """The comparison of frameworks measured in the same number of rounds; each round is a list of milliseconds."""
    medians = {name: np.array([np.median(times) for times in own]) for name, own in rounds.items()}
    times = {
        name: Times(
            median=float(np.median(medians[name])),
            minimum=min(min(times) for times in own),
            low=float(medians[name].min()),
            high=float(medians[name].max()),
            count=sum(len(times) for times in own),
        )
        for name, own in rounds.items()
    }
    first = next(iter(rounds))
    ratios = {
        name: _ratio(medians[first] / medians[name], times[first], times[name]) for name in rounds if name != first
    }
    return Comparison(times, ratios)


def geometric_mean(values: Sequence[float]) -> float:
    """The mean for ratios. Raises ValueError where there are none."""
    if not values:
        raise ValueError("the mean of nothing")
    return float(np.exp(np.mean(np.log(values))))


def _ratio(by_round: np.ndarray, own: Times, other: Times) -> Ratio:
    return Ratio(float(np.median(by_round)), float(by_round.min()), float(by_round.max()), own.minimum / other.minimum)


def _plain(item: Times | Ratio) -> dict[str, float]:
    return {name: round(getattr(item, name), 4) for name in item.__slots__}
