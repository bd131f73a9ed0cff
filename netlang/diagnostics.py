"""What the user is told: a diagnostic names the fault, both places, what was expected and found, and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from netlang.source import Span


@dataclass(frozen=True, slots=True)
class Label:
    """A place in a source and what is to be said about it."""

    span: Span
    text: str = ""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One fault of the user's program or data.

    `code` is a stable slug listed in `netlang.codes`; `primary` points at the user's own line (None for faults that
    no source line causes, such as an unreadable file); `trace` is the chain of calls, outermost first.
    """

    code: str
    title: str
    primary: Label | None = None
    secondary: tuple[Label, ...] = ()
    expected: str | None = None
    found: str | None = None
    notes: tuple[str, ...] = ()
    help: str | None = None
    trace: tuple[Label, ...] = ()
    severity: str = "error"  # or "warning"


class DiagnosticError(Exception):
    """Carries one or more diagnostics out of a computation that cannot go on."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("\n".join(f"{d.code}: {d.title}" for d in diagnostics))
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        """As the command line shows it: this is what Python prints of an error that nobody catches."""
        from netlang.render import render

        return render(self.diagnostics)

    def __reduce__(self) -> tuple[type[DiagnosticError], tuple[Diagnostic, ...]]:
        """By its diagnostics, so that a worker process can hand it on: else a pool waits for it forever."""
        return DiagnosticError, self.diagnostics

    def within(self, frame: Label) -> DiagnosticError:
        """The same error seen from one call further out."""
        return DiagnosticError(*(replace(d, trace=(frame, *d.trace)) for d in self.diagnostics))


def fail(
    code: str,
    title: str,
    span: Span | None = None,
    label: str = "",
    *,
    secondary: Iterable[Label] = (),
    expected: object = None,
    found: object = None,
    notes: Iterable[str] = (),
    help: str | None = None,
) -> DiagnosticError:
    """The exception to raise for one fault: `raise fail("shape-mismatch", "…", span, …)`."""
    return DiagnosticError(
        Diagnostic(
            code,
            title,
            None if span is None else Label(span, label),
            tuple(secondary),
            None if expected is None else str(expected),
            None if found is None else str(found),
            tuple(notes),
            help,
        )
    )


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """A help text that offers the candidate nearest to `name`, or None where none is near."""
    close = difflib.get_close_matches(name, sorted(set(candidates)), n=1, cutoff=0.65)
    return f"did you mean `{close[0]}`?" if close else None


def counted(number: int, noun: str) -> str:
    """`1 tensor`, `2 tensors`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
