"""Sums, means, norms, extremes and products over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from ..dtypes import largest
from ..op import Bad, Op, S
from .common import divided, normal_axes, normal_axis, number, product
from .reference import torch
from .running import products_of_others

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


def _extreme(function: Callable[..., Any], sign: int) -> Callable[..., Any]:
    """The largest (`sign` -1) or smallest of nothing is the bound that everything passes."""

    def meaning(x: np.ndarray, axis: Axes, keepdims: bool) -> np.ndarray:
        integral = x.dtype.kind in "iu"
        bound = (np.iinfo(x.dtype).min if sign < 0 else np.iinfo(x.dtype).max) if integral else sign * np.inf
        return function(x, axis=axis, keepdims=keepdims, initial=bound)

    return meaning


def _onnx(op_type: str, otherwise: str = "Identity") -> Callable[..., str]:
    """The lowering to one ONNX node; `otherwise` is what a reduction over no axis comes to."""

    def lower(e: Emitter, node: Node, x: str) -> str:
        axes = normal_axes(node.attributes["axis"], node.inputs[0].type.rank)
        if not axes:
            return e.node(otherwise, x)
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
    others = products_of_others(b, x, axes[0]) if len(axes) == 1 else _products_over_several(b, x, axes)
    return (b.mul(_kept_axes(b, g, x, axis), others),)


def _products_over_several(b: Builder, x: Value, axes: tuple[int, ...]) -> Value:
    """For each element, the product of the others over these axes: as one axis, at the end."""
    order = (*(i for i in range(x.type.rank) if i not in axes), *axes)
    moved = b.transpose(x, perm=order)
    kept = moved.type.shape[: x.type.rank - len(axes)]
    rows = b.reshape(moved, shape=(*kept, product(x.type.shape[i] for i in axes)))
    others = b.reshape(products_of_others(b, rows, len(kept)), shape=moved.type.shape)
    return b.transpose(others, perm=tuple(int(i) for i in np.argsort(order)))


# --- norms and logarithms ------------------------------------------------------------------------------------------


def _reduce_l2_numpy(x: np.ndarray, axis: Axes, keepdims: bool) -> np.ndarray:
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)).astype(x.dtype)


def _reduce_l2_vjp(b: Builder, g: Value, y: Value, x: Value, axis: Axes, keepdims: bool) -> tuple[Value]:
    share = b.div(g, b.select(b.equal(y, 0.0), 1.0, y))
    return (b.mul(x, _kept_axes(b, share, x, axis)),)


def _logsumexp_numpy(x: np.ndarray, axis: Axes, keepdims: bool) -> np.ndarray:
    largest = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(largest), largest, np.zeros_like(largest))
    total = np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True)) + shift
    return total if keepdims else total.reshape(np.sum(x, axis=axis).shape)


def _logsumexp_body(b: Builder, x: Value, axis: Axes, keepdims: bool) -> Value:
    """The largest element only keeps eˣ in range; bounded, it is a number even where all are infinite."""
    bound = largest(x.type.dtype)
    shift = b.clip(b.stop_gradient(b.max(x, axis=axis, keepdims=True)), low=-bound, high=bound)
    total = b.add(b.log(b.sum(b.exp(b.sub(x, shift)), axis=axis, keepdims=True)), shift)
    return total if keepdims else b.reshape(total, shape=_reduced(x.type, axis, keepdims).shape)


def _mean_onnx(e: Emitter, node: Node, x: str) -> str:
    """ReduceMean. Of nothing, ONNX Runtime gives 0: where that may be, 0 divided by the number of elements is added."""
    type_ = node.inputs[0].type
    mean = _onnx("ReduceMean")(e, node, x)
    count = product(type_.shape[axis] for axis in normal_axes(node.attributes["axis"], type_.rank))
    if isinstance(count, int) and count:
        return mean
    nothing = e.node("Div", e.constant(np.float32(0)), number(e, count, "f32"))
    if type_.dtype != "f32":
        nothing = e.node("Cast", nothing, to=e.onnx_dtype(type_.dtype))
    return e.node("Add", mean, nothing)


# --- positions -----------------------------------------------------------------------------------------------------


def _arg_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    def position(x: np.ndarray, axis: int, last: bool) -> np.ndarray:
        if not last:
            return function(x, axis=axis)
        return x.shape[axis] - 1 - function(np.flip(x, axis), axis=axis)

    return position


def _arg_onnx(op_type: str) -> Callable[..., str]:
    def lower(e: Emitter, node: Node, x: str) -> str:
        # Counted from the left: by an axis below 0, ONNX Runtime reduces nothing where x has no elements.
        axis = normal_axis(node.attributes["axis"], node.inputs[0].type.rank)
        return e.node(op_type, x, axis=axis, keepdims=0, select_last_index=int(node.attributes["last"]))

    return lower


def _position(x: TensorType, axis: int, last: bool) -> TensorType:
    return TensorType("i64", _reduced(x, (axis,), False).shape)


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
        onnx=_mean_onnx,
        samples=(
            S((2, 3), torch=torch.mean),
            S((2, 3, 4), axis=(0, 2), torch=torch.mean),
            S((2, 3, 4), axis=(-1,), keepdims=True, torch=torch.mean),
        ),
    ),
    Op(
        "max(x: n[*s], axis: ints = none, keepdims: bool = false) -> n",
        doc="Largest element over the given axes, over all where none is given. Ties share the gradient equally.",
        numpy=_extreme(np.max, -1),
        vjp=_extreme_vjp,
        shape=_reduced,
        onnx=_onnx("ReduceMax"),
        samples=(
            S((2, 3), torch=torch.amax),
            S((2, 3, 4), axis=(0, 2), torch=torch.amax),
            S((2, 3, 4), axis=(-1,), keepdims=True, torch=torch.amax),
            S(_TIES, axis=(1,), torch=torch.amax, differentiable=False),
            S(np.array([[1, 5, 2]]), axis=(0,), torch=torch.amax),
            S((0, 3), axis=(0,), differentiable=False),
        ),
    ),
    Op(
        "min(x: n[*s], axis: ints = none, keepdims: bool = false) -> n",
        doc="Smallest element over the given axes, over all where none is given. Ties share the gradient equally.",
        numpy=_extreme(np.min, 1),
        vjp=_extreme_vjp,
        shape=_reduced,
        onnx=_onnx("ReduceMin"),
        samples=(
            S((2, 3), torch=torch.amin),
            S((2, 3, 4), axis=(1,), keepdims=True, torch=torch.amin),
            S(_TIES, axis=(0,), torch=torch.amin, differentiable=False),
            S((2, 0), axis=(1,), differentiable=False),
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
        "reduce_l1(x: n[*s], axis: ints = none, keepdims: bool = false) -> n",
        doc="Sum of the absolute values over the given axes, over all where none is given. The gradient at 0 is 0.",
        numpy=lambda x, axis, keepdims: np.sum(np.abs(x), axis=axis, keepdims=keepdims).astype(x.dtype),
        body=lambda b, x, axis, keepdims: b.sum(b.abs(x), axis=axis, keepdims=keepdims),
        shape=_reduced,
        onnx=_onnx("ReduceL1", otherwise="Abs"),
        samples=(
            S((2, 3), torch=lambda x: x.abs().sum()),
            S((2, 3, 4), axis=(0, -1), keepdims=True, torch=lambda x, **to: x.norm(1, to["axis"], to["keepdims"])),
            S((2, 1), axis=(), torch=lambda x, axis: x.abs()),
            S(np.array([[3, -4], [0, -1]]), axis=(1,)),
            Bad((2, 3), axis=(2,), code="bad-axis"),
        ),
    ),
    Op(
        "reduce_l2(x: n[*s], axis: ints = none, keepdims: bool = false) -> n",
        doc="Root of the sum of squares over the given axes, over all where none is given. The gradient of a norm of 0 "
        "is 0.",
        numpy=_reduce_l2_numpy,
        vjp=_reduce_l2_vjp,
        shape=_reduced,
        onnx=_onnx("ReduceL2", otherwise="Abs"),
        samples=(
            S((2, 3), torch=lambda x: x.norm()),
            S((2, 3, 4), axis=(0, -1), keepdims=True, torch=lambda x, **to: x.norm(2, to["axis"], to["keepdims"])),
            S((2, 1), axis=(), torch=lambda x, axis: x.abs()),
            S(np.array([[3, -4], [0, -1]], np.int32), axis=(1,)),
        ),
    ),
    Op(
        "reduce_sum_square(x: n[*s], axis: ints = none, keepdims: bool = false) -> n",
        doc="Sum of the squares over the given axes, over all where none is given.",
        numpy=lambda x, axis, keepdims: np.sum(x * x, axis=axis, keepdims=keepdims).astype(x.dtype),
        body=lambda b, x, axis, keepdims: b.sum(b.mul(x, x), axis=axis, keepdims=keepdims),
        shape=_reduced,
        samples=(
            S((2, 3), torch=lambda x: (x * x).sum()),
            S((2, 3, 4), axis=(0, -1), keepdims=True, torch=lambda x, **to: (x * x).sum(to["axis"], to["keepdims"])),
            S(np.array([[3, -4], [0, -1]]), axis=(1,)),
        ),
    ),
    Op(
        "reduce_log_sum(x: f[*s], axis: ints = none, keepdims: bool = false) -> f",
        doc="Logarithm of the sum over the given axes, over all where none is given.",
        numpy=lambda x, axis, keepdims: np.log(np.sum(x, axis=axis, keepdims=keepdims)),
        body=lambda b, x, axis, keepdims: b.log(b.sum(x, axis=axis, keepdims=keepdims)),
        shape=_reduced,
        samples=(
            S((2, 3), torch=lambda x: x.sum().log(), positive=True),
            S((2, 3, 4), axis=(-1,), keepdims=True, torch=lambda x, **to: x.sum(*to.values()).log(), positive=True),
        ),
    ),
    Op(
        "logsumexp(x: f[*s], axis: ints = none, keepdims: bool = false) -> f",
        doc="Logarithm of the sum of eˣ over the given axes, over all where none is given; without overflow.",
        numpy=_logsumexp_numpy,
        body=_logsumexp_body,
        shape=_reduced,
        samples=(
            S((2, 3), torch=lambda x: x.logsumexp((0, 1))),
            S((2, 3, 4), axis=(0, -1), keepdims=True, torch=lambda x, **to: x.logsumexp(*to.values())),
            S(np.array([[1000.0, 999.0], [-1000.0, -1000.0]], np.float32), axis=(1,), torch=torch.logsumexp),
            S((2, 3), axis=(), torch=lambda x, axis: x + 0),
        ),
    ),
    Op(
        "argmax(x: n[*s], axis: int = -1, last: bool = false) -> i64",
        doc="Position of the largest element along an axis; in a tie the first, or the last where `last`.",
        numpy=_arg_numpy(np.argmax),
        nondiff=_POSITION,
        shape=_position,
        onnx=_arg_onnx("ArgMax"),
        samples=(
            S((2, 3), torch=lambda x: x.argmax(-1)),
            S((2, 3, 4), axis=1, torch=torch.argmax),
            S(_TIES, axis=0, torch=torch.argmax),
            S(_TIES, axis=1, last=True),
            S((0, 3), torch=lambda x: x.argmax(-1)),
            Bad((2,), axis=1, code="bad-axis"),
        ),
    ),
    Op(
        "argmin(x: n[*s], axis: int = -1, last: bool = false) -> i64",
        doc="Position of the smallest element along an axis; in a tie the first, or the last where `last`.",
        numpy=_arg_numpy(np.argmin),
        nondiff=_POSITION,
        shape=_position,
        onnx=_arg_onnx("ArgMin"),
        samples=(S((2, 3), torch=lambda x: x.argmin(-1)), S(_TIES, axis=1, torch=torch.argmin), S(_TIES, last=True)),
    ),
)
