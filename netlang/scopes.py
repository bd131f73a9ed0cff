"""What the names of a file are bound to, scope by scope."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netlang.source import Span


@dataclass(slots=True)
class Binding:
    """A name in a scope.

    kind: import, name, let, const, param, state, input, index, element, constant, definition, entry, parameter,
    dimension or carry.
    """

    kind: str
    span: Span
    used: bool = False


class Scope:
    """The names of a file, of one definition, or of one block with a value."""

    def __init__(self, outer: Scope | None = None) -> None:
        self.outer = outer
        self.bindings: dict[str, Binding] = {}
        self.visible: set[str] = set()  # of the bindings: those made on the way here
        self.later: dict[str, Span] = {}  # what the statements of the definition bind

    def own(self, name: str) -> Binding | None:
        """The binding made in this very scope."""
        return self.bindings[name] if name in self.visible else None

    def find(self, name: str) -> Binding | None:
        """The innermost binding that is visible here."""
        return next((scope.bindings[name] for scope in self._outwards() if name in scope.visible), None)

    def bound_later(self, name: str) -> Span | None:
        """The first place, here or further out, that binds the name at all."""
        return next((scope.later[name] for scope in self._outwards() if name in scope.later), None)

    def bind(self, name: str, kind: str, span: Span) -> None:
        """Makes `name` visible; a name that is assigned again stays one binding."""
        if name not in self.visible or kind in ("param", "state"):
            used = self.bindings[name].used if name in self.bindings else False
            self.bindings[name] = Binding(kind, span, used)
        self.visible.add(name)

    def names(self) -> Iterator[str]:
        """All that is visible here."""
        for scope in self._outwards():
            yield from scope.visible

    def _outwards(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer
