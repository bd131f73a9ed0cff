"""Documentation by name: of modules and files, and of what they define, wherever it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from netlang.diagnostics import did_you_mean, fail
from netlang.source import Source

from ..compiler.documentation import LANGUAGE, Documented, DocumentedModule, document, document_language
from ..compiler.elaborate.modules import PRELUDE, Modules
from .loader import MODELS, STANDARD, is_library, library_modules, load, open_source, read_source
from .packages import INDEX, PROJECT

_HERE = Source("here.net", "")  # names of packages are looked up from the working directory


@dataclass(frozen=True, slots=True)
class Found:
    """What a name means: whole modules, or else those of their definitions that it names."""

    modules: list[DocumentedModule]
    whole: bool


def find(name: str, member: str | None = None) -> Found:
    """What `name` means: a module, a file, a folder, `std:MODEL`, or anything that the library or the language defines.

    With `member`, only that of the module or file. What is defined in several places is found in all of them. Raises
    DiagnosticError (`undefined-name`, and what is wrong with the file).
    """
    if name.startswith(f"{STANDARD}:"):
        source, model = open_source(name)
        return Found(_members(_of_library(source.name), str(model), name), whole=False)
    modules = _modules(name)
    if modules is None:
        return Found(_anywhere(name, member), whole=False)
    return Found(modules, whole=True) if member is None else Found(_members(modules, member, name), whole=False)


@cache
def library() -> tuple[DocumentedModule, ...]:
    """Every module of the library that defines something, and what the language knows without one."""
    modules = Modules(load)
    names = [name for name in library_modules() if name != PRELUDE]
    found = [document(modules, modules.load(read_source(name))) for name in names]
    return (*(module for module in found if module.definitions), document_language())


def _modules(name: str) -> list[DocumentedModule] | None:
    """The modules that a name of a module, file or folder means; None where it is none."""
    path = Path(name)
    if name == STANDARD:
        return list(library())
    if name in library_modules() or name == LANGUAGE:
        return _of_library(name) or [_read(read_source(name))]
    if path.is_dir():
        return [_read(open_source(str(file))[0]) for file in _files(path)]
    if name.endswith(".net") or path.is_file():
        return [_read(open_source(name)[0])]
    if "." in name and not name.startswith(f"{STANDARD}.") and Path(PROJECT).is_file():
        return [_read(load(name, False, _HERE))]
    return None


def _of_library(name: str) -> list[DocumentedModule]:
    return [module for module in library() if module.name == name]


def _files(folder: Path) -> list[Path]:
    """The files of a folder: its index where it has one, because that is what others see."""
    index = folder / INDEX
    files = [index] if index.is_file() else sorted(folder.glob("*.net"))
    if not files:
        raise fail("unreadable-file", f"there is no `.net` file in the folder `{folder}`")
    return files


def _read(source: Source) -> DocumentedModule:
    modules = Modules(load)
    return document(modules, modules.load(source))


def _anywhere(name: str, member: str | None) -> list[DocumentedModule]:
    """A definition of the library or the language: `linear`, or with its module, `std.layers.linear`."""
    module, _, last = name.rpartition(".")
    if member is None and module in library_modules():
        return _members(_of_library(module), last, module)
    return _members(library(), name if member is None else member, None if member is None else name)


def _members(modules: Iterable[DocumentedModule], name: str, inside: str | None) -> list[DocumentedModule]:
    modules = list(modules)
    found = [_only(module, name) for module in modules if any(thing.name == name for thing in module.definitions)]
    if not found:
        known = [thing.name for module in modules for thing in module.definitions]
        known += [] if inside else [module.name for module in modules]
        title = f"`{inside}` has no `{name}`" if inside else f"nothing is called `{name}`"
        help = did_you_mean(name, known) or "`netlang doc` lists what there is"
        raise fail("undefined-name", title, help=help)
    return found


def _only(module: DocumentedModule, name: str) -> DocumentedModule:
    return replace(module, definitions=tuple(thing for thing in module.definitions if thing.name == name), imports=())


def import_line(thing: Documented) -> str | None:
    """The `use` that brings a definition; None where none is needed."""
    if thing.module == LANGUAGE or (thing.module.startswith(f"{STANDARD}.") and thing.name in _prelude()):
        return None
    if thing.module.startswith(f"{MODELS}.") and thing.kind == "model":
        return f"use {MODELS}: {thing.name}"
    module = thing.module if is_library(thing.module) else f'"./{Path(thing.module).name}"'
    return f"use {module}: {thing.name}"


@cache
def _prelude() -> frozenset[str]:
    """Names of the library that every file knows."""
    return Modules(load).prelude_names()
