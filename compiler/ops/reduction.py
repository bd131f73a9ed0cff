"""Sums, means, extremes and products over axes, and running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from ..op import Bad, Op, S
from .common import divided, normal_axes, normal_axis, product
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

Axes = tuple[int, ...] | None

_TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], np.float32)
_POSITION = "the result is a position"


def _reduced(x: TensorType, axis: Axes, keepdims: bool) -> TensorType:
    axes = normal_axes(axis, x.rank)
    if keepdims:
        return TensorType(x.dtype, _kept(x.shape, axes))
    return TensorType(x.dtype, tuple(size for i, size in enumerate(x.shape) if i not in axes))


def _kept(shape: tuple[Size, ...], axes: tuple[int, ...]) -> tuple[Size, ...]:
    return tuple(1 if i in axes else size for i, size in enumerate(shape))


def _numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis, keepdims: function(x, axis=axis, keepdims=keepdims).astype(x.dtype)


def _onnx(op_type: str) -> Callable[..., str]:
    def lower(e: Emitter, node: Node, x: str) -> str:
        axes = normal_axes(node.attributes["axis"], node.inputs[0].type.rank)
        if not axes:
            return e.node("Identity", x)
        return e.node(op_type, x, e.constant(np.array(axes, np.int64)), keepdims=int(node.attributes["keepdims"]))

    return lower


def _kept_axes(b: Builder, value: Value, x: Value, axis: Axes) -> Value:
    """A reduction of `x`, or its gradient, with axes of size 1 where it was reduced."""
    return b.reshape(value, shape=_kept(x.type.shape, normal_axes(axis, x.type.rank)))


def _sum_vjp(b: Builder, g: Value, y: Value, x: Value, axis: Axes, keepdims: bool) -> tuple[Value]:
    return (b.expand(_kept_axes(b, g, x, axis), shape=x.type.shape),)


def _mean_vjp(b: Builder, g: Value, y: Value, x: Value, axis: Axes, keepdims: bool) -> tuple[Value]:
    share = divided(b, g, product(x.type.shape[i] for i in normal_axes(axis, x.type.rank)))
    return _sum_vjp(b, share, y, x, axis, keepdims)


def _extreme_vjp(b: Builder, g: Value, y: Value, x: Value, axis: Axes, keepdims: bool) -> tuple[Value]:
    taken = b.cast(b.equal(x, _kept_axes(b, y, x, axis)), dtype=x.type.dtype)
    ties = b.sum(taken, axis=normal_axes(axis, x.type.rank), keepdims=True)
    return (b.mul(taken, b.div(_kept_axes(b, g, x, axis), ties)),)


def _prod_vjp(b: Builder, g: Value, y: Value, x: Value, axis: Axes, keepdims: bool) -> tuple[Value]:
    axes = normal_axes(axis, x.type.rank)
    order = (*(i for i in range(x.type.rank) if i not in axes), *axes)
    moved = b.transpose(x, perm=order)
    kept = moved.type.shape[: x.type.rank - len(axes)]
    rows = b.reshape(moved, shape=(*kept, product(x.type.shape[i] for i in axes)))
    others = b.reshape(_products_of_others(b, rows), shape=moved.type.shape)
    inverse = tuple(int(i) for i in np.argsort(order))
    return (b.mul(_kept_axes(b, g, x, axis), b.transpose(others, perm=inverse)),)


def _products_of_others(b: Builder, x: Value) -> Value:
    """For each element, the product of the others along the last axis; without division, so that zeros are exact."""
    count = x.type.shape[-1]
    if isinstance(count, int):
        return b.mul(_running_product(b, x, count, from_left=True), _running_product(b, x, count, from_left=False))
    position = b.iota(count=count)
    itself = b.equal(b.reshape(position, shape=(count, 1)), position)
    columns = b.reshape(x, shape=(*x.type.shape[:-1], 1, count))
    return b.prod(b.select(itself, 1.0, columns), axis=-1)


def _running_product(b: Builder, x: Value, count: int, *, from_left: bool) -> Value:
    """For each element, the product of those before it (or after it), in a logarithmic number of steps."""
    total = _shifted(b, x, min(1, count), from_left=from_left)
    reach = 1
    while reach < count:
        total = b.mul(total, _shifted(b, total, reach, from_left=from_left))
        reach *= 2
    return total


def _shifted(b: Builder, x: Value, by: int, *, from_left: bool) -> Value:
    """`x` moved along its last axis, with ones where nothing came."""
    count = x.type.shape[-1]
    start, stop = (0, count - by) if from_left else (by, count)
    kept = b.slice(x, starts=start, stops=stop, axes=x.type.rank - 1, steps=1)
    none = (0,) * (x.type.rank - 1)
    before, after = (by, 0) if from_left else (0, by)
    return b.pad(kept, before=(*none, before), after=(*none, after), value=1.0)


def _arg_onnx(op_type: str) -> Callable[..., str]:
    def lower(e: Emitter, node: Node, x: str) -> str:
        return e.node(op_type, x, axis=node.attributes["axis"], keepdims=0)

    return lower


def _position(x: TensorType, axis: int) -> TensorType:
    return TensorType("i64", _reduced(x, (axis,), False).shape)


def _cumsum_numpy(x: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
    if reverse:
        return np.flip(np.cumsum(np.flip(x, axis), axis=axis, dtype=x.dtype), axis)
    return np.cumsum(x, axis=axis, dtype=x.dtype)


def _cumsum_shape(x: TensorType, axis: int, reverse: bool) -> TensorType:
    normal_axis(axis, x.rank)
    return x


def _cumsum_vjp(b: Builder, g: Value, y: Value, x: Value, axis: int, reverse: bool) -> tuple[Value]:
    return (b.cumsum(g, axis=axis, reverse=not reverse),)


def _cumsum_onnx(e: Emitter, node: Node, x: str) -> str:
    axis = e.constant(np.array(node.attributes["axis"], np.int64))
    return e.node("CumSum", x, axis, reverse=int(node.attributes["reverse"]))


def _torch_sum(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    return x.sum(axis, keepdims) if axis is None or axis else x + 0


def _torch_prod(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
    for one in sorted(normal_axes(axis, x.ndim), reverse=True):
        x = x.prod(one, keepdims)
    return x


OPERATORS: tuple[Op, ...] = (
    Op(
        "sum(x: n[*s], axis: ints = none, keepdims: bool = false) -> n",
        doc="Sum over the given axes, over all where none is given. `keepdims` leaves axes of size 1 in their place.",
        numpy=_numpy(np.sum),
        vjp=_sum_vjp,
        shape=_reduced,
        onnx=_onnx("ReduceSum"),
        samples=(
            S((2, 3), torch=_torch_sum),
            S((), torch=_torch_sum),
            S((2, 3, 4), axis=(1,), torch=_torch_sum),
            S((2, 3, 4), axis=(-1, 0), keepdims=True, torch=_torch_sum),
            S((2, 1), axis=(), torch=_torch_sum),
            S((2, 0, 3), axis=(1,), torch=_torch_sum),
            S(np.arange(6).reshape(2, 3), axis=(0,), torch=_torch_sum),
            Bad((2, 3), axis=(2,), code="bad-axis"),
            Bad((2, 3), axis=(1, -1), code="bad-axis"),
        ),
    ),
    Op(
        "mean(x: f[*s], axis: ints = none, keepdims: bool = false) -> f",
        doc="Mean over the given axes, over all where none is given; NaN of nothing.",
        numpy=_numpy(np.mean),
        vjp=_mean_vjp,
        shape=_reduced,
        onnx=_onnx("ReduceMean"),
        samples=(
            S((2, 3), torch=torch.mean),
            S((2, 3, 4), axis=(0, 2), torch=torch.mean),
            S((2, 3, 4), axis=(-1,), keepdims=True, torch=torch.mean),
        ),
    ),
    Op(
        "max(x: n[*s], axis: ints = none, keepdims: bool = false) -> n",
        doc="Largest element over the given axes, over all where none is given. Ties share the gradient equally.",
        numpy=_numpy(np.max),
        vjp=_extreme_vjp,
        shape=_reduced,
        onnx=_onnx("ReduceMax"),
        samples=(
            S((2, 3), torch=torch.amax),
            S((2, 3, 4), axis=(0, 2), torch=torch.amax),
            S((2, 3, 4), axis=(-1,), keepdims=True, torch=torch.amax),
            S(_TIES, axis=(1,), torch=torch.amax, differentiable=False),
            S(np.array([[1, 5, 2]]), axis=(0,), torch=torch.amax),
        ),
    ),
    Op(
        "min(x: n[*s], axis: ints = none, keepdims: bool = false) -> n",
        doc="Smallest element over the given axes, over all where none is given. Ties share the gradient equally.",
        numpy=_numpy(np.min),
        vjp=_extreme_vjp,
        shape=_reduced,
        onnx=_onnx("ReduceMin"),
        samples=(
            S((2, 3), torch=torch.amin),
            S((2, 3, 4), axis=(1,), keepdims=True, torch=torch.amin),
            S(_TIES, axis=(0,), torch=torch.amin, differentiable=False),
        ),
    ),
    Op(
        "prod(x: n[*s], axis: ints = none, keepdims: bool = false) -> n",
        doc="Product over the given axes, over all where none is given. The gradient is exact where there are zeros.",
        numpy=_numpy(np.prod),
        vjp=_prod_vjp,
        shape=_reduced,
        onnx=_onnx("ReduceProd"),
        samples=(
            S((2, 3), torch=_torch_prod),
            S((2, 3, 4), axis=(1,), torch=_torch_prod),
            S((2, 5, 3), axis=(2, 0), keepdims=True, torch=_torch_prod),
            S(np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 5.0]], np.float32), axis=(1,), torch=_torch_prod),
        ),
    ),
    Op(
        "argmax(x: n[*s], axis: int = -1) -> i64",
        doc="Position of the largest element along an axis, the first of them in a tie.",
        numpy=lambda x, axis: np.argmax(x, axis=axis),
        nondiff=_POSITION,
        shape=_position,
        onnx=_arg_onnx("ArgMax"),
        samples=(
            S((2, 3), torch=lambda x: x.argmax(-1)),
            S((2, 3, 4), axis=1, torch=torch.argmax),
            S(_TIES, axis=0, torch=torch.argmax),
            Bad((2,), axis=1, code="bad-axis"),
        ),
    ),
    Op(
        "argmin(x: n[*s], axis: int = -1) -> i64",
        doc="Position of the smallest element along an axis, the first of them in a tie.",
        numpy=lambda x, axis: np.argmin(x, axis=axis),
        nondiff=_POSITION,
        shape=_position,
        onnx=_arg_onnx("ArgMin"),
        samples=(S((2, 3), torch=lambda x: x.argmin(-1)), S(_TIES, axis=1, torch=torch.argmin)),
    ),
    Op(
        "cumsum(x: n[*s], axis: int = -1, reverse: bool = false) -> n[*s]",
        doc="Running sum along an axis, each element included; from the end where `reverse`.",
        numpy=_cumsum_numpy,
        vjp=_cumsum_vjp,
        shape=_cumsum_shape,
        onnx=_cumsum_onnx,
        samples=(
            S((2, 3), torch=lambda x: x.cumsum(-1)),
            S((2, 3, 4), axis=1, torch=torch.cumsum),
            S((5,), reverse=True, torch=lambda x, reverse: x.flip(0).cumsum(0).flip(0)),
            Bad((2,), axis=-2, code="bad-axis"),
        ),
    ),
)
