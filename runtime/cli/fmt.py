"""`netlang fmt`: the canonical layout of source files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from netlang.diagnostics import fail
from netlang.source import Source

from .click_classes import Command
from .options import files_argument
from .terminal import colored, count

EXAMPLES = """\
  netlang fmt lenet5.net            rewrite the file
  netlang fmt --check models/       exit with 1 if a file would change
  netlang fmt --diff lenet5.net     show what would change
  netlang fmt - < lenet5.net        from standard input to standard output"""


@click.command(cls=Command, examples=EXAMPLES)
@files_argument
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; print the changes; exit with 1 if there are any.")
def command(files: tuple[str, ...], check: bool, diff: bool) -> int:
    """Lay out source files in the one canonical style. Comments stay."""
    from .sources import expand

    if "-" in files and len(files) > 1:
        raise click.BadParameter("`-` stands alone", param_hint="FILE")
    if files == ("-",) and not (check or diff):
        sys.stdout.write(_formatted(_standard_input()))
        return 0
    sources = [_standard_input() if name == "-" else _read(name) for name in expand(files)]
    changed = [(source, text) for source in sources if (text := _formatted(source)) != source.text]
    for source, text in changed:
        if diff:
            _print_diff(source, text)
        elif check:
            print(f"would reformat {source.name}")
        else:
            _write(source.name, text)
            print(f"reformatted {source.name}")
    if not diff:
        _print_totals(len(changed), len(sources) - len(changed), "would be " if check else "")
    return 1 if changed and (check or diff) else 0


def _formatted(source: Source) -> str:
    from netlang.formatter import format_source

    return format_source(source)


def _standard_input() -> Source:
    try:
        return Source("<stdin>", sys.stdin.buffer.read().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise fail("unreadable-file", "standard input is not UTF-8 text") from None


def _read(name: str) -> Source:
    from ..loader import open_source

    if name.startswith("std:"):
        raise fail("unwritable-file", f"`{name}` belongs to the library: there is nothing to reformat")
    return open_source(name)[0]


def _write(name: str, text: str) -> None:
    from ..files import write_atomically

    write_atomically(Path(name), [text.encode("utf-8")])


def _print_diff(source: Source, text: str) -> None:
    import difflib

    before, after = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
    colors = {"+": "\033[32m", "-": "\033[31m", "@": "\033[36m"} if colored(sys.stdout) else {}
    for line in difflib.unified_diff(before, after, source.name, f"{source.name} (formatted)"):
        color = colors.get(line[0])
        body = line.rstrip("\n")
        print(f"{color}{body}\033[0m" if color else body)


def _print_totals(changed: int, kept: int, would: str) -> None:
    parts = [f"{count(changed, 'file')} {would}reformatted"] * (changed > 0)
    parts += [f"{count(kept, 'file')} {'already ' if not parts else ''}formatted"] * (kept > 0)
    print(", ".join(parts), file=sys.stderr)
