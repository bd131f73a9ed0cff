"""`heads h over q, k, v { … }`: splits the last axis, computes the body for every head at once, and joins the results.

The heads become an axis before the last two, so that `@` and `softmax` read as for one head. Of tensors with one axis,
vectors, they become the axis before the last one.
"""

from __future__ import annotations

from typing import Any

from netlang import syntax
from netlang.diagnostics import Label, fail
from netlang.dims import Size
from netlang.source import Span

from ..ir import Value
from .context import Context
from .values import POISON, Environment, Poison, describe, is_size


def heads(context: Context, expr: syntax.Heads, environment: Environment) -> Any:
    """The value of the expression: a tensor, or a tuple of several. Raises DiagnosticError."""
    from .expressions import evaluate, evaluate_block

    count = evaluate(context, expr.count, environment)
    if isinstance(count, Poison):
        return POISON
    if not is_size(count) or (isinstance(count, int) and count < 1):
        raise fail("bad-value", "the number of heads must be a whole number above 0", expr.count.span, describe(count))
    values = [evaluate(context, source, environment) for source in expr.sources]
    if any(isinstance(value, Poison) for value in values):
        return POISON
    inner = Environment(environment)
    for source, value in zip(expr.sources, values, strict=True):
        inner.set(source.name, _split(context, value, count, source.span))
    of_vectors = _are_vectors(expr, values)
    result = evaluate_block(context, expr.body, inner)
    if isinstance(result, Poison):
        return POISON
    if isinstance(result, tuple):
        return tuple(_join(context, value, count, expr.body.span, of_vectors) for value in result)
    return _join(context, result, count, expr.body.span, of_vectors)


def _are_vectors(expr: syntax.Heads, values: list[Value]) -> bool:
    """Whether all tensors have one axis. Raises rank-mismatch where some have."""
    vectors = [source for source, value in zip(expr.sources, values, strict=True) if value.type.rank == 1]
    others = [source for source in expr.sources if source not in vectors]
    if vectors and others:
        raise fail("rank-mismatch", f"`{vectors[0].name}` has one axis, and `{others[0].name}` has more",
                   vectors[0].span, secondary=[Label(others[0].span, "of several axes")],
                   help=f"give it an axis of one element: `reshape({vectors[0].name}, [1, …])`")  # fmt: skip
    return bool(vectors)


def _split(context: Context, value: Any, count: Size, span: Span) -> Value:
    """[…, rows, h · k] as […, h, rows, k], and [h · k] as [h, k]."""
    if not isinstance(value, Value) or value.type.rank < 1:
        raise fail("rank-mismatch", "`heads` splits the last axis of a tensor", span, describe(value))
    *outer, width = value.type.shape
    if (width // count) * count != width:
        fitting = [n for n in range(1, 33) if isinstance(width, int) and width % n == 0]
        raise fail("shape-mismatch", f"{width} does not split into {count} heads of equal width", span, str(value.type),
                   help=f"it splits into {', '.join(map(str, fitting))}" if fitting else None)  # fmt: skip
    b, rank = context.builder, value.type.rank
    with b.at(span):
        split = b.reshape(value, shape=(*outer, count, width // count))
        return split if rank == 1 else b.transpose(split, perm=(*range(rank - 2), rank - 1, rank - 2, rank))


def _join(context: Context, value: Any, count: Size, span: Span, of_vectors: bool) -> Value:
    """The other way round."""
    place = 2 if of_vectors else 3
    if not isinstance(value, Value) or value.type.rank < place or value.type.shape[-place] != count:
        raise fail(
            "wrong-result",
            f"the body of `heads` must keep the head axis, {'second' if of_vectors else 'third'} from the end",
            span,
            describe(value),
            expected=f"[{count}, columns]" if of_vectors else f"[…, {count}, rows, columns]",
        )
    b, rank = context.builder, value.type.rank
    *outer, width = value.type.shape
    with b.at(span):
        if of_vectors:
            return b.reshape(value, shape=(*outer[:-1], count * width))
        together = b.transpose(value, perm=(*range(rank - 3), rank - 2, rank - 3, rank - 1))
        return b.reshape(together, shape=(*outer[:-2], outer[-1], count * width))
