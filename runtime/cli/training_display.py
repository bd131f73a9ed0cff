"""What a training shows: a bar with loss, rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..loop import Evaluated, Event, Logged, StepDone
from .terminal import console, numbers

PLAIN_SECONDS = 5.0
"""Least time between two plain lines about the training loss; evaluations are always shown."""


class TrainingDisplay:
    """A callback of the training loop. Use it as a context: leaving it removes the bar."""

    def __init__(self, steps: int, done: int = 0, stream: TextIO | None = None) -> None:
        """`steps` are planned in all, `done` of them before."""
        self._console = console(stream or sys.stderr)
        self._bar = Bar(self._console, steps, done) if self._console.is_terminal else None
        self._shown_at = time.monotonic()

    def __enter__(self) -> TrainingDisplay:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Shows an event of the training."""
        match event:
            case StepDone() if self._bar:
                self._bar.step(event)
            case Logged() if self._bar:
                self._bar.log(event)
            case Logged() if time.monotonic() - self._shown_at >= PLAIN_SECONDS:
                self._line(event.epoch, event.step, "train", event.metrics, f"{event.rows_per_second:,.0f} rows/s")
                self._shown_at = time.monotonic()
            case Evaluated():
                self._line(event.epoch, event.step, event.split, event.metrics, "best" if event.best else "")

    def _line(self, epoch: float, step: int, split: str, metrics: Mapping[str, float], remark: str) -> None:
        text = f"epoch {epoch:6.2f}  step {step:>7,}  {split:10}  {numbers(metrics)}  {remark}"
        self._console.print(text.rstrip(), soft_wrap=True)


class Bar:
    """The bar on a terminal."""

    def __init__(self, screen: Console, steps: int, done: int) -> None:
        self._progress = Progress(
            TextColumn("{task.percentage:>3.0f}%"),
            BarColumn(),
            TextColumn("step {task.completed:,}/{task.total:,}"),
            TextColumn("{task.fields[metrics]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=screen,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("train", total=steps, completed=done, metrics="", rate="")
        self._logged = False

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        self._progress.stop()

    def step(self, event: StepDone) -> None:
        """Moves the bar; until the first means are there, it shows the metrics of single steps."""
        if self._logged:
            self._progress.update(self._task, completed=event.step)
        else:
            self._progress.update(self._task, completed=event.step, metrics=numbers(event.metrics))

    def log(self, event: Logged) -> None:
        """Shows mean metrics and the rate."""
        self._logged = True
        rate = f"{event.rows_per_second:,.0f} rows/s"
        self._progress.update(self._task, metrics=numbers(event.metrics), rate=rate)
