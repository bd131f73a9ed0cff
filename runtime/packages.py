"""Packages: which file a `use` means, and which files it may mean.

A path begins at the importing file, and stays inside the project; a folder stands for the `index.net` in it. A name
such as `vision.blocks` begins at the root of the project: the folder of the nearest `project.net` above.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from netlang.diagnostics import DiagnosticError, did_you_mean, fail

STANDARD = "std"
"""First part of the name of every module of the standard library, and of a model's name on the command line."""

PROJECT = "project.net"
"""The file that marks the root of a project; all it need hold is a `##` comment, if that."""

INDEX = "index.net"
"""The file that a folder stands for: it says what the package offers."""

MAX_FOLDERS = 64
"""How far above a file the root of its project may be."""

Exists = Callable[[str], bool]
"""Whether there is a file of this name: on the disk, or among the copies that a run keeps."""


def file_of_path(path: str, importing: str) -> str:
    """The file that `use "PATH"` means in the file `importing`, as its user would write it.

    Raises DiagnosticError: `unknown-module` for what can be no source, `outside-project` for an absolute path.
    """
    if os.path.isabs(path) or Path(path).drive:
        help = "begin at the file that uses it: `./…` is beside it, `../…` in the folder above"
        raise fail("outside-project", f"`{path}` is an absolute path, which other machines do not have", help=help)
    suffix = Path(path).suffix
    if suffix not in ("", ".net"):
        is_module = path.startswith(f"{STANDARD}.")
        help = f"a module is named without quotes: `use {path}: …`" if is_module else "a file to use ends in `.net`"
        raise fail("unknown-module", f"`{path}` is no source file", help=help)
    file = path if suffix else os.path.join(path, INDEX)
    return os.path.normpath(os.path.join(os.path.dirname(importing), file))


def file_of_name(module: str, importing: str, exists: Exists) -> str:
    """The file that `use NAME` means in the file `importing`: `vision/blocks.net`, or `vision/blocks/index.net`.

    Raises DiagnosticError (`unknown-module`).
    """
    project = project_of(importing, exists)
    if project is None:
        file = f"./{module.replace('.', '/')}.net"
        help = f'write `use "{file}": …`, or mark the root of the project by a file `{PROJECT}`, which may be empty'
        raise _unknown(module, help)
    path = os.path.join(os.path.dirname(project), *module.split("."))
    found = [os.path.normpath(file) for file in (f"{path}.net", os.path.join(path, INDEX)) if exists(file)]
    if not found:
        file = os.path.normpath(f"{path}.net")
        meant = _similar_name(module, os.path.dirname(project) or ".")
        raise _unknown(module, meant or f"it would be `{file}`, or `{INDEX}` in a folder of that name")
    return found[0]


def project_of(file: str, exists: Exists) -> str | None:
    """The `project.net` that the file belongs to: the nearest in its folder or above."""
    for folder in _upward(os.path.dirname(file) or "."):
        candidate = os.path.normpath(os.path.join(folder, PROJECT))
        if exists(candidate):
            return candidate
    return None


def check_place(file: str, importing: str) -> None:
    """Looks at where the file is that `importing` uses, before it is opened.

    Raises DiagnosticError: `outside-project` where it lies outside of the project of `importing`, or behind a symbolic
    link (which may lead anywhere, and around in circles); `unknown-module` where there is none.
    """
    project = project_of(importing, os.path.isfile)
    if project is not None:
        top = os.path.dirname(project) or "."
        if not _is_below(file, top):
            title = f"`{file}` lies outside of the project, which begins at `{project}`"
            raise fail("outside-project", title, help="copy the file into the project, or move `project.net` up")
    else:
        top = os.path.commonpath([_absolute_folder(importing), _absolute_folder(file)])
    _refuse_links(file, top)
    if not os.path.exists(file):
        raise _no_file(file)
    if not os.path.isfile(file) and not os.path.isdir(file):
        raise fail("unreadable-file", f"cannot read `{file}`: this is no ordinary file")


def _refuse_links(file: str, top: str) -> None:
    link = next((part for part in _within(file, top) if os.path.islink(part)), None)
    if link is not None:
        title = f"`{link}` is a symbolic link" + ("" if link == file else f", and `{file}` is behind it")
        help = "a program is written in the files of its own folder: copy them there"
        raise fail("outside-project", title, help=help)


def neighbour(file: str) -> str | None:
    """A hint at the file or folder whose path differs in one name that is near to that of `file`."""
    folder, rest = os.path.split(file)
    while folder and not os.path.isdir(folder):
        folder, name = os.path.split(folder)
        rest = os.path.join(name, rest)
    wrong, *below = rest.split(os.sep)
    paths = {name.removesuffix(".net"): os.path.join(folder, name, *below) for name in _sources(folder or ".")}
    close = difflib.get_close_matches(wrong.removesuffix(".net"), [n for n in paths if os.path.exists(paths[n])], n=1)
    return f"did you mean `{paths[close[0]]}`?" if close else None


def _sources(folder: str) -> list[str]:
    """Names of the source files and the folders in a folder."""
    try:
        with os.scandir(folder) as items:
            return sorted(item.name for item in items if item.name.endswith(".net") or item.is_dir())
    except OSError:
        return []


def _similar_name(module: str, folder: str) -> str | None:
    """A hint at the name that the first wrong part of `module` should have been, below the root of the project."""
    parts = module.split(".")
    right = 0
    while right < len(parts) - 1 and os.path.isdir(os.path.join(folder, parts[right])):
        folder = os.path.join(folder, parts[right])
        right += 1
    others = [name.removesuffix(".net") for name in _sources(folder)]
    return did_you_mean(module, [".".join([*parts[:right], other, *parts[right + 1 :]]) for other in others])


def _no_file(file: str) -> DiagnosticError:
    folder, name = os.path.split(file)
    if name != INDEX:
        backslash = "folders are parted by `/`" if "\\" in name else None
        return fail("unknown-module", f"there is no file `{file}`", help=backslash or neighbour(file))
    if not os.path.isdir(folder or "."):
        return fail("unknown-module", f"there is no folder `{folder}`", help=neighbour(folder))
    files = [item for item in _sources(folder or ".") if item.endswith(".net")]
    inside = f"; or name a file in it: {', '.join(f'`{item}`' for item in files[:5])}" if files else ""
    title = f"the folder `{folder or '.'}` has no `{INDEX}`"
    return fail("unknown-module", title, help=f"that file says what a package offers{inside}")


def _unknown(module: str, help: str) -> DiagnosticError:
    return fail("unknown-module", f"there is no module `{module}`", help=help)


def _upward(folder: str) -> Iterator[str]:
    """The folder and those around it, the nearest first."""
    for _ in range(MAX_FOLDERS):
        yield folder
        folder = os.path.normpath(os.path.join(folder, os.pardir))


def _is_below(file: str, folder: str) -> bool:
    inside = os.path.relpath(file, folder)
    return inside != os.pardir and not inside.startswith(os.path.join(os.pardir, ""))


def _within(file: str, top: str) -> list[str]:
    """The folders below `top` that the file is in, the outermost first, and the file."""
    found: list[str] = []
    while file and os.path.abspath(file) != os.path.abspath(top):
        found.insert(0, file)
        file = os.path.dirname(file)
    return found


def _absolute_folder(file: str) -> str:
    return os.path.dirname(os.path.abspath(file))
