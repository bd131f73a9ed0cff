"""Names of layers and their parameters: `blocks.3.attention.linear.weight`.

A `let` gives its own name; a layer created inline gets its definition's name and, from the second on, a counter; a
`repeat` appends its index; a named composition puts its name before those of its parts. Evaluating the same text again
(a shared layer applied twice) gives the same names, and so finds the same parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from netlang.source import BUILTIN, Span

from ..ir import Value


class Namer(Protocol):
    """Gives out names that are unique within one application of a layer."""

    def allocate(self, stem: str) -> str:
        """A new name that begins with `stem`."""
        ...


class Counter:
    """Names of one body: the first `linear` is `linear`, the next ones `linear_2`, `linear_3`."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def allocate(self, stem: str) -> str:
        count = self._taken.get(stem, 0) + 1
        name = stem if count == 1 else f"{stem}_{count}"
        while count > 1 and name in self._taken:  # a `let` may have taken `linear_2`
            count += 1
            name = f"{stem}_{count}"
        self._taken[stem] = count
        self._taken.setdefault(name, 1)
        return name

    def copy(self) -> Counter:
        """A counter that goes on from here without changing this one."""
        other = Counter()
        other._taken = dict(self._taken)
        return other


class Prefixed:
    """Names of the parts of a named composition: `body.conv2d`."""

    def __init__(self, outer: Namer, stem: str) -> None:
        self._prefix = outer.allocate(stem)
        self._inner = Counter()

    def allocate(self, stem: str) -> str:
        return f"{self._prefix}.{self._inner.allocate(stem)}"


class Repeated:
    """Names inside `repeat`: the k-th use of a stem has one base for all iterations, followed by the index."""

    def __init__(self, outer: Namer) -> None:
        self._outer = outer
        self._bases: dict[tuple[str, int], str] = {}
        self._seen: dict[str, int] = {}
        self._index = 0

    def start(self, index: int) -> None:
        """Begins the iteration `index`."""
        self._index = index
        self._seen = {}

    def allocate(self, stem: str) -> str:
        occurrence = self._seen[stem] = self._seen.get(stem, 0) + 1
        key = (stem, occurrence)
        if key not in self._bases:
            self._bases[key] = self._outer.allocate(stem)
        return f"{self._bases[key]}.{self._index}"


class Replayed:
    """Names in a text that is evaluated several times for one: each time the same."""

    def __init__(self, outer: Namer) -> None:
        self._outer = outer
        self._names: list[str] = []
        self._next = 0

    def restart(self) -> None:
        """Begins the next evaluation."""
        self._next = 0

    def allocate(self, stem: str) -> str:
        if self._next == len(self._names):
            self._names.append(self._outer.allocate(stem))
        self._next += 1
        return self._names[self._next - 1]


@dataclass(eq=False)
class Instance:
    """A created layer: where it is in the tree of names, and the parameters and states it has so far."""

    path: str
    kind: str = "layer"
    created: Span = BUILTIN
    children: dict[str, Instance] = field(default_factory=dict)
    variables: dict[str, Value] = field(default_factory=dict)
    pending: dict[str, Any] = field(default_factory=dict)  # values set in this step; poison where one was faulty
    definition: Any = None
    namer: Counter = field(default_factory=Counter)  # of a model: names that its entries continue

    @property
    def values(self) -> dict[str, Any]:
        """The parameters and states as they are now, some of them set in this step."""
        return {**self.variables, **self.pending}

    def join(self, name: str) -> str:
        """The full path of something called `name` in this layer."""
        return f"{self.path}.{name}" if self.path else name

    def child(self, name: str, definition: Any, created: Span) -> Instance:
        """The layer called `name` in this one, made on first use."""
        found = self.children.get(name)
        if found is None or found.definition is not definition:
            kind = self.kind if self.kind == "optimizer" else "layer"
            found = Instance(self.join(name), kind, created, definition=definition)
            self.children[name] = found
        return found
