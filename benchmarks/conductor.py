"""Runs the frameworks side by side: a process each, the same weights and data, measured in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .cases import Case
from .statistics import Comparison, compare

AGREEMENT = 1e-4
"""Relative difference that rounding may make between the losses of two frameworks."""

CHECKED_STEPS = 3
"""Steps whose losses must agree."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: rounds of so many seconds for each framework, and fresh starts of each."""

    rounds: int = 7
    seconds: float = 1.0
    starts: int = 3


class Disagreement(Exception):
    """The frameworks do not compute the same: what would be measured is not the same model."""


class Worker:
    """A process that measures one framework on one case, and waits in between."""

    def __init__(self, framework: str, case: Case, threads: int) -> None:
        command = [sys.executable, "-m", "benchmarks.worker", framework, case.name, str(threads)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [*command, str(time.monotonic())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[1],
        )
        self.framework = framework
        self.ready_seconds = float(self._answer())

    def ask(self, do: str, **arguments: Any) -> Any:
        """The answer to a request of `worker.Measurements`. Raises RuntimeError where the process has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.framework} ended with status {self._process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def measure(case: Case, frameworks: Sequence[str], threads: int, effort: Effort) -> dict[str, Any]:
    """One row of the results. `frameworks` begins with netlang, to which ratios refer.

    Raises Disagreement where losses or outputs differ by more than rounding.
    """
    with tempfile.TemporaryDirectory() as folder:
        session = _Session(case, threads, Path(folder))
        starts = session.starts(frameworks, effort.starts)
        try:
            losses = session.agree_on_losses()
            training = session.compared(effort, lambda worker: worker.ask("train", seconds=effort.seconds))
            memory = {worker.framework: round(worker.ask("peak_memory"), 1) for worker in session.workers}
            inference = {}
            for batch in case.inference_batches:
                session.agree_on_outputs(batch)
                inference[str(batch)] = session.compared(
                    effort, lambda worker, size=batch: worker.ask("infer", batch=size, seconds=effort.seconds / 2)
                )
        finally:
            session.close()
    return {
        "case": case.name,
        "threads": threads,
        "losses": losses,
        "first_step_seconds": starts,
        "training": training.record(),
        "inference": {batch: result.record() for batch, result in inference.items()},
        "peak_memory_mib": memory,
    }


class _Session:
    """The workers of one case."""

    def __init__(self, case: Case, threads: int, folder: Path) -> None:
        self.workers: list[Worker] = []
        self._case = case
        self._threads = threads
        self._folder = folder
        self._weights = str(folder / "weights.npz")

    def starts(self, frameworks: Sequence[str], count: int) -> dict[str, list[float]]:
        """Seconds from the start of a process to the end of its first step; the last processes stay as workers."""
        seconds: dict[str, list[float]] = {framework: [] for framework in frameworks}
        for round_ in range(count):
            for framework in frameworks:
                worker = Worker(framework, self._case, self._threads)
                seconds[framework].append(round(worker.ready_seconds + worker.ask("first_step"), 4))
                if round_ == count - 1:
                    self.workers.append(worker)
                else:
                    worker.__exit__(None, None, None)
        self.workers[0].ask("save_weights", path=self._weights)
        return seconds

    def agree_on_losses(self) -> dict[str, list[float]]:
        """The first losses of each framework from the same weights. Raises Disagreement."""
        self._reload()
        losses = {worker.framework: worker.ask("losses", count=CHECKED_STEPS) for worker in self.workers}
        self._agree("losses", {name: np.array(values) for name, values in losses.items()})
        return losses

    def agree_on_outputs(self, batch: int) -> None:
        """Raises Disagreement where the outputs from the same weights differ."""
        self._reload()
        outputs: dict[str, np.ndarray] = {}
        for worker in self.workers:
            path = self._folder / f"{worker.framework}.npy"
            worker.ask("output", batch=batch, path=str(path))
            outputs[worker.framework] = np.load(path)
        self._agree("outputs", outputs)

    def compared(self, effort: Effort, times: Callable[[Worker], list[float]]) -> Comparison:
        """The frameworks in turns, each round from the same weights."""
        rounds: dict[str, list[list[float]]] = {worker.framework: [] for worker in self.workers}
        for _ in range(effort.rounds):
            self._reload()
            for worker in self.workers:
                rounds[worker.framework].append(times(worker))
        return compare(rounds)

    def close(self) -> None:
        """Ends the processes."""
        for worker in self.workers:
            worker.__exit__(None, None, None)

    def _reload(self) -> None:
        for worker in self.workers:
            worker.ask("load_weights", path=self._weights)

    def _agree(self, what: str, values: dict[str, np.ndarray]) -> None:
        (first, reference), *others = values.items()
        scale = float(np.abs(reference).max())
        for name, found in others:
            difference = float(np.abs(found - reference).max()) / scale if found.shape == reference.shape else np.inf
            if not difference <= AGREEMENT:
                raise Disagreement(f"{self._case.name}: the {what} of {first} and {name} differ by {difference:.2g}")
