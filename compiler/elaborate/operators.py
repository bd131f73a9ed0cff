"""Applies operators of the table, and turns their complaints into diagnostics that show both operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.source import Span
from netlang.types import Mismatch

from ..ir import Value
from ..ops import OPS
from .context import Context
from .values import describe


def apply_op(
    context: Context,
    name: str,
    operands: Sequence[Any],
    attrs: dict[str, Any],
    span: Span,
    spans: Sequence[Span],
    symbol: str | None = None,
) -> Any:
    """The result of an operator. `spans` are where the operands stand; `symbol` is the operator as written."""
    shown = f"`{symbol}`" if symbol else f"`{name}`"
    _refuse_fractions(operands, spans, shown)
    try:
        with context.builder.at(span):
            return context.builder.apply(name, operands, attrs)
    except Mismatch as mismatch:
        raise _explain(context, mismatch, name, operands, span, spans, shown) from None
    except DiagnosticError as error:
        if all(d.primary is not None for d in error.diagnostics):
            raise
        raise fail(error.diagnostics[0].code, error.diagnostics[0].title, span, help=error.diagnostics[0].help) from None


def _refuse_fractions(operands: Sequence[Any], spans: Sequence[Span], shown: str) -> None:
    tensor = next((x for x in operands if isinstance(x, Value)), None)
    if tensor is None or not tensor.type.dtype.startswith(("i", "u")):
        return
    for operand, span in zip(operands, spans, strict=False):
        if isinstance(operand, float) and not operand.is_integer():
            raise fail(
                "type-mismatch",
                f"{shown} of whole numbers ({tensor.type.dtype}) and the fraction {operand}",
                span,
                help="`f32(x)` makes floats of whole numbers",
            )


def _explain(
    context: Context,
    mismatch: Mismatch,
    name: str,
    operands: Sequence[Any],
    span: Span,
    spans: Sequence[Span],
    shown: str,
) -> DiagnosticError:
    argument = mismatch.__notes__[0] if getattr(mismatch, "__notes__", None) else None
    names = [tensor.name for tensor in OPS[name].signature.tensors]
    names += names[-1:] * (len(operands) - len(names))
    guilty = names.index(argument) if argument in names else len(operands) - 1
    if OPS[name].variadic and argument == names[-1]:
        guilty = len(operands) - 1
    place = spans[guilty] if guilty < len(spans) else span
    others = [
        Label(other, describe(operand))
        for index, (other, operand) in enumerate(zip(spans, operands, strict=False))
        if index != guilty and isinstance(operand, Value)
    ]
    made = [
        Label(origin, "made here")
        for operand in operands
        if isinstance(operand, Value) and (origin := context.origin(operand)) is not None and origin not in spans
    ]
    return fail(
        {"dtype": "type-mismatch", "rank": "rank-mismatch", "size": "shape-mismatch"}[mismatch.kind],
        _title(mismatch, shown, len(operands), name),
        place,
        describe(operands[guilty]),
        secondary=(*others, *made),
        expected=_wanted(mismatch),
        found=mismatch.found,
        help=_help(mismatch, name, operands),
    )


def _title(mismatch: Mismatch, shown: str, count: int, name: str) -> str:
    if mismatch.kind == "dtype":
        return f"{shown} cannot take elements of this type" if mismatch.name is None else (
            f"the operands of {shown} have different element types"
        )
    if mismatch.kind == "rank":
        return f"{shown} cannot take a tensor with this number of dimensions"
    if name == "matmul" and mismatch.name == "k":
        return f"{shown} needs as many rows on the right as there are columns on the left"
    sides = "the two sides of" if count == 2 else "the arguments of"
    if mismatch.axis is not None:
        where = {-1: "in their last dimension", -2: "in their next to last dimension"}.get(
            mismatch.axis, f"in dimension {mismatch.axis}"
        )
        return f"{sides} {shown} differ {where}"
    return f"{sides} {shown} differ"


def _wanted(mismatch: Mismatch) -> str:
    if mismatch.name and mismatch.kind == "size" and not mismatch.name.startswith("*"):
        return f"{mismatch.expected} (`{mismatch.name}`)"
    return mismatch.expected


def _help(mismatch: Mismatch, name: str, operands: Sequence[Any]) -> str | None:
    if mismatch.kind == "dtype":
        return f"`{mismatch.expected.split(' or ')[0] if 'f32' not in mismatch.expected else 'f32'}(x)` converts"
    types = [operand.type for operand in operands if isinstance(operand, Value)]
    if name == "matmul" and len(types) == 2 and types[1].rank == 2 and types[0].rank >= 1:
        if types[1].shape[1] == types[0].shape[-1]:
            return "`.T` swaps the last two axes: did you mean `x @ w.T`?"
    return None
