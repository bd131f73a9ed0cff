"""Bodies of nodes while they are being elaborated, and what comes out of them: values, names bound, states set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netlang import syntax

from ..builder import Builder
from ..ir import Value
from .naming import Instance

if TYPE_CHECKING:
    from .context import Context
    from .values import Environment


@dataclass(eq=False)
class Iteration:
    """A `scan` or `loop` of a definition whose body is being executed: its carries, and what the body says of them."""

    word: str
    builder: Builder
    carries: dict[str, Value]
    pending: dict[str, Value] = field(default_factory=dict)  # set by `next`
    emit: syntax.Emit | None = None
    emitted: list[Value] = field(default_factory=list)
    keep: syntax.Keep | None = None
    failed: bool = False  # a statement was abandoned, so that the results are not known


@dataclass(eq=False)
class Region:
    """One body of a node. `word` begins the construct in the language; `round` gives the number of the round in it."""

    word: str
    builder: Builder
    round: Callable[[], Value] | None = None
    states: list[tuple[Instance, str]] = field(default_factory=list)  # set inside, where that is allowed

    @property
    def place(self) -> str:
        """Where something stands that stands in it, for messages."""
        return _PLACES.get(self.word, f"a `{self.word}`")


_PLACES = {"if": "an `if` that chooses at run time", "@recompute": "what `@recompute` marks"}


class Bindings:
    """What executing statements changes: names, the next values of carries, and what is returned."""

    def __init__(self, context: Context, environment: Environment) -> None:
        self._frame = context.frame
        self._outer = environment.outer
        self._tables = [environment.names]
        if self._frame.iterations:
            self._tables.append(self._frame.iterations[-1].pending)
        self._before = [dict(table) for table in self._tables]

    def changes(self) -> dict[tuple[int, str], Any]:
        """New values, by (table, name): table 0 holds names, table 1 carries, table 2 what is returned."""
        from .values import Lazy

        found: dict[tuple[int, str], Any] = {}
        for number, (table, before) in enumerate(zip(self._tables, self._before, strict=True)):
            for name, value in table.items():
                old = before.get(name, _NOTHING)
                if value is not old and not isinstance(old, Lazy):
                    found[number, name] = value
        if self._frame.has_returned:
            found[RETURNED] = self._frame.returned
        return found

    def before(self, key: tuple[int, str]) -> Any:
        """The value from before, which a name may have further out, as an input has; or NOTHING."""
        own = self._own(key)
        if own is not _NOTHING or key[0] != 0 or self._outer is None:
            return own
        try:
            return self._outer.get(key[1])
        except KeyError:
            return _NOTHING

    def _own(self, key: tuple[int, str]) -> Any:
        return self._before[key[0]].get(key[1], _NOTHING) if key != RETURNED else _NOTHING

    def set(self, key: tuple[int, str], value: Any) -> None:
        """Sets what `changes` named."""
        if key == RETURNED:
            self._frame.returned, self._frame.has_returned = value, True
        else:
            self._tables[key[0]][key[1]] = value

    def restore(self) -> None:
        """Brings back what was before, names of constants computed meanwhile apart."""
        for key in self.changes():
            old = self._own(key)
            if key == RETURNED:
                self._frame.returned, self._frame.has_returned = None, False
            elif old is _NOTHING:
                del self._tables[key[0]][key[1]]
            else:
                self._tables[key[0]][key[1]] = old


_NOTHING: Any = object()
RETURNED = (2, "return")


def is_nothing(value: Any) -> bool:
    """Whether `Bindings.before` found no value."""
    return value is _NOTHING


class Exports:
    """Brings values out of a finished body: its outputs, from which the results of the node are filled in."""

    def __init__(self, body: Builder, outer: Builder) -> None:
        self._body = body
        self._outer = outer
        self._computed = {value for node in body.nodes for value in node.outputs}
        self._places: dict[Value, int] = {}

    def add(self, value: Any) -> Any:
        """`value` with a place for every tensor that the body computes; constants are constants outside too."""
        if isinstance(value, tuple):
            return tuple(map(self.add, value))
        if not isinstance(value, Value) or value not in self._computed:
            return value
        array = self._body.constant_value(value)
        if array is not None:
            return self._outer.constant(array, value.type.dtype)
        if value not in self._places:
            self._places[value] = len(self._places)
            self._body.output(f"output_{self._places[value]}", value)
        return Place(self._places[value])

    @property
    def count(self) -> int:
        """How many outputs the body has got."""
        return len(self._places)


@dataclass(frozen=True, slots=True)
class Place:
    """Stands for the result of a node at this place."""

    index: int


def filled(value: Any, results: list[Value]) -> Any:
    """`value` with the results of the node at their places."""
    if isinstance(value, tuple):
        return tuple(filled(item, results) for item in value)
    return results[value.index] if isinstance(value, Place) else value
