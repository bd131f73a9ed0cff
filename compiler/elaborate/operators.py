"""Applies operators of the table, and turns their complaints into diagnostics that show both operands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from typing import Any

from netlang.diagnostics import Diagnostic, DiagnosticError, Label, counted, fail
from netlang.source import Span
from netlang.types import DTYPES, INTEGERS, Mismatch, PackPattern, TypePattern

from ..ir import Value
from ..ops import OPS
from .context import Context
from .numbers import require_fit
from .provenance import MISMATCH_CODES, alike, mismatch_origin, where_whole
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
    _require_fit(operands, spans)
    with explained(context, name, operands, span, spans, shown), context.builder.at(span):
        result = context.builder.apply(name, operands, attrs)
    context.remember(result, span, operands)
    return result


@contextmanager
def explained(
    context: Context, name: str, operands: Sequence[Any], span: Span, spans: Sequence[Span], shown: str
) -> Iterator[None]:
    """Turns complaints of an operator about its operands into diagnostics at the places of the call."""
    try:
        yield
    except Mismatch as mismatch:
        raise _explain(context, mismatch, name, operands, span, spans, shown) from None
    except DiagnosticError as error:
        raise DiagnosticError(*(_placed(d, operands, span, spans) for d in error.diagnostics)) from None


def _placed(diagnostic: Diagnostic, operands: Sequence[Any], span: Span, spans: Sequence[Span]) -> Diagnostic:
    """A complaint of the operator itself, shown at its call; the labels are the types of its operands."""
    if diagnostic.primary is not None:
        return diagnostic
    given = ((place, x) for place, x in zip(spans, operands, strict=False) if isinstance(x, Value) and place != span)
    labels = [Label(place, describe(x)) for place, x in given]
    return replace(diagnostic, primary=Label(span), secondary=(*diagnostic.secondary, *labels))


def _require_fit(operands: Sequence[Any], spans: Sequence[Span]) -> None:
    """Numbers among the operands become tensors of the dtype of the first tensor, which must hold them."""
    dtypes = (x.type.dtype for x in operands if isinstance(x, Value) and x.type.dtype != "bool")
    dtype = next(dtypes, "f32")
    for operand, span in zip(operands, spans, strict=False):
        require_fit(operand, dtype, span)


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
        (other, operand)
        for index, (other, operand) in enumerate(zip(spans, operands, strict=False))
        if index != guilty and isinstance(operand, Value)
    ]
    origins = (mismatch_origin(context, mismatch, x, mismatch.expected) for _, x in others)
    wanted = next((origin for origin in origins if origin is not None), None)
    found = mismatch_origin(context, mismatch, operands[guilty], mismatch.found)
    return fail(
        MISMATCH_CODES[mismatch.kind],
        _title(mismatch, shown, operands, guilty, name),
        place,
        describe(operands[guilty]),
        secondary=[Label(other, describe(operand)) for other, operand in others],
        expected=_wanted(mismatch, name, guilty, operands),
        found=mismatch.found,
        notes=[origin.note(context) for origin in (wanted, found) if origin is not None],
        help=_help(mismatch, name, operands) or alike(wanted, found) or _paired(mismatch, operands, spans),
    )


def _wanted(mismatch: Mismatch, name: str, guilty: int, operands: Sequence[Any]) -> str:
    alone = mismatch.kind == "rank" and mismatch.name is None
    return str(_pattern(name, guilty, operands)) if alone else mismatch.expected


def _pattern(name: str, guilty: int, operands: Sequence[Any]) -> TypePattern:
    """What the operator takes there, in the element type of what it was given."""
    tensors = OPS[name].signature.tensors
    pattern = tensors[min(guilty, len(tensors) - 1)].pattern
    dtype = operands[guilty].type.dtype if isinstance(operands[guilty], Value) else pattern.dtype
    return TypePattern(dtype, pattern.dims)


def _title(mismatch: Mismatch, shown: str, operands: Sequence[Any], guilty: int, name: str) -> str:
    if mismatch.kind == "dtype":
        alone = f"{shown} needs {mismatch.expected}, not {mismatch.found}"
        return alone if mismatch.source is None else f"the operands of {shown} have different element types"
    if mismatch.kind == "rank" and not mismatch.name:
        dims = _pattern(name, guilty, operands).dims
        packs = sum(isinstance(dim, PackPattern) for dim in dims)
        wanted = f"{'at least ' if packs else ''}{counted(len(dims) - packs, 'dimension')}"
        rank = operands[guilty].type.rank if isinstance(operands[guilty], Value) else 0
        return f"{shown} needs {wanted}, not {rank}"
    if name == "matmul" and mismatch.name == "k":
        return f"{shown} needs as many rows on the right as there are columns on the left"
    sides = "the two sides of" if len(operands) == 2 else "the arguments of"
    if mismatch.kind == "rank":
        return f"{sides} {shown} differ in their number of dimensions"
    if mismatch.axis is not None:
        return f"{sides} {shown} differ {_AXES.get(mismatch.axis, f'in dimension {mismatch.axis}')}"
    return f"{sides} {shown} differ"


_AXES = {
    -1: "in their last dimension",
    -2: "in their next to last dimension",
    -3: "in the third dimension from the end",
}


def _paired(mismatch: Mismatch, operands: Sequence[Any], spans: Sequence[Span]) -> str | None:
    """A help text where the smaller of two sides has its sizes at other axes of the larger, in one way alone."""
    if mismatch.kind != "size" or len(operands) != 2 or len(spans) != 2:
        return None
    sides = [(x.type.shape, span.text) for x, span in zip(operands, spans, strict=True) if isinstance(x, Value)]
    if len(sides) != 2 or len(sides[0][0]) == len(sides[1][0]):
        return None
    (small, text), (large, _) = sorted(sides, key=lambda side: len(side[0]))
    ways = [axes for axes in combinations(range(len(large)), len(small)) if tuple(large[i] for i in axes) == small]
    if len(ways) != 1 or len(text) > _LONGEST:
        return None
    sizes = [str(large[axis]) if axis in ways[0] else "1" for axis in range(ways[0][0], len(large))]
    return f"sizes are paired from the last on: `reshape({text}, [{', '.join(sizes)}])` has them in their places"


_LONGEST = 40  # characters of an operand that a help text repeats


def _help(mismatch: Mismatch, name: str, operands: Sequence[Any]) -> str | None:
    if mismatch.kind == "dtype":
        both = [str(side) for side in (mismatch.expected, mismatch.found) if side in DTYPES and side not in INTEGERS]
        return f"`{both[0] if both and both[0] != 'bool' else 'f32'}(x)` converts"
    types = [operand.type for operand in operands if isinstance(operand, Value)]
    is_product = name == "matmul" and len(types) == 2 and types[1].rank == 2 and types[0].rank >= 1
    if is_product and types[1].shape[1] == types[0].shape[-1]:
        return "`.T` swaps the last two axes: did you mean `x @ w.T`?"
    return where_whole(mismatch, *(type_.shape for type_ in types))
