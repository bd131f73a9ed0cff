"""Arithmetic, comparison and logic: of numbers and sizes while compiling, of tensors in the graph."""

from __future__ import annotations

import math
import operator as py
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, fail
from netlang.dims import Dim, decide_equal, decide_less
from netlang.source import Span
from netlang.tokens import MAX_INTEGER
from netlang.types import FLOATS

from ..ir import Value
from .aggregation import paired
from .context import Context
from .operators import apply_op
from .values import CALLABLE, POISON, Environment, Poison, describe, is_number, is_size, not_applied

MAX_POWER = 1_000  # largest exponent of whole numbers
MAX_TERMS = 1_000  # of the polynomial of a size


def unary(context: Context, expr: syntax.Unary, environment: Environment) -> Any:
    """The value of `-x` or `not x`."""
    from .expressions import evaluate

    value = evaluate(context, expr.operand, environment)
    if isinstance(value, Poison):
        return value
    if expr.operator == "not":
        if isinstance(value, bool):
            return not value
        if isinstance(value, Value):
            return apply_op(context, "logical_not", (value,), {}, expr.span, (expr.operand.span,))
        raise fail("type-mismatch", "`not` needs a condition", expr.operand.span, describe(value))
    if is_number(value):
        return -value
    if isinstance(value, Value):
        return apply_op(context, "neg", (value,), {}, expr.span, (expr.operand.span,))
    raise fail("type-mismatch", "`-` needs a number or a tensor", expr.operand.span, describe(value))


def binary(context: Context, expr: syntax.Binary, environment: Environment) -> Any:
    """The value of an operation with two operands."""
    from .expressions import evaluate

    if expr.operator in ("and", "or"):
        return _logic(context, expr, environment)
    left = evaluate(context, expr.left, environment)
    right = evaluate(context, expr.right, environment)
    if isinstance(left, Poison) or isinstance(right, Poison):
        return POISON
    if expr.operator in ("==", "!=") and (left is None or right is None):
        return (left is right) == (expr.operator == "==")
    if isinstance(left, Value) or isinstance(right, Value):
        return _tensor_binary(context, expr, left, right)
    if expr.operator in ("==", "!="):
        return _equal(expr, left, right)
    if not is_number(left) or not is_number(right):
        wrong, node = (left, expr.left) if not is_number(left) else (right, expr.right)
        raise fail(
            "type-mismatch",
            f"`{expr.operator}` needs numbers or tensors",
            node.span,
            describe(wrong),
            help=not_applied(wrong),
        )
    return _arithmetic(context, expr, left, right)


def _logic(context: Context, expr: syntax.Binary, environment: Environment) -> Any:
    from .expressions import evaluate

    left = evaluate(context, expr.left, environment)
    if isinstance(left, bool) and left == (expr.operator == "or"):
        return left
    right = evaluate(context, expr.right, environment)
    if isinstance(left, Poison) or isinstance(right, Poison):
        return POISON
    for value, node in ((left, expr.left), (right, expr.right)):
        if not isinstance(value, bool | Value):
            raise fail("type-mismatch", f"`{expr.operator}` needs conditions", node.span, describe(value))
    if isinstance(left, Value) or isinstance(right, Value):
        return apply_op(
            context,
            f"logical_{expr.operator}",
            (left, right),
            {},
            expr.span,
            (expr.left.span, expr.right.span),
            symbol=expr.operator,
        )
    return right


def _equal(expr: syntax.Binary, left: Any, right: Any) -> bool:
    if is_size(left) and is_size(right):
        equal = decide_equal(left, right)
        if equal is None:
            raise _undecidable(expr)
    else:
        equal = left is right if isinstance(left, CALLABLE) else left == right
    return equal == (expr.operator == "==")


def _arithmetic(context: Context, expr: syntax.Binary, left: Any, right: Any) -> Any:
    operator = expr.operator
    if operator in _COMPARISONS:
        return _compare(expr, left, right)
    if operator in ("/", "//", "%") and right == 0:
        raise fail("bad-value", "division by zero", expr.span)
    if operator == "@":
        raise fail("type-mismatch", "`@` needs tensors", expr.span)
    symbolic = isinstance(left, Dim) or isinstance(right, Dim)
    if operator == "/":
        return _divide(context, expr, left, right)
    if symbolic and (operator == "**" or isinstance(left, float) or isinstance(right, float)):
        return _tensor_binary(context, expr, left, right)
    try:
        too_large = operator == "**" and isinstance(left, int) and isinstance(right, int) and right > MAX_POWER
        result = left if too_large else _PYTHON[operator](left, right)
    except OverflowError:
        too_large, result = True, left
    except ZeroDivisionError:  # 0 ** -1
        raise fail("bad-value", "division by zero", expr.span) from None
    if too_large or _is_beyond(result):
        raise fail("bad-value", "the result is too large for a number", expr.span)
    if isinstance(result, complex):
        raise fail("bad-value", "a negative number has no such power", expr.span)
    return result


def _is_beyond(number: Any) -> bool:
    """Whether a number is larger than the numbers of a graph, or a size too complicated to be of use."""
    if isinstance(number, Dim):
        return len(number.terms) > MAX_TERMS
    if isinstance(number, float):
        return not math.isfinite(number)
    return isinstance(number, int) and abs(number) > MAX_INTEGER


def _divide(context: Context, expr: syntax.Binary, left: Any, right: Any) -> Any:
    """`/`: exact for sizes that divide, a float otherwise, a tensor where a size is open until run time."""
    if is_size(left) and is_size(right):
        quotient = left // right
        if quotient * right == left or context.generic:  # a layer without a use: taken to divide
            return quotient
    if isinstance(left, Dim) or isinstance(right, Dim):
        return _tensor_binary(context, expr, left, right)
    return left / right


def _compare(expr: syntax.Binary, left: Any, right: Any) -> bool:
    if isinstance(left, Dim) or isinstance(right, Dim):
        if not (is_size(left) and is_size(right)):
            raise _undecidable(expr)
        decided = {
            "<": lambda: decide_less(left, right),
            ">": lambda: decide_less(right, left),
            "<=": lambda: _negated(decide_less(right, left)),
            ">=": lambda: _negated(decide_less(left, right)),
        }[expr.operator]()
        if decided is None:
            raise _undecidable(expr)
        return decided
    return _PYTHON[expr.operator](left, right)


def _negated(value: bool | None) -> bool | None:
    return None if value is None else not value


def _undecidable(expr: syntax.Node) -> DiagnosticError:
    return fail(
        "undecidable",
        f"`{expr.span.text}` cannot be decided while compiling",
        expr.span,
        help="it holds for some sizes and not for others; fix the sizes, or compute with tensors",
    )


def _closer_than_pipe(expr: syntax.Binary, operand: Any, place: Span) -> str | None:
    """A help text for a layer before an operator, as in `x |> linear(8) + y`."""
    if place != expr.left.span or not isinstance(operand, CALLABLE):
        return None
    return f"`{expr.operator}` binds closer than `|>`: write `(x |> {place.text}) {expr.operator} …`"


def _tensor_binary(context: Context, expr: syntax.Binary, left: Any, right: Any) -> Any:
    operands = tuple(_as_tensor(context, x) if isinstance(x, Dim) else x for x in (left, right))
    operands = _match_dtypes(context, operands, (left, right))
    spans = (expr.left.span, expr.right.span)
    for operand, span in zip(operands, spans, strict=True):
        if not isinstance(operand, Value | int | float):
            raise fail("type-mismatch", f"`{expr.operator}` needs tensors or numbers", span, describe(operand),
                       help=_closer_than_pipe(expr, operand, span) or not_applied(operand))  # fmt: skip
    name = _TENSOR_OPERATORS[expr.operator]
    if name == "div":
        _refuse_integer_division(expr, operands)
    if name != "matmul":
        operands = paired(context, operands)
    return apply_op(context, name, operands, {}, expr.span, spans, symbol=expr.operator)


def _match_dtypes(context: Context, operands: tuple[Any, ...], original: tuple[Any, ...]) -> tuple[Any, ...]:
    """A size becomes a tensor of the other operand's dtype, as a written number does."""
    like = next((x for x, o in zip(operands, original, strict=True) if isinstance(o, Value)), None)
    dtype = like.type.dtype if like is not None else "f32"
    return tuple(
        context.builder.cast(x, dtype=dtype) if isinstance(o, Dim) and x.type.dtype != dtype else x
        for x, o in zip(operands, original, strict=True)
    )


def _as_tensor(context: Context, value: Any) -> Any:
    if isinstance(value, Dim):
        return context.builder.dim(size=value)
    return value


def _refuse_integer_division(expr: syntax.Binary, operands: tuple[Any, ...]) -> None:
    tensors = [x for x in operands if isinstance(x, Value)]
    if tensors and all(x.type.dtype not in FLOATS for x in tensors):
        raise fail(
            "type-mismatch",
            f"`/` divides floats, and this is {tensors[0].type.dtype}",
            expr.span,
            str(tensors[0].type),
            help="`//` divides whole numbers; `f32(x)` makes floats of them",
        )


_COMPARISONS = ("<", "<=", ">", ">=")
_PYTHON = {
    "+": py.add, "-": py.sub, "*": py.mul, "//": py.floordiv, "%": py.mod, "**": py.pow,
    "<": py.lt, "<=": py.le, ">": py.gt, ">=": py.ge,
}  # fmt: skip
_TENSOR_OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floor_divide", "%": "mod", "**": "pow", "@": "matmul",
    "==": "equal", "!=": "not_equal", "<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal",
}  # fmt: skip
