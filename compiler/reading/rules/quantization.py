"""Reads operators on quantised tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netlang.types import FLOATS, INTEGERS

from ..onnx_types import DTYPES
from .elementwise import Rule, operands
from .linear_algebra import product_of_matrices
from .shape import given

if TYPE_CHECKING:
    from ...builder import Builder
    from ...ir import Node, Value
    from ..call import Call
    from ..reader import Reader


def quantize(reader: Reader, call: Call) -> Value | None:
    """QuantizeLinear-10 to -25. Kept foreign: dtypes that the language does not have, and another `precision`."""
    b = reader.b
    x, scale = given(call), given(call, 1)
    zero = _zero(reader, scale, call.input(2), DTYPES.get(call.attribute("output_dtype", 0), "u8"))
    precision = DTYPES.get(call.attribute("precision", 0), scale.type.dtype)
    if zero.type.dtype not in INTEGERS or scale.type.dtype not in FLOATS or precision != scale.type.dtype:
        return None
    x = x if x.type.dtype == scale.type.dtype else b.cast(x, dtype=scale.type.dtype)
    scale, zero, granularity = _granularity(reader, call, x, scale, zero)
    return b.quantize_linear(x, scale, zero, **granularity)


def dequantize(reader: Reader, call: Call) -> Value | None:
    """DequantizeLinear-10 to -25. After QuantizeLinear with the same numbers the two are one, which has a gradient."""
    b = reader.b
    x, scale = given(call), given(call, 1)
    zero = _zero(reader, scale, call.input(2), x.type.dtype)
    dtype = DTYPES.get(call.attribute("output_dtype", 0), scale.type.dtype)
    if x.type.dtype not in INTEGERS or scale.type.dtype not in FLOATS:
        return None
    scale = scale if dtype == scale.type.dtype else b.cast(scale, dtype=dtype)
    scale, zero, granularity = _granularity(reader, call, x, scale, zero)
    node = b.producer(x)
    if node is not None and node.op == "quantize_linear" and _inverse(reader, node, scale, zero, granularity):
        return b.fake_quantize(node.inputs[0], *node.inputs[1:], **granularity)
    return b.dequantize_linear(x, scale, zero, **granularity)


def _inverse(reader: Reader, node: Node, scale: Value, zero: Value, granularity: dict[str, int]) -> bool:
    """Whether a node quantises as these numbers dequantise."""
    same = (_equal(reader, *pair) for pair in zip(node.inputs[1:], (scale, zero), strict=True))
    return node.attributes == granularity and all(same)


def _equal(reader: Reader, x: Value, y: Value) -> bool:
    if x is y:
        return True
    first, second = reader.constant(x), reader.constant(y)
    return first is not None and second is not None and x.type == y.type and np.array_equal(first, second)


def _zero(reader: Reader, scale: Value, zero: Value | None, dtype: str) -> Value:
    if zero is not None or dtype not in INTEGERS:
        return scale if zero is None else zero
    return reader.b.full(shape=scale.type.shape, value=0.0, dtype=dtype)


def _granularity(
    reader: Reader, call: Call, x: Value, scale: Value, zero: Value
) -> tuple[Value, Value, dict[str, int]]:
    """Scale and zero point, a list of one as a number; and the attributes that say what they belong to."""
    b = reader.b
    axis = call.attribute("axis", 1)
    if scale.type.shape == (1,) and (not -x.type.rank <= axis < x.type.rank or x.type.shape[axis] != 1):
        scale, zero = b.reshape(scale, shape=()), b.reshape(zero, shape=())
    return scale, zero, {"axis": axis, "block": call.attribute("block_size", 0)}


def matmul_integer(reader: Reader, call: Call) -> Value:
    """MatMulInteger-10."""
    return _product(reader, given(call), given(call, 1), call.input(2), call.input(3))


def quantized_matmul(reader: Reader, call: Call) -> Value:
    """QLinearMatMul-10 and -21: the product in i32, then scaled and quantised."""
    b = reader.b
    x, x_scale, x_zero, y, y_scale, y_zero, scale, zero = operands(call)
    total = b.cast(_product(reader, x, y, x_zero, y_zero), dtype=x_scale.type.dtype)
    wide = b.mul(total, b.mul(_for_each_row(b, x_scale), y_scale))
    return b.quantize_linear(wide, _number(b, scale), _number(b, zero), axis=-2)


def _product(reader: Reader, x: Value, y: Value, x_zero: Value | None, y_zero: Value | None) -> Value:
    """The product of two matrices less their zeros, of which there are one for each row of `x`, or column of `y`."""
    b = reader.b
    zeros = [
        b.full(shape=(), value=0.0, dtype=value.type.dtype) if zero is None else _number(b, zero)
        for value, zero in ((x, x_zero), (y, y_zero))
    ]
    if not zeros[0].type.rank:
        return product_of_matrices(b, x, y, lambda left, right: b.matmul_integer(left, right, *zeros))
    left = b.sub(b.cast(x, dtype="i32"), b.cast(_for_each_row(b, zeros[0]), dtype="i32"))
    right = b.sub(b.cast(y, dtype="i32"), b.cast(zeros[1], dtype="i32"))
    return product_of_matrices(b, left, right, b.matmul)


def _number(b: Builder, value: Value) -> Value:
    """A vector of one number as that number."""
    return b.reshape(value, shape=()) if value.type.shape == (1,) else value


def _for_each_row(b: Builder, values: Value) -> Value:
    """A vector as a column, which broadcasts against the rows of matrices; anything else as it is."""
    return b.reshape(values, shape=(*values.type.shape, 1)) if values.type.rank == 1 else values


RULES: dict[str, Rule] = {
    "DequantizeLinear": dequantize,
    "DynamicQuantizeLinear": lambda reader, call: reader.b.dynamic_quantize_linear(given(call)),
    "MatMulInteger": matmul_integer,
    "QLinearMatMul": quantized_matmul,
    "QuantizeLinear": quantize,
}
