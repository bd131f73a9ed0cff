"""What a graph is made of while it is being written: steps, and the bodies that hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Dim, symbols

from ..ir import Value
from ..ops import OPS

if TYPE_CHECKING:
    from .definitions import Definition

MAX_ELEMENTS = 16
"""Constants of at most so many elements are written out; larger ones are kept with the weights."""

OPERATOR, LAYER, FUNCTION, CALL, VARIABLE, REPEAT = "operator", "layer", "function", "call", "variable", "repeat"
"""Kinds of steps: an operator of the table, a layer or function of the library, a definition, a parameter or state
that is used as it is, and rounds of equal steps."""


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A weight: the variable or constant of the graph that holds it, transposed where the layer keeps it so.

    compute: makes it of the weights of the graph, where it is more than that; `value` is then one of these.
    """

    value: Value
    transposed: bool = False
    compute: Callable[[Callable[[Value], np.ndarray]], np.ndarray] | None = None


@dataclass(eq=False, slots=True)
class Step:
    """One line of a body, or a part of one.

    callee: name of the operator or library layer; "param" or "state" of a variable.
    path: what is left of the scope, from the outside in: `("encoder", "layers.0")`.
    order: its place in the graph.
    settings: attributes and settings that are not the default.
    owned: weights of a layer by their names in it.
    hint: what its author called the layer, where known.
    body: what is called. rounds: the steps of each round of a repeat; carried: what goes from one to the next.
    bodies: of an operator on graphs, by the names of its attributes.
    """

    kind: str
    callee: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    path: tuple[str, ...] = ()
    order: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    owned: dict[str, Stored] = field(default_factory=dict)
    hint: str = ""
    definition: Definition | None = None
    body: Body | None = None
    rounds: Sequence[Sequence[Step]] = ()
    carried: tuple[Carried, ...] = ()
    bodies: dict[str, Body] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A value that goes from round to round of a repeat: before the first, and after each of them."""

    initial: Value
    results: tuple[Value, ...]


@dataclass(eq=False, slots=True)
class Body:
    """Steps in order, what they take from outside, and what they give.

    names: what a definition of it could be called, the best first. uses: how often each value is used inside.
    """

    names: tuple[str, ...]
    steps: list[Step]
    inputs: tuple[Value, ...] = ()
    outputs: tuple[Value, ...] = ()
    uses: Counter[Value] = field(default_factory=Counter)

    @property
    def has_variables(self) -> bool:
        """Whether there are weights in it, at any depth."""
        return any(_has_variables(step) for step in self.steps)


def _has_variables(step: Step) -> bool:
    if step.kind == CALL:
        assert step.body is not None
        return step.body.has_variables
    if step.kind == REPEAT:
        return any(_has_variables(inner) for inner in step.rounds[0])
    return step.kind in (LAYER, VARIABLE)


Place = int | tuple[Any, ...]
"""Where a step is in its body: its number, or the place of what it is in (a repeat, a `scan`) and its number there."""


def placed(steps: Sequence[Step]) -> Iterator[tuple[Place, Step]]:
    """The steps with their places, those of the first round in place of a repeat."""
    for number, step in enumerate(steps):
        if step.kind == REPEAT:
            yield from (((number, j), part) for j, part in enumerate(step.rounds[0]))
        else:
            yield number, step


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What is known about the whole graph: contents of constants, the variables by kind ("param" or "state"), what it
    gives, and how often each value is used."""

    constants: dict[Value, np.ndarray]
    variables: dict[Value, str]
    outputs: frozenset[Value]
    uses: Counter[Value]

    def literal(self, value: Value) -> np.ndarray | None:
        """The content of a constant that is written where it is used: a small one, or one of equal elements."""
        array = self.constants.get(value)
        if array is None or value in self.outputs:
            return None
        small = array.size <= MAX_ELEMENTS and array.ndim <= 2 and np.isfinite(array.astype(np.float64)).all()
        return array if is_uniform(array) or (small and array.size) else None

    def is_stored(self, value: Value) -> bool:
        """Whether a value is kept with the weights."""
        return value in self.variables or (value in self.constants and self.literal(value) is None)


def is_uniform(array: np.ndarray) -> bool:
    """Whether an array has elements, and all are equal."""
    first = array.reshape(-1)[:1]
    return bool(array.size and (array == first).all())


def tells(step: Step) -> set[str]:
    """The symbols whose values a step determines when it runs."""
    determines = OPS[step.callee].determines if step.kind == OPERATOR else ()
    return {name for key in determines for name in _symbols(step.settings.get(key))}


def told(step: Step) -> set[str]:
    """The symbols in a step that others determine when they run."""
    found = {name for value in step.settings.values() for name in _symbols(value) if "#" in name}
    return found - tells(step)


def _symbols(value: Any) -> frozenset[str]:
    if isinstance(value, tuple):
        return frozenset().union(*map(_symbols, value))
    return symbols(value) if isinstance(value, Dim) else frozenset()
