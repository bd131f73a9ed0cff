"""Where source text comes from: files, the standard library inside the package, and the copies in a run directory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from netlang.diagnostics import did_you_mean, fail
from netlang.source import Source

from .files import read_text

SOURCE_LIMIT = 2_000_000
"""Largest source file in bytes."""

STANDARD = "std"
"""First part of the name of every module of the standard library, and of a model's name on the command line."""

MODELS = "std.models"
"""The module that hands on every model of the library. It has no file: it is made from those in `stdlib/models`."""

_LIBRARY = Path(__file__).parent.parent / "stdlib"  # beside this package, installed or in the repository

Loader = Callable[[str, bool, Source], Source]
"""(module as written, whether it is a path, the importing source) -> the module's source."""


def load(module: str, is_path: bool, importing: Source) -> Source:
    """The source that `use` names in `importing`. A path is relative to the importing file.

    Raises DiagnosticError: `unknown-module` for what is not there, `unreadable-file` for what is no source text.
    """
    return read_source(resolve(module, is_path, importing))


def resolve(module: str, is_path: bool, importing: Source) -> str:
    """The name of the source that `use` means: a path as the user would write it, or `std.layers`."""
    if not is_path and not module.startswith(f"{STANDARD}."):
        help = f'the library\'s modules begin with `{STANDARD}.`; a file is named in quotes: `use "./blocks.net": …`'
        raise fail("unknown-module", f"there is no module `{module}`", help=help)
    if not is_path:
        return module
    if not module.endswith(".net"):
        raise fail("unknown-module", f"`{module}` is no source file", help="a file to use ends in `.net`")
    if importing.library:
        raise fail("unknown-module", f"a module of the library cannot use the file `{module}`")
    return os.path.normpath(Path(importing.name).parent / module)


def read_source(name: str) -> Source:
    """The source with this name: `std.layers`, or the path of a file. Raises DiagnosticError."""
    if is_library(name):
        return Source(name, _library_text(name), library=True)
    path = Path(name)
    if not path.exists():
        raise fail("unknown-module", f"there is no file `{name}`", help=_neighbour(path))
    return Source(name, read_text(path, SOURCE_LIMIT, "source file"))


def open_source(spec: str) -> tuple[Source, str | None]:
    """The source of a FILE argument, and the model it names: None but for `std:NAME`, a model of the library.

    Raises DiagnosticError (`unreadable-file`, `unknown-model`).
    """
    if not spec.startswith(f"{STANDARD}:"):
        path = Path(spec)
        if not path.exists():
            raise fail("unreadable-file", f"there is no file `{spec}`", help=_neighbour(path))
        return Source(spec, read_text(path, SOURCE_LIMIT, "source file")), None
    model = spec.removeprefix(f"{STANDARD}:")
    index = library_models()
    if model not in index:
        suggestion = did_you_mean(model, index)
        help = suggestion or f"the library has {', '.join(f'`{name}`' for name in index) or 'no models'}"
        raise fail("unknown-model", f"the library has no model `{model}`", help=help)
    return read_source(index[model]), model


def is_library(name: str) -> bool:
    """Whether a source with this name is of the standard library."""
    return name.startswith(f"{STANDARD}.") and not name.endswith(".net")


def recorded(sources: Mapping[str, Source]) -> Loader:
    """A loader over sources kept by name, as a run directory keeps them: nothing else is read."""

    def load_recorded(module: str, is_path: bool, importing: Source) -> Source:
        name = resolve(module, is_path, importing)
        if name not in sources:
            raise fail("unknown-module", f"the run holds no copy of `{name}`", help="train again from the sources")
        return sources[name]

    return load_recorded


def library_models() -> dict[str, str]:
    """Models of the standard library, by name: the module that defines each (`std.models.lenet`)."""
    found: dict[str, str] = {}
    for module, text in _model_files():
        for name in _MODEL.findall(text):
            found[name] = module
    return dict(sorted(found.items()))


_MODEL = re.compile(r"^model\s+(\w+)", re.MULTILINE)


def _model_files() -> list[tuple[str, str]]:
    files = sorted((_LIBRARY / "models").glob("*.net"))
    return [(f"{MODELS}.{file.stem}", file.read_text("utf-8")) for file in files]


def _library_text(name: str) -> str:
    if name == MODELS:
        return "".join(f"use {module}: {model}\n" for model, module in library_models().items())
    file = _LIBRARY.joinpath(*name.split(".")[1:]).with_suffix(".net")
    if not file.is_file():
        help = did_you_mean(name, library_modules()) or f"the library has {', '.join(library_modules())}"
        raise fail("unknown-module", f"the library has no module `{name}`", help=help)
    return file.read_text("utf-8")


def library_modules() -> tuple[str, ...]:
    """Names of the modules of the standard library."""
    top = [f"{STANDARD}.{file.stem}" for file in _LIBRARY.glob("*.net")]
    return tuple(sorted([*top, MODELS, *(module for module, _ in _model_files())]))


def _neighbour(path: Path) -> str | None:
    """A hint at the source file beside `path` whose name is nearest to its."""
    if not path.parent.is_dir():
        return None
    return did_you_mean(str(path), [str(path.parent / item.name) for item in path.parent.glob("*.net")])
