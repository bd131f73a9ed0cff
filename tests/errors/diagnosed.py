"""What `netlang check` says about files, in a form that does not depend on where the lines of the library stand."""

from __future__ import annotations

from dataclasses import replace

from netlang.compiler import load_program
from netlang.runtime.loader import load, open_source

from netlang.diagnostics import Diagnostic, DiagnosticError, Label
from netlang.render import render
from netlang.source import Source, Span


def check(file: str) -> list[Diagnostic]:
    """What `netlang check` finds in a file of the current folder."""
    try:
        return load_program(open_source(file)[0], load).check()
    except DiagnosticError as error:
        return list(error.diagnostics)


def shown(diagnostics: list[Diagnostic]) -> str:
    """The text of diagnostics, in which each line of the library is line 1: it changes with that line alone."""
    return render(map(_settled, diagnostics)) + "\n"


def _settled(diagnostic: Diagnostic) -> Diagnostic:
    return replace(diagnostic, secondary=tuple(map(_settled_label, diagnostic.secondary)))


def _settled_label(label: Label) -> Label:
    span = label.span
    if not span.source.library:
        return label
    line, start = Source(span.source.name, span.source.line(span.line), library=True), span.column - 1
    return Label(Span(line, start, start + span.end - span.start), label.text)
