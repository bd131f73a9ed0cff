"""`netlang doc`: what the library and one's own files say about themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from netlang.diagnostics import fail

from .click_classes import Argument, Command
from .options import json_option
from .terminal import print_json, wrapped

if TYPE_CHECKING:
    from ...compiler.documentation import Documented, DocumentedModule, Parameter

EXAMPLES = """\
  netlang doc                      every module of the library
  netlang doc std.layers           what a module defines
  netlang doc linear               a layer, a function or an operator
  netlang doc std:ResNet18         a model of the library
  netlang doc blocks.net           a file; or a folder of files
  netlang doc blocks.net stem      one definition of it"""

_SENTENCE_END = re.compile(r"(?<! al)\. ")  # not that of "et al."


@click.command(cls=Command, examples=EXAMPLES)
@click.argument(
    "name",
    cls=Argument,
    required=False,
    help="A module, a `.net` file, a folder, `std:MODEL`, or the name of anything.",
)
@click.argument("member", cls=Argument, required=False, help="One definition of the module or file.")
@json_option
def command(name: str | None, member: str | None, json: bool) -> None:
    """Show what a file, the library, or anything in it is for.

    That is: signature, meaning, settings with their defaults, inputs and result, where it is, and what it uses.
    """
    from ..documentation import find, library
    from ..loader import STANDARD

    if name is None and not json:
        print("\n".join(overview(library())))
        return
    if name is not None and member is not None and member.endswith(".net"):
        way_out = f"the file stands first: `netlang doc {member} {name}`"
        raise fail("undefined-name", f"`{name}` is no file that has `{member}`", help=way_out)
    found = find(name or STANDARD, member)
    if json:
        print_json([facts(module) for module in found.modules])
    elif found.whole:
        print("\n\n".join("\n".join(listing(module)) for module in found.modules))
    else:
        print("\n\n".join("\n".join(page(thing)) for module in found.modules for thing in module.definitions))


def facts(module: DocumentedModule) -> dict[str, Any]:
    """A module for JSON."""
    from dataclasses import asdict

    return asdict(module) | {
        "definitions": [_facts(thing) for thing in module.definitions],
        "imports": dict(module.imports),
    }


def _facts(thing: Documented) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(thing) | {"uses": dict(thing.uses), "entries": [_facts(entry) for entry in thing.entries]}


def overview(modules: Iterable[DocumentedModule]) -> Iterator[str]:
    """One line a module: its name, and what it defines."""
    for module in modules:
        yield wrapped(f"{module.name}: {_first_sentence(module.doc)}")
        if len(module.definitions) < 50:
            yield wrapped(", ".join(thing.name for thing in module.definitions), "  ")


def listing(module: DocumentedModule) -> Iterator[str]:
    """A module: its comment, and a line or two for each definition."""
    yield module.name
    if module.doc:
        yield f"\n{module.doc}"
    for thing in module.definitions:
        yield f"\n{_short(thing)}"
        if thing.doc:
            yield wrapped(_first_sentence(thing.doc), "    ")
    if module.imports and not module.definitions:
        yield "\nhands on: " + ", ".join(f"{name} ({origin})" for name, origin in module.imports)


def _short(thing: Documented) -> str:
    """One line: the names of the settings, and the inputs and the result with their types."""
    if thing.kind not in ("fn", "layer", "model"):
        return thing.signature
    names = [parameter.name for parameter in thing.settings]
    typed = [f"{parameter.name}: {parameter.type}" for parameter in thing.inputs]
    if thing.kind == "fn" and ")(" not in thing.signature:  # its settings stand among its inputs
        names, typed = [], [*typed, *names]
    settings = f"({', '.join(names)})" if names else ""
    inputs = f"({', '.join(typed)})" if typed else ""
    entries = f" {{ {', '.join(e.name for e in thing.entries if e.kind == 'entry')} }}" if not thing.inputs else ""
    return f"{thing.kind} {thing.name}{settings}{inputs}" + (f" -> {thing.result}" if thing.result else entries)


def page(thing: Documented) -> Iterator[str]:
    """Everything about one definition."""
    yield thing.signature
    if thing.doc:
        yield "\n" + _prose(thing.doc)
    yield from _table("settings", thing.settings)
    yield from _table("inputs", thing.inputs)
    if thing.result:
        yield f"\nresult\n    {thing.result}"
    if thing.requires:
        yield "\nrequires\n" + "\n".join(f"    {condition}" for condition in thing.requires)
    for entry in thing.entries:
        yield f"\n{entry.signature}"
        if entry.doc:
            yield _prose(entry.doc)
        if entry.kind == "train":
            yield from _table("  inputs of a training step", entry.inputs)
    yield from _uses(thing)
    yield from _origin(thing)


def _origin(thing: Documented) -> Iterator[str]:
    """Where it is defined, and how to get it."""
    from ...compiler.documentation import LANGUAGE
    from ..documentation import import_line

    if thing.module == LANGUAGE:
        more = f"; `netlang ops {thing.name}` says more" if thing.kind == "operator" else ""
        yield f"\n{thing.kind} of the language{more}"
        return
    yield f"\n{thing.kind} of {thing.module}, line {thing.line}"
    yield import_line(thing) or "known in every file"


def _table(title: str, parameters: tuple[Parameter, ...]) -> Iterator[str]:
    if parameters:
        yield f"\n{title}"
        width = max(len(parameter.name) for parameter in parameters)
        for parameter in parameters:
            default = "" if parameter.default is None else f" = {parameter.default}"
            yield f"    {parameter.name:{width}}  {parameter.type}{default}"


def _uses(thing: Documented) -> Iterator[str]:
    by_module: dict[str, list[str]] = {}
    for name, module in thing.uses:
        by_module.setdefault(module, []).append(name)
    if by_module:
        yield "\nuses"
        for module, names in by_module.items():
            yield wrapped(f"{module}: {', '.join(names)}", "    ")


def _first_sentence(doc: str) -> str:
    sentence = _SENTENCE_END.split(" ".join(doc.split()), maxsplit=1)[0]
    return sentence.rstrip(".:") + "." if sentence else ""


def _prose(doc: str) -> str:
    return "\n".join(wrapped(line, "    ") for line in doc.splitlines())
