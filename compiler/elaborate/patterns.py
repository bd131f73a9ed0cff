"""Reads the types of the source: from `f32[*s, 4*d]` to patterns and tensor types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netlang import syntax
from netlang.diagnostics import DiagnosticError, fail
from netlang.dims import Dim, Size, floor_divide, maximum, minimum
from netlang.source import Span
from netlang.types import (
    DTYPES,
    DimPattern,
    HolePattern,
    PackPattern,
    TensorType,
    TypePattern,
    dtype_fits,
    require_extent,
    unknown,
    unknowns,
)

from .context import Context
from .values import Environment, Poison, describe

_MEANT = {  # names of types elsewhere -> here
    **dict.fromkeys(("float", "float32", "single", "number", "tensor"), "f32"),
    **dict.fromkeys(("float16", "half"), "f16"),
    **dict.fromkeys(("float64", "double"), "f64"),
    "bfloat16": "bf16",
    **dict.fromkeys(("int", "long"), "i64"),
    **{f"int{bits}": f"i{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"u{bits}" for bits in (8, 16, 32, 64)},
    "integer": "int",
    "boolean": "bool",
    "string": "str",
}

MAX_RANK = 64
"""Dimensions of a tensor; NumPy has as many."""

SETTING_TYPES = ("int", "float", "bool", "str", "ints", "floats", "init", "layer", "schedule")
"""Types of compile-time parameters. `layer` takes anything callable, `schedule` a number or a function of the step."""


def is_tensor_type(type_: syntax.TypeExpr) -> bool:
    """Whether a parameter of this type is a tensor; the others are compile-time settings."""
    if isinstance(type_, syntax.TupleType):
        return False
    return type_.dims is not None or type_.name not in SETTING_TYPES


def setting_type(parameter: syntax.Parameter) -> str:
    """The type of a compile-time parameter: one of SETTING_TYPES. Raises type-mismatch."""
    type_ = parameter.type
    if isinstance(type_, syntax.TypeName) and type_.dims is None and type_.name in SETTING_TYPES:
        return type_.name
    raise fail(
        "type-mismatch",
        f"`{parameter.name}` is a setting, and `{type_.span.text}` is not a type of settings",
        type_.span,
        help=f"settings are {', '.join(SETTING_TYPES)}",
    )


def split_parameters(
    definition: syntax.Definition,
) -> tuple[tuple[syntax.Parameter, ...], tuple[syntax.Parameter, ...]]:
    """The compile-time parameters and the tensor parameters of a definition."""
    settings: list[syntax.Parameter] = []
    tensors: list[syntax.Parameter] = []
    for group in definition.parameters:
        for parameter in group:
            (tensors if is_tensor_type(parameter.type) else settings).append(parameter)
    return tuple(settings), tuple(tensors)


def pattern_of(type_: syntax.TypeName, environment: Environment) -> TypePattern:
    """The pattern that a written type stands for; names that are not sizes in `environment` are left open."""
    if type_.name not in DTYPES and not dtype_fits("f32", type_.name) and not dtype_fits("i64", type_.name):
        raise _no_type(type_)
    dims: list[DimPattern] = []
    for dim in type_.dims or ():
        dims.extend(_dim(dim, environment))
    if len(dims) > MAX_RANK:
        raise fail("network-too-large", f"a tensor has at most {MAX_RANK} dimensions", type_.span, found=len(dims))
    if sum(isinstance(dim, PackPattern) for dim in dims) > 1:
        raise fail("type-mismatch", "a type can hold only one pack of unknown length", type_.span)
    return TypePattern(type_.name, tuple(dims))


def _no_type(type_: syntax.TypeName) -> DiagnosticError:
    meant = _MEANT.get(type_.name.lower())
    known = f"tensors have {', '.join(DTYPES)}; settings are {', '.join(SETTING_TYPES)}"
    return fail(
        "type-mismatch",
        f"`{type_.name}` is not a type" if type_.dims is None else f"`{type_.name}` is not a type of elements",
        Span(type_.span.source, type_.span.start, type_.span.start + len(type_.name)),
        help=f"did you mean `{meant}`?" if meant else known,
    )


def closed_type(context: Context, type_: syntax.TypeName, environment: Environment) -> TensorType:
    """The tensor type of a graph input: names that are not known become sizes that stay open until run time."""
    pattern = pattern_of(type_, environment)
    for name in dim_names(type_):
        _bind_open(context, name, environment)
    pattern = pattern_of(type_, environment)
    shape: list[Size] = []
    for dim, written in zip(pattern.dims, type_.dims or (), strict=False):
        if isinstance(dim, PackPattern | HolePattern):
            raise fail(
                "not-compile-time",
                f"the type of an input must say each of its dimensions, and `{dim}` does not",
                written.span,
                help="give the dimension a name; names that nothing defines stay open until run time",
            )
        if isinstance(dim, int) and dim < 0:
            raise fail("bad-value", f"a dimension cannot be {dim}", written.span, expected="0 or more", found=dim,
                       help="a size that stays open until run time is a name: `f32[batch, 4]`")  # fmt: skip
        shape.append(dim)
    closed = TensorType(type_.name, tuple(shape))
    require_extent(closed, type_.span)
    return closed


def dim_names(type_: syntax.TypeExpr) -> Iterator[str]:
    """Names that stand in the dimensions of a type, in order, packs excluded."""
    if isinstance(type_, syntax.TupleType):
        for item in type_.items:
            yield from dim_names(item)
        return
    for dim in type_.dims or ():
        yield from _names(dim)


def _names(node: syntax.Node) -> Iterator[str]:
    match node:
        case syntax.Name(name=name):
            yield name
        case syntax.Binary(left=left, right=right):
            yield from _names(left)
            yield from _names(right)
        case syntax.Unary(operand=operand):
            yield from _names(operand)
        case syntax.Call(arguments=arguments):
            for argument in arguments:
                yield from _names(argument.value)


def _bind_open(context: Context, name: str, environment: Environment) -> None:
    try:
        means_size = not callable_like(environment.get(name))
    except KeyError:
        means_size = False
    if not means_size:
        environment.set(name, context.size(name))


def _dim(dim: syntax.Expr | syntax.Pack | syntax.Hole, environment: Environment) -> Iterable[DimPattern]:
    match dim:
        case syntax.Hole():
            return (HolePattern(),)
        case syntax.Pack(name=name):
            try:
                bound = environment.get(name)
            except KeyError:
                return (PackPattern(name),)
            return bound if isinstance(bound, tuple) else (PackPattern(name),)
    return (_size(dim, environment),)


def _size(expr: syntax.Expr, environment: Environment) -> Size:
    match expr:
        case syntax.Number(value=int(value)):
            return value
        case syntax.Name(name=name):
            return _named_size(expr, name, environment)
        case syntax.Unary(operator="-", operand=operand):
            return -_size(operand, environment)
        case syntax.Binary(operator=operator, left=left, right=right) if operator in _ARITHMETIC:
            a, b = _size(left, environment), _size(right, environment)
            if operator in ("/", "//", "%") and b == 0:
                raise fail("bad-value", "division by zero in a dimension", expr.span)
            return _ARITHMETIC[operator](a, b)
        case syntax.Call(function=syntax.Name(name=name), arguments=arguments) if name in _CHOICE:
            sizes = [_size(argument.value, environment) for argument in arguments]
            if len(sizes) == 2:
                return _CHOICE[name](*sizes)
    raise fail(
        "type-mismatch",
        "this is not a dimension",
        expr.span,
        help="a dimension is a name, a whole number, or + - * / % of such",
    )


def _named_size(expr: syntax.Expr, name: str, environment: Environment) -> Size:
    try:
        value = environment.get(name)
    except KeyError:
        return unknown(name)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int | Dim) and not isinstance(value, bool):
        return value
    if isinstance(value, Poison) or callable_like(value):
        return unknown(name)
    raise fail("type-mismatch", f"`{name}` is {describe(value)}, not a dimension", expr.span)


def callable_like(value: object) -> bool:
    """Whether a name stands for a function, so that a dimension of that name is a new one."""
    from .values import CALLABLE

    return isinstance(value, CALLABLE)


def open_names(pattern: TypePattern) -> list[str]:
    """Names of sizes in `pattern` that are not known yet."""
    found: list[str] = []
    for dim in pattern.dims:
        if not isinstance(dim, PackPattern | HolePattern):
            found.extend(unknowns(dim))
    return found


_ARITHMETIC = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": floor_divide,
    "//": floor_divide,
    "%": lambda a, b: a % b,
}
_CHOICE = {"min": minimum, "max": maximum, "minimum": minimum, "maximum": maximum}
