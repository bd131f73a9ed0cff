"""Numbers and sizes of a program as scalars of the graph."""

from __future__ import annotations

from typing import Any

from netlang.diagnostics import fail
from netlang.dims import Dim
from netlang.source import Span
from netlang.types import DTYPES, INTEGERS, TensorType, dtype_fits

from ..ir import Value
from .context import Context


def scalar(context: Context, value: Any, dtype: str, span: Span) -> Value:
    """The number or size `value` as a tensor. Raises where a tensor of that dtype cannot hold it."""
    with context.builder.at(span):
        if isinstance(value, Dim):
            return context.builder.cast(context.builder.dim(size=value), dtype=dtype)
        require_fit(value, dtype, span)
        return context.builder.constant(value, dtype)


def natural(context: Context, value: Any, span: Span) -> Value:
    """A number, a size or a truth value as a scalar of the dtype that it is written in: f32, i64 or bool."""
    if isinstance(value, bool):
        return context.builder.constant(value)
    return scalar(context, value, "f32" if isinstance(value, float) else "i64", span)


def fitting(context: Context, value: Any, dtype: str, span: Span) -> Value:
    """A number or size as a scalar of a dtype; of a kind of dtypes (`f`, `i`, `n`), its own if that is among them."""
    if dtype not in DTYPES:
        own = "f32" if isinstance(value, float) else "i64"
        dtype = own if dtype_fits(own, dtype) else "f32"
    return scalar(context, value, dtype, span)


def adapted(context: Context, value: Any, type_: TensorType, span: Span) -> Value:
    """A number or size as a tensor of this type, the same everywhere."""
    b = context.builder
    number = scalar(context, value, type_.dtype, span)
    return number if not type_.rank else b.expand(number, shape=type_.shape)


def require_fit(value: Any, dtype: str, span: Span) -> None:
    """Raises type-mismatch for a fraction among integers, bad-value for a number beyond their range."""
    if dtype not in INTEGERS or not isinstance(value, int | float):
        return
    if isinstance(value, float) and not value.is_integer():
        raise fail("type-mismatch", f"{value} is a fraction, and {dtype} holds whole numbers", span,
                   help="`f32(x)` makes floats of whole numbers")  # fmt: skip
    bits = int(dtype[1:])
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtype.startswith("i") else (0, 2**bits - 1)
    if not low <= value <= high:
        raise fail("bad-value", f"{value} does not fit {dtype}", span, expected=f"{low} to {high}", found=value)
