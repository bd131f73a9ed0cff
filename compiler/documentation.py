"""What the sources say about themselves: signatures, doc comments, settings, inputs, and what uses what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from netlang import syntax
from netlang.source import Span

from .elaborate.intrinsics import INTRINSICS
from .elaborate.modules import LoadedModule, Modules, is_private, mentions
from .elaborate.patterns import split_parameters
from .initializers import INITIALIZERS, Initializer
from .op import REQUIRED, Op
from .ops import OPS

LANGUAGE = "language"
"""The module of what no file defines: operators, functions of the compiler, and initializers."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A setting or an input: its name, its type, and its default as it is written, if it has one."""

    name: str
    type: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Documented:
    """One thing that has a name.

    kind: fn, layer, model, entry, train, const, operator, function (of the compiler) or initializer. module, line:
    where it is defined; line 0 for what no file defines. signature: its head as it is written. settings: known while
    compiling; inputs: tensors. result: type. requires: conditions on settings and sizes. uses: names that it uses,
    with the modules that define them. entries: of a model; also its `train` block.
    """

    kind: str
    name: str
    module: str
    line: int
    signature: str
    doc: str
    settings: tuple[Parameter, ...] = ()
    inputs: tuple[Parameter, ...] = ()
    result: str | None = None
    requires: tuple[str, ...] = ()
    uses: tuple[tuple[str, str], ...] = ()
    entries: tuple[Documented, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentedModule:
    """A file: its own doc comment, what it defines, and what it hands on, as (name, module that defines it)."""

    name: str
    doc: str
    definitions: tuple[Documented, ...]
    imports: tuple[tuple[str, str], ...] = ()


def document(modules: Modules, module: LoadedModule) -> DocumentedModule:
    """The public definitions of a file, in its order."""
    reader = _Reader(modules, module)
    imports = tuple((name, origin) for name in module.imports if (origin := reader.definer(name)))
    return DocumentedModule(module.source.name, module.syntax.doc, tuple(reader.definitions()), imports)


def document_language() -> DocumentedModule:
    """What every file knows and no file defines."""
    doc = "Operators, functions of the compiler, and initializers: known everywhere, and defined by no file."
    things = [
        *(_operator(op) for op in OPS.values()),
        *(_builtin("function", name, name, function.implementation.__doc__) for name, function in INTRINSICS.items()),
        *(_builtin("initializer", name, _initializer(name, about), about.doc) for name, about in INITIALIZERS.items()),
    ]
    return DocumentedModule(LANGUAGE, doc, tuple(sorted(things, key=lambda thing: (thing.name, thing.kind))))


class _Reader:
    """Reads the definitions of one file."""

    def __init__(self, modules: Modules, module: LoadedModule) -> None:
        self._module = module
        self._own = frozenset(definition.name.name for definition in module.definitions())
        self._prelude = {used.alias or used.name: use.module for use in modules.prelude_uses() for used in use.names}

    def definitions(self) -> Iterator[Documented]:
        for declaration in self._module.syntax.declarations:
            if isinstance(declaration, syntax.Definition) and not is_private(declaration.name.name):
                yield self._definition(declaration)
            elif isinstance(declaration, syntax.Const) and not is_private(declaration.name.name):
                yield self._thing("const", declaration.name, declaration.span, declaration.doc)
            elif isinstance(declaration, syntax.Train) and declaration.model.name not in self._own:
                yield self._train(declaration)

    def definer(self, name: str) -> str | None:
        """The module that defines a name of this file; LANGUAGE for what none does, None for what means nothing."""
        module = self._module
        while name in module.imports:
            module, name = module.imports[name]
        if name in module.declared():
            return module.source.name
        return self._prelude.get(name) or (LANGUAGE if name in OPS or name in INTRINSICS else None)

    def _definition(self, definition: syntax.Definition) -> Documented:
        settings, inputs = split_parameters(definition)
        train = self._module.train_of(definition.name.name) if definition.kind == "model" else None
        return self._thing(
            definition.kind,
            definition.name,
            Span(definition.span.source, definition.name.span.start, definition.body.span.start),
            definition.doc,
            settings=_parameters(settings),
            inputs=_parameters(inputs),
            result=_text(definition.result.span) if definition.result else None,
            requires=tuple(_text(where.span) for where in definition.where),
            uses=self._uses(definition),
            entries=(*map(self._definition, definition.entries), *([self._train(train)] if train else [])),
        )

    def _train(self, train: syntax.Train) -> Documented:
        inputs = [node for node in syntax.walk(train.body) if isinstance(node, syntax.Input)]
        return self._thing(
            "train",
            train.model,
            Span(train.span.source, train.model.span.start, train.body.span.start),
            train.doc,
            settings=_parameters(train.parameters),
            inputs=tuple(Parameter(node.name.name, _text(node.type.span)) for node in inputs),
            uses=self._uses(train),
        )

    def _thing(self, kind: str, name: syntax.Name, head: Span, doc: str, **more: Any) -> Documented:
        signature = head.text.strip() if kind == "const" else f"{kind} {head.text.strip()}"
        return Documented(kind, name.name, self._module.source.name, name.span.line, signature, doc, **more)

    def _uses(self, node: syntax.Definition | syntax.Train) -> tuple[tuple[str, str], ...]:
        found = {name.name: self.definer(name.name) for name in mentions(node)}
        return tuple((name, module) for name, module in found.items() if module is not None)


def _parameters(parameters: tuple[syntax.Parameter, ...]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(
            parameter.name, _text(parameter.type.span), _text(parameter.default.span) if parameter.default else None
        )
        for parameter in parameters
    )


def _text(span: Span) -> str:
    return " ".join(span.text.split())


def _operator(op: Op) -> Documented:
    settings = tuple(
        Parameter(attribute.name, attribute.type, None if attribute.default is REQUIRED else _value(attribute.default))
        for attribute in op.signature.attributes
    )
    inputs = tuple(Parameter(tensor.name, str(tensor.pattern)) for tensor in op.signature.tensors)
    return Documented("operator", op.name, LANGUAGE, 0, op.text, op.doc, settings, inputs)


def _builtin(kind: str, name: str, signature: str, doc: str | None) -> Documented:
    return Documented(kind, name, LANGUAGE, 0, signature, doc or "")


def _initializer(name: str, about: Initializer) -> str:
    return f"{name}({', '.join(f'{argument} = {value:g}' for argument, value in about.defaults.items())})"


def _value(value: Any) -> str:
    """A default of an operator, as it is written in the language."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case tuple() | list():
            return f"[{', '.join(map(_value, value))}]"
    return str(value)
