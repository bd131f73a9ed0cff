"""Threads that help the one that calls: each runs sessions of one thread, on a core of its own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

from netlang.diagnostics import fail

Task = Callable[[], None]


class OwnProcess:
    """The process that something was made in, whose threads a forked copy of the process does not have."""

    def __init__(self) -> None:
        self._number = os.getpid()

    def require(self) -> None:
        """Raises DiagnosticError (`forked-process`) in any other, which would wait for these threads forever."""
        if os.getpid() != self._number:
            title = "this was made before the process was forked, and its threads are not here"
            help = 'begin the new process by `multiprocessing.get_context("spawn")`'
            raise fail("forked-process", title, help=help)


class Workers:
    """As many threads as asked for, the caller's among them. The others begin when they are first needed."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._helpers = ThreadPoolExecutor(max(1, threads - 1), "netlang")

    def run(self, tasks: Sequence[Sequence[Task]]) -> None:
        """Runs one list of tasks on each thread: the first on this one, which need not be woken for it."""
        others = [self._helpers.submit(in_turn, work) for work in tasks[1:]]
        try:
            in_turn(tasks[0] if tasks else [])
        finally:
            wait(others)
        for other in others:
            other.result()

    def share(self, tasks: Sequence[Task]) -> None:
        """Runs tasks that may run in any order: each thread takes the next when it has done one."""
        left = deque(tasks)
        self.run([[partial(_until_empty, left)] for _ in range(min(self.threads, len(tasks)))])


def _until_empty(left: deque[Task]) -> None:
    while True:
        try:
            task = left.popleft()
        except IndexError:
            return
        task()


def available_cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def deal(tasks: Sequence[Task], threads: int) -> list[list[Task]]:
    """One list of tasks for each thread that has any."""
    return [dealt for start in range(threads) if (dealt := list(tasks[start::threads]))]


def in_turn(tasks: Sequence[Task]) -> None:
    """Runs tasks one after the other."""
    for task in tasks:
        task()
