"""`if` on values that are known only at run time: both branches are elaborated, and one of them runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, fail
from netlang.source import Span
from netlang.types import TensorType

from .. import control
from ..ir import Value
from .context import Context, Reported
from .numbers import adapted, natural
from .regions import RETURNED, Bindings, Place, Region, filled, is_nothing
from .values import Environment, Poison, describe, is_number


def decided(context: Context, expr: syntax.Expr, environment: Environment) -> bool | Value | Poison:
    """A condition: decided while compiling, or a bool that is known at run time."""
    from .expressions import evaluate

    value = evaluate(context, expr, environment)
    if isinstance(value, bool | Poison):
        return value
    if not isinstance(value, Value):
        raise fail("type-mismatch", "this is not a condition", expr.span, describe(value), expected="bool",
                   help=f"compare it with something: `{expr.span.text} > 0`" if is_number(value) else None)  # fmt: skip
    if value.type == TensorType("bool"):
        return value
    if value.type.dtype != "bool":
        raise fail("type-mismatch", f"a condition is a truth value, and this is {value.type}", expr.span,
                   expected="bool", found=value.type, help="compare it with something: `x > 0`")  # fmt: skip
    raise fail("rank-mismatch", "an `if` asks for one truth value, and this is a tensor of them", expr.span,
               str(value.type), expected="bool", found=value.type,
               help="`select(condition, a, b)` chooses between tensors, element by element")  # fmt: skip


def chosen_value(
    context: Context, expr: syntax.Conditional, condition: Value, environment: Environment, binding: str | None
) -> Any:
    """The value of an `if` that is an expression."""
    from .expressions import evaluate_block

    choice = _Choice(context, condition, expr.span)
    values = [
        choice.elaborate(number, partial(evaluate_block, context, block, environment, binding))
        for number, block in enumerate((expr.then, expr.otherwise))
    ]
    if any(isinstance(value, Poison) for value in values):
        raise Reported
    merged = choice.merged(values[0], values[1], "the branches", expr.otherwise.span)
    return filled(merged, choice.results())


def chosen_statements(context: Context, statement: syntax.If, condition: Value, environment: Environment) -> None:
    """An `if` that is a statement: what either branch binds is bound afterwards, where both say what it is."""
    from .statements import execute_all

    choice = _Choice(context, condition, statement.span)
    bindings = Bindings(context, environment)
    changes: list[dict[tuple[int, str], Any]] = []
    for number, block in enumerate((statement.then, statement.otherwise)):
        errors = len(context.diagnostics)
        statements = block.statements if block is not None else ()
        choice.elaborate(number, partial(execute_all, context, statements, environment))
        changes.append(bindings.changes())
        bindings.restore()
        if len(context.diagnostics) > errors:
            raise Reported
    _check_returns(statement, changes)
    merged: dict[tuple[int, str], Any] = {}
    for key in dict.fromkeys((*changes[0], *changes[1])):
        then, otherwise = (changed.get(key, bindings.before(key)) for changed in changes)
        if is_nothing(then) or is_nothing(otherwise):
            _check_next(statement, key)
            continue  # a name of one branch only
        what = "what is returned" if key == RETURNED else f"`{key[1]}`"
        merged[key] = choice.merged(then, otherwise, what, statement.span)
    results = choice.results()
    for key, value in merged.items():
        bindings.set(key, filled(value, results))


def _check_returns(statement: syntax.If, changes: list[dict[tuple[int, str], Any]]) -> None:
    if (RETURNED in changes[0]) != (RETURNED in changes[1]):
        raise fail(
            "misplaced-statement",
            "only one branch of this `if` returns, and which one runs is known at run time",
            statement.condition.span,
            help="return in both branches, or set a name in both and return it behind",
        )


def _check_next(statement: syntax.If, key: tuple[int, str]) -> None:
    if key[0] == 1:
        raise fail("unset-carry", f"only one branch of this `if` sets the next `{key[1]}`", statement.condition.span,
                   help=f"set it in both: `next {key[1]} = {key[1]}` leaves it as it is")  # fmt: skip


class _Choice:
    """Both branches, and what is chosen between."""

    def __init__(self, context: Context, condition: Value, span: Span) -> None:
        self._context = context
        self._condition = condition
        self._span = span
        self._regions = [Region("if", context.builder.inner(name)) for name in ("then", "otherwise")]
        self._pairs: list[tuple[Value, Value]] = []

    def elaborate(self, branch: int, what: Callable[[], Any]) -> Any:
        """What `what` gives when it is elaborated in a branch: 0 where the condition holds, else 1."""
        with self._context.within(self._regions[branch]):
            return what()

    def merged(self, then: Any, otherwise: Any, what: str, span: Span) -> Any:
        """The value that is `then` or `otherwise`, with places for what is chosen at run time."""
        if isinstance(then, Poison) or isinstance(otherwise, Poison):
            raise Reported
        if isinstance(then, tuple) and isinstance(otherwise, tuple) and len(then) == len(otherwise):
            return tuple(self.merged(a, b, what, span) for a, b in zip(then, otherwise, strict=True))
        if then is otherwise or (_is_plain(then) and type(then) is type(otherwise) and then == otherwise):
            return then
        pair = self._tensors(then, otherwise, what, span)
        if pair[0].type != pair[1].type:
            raise _disagreement(pair[0], pair[1], what, span)
        if pair not in self._pairs:
            self._pairs.append(pair)
        return Place(self._pairs.index(pair))

    def results(self) -> list[Value]:
        """Adds the node; what it gives for each place."""
        then, otherwise = (region.builder for region in self._regions)
        for i, (a, b) in enumerate(self._pairs):
            then.output(f"output_{i}", a)
            otherwise.output(f"output_{i}", b)
        if not self._pairs:
            return []
        with self._context.builder.at(self._span):
            return control.branch(self._context.builder, self._condition, then, otherwise)

    def _tensors(self, then: Any, otherwise: Any, what: str, span: Span) -> tuple[Value, Value]:
        """Both as tensors; a number becomes what the other one is."""
        if is_number(then) and is_number(otherwise):
            fraction = isinstance(then, float) or isinstance(otherwise, float)
            like: Any = TensorType("f32" if fraction else "i64")
        else:
            like = next((x.type for x in (then, otherwise) if isinstance(x, Value)), None)
        pair: list[Value] = []
        for branch, value in enumerate((then, otherwise)):
            tensor = self.elaborate(branch, partial(_as_tensor, self._context, value, like, span))
            if tensor is None:
                raise _disagreement(then, otherwise, what, span)
            pair.append(tensor)
        return pair[0], pair[1]


def _as_tensor(context: Context, value: Any, like: TensorType | None, span: Span) -> Value | None:
    if isinstance(value, bool):
        return natural(context, value, span)
    if is_number(value) and like is not None and like.dtype != "bool":
        return adapted(context, value, like, span)
    return value if isinstance(value, Value) else None


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _disagreement(then: Any, otherwise: Any, what: str, span: Span) -> DiagnosticError:
    return fail(
        "branch-mismatch",
        f"{what} of this `if` must be of one type, since which one runs is known at run time"
        if what == "the branches"
        else f"{what} must be of one type in both branches, since which one runs is known at run time",
        span,
        describe(otherwise),
        expected=describe(then),
        found=describe(otherwise),
        help="numbers become tensors of the other branch's type; tensors must agree",
    )
