"""Where source text comes from: files, the standard library inside the package, and the copies in a run directory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from netlang.diagnostics import did_you_mean, fail
from netlang.source import Source

from ..compiler import Program, load_program
from ..compiler.elaborate.modules import ROOT
from .files import read_text, unreadable
from .packages import (
    PROJECT,
    STANDARD,
    Exists,
    check_place,
    file_of_name,
    file_of_path,
    neighbour,
    project_of,
)

SOURCE_LIMIT = 2_000_000
"""Largest source file in bytes."""

MODELS = "std.models"
"""The module that hands on every model of the library. It has no file: it is made from those in `stdlib/models`."""

_LIBRARY = Path(__file__).parent.parent / "stdlib"  # beside this package, installed or in the repository

Loader = Callable[[str, bool, Source], Source]
"""(module as written, whether it is a path, the importing source) -> the module's source.

The module `ROOT` is the `project.net` of the importing source.
"""


def load(module: str, is_path: bool, importing: Source) -> Source:
    """The source that `use` names in `importing`, by a path or a name.

    Raises DiagnosticError: `unknown-module` for what is not there, `outside-project`, `unreadable-file` for what is no
    source text.
    """
    name = resolve(module, is_path, importing)
    if not is_library(name):
        check_place(name, importing.name)
    return read_source(name)


def resolve(module: str, is_path: bool, importing: Source, exists: Exists = os.path.isfile) -> str:
    """The name of the source that `use` means: a path as the user would write it, or `std.layers`."""
    if importing.library and is_path:
        raise fail("unknown-module", f"a module of the library cannot use the file `{module}`")
    if is_path:
        return file_of_path(module, importing.name)
    if module == ROOT:
        return project_of(importing.name, exists) or PROJECT
    if module.partition(".")[0] == STANDARD:
        return module
    if f"{STANDARD}.{module}" in library_modules():
        raise fail("unknown-module", f"there is no module `{module}`", help=f"did you mean `{STANDARD}.{module}`?")
    return file_of_name(module, importing.name, exists)


def read_source(name: str) -> Source:
    """The source with this name: `std.layers`, or the path of a file. Raises DiagnosticError."""
    if is_library(name):
        return Source(name, _library_text(name), library=True)
    path = Path(name)
    if not path.exists():
        raise fail("unknown-module", f"there is no file `{name}`", help=neighbour(name))
    return Source(name, _text(path))


def _text(path: Path) -> str:
    if path.suffix == ".onnx":
        way_out = f"`netlang import {path} -o DIR` makes a program of it"
        raise unreadable(path, "this is an ONNX model, not a source file", help=way_out)
    return read_text(path, SOURCE_LIMIT, "source file")


def open_source(spec: str) -> tuple[Source, str | None]:
    """The source of a FILE argument, and the model it names: None but for `std:NAME`, a model of the library.

    Raises DiagnosticError (`unreadable-file`, `unknown-model`).
    """
    if not spec.startswith(f"{STANDARD}:"):
        path = Path(spec)
        if not path.exists():
            raise fail("unreadable-file", f"there is no file `{spec}`", help=neighbour(spec))
        return Source(spec, _text(path)), None
    model = spec.removeprefix(f"{STANDARD}:")
    index = library_models()
    if model not in index:
        suggestion = did_you_mean(model, index)
        help = suggestion or f"the library has {', '.join(f'`{name}`' for name in index) or 'no models'}"
        raise fail("unknown-model", f"the library has no model `{model}`", help=help)
    return read_source(index[model]), model


def open_program(spec: str) -> tuple[Program, str | None]:
    """The program of a FILE argument and the model it names, if it does. Raises DiagnosticError."""
    source, model = open_source(spec)
    return load_program(source, load), model


def is_library(name: str) -> bool:
    """Whether a source with this name is of the standard library."""
    return name.partition(".")[0] == STANDARD and not name.endswith(".net")


def recorded(sources: Mapping[str, Source]) -> Loader:
    """A loader over sources kept by name, as a run directory keeps them: nothing else is read."""

    def load_recorded(module: str, is_path: bool, importing: Source) -> Source:
        name = resolve(module, is_path, importing, sources.__contains__)
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
        parts = [module for module in library_modules() if module.count(".") == 1]
        help = did_you_mean(name, library_modules()) or f"the library has {', '.join(parts)}"
        raise fail("unknown-module", f"the library has no module `{name}`", help=help)
    return file.read_text("utf-8")


def library_modules() -> tuple[str, ...]:
    """Names of the modules of the standard library."""
    top = [f"{STANDARD}.{file.stem}" for file in _LIBRARY.glob("*.net")]
    return tuple(sorted([*top, MODELS, *(module for module, _ in _model_files())]))
