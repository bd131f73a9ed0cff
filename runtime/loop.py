"""The training loop: steps, log, evaluations, checkpoints, and a clean end at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from netlang.diagnostics import DiagnosticError, fail

from .checkpoint import Progress
from .data import Table, TrainingFeed, batches
from .engine import Engine
from .evaluate import Evaluator, Interrupted, row_count
from .interrupt import stop_on_signal

SAVE_SECONDS = 300.0
"""A checkpoint is written at least this often."""


@dataclass(frozen=True, slots=True)
class Plan:
    """When a training does what, in steps. An evaluation and a checkpoint also come at the end."""

    steps: int
    batch: int
    steps_per_epoch: int
    log_every: int
    evaluate_every: int

    @classmethod
    def make(
        cls,
        rows: int,
        batch: int,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        log_every: int | None = None,
        evaluate_every: int | None = None,
    ) -> Plan:
        """A plan for `steps`, or for `epochs` of `rows` rows; what is not said is chosen.

        Chosen are about 200 log lines, and an evaluation after each epoch, or where epochs are many or few, about 100
        or 10 in all.
        """
        per_epoch = -(-rows // batch)
        total = steps if steps is not None else per_epoch * (epochs if epochs is not None else 1)
        done = total // per_epoch  # whole epochs
        every = per_epoch * -(-done // 100) if done >= 2 else max(1, -(-total // 10))
        return cls(total, batch, per_epoch, log_every or max(1, total // 200), evaluate_every or every)

    def epoch(self, step: int) -> float:
        """Epochs done after `step` steps."""
        return step / self.steps_per_epoch


def check_plan(epochs: int | None, steps: int | None, batch: int) -> None:
    """Refuses a plan that says too much, too little, or numbers below 1. Raises DiagnosticError (`bad-value`)."""
    if (epochs is None) == (steps is None):
        raise fail("bad-value", "say how long to train: either `epochs` or `steps`")
    for name, value in (("epochs", epochs), ("steps", steps), ("batch", batch)):
        if value is not None and value < 1:
            raise fail("bad-value", f"`{name}` must be at least 1, found {value}")


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step was done. `step` counts it; `metrics` are of its batch alone."""

    step: int
    steps: int
    epoch: float
    rows: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Logged:
    """The mean metrics of the steps since the last such event, and the rows trained on in a second meanwhile."""

    step: int
    epoch: float
    metrics: Mapping[str, float]
    rows_per_second: float


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Metrics over a whole split. `best`: it is the validation split, and its loss is the lowest so far."""

    step: int
    epoch: float
    split: str
    metrics: Mapping[str, float]
    best: bool


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint was written; `name` is "last" or "best"."""

    step: int
    name: str


Event = StepDone | Logged | Evaluated | Saved
Callback = Callable[[Event], None]


class Keeper(Protocol):
    """Keeps checkpoints: a run directory."""

    def keep(self, name: str, variables: Mapping[str, np.ndarray], progress: Progress) -> None:
        """Replaces the checkpoint called `name`, "last" or "best"."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended: `state` is "finished" or "interrupted"; `metrics` are of the last evaluation."""

    state: str
    step: int
    metrics: Mapping[str, float]
    progress: Progress


class TrainingLoop:
    """One training from wherever the engine stands to the end of its plan, or until it is interrupted."""

    def __init__(
        self,
        engine: Engine,
        feed: TrainingFeed,
        plan: Plan,
        progress: Progress,
        *,
        evaluation: tuple[str, Table] | None = None,
        keeper: Keeper | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        """`evaluation` is the split to evaluate on, with its name; `keeper` takes the checkpoints."""
        self._engine = engine
        self._feed = feed
        self._plan = plan
        self._progress = progress
        self._evaluation = evaluation
        self._evaluator = Evaluator(engine.network, engine.device) if evaluation else None
        self._keeper = keeper
        self._callbacks = callbacks
        self._metrics: Mapping[str, float] = {}
        self._meter = Meter()
        self._first_step = engine.step_count + 1
        self._saved_at = time.monotonic()

    def run(self) -> Outcome:
        """Trains. SIGINT and SIGTERM end it after the step under way; then, as at the end, a checkpoint is written.

        Raises DiagnosticError (`not-finite`): the checkpoints written before stay as they are.
        """
        engine, plan = self._engine, self._plan
        with stop_on_signal() as stop:
            try:
                self._evaluate_if_due(stop)
                while engine.step_count < plan.steps and not stop():
                    self._step()
                    self._evaluate_if_due(stop)
                    if time.monotonic() - self._saved_at > SAVE_SECONDS:
                        self._save("last")
            except Interrupted:
                pass
            state = "interrupted" if stop() else "finished"
            self._save("last")
        return Outcome(state, engine.step_count, self._metrics, self._progress)

    def _step(self) -> None:
        engine, plan = self._engine, self._plan
        batch = self._feed.batch(engine.step_count)
        rows = row_count(batch)
        try:
            metrics = engine.step(batch)
        except DiagnosticError as error:
            raise self._with_checkpoint(error) from None
        step = engine.step_count
        self._meter.add(metrics, rows)
        if step == self._first_step:  # which also compiled it
            self._meter.begin()
        self._tell(StepDone(step, plan.steps, plan.epoch(step), rows, metrics))
        if step % plan.log_every == 0 or step == plan.steps:
            means, rate = self._meter.take()
            self._tell(Logged(step, plan.epoch(step), means, rate))

    def _evaluate_if_due(self, stop: Callable[[], bool]) -> None:
        """Evaluates where the plan says so and that has not been done yet, as after an interrupted evaluation."""
        step, plan = self._engine.step_count, self._plan
        due = step == plan.steps or (step > 0 and step % plan.evaluate_every == 0)
        if not due or self._progress.evaluated == step or self._evaluator is None or self._evaluation is None:
            return
        split, table = self._evaluation
        started = time.monotonic()
        metrics = self._evaluator.run(self._engine.for_inference(), batches(table, plan.batch), stop)
        self._meter.pause(time.monotonic() - started)
        lowest = math.inf if self._progress.best is None else self._progress.best
        best = split == "validation" and metrics["loss"] < lowest  # the test part chooses nothing
        self._progress = replace(self._progress, evaluated=step)
        if best:
            self._progress = replace(self._progress, best=metrics["loss"], best_step=step)
        self._metrics = metrics
        self._tell(Evaluated(step, plan.epoch(step), split, metrics, best))
        if best:
            self._save("best")
        self._save("last")

    def _save(self, name: str) -> None:
        if self._keeper is None:
            return
        broken = self._engine.diverged()
        if broken is not None:
            raise self._with_checkpoint(_diverged(broken, self._engine.step_count))
        self._progress = replace(self._progress, step=self._engine.step_count)
        self._keeper.keep(name, self._engine.variables(), self._progress)
        self._saved_at = time.monotonic()
        self._tell(Saved(self._progress.step, name))

    def _with_checkpoint(self, error: DiagnosticError) -> DiagnosticError:
        """The error, saying what is left to go on from."""
        if self._keeper is None or self._progress.step == 0:
            return error
        note = f"the checkpoint of step {self._progress.step} is kept"
        return DiagnosticError(*(replace(d, notes=(*d.notes, note)) for d in error.diagnostics))

    def _tell(self, event: Event) -> None:
        for callback in self._callbacks:
            callback(event)


class Meter:
    """Means of metrics, weighted by rows, and rows in a second, between two readings."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}
        self._rows = 0
        self.begin()

    def begin(self) -> None:
        """Counts rows for the rate from now on; the means keep what they have."""
        self._timed_rows = 0
        self._started = time.monotonic()

    def add(self, metrics: Mapping[str, float], rows: int) -> None:
        """Counts a step."""
        for name, value in metrics.items():
            self._totals[name] = self._totals.get(name, 0.0) + value * rows
        self._rows += rows
        self._timed_rows += rows

    def pause(self, seconds: float) -> None:
        """Leaves a time out of the rate."""
        self._started += seconds

    def take(self) -> tuple[dict[str, float], float]:
        """The means and the rate since the last reading, which begins anew."""
        rate = self._timed_rows / max(time.monotonic() - self._started, 1e-9)
        means = {name: total / self._rows for name, total in self._totals.items()}
        self._totals, self._rows = {}, 0
        self.begin()
        return means, rate


def _diverged(parameter: str, step: int) -> DiagnosticError:
    return fail(
        "not-finite",
        f"the parameter `{parameter}` is no longer finite after step {step}",
        help="lower the learning rate, warm it up, or clip the gradients (`clip 1.0`)",
    )
