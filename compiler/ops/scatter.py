"""Writing at positions that other tensors name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value, listed, number, product, shape_mismatch
from .indexing import as_i64, as_index, at_positions, beside, check_beside, depth, places
from .source import check_sizes

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

ONE_HOT_ROWS = 256
"""Up to so many rows are summed by a product with a one-hot matrix, more by ScatterElements.

Measured on one thread, 2²⁰ values of 128 columns, in ms (product, ScatterElements): 65 rows 1.2, 4.0; 256 rows 4.1,
4.1; 512 rows 8.9, 4.1. ScatterND is faster than both and wrong: its threads race where positions repeat.
"""

_ROWS = np.array([2, 0, 2, -1])
_PAIRS = np.array([[0, 1, 2], [3, 3, -4]])
_DISTINCT = np.array([[0, 1, 2], [3, 3, -1]])

_UFUNCS: dict[str, np.ufunc] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


# --- rows ----------------------------------------------------------------------------------------------------------


def _rows_shape(values: TensorType, index: TensorType, rows: Size) -> TensorType:
    if values.shape[: index.rank] != index.shape:
        title = "every position needs its update: the shape of `values` begins with that of `index`"
        raise shape_mismatch(title, ", ".join((*map(str, index.shape), "…")), listed(values.shape))
    check_sizes(rows)
    return TensorType(values.dtype, (rows, *values.shape[index.rank :]))


def _rows_numpy(values: np.ndarray, index: np.ndarray, rows: int) -> np.ndarray:
    total = np.zeros((rows, *values.shape[index.ndim :]), values.dtype)
    np.add.at(total, index, values)
    return total


def _rows_onnx(e: Emitter, node: Node, x: str, index: str) -> str:
    x_type, index_type = (value.type for value in node.inputs)
    rows: Size = node.attributes["rows"]
    count = product(index_type.shape)
    columns = product(x_type.shape[index_type.rank :])
    position = e.reshape(as_i64(e, node, index), index_type.shape, (count,))
    negative = e.node("Less", position, e.constant(np.array(0)))
    position = e.node("Where", negative, e.node("Add", position, e.size(rows)), position)
    if isinstance(rows, int) and rows <= ONE_HOT_ROWS:
        flat = e.reshape(x, x_type.shape, (count, columns))
        hits = e.node("Equal", e.constant(np.arange(rows)[:, None]), position)
        total = e.node("MatMul", e.node("Cast", hits, to=e.onnx_dtype(x_type.dtype)), flat)
        return e.reshape(total, (rows, columns), node.outputs[0].type.shape)
    flat = e.reshape(x, x_type.shape, (count * columns,))
    zeros = e.node("Expand", e.constant(np.zeros((), numpy_dtype(x_type.dtype))), e.sizes([rows * columns]))
    total = _flat_scatter(e, zeros, position, flat, (count, columns, rows), "add")
    return e.reshape(total, (rows * columns,), node.outputs[0].type.shape)


def _flat_scatter(
    e: Emitter, x: str, position: str, values: str, sizes: tuple[Size, Size, Size], reduction: str
) -> str:
    """Combines whole rows of flat tensors; `sizes` are the numbers of positions, columns and rows of x."""
    return e.node("ScatterElements", x, _flat_places(e, position, *sizes), values, axis=0, reduction=reduction)


def _flat_places(e: Emitter, position: str, count: Size, columns: Size, rows: Size) -> str:
    """Where each element of each row goes in the flat result, in 32 bits where they suffice.

    Flat 32-bit places make ScatterElements three times as fast as places of rows.
    """
    elements = rows * columns
    wide = "i32" if isinstance(elements, int) and elements < 2**31 else "i64"
    step = number(e, columns, wide)
    start = e.node("Mul", e.node("Cast", position, to=e.onnx_dtype(wide)), step)
    offsets = e.node("Range", number(e, 0, wide), step, number(e, 1, wide))
    flat = e.node("Add", e.reshape(start, (count,), (count, 1)), offsets)
    return e.reshape(flat, (count, columns), (count * columns,))


def _torch_rows(values: Any, index: Any, rows: int) -> Any:
    shape = values.shape[index.ndim :]
    flat = values.reshape(-1, *shape)
    return flat.new_zeros(rows, *shape).index_add(0, index.reshape(-1) % rows, flat)


# --- reductions, the same for elements and for slices --------------------------------------------------------------


def _check_reduction(reduction: str) -> None:
    if reduction != "none" and reduction not in _UFUNCS:
        raise bad_value(
            "values replace what they meet, or are combined with it", "none, add, mul, max or min", reduction
        )


def _combined(x: np.ndarray, at: tuple[np.ndarray, ...], values: np.ndarray, reduction: str) -> np.ndarray:
    y = x.copy()
    if reduction == "none":
        y[at] = values
    else:
        _UFUNCS[reduction].at(y, at, values)
    return y


Gather = Callable[["Value"], "Value"]
Scatter = Callable[["Value", "Value", str], "Value"]


def _scatter_vjp(
    b: Builder, g: Value, y: Value, x: Value, values: Value, reduction: str, gather: Gather, scatter: Scatter
) -> tuple[Value, None, Value]:
    """The gradients of x and of the values, where `gather` reads at the positions, and `scatter` writes there."""
    if reduction == "none":
        return scatter(g, _filled(b, values, 0.0), "none"), None, gather(g)
    if reduction == "add":
        return g, None, gather(g)
    if reduction == "mul":
        others = scatter(_filled(b, x, 1.0), values, "mul")
        return b.mul(g, others), None, _of_factors(b, g, x, values, gather, scatter)
    return _of_extremes(b, g, y, x, values, gather, scatter)


def _of_factors(b: Builder, g: Value, x: Value, values: Value, gather: Gather, scatter: Scatter) -> Value:
    """The product of all other factors: the result divided by the factor, which takes care where factors are 0.

    A factor that is the only 0 of its product is left out of it; where there are several, the gradient is 0.
    """
    is_zero = b.equal(values, 0.0)
    zeros = scatter(_filled(b, x, 0.0), b.cast(is_zero, dtype=values.type.dtype), "add")
    alone = b.logical_and(is_zero, b.equal(gather(zeros), 1.0))
    kept = b.select(alone, 1.0, values)
    single = gather(b.mul(g, scatter(x, kept, "mul")))
    usual = b.div(gather(b.mul(g, scatter(x, values, "mul"))), b.select(is_zero, 1.0, values))
    return b.select(alone, single, usual)


def _of_extremes(
    b: Builder, g: Value, y: Value, x: Value, values: Value, gather: Gather, scatter: Scatter
) -> tuple[Value, None, Value]:
    """All that reach the extreme share the gradient."""
    dtype = g.type.dtype
    own = b.cast(b.equal(x, y), dtype=dtype)
    theirs = b.cast(b.equal(values, gather(y)), dtype=dtype)
    share = b.div(g, b.maximum(scatter(own, theirs, "add"), 1.0))
    return b.mul(own, share), None, b.mul(theirs, gather(share))


def _filled(b: Builder, like: Value, number: float) -> Value:
    return b.full(shape=like.type.shape, value=number, dtype=like.type.dtype)


# --- elements ------------------------------------------------------------------------------------------------------


def _elements_shape(x: TensorType, index: TensorType, values: TensorType, axis: int, reduction: str) -> TensorType:
    _check_reduction(reduction)
    check_beside(x, index, axis)
    return x


def _elements_numpy(x: np.ndarray, index: np.ndarray, values: np.ndarray, axis: int, reduction: str) -> np.ndarray:
    return _combined(x, beside(index, axis), values, reduction)


def _elements_vjp(
    b: Builder, g: Value, y: Value, x: Value, index: Value, values: Value, axis: int, reduction: str
) -> tuple[Value, None, Value]:
    def gather(source: Value) -> Value:
        return b.gather_elements(source, index, axis=axis)

    def scatter(into: Value, what: Value, how: str) -> Value:
        return b.scatter_elements(into, index, what, axis=axis, reduction=how)

    return _scatter_vjp(b, g, y, x, values, reduction, gather, scatter)


def _elements_onnx(e: Emitter, node: Node, x: str, index: str, values: str) -> str:
    attributes = node.attributes
    return e.node(
        "ScatterElements",
        x,
        as_index(e, node, index),
        values,
        axis=attributes["axis"],
        reduction=attributes["reduction"],
    )


def _torch_elements(x: Any, index: Any, values: Any, axis: int = 0, reduction: str = "none") -> Any:
    index = index % x.shape[axis]
    if reduction == "none":
        return x.scatter(axis, index, values)
    name = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}[reduction]
    return x.scatter_reduce(axis, index, values, name)


# --- slices --------------------------------------------------------------------------------------------------------


def _nd_shape(x: TensorType, index: TensorType, values: TensorType, reduction: str) -> TensorType:
    _check_reduction(reduction)
    coordinates = depth(index)
    expected = (*index.shape[:-1], *x.shape[coordinates:])
    if coordinates > x.rank or values.shape != expected:
        title = f"positions {listed(index.shape)} in {listed(x.shape)} take other values"
        raise shape_mismatch(title, listed(expected), listed(values.shape))
    return x


def _nd_numpy(x: np.ndarray, index: np.ndarray, values: np.ndarray, reduction: str) -> np.ndarray:
    return _combined(x, places(index), values, reduction)


def _nd_vjp(
    b: Builder, g: Value, y: Value, x: Value, index: Value, values: Value, reduction: str
) -> tuple[Value, None, Value]:
    def gather(source: Value) -> Value:
        return b.gather_nd(source, index)

    def scatter(into: Value, what: Value, how: str) -> Value:
        return b.scatter_nd(into, index, what, reduction=how)

    return _scatter_vjp(b, g, y, x, values, reduction, gather, scatter)


def _nd_onnx(e: Emitter, node: Node, x: str, index: str, values: str) -> str:
    """ScatterND writes; it does not combine, for its threads race where positions repeat."""
    reduction = node.attributes["reduction"]
    index = as_i64(e, node, index)
    if reduction == "none":
        return e.node("ScatterND", x, index, values)
    x_type, index_type, values_type = (value.type for value in node.inputs)
    coordinates = depth(index_type)
    leading, columns = x_type.shape[:coordinates], product(x_type.shape[coordinates:])
    rows, count = product(leading), product(index_type.shape[:-1])
    numbers = e.node("Range", number(e, 0, "i64"), number(e, rows, "i64"), number(e, 1, "i64"))
    position = e.node("GatherND", e.reshape(numbers, (rows,), leading), index)
    position = e.reshape(position, index_type.shape[:-1], (count,))
    flat = e.reshape(x, x_type.shape, (rows * columns,))
    flat_values = e.reshape(values, values_type.shape, (count * columns,))
    total = _flat_scatter(e, flat, position, flat_values, (count, columns, rows), reduction)
    return e.reshape(total, (rows * columns,), x_type.shape)


def _torch_put(x: Any, index: Any, values: Any, reduction: str) -> Any:
    at = tuple(index[..., i] for i in range(index.shape[-1]))
    return x.index_put(at, values, accumulate=reduction == "add")


_SOME = np.array([[[0, 1], [1, -1]], [[0, 1], [-2, 0]]])

OPERATORS: tuple[Op, ...] = (
    Op(
        "scatter_rows(values: f[*u], index: i[*k], rows: size) -> f",
        doc="Zeros of the given number of rows, with each row of x added to the row at its position: the transpose of "
        "gather. Positions may repeat; they lie in -rows … rows - 1, and negative ones count from the end.",
        numpy=at_positions(_rows_numpy),
        vjp=lambda b, g, y, values, index, rows: (b.gather(g, index), None),
        shape=_rows_shape,
        onnx=_rows_onnx,
        samples=(
            S((4, 3), _ROWS, rows=3, torch=_torch_rows),
            S((2, 3, 2, 2), _PAIRS, rows=4, torch=_torch_rows),
            S((4,), _ROWS, rows=5, torch=_torch_rows),
            S((4, 3), _ROWS, rows=300, torch=_torch_rows),
            S((2, 3, 2, 2), _PAIRS.astype(np.int32), rows=300, torch=_torch_rows),
            S((2, 3), np.array(1), rows=3),
            S((0, 3), np.zeros(0, np.int64), rows=300),
            Bad((4, 3), _PAIRS, rows=4, code="shape-mismatch"),
            Bad((4, 3), _ROWS, rows=-1, code="bad-value"),
        ),
    ),
    Op(
        'scatter_elements(x: t[*s], index: i[*k], values: t[*k], axis: int = 0, reduction: str = "none") -> t[*s]',
        doc="x, with each of the values at the same place in all axes but one, and at the position that `index` gives "
        "in that one: written there, or, as `reduction` says (add, mul, max, min), combined with what is there. "
        "Negative positions count from the end. Positions may repeat except where values are written. Ties in max and "
        "min share the gradient; the second derivative by two factors that are both 0 is 0.",
        numpy=at_positions(_elements_numpy),
        vjp=_elements_vjp,
        shape=_elements_shape,
        onnx=_elements_onnx,
        samples=(
            S((4, 3), _DISTINCT, (2, 3), torch=_torch_elements),
            S((2, 5), _DISTINCT[::-1, :2] + [[0, -1], [0, 0]], (2, 2), axis=1, torch=_torch_elements),
            S((3, 4), _PAIRS, (2, 3), axis=-1, reduction="add", torch=_torch_elements),
            S((4, 3), _PAIRS, (2, 3), reduction="mul", torch=_torch_elements),
            S((3, 4), _PAIRS, (2, 3), axis=1, reduction="max", torch=_torch_elements),
            S((4, 3), _PAIRS.astype(np.int32), (2, 3), reduction="min"),
            S((4, 3), np.zeros((0, 3), np.int64), (0, 3), reduction="add"),
            S(np.arange(4), np.array([1, 1, -1]), np.array([5, 6, 7]), reduction="add"),
            Bad((4, 3), _PAIRS, (2, 2), code="shape-mismatch"),
            Bad((4, 2), _PAIRS, (2, 3), code="shape-mismatch"),
            Bad((4, 3), _PAIRS, (2, 3), axis=2, code="bad-axis"),
            Bad((4, 3), _PAIRS, (2, 3), reduction="mean", code="bad-value"),
        ),
    ),
    Op(
        'scatter_nd(x: t[*s], index: i[*k], values: t[*u], reduction: str = "none") -> t[*s]',
        doc="x, with each of the values at its position of several coordinates, which the last axis of `index` holds: "
        "written there, or combined with what is there, as for `scatter_elements`.",
        numpy=at_positions(_nd_numpy),
        vjp=_nd_vjp,
        shape=_nd_shape,
        onnx=_nd_onnx,
        samples=(
            S((4, 3), np.array([[2], [-4]]), (2, 3)),
            S((2, 3, 2), np.array([[1, 0], [0, -1], [1, 1]], np.int32), (3, 2)),
            S((2, 3), _SOME, (2, 2), reduction="add", torch=_torch_put),
            S((4, 3), _ROWS[:, None], (4, 3), reduction="add", torch=_torch_put),
            S((3, 2), _ROWS[:, None], (4, 2), reduction="mul"),
            S((2, 3), _SOME, (2, 2), reduction="max"),
            S((2, 3, 2), _SOME, (2, 2, 2), reduction="min"),
            S((3, 2), np.zeros((0, 1), np.int64), (0, 2), reduction="add"),
            Bad((4, 3), np.array([[2], [0]]), (2, 2), code="shape-mismatch"),
            Bad((4,), np.array([[2, 0]]), (1,), code="shape-mismatch"),
            Bad((4, 3), np.array([[2], [0]]), (2, 3), reduction="sum", code="bad-value"),
        ),
    ),
)
