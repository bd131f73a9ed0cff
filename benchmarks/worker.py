"""A process that measures one framework on one case: `python -m benchmarks.worker FRAMEWORK CASE THREADS SPAWNED`.

It reads one JSON request a line and answers each with one JSON line. Frameworks are imported here and nowhere else,
after the process has been pinned to as many cores as it may have threads.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .cases import Case, case_named

WARMUP_STEPS = 3
"""Steps before each round that are not counted: the process before left its own data in the caches."""


class Side(Protocol):
    """What every framework offers."""

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Begins anew from these weights, the optimizer and the schedule too."""
        ...

    def place(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """A batch as the framework takes it."""
        ...

    def train_step(self, batch: Any) -> float:
        """One complete step; the loss before it."""
        ...

    def infer(self, inputs: Any) -> np.ndarray:
        """The model's output."""
        ...


def create(framework: str, case: Case, threads: int) -> Side:
    """The side called `framework`. Raises KeyError for an unknown one."""
    return _FRAMEWORKS[framework](case, threads)


def _netlang(case: Case, threads: int) -> Side:
    from .netlang_side import NetlangSide

    return NetlangSide(case, threads)


def _torch(case: Case, threads: int) -> Side:
    from .torch_side import TorchSide

    return TorchSide(case, threads)


def _torch_compile(case: Case, threads: int) -> Side:
    from .torch_side import TorchSide

    return TorchSide(case, threads, compiled=True)


_FRAMEWORKS: dict[str, Callable[[Case, int], Side]] = {
    "netlang": _netlang,
    "torch": _torch,
    "torch.compile": _torch_compile,
}

FRAMEWORKS: tuple[str, ...] = tuple(_FRAMEWORKS)
"""Names of the frameworks that a worker can measure."""


class Measurements:
    """The requests that a worker answers, by method."""

    def __init__(self, side: Side, case: Case) -> None:
        self._side = side
        self._case = case
        self._batches = [side.place(batch) for batch in case.training_batches()]

    def save_weights(self, path: str) -> None:
        """Writes netlang's initial weights, from which every framework starts."""
        from .netlang_side import NetlangSide

        assert isinstance(self._side, NetlangSide)
        np.savez(path, allow_pickle=False, **self._side.weights())

    def load_weights(self, path: str) -> None:
        """Begins anew from weights saved by `save_weights`."""
        with np.load(path) as weights:
            self._side.load(dict(weights))

    def losses(self, count: int) -> list[float]:
        """The losses of that many steps."""
        return [self._side.train_step(self._batches[i % len(self._batches)]) for i in range(count)]

    def first_step(self) -> float:
        """Seconds of the first step."""
        begin = time.perf_counter()
        self.losses(1)
        return time.perf_counter() - begin

    def train(self, seconds: float) -> list[float]:
        """Milliseconds of each training step, for so long."""
        batches, train_step = self._batches, self._side.train_step
        return _timed(lambda i: train_step(batches[i % len(batches)]), seconds)

    def infer(self, batch: int, seconds: float) -> list[float]:
        """Milliseconds of each run of the model, for so long."""
        inputs, infer = self._side.place(self._case.inference_inputs(batch)), self._side.infer
        return _timed(lambda i: infer(inputs), seconds)

    def output(self, batch: int, path: str) -> None:
        """Writes the model's output on a batch."""
        np.save(path, self._side.infer(self._side.place(self._case.inference_inputs(batch))))

    def peak_memory(self) -> float:
        """Mebibytes that the process has held at most."""
        status = Path("/proc/self/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024


def _timed(run: Callable[[int], Any], seconds: float) -> list[float]:
    for i in range(WARMUP_STEPS):
        run(i)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begin = time.perf_counter()
        run(len(times))
        times.append((time.perf_counter() - begin) * 1e3)
    return times


def main(framework: str, case_name: str, threads: int, spawned: float) -> None:
    """Serves requests until the input ends; the first line tells the seconds from `spawned` to being ready."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-threads:]))
    case = case_named(case_name)
    measurements = Measurements(create(framework, case, threads), case)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    print(json.dumps(time.monotonic() - spawned), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(measurements, request.pop("do"))(**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
