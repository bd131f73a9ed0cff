"""A process that measures one framework on one case: `python -m benchmarks.worker FRAMEWORK CASE THREADS SPAWNED`.

It pins itself to as many cores as it may have threads, imports the framework, and says in its first line how many
seconds have passed since SPAWNED (by the monotonic clock). Then it reads one JSON request a line and answers each with
one JSON line.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np

from .cases import Case, case_named
from .frameworks import FRAMEWORKS, InferringSide, Side, TrainingSide
from .switches import WITHOUT

WARMUP_STEPS = 3
"""Most steps before each round that are not counted: the process before left its own data in the caches."""


class Measurements:
    """The requests that a worker answers, by method."""

    def __init__(self, side: Side, case: Case) -> None:
        self._side = side
        self._case = case
        self._batches = [side.place(batch) for batch in case.training_batches()]

    def save_weights(self, path: str) -> None:
        """Writes netlang's initial weights, from which every framework starts."""
        from .netlang_side import NetlangSide

        weights = cast(NetlangSide, self._side).weights()
        np.savez(path, allow_pickle=False, **weights)

    def load_weights(self, path: str) -> None:
        """Begins anew from weights saved by `save_weights`."""
        with np.load(path) as weights:
            self._side.load(dict(weights))

    def losses(self, count: int) -> list[float]:
        """The losses of that many steps."""
        train_step = cast(TrainingSide, self._side).train_step
        return [train_step(self._batches[i % len(self._batches)]) for i in range(count)]

    def first_step(self) -> float:
        """Seconds of the first step."""
        begin = time.perf_counter()
        self.losses(1)
        return time.perf_counter() - begin

    def train(self, seconds: float) -> list[float]:
        """Milliseconds of each training step, for so long."""
        batches, train_step = self._batches, cast(TrainingSide, self._side).train_step
        return _timed(lambda i: train_step(batches[i % len(batches)]), seconds)

    def infer(self, batch: int, seconds: float) -> list[float]:
        """Milliseconds of each run of the model, for so long."""
        inputs, infer = self._side.place(self._case.inference_inputs(batch)), cast(InferringSide, self._side).infer
        return _timed(lambda i: infer(inputs), seconds)

    def output(self, batch: int, path: str) -> None:
        """Writes the model's output on a batch."""
        inputs = self._side.place(self._case.inference_inputs(batch))
        np.save(path, cast(InferringSide, self._side).infer(inputs))

    def version(self, package: str) -> str:
        """Of an installed package."""
        return metadata.version(package)

    def peak_memory(self) -> float:
        """Mebibytes that the process has held at most."""
        status = Path("/proc/self/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024


def _timed(run: Callable[[int], Any], seconds: float) -> list[float]:
    begin = time.perf_counter()
    for i in range(WARMUP_STEPS):
        run(i)
        if time.perf_counter() > begin + seconds / 2:
            break
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begin = time.perf_counter()
        run(len(times))
        times.append((time.perf_counter() - begin) * 1e3)
    return times


def main(framework: str, case_name: str, threads: int, spawned: float) -> None:
    """Serves requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    case = case_named(case_name)
    measurements = Measurements({**FRAMEWORKS, **WITHOUT}[framework].make(case, threads), case)
    print(json.dumps(time.monotonic() - spawned), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(measurements, request.pop("do"))(**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
