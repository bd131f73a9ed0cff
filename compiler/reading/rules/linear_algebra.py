"""Reads products of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .elementwise import Rule, operands
from .shape import given

if TYPE_CHECKING:
    from ...builder import Builder
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader


def product_of_matrices(b: Builder, x: Value, y: Value) -> Value:
    """MatMul as NumPy has it: a vector on the left is a row, on the right a column, and the result has no such axis."""
    row, column = x.type.rank == 1, y.type.rank == 1
    left = b.reshape(x, shape=(1, *x.type.shape)) if row else x
    right = b.reshape(y, shape=(*y.type.shape, 1)) if column else y
    result = b.matmul(left, right)
    shape = result.type.shape
    rows = () if row else shape[-2:-1]
    columns = () if column else shape[-1:]
    return b.reshape(result, shape=(*shape[:-2], *rows, *columns)) if row or column else result


def matmul(reader: Reader, call: Call) -> Value:
    """MatMul-1 to -13."""
    return product_of_matrices(reader.b, given(call), given(call, 1))


def gemm(reader: Reader, call: Call) -> Value:
    """Gemm-7 to -13: alpha A B + beta C."""
    b = reader.b
    left, right, offset = given(call), given(call, 1), call.input(2)
    left = b.t(left) if call.attribute("transA", 0) else left
    right = b.t(right) if call.attribute("transB", 0) else right
    result = _scaled(b, b.matmul(left, right), call.attribute("alpha", 1.0))
    return result if offset is None else b.add(result, _scaled(b, offset, call.attribute("beta", 1.0)))


def _scaled(b: Builder, x: Value, factor: float) -> Value:
    return x if factor == 1.0 else b.mul(x, factor)


def centred_product(b: Builder, x: Value, y: Value, x_zero: Value | None, y_zero: Value | None) -> Value:
    """The product of two matrices of small integers without their zero points, in i32.

    A vector of zero points has one for each row of `x`, or for each column of `y`.
    """
    left, right = b.cast(x, dtype="i32"), b.cast(y, dtype="i32")
    if x_zero is not None:
        left = b.sub(left, b.cast(one_for_each_row(b, x_zero), dtype="i32"))
    if y_zero is not None:
        right = b.sub(right, b.cast(y_zero, dtype="i32"))
    return product_of_matrices(b, left, right)


def one_for_each_row(b: Builder, values: Value) -> Value:
    """A vector as a column, which broadcasts against the rows of matrices; anything else as it is."""
    return b.reshape(values, shape=(*values.type.shape, 1)) if values.type.rank == 1 else values


def matmul_integer(reader: Reader, call: Call) -> Value:
    """MatMulInteger-10."""
    return centred_product(reader.b, given(call), given(call, 1), call.input(2), call.input(3))


def einsum(reader: Reader, call: Call) -> Value:
    """Einsum-12."""
    return reader.b.einsum(*operands(call), equation=call.attribute("equation"))


RULES: dict[str, Rule] = {
    "Einsum": einsum,
    "Gemm": gemm,
    "MatMul": matmul,
    "MatMulInteger": matmul_integer,
}
