"""Modules: files and what their names stand for, the prelude, and the built-in names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from netlang import syntax
from netlang.diagnostics import Diagnostic, DiagnosticError, Label, did_you_mean, fail
from netlang.names import check_names
from netlang.parser import parse
from netlang.source import BUILTIN, Source, Span
from netlang.types import DTYPES

from ..initializers import INITIALIZERS
from ..op import Op
from ..ops import OPS
from .context import Context, Frame
from .foreign import FOREIGN_NAMES
from .intrinsics import INTRINSICS
from .values import DType, Environment, Function, Lazy, Namespace, OpFunction

Loader = Callable[[str, bool, Source], Source]
"""Finds a module: (name or path as written, whether it is a path, the importing source). Raises DiagnosticError."""

PRELUDE = "std.prelude"
"""The library module whose imports are visible everywhere."""

_OFFERED = ("std.layers", "std.attention", "std.models")  # where a name that is not defined may come from


@dataclass(eq=False)
class LoadedModule:
    """One parsed file and the modules it imports from."""

    syntax: syntax.Module
    imports: dict[str, tuple[LoadedModule, str]] = field(default_factory=dict)  # local name -> (module, its name there)

    @property
    def source(self) -> Source:
        return self.syntax.source

    def definitions(self) -> Iterator[syntax.Definition]:
        for declaration in self.syntax.declarations:
            if isinstance(declaration, syntax.Definition):
                yield declaration

    def declared(self) -> frozenset[str]:
        """Names that other files can import: definitions, constants and what was itself imported."""
        names = {d.name.name for d in self.definitions()} | set(self.imports)
        names |= {d.name.name for d in self.syntax.declarations if isinstance(d, syntax.Const)}
        return frozenset(names)

    def train_of(self, model: str) -> syntax.Train | None:
        for declaration in self.syntax.declarations:
            if isinstance(declaration, syntax.Train) and declaration.model.name == model:
                return declaration
        return None


class Modules:
    """Loads a file and everything it imports, each file once; refuses import cycles."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._loaded: dict[str, LoadedModule] = {}
        self._loading: list[str] = []
        self.warnings: list[Diagnostic] = []

    @property
    def sources(self) -> dict[str, Source]:
        """Every file in use, by name."""
        return {name: module.source for name, module in self._loaded.items()}

    def load(self, source: Source) -> LoadedModule:
        """Parses a file, loads its imports, checks its names. Raises DiagnosticError with all that is wrong."""
        if source.name in self._loaded:
            return self._loaded[source.name]
        self._loading.append(source.name)
        try:
            module = LoadedModule(parse(source))
            self._import_all(module)
            if not source.library:
                self._check(module)
        finally:
            self._loading.pop()
        self._loaded[source.name] = module
        return module

    def _import_all(self, module: LoadedModule) -> None:
        faults: list[Diagnostic] = []
        for use in module.syntax.declarations:
            if isinstance(use, syntax.Use):
                try:
                    self._import(module, use)
                except DiagnosticError as error:
                    faults.extend(error.diagnostics)
        if faults:
            raise DiagnosticError(*faults)

    def _import(self, module: LoadedModule, use: syntax.Use) -> None:
        source = self._find(use, module.source)
        if source.name in self._loading:
            chain = " -> ".join([*self._loading[self._loading.index(source.name) :], source.name])
            raise fail("recursion", "these files import one another", _module_span(use), chain)
        found = self.load(source)
        for used in use.names:
            if used.name not in found.declared():
                raise fail(
                    "undefined-name",
                    f"`{use.module}` has no `{used.name}`",
                    used.span,
                    help=did_you_mean(used.name, found.declared()) or f"it has {', '.join(sorted(found.declared()))}",
                )
            module.imports[used.alias or used.name] = (found, used.name)

    def _find(self, use: syntax.Use, importer: Source) -> Source:
        try:
            return self._loader(use.module, use.is_path, importer)
        except DiagnosticError as error:
            first = error.diagnostics[0]
            if first.primary is not None:
                raise
            raise fail(first.code, first.title, _module_span(use), notes=first.notes, help=first.help) from None

    def _check(self, module: LoadedModule) -> None:
        known = builtin_names() | self.prelude_names() | frozenset(INITIALIZERS)
        faults = [self._with_import(d) for d in check_names(module.syntax, known, lambda use: None)]
        faults += list(_cycles(module))
        self.warnings.extend(d for d in faults if d.severity == "warning")
        errors = [d for d in faults if d.severity == "error"]
        if errors:
            raise DiagnosticError(*errors)

    def _with_import(self, fault: Diagnostic) -> Diagnostic:
        """A fault about an undefined name that the library has says how to import it."""
        if fault.code != "undefined-name" or fault.primary is None:
            return fault
        name = fault.primary.span.text
        for module in _OFFERED:
            try:
                declared = self.load(self._loader(module, False, BUILTIN.source)).declared()
            except DiagnosticError:  # a loader that has only what a run used
                continue
            if name in declared:
                return replace(fault, help=f"`use {module}: {name}` brings it")
        return fault

    def prelude_names(self) -> frozenset[str]:
        """Names that the prelude brings; its modules are not loaded for this."""
        return frozenset(
            used.alias or used.name for use in self._prelude().declarations if isinstance(use, syntax.Use)
            for used in use.names
        )  # fmt: skip

    def _prelude(self) -> syntax.Module:
        if PRELUDE not in self._loaded:
            source = self._loader(PRELUDE, False, BUILTIN.source)
            self._loaded[PRELUDE] = LoadedModule(parse(source))
        return self._loaded[PRELUDE].syntax

    def environment(self, context: Context, module: LoadedModule) -> Environment:
        """The names of a module, for one elaboration."""
        return Environments(self, context).of(module)

    def prelude_module(self, use: syntax.Use) -> LoadedModule:
        """A module that the prelude imports from, loaded on first need."""
        return self.load(self._loader(use.module, use.is_path, self._prelude().source))

    def prelude_uses(self) -> Iterator[syntax.Use]:
        for declaration in self._prelude().declarations:
            if isinstance(declaration, syntax.Use):
                yield declaration


class Environments:
    """The environments of all modules in one elaboration; constants are computed once in each."""

    def __init__(self, modules: Modules, context: Context) -> None:
        self._modules = modules
        self._context = context
        self._made: dict[str, Environment] = {}
        self._prelude = self._make_prelude()

    def of(self, module: LoadedModule) -> Environment:
        """The environment of a module."""
        name = module.source.name
        if name in self._made:
            return self._made[name]
        environment = self._made[name] = Environment(self._prelude)
        for local, (source, original) in module.imports.items():
            environment.set(local, Lazy(partial(self._imported, source, original)))
        for declaration in module.syntax.declarations:
            if isinstance(declaration, syntax.Definition):
                environment.set(declaration.name.name, Function(declaration, environment))
            elif isinstance(declaration, syntax.Const):
                environment.set(declaration.name.name, Lazy(partial(self._constant, declaration, environment)))
        return environment

    def _imported(self, module: LoadedModule, name: str) -> Any:
        return self.of(module).get(name)

    def _constant(self, declaration: syntax.Const, environment: Environment) -> Any:
        from .expressions import evaluate

        self._context.frames.append(Frame("const", declaration.name.name))
        try:
            with self._context.outermost():
                return evaluate(self._context, declaration.value, environment)
        finally:
            self._context.frames.pop()

    def _make_prelude(self) -> Environment:
        environment = Environment(builtin_environment())
        for use in self._modules.prelude_uses():
            for used in use.names:
                environment.set(used.alias or used.name, Lazy(partial(self._from_prelude, use, used.name)))
        return environment

    def _from_prelude(self, use: syntax.Use, name: str) -> Any:
        return self.of(self._modules.prelude_module(use)).get(name)


def builtin_environment() -> Environment:
    """Operators, intrinsics, dtypes, and `ops`, which has the operators where the library shadows their names."""
    environment = Environment()
    operators = {name: OpFunction(op) for name, op in OPS.items() if not _is_internal(op)}
    environment.names.update(operators)
    environment.names.update(INTRINSICS)
    environment.names.update({name: DType(name) for name in DTYPES})
    environment.set("ops", Namespace("ops", dict(operators)))
    environment.names.update(FOREIGN_NAMES)
    return environment


def _is_internal(op: Op) -> bool:
    """Whether an operator takes what only the compiler can give it: a graph, or a constant."""
    return any(attribute.type in ("graph", "constant") for attribute in op.signature.attributes)


def builtin_names() -> frozenset[str]:
    """Names that need no import."""
    return frozenset(builtin_environment().names)


_MODULE_NAME = re.compile(r'use\s+("(?:\\.|[^"\\])*"|[\w.\s]+?)\s*:')


def _module_span(use: syntax.Use) -> Span:
    """Where a `use` names its module."""
    named = _MODULE_NAME.match(use.span.text)
    start = use.span.start
    return use.span if named is None else Span(use.span.source, start + named.start(1), start + named.end(1))


def _cycles(module: LoadedModule) -> Iterator[Diagnostic]:
    """Definitions that call themselves, directly or through others."""
    definitions = {d.name.name: d for d in module.definitions()}
    calls = {name: [n for n in _mentions(d) if n.name in definitions] for name, d in definitions.items()}
    done: set[str] = set()
    for name in definitions:
        cycle = None if name in done else _find_cycle(name, calls, done, [], [name])
        if cycle:
            first, *rest = cycle
            together = " and ".join(sorted(f"`{mention.name}`" for mention in cycle))
            yield Diagnostic(
                "recursion",
                f"{together} call one another" if rest else f"{together} calls itself",
                Label(first.span, "here" if not rest else "through this call"),
                tuple(Label(mention.span, "and this") for mention in rest),
                help="a network is finite: `repeat` unrolls a known number of blocks",
            )


def _find_cycle(
    name: str, calls: dict[str, list[syntax.Name]], done: set[str], path: list[syntax.Name], names: list[str]
) -> list[syntax.Name] | None:
    for mention in calls[name]:
        if mention.name in names:
            done.update(names)
            return [*path[names.index(mention.name) :], mention]
        if mention.name not in done:
            found = _find_cycle(mention.name, calls, done, [*path, mention], [*names, mention.name])
            if found:
                return found
    done.add(name)
    return None


def _mentions(definition: syntax.Definition) -> Iterator[syntax.Name]:
    """Names that a definition uses and does not bind itself."""
    bound = {p.name for group in definition.parameters for p in group}
    for node in syntax.walk(definition):
        if isinstance(node, syntax.Assign):
            bound.update(target.name for target in node.targets)
        elif isinstance(node, syntax.Definition) and node is not definition:
            bound.add(node.name.name)
            bound.update(p.name for group in node.parameters for p in group)
    for node in syntax.walk(definition):
        if isinstance(node, syntax.Name) and node is not definition.name and node.name not in bound:
            yield node
