"""A new project: a folder with a network that trains at once, to be changed into one's own."""

from __future__ import annotations

import re
from pathlib import Path

from netlang.diagnostics import fail

from .files import make_directory, unreadable, write_atomically

_TEMPLATE = Path(__file__).parent / "template"
_HIDDEN = ("gitignore",)  # written with a dot before them


def new_project(folder: Path) -> list[Path]:
    """Writes a project into a folder that is empty or not there yet; the paths written.

    Its model is called after the folder: `Birds` for `birds`, `MyNet` for `my-net`. Raises DiagnosticError (`bad-value`
    for a name that makes no name of a model, `unwritable-file`, …).
    """
    name = folder.resolve().name
    model = model_name(name)
    _refuse_occupied(folder)
    make_directory(folder)
    written: list[Path] = []
    for template in sorted(_TEMPLATE.iterdir()):
        path = folder / (f".{template.name}" if template.name in _HIDDEN else template.name)
        text = template.read_text("utf-8").replace("NAME", model).replace("PROJECT", name)
        write_atomically(path, [text.encode("utf-8")])
        written.append(path)
    return written


def model_name(project: str) -> str:
    """`MyNet` for `my-net`. Raises DiagnosticError (`bad-value`)."""
    words = [word for word in re.split(r"[^\w]+|_", project) if word]
    name = "".join(word[0].upper() + word[1:] for word in words)
    if not name.isidentifier():
        help = "use letters, and digits behind them, as in `birds` or `my-net`"
        raise fail("bad-value", f"no model can be called after `{project}`", help=help)
    return name


def _refuse_occupied(folder: Path) -> None:
    try:
        occupied = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise unreadable(folder, error) from None
    if occupied:
        raise fail("unwritable-file", f"`{folder}` holds files already", help="choose a name that is not taken")
