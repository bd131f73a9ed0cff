"""Along which axis of its sequences a `scan` runs."""

from __future__ import annotations

from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, fail
from netlang.dims import Size, decide_equal

from ..builder import Builder
from ..ir import Value
from .context import Context, Reported
from .patterns import split_parameters
from .values import Environment, Poison, describe, is_size


def find_axis(
    context: Context, sequence: syntax.Sequence, x: Value, along: syntax.Expr, environment: Environment
) -> int:
    """The axis of `x` that `along` names: a dimension, or the number of an axis. Raises `bad-axis`."""
    from .expressions import evaluate

    size = evaluate(context, along, environment)
    if isinstance(size, Poison):
        raise Reported
    if not isinstance(along, syntax.Name):
        return _numbered(sequence, x, along, size)
    if not is_size(size):
        raise fail("bad-axis", f"`{along.name}` is not a dimension", along.span, describe(size),
                   help="`along` takes a dimension of the sequences, such as `t` of `x: f32[b, t, d]`")  # fmt: skip
    declared = _declared(context, x, along.name)
    if declared is not None:
        return declared
    axes = [axis for axis, other in enumerate(x.type.shape) if decide_equal(other, size)]
    if len(axes) != 1:
        raise _no_single(sequence, x, along, axes)
    return axes[0]


def moved(b: Builder, x: Value, axis: int, to: int) -> Value:
    """`x` with one axis at another place."""
    order = [i for i in range(x.type.rank) if i != axis]
    order.insert(to, axis)
    return x if axis == to else b.transpose(x, perm=tuple(order))


def _numbered(sequence: syntax.Sequence, x: Value, along: syntax.Expr, axis: Any) -> int:
    if not isinstance(axis, int) or isinstance(axis, bool):
        raise fail("bad-axis", "`along` takes the name of a dimension, or the number of an axis", along.span,
                   describe(axis))  # fmt: skip
    if not -x.type.rank <= axis < x.type.rank:
        raise fail("bad-axis", f"`{sequence.value.span.text}` has no axis {axis}", along.span, str(x.type),
                   help="axes count from 0, or from -1 backwards")  # fmt: skip
    return axis % x.type.rank


def _declared(context: Context, x: Value, name: str) -> int | None:
    """The axis where the type of a parameter says `name`, if `x` is that parameter: sizes alone could be equal."""
    definition = context.frame.definitions[0] if context.frame.definitions else None
    if not isinstance(definition, syntax.Definition) or context.frame.environment is None:
        return None
    for parameter in split_parameters(definition)[1]:
        type_ = parameter.type
        if not isinstance(type_, syntax.TypeName) or context.frame.environment.get(parameter.name) is not x:
            continue
        dims = type_.dims or ()
        places = [i for i, dim in enumerate(dims) if isinstance(dim, syntax.Name) and dim.name == name]
        if len(places) == 1:
            packed = any(isinstance(dim, syntax.Pack) for dim in dims[: places[0]])
            return places[0] + (x.type.rank - len(dims) if packed else 0)
    return None


def _no_single(sequence: syntax.Sequence, x: Value, along: syntax.Name, axes: list[int]) -> DiagnosticError:
    shown = f"`{sequence.value.span.text}`"
    if not axes:
        return fail("bad-axis", f"{shown} has no dimension `{along.name}`", sequence.value.span, str(x.type),
                    help="`along` names a dimension that every sequence has")  # fmt: skip
    numbers = " and ".join(map(str, axes))
    return fail("bad-axis", f"{shown} has the size of `{along.name}` on several axes: {numbers}", sequence.value.span,
                str(x.type), help=f"say which one by its number: `along {axes[0]}`")  # fmt: skip


def common_length(expr: syntax.Scan, sequences: list[Value], axes: list[int]) -> Size:
    """How many elements the sequences have. Raises `shape-mismatch` where they differ."""
    lengths = [x.type.shape[axis] for x, axis in zip(sequences, axes, strict=True)]
    for item, x, length in zip(expr.sequences, sequences, lengths, strict=True):
        if length != lengths[0]:
            raise fail("shape-mismatch", "the sequences of a `scan` have different lengths", item.value.span,
                       str(x.type), expected=lengths[0], found=length)  # fmt: skip
    return lengths[0]
