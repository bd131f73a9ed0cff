"""Runs the frameworks side by side: a process each, the same weights and data, measured in turns."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .cases import Case
from .frameworks import Framework
from .machine import Others, installed_environment, today
from .statistics import Comparison, compare

AGREEMENT = 1e-4
"""Relative difference that rounding may make between two frameworks."""

CHECKED_STEPS = 3
"""Steps whose losses must agree."""

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure: rounds of so many seconds for each framework, and fresh starts of each."""

    rounds: int = 5
    seconds: float = 0.6
    starts: int = 2


@dataclass(frozen=True, slots=True)
class Runner:
    """A framework, and the Python that has it installed."""

    framework: Framework
    python: str = field(default=sys.executable)


class Disagreement(Exception):
    """The frameworks do not compute the same: what would be measured is not the same model."""


class Worker:
    """A process that measures one framework on one case, and sleeps in between."""

    def __init__(self, runner: Runner, case: Case, threads: int) -> None:
        self.framework = runner.framework
        name = self.framework.name
        environment = installed_environment(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
        command = [runner.python, "-m", "benchmarks.worker", name, case.name, str(threads), str(time.monotonic())]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, cwd=_ROOT)
        self.process = self._process.pid
        self.ready_seconds = float(self._answer())

    def ask(self, do: str, **arguments: Any) -> Any:
        """The answer to a request of `worker.Measurements`. Raises RuntimeError where the process has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Ends the process and waits for its end."""
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.framework.title} ended with status {self._process.wait()}")
        return json.loads(line)


def measure(case: Case, runners: Sequence[Runner], threads: int, effort: Effort) -> dict[str, Any]:
    """One row of the results. `runners` begin with netlang, to which ratios refer.

    Raises Disagreement where losses or outputs differ by more than rounding.
    """
    able = [runner for runner in runners if runner.framework.has(case, threads)]
    with tempfile.TemporaryDirectory() as folder:
        session = _Session(case, threads, effort, Path(folder))
        try:
            starts = session.start(able)
            losses = session.agree_on_losses()
            others = Others(session.processes)
            training = session.compare_training()
            memory = {worker.framework.name: round(worker.ask("peak_memory"), 1) for worker in session.trainers}
            inference = {str(batch): session.compare_inference(batch).record() for batch in case.inference_batches}
            measured = session.circumstances(round(others.cores(), 3))
        finally:
            session.close()
    return {
        "case": case.name,
        "threads": threads,
        "measured": measured,
        "losses": losses,
        "first_step_seconds": starts,
        "first_step_ratios": _ratios_to_first({name: min(seconds) for name, seconds in starts.items()}),
        "training": training.record(),
        "inference": inference,
        "peak_memory_mib": memory,
    }


def _ratios_to_first(seconds: Mapping[str, float]) -> dict[str, float]:
    """How long the first takes in units of each other."""
    (_, own), *others = seconds.items()
    return {name: round(own / other, 4) for name, other in others}


class _Session:
    """The workers of one case."""

    def __init__(self, case: Case, threads: int, effort: Effort, folder: Path) -> None:
        self.workers: list[Worker] = []
        self._case = case
        self._threads = threads
        self._effort = effort
        self._folder = folder
        self._weights = str(folder / "weights.npz")

    @property
    def processes(self) -> list[int]:
        """Of the workers."""
        return [worker.process for worker in self.workers]

    @property
    def trainers(self) -> list[Worker]:
        """The workers that take training steps."""
        return [worker for worker in self.workers if worker.framework.trains]

    def start(self, runners: Sequence[Runner]) -> dict[str, list[float]]:
        """Seconds from the start of a process to the end of its first step, each framework several times in turns.

        The last processes stay, as workers.
        """
        training = [runner for runner in runners if runner.framework.trains]
        seconds: dict[str, list[float]] = {runner.framework.name: [] for runner in training}
        for _ in range(self._effort.starts):
            self.close()
            for runner in training:
                worker = self._started(runner)
                seconds[runner.framework.name].append(round(worker.ready_seconds + worker.ask("first_step"), 4))
        for runner in runners:
            if not runner.framework.trains:
                self._started(runner)
        self.workers[0].ask("save_weights", path=self._weights)
        return seconds

    def agree_on_losses(self) -> dict[str, list[float]]:
        """The first losses of each framework from the same weights. Raises Disagreement."""
        self._reload(self.trainers)
        losses = {worker.framework.name: worker.ask("losses", count=CHECKED_STEPS) for worker in self.trainers}
        agree(f"{self._case.name}: the losses", {name: np.array(values) for name, values in losses.items()})
        return losses

    def compare_training(self) -> Comparison:
        """Training steps of the same batches."""
        return self._compare(lambda worker: worker.ask("train", seconds=self._effort.seconds), self.trainers)

    def compare_inference(self, batch: int) -> Comparison:
        """The model by itself on a batch of this size. Raises Disagreement where the outputs differ."""
        able = [worker for worker in self.workers if worker.framework.infers]
        self._reload(able)
        outputs: dict[str, np.ndarray] = {}
        for worker in able:
            path = self._folder / f"{worker.framework.name}.npy"
            worker.ask("output", batch=batch, path=str(path))
            outputs[worker.framework.name] = np.load(path)
        agree(f"{self._case.name}: the outputs", outputs)
        return self._compare(lambda worker: worker.ask("infer", batch=batch, seconds=self._effort.seconds / 2), able)

    def _compare(self, times: Callable[[Worker], list[float]], workers: Sequence[Worker]) -> Comparison:
        """The workers in turns, each round from the same weights."""
        rounds: dict[str, list[list[float]]] = {worker.framework.name: [] for worker in workers}
        for turn in range(self._effort.rounds):
            self._reload(workers)
            for worker in workers[::-1] if turn % 2 else workers:  # nobody always comes after the same
                rounds[worker.framework.name].append(times(worker))
        return compare(rounds)

    def circumstances(self, others: float) -> dict[str, dict[str, Any]]:
        """For each framework its version, the date, and the cores that other programs used."""
        found = {"date": today(), "others": others}
        return {
            worker.framework.name: {"version": worker.ask("version", package=worker.framework.package), **found}
            for worker in self.workers
        }

    def close(self) -> None:
        """Ends the processes."""
        while self.workers:
            self.workers.pop().close()

    def _started(self, runner: Runner) -> Worker:
        self.workers.append(Worker(runner, self._case, self._threads))
        return self.workers[-1]

    def _reload(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            worker.ask("load_weights", path=self._weights)


def agree(what: str, values: Mapping[str, np.ndarray]) -> None:
    """Raises Disagreement where values differ from the first by more than `AGREEMENT` of its greatest."""
    (first, reference), *others = values.items()
    scale = float(np.abs(reference).max())
    for name, found in others:
        difference = float(np.abs(found - reference).max()) / scale if found.shape == reference.shape else np.inf
        if not difference <= AGREEMENT:
            raise Disagreement(f"{what} of {first} and {name} differ by {difference:.2g}")
