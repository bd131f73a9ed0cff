"""`repeat`: statements that are executed several times while compiling, each time with layers of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from netlang import syntax
from netlang.diagnostics import fail
from netlang.dims import Dim

from ..ir import Value
from .context import Context, Reported
from .expressions import evaluate
from .naming import Repeated
from .values import Environment, Lazy, Poison, describe

MAX_REPEAT = 10_000


def repeat(context: Context, statement: syntax.Repeat, environment: Environment, run: Callable[[], None]) -> None:
    """Executes the rounds of a `repeat`; `run` executes its body in `environment`."""
    count = _repetitions(context, statement.count, environment)
    rounds = _Rounds(context, statement, environment)
    frame = context.frame
    outer, frame.namer = frame.namer, Repeated(frame.namer)
    try:
        for number in range(count):
            frame.namer.start(number)
            rounds.begin(number)
            run()
            if frame.has_returned:
                break
            if context.sketch and rounds.is_settled():
                rounds.skip(count - number - 1)
                break
    finally:
        frame.namer = outer


class _Rounds:
    """What each round of a `repeat` begins with, and whether it changed anything.

    The index is computed where it is read, so that a round that did not read it is known from one that did.
    """

    def __init__(self, context: Context, statement: syntax.Repeat, environment: Environment) -> None:
        self._context = context
        self._span = statement.span
        self._names = environment.names
        self._index = None if statement.index is None else statement.index.name
        self._lets = {name for inner in statement.body.statements for name in _let_names(inner)}
        self._before: dict[str, Any] = {}
        self._steps = 0

    def begin(self, number: int) -> None:
        self._before, self._steps = dict(self._names), self._context.steps
        self._context.step(self._span)
        for name in self._lets:  # each round makes its own, and sees again what the name meant before
            self._names.pop(name, None)
        if self._index is not None:
            self._names[self._index] = Lazy(partial(int, number))

    def is_settled(self) -> bool:
        """Whether all further rounds would find what this one found, and so have the same faults."""
        if self._index is not None and not isinstance(self._names[self._index], Lazy):
            return False
        own = self._lets | {self._index}
        return all(
            name in self._before and _is_alike(self._context, self._before[name], value)
            for name, value in self._names.items()
            if name not in own
        )

    def skip(self, count: int) -> None:
        """Counts rounds like this one, which are not executed."""
        self._context.step(self._span, count * (self._context.steps - self._steps))


def _is_alike(context: Context, one: Any, other: Any) -> bool:
    """Whether what can be said of two values while compiling is the same."""
    if isinstance(one, Value) and isinstance(other, Value):
        return one is other or (one.type == other.type and not context.is_constant(other))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(_is_alike(context, a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


def _let_names(statement: syntax.Statement) -> list[str]:
    is_let = isinstance(statement, syntax.Assign) and statement.keyword == "let"
    return [name.name for name in syntax.bound_names(statement)] if is_let else []


def _repetitions(context: Context, expr: syntax.Expr, environment: Environment) -> int:
    """How often a `repeat` runs. Raises not-compile-time, type-mismatch, bad-value, and Reported."""
    count = evaluate(context, expr, environment)
    if isinstance(count, Poison):
        raise Reported
    if isinstance(count, float) and count.is_integer():
        count = int(count)
    if isinstance(count, bool) or not isinstance(count, int):
        code = "not-compile-time" if isinstance(count, Dim | Value) else "type-mismatch"
        help = None if code == "type-mismatch" else "`loop i from 1 to n carry x = … { … }` repeats at run time"
        raise fail(code, "`repeat` needs a whole number known while compiling", expr.span, describe(count), help=help)
    if not 0 <= count <= MAX_REPEAT:
        raise fail("bad-value", f"`repeat` cannot run {count} times", expr.span,
                   expected=f"0 to {MAX_REPEAT}", found=count)  # fmt: skip
    return count
