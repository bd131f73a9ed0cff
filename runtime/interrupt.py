"""Ctrl-C and a request to terminate, turned into a wish that a loop can grant at a good moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StopWish:
    """Whether somebody wishes that the work stop; call it to ask."""

    def __init__(self) -> None:
        self.wished = False

    def __call__(self) -> bool:
        return self.wished


@contextmanager
def stop_on_signal() -> Iterator[StopWish]:
    """While inside, SIGINT and SIGTERM set the wish; the second one acts as it did before.

    Outside the main thread, where Python handles no signals, nothing is changed.
    """
    wish = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        wish.wished = True
        signal.signal(number, before[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, handle)
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
