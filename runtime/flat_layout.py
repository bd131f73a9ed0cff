"""Parameters, optimizer states and gradients side by side in flat vectors, with a view for each by its name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from netlang.types import TensorType

from ..compiler.elaborate.graphs import FLAT
from ..compiler.elaborate.training import optimizer_path
from ..compiler.initializers import initialize
from ..compiler.ir import Graph, Value, Variable
from .memory import LINE, aligned

ALIGNMENT = LINE // 4
"""Views begin at multiples of this many elements: at a cache line."""


@dataclass(eq=False)
class Group:
    """Parameters with one optimizer step: those whose weights decay, or those whose do not.

    `states` has one vector for each state of the optimizer, by its name after the parameter's; `gradients` one for
    each part of a batch.
    """

    decay: bool
    members: dict[str, slice]
    shapes: dict[str, tuple[int, ...]]
    parameters: np.ndarray
    states: dict[str, np.ndarray]
    gradients: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def of(cls, variables: Iterable[Variable], decay: bool, states: Iterable[str]) -> Group:
        """A group of the variables with this `decay`, filled with zeros."""
        members: dict[str, slice] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        length = 0
        for variable in variables:
            if variable.decay == decay:
                shape = tuple(size for size in variable.value.type.shape if isinstance(size, int))
                count = int(np.prod(shape, dtype=np.int64))
                members[variable.name] = slice(length, length + count)
                shapes[variable.name] = shape
                length += -(-count // ALIGNMENT) * ALIGNMENT
        return cls(decay, members, shapes, _zeros(length), {name: _zeros(length) for name in states})

    @property
    def length(self) -> int:
        return len(self.parameters)

    def parts(self, count: int) -> list[np.ndarray]:
        """The gradient vectors of `count` parts."""
        while len(self.gradients) < count:
            self.gradients.append(_zeros(self.length))
        return self.gradients[:count]

    def pieces(self, size: int, without: Collection[str] = ()) -> Iterator[slice]:
        """Parts of the vectors with at most `size` elements, which together have all members but those `without`."""
        begin = 0
        ends = [slice(self.length, self.length)]
        for left_out in [*(place for name, place in self.members.items() if name in without), *ends]:
            yield from spans(begin, left_out.start, size)
            begin = -(-left_out.stop // ALIGNMENT) * ALIGNMENT

    def tables(self, least: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the members with rows and more than `least` elements, by name."""
        large = (name for name, place in self.members.items() if place.stop - place.start > least)
        return {name: self.shapes[name] for name in large if len(self.shapes[name]) > 1}

    def view(self, vector: np.ndarray, name: str) -> np.ndarray:
        """The member `name` of a vector of this group; writing to it writes to the vector."""
        return vector[self.members[name]].reshape(self.shapes[name])

    def variables(self) -> dict[str, np.ndarray]:
        """Views of the parameters and of their optimizer states, by the names of the variables."""
        found: dict[str, np.ndarray] = {}
        for name in self.members:
            found[name] = self.view(self.parameters, name)
            for state, vector in self.states.items():
                found[state_of(name, state)] = self.view(vector, name)
        return found


def spans(start: int, stop: int, size: int) -> Iterator[slice]:
    """What lies from `start` to before `stop`, in parts of at most `size`."""
    for begin in range(start, stop, size):
        yield slice(begin, min(begin + size, stop))


def state_of(parameter: str, state: str) -> str:
    """The variable's name of an optimizer state of a parameter."""
    return optimizer_path(parameter) + state


def state_suffix(name: str) -> str:
    """What follows the parameter's name in the name of a state of the flat optimizer step."""
    return name.removeprefix(optimizer_path(FLAT))


def initial_state(variable: Variable, length: int) -> np.ndarray:
    """The initial values of a state of the flat optimizer step."""
    value = Value(TensorType("f32", (length,)), variable.name)
    return initialize(replace(variable, value=value), 0)


def flat_states(apply: Graph) -> dict[str, str]:
    """The states and means of a flat step: what follows the parameter's name, and the variable's name in the graph."""
    return {state_suffix(v.name): v.name for v in apply.variables if v.kind != "param"}


def copies(views: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays that later steps do not change."""
    return {name: view.copy() for name, view in views.items()}


def _zeros(length: int) -> np.ndarray:
    return aligned((length,), np.dtype(np.float32))
