"""The intermediate representation: a typed graph in topological order.

Everything is immutable. A pass reads one graph and builds another through `Builder`; nothing stores who uses a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netlang.records import record
from netlang.source import BUILTIN, Span
from netlang.types import TensorType

from .demands import Demand


@record
class Value:
    """One tensor of a graph. Identity is what makes two values the same; the name is for people."""

    type: TensorType
    name: str = ""

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}"


@record
class Node:
    """The application of an operator. `attrs` are sorted by name and hashable."""

    op: str
    inputs: tuple[Value, ...]
    attrs: tuple[tuple[str, Any], ...]
    outputs: tuple[Value, ...]
    loc: Span = BUILTIN
    scope: str = ""

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self.attrs)

    @property
    def bodies(self) -> tuple[Graph, ...]:
        """The graphs among the attributes."""
        return tuple(value for _, value in self.attrs if isinstance(value, Graph))


class Constant:
    """A NumPy array that compares and hashes by content, so that equal constants are shared. Do not write to it."""

    __slots__ = ("_key", "array")

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self._key = (array.dtype.str, array.shape, array.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        if self.array.size <= 4:
            return str(self.array.tolist())
        return f"{self.array.dtype}{list(self.array.shape)}"


@dataclass(frozen=True, slots=True)
class Init:
    """How a parameter or state begins: an initialiser of `compiler.initializers` with its arguments."""

    name: str
    arguments: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{key} = {value:g}' for key, value in self.arguments)})"


@record
class Input:
    """A graph input that is not a parameter. `role`: "data", "step", "steps" (planned), "seed", or "first" (row).

    size: the symbol of the size that this number is, where an entry takes a number of things. loc: its declaration.
    """

    value: Value
    role: str = "data"
    doc: str = ""
    size: str = ""
    loc: Span = field(default=BUILTIN, repr=False)

    @property
    def name(self) -> str:
        return self.value.name


@record
class Variable:
    """A tensor that outlives a run. `kind`: "param" (trained), "state" (set by `next`), "optimizer" (its
    state) or "average" (the mean of a parameter over the steps)."""

    value: Value
    kind: str
    init: Init
    trainable: bool = True
    decay: bool = True
    loc: Span = BUILTIN

    @property
    def name(self) -> str:
        return self.value.name


@record
class Output:
    """A graph output. `role`: "result", "loss", "report", "gradient", or "next" (of the variable `name`)."""

    name: str
    value: Value
    role: str = "result"


@record
class Graph:
    """A computation: inputs and variables in, outputs out.

    Symbols in types (`batch`) are the dimensions left open; each is the size of some axis of an input, or of a result
    of a node that determines it. A graph may be an attribute of a node (the body of a `scan`): the symbols of the graph
    around it are then known in it, and it has no variables. `differentiated`: some nodes are gradients of others.
    `demands`: what must hold of the open sizes when they are known.
    """

    name: str
    inputs: tuple[Input, ...]
    variables: tuple[Variable, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    differentiated: bool = False
    demands: tuple[Demand, ...] = ()

    @property
    def params(self) -> tuple[Variable, ...]:
        return tuple(v for v in self.variables if v.kind == "param")

    @property
    def states(self) -> tuple[Variable, ...]:
        return tuple(v for v in self.variables if v.kind == "state")

    def sources(self) -> Iterator[Value]:
        """The values that no node computes."""
        for item in (*self.inputs, *self.variables):
            yield item.value

    def output(self, name: str) -> Value:
        """The value of the output called `name`. Raises KeyError."""
        for output in self.outputs:
            if output.name == name:
                return output.value
        raise KeyError(name)
