"""Calls of operators from the language: tensors first, then attributes by position or name."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from netlang import habits
from netlang.diagnostics import counted, fail
from netlang.dims import Dim, maximum, minimum
from netlang.source import Span
from netlang.types import INTEGERS, TensorType

from ..builder import Builder
from ..dtypes import dtype_name, numpy_dtype
from ..interpret import evaluate
from ..ir import Constant, Value
from ..op import REQUIRED, AttributeParameter, Op
from .arguments import Arguments
from .context import Context
from .numbers import scalar
from .operators import apply_op, explained
from .values import DType, OpFunction, Partial, describe, is_number, is_size, not_applied

_SIZE_CHOICE = {"maximum": maximum, "minimum": minimum}


def call_op(context: Context, op: Op, arguments: Arguments, given: dict[str, Any] | None = None) -> Any:
    """The result of `op(…)`; a function of the missing tensors where the call gives attributes only."""
    operands, attrs = _separate(op, arguments, given or {})
    if not operands and any(tensor.pattern.dims for tensor in op.signature.tensors):
        return Partial(OpFunction(op), attrs)
    if all(is_number(value) for value, _ in operands) and operands:
        return _compute_now(context, op, operands, attrs, arguments.span)
    values = [_operand(context, op, operands, value, span) for value, span in operands]
    expected = len(op.signature.tensors)
    if len(values) < expected:
        missing = op.signature.tensors[len(values)].name
        raise fail("missing-argument", f"`{op.name}` needs the tensor `{missing}`", arguments.span,
                   help=_usage(op))  # fmt: skip
    _require(op, attrs, arguments.span)
    return apply_op(context, op.name, values, attrs, arguments.span, [span for _, span in operands])


def cast_to(context: Context, dtype: str, arguments: Arguments) -> Any:
    """`f32(x)`."""
    if len(arguments.positional) != 1 or arguments.keywords:
        raise fail("missing-argument", f"`{dtype}` converts one value", arguments.span, help=f"write `{dtype}(x)`")
    value, span = arguments.positional[0]
    with context.builder.at(arguments.span):
        if isinstance(value, Value):
            return context.builder.cast(value, dtype=dtype)
        if is_number(value) or isinstance(value, bool):
            whole = isinstance(value, float) and dtype in INTEGERS
            return scalar(context, int(value) if whole else value, dtype, span)
    help = not_applied(value) if isinstance(value, tuple) else None
    raise fail("type-mismatch", f"{describe(value)} cannot be converted to {dtype}", span, help=help)


def _separate(op: Op, arguments: Arguments, given: dict[str, Any]) -> tuple[list[tuple[Any, Span]], dict[str, Any]]:
    signature = op.signature
    room = len(arguments.positional) if op.variadic else len(signature.tensors)
    rest = list(arguments.positional)
    operands: list[tuple[Any, Span]] = []
    has_tensor = arguments.has_tensor or (op.variadic and any(_is_tensor_like(value) for value, _ in rest))
    if has_tensor or len(rest) > len(signature.attributes):
        while rest and len(operands) < room and not (op.variadic and not _is_tensor_like(rest[0][0])):
            value, span = rest.pop(0)
            items = value if op.variadic and isinstance(value, tuple) else (value,)
            operands.extend((item, span) for item in items)
    attrs = dict(given)
    open_attributes = [a for a in signature.attributes if a.name not in given]
    if len(rest) > len(open_attributes):
        count = len(operands) + len(open_attributes)
        raise fail("unknown-argument", f"`{op.name}` takes {counted(count, 'argument')}; this is one too many",
                   rest[len(open_attributes)][1],
                   help=_usage(op))  # fmt: skip
    for attribute, (value, span) in zip(open_attributes, rest, strict=False):
        attrs[attribute.name] = _attribute(op, attribute, value, span)
    _keywords(op, arguments, operands, attrs)
    return operands, attrs


def _usage(op: Op) -> str:
    lists = any(attribute.type in ("sizes", "ints") for attribute in op.signature.attributes)
    return _WRITTEN.get(op.name) or f"it is `{op.text}`{'; sizes stand in brackets' if lists else ''}"


_WRITTEN = {  # what a signature does not say
    "arange": "`iota(n)` counts from 0 to n - 1, and `arange(start, stop, step)` takes all three",
    "einsum": "write `einsum(x, w: b i, o i -> b o)`",
    "transpose": "`transpose(x, [0, 2, 1])` gives all axes in their new order, and `x.T` swaps the last two",
}


def _is_tensor_like(value: Any) -> bool:
    """A tensor, or a list of tensors."""
    return isinstance(value, Value) or (
        isinstance(value, tuple) and bool(value) and all(isinstance(v, Value) for v in value)
    )


def _keywords(op: Op, arguments: Arguments, operands: list[tuple[Any, Span]], attrs: dict[str, Any]) -> None:
    attributes = {a.name: a for a in op.signature.attributes}
    tensors = [t.name for t in op.signature.tensors]
    for name, (value, span) in arguments.keywords.items():
        if name in attributes:
            if name in attrs:
                raise fail("duplicate-argument", f"`{name}` is given twice", span)
            attrs[name] = _attribute(op, attributes[name], value, span)
        elif name in tensors and tensors.index(name) == len(operands):
            operands.append((value, span))
        else:
            raise fail("unknown-argument", f"`{op.name}` has no parameter `{name}`", span,
                       help=habits.argument(name, [*attributes, *tensors]) or _usage(op))  # fmt: skip


def _attribute(op: Op, attribute: AttributeParameter, value: Any, span: Span) -> Any:
    if value is None and attribute.default is None:
        return None
    if attribute.type in ("int", "ints"):
        _require_known(op, attribute, value, span)
    accepted, converted = _ATTRIBUTES[attribute.type](value)
    if not accepted:
        raise fail("type-mismatch", f"`{attribute.name}` of `{op.name}` must be {_WORDS[attribute.type]}", span,
                   describe(value), help=_pairwise(op, value) or _about(attribute))  # fmt: skip
    if attribute.type in ("size", "sizes") and attribute.name not in _POSITIONS:
        require_sizes(converted if isinstance(converted, tuple) else (converted,), f"`{op.name}`", span)
    if op.splits and attribute.name == "parts" and isinstance(converted, int) and converted > MAX_PARTS:
        raise fail("network-too-large", f"`{op.name}` into more than {MAX_PARTS} parts", span, describe(value))
    return converted


_POSITIONS = ("starts", "stops")  # attributes that count from the end where they are negative

MAX_PARTS = 10_000
"""Results of one operator."""


def require_sizes(sizes: Iterable[Any], owner: str, span: Span) -> None:
    """Raises bad-value for a negative size."""
    for size in sizes:
        if isinstance(size, int) and size < 0:
            raise fail("bad-value", f"a size of {owner} cannot be {size}", span,
                       help="write the size itself: nothing stands for `whatever is left`")  # fmt: skip


def _require_known(op: Op, attribute: AttributeParameter, value: Any, span: Span) -> None:
    """Raises not-compile-time for a size that is open until run time, where an operator is built for numbers."""
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, Dim):
            raise fail("not-compile-time", f"`{attribute.name}` of `{op.name}` must be known while compiling", span,
                       f"`{item}` is open until run time", help=_about(attribute))  # fmt: skip


def _pairwise(op: Op, value: Any) -> str | None:
    """A help text for `max(a, b)`."""
    name, which = {"max": ("maximum", "larger"), "min": ("minimum", "smaller")}.get(op.name, ("", ""))
    return f"`{name}(a, b)` takes the {which} of each two elements" if name and _is_tensor_like(value) else None


def _about(attribute: AttributeParameter) -> str | None:
    return "axes are numbers: 0 is the first, -1 the last" if attribute.name in ("axis", "axes") else None


def _sizes(value: Any) -> tuple[bool, Any]:
    if isinstance(value, tuple):
        items = tuple(int(v) if isinstance(v, float) and v.is_integer() else v for v in value)
        return all(is_size(item) for item in items), items
    return is_size(value), value


def _size(value: Any) -> tuple[bool, Any]:
    if isinstance(value, float) and value.is_integer():
        return True, int(value)
    return is_size(value), value


_ATTRIBUTES: dict[str, Any] = {
    "int": lambda value: (isinstance(value, int) and not isinstance(value, bool), value),
    "float": lambda value: (isinstance(value, int | float) and not isinstance(value, bool), value),
    "bool": lambda value: (isinstance(value, bool), value),
    "str": lambda value: (isinstance(value, str), value),
    "dtype": lambda value: (isinstance(value, DType), value.name if isinstance(value, DType) else value),
    "size": _size,
    "ints": _sizes,
    "sizes": _sizes,
    "constant": lambda value: (False, value),
}
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "`true` or `false`",
    "str": "a string",
    "dtype": "a dtype, such as `f32`",
    "size": "a size",
    "ints": "a whole number or a list of them",
    "sizes": "a size or a list of sizes",
    "constant": "an array",
}


def _require(op: Op, attrs: dict[str, Any], span: Span) -> None:
    for attribute in op.signature.attributes:
        given = attribute.name in attrs or attribute.name in op.determines
        if attribute.default is REQUIRED and not given:
            raise fail("missing-argument", f"`{op.name}` needs `{attribute.name}`", span, help=_usage(op))


def _operand(context: Context, op: Op, operands: list[tuple[Any, Span]], value: Any, span: Span) -> Any:
    if isinstance(value, Value):
        return value
    if isinstance(value, Dim):
        like = next((v.type.dtype for v, _ in operands if isinstance(v, Value)), "i64")
        return context.builder.cast(context.builder.dim(size=value), dtype=like)
    if is_number(value) or isinstance(value, bool):
        return value
    raise fail("not-a-tensor", f"`{op.name}` needs tensors", span, describe(value), help=not_applied(value))


def _compute_now(context: Context, op: Op, operands: list[tuple[Any, Span]], attrs: dict[str, Any], span: Span) -> Any:
    """An operator of numbers is computed while compiling: `sqrt(2)`."""
    numbers = [value for value, _ in operands]
    if len(numbers) < len(op.signature.tensors):
        raise fail("missing-argument", f"`{op.name}` needs `{op.signature.tensors[len(numbers)].name}`", span,
                   help=_usage(op))  # fmt: skip
    if any(isinstance(value, Dim) for value in numbers):
        if op.name in _SIZE_CHOICE and len(numbers) == 2:
            return _SIZE_CHOICE[op.name](*numbers)
        values = [context.builder.cast(context.builder.dim(size=v), dtype="f32") if isinstance(v, Dim) else v
                  for v in numbers]  # fmt: skip
        return apply_op(context, op.name, values, attrs, span, [place for _, place in operands])
    _require(op, attrs, span)
    whole = all(isinstance(value, int) for value in numbers) and op.name in _WHOLE
    with explained(context, op.name, numbers, span, [place for _, place in operands], f"`{op.name}`"):
        dtype = numpy_dtype("i64" if whole else "f64")
        given = tuple(Constant(np.asarray(number, dtype)) for number in numbers)
        result = _computed(op.name, given, tuple(attrs.items()))
    if len(result) > 1 or result[0].ndim:
        raise fail("type-mismatch", f"`{op.name}` needs a tensor", operands[0][1], describe(numbers[0]))
    number = result[0].item()
    if isinstance(number, float) and not np.isfinite(number):
        raise fail("bad-value", f"`{op.name}` of {', '.join(map(str, numbers))} is not a number", span)
    return number


@lru_cache(maxsize=1 << 10)
def _computed(name: str, numbers: tuple[Constant, ...], attrs: tuple[tuple[str, Any], ...]) -> list[np.ndarray]:
    """What the operator makes of scalars; remembered, since each layer of a kind asks for the same."""
    b = Builder(name)
    feeds = {f"x{i}": number.array for i, number in enumerate(numbers)}
    inputs = [b.input(key, TensorType(dtype_name(array.dtype))) for key, array in feeds.items()]
    results = b.apply(name, inputs, dict(attrs))
    for i, result in enumerate(results if isinstance(results, tuple) else (results,)):
        b.output(f"y{i}", result)
    return list(evaluate(b.graph(), feeds, "f64").values())


_WHOLE = ("maximum", "minimum", "abs", "neg", "sign", "floor_divide", "mod", "add", "sub", "mul")
