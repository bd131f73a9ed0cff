"""Two trainings at once, each in a process of its own, with the progress of both on the screen."""

from __future__ import annotations

import multiprocessing
import os
import queue
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_SECONDS = 30.0
"""Between two lines about a training where there is no terminal to draw bars on."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a training says after a step: its loss, its processor seconds so far, and the figure of a test, if any."""

    name: str
    step: int
    loss: float
    seconds: float
    tested: float | None = None


@dataclass(slots=True)
class Course:
    """All that a training has said."""

    losses: list[float] = field(default_factory=list)
    tested: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0


Tell = Callable[[Report], None]


def side_by_side(work: Callable[..., None], names: Sequence[str], steps: int, *given: Any) -> dict[str, Course]:
    """Runs `work(name, steps, tell, *given)` for each name at once, and gathers what each tells.

    Ctrl-C ends them, and what was told so far is the result. Raises SystemExit where one of them ends before its last
    step; the others are ended then.
    """
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    processes = {
        name: context.Process(target=_alone, args=(work, name, steps, reports, *given), daemon=True) for name in names
    }
    courses = {name: Course() for name in names}
    for process in processes.values():
        process.start()
    try:
        with Display(names, steps) as display:
            while any(len(course.losses) < steps for course in courses.values()):
                report = _next(reports, processes)
                _record(courses[report.name], report)
                display.show(report)
        for process in processes.values():
            process.join()
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        for process in processes.values():
            process.terminate()
    return courses


def _alone(work: Callable[..., None], name: str, steps: int, reports: Any, *given: Any) -> None:
    """Does the work in a session of its own, where a Ctrl-C of the terminal does not come: the parent answers it."""
    if hasattr(os, "setsid"):
        os.setsid()
    parent = multiprocessing.parent_process()

    def tell(report: Report) -> None:
        if parent is not None and not parent.is_alive():
            raise SystemExit(f"{name}: nobody is listening any more")
        reports.put(report)

    work(name, steps, tell, *given)


def _next(reports: Any, processes: Mapping[str, BaseProcess]) -> Report:
    while True:
        try:
            return reports.get(timeout=1.0)
        except queue.Empty:
            for name, process in processes.items():
                if process.exitcode:
                    raise SystemExit(f"{name} ended early") from None


def _record(course: Course, report: Report) -> None:
    course.losses.append(report.loss)
    course.seconds = report.seconds
    if report.tested is not None:
        course.tested[report.step] = report.tested


class Display:
    """A bar for each training on a terminal, plain lines elsewhere."""

    def __init__(self, names: Sequence[str], steps: int) -> None:
        self._console = Console(stderr=sys.stderr.isatty())
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,}/{task.total:,}"))
        shown = TextColumn("{task.fields[said]}")
        self._bars = Progress(*columns, shown, TimeRemainingColumn(), console=self._console)
        self._tasks = {name: self._bars.add_task(name, total=steps, said="") for name in names}
        self._said = dict.fromkeys(names, 0.0)

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, report: Report) -> None:
        """Moves a bar, or from time to time writes a line; what was tested is always written."""
        self._bars.update(self._tasks[report.name], completed=report.step, said=f"loss {report.loss:.3f}")
        due = not self._console.is_terminal and time.monotonic() - self._said[report.name] > PLAIN_SECONDS
        if report.tested is None and not due:
            return
        self._said[report.name] = time.monotonic()
        tested = "" if report.tested is None else f", tested {report.tested:.3f}"
        text = f"{report.name}: step {report.step:,}, loss {report.loss:.3f}{tested}, {report.seconds:,.0f} s"
        self._console.print(text, highlight=False, soft_wrap=True)
