"""Operators whose results are as large as the data say.

Each determines the size of its result: a symbol that has its value once the operator has run. `arange` is how a number
of the graph becomes a size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size, decide_less
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import normal_axis, product, shape_mismatch
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value


# --- arange --------------------------------------------------------------------------------------------------------


def _arange_numpy(start: np.ndarray, stop: np.ndarray, step: np.ndarray, count: None) -> np.ndarray:
    length = max(0, int(np.ceil((stop.astype(np.float64) - start) / step)))
    return start + np.arange(length).astype(start.dtype) * step


def _arange_vjp(
    b: Builder, g: Value, y: Value, start: Value, stop: Value, step: Value, count: Size
) -> tuple[Value, None, Value]:
    rounds = b.cast(b.iota(count=count), dtype=g.type.dtype)
    return b.sum(g), None, b.sum(b.mul(g, rounds))


_RANGE_DTYPES = ("i64", "i32", "i16", "f32", "f64")


def _arange_onnx(e: Emitter, node: Node, start: str, stop: str, step: str) -> str:
    dtype = node.inputs[0].type.dtype
    if dtype in ("i32", "i64"):
        # ONNX Runtime 1.31 makes a Slice of a Gather whose positions are a Range, and a Slice counts numbers below 0
        # from the end, its stop too. Only where there can be none may Gather meet Range.
        first, by = e.known(start), e.known(step)
        if first is not None and by is not None and first >= 0 and by > 0:
            return e.node("Range", start, stop, step)
        zero = e.constant(np.zeros((), numpy_dtype(dtype)))
        return e.node("Add", e.node("Range", zero, e.node("Sub", stop, start), step), start)
    if dtype in _RANGE_DTYPES:
        return e.node("Range", start, stop, step)
    wide = e.onnx_dtype("f32" if dtype in ("f16", "bf16") else "i64")
    ends = (e.node("Cast", end, to=wide) for end in (start, stop, step))
    return e.node("Cast", e.node("Range", *ends), to=e.onnx_dtype(dtype))


# --- nonzero, compress, masked_select ------------------------------------------------------------------------------

_NONZERO_DTYPES = ("bool", "f32", "i32", "i64", "u8")


def _nonzero_shape(x: TensorType, count: Size) -> TensorType:
    if not x.rank:
        raise shape_mismatch("a scalar has no positions", "one axis or more", "a scalar")
    return TensorType("i64", (x.rank, count))


def _nonzero_onnx(e: Emitter, node: Node, x: str) -> str:
    given = node.inputs[0].type.dtype in _NONZERO_DTYPES
    return e.node("NonZero", x if given else e.node("Cast", x, to=e.onnx_dtype("bool")))


def _flat(b: Builder, x: Value) -> Value:
    return b.reshape(x, shape=(product(x.type.shape),))


def _compress_shape(x: TensorType, condition: TensorType, axis: int | None, count: Size) -> TensorType:
    at = None if axis is None else normal_axis(axis, x.rank)
    size = product(x.shape) if at is None else x.shape[at]
    if decide_less(size, condition.shape[0]):
        raise shape_mismatch("the condition is longer than what it chooses from", f"at most {size}", condition)
    return TensorType(x.dtype, (count,) if at is None else (*x.shape[:at], count, *x.shape[at + 1 :]))


def _compress_numpy(x: np.ndarray, condition: np.ndarray, axis: int | None, count: None) -> np.ndarray:
    return np.compress(condition, x, axis)


def _compress_body(b: Builder, x: Value, condition: Value, axis: int | None, count: Size) -> Value:
    chosen = b.reshape(b.nonzero(condition, count=count), shape=(count,))
    return b.gather(_flat(b, x), chosen) if axis is None else b.gather(x, chosen, axis=axis)


def _compress_onnx(e: Emitter, node: Node, x: str, condition: str) -> str:
    axis = node.attributes["axis"]
    return e.node("Compress", x, condition, **({} if axis is None else {"axis": axis}))


# --- unique --------------------------------------------------------------------------------------------------------

_UNIQUE_DTYPES = {"f32": "f32", "f64": "f64", "f16": "f32", "bf16": "f32", "i8": "i8"}


def _positions_shape(x: TensorType, axis: int, sorted: bool, count: Size) -> tuple[TensorType, ...]:
    at = normal_axis(axis, x.rank)
    first, each = TensorType("i64", (count,)), TensorType("i64", (x.shape[at],))
    return first, each, first


def _positions_numpy(x: np.ndarray, axis: int, sorted: bool, count: None) -> tuple[np.ndarray, ...]:
    _, first, each, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    each = each.reshape(-1)
    if sorted:
        return first, each, counts
    order = np.argsort(first)
    return first[order], np.argsort(order)[each], counts[order]


def _unique_onnx(e: Emitter, node: Node, x: str) -> tuple[str, ...]:
    """ONNX's Unique, in a dtype that it takes; its result in the dtype of x."""
    axis = node.attributes["axis"]
    dtype = node.inputs[0].type.dtype
    taken = _UNIQUE_DTYPES.get(dtype, "i64")
    x = x if taken == dtype else e.node("Cast", x, to=e.onnx_dtype(taken))
    along = {} if axis is None else {"axis": axis}
    found, *rest = e.node("Unique", x, outputs=4, sorted=int(node.attributes["sorted"]), **along)
    return (found if taken == dtype else e.node("Cast", found, to=e.onnx_dtype(dtype)), *rest)


def _unique_shape(x: TensorType, axis: int | None, sorted: bool, count: Size) -> tuple[TensorType, ...]:
    if axis is None:
        x, axis = TensorType(x.dtype, (product(x.shape),)), 0
    at = normal_axis(axis, x.rank)
    found = TensorType(x.dtype, (*x.shape[:at], count, *x.shape[at + 1 :]))
    return (found, *_positions_shape(x, at, sorted, count))


def _unique_body(b: Builder, x: Value, axis: int | None, sorted: bool, count: Size) -> tuple[Value, ...]:
    if axis is None:
        x, axis = _flat(b, x), 0
    positions = b.unique_positions(x, axis=axis, sorted=sorted, count=count)
    return b.gather(x, positions[0], axis=axis), *positions


# --- slices between numbers of the graph ---------------------------------------------------------------------------


def _between_shape(x: TensorType, start: TensorType, stop: TensorType, axis: int, step: int, count: Size) -> TensorType:
    at = normal_axis(axis, x.rank)
    if step == 0:
        raise shape_mismatch("a slice cannot have step 0", "a step above or below 0", step)
    return TensorType(x.dtype, (*x.shape[:at], count, *x.shape[at + 1 :]))


def _between_body(b: Builder, x: Value, start: Value, stop: Value, axis: int, step: int, count: Size) -> Value:
    size = b.dim(size=x.type.shape[normal_axis(axis, x.type.rank)])
    low, high = (0, size) if step > 0 else (-1, b.sub(size, 1))
    ends = (b.select(b.less(end, 0), b.add(end, size), end) for end in (start, stop))
    first, last = (b.minimum(b.maximum(end, low), high) for end in ends)
    positions = b.arange(first, last, b.constant(step), count=count)
    return b.gather(x, positions, axis=axis)


def _between_numpy(x: np.ndarray, start: np.ndarray, stop: np.ndarray, axis: int, step: int, count: None) -> np.ndarray:
    chosen = range(x.shape[axis])[int(start) : int(stop) : step]
    return np.take(x, np.array(chosen, np.int64), axis)


def _between_onnx(e: Emitter, node: Node, x: str, start: str, stop: str) -> str:
    zero = e.constant(np.zeros(1, np.int64))
    ends = (e.node("Unsqueeze", end, zero) for end in (start, stop))
    axis, step = (e.constant(np.array([node.attributes[name]], np.int64)) for name in ("axis", "step"))
    return e.node("Slice", x, *ends, axis, step)


def _torch_between(x: Any, start: Any, stop: Any, axis: int = 0, step: int = 1) -> Any:
    return x.narrow(axis, int(start), int(stop) - int(start))


def _scalars(dtype: type, *numbers: float) -> list[np.ndarray]:
    return [np.array(number, dtype) for number in numbers]


_FLAGS = np.array([True, False, True, True])
_ONE, _THREE, _LAST = np.array(1), np.array(3), np.array(-1)

OPERATORS: tuple[Op, ...] = (
    Op(
        "arange(start: n, stop: n, step: n, count: size) -> n[count]",
        doc="start, start + step, start + 2 step, … up to but not including stop. Its gradient by `stop` is 0.",
        numpy=_arange_numpy,
        vjp=_arange_vjp,
        determines=("count",),
        onnx=_arange_onnx,
        samples=(
            S(*_scalars(np.int64, 2, 11, 3), torch=torch.arange),
            S(*_scalars(np.int64, 5, -2, -2)),
            S(*_scalars(np.int64, 5, 5, 1)),
            S(*_scalars(np.float32, 0.5, 2.25, 0.5)),
            S(*_scalars(np.float16, 0.5, 2.25, 0.5), differentiable=False),
            S(*_scalars(np.uint8, 3, 9, 2)),
            Bad(np.array(2), np.array(11.0), np.array(3), code="type-mismatch"),
            Bad((1,), (1,), (1,), code="rank-mismatch"),
        ),
    ),
    Op(
        "nonzero(x: t[*s], count: size) -> i64[r, count]",
        doc="The positions of the elements other than 0, row by row: a coordinate of all of them in each row of the "
        "result. PyTorch's `nonzero` is the transpose.",
        numpy=lambda x, count: np.array(np.nonzero(x)),
        nondiff="its result is positions",
        shape=_nonzero_shape,
        determines=("count",),
        onnx=_nonzero_onnx,
        samples=(
            S(np.array([[1, 0, 2], [0, 0, 3]], np.float32), torch=lambda x: torch.nonzero(x).T),
            S(_FLAGS, torch=lambda x: torch.nonzero(x).T),
            S(np.zeros((2, 2), np.int32)),
            S(np.array([[0.0, 0.25]]), torch=lambda x: torch.nonzero(x).T),
            Bad((), code="shape-mismatch"),
        ),
    ),
    Op(
        "compress(x: t[*s], condition: bool[k], axis: int = none, count: size) -> t",
        doc="The slices of x along an axis where the condition holds, in their order; without an axis, the elements of "
        "x, row by row. A condition that is shorter than the axis does not hold for the rest.",
        numpy=_compress_numpy,
        body=_compress_body,
        shape=_compress_shape,
        determines=("count",),
        onnx=_compress_onnx,
        samples=(
            S((4, 3), _FLAGS, axis=0, torch=lambda x, flags, axis: x[flags]),
            S((2, 4, 3), _FLAGS[:3], axis=-2, torch=lambda x, flags, axis: x[:, :3][:, flags]),
            S((2, 3), _FLAGS),
            S((2, 3), np.array([False, False]), axis=0),
            Bad((3, 2), _FLAGS, axis=0, code="shape-mismatch"),
            Bad((4, 2), _FLAGS, axis=2, code="bad-axis"),
            Bad((4, 2), np.array([1, 0]), axis=0, code="type-mismatch"),
        ),
    ),
    Op(
        "masked_select(x: t[*s], mask: bool[*s], count: size) -> t[count]",
        doc="The elements of x where the mask holds, row by row.",
        numpy=lambda x, mask, count: x[mask],
        body=lambda b, x, mask, count: b.compress(_flat(b, x), _flat(b, mask), axis=0, count=count),
        determines=("count",),
        samples=(
            S((2, 2), _FLAGS.reshape(2, 2), torch=torch.masked_select),
            S((4,), np.array([False] * 4), torch=torch.masked_select),
            Bad((4, 2), _FLAGS, code="rank-mismatch"),
        ),
    ),
    Op(
        "unique_positions(x: t[*s], axis: int = 0, sorted: bool = true, count: size) -> (i64, i64, i64)",
        doc="Of the different slices of x along an axis: where each comes first, which of them each slice is, and how "
        "often each comes. In ascending order, or, without `sorted`, as they come.",
        numpy=_positions_numpy,
        nondiff="its results are positions",
        shape=_positions_shape,
        determines=("count",),
        onnx=lambda e, node, x: _unique_onnx(e, node, x)[1:],
        samples=(
            S(np.array([3, 1, 3, 2, 1])),
            S(np.array([3, 1, 3, 2, 1], np.float32), sorted=False),
            S(np.array([[1, 2, 1], [0, 5, 0]], np.int32), axis=1),
            Bad((3,), axis=1, code="bad-axis"),
        ),
    ),
    Op(
        "unique(x: t[*s], axis: int = none, sorted: bool = true, count: size) -> (t, i64, i64, i64)",
        doc="The different slices of x along an axis, or, without one, its different elements; then where each comes "
        "first, which of them each slice is, and how often each comes. In ascending order, or, without `sorted`, as "
        "they come. The gradient goes to where each comes first.",
        body=_unique_body,
        shape=_unique_shape,
        determines=("count",),
        onnx=_unique_onnx,
        samples=(
            S((2, 3)),
            S((3, 2), axis=-2, sorted=False, torch=lambda x, **_: x),
            S(np.array([3, 1, 3, 2, 1]), torch=torch.unique),
            S(np.array([[2, 2, 1], [2, 2, 1], [0, 1, 0]], np.float32), axis=0, differentiable=False),
            S(np.array([[True, True], [False, True]]), axis=1),
            Bad((3,), axis=1, code="bad-axis"),
        ),
    ),
    Op(
        "slice_between(x: t[*s], start: i64, stop: i64, axis: int = 0, step: int = 1, count: size) -> t",
        doc="The elements start, start + step, … before stop along an axis, where start and stop are numbers of the "
        "graph. Below 0 they count from the end; past an end they stand for it.",
        numpy=_between_numpy,
        body=_between_body,
        shape=_between_shape,
        determines=("count",),
        onnx=_between_onnx,
        samples=(
            S((5, 2), _ONE, _THREE, torch=_torch_between),
            S((2, 5), _ONE, np.array(99), axis=-1, step=2),
            S((5, 2), _LAST, np.array(-9), step=-2),
            S((5, 2), np.array(9), np.array(0), step=-1),
            S((5, 2), _THREE, _ONE),
            Bad((5, 2), _ONE, _THREE, step=0, code="shape-mismatch"),
            Bad((5, 2), _ONE, _THREE, axis=2, code="bad-axis"),
            Bad((5, 2), np.array(1, np.int32), _THREE, code="type-mismatch"),
        ),
    ),
)
