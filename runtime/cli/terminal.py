"""What goes to the screen: consoles, colour, JSON and diagnostics."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from netlang.diagnostics import Diagnostic

if TYPE_CHECKING:
    from rich.console import Console


WIDTH = 120
"""Columns where there is no terminal to ask."""


PROSE_WIDTH = 100
"""Columns of text for reading, at most."""


def wrapped(text: str, indent: str = "") -> str:
    """A line of prose, broken between words where the terminal ends or prose is wide enough."""
    import shutil
    import textwrap

    columns = min(PROSE_WIDTH, shutil.get_terminal_size((PROSE_WIDTH, 0)).columns)
    return textwrap.fill(
        text, columns, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def console(stream: TextIO | None = None) -> Console:
    """A Rich console on `stream` (default: standard output), without markup or highlighting of plain text."""
    from rich.console import Console

    target = stream or sys.stdout
    width = None if target.isatty() or "COLUMNS" in os.environ else WIDTH
    return Console(file=target, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def colored(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that shows colours and the user wants them (NO_COLOR, TERM=dumb)."""
    screen = console(stream)
    return screen.color_system is not None and not screen.no_color


def show(diagnostics: Sequence[Diagnostic], style: str = "text", stream: TextIO | None = None) -> None:
    """Prints diagnostics as `text`, `concise` or `json` on `stream` (default: standard output)."""
    from netlang.render import render

    target = stream or sys.stdout
    in_color = style == "text" and bool(diagnostics) and colored(target)  # Rich takes a while to import
    text = render(diagnostics, style=style, color=in_color)
    if text:
        print(text, file=target)


def print_json(value: Any) -> None:
    """Prints `value` for a script to read: one JSON document, keys in their order."""
    print(json.dumps(value, indent=2))


def finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Metrics for JSON, which has no infinity and no NaN: they become null."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def tolerate_narrow_encodings() -> None:
    """Lets a terminal that cannot show a character show `?` instead of stopping the command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def count(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def quantity(number: float) -> str:
    """Three digits and a decimal prefix: `61.7 k`, `4.09 G`."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if abs(number) < 999.5 or prefix == "P":
            break
        number /= 1000
    digits = f"{number:.3g}" if number else "0"
    return f"{digits} {prefix}"


def numbers(metrics: Mapping[str, float]) -> str:
    """`loss 0.1234  accuracy 0.9800`, in the given order."""
    return "  ".join(f"{name} {_number(value)}" for name, value in metrics.items())


def _number(value: float) -> str:
    """Four decimals where they say something, else four digits."""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e3 or value == 0 else f"{value:.4g}"
