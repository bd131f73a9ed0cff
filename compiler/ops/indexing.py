"""Reading and writing at positions that other tensors name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import listed, number, product, shape_mismatch
from .reference import torch

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


def _as_i64(e: Emitter, node: Node, index: str, position: int = 1) -> str:
    dtype = node.inputs[position].type.dtype
    return index if dtype == "i64" else e.node("Cast", index, to=e.onnx_dtype("i64"))


def _from_start(b: Builder, index: Value, size: Size) -> Value:
    """Positions counted from the start, where negative ones count from the end."""
    dtype = index.type.dtype
    length = size if isinstance(size, int) else b.cast(b.dim(size=size), dtype=dtype)
    return b.select(b.less(index, 0), b.add(index, length), index)


# --- rows ----------------------------------------------------------------------------------------------------------


def _scatter_shape(values: TensorType, index: TensorType, rows: Size) -> TensorType:
    if values.shape[: index.rank] != index.shape:
        title = "every position needs its update: the shape of `values` begins with that of `index`"
        raise shape_mismatch(title, ", ".join((*map(str, index.shape), "…")), listed(values.shape))
    return TensorType(values.dtype, (rows, *values.shape[index.rank :]))


def _scatter_numpy(values: np.ndarray, index: np.ndarray, rows: int) -> np.ndarray:
    total = np.zeros((rows, *values.shape[index.ndim :]), values.dtype)
    np.add.at(total, index, values)
    return total


def _scatter_onnx(e: Emitter, node: Node, x: str, index: str) -> str:
    x_type, index_type = (value.type for value in node.inputs)
    rows: Size = node.attributes["rows"]
    count = product(index_type.shape)
    columns = product(x_type.shape[index_type.rank :])
    position = e.reshape(_as_i64(e, node, index), index_type.shape, (count,))
    negative = e.node("Less", position, e.constant(np.array(0)))
    position = e.node("Where", negative, e.node("Add", position, e.size(rows)), position)
    if isinstance(rows, int) and rows <= ONE_HOT_ROWS:
        flat = e.reshape(x, x_type.shape, (count, columns))
        hits = e.node("Equal", e.constant(np.arange(rows)[:, None]), position)
        total = e.node("MatMul", e.node("Cast", hits, to=e.onnx_dtype(x_type.dtype)), flat)
        return e.reshape(total, (rows, columns), node.outputs[0].type.shape)
    flat = e.reshape(x, x_type.shape, (count * columns,))
    places = _flat_places(e, position, count, columns, rows)
    zeros = e.node("Expand", e.constant(np.zeros((), numpy_dtype(x_type.dtype))), e.sizes([rows * columns]))
    total = e.node("ScatterElements", zeros, places, flat, axis=0, reduction="add")
    return e.reshape(total, (rows * columns,), node.outputs[0].type.shape)


def _flat_places(e: Emitter, position: str, count: Size, columns: Size, rows: Size) -> str:
    """Where each element of each row goes in the flat result, in 32 bits where they suffice.

    Flat 32-bit places make ScatterElements three times as fast as places of rows.
    """
    elements = rows * columns
    wide = "i32" if isinstance(elements, int) and elements < 2**31 else "i64"
    step = number(e, columns, wide)
    start = e.node("Mul", e.node("Cast", position, to=e.onnx_dtype(wide)), step)
    offsets = e.node("Range", number(e, 0, wide), step, number(e, 1, wide))
    places = e.node("Add", e.reshape(start, (count,), (count, 1)), offsets)
    return e.reshape(places, (count, columns), (count * columns,))


def _torch_scatter(values: Any, index: Any, rows: int) -> Any:
    shape = values.shape[index.ndim :]
    flat = values.reshape(-1, *shape)
    return flat.new_zeros(rows, *shape).index_add(0, index.reshape(-1) % rows, flat)


# --- elements ------------------------------------------------------------------------------------------------------


def _take_along_numpy(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(x, index[..., None], -1)[..., 0]


def _take_along_vjp(b: Builder, g: Value, y: Value, x: Value, index: Value) -> tuple[Value, None]:
    classes = x.type.shape[-1]
    taken = b.one_hot(_from_start(b, index, classes), classes=classes)
    column = b.reshape(g, shape=(*g.type.shape, 1))
    return b.mul(column, b.cast(taken, dtype=g.type.dtype)), None


def _take_along_onnx(e: Emitter, node: Node, x: str, index: str) -> str:
    last = e.constant(np.array([-1]))
    column = e.node("Unsqueeze", _as_i64(e, node, index), last)
    return e.node("Squeeze", e.node("GatherElements", x, column, axis=-1), last)


def _one_hot_numpy(index: np.ndarray, classes: int) -> np.ndarray:
    return (index[..., None] == np.arange(classes)).astype(np.float32)


def _one_hot_onnx(e: Emitter, node: Node, index: str) -> str:
    # A comparison costs a fifth of ONNX's OneHot, which also counts negative positions from the end.
    column = e.node("Unsqueeze", _as_i64(e, node, index, 0), e.constant(np.array([-1])))
    classes: Size = node.attributes["classes"]
    if isinstance(classes, int):
        positions = e.constant(np.arange(classes))
    else:
        positions = e.node("Range", e.constant(np.array(0)), e.size(classes), e.constant(np.array(1)))
    return e.node("Cast", e.node("Equal", column, positions), to=e.onnx_dtype("f32"))


OPERATORS: tuple[Op, ...] = (
    Op(
        "gather(x: t[r, *s], index: i[*k]) -> t[*k, *s]",
        doc="The rows of x at the given positions, which lie in -r … r - 1; negative ones count from the end.",
        numpy=lambda x, index: np.take(x, index, axis=0),
        vjp=lambda b, g, y, x, index: (b.scatter_rows(g, index, rows=x.type.shape[0]), None),
        onnx=lambda e, node, x, index: e.node("Gather", x, _as_i64(e, node, index), axis=0),
        samples=(
            S((3, 4), _ROWS, torch=lambda x, index: x[index]),
            S((4, 2, 3), _PAIRS, torch=lambda x, index: x[index]),
            S((5,), np.array(2), torch=lambda x, index: x[index]),
            S((300, 4), np.array([299, 7, 7, 0], np.int32), torch=lambda x, index: x[index]),
            S(np.arange(6).reshape(3, 2), _ROWS, torch=lambda x, index: x[index]),
            Bad((3, 4), (2,), code="type-mismatch"),
            Bad((), _ROWS, code="rank-mismatch"),
        ),
    ),
    Op(
        "scatter_rows(values: f[*u], index: i[*k], rows: size) -> f",
        doc="Zeros of the given number of rows, with each row of x added to the row at its position: the transpose of "
        "gather. Positions may repeat; they lie in -rows … rows - 1, and negative ones count from the end.",
        numpy=_scatter_numpy,
        vjp=lambda b, g, y, values, index, rows: (b.gather(g, index), None),
        shape=_scatter_shape,
        onnx=_scatter_onnx,
        samples=(
            S((4, 3), _ROWS, rows=3, torch=_torch_scatter),
            S((2, 3, 2, 2), _PAIRS, rows=4, torch=_torch_scatter),
            S((4,), _ROWS, rows=5, torch=_torch_scatter),
            S((4, 3), _ROWS, rows=300, torch=_torch_scatter),
            S((2, 3, 2, 2), _PAIRS.astype(np.int32), rows=300, torch=_torch_scatter),
            Bad((4, 3), _PAIRS, rows=4, code="shape-mismatch"),
        ),
    ),
    Op(
        "take_along(x: t[*s, c], index: i[*s]) -> t[*s]",
        doc="From each last axis of x the element at its position, which lies in -c … c - 1.",
        numpy=_take_along_numpy,
        vjp=_take_along_vjp,
        onnx=_take_along_onnx,
        samples=(
            S((4, 3), _ROWS, torch=lambda x, index: x.gather(-1, index[..., None] % 3)[..., 0]),
            S((2, 3, 4), _PAIRS, torch=lambda x, index: x.gather(-1, index[..., None] % 4)[..., 0]),
            S((4, 3), _ROWS.astype(np.int32)),
            Bad((2, 4), _ROWS, code="shape-mismatch"),
        ),
    ),
    Op(
        "one_hot(index: i[*s], classes: size) -> f32[*s, classes]",
        doc="1 at each position and 0 elsewhere; a position outside 0 … classes - 1 gives zeros.",
        numpy=_one_hot_numpy,
        nondiff="its argument is a position",
        onnx=_one_hot_onnx,
        samples=(
            S(
                np.array([2, 0, 1]),
                classes=3,
                torch=lambda index, classes: torch.nn.functional.one_hot(index, classes).float(),
            ),
            S(np.array([[5, -1], [3, 0]], np.int32), classes=4),
            S(np.array(1), classes=2),
        ),
    ),
)
