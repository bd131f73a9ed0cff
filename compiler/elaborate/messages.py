"""Conditions that the program states, and the messages they give: `"{h} heads must divide d = {d}"`."""

from __future__ import annotations

import re
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.parser import parse_expression
from netlang.source import Span

from .context import Context
from .values import Environment, Poison, Value, describe

_HOLE = re.compile(r"\{([^{}]*)\}")


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

    def value(match: re.Match[str]) -> str:
        offset = message.span.start + 1 + match.start(1)
        shown = evaluate(context, parse_expression(message.span.source, match.group(1), offset), environment)
        return str(shown.type) if isinstance(shown, Value) else str(shown)

    return _HOLE.sub(value, message.value)


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
    return [f"`{name}` is {describe(value).removeprefix('the number ')}" for name, value in found.items()]
