"""Conditions that the program states, and the messages they give: `"{h} heads must divide d = {d}"`."""

from __future__ import annotations

from typing import Any

from netlang import syntax
from netlang.diagnostics import Diagnostic, DiagnosticError, Label, fail
from netlang.dims import Dim, Size
from netlang.parser import parse_template
from netlang.source import Span

from ..demands import Combination, Comparison, Condition, Demand
from .context import Context
from .values import Environment, Poison, Value, describe, is_number, is_size


def check_condition(
    context: Context,
    stated: syntax.Where | syntax.Assert,
    environment: Environment,
    place: Span,
    owner: str,
) -> None:
    """Checks a `where` or `assert`; the fault is shown at `place`. What depends on open sizes is left to the run."""
    from .expressions import condition

    try:
        holds = condition(context, stated.condition, environment)
    except DiagnosticError as error:
        if error.diagnostics[0].code != "undecidable":
            raise
        _demand(context, stated, environment, place, owner)
        return
    if isinstance(holds, Poison) or holds:
        return
    parts = _title(context, stated, environment, owner)
    raise fail("assertion-failed", "".join(map(str, parts)), place, secondary=_required(stated, place),
               notes=_values(stated.condition, environment))  # fmt: skip


def _demand(
    context: Context, stated: syntax.Where | syntax.Assert, environment: Environment, place: Span, owner: str
) -> None:
    """Leaves a condition on open sizes to the run."""
    condition = _condition(context, stated.condition, environment)
    if condition is None:
        return
    title = _title(context, stated, environment, owner)
    values = [(name, value) for name, value in _named(stated.condition, environment).items() if is_size(value)]
    fault = Diagnostic("assertion-failed", "", Label(place), tuple(_required(stated, place)))
    context.demand(Demand(condition, tuple(title), tuple(values), fault))


def _condition(context: Context, expr: syntax.Node, environment: Environment) -> Condition | None:
    """A condition on sizes and numbers as data; None where it asks for something else."""
    from .expressions import evaluate

    match expr:
        case syntax.Unary(operator="not", operand=operand):
            part = _condition(context, operand, environment)
            return None if part is None else Combination("not", (part,))
        case syntax.Binary(operator="and" | "or" as word, left=left, right=right):
            parts = [_condition(context, side, environment) for side in (left, right)]
            known = tuple(part for part in parts if part is not None)
            return Combination(word, known) if len(known) == len(parts) else None
        case syntax.Binary(operator=comparison, left=left, right=right):
            sides = [evaluate(context, side, environment) for side in (left, right)]
            return Comparison(sides[0], comparison, sides[1]) if all(map(is_number, sides)) else None
    return None


def _required(stated: syntax.Where | syntax.Assert, place: Span) -> list[Label]:
    return [Label(stated.condition.span, "required here")] if place != stated.condition.span else []


def _title(
    context: Context, stated: syntax.Where | syntax.Assert, environment: Environment, owner: str
) -> list[str | Size]:
    """The message, or what the condition says; open sizes in it are left as they are."""
    if stated.message:
        return interpolate(context, stated.message, environment)
    return [f"`{owner}` needs {stated.condition.span.text}"]


def interpolate(context: Context, message: syntax.String, environment: Environment) -> list[str | Size]:
    """The message with every `{expression}` replaced by its value, as text or as an open size."""
    from .expressions import evaluate

    parts: list[str | Size] = []
    for part in parse_template(message):
        shown = part if isinstance(part, str) else evaluate(context, part, environment)
        parts.append(shown if isinstance(shown, Dim) else str(shown.type if isinstance(shown, Value) else shown))
    return parts


def _values(expr: syntax.Node, environment: Environment) -> list[str]:
    """What the names in a condition stand for, for a note."""
    found = _named(expr, environment)
    shown = [f"`{name}` is {describe(value).removeprefix('the number ')}" for name, value in found.items()]
    return [", ".join(shown)] if shown else []


def _named(expr: syntax.Node, environment: Environment) -> dict[str, Any]:
    """The names in a condition, and what they stand for."""
    found: dict[str, Any] = {}

    def visit(node: syntax.Node) -> None:
        match node:
            case syntax.Name(name=name):
                try:
                    found[name] = environment.get(name)
                except KeyError:
                    return
            case syntax.Binary(left=left, right=right):
                visit(left)
                visit(right)
            case syntax.Unary(operand=operand):
                visit(operand)

    visit(expr)
    return found
