"""The layers of a graph and what flows between them: its nodes, put together by the scopes they are computed in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from netlang.types import TensorType

from .ir import Graph, Node, Value, Variable


@dataclass(frozen=True, slots=True)
class Box:
    """One part of a diagram. kind: "input", "layer" (several operators of one scope), "operator" or "output".

    type: of what comes out; None for an output. parameters: numbers in the parameters that are used here first.
    """

    name: str
    kind: str
    type: TensorType | None = None
    parameters: int = 0


@dataclass(frozen=True, slots=True)
class Diagram:
    """Boxes, each behind those that it depends on, and edges from box to box by their numbers."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[int, int], ...]


def diagram(graph: Graph, depth: int = 1) -> Diagram:
    """The data flow of a graph, whose layers are opened down to `depth` scopes within one another.

    What depends on no input (masks, constants, transposed weights) is left out. A number in a scope, such as that of a
    repeated block, is no level of its own.
    """
    drawing = _Drawing(graph, depth)
    for node in graph.nodes:
        drawing.add(node)
    return drawing.finish()


@dataclass
class _Part:
    """A box while nodes are added. `above`: the parts that it depends on, directly or not, and itself, as bits."""

    name: str
    kind: str
    above: int
    type: TensorType | None = None
    variables: list[Variable] = field(default_factory=list)
    sources: dict[int, None] = field(default_factory=dict)


class _Drawing:
    def __init__(self, graph: Graph, depth: int) -> None:
        self._graph = graph
        self._depth = depth
        self._opened = _opened({node.scope for node in graph.nodes})
        self._parts: list[_Part] = []
        self._producers: dict[Value, int] = {}
        self._latest: dict[str, int] = {}  # of each scope that is a box: the one under way
        self._unused = {variable.value: [variable] for variable in graph.params}
        for item in graph.inputs:
            if item.role == "data":
                self._producers[item.value] = self._new(item.name, "input", ())
                self._parts[-1].type = item.value.type

    def add(self, node: Node) -> None:
        """Puts a node into the box of its scope, or one of its own."""
        sources = {self._producers[value]: None for value in node.inputs if value in self._producers}
        variables = [variable for value in node.inputs for variable in self._unused.pop(value, ())]
        if not sources:  # it waits for what uses it
            self._unused[node.outputs[0]] = variables
            return
        number = self._place(node, sources)
        part = self._parts[number]
        part.type = node.outputs[0].type
        part.variables.extend(variables)
        self._connect(number, sources)
        self._producers.update(dict.fromkeys(node.outputs, number))

    def _place(self, node: Node, sources: Iterable[int]) -> int:
        scope = self._scope(node.scope)
        if scope is None:
            return self._new(node.op, "operator", sources)
        number = self._latest.get(scope)
        if number is None or any(s != number and self._parts[s].above >> number & 1 for s in sources):
            self._latest[scope] = number = self._new(scope, "layer", sources)  # else it would depend on itself
        return number

    def _scope(self, scope: str) -> str | None:
        """The scope whose box a node of `scope` is in; None where it is a box of its own."""
        levels = _levels(scope)
        cut = ".".join(levels[: self._depth])
        is_opened = len(levels) < self._depth and cut in self._opened
        return None if is_opened or not cut else cut

    def _new(self, name: str, kind: str, sources: Iterable[int]) -> int:
        self._parts.append(_Part(name, kind, 1 << len(self._parts)))
        self._connect(len(self._parts) - 1, sources)
        return len(self._parts) - 1

    def _connect(self, number: int, sources: Iterable[int]) -> None:
        part = self._parts[number]
        others = [source for source in sources if source != number]
        part.sources.update(dict.fromkeys(others))
        added = 0
        for source in others:
            added |= self._parts[source].above
        if added & ~part.above:
            for other in self._parts:
                if other.above >> number & 1:
                    other.above |= added

    def finish(self) -> Diagram:
        """The boxes in an order in which each stands behind those that it depends on."""
        for output in self._graph.outputs:
            if output.value in self._producers:
                self._new(output.name, "output", [self._producers[output.value]])
        order = sorted(range(len(self._parts)), key=lambda number: (self._parts[number].above.bit_count(), number))
        places = {number: place for place, number in enumerate(order)}
        edges = [(places[s], places[number]) for number in order for s in sorted(self._parts[number].sources)]
        return Diagram(tuple(_box(self._parts[number]) for number in order), tuple(edges))


def _box(part: _Part) -> Box:
    count = 0
    for variable in part.variables:
        size = 1
        for dim in variable.value.type.shape:
            assert isinstance(dim, int)
            size *= dim
        count += size
    return Box(part.name, part.kind, part.type, count)


def _levels(scope: str) -> list[str]:
    """`gpt_block.3.attention` as `gpt_block.3` and `attention`: a number belongs to the name before it."""
    levels: list[str] = []
    for name in scope.split(".") if scope else ():
        if name.isdigit() and levels:
            levels[-1] += f".{name}"
        else:
            levels.append(name)
    return levels


def _opened(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes that have others within."""
    found: set[str] = set()
    for scope in scopes:
        levels = _levels(scope)
        found.update(".".join(levels[:i]) for i, _ in enumerate(pairwise(levels), start=1))
    return frozenset(found)
