"""Writes a graph as a program: definitions, one model, and the weights by the names that they have in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from netlang.diagnostics import fail
from netlang.formatter import format_source
from netlang.source import Source
from netlang.tokens import KEYWORDS
from netlang.types import DTYPES

from ..elaborate.modules import builtin_names
from ..ir import Graph, Value
from .bodies import BodyWriter, weight_stem
from .definitions import Definition, model_definition
from .foreign import foreign_name
from .layers import MODULES
from .names import Names
from .scopes import identifier
from .steps import CALL, FUNCTION, LAYER, REPEAT, Body, Place, Step, Stored, placed
from .structure import structure
from .tidy import tidy


@dataclass(frozen=True, slots=True)
class Written:
    """A program, and its weights.

    text: the file, formatted. model: the name of its model. weights: of its parameters and states, by dotted name.
    layers: how often each layer of the library was found. repeats: rounds of each `repeat`. foreign: operators of ONNX
    that the language does not have, which are called by their own names.
    """

    text: str
    model: str
    weights: dict[str, np.ndarray]
    layers: dict[str, int]
    repeats: tuple[int, ...]
    foreign: tuple[str, ...]


def write_program(
    graph: Graph, weights: Mapping[str, np.ndarray], name: str, prelude: frozenset[str], doc: str = ""
) -> Written:
    """The program of an inference graph whose variables have these `weights`.

    `name` is for the model; `prelude` are the library's names that need no import; `doc` is what the file says first.
    """
    return _Program(tidy(graph), weights, prelude).write(identifier_of_model(name), doc)


def identifier_of_model(name: str) -> str:
    """The name of a model that a file or graph of this name holds: `resnet-18` is `Resnet18`."""
    if name.isidentifier() and name.isascii() and name[0].isupper():
        return name
    words = [word for word in identifier(name).split("_") if word]
    return "".join(word[:1].upper() + word[1:] for word in words) or "Model"


class _Program:
    def __init__(self, graph: Graph, weights: Mapping[str, np.ndarray], prelude: frozenset[str]) -> None:
        self._graph = graph
        self._weights = weights
        self._hidden = prelude | MODULES.keys()
        self._reserved = frozenset(KEYWORDS | builtin_names() | prelude | MODULES.keys())
        self._layouts: dict[Definition, dict[Place, str]] = {}
        self._library: set[str] = set()
        self._found: dict[str, np.ndarray] = {}
        self._definition_names: set[str] = set()

    def write(self, name: str, doc: str) -> Written:
        """The whole program."""
        body, definitions, facts = structure(self._graph, self._reserved)
        self._facts = facts
        self._name_all(definitions, name)
        _refuse_opaque(self._graph)
        body.inputs = tuple(item.value for item in self._graph.inputs)
        model = model_definition(body, facts, self._reserved)
        model.name = name
        parts = [self._definition(definition) for definition in definitions]
        parts.append(self._model(model))
        self._collect(model, body, "")
        text = "\n\n".join([*_head(doc, self._library), *parts])
        text = format_source(Source("<import>", text + "\n"))
        return Written(text, name, self._found, _layers(body), tuple(_repeats(definitions, body)), _foreign(body))

    def _name_all(self, definitions: Sequence[Definition], model: str) -> None:
        names = Names({*self._reserved, model})
        for definition in definitions:
            choices = [choice for choice in definition.body.names if names.is_free(choice)]
            definition.name = names.numbered(choices[0] if choices else "block")
        self._definition_names = {definition.name for definition in definitions}

    def _definition(self, definition: Definition) -> str:
        names = Names({*self._reserved, *definition.settings, *self._definition_names, *_dims(definition)})
        inputs = [self._input_name(value, definition, names) for value in definition.body.inputs]
        settings = ", ".join(f"{name}: {type_}" for name, type_ in definition.settings.items())
        head = f"{definition.keyword} {definition.name}"
        if definition.keyword == "layer" or settings:
            head += f"({settings})"
        return self._block(head, definition, inputs, names)

    def _input_name(self, value: Value, definition: Definition, names: Names) -> str:
        if value in self._facts.variables:
            return names.numbered(weight_stem(value, definition.body))
        return names.numbered("mask") if value.type.dtype == "bool" else names.fresh("x", "y", "z")

    def _model(self, model: Definition) -> str:
        names = Names({*self._reserved, *self._definition_names, *_dims(model)})
        inputs = [names.numbered(identifier(item.name) or "x") for item in self._graph.inputs]
        return self._block(f"model {model.name}", model, inputs, names, keep_inputs=True)

    def _block(
        self, head: str, definition: Definition, inputs: Sequence[str], names: Names, keep_inputs: bool = False
    ) -> str:
        body = definition.body
        taken = ", ".join(
            f"{name}: {_type(value.type.dtype, dims)}"
            for name, value, dims in zip(inputs, body.inputs, definition.inputs, strict=True)
        )
        given = [_type(value.type.dtype, dims) for value, dims in zip(body.outputs, definition.outputs, strict=True)]
        result = given[0] if len(given) == 1 else f"({', '.join(given)})"
        writer = BodyWriter(definition, inputs, self._facts, names, self._hidden, keep_inputs)
        lines = writer.write()
        self._layouts[definition] = writer.layout
        self._library |= writer.library
        return "\n".join([f"{head}({taken}) -> {result} {{", *(f"  {line}" for line in lines), "}"])

    # --- Weights -----------------------------------------------------------------------------------------------------

    def _collect(self, definition: Definition, body: Body, prefix: str) -> None:
        """Takes the weights of one body, whose layers are called as its definition's are, under `prefix`."""
        layout = self._layouts[definition]
        for place, step in enumerate(body.steps):
            if step.kind == REPEAT:
                for number, steps in enumerate(step.rounds):
                    for j, part in enumerate(steps):
                        if (place, j) in layout:
                            self._take(part, prefix + layout[place, j].removesuffix(".0") + f".{number}")
            elif place in layout:
                self._take(step, prefix + layout[place])

    def _take(self, step: Step, name: str) -> None:
        if step.kind == CALL:
            assert step.definition is not None and step.body is not None
            self._collect(step.definition, step.body, f"{name}.")
            return
        for local, stored in step.owned.items():
            self._found[f"{name}.{local}" if local else name] = self._array(stored)

    def _array(self, stored: Stored) -> np.ndarray:
        if stored.compute is not None:
            return stored.compute(lambda value: self._weights[value.name])
        constant = self._facts.constants.get(stored.value)
        array = self._weights[stored.value.name] if constant is None else constant
        return np.ascontiguousarray(array.T) if stored.transposed else array


def _refuse_opaque(graph: Graph) -> None:
    """Sequences, maps and optional values are no types of the language: a model can neither take nor give them."""
    for item in (*graph.inputs, *graph.outputs):
        if item.value.type.dtype not in DTYPES:
            raise fail("onnx-unsupported", f"`{item.name}` is {item.value.type}, which is no tensor")


def _head(doc: str, library: set[str]) -> list[str]:
    modules: dict[str, list[str]] = {}
    for name in sorted(library, key=list(MODULES).index):
        modules.setdefault(MODULES[name], []).append(name)
    uses = "\n".join(f"use {module}: {', '.join(names)}" for module, names in modules.items())
    return [part for part in ("\n".join(f"## {line}" for line in doc.splitlines()), uses) if part]


def _type(dtype: str, dims: Sequence[str]) -> str:
    """A type as a declaration writes it; `bool` alone would be a setting."""
    return f"{dtype}[{', '.join(dims)}]" if dims or dtype == "bool" else dtype


def _dims(definition: Definition) -> set[str]:
    """Names among the dimensions of a definition's inputs."""
    return {dim for dims in definition.inputs for dim in dims if dim.isidentifier()}


def _layers(body: Body) -> dict[str, int]:
    """How often each layer of the library is used, in all rounds and calls."""
    found: dict[str, int] = {}
    for step in body.steps:
        parts = [part for one in step.rounds for part in one] if step.kind == REPEAT else [step]
        for part in parts:
            if part.kind in (LAYER, FUNCTION):
                found[part.callee] = found.get(part.callee, 0) + 1
            elif part.body is not None:
                for name, count in _layers(part.body).items():
                    found[name] = found.get(name, 0) + count
    return found


def _foreign(body: Body) -> tuple[str, ...]:
    """Names of the operators of ONNX that are kept as they are, at any depth."""
    found: set[str] = set()
    for _, step in placed(body.steps):
        if step.body is not None:
            found.update(_foreign(step.body))
        elif step.callee == "foreign":
            found.add(foreign_name(step))
    return tuple(sorted(found))


def _repeats(definitions: Sequence[Definition], body: Body) -> list[int]:
    bodies = [*(definition.body for definition in definitions), body]
    return [len(step.rounds) for one in bodies for step in one.steps if step.kind == REPEAT]
