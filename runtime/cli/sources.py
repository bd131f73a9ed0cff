"""From FILE arguments to programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from netlang.diagnostics import fail

from ..loader import load, open_source

if TYPE_CHECKING:
    from ...compiler.network import Network

    from .options import Setting


def expand(specs: Iterable[str]) -> list[str]:
    """The files meant: a directory stands for every `.net` file below it, each file is named once.

    Raises DiagnosticError (`unreadable-file`) for a directory without one.
    """
    found: dict[str, None] = {}
    for spec in specs:
        folder = Path(spec)
        if not folder.is_dir():
            found[spec] = None
            continue
        files = sorted(str(path) for path in folder.rglob("*.net") if not _hidden(path.relative_to(folder)))
        if not files:
            raise fail("unreadable-file", f"there is no `.net` file in the directory `{spec}`")
        found.update(dict.fromkeys(files))
    return list(found)


def open_network(spec: str, model: str | None, settings: Mapping[str, Setting]) -> Network:
    """The network that a FILE argument, an optional MODEL and the `--set` options name. Raises DiagnosticError."""
    from ...compiler import load_program

    source, named = open_source(spec)
    if named and model and model != named:
        raise fail("unknown-model", f"`{spec}` names one model already", found=model, help=f"leave out `{model}`")
    return load_program(source, load).network(named or model, settings)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
