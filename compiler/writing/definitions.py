"""Bodies that are equal but for numbers become one definition, with settings for what differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from netlang.dims import Dim, Size, symbol, symbols
from netlang.types import TensorType

from ..ir import Value
from ..numbered_names import numbered_name
from ..ops import OPS
from .numbers import size_text, value_text
from .scopes import identifier
from .steps import CALL, OPERATOR, REPEAT, VARIABLE, Body, Facts, Step, is_uniform, placed

MAX_SETTINGS = 6
"""More settings than this say that the bodies are different things: each set of numbers is a definition of its own."""

Address = tuple[Any, ...]
"""Where in a body a number stands: ("input", i, axis), or (step, name of the setting, index …)."""


@dataclass(eq=False, slots=True)
class Definition:
    """A layer or function of the program.

    body: one of those that it stands for. settings: names and types of its settings. dims: what is written for the
    dimensions of its inputs and outputs; texts: for the numbers in its body.
    """

    body: Body
    settings: dict[str, str] = field(default_factory=dict)
    inputs: list[list[str]] = field(default_factory=list)
    outputs: list[list[str]] = field(default_factory=list)
    texts: dict[Address, str] = field(default_factory=dict)
    uses: int = 1
    name: str = ""

    @property
    def keyword(self) -> str:
        """`fn` where there are no weights in it, else `layer`."""
        return "layer" if self.body.has_variables else "fn"


def define(bodies: Sequence[Body], facts: Facts, reserved: frozenset[str]) -> Iterator[list[tuple[Body, Step]]]:
    """Groups bodies into definitions; for each, its bodies with the steps that call them."""
    groups: dict[Any, list[Body]] = defaultdict(list)
    for body in bodies:
        groups[skeleton(body, facts)].append(body)
    for group in groups.values():
        solved = _Solver(group, facts, reserved).solve()
        if len(solved[0].settings) <= MAX_SETTINGS:
            yield _calls(*solved, group)
            continue
        equal: dict[Any, list[Body]] = defaultdict(list)
        for body in group:
            equal[tuple(numbers(body, facts).items())].append(body)
        for part in equal.values():
            yield _calls(*_Solver(part, facts, reserved).solve(), part)


def _calls(definition: Definition, given: list[dict[str, Any]], bodies: Sequence[Body]) -> list[tuple[Body, Step]]:
    definition.uses = len(bodies)
    calls: list[tuple[Body, Step]] = []
    for body, settings in zip(bodies, given, strict=True):
        step = Step(CALL, "", body.inputs, body.outputs, settings=settings, definition=definition, body=body)
        step.order = body.steps[0].order
        calls.append((body, step))
    return calls


def model_definition(body: Body, facts: Facts, reserved: frozenset[str]) -> Definition:
    """The definition of the model itself: each symbol in the types of its inputs is a dimension by that name."""
    solver = _Solver([body], facts, reserved)
    solver.name_symbols()
    return solver.solve()[0]


# --- What bodies have in common --------------------------------------------------------------------------------------


def skeleton(body: Body, facts: Facts) -> Any:
    """All of a body but its numbers, its weights and its names: bodies of equal skeletons can be one definition."""
    places: dict[Value, Any] = {value: ("input", i) for i, value in enumerate(body.inputs)}
    inputs = tuple((value.type.dtype, value.type.rank) for value in body.inputs)
    lines = tuple(_line(step, i, places, facts) for i, step in enumerate(body.steps))
    return inputs, lines, tuple(places[value] for value in body.outputs)


def _line(step: Step, place: Any, places: dict[Value, Any], facts: Facts) -> Any:
    if step.kind == REPEAT:
        inner = tuple(_line(part, (place, j), places, facts) for j, part in enumerate(step.rounds[0]))
        carried = tuple((places[c.initial], places[c.results[0]]) for c in step.carried)
        places.update((c.results[-1], places[c.results[0]]) for c in step.carried)
        return REPEAT, len(step.rounds), inner, carried
    operands = tuple(places.get(x) or _constant(x, facts) for x in step.inputs)
    settings = tuple((name, _shape_of(value)) for name, value in step.settings.items())
    owned = tuple((name, stored.transposed) for name, stored in step.owned.items())
    kept = tuple((x.type.dtype, x.type.rank) for x in step.outputs) if step.kind == VARIABLE else ()
    places.update((value, (place, o)) for o, value in enumerate(step.outputs))
    places.update((stored.value, (place, name)) for name, stored in step.owned.items())
    return step.kind, step.callee, id(step.definition), operands, settings, owned, kept, len(step.outputs)


def _constant(value: Value, facts: Facts) -> Any:
    array = facts.literal(value)
    assert array is not None, value
    if array.dtype == bool or not is_uniform(array):
        return "constant", array.dtype.str, array.shape, array.tobytes()
    return "constant", array.dtype.str, array.ndim


def _shape_of(value: Any) -> Any:
    """What a setting is but for its numbers."""
    if isinstance(value, tuple):
        return tuple(_shape_of(item) for item in value)
    if isinstance(value, bool) or value is None:
        return value
    return {int: "size", Dim: "size", float: "number"}.get(type(value), value)


def numbers(body: Body, facts: Facts) -> dict[Address, Any]:
    """The numbers in a body and in the types of its inputs, by where they stand."""
    found: dict[Address, Any] = {}
    for i, value in enumerate(body.inputs):
        found.update({("input", i, axis): size for axis, size in enumerate(value.type.shape)})
    for place, step in placed(body.steps):
        _collect(step, place, facts, found)
    return found


def determined(body: Body) -> Iterator[Address]:
    """Where in a body attributes stand for sizes that the run tells."""
    for place, step in placed(body.steps):
        if step.kind == OPERATOR:
            yield from ((place, name) for name in OPS[step.callee].determines if name in step.settings)


def _collect(step: Step, place: Any, facts: Facts, found: dict[Address, Any]) -> None:
    for name, value in step.settings.items() if step.callee != "foreign" else _foreign_sizes(step):
        _flatten((place, name), value, found)
    for i, value in enumerate(step.inputs):
        array = facts.literal(value)
        if array is not None and array.dtype != bool and is_uniform(array):
            found[place, "constant", i] = array.reshape(-1)[0].item()
            found.update({(place, "constant", i, axis): size for axis, size in enumerate(array.shape)})
    for name, body in step.bodies.items():
        for i, part in enumerate(body.steps):
            _collect(part, (place, name, i), facts, found)
    if step.kind == VARIABLE:
        found.update({(place, "shape", axis): size for axis, size in enumerate(step.outputs[0].type.shape)})


def _foreign_sizes(step: Step) -> Iterator[tuple[str, Any]]:
    """Of a foreign node, the sizes that the run tells, and those of its results where ONNX cannot infer them."""
    for name in ("determined", "sizes"):
        yield name, step.settings.get(name, ())


def _flatten(address: Address, value: Any, found: dict[Address, Any]) -> None:
    if isinstance(value, tuple):
        for i, item in enumerate(value):
            _flatten((*address, i), item, found)
    elif isinstance(value, int | float | Dim) and not isinstance(value, bool):
        found[address] = value


# --- What is written for each number ---------------------------------------------------------------------------------

_AXES = {1: ("n",), 2: ("b", "d"), 3: ("b", "t", "d"), 4: ("b", "c", "h", "w"), 5: ("b", "c", "t", "h", "w")}
_SIZES = frozenset(
    {"out", "d", "rows", "shape", "size", "sizes", "stops", "starts", "count", "before", "after", "constant"}
)
_GENERIC = {"determined": "n", "out": "c", "constant": "n", "shape": "n", "value": "value"}


class _Solver:
    """Finds names for the numbers in which the bodies of one group differ, and for sizes open until run time."""

    def __init__(self, bodies: Sequence[Body], facts: Facts, reserved: frozenset[str]) -> None:
        self._bodies = bodies
        self._facts = facts
        self._taken = set(reserved)
        self._names: dict[tuple[Any, ...], str] = {}  # of dimensions, by their value in each body
        self._given: dict[tuple[Any, ...], str] = {}  # of settings
        self._inner: set[str] = set()  # names of sizes that steps of the body determine
        self._complete = False  # whether every symbol has a name
        self._definition = Definition(bodies[0])

    def solve(self) -> tuple[Definition, list[dict[str, Any]]]:
        """The definition, and the settings that each body gives to it."""
        columns = [numbers(body, self._facts) for body in self._bodies]
        vectors = {address: tuple(column[address] for column in columns) for address in columns[0]}
        for address, vector in vectors.items():
            if address[0] == "input":
                self._name_dimension(address, vector)
        for address in determined(self._bodies[0]):
            self._name_determined(address, vectors)
        texts = self._definition.texts
        for address, vector in vectors.items():
            texts[address] = self._text(address, vector)
        body = self._bodies[0]
        self._definition.inputs = [
            [texts["input", i, axis] for axis in range(value.type.rank)] for i, value in enumerate(body.inputs)
        ]
        self._definition.outputs = [self._result(i, value.type) for i, value in enumerate(body.outputs)]
        given = [{name: vector[i] for vector, name in self._given.items()} for i in range(len(self._bodies))]
        return self._definition, given

    def name_symbols(self) -> None:
        """Gives every symbol in the types of the inputs a name."""
        for value in self._bodies[0].inputs:
            for size in value.type.shape:
                for name in sorted(symbols(size)):
                    if (symbol(name),) not in self._names:
                        self._names[symbol(name),] = self._new(identifier(name) or "n")
        self._complete = True

    def _name_dimension(self, address: Address, vector: tuple[Any, ...]) -> None:
        if self._complete or vector in self._names or (_constantly(vector) and isinstance(vector[0], int)):
            return
        single = str(vector[0]) if _constantly(vector) else ""
        _, place, axis = address
        rank = self._bodies[0].inputs[place].type.rank
        stem = identifier(single) if single.isidentifier() else _AXES.get(rank, ("n",) * rank)[axis]
        self._names[vector] = self._new(stem)

    def _name_determined(self, address: Address, vectors: dict[Address, tuple[Any, ...]]) -> None:
        """Names the sizes that an attribute of a step stands for: the run tells them."""
        for full, vector in vectors.items():
            if full[: len(address)] == address and vector not in self._names:
                self._names[vector] = name = self._new(self._setting_stem(address))
                self._inner.add(name)

    def _new(self, stem: str) -> str:
        name = numbered_name(stem, lambda name: name not in self._taken)
        self._taken.add(name)
        return name

    def _text(self, address: Address, vector: tuple[Any, ...]) -> str:
        is_size = isinstance(vector[0], int | Dim)
        if _constantly(vector) and not isinstance(vector[0], Dim):
            return value_text(vector[0])
        is_open = any(isinstance(item, Dim) for item in vector)
        if is_size and (address[0] == "input" or address[1] in _SIZES or is_open):
            expressed = self._expressed(vector)
            if expressed is not None:
                return expressed
        if vector not in self._given:
            symbol_name = str(vector[0]) if _constantly(vector) else ""
            stem = identifier(symbol_name) if symbol_name.isidentifier() else self._setting_stem(address)
            self._given[vector] = name = self._new(stem)
            self._definition.settings[name] = "int" if is_size else "float"
        return self._given[vector]

    def _setting_stem(self, address: Address) -> str:
        name = str(address[1])
        return _GENERIC.get(name, name if name.isidentifier() else "n")

    def _expressed(self, vector: tuple[Any, ...]) -> str | None:
        """A size in terms of the named dimensions."""
        if vector in self._names:
            return self._names[vector]
        if vector in self._given:
            return self._given[vector]
        known = {vector[0]: name for vector, name in self._names.items() if _constantly(vector)}
        if _constantly(vector):
            single = {str(size): name for size, name in known.items()}
            if symbols(vector[0]) <= single.keys():
                return size_text(vector[0], single)
        for named, name in self._names.items():
            factor = _factor(vector, named)
            if factor is not None:
                return f"{factor} * {name}"
            factor = _factor(named, vector)
            if factor is not None:
                return f"{name} // {factor}"
        for named, name in self._names.items():
            for other, second in self._names.items():
                if all(a * b == c for a, b, c in zip(named, other, vector, strict=True)):
                    return f"{name} * {second}"
        return None

    def _result(self, i: int, type_: TensorType) -> list[str]:
        shapes = [body.outputs[i].type.shape for body in self._bodies]
        return [self._result_size(tuple(shape[axis] for shape in shapes)) for axis in range(type_.rank)]

    def _result_size(self, vector: tuple[Any, ...]) -> str:
        if _constantly(vector) and isinstance(vector[0], int):
            return str(vector[0])
        name = self._names.get(vector) or self._given.get(vector) or "_"
        return "_" if name in self._inner else name


def _constantly(vector: tuple[Any, ...]) -> bool:
    return all(item == vector[0] for item in vector)


def _factor(product: tuple[Size, ...], other: tuple[Size, ...]) -> int | None:
    """The whole number above 1 that makes one vector of sizes of the other."""
    first, base = product[0], other[0]
    if isinstance(base, Dim) or isinstance(first, Dim) or not base or first % base or first // base < 2:
        return None
    factor = first // base
    return factor if all(b * factor == p for b, p in zip(other, product, strict=True)) else None
