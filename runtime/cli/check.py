"""`netlang check`: every error of the files named, none twice."""

from __future__ import annotations

import sys

import click

from netlang.collection import without_collection
from netlang.diagnostics import Diagnostic, DiagnosticError

from .click_classes import Command
from .options import files_argument
from .terminal import count, show

EXAMPLES = """\
  netlang check lenet5.net
  netlang check --format concise models/
  netlang check --format json lenet5.net"""


@click.command(cls=Command, examples=EXAMPLES)
@files_argument
@click.option(
    "--format",
    type=click.Choice(["text", "concise", "json"]),
    default="text",
    help="text shows the lines; concise is one line an error; json is for scripts.",
)
@click.option("--json", is_flag=True, help="The same as --format json.")
def command(files: tuple[str, ...], format: str, json: bool) -> int:
    """Report every error of the files. The exit status is 1 if there is one."""
    from .sources import expand

    style = "json" if json else format
    specs = expand(files)
    with without_collection():  # most of the time goes into imports, and into programs that stay
        diagnostics = _distinct(diagnostic for spec in specs for diagnostic in _check(spec))
    show(diagnostics, style)
    errors = sum(diagnostic.severity == "error" for diagnostic in diagnostics)
    if style == "text":
        warnings = len(diagnostics) - errors
        found = [count(errors, "error")] * (errors > 0) + [count(warnings, "warning")] * (warnings > 0)
        print(f"{count(len(specs), 'file')} checked: {', '.join(found) or 'no errors'}", file=sys.stderr)
    return 1 if errors else 0


def _check(spec: str) -> list[Diagnostic]:
    """Errors and warnings of one file and what it uses."""
    from ..loader import open_program

    try:
        return open_program(spec)[0].check()
    except DiagnosticError as error:
        return list(error.diagnostics)


def _distinct(diagnostics) -> list[Diagnostic]:
    """Each diagnostic once, though several files may use the one that is at fault."""
    seen: dict[tuple[str, str, str], Diagnostic] = {}
    for diagnostic in diagnostics:
        place = str(diagnostic.primary.span) if diagnostic.primary else ""
        seen.setdefault((diagnostic.code, diagnostic.title, place), diagnostic)
    return list(seen.values())
