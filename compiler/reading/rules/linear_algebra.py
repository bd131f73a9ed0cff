"""Reads products of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .elementwise import Rule, operands
from .shape import given

if TYPE_CHECKING:
    from ...builder import Builder
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader


def product_of_matrices(b: Builder, x: Value, y: Value, multiply: Callable[[Value, Value], Value]) -> Value:
    """A product as NumPy has it: a vector on the left is a row, on the right a column, and the result has no such axis.

    `multiply` is the product of two matrices, or of two batches of them.
    """
    row, column = x.type.rank == 1, y.type.rank == 1
    left = b.reshape(x, shape=(1, *x.type.shape)) if row else x
    right = b.reshape(y, shape=(*y.type.shape, 1)) if column else y
    result = multiply(left, right)
    shape = result.type.shape
    rows = () if row else shape[-2:-1]
    columns = () if column else shape[-1:]
    return b.reshape(result, shape=(*shape[:-2], *rows, *columns)) if row or column else result


def matmul(reader: Reader, call: Call) -> Value:
    """MatMul-1 to -13."""
    return product_of_matrices(reader.b, given(call), given(call, 1), reader.b.matmul)


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


def einsum(reader: Reader, call: Call) -> Value:
    """Einsum-12."""
    return reader.b.einsum(*operands(call), equation=call.attribute("equation"))


RULES: dict[str, Rule] = {
    "Einsum": einsum,
    "Gemm": gemm,
    "MatMul": matmul,
}
