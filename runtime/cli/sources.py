"""From FILE arguments to the files meant."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from netlang.diagnostics import fail


def expand(specs: Iterable[str]) -> list[str]:
    """The files meant: a directory stands for every `.net` file below it, each file is named once.

    Below a directory, hidden folders are left out, and the copies of sources that runs keep.

    Raises DiagnosticError (`unreadable-file`) for a directory without one.
    """
    found: dict[str, None] = {}
    for spec in specs:
        folder = Path(spec)
        if not folder.is_dir():
            found[spec] = None
            continue
        files = sorted(str(path) for path in folder.rglob("*.net") if not _left_out(path, folder))
        if not files:
            raise fail("unreadable-file", f"there is no `.net` file in the directory `{spec}`")
        found.update(dict.fromkeys(files))
    return list(found)


def _left_out(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    copy = path.parent.name == "sources" and (path.parent.parent / "config.json").exists()
    return hidden or copy
