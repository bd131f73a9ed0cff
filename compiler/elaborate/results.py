"""Compares what a body returns with the result that its definition declares."""

from __future__ import annotations

from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, counted, fail
from netlang.source import Span
from netlang.types import DTYPES, Mismatch, TensorType, TypePattern, unify_all

from ..ir import Value
from .context import Context, Frame
from .numbers import fitting
from .patterns import pattern_of
from .provenance import mismatch_notes, where_whole
from .values import Environment, Poison, describe, is_number, not_applied


def check_result(context: Context, definition: syntax.Definition, frame: Frame, environment: Environment) -> None:
    """Compares what a body returned with the declared result type. Raises wrong-result."""
    declared = definition.result
    if declared is None or isinstance(frame.returned, Poison):
        return
    items = declared.items if isinstance(declared, syntax.TupleType) else (declared,)
    values = frame.returned if isinstance(frame.returned, tuple) else (frame.returned,)
    name = definition.name.name
    if len(items) != len(values):
        raise fail(
            "wrong-result",
            f"`{name}` declares {counted(len(items), 'result')} and returns {len(values)}",
            frame.return_value.span if frame.return_value else declared.span,
            ", ".join(describe(value) for value in values),
            secondary=[Label(declared.span, "declared here")],
        )
    places = [place or item.span for place, item in zip(_places(frame, len(values)), items, strict=True)]
    patterns = [_pattern(item, environment) for item in items]
    values = tuple(_lifted(context, *each, name) for each in zip(values, patterns, places, strict=True))
    frame.returned = values if isinstance(declared, syntax.TupleType) else values[0]
    try:
        unify_all(patterns, [value.type for value in values], [str(index) for index in range(len(values))])
    except Mismatch as mismatch:
        index = int(mismatch.__notes__[0])
        raise _explain(
            context, mismatch, name, patterns[index], values[index], places[index], items[index].span
        ) from None


def _pattern(item: syntax.TypeExpr, environment: Environment) -> TypePattern:
    assert isinstance(item, syntax.TypeName)
    return pattern_of(item, environment)


def _explain(
    context: Context, mismatch: Mismatch, name: str, pattern: TypePattern, value: Value, place: Span, declared: Span
) -> DiagnosticError:
    return fail(
        "wrong-result",
        f"`{name}` returns {_RESULT_WORDS[mismatch.kind]} than it declares",
        place,
        str(value.type),
        secondary=[Label(declared, "declared here")],
        expected=pattern,
        found=value.type,
        notes=mismatch_notes(context, mismatch, None, value),
        help=_result_help(mismatch, pattern, value.type) or where_whole(mismatch, pattern.dims, value.type.shape),
    )


def _result_help(mismatch: Mismatch, declared: TypePattern, found: TensorType) -> str | None:
    if mismatch.kind == "rank" and len(declared.dims) == 2 and found.rank > 2:
        return "`flatten` makes one dimension of all but the first"
    return f"`{declared.dtype}(x)` converts" if mismatch.kind == "dtype" and declared.dtype in DTYPES else None


_RESULT_WORDS = {"dtype": "another type of elements", "rank": "another number of dimensions", "size": "another shape"}


def _places(frame: Frame, count: int) -> list[Span | None]:
    """Where each of the results is written after `return`."""
    value = frame.return_value
    if isinstance(value, syntax.Tuple) and len(value.items) == count:
        return [item.span for item in value.items]
    return [value.span if value is not None else None] * count


def _lifted(context: Context, value: Any, pattern: TypePattern, place: Span, name: str) -> Value:
    """A number as a tensor. Raises wrong-result for what is neither."""
    if isinstance(value, Value):
        return value
    if not is_number(value):
        raise fail("wrong-result", f"`{name}` must return a tensor", place, describe(value),
                   expected=pattern, found=describe(value), help=not_applied(value))  # fmt: skip
    return fitting(context, value, pattern.dtype, place)
