"""Diagnostics as text for people, one line each for editors, and JSON for programs."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from netlang.diagnostics import Diagnostic, Label

_WINDOW = 160  # characters shown of a longer line
_LEAD = 60  # of these, before what is pointed at
_TAB = "    "
_LONGEST = 2000  # characters shown of a title, a note or a help: a name can be as long as a file
_FRAMES = 8  # calls shown of a longer trace
_COLORS = {"error": "1;31", "warning": "1;33", "title": "1", "gutter": "34", "secondary": "36", "help": "32"}


def render(diagnostics: Iterable[Diagnostic], style: str = "text", color: bool = False) -> str:
    """All diagnostics in the style `text` (snippets), `concise` (`file:line:column: code: title`) or `json`.

    `color` adds ANSI colours to `text`. The result does not end with a newline.
    """
    if style == "json":
        return json.dumps([_as_json(diagnostic) for diagnostic in diagnostics], indent=2, ensure_ascii=False)
    if style == "concise":
        return "\n".join(_as_line(diagnostic) for diagnostic in diagnostics)
    if style == "text":
        return "\n\n".join(_Text(color).diagnostic(diagnostic) for diagnostic in diagnostics)
    raise ValueError(f"style must be text, concise or json, not {style!r}")


# --- One line, JSON --------------------------------------------------------------------------------------------------


def _as_line(diagnostic: Diagnostic) -> str:
    place = f"{diagnostic.primary.span}: " if diagnostic.primary else ""
    return f"{place}{diagnostic.code}: {_plain(diagnostic.title)}"


def _as_json(diagnostic: Diagnostic) -> dict[str, object]:
    place = _json_label(diagnostic.primary) if diagnostic.primary else {}
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        **{key: place.get(key) for key in _PLACE},
        "message": diagnostic.title,
        "label": place.get("text") or None,
        "expected": diagnostic.expected,
        "found": diagnostic.found,
        "notes": list(diagnostic.notes),
        "help": diagnostic.help,
        "related": [_json_label(label) for label in diagnostic.secondary],
        "trace": [_json_label(label) for label in diagnostic.trace],
    }


_PLACE = ("file", "line", "column", "end_line", "end_column")


def _json_label(label: Label) -> dict[str, object]:
    span = label.span
    end_line, end_column = span.source.position(span.end)
    place = dict(zip(_PLACE, (span.source.name, span.line, span.column, end_line, end_column), strict=True))
    return {**place, "text": label.text}


# --- Text ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mark:
    """A label as it is drawn: columns of the shown line, from 0, and the character that underlines it."""

    start: int
    end: int
    text: str
    primary: bool

    @property
    def underline(self) -> str:
        return ("^" if self.primary else "-") * (self.end - self.start)


class _Text:
    """Renders one diagnostic with snippets of the sources."""

    def __init__(self, color: bool) -> None:
        self.color = color

    def diagnostic(self, diagnostic: Diagnostic) -> str:
        head = f"{diagnostic.severity}[{diagnostic.code}]"
        lines = [f"{self._paint(head, diagnostic.severity)}: {self._paint(_plain(diagnostic.title), 'title')}"]
        groups = _by_line(diagnostic)
        margin = len(str(max((label.span.line for group in groups for label in group), default=1)))
        for i, group in enumerate(groups):
            arrow = self._paint(" " * margin + ("-->" if i == 0 else ":::"), "gutter")
            lines.append(f"{arrow} {group[0].span}")
            lines += self._snippet(group, diagnostic.primary, margin)
        indent = " " * (margin + 1)
        for key, text in _facts(diagnostic):
            first, *more = _plain(text).split("\n")
            prefix = f"{key}: " if key else ""
            mark = self._paint(f"= {prefix}", "help" if key == "help" else "gutter")
            lines.append(f"{indent}{mark}{first}")
            lines += [f"{indent}  {' ' * len(prefix)}{line}" for line in more]
        return "\n".join(lines)

    def _snippet(self, group: Sequence[Label], primary: Label | None, margin: int) -> list[str]:
        """The line of `group`, underlined, with the texts of its labels."""
        span = group[0].span
        number = span.line
        code = span.source.line(number)
        first = max(0, span.column - 1 - _LEAD) if len(code) > _WINDOW else 0
        marks = sorted((_mark(label, code, first, label is primary) for label in group), key=lambda mark: mark.start)
        lead = "…" if first else ""
        tail = "…" if first + _WINDOW < len(code) else ""
        shown = lead + _plain(code[first : first + _WINDOW]) + tail
        gutter = self._paint(f"{number:>{margin}} |", "gutter")
        lines = [f"{gutter} {shown}".rstrip()]
        blank = self._paint(f"{'':>{margin}} |", "gutter") + " "
        while marks:
            row, marks = _apart(marks)
            lines += [blank + line for line in self._underlines(row)]
        return lines

    def _underlines(self, row: Sequence[_Mark]) -> list[str]:
        """One line of underlines ending with the last label's text, then a line for each other text."""
        drawn, width = "", 0
        for mark in row:
            drawn += " " * (mark.start - width) + self._paint(mark.underline, _style(mark))
            width = mark.end
        *others, last = row
        lines = [f"{drawn} {self._paint(last.text, _style(last))}" if last.text else drawn]
        lines += [" " * mark.start + self._paint(mark.text, _style(mark)) for mark in reversed(others) if mark.text]
        return lines

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{_COLORS[style]}m{text}\x1b[0m" if self.color and text else text


def _style(mark: _Mark) -> str:
    return "error" if mark.primary else "secondary"


def _by_line(diagnostic: Diagnostic) -> list[list[Label]]:
    """The labels that have a source line to show, grouped by it; the primary's line first."""
    groups: dict[tuple[str, int], list[Label]] = {}
    for label in (diagnostic.primary, *diagnostic.secondary):
        if label is not None and (label.span.source.text or label is diagnostic.primary):
            groups.setdefault((label.span.source.name, label.span.line), []).append(label)
    return list(groups.values())


def _facts(diagnostic: Diagnostic) -> list[tuple[str, str]]:
    """The lines below the snippets."""
    facts: list[tuple[str, str]] = []
    if diagnostic.expected is not None:
        facts.append(("expected", diagnostic.expected))
    if diagnostic.found is not None:
        facts.append(("found", ("   " if diagnostic.expected is not None else "") + diagnostic.found))
    facts += [("", note) for note in diagnostic.notes]
    if diagnostic.help is not None:
        facts.append(("help", diagnostic.help))
    frames = [("", f"while calling {frame.text} ({frame.span})") for frame in diagnostic.trace]
    if len(frames) > _FRAMES:
        half = _FRAMES // 2
        frames[half:-half] = [("", f"… {len(frames) - 2 * half} more calls")]
    return facts + frames


def _mark(label: Label, code: str, first: int, primary: bool) -> _Mark:
    """Where a label is drawn under `code` shown from its character `first` on."""
    start = min(max(label.span.column - 1, first), first + _WINDOW, len(code))
    stop = min(max(start, start + label.span.end - label.span.start), len(code), first + _WINDOW)
    lead = 1 if first else 0
    left = lead + _width(code[first:start])
    return _Mark(left, max(left + 1, lead + _width(code[first:stop])), _plain(label.text), primary)


def _apart(marks: Sequence[_Mark]) -> tuple[list[_Mark], list[_Mark]]:
    """The marks of one row of underlines, which do not touch, and those left for rows below."""
    row: list[_Mark] = []
    rest: list[_Mark] = []
    for mark in marks:
        (rest if row and mark.start <= row[-1].end - 1 else row).append(mark)
    return row, rest


def _plain(text: str) -> str:
    """The beginning of a text, with tabs widened and without characters that would drive a terminal."""
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return re.sub("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", _visible, text)


def _visible(match: re.Match[str]) -> str:
    return _TAB if match[0] == "\t" else "\ufffd"


def _width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in _plain(text)
    )
