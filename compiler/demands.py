"""What a program states of sizes that are open until run time, kept with its graph until the sizes are known."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace

from netlang.diagnostics import Diagnostic, DiagnosticError
from netlang.dims import Dim, Size, substitute

_COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sizes or numbers, compared: `t <= 512`."""

    left: Size | float
    operator: str
    right: Size | float

    def holds(self, sizes: Mapping[str, int]) -> bool | None:
        """Whether it holds for these sizes; None where they do not say."""
        left, right = _known(self.left, sizes), _known(self.right, sizes)
        if isinstance(left, Dim) or isinstance(right, Dim):
            return None
        return _COMPARE[self.operator](left, right)

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True, slots=True)
class Combination:
    """Conditions joined by `and` or `or`, or one behind `not`."""

    word: str
    parts: tuple[Condition, ...]

    def holds(self, sizes: Mapping[str, int]) -> bool | None:
        """Whether it holds for these sizes; None where they do not say."""
        found = [part.holds(sizes) for part in self.parts]
        if self.word == "not":
            return None if found[0] is None else not found[0]
        decisive = self.word == "or"
        if decisive in found:
            return decisive
        return None if None in found else not decisive

    def __str__(self) -> str:
        parts = [str(part) if isinstance(part, Comparison) else f"({part})" for part in self.parts]
        return f"not ({self.parts[0]})" if self.word == "not" else f" {self.word} ".join(parts)


Condition = Comparison | Combination


@dataclass(frozen=True, slots=True)
class Demand:
    """A condition on open sizes, and the fault where it does not hold.

    title: the text of the fault and, in between, sizes whose values it tells; values: further ones, by name.
    """

    condition: Condition
    title: tuple[str | Size, ...]
    values: tuple[tuple[str, Size], ...]
    fault: Diagnostic

    def check(self, sizes: Mapping[str, int]) -> None:
        """Raises the fault where the condition does not hold for these sizes, by the names of their symbols."""
        if self.condition.holds(sizes) is not False:
            return
        title = "".join(str(substitute(part, sizes) if isinstance(part, Dim) else part) for part in self.title)
        told = ", ".join(f"`{name}` is {substitute(size, sizes)}" for name, size in self.values)
        raise DiagnosticError(replace(self.fault, title=title, notes=(*self.fault.notes, *([told] if told else ()))))


def _known(size: Size | float, sizes: Mapping[str, int]) -> Size | float:
    return substitute(size, sizes) if isinstance(size, int | Dim) else size
