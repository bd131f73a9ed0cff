"""Sums and products of everything before each element along an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.types import TensorType

from ..op import Bad, Op, S
from .common import normal_axis
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value


def _along(x: TensorType, axis: int, reverse: bool, exclusive: bool) -> TensorType:
    normal_axis(axis, x.rank)
    return x


def _accumulated(function: Any, neutral: float) -> Any:
    """The meaning in NumPy, of its running function `function`."""

    def meaning(x: np.ndarray, axis: int, reverse: bool, exclusive: bool) -> np.ndarray:
        ahead = np.flip(x, axis) if reverse else x
        total = function(ahead, axis=axis, dtype=x.dtype)
        if exclusive:
            first = np.full_like(np.take(x, [0] * min(1, x.shape[axis]), axis), neutral)
            total = np.concatenate([first, np.delete(total, -1, axis)], axis) if x.shape[axis] else total
        return np.flip(total, axis) if reverse else total

    return meaning


# --- sums ----------------------------------------------------------------------------------------------------------


def _cumsum_vjp(b: Builder, g: Value, y: Value, x: Value, axis: int, reverse: bool, exclusive: bool) -> tuple[Value]:
    return (b.cumsum(g, axis=axis, reverse=not reverse, exclusive=exclusive),)


def _cumsum_onnx(e: Emitter, node: Node, x: str) -> str:
    axis, reverse, exclusive = (node.attributes[name] for name in ("axis", "reverse", "exclusive"))
    return e.node("CumSum", x, e.constant(np.array(axis, np.int64)), reverse=int(reverse), exclusive=int(exclusive))


# --- products ------------------------------------------------------------------------------------------------------


def _cumprod_body(b: Builder, x: Value, axis: int, reverse: bool, exclusive: bool) -> Value:
    at, last = normal_axis(axis, x.type.rank), x.type.rank - 1
    perm = tuple(range(last + 1))
    perm = (*perm[:at], *perm[at + 1 :], at)  # to the end, and back
    back = tuple(int(i) for i in np.argsort(perm))
    rows = b.transpose(x, perm=perm) if at != last else x
    found = _products_before(b, rows, reverse=reverse, exclusive=exclusive)
    return b.transpose(found, perm=back) if at != last else found


def _products_before(b: Builder, x: Value, *, reverse: bool, exclusive: bool) -> Value:
    """Running products along the last axis; without division, so that zeros are exact."""
    count = x.type.shape[-1]
    if isinstance(count, int):
        start = _shifted(b, x, min(1, count), from_left=not reverse) if exclusive else x
        return _doubling(b, start, count, from_left=not reverse)
    rows, columns = b.reshape(b.iota(count=count), shape=(count, 1)), b.iota(count=count)
    before, after = (columns, rows) if not reverse else (rows, columns)
    reached = b.less(before, after) if exclusive else b.less_equal(before, after)
    return b.prod(b.select(reached, b.reshape(x, shape=(*x.type.shape[:-1], 1, count)), 1.0), axis=-1)


def products_of_others(b: Builder, x: Value) -> Value:
    """For each element, the product of the others along the last axis; without division, so that zeros are exact."""
    count = x.type.shape[-1]
    if isinstance(count, int):
        before, after = (_products_before(b, x, reverse=reverse, exclusive=True) for reverse in (False, True))
        return b.mul(before, after)
    position = b.iota(count=count)
    itself = b.equal(b.reshape(position, shape=(count, 1)), position)
    columns = b.reshape(x, shape=(*x.type.shape[:-1], 1, count))
    return b.prod(b.select(itself, 1.0, columns), axis=-1)


def _doubling(b: Builder, total: Value, count: int, *, from_left: bool) -> Value:
    """Running products in a logarithmic number of steps."""
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


OPERATORS: tuple[Op, ...] = (
    Op(
        "cumsum(x: n[*s], axis: int = -1, reverse: bool = false, exclusive: bool = false) -> n[*s]",
        doc="Running sum along an axis, each element included unless `exclusive`; from the end where `reverse`.",
        numpy=_accumulated(np.cumsum, 0),
        vjp=_cumsum_vjp,
        shape=_along,
        onnx=_cumsum_onnx,
        samples=(
            S((2, 3), torch=lambda x: x.cumsum(-1)),
            S((2, 3, 4), axis=1, torch=torch.cumsum),
            S((5,), reverse=True, torch=lambda x, reverse: x.flip(0).cumsum(0).flip(0)),
            S((2, 5), exclusive=True, torch=lambda x, exclusive: x.cumsum(-1) - x),
            S((5, 2), axis=0, reverse=True, exclusive=True),
            S((2, 0)),
            Bad((2,), axis=-2, code="bad-axis"),
        ),
    ),
    Op(
        "cumprod(x: n[*s], axis: int = -1, reverse: bool = false, exclusive: bool = false) -> n[*s]",
        doc="Running product along an axis, each element included unless `exclusive`; from the end where `reverse`. "
        "The gradient is exact where there are zeros.",
        numpy=_accumulated(np.cumprod, 1),
        body=_cumprod_body,
        shape=_along,
        samples=(
            S((2, 5), torch=lambda x: x.cumprod(-1)),
            S((2, 3, 4), axis=1, torch=torch.cumprod),
            S((5, 2), axis=0, reverse=True, torch=lambda x, axis, reverse: x.flip(0).cumprod(0).flip(0)),
            S((2, 5), exclusive=True),
            S((6, 2), axis=0, reverse=True, exclusive=True),
            S(np.array([[2.0, 0.0, 3.0, 4.0], [0.0, 5.0, 0.0, 2.0]], np.float32), torch=lambda x: x.cumprod(-1)),
            S((2, 0)),
            Bad((2,), axis=1, code="bad-axis"),
        ),
    ),
)
