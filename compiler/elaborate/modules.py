"""Modules: files and what their names stand for, the prelude, and the built-in names."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from netlang import syntax
from netlang.diagnostics import Diagnostic, DiagnosticError, Label, did_you_mean, fail
from netlang.names import check_names
from netlang.parser import parse
from netlang.source import BUILTIN, Source, Span
from netlang.types import DTYPES

from ..builder import INTERNAL
from ..initializers import INITIALIZERS
from ..ops import OPS
from .context import Context, Frame
from .intrinsics import INTRINSICS
from .values import DType, Environment, Function, Lazy, Namespace, OpFunction

Loader = Callable[[str, bool, Source], Source]
"""Finds a module: (name or path as written, whether it is a path, the importing source). Raises DiagnosticError."""

ROOT = "."
"""What a loader is asked for to get the file that marks the root of the importing source's project."""

PRELUDE = "std.prelude"
"""The library module whose imports are visible everywhere."""

MAX_CHAIN = 100
"""How many files may use one another in a row."""

MAX_FILES = 2_000
"""How many files a program may consist of."""

_OFFERED = ("std.layers", "std.attention", "std.recurrent", "std.graph", "std.augment", "std.models")
"""Where a name that is not defined may come from."""


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
        """The names of the file: definitions, constants and what was itself imported."""
        names = {d.name.name for d in self.definitions()} | set(self.imports)
        names |= {d.name.name for d in self.syntax.declarations if isinstance(d, syntax.Const)}
        return frozenset(names)

    def offered(self) -> frozenset[str]:
        """Names that other files can import: those that do not begin with `_`."""
        return frozenset(name for name in self.declared() if not is_private(name))

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
        self._faulty: dict[str, DiagnosticError] = {}
        self._loading: list[str] = []
        self._roots: dict[str, Source] = {}
        self.warnings: list[Diagnostic] = []

    @property
    def sources(self) -> dict[str, Source]:
        """Every file in use, by name; also those that mark the root of a project in which names were looked up."""
        return self._roots | {name: module.source for name, module in self._loaded.items()}

    def load(self, source: Source) -> LoadedModule:
        """Parses a file, loads its imports, checks its names. Raises DiagnosticError with all that is wrong."""
        if source.name in self._faulty:
            raise self._faulty[source.name]
        if source.name not in self._loaded:
            self._loading.append(source.name)
            try:
                self._loaded[source.name] = self._load(source)
            except DiagnosticError as error:
                self._faulty[source.name] = error
                raise
            finally:
                self._loading.pop()
        return self._loaded[source.name]

    def _load(self, source: Source) -> LoadedModule:
        module = LoadedModule(parse(source))
        self._import_all(module)
        if not source.library:
            self._check(module)
        return module

    def _import_all(self, module: LoadedModule) -> None:
        faults: dict[Diagnostic, None] = {}  # each once, though several imports may lead to the same
        for use in module.syntax.declarations:
            if isinstance(use, syntax.Use):
                try:
                    self._import(module, use)
                except DiagnosticError as error:
                    faults.update(dict.fromkeys(error.diagnostics))
        if faults:
            raise DiagnosticError(*faults)

    def _import(self, module: LoadedModule, use: syntax.Use) -> None:
        source = self._find(use, module.source)
        if source.name in self._loading:
            chain = " -> ".join([*self._loading[self._loading.index(source.name) :], source.name])
            raise fail("recursion", "these files import one another", _module_span(use), chain)
        if len(self._loading) >= MAX_CHAIN or len(self._loaded) + len(self._faulty) >= MAX_FILES:
            title = f"this program has more than {MAX_CHAIN} files in a row, or {MAX_FILES:,} in all"
            raise fail("network-too-large", title, _module_span(use), help="let fewer files use one another")
        found = self.load(source)
        wrong = [_not_offered(use, used, found) for used in use.names if used.name not in found.offered()]
        if wrong:
            raise DiagnosticError(*wrong)
        module.imports.update({used.alias or used.name: (found, used.name) for used in use.names})

    def _find(self, use: syntax.Use, importer: Source) -> Source:
        try:
            source = self._loader(use.module, use.is_path, importer)
            if not use.is_path and not source.library:
                root = self._loader(ROOT, False, importer)
                self._roots[root.name] = root
            return source
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
                offered = self.load(self._loader(module, False, BUILTIN.source)).offered()
            except DiagnosticError:  # a loader that has only what a run used
                continue
            if name in offered:
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
        from .statements import require_constant

        self._context.frames.append(Frame("const", declaration.name.name))
        try:
            with self._context.outermost():
                value = evaluate(self._context, declaration.value, environment)
                require_constant(self._context, declaration.value, value)
                return value
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
    environment.names.update(_operators())
    environment.names.update(INTRINSICS)
    environment.names.update({name: DType(name) for name in DTYPES})
    environment.set("ops", Namespace("ops", dict(_operators())))
    environment.set("infinity", math.inf)
    environment.set("onnx", Lazy(_foreign_operators))
    return environment


def _foreign_operators() -> Namespace:
    """`onnx`. Few programs name it, and importing the ONNX package takes longer than most take to check."""
    from .foreign import OPERATORS

    return OPERATORS


@cache
def _operators() -> Mapping[str, OpFunction]:
    """The operators that a program can name."""
    return {name: OpFunction(op) for name, op in OPS.items() if name not in INTERNAL}


def builtin_names() -> frozenset[str]:
    """Names that need no import."""
    return frozenset(builtin_environment().names)


def is_private(name: str) -> bool:
    """Whether a name is its file's own: it begins with `_`."""
    return name.startswith("_")


def _not_offered(use: syntax.Use, used: syntax.UsedName, module: LoadedModule) -> Diagnostic:
    if used.name in module.declared():
        help = "a name that begins with `_` stays in its file; rename it there if others need it"
        return Diagnostic("private-name", f"`{used.name}` is private to `{use.module}`", Label(used.span), help=help)
    offered = sorted(module.offered())
    help = did_you_mean(used.name, offered) or (f"it has {', '.join(offered)}" if offered else "it is empty")
    if used.name in OPS and used.name not in INTERNAL:
        help = f"`{used.name}` is an operator, which needs no `use`"
    return Diagnostic("undefined-name", f"`{use.module}` has no `{used.name}`", Label(used.span), help=help)


_MODULE_NAME = re.compile(r'use\s+("(?:\\.|[^"\\])*"|[\w.\s]+?)\s*:')


def _module_span(use: syntax.Use) -> Span:
    """Where a `use` names its module."""
    named = _MODULE_NAME.match(use.span.text)
    start = use.span.start
    return use.span if named is None else Span(use.span.source, start + named.start(1), start + named.end(1))


def _cycles(module: LoadedModule) -> Iterator[Diagnostic]:
    """Definitions that call themselves, directly or through others."""
    definitions = {d.name.name: d for d in module.definitions()}
    calls = {name: [n for n in mentions(d) if n.name in definitions] for name, d in definitions.items()}
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


def mentions(definition: syntax.Definition | syntax.Train) -> Iterator[syntax.Name]:
    """Names that a definition uses and does not bind itself."""
    bound = {name for node in syntax.walk(definition) if node is not definition for name in _bound(node)}
    own = definition.name if isinstance(definition, syntax.Definition) else definition.model
    for node in syntax.walk(definition):
        if isinstance(node, syntax.Name) and node is not own and node.name not in bound:
            yield node


def _bound(node: syntax.Node) -> Iterator[str]:
    """Names to which a node gives a meaning."""
    match node:
        case syntax.Parameter(name=name):
            yield name
        case syntax.Assign() | syntax.SetNext():
            yield from (target.name for target in syntax.bound_names(node))
        case syntax.Repeat(index=syntax.Name(name)):
            yield name
        case (
            syntax.Definition(name=name) | syntax.Declare(name=name) | syntax.Input(name=name)
            | syntax.Sequence(name=name) | syntax.Carry(name=name) | syntax.Range(name=name)
        ):  # fmt: skip
            yield name.name
