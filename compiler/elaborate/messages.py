"""Conditions that the program states, and the messages they give: `"{h} heads must divide d = {d}"`."""

from __future__ import annotations

from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.parser import parse_template
from netlang.source import Span

from .context import Context
from .values import Environment, Poison, Value, describe


def check_condition(
    context: Context,
    stated: syntax.Where | syntax.Assert,
    environment: Environment,
    place: Span,
    owner: str,
) -> None:
    """Checks a `where` or `assert`; the fault is shown at `place`. What depends on open sizes is passed over."""
    from .expressions import condition

    try:
        holds = condition(context, stated.condition, environment)
    except DiagnosticError as error:
        if error.diagnostics[0].code == "undecidable":
            return
        raise
    if isinstance(holds, Poison) or holds:
        return
    written = stated.condition.span.text
    title = interpolate(context, stated.message, environment) if stated.message else f"`{owner}` needs {written}"
    secondary = [Label(stated.condition.span, "required here")] if place != stated.condition.span else []
    raise fail("assertion-failed", title, place, secondary=secondary, notes=_values(stated.condition, environment))


def interpolate(context: Context, message: syntax.String, environment: Environment) -> str:
    """The message with every `{expression}` replaced by its value."""
    from .expressions import evaluate

    parts: list[str] = []
    for part in parse_template(message):
        shown = part if isinstance(part, str) else evaluate(context, part, environment)
        parts.append(str(shown.type) if isinstance(shown, Value) else str(shown))
    return "".join(parts)


def _values(expr: syntax.Node, environment: Environment) -> list[str]:
    """What the names in a condition stand for."""
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
    shown = [f"`{name}` is {describe(value).removeprefix('the number ')}" for name, value in found.items()]
    return [", ".join(shown)] if shown else []
