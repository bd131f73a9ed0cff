"""Along which axis of its sequences a `scan` runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, fail
from netlang.dims import Size, decide_equal, symbol
from netlang.types import Mismatch, TensorType

from ..builder import Builder
from ..ir import Value
from ..ops import OPS
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
    axes = [axis for axis, other in enumerate(x.type.shape) if decide_equal(other, size)]
    traced = _traced(context, x, along.name) if len(axes) > 1 else axes
    if len(traced) != 1:
        raise _no_single(sequence, x, along, axes)
    return traced[0]


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


def _traced(context: Context, x: Value, name: str) -> list[int]:
    """The axes of `x` that come from the dimension `name` of parameters, where sizes alone do not tell.

    That dimension is given a size of its own, and the types of all that depends on it are inferred once more.
    """
    probe = symbol(f"{name}'")
    types: dict[Value, TensorType] = {}
    for value, axis in _declared(context, name):
        shape = value.type.shape
        types[value] = TensorType(value.type.dtype, (*shape[:axis], probe, *shape[axis + 1 :]))
    for node in context.nodes():
        if any(value in types for value in node.inputs):
            with suppress(Mismatch, DiagnosticError):  # where the two sizes must be equal, or a shape is written out
                inferred = OPS[node.op].infer([types.get(x, x.type) for x in node.inputs], node.attributes)
                types.update(zip(node.outputs, inferred, strict=True))
    return [axis for axis, size in enumerate(types.get(x, x.type).shape) if size == probe]


def _declared(context: Context, name: str) -> Iterator[tuple[Value, int]]:
    """The tensors of the definition that have a dimension called `name` in their types, and its axis."""
    definition = context.frame.definitions[0] if context.frame.definitions else None
    if not isinstance(definition, syntax.Definition) or context.frame.environment is None:
        return
    bound = context.frame.environment.outer or context.frame.environment
    for parameter in split_parameters(definition)[1]:
        value, type_ = bound.names.get(parameter.name), parameter.type
        if not isinstance(value, Value) or not isinstance(type_, syntax.TypeName):
            continue
        dims = type_.dims or ()
        for place, dim in enumerate(dims):
            if isinstance(dim, syntax.Name) and dim.name == name:
                packed = any(isinstance(other, syntax.Pack) for other in dims[:place])
                yield value, place + (value.type.rank - len(dims) if packed else 0)


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
