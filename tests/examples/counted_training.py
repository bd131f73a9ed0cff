"""A training of which the losses are known. A module of its own, for processes that import nothing else."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def counted(name: str, steps: int, tell: Callable[[Any], None], first: float | None) -> None:
    """The losses count from `first`; without one, the training called "two" fails."""
    report = importlib.import_module("side_by_side").Report
    if first is None and name == "two":
        raise SystemExit(1)
    for step in range(steps):
        loss = (first or 0.0) + step
        tell(report(name, step + 1, loss, 0.0, loss if step + 1 == steps else None))
