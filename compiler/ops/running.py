"""Sums and products of everything before each element along an axis."""

from __future__ import annotations

from collections.abc import Callable
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


def products_of_others(b: Builder, x: Value, axis: int) -> Value:
    """For each element, the product of the others along an axis; without division, so that zeros are exact.

    Halves are multiplied with each other, and the products of the others among those serve both: every level has half
    of the elements of the one before.
    """
    count = x.type.shape[axis]
    if not isinstance(count, int):
        return _products_where(b, x, axis, b.not_equal)
    if count <= 1:
        return b.full(shape=x.type.shape, value=1.0, dtype=x.type.dtype)
    even = _padded(b, x, axis, after=count % 2)
    half = (count + 1) // 2
    first, second = (_part(b, even, axis, start, start + half) for start in (0, half))
    others = products_of_others(b, b.mul(first, second), axis)
    return _part(b, b.concat(b.mul(others, second), b.mul(others, first), axis=axis), axis, 0, count)


def _cumprod_body(b: Builder, x: Value, axis: int, reverse: bool, exclusive: bool) -> Value:
    at = normal_axis(axis, x.type.rank)
    count = x.type.shape[at]
    if not isinstance(count, int):
        before = {(False, False): b.less_equal, (False, True): b.less, (True, False): b.greater_equal}
        return _products_where(b, x, at, before.get((reverse, exclusive), b.greater))
    if count == 0:
        return x
    if exclusive:
        kept = _part(b, x, at, 1, count) if reverse else _part(b, x, at, 0, count - 1)
        x = _padded(b, kept, at, before=int(not reverse), after=int(reverse))
    return _running_product(b, x, at, reverse)


def _running_product(b: Builder, x: Value, axis: int, reverse: bool) -> Value:
    """Neighbours are multiplied in pairs; the running products of the pairs are every other one of the elements.

    The rest are those of the pairs before, times one element each (Blelloch 1990).
    """
    count = x.type.shape[axis]
    assert isinstance(count, int)
    if count == 1:
        return x
    even = _padded(b, x, axis, before=count % 2 * reverse, after=count % 2 * (not reverse))
    size = count + count % 2
    first, second = (_part(b, even, axis, start, size, 2) for start in ((1, 0) if reverse else (0, 1)))
    ends = _running_product(b, b.mul(first, second), axis, reverse)
    half = size // 2
    previous = _part(b, ends, axis, 1, half) if reverse else _part(b, ends, axis, 0, half - 1)
    previous = _padded(b, previous, axis, before=int(not reverse), after=int(reverse))
    between = b.mul(previous, first)
    woven = _woven(b, ends, between, axis) if reverse else _woven(b, between, ends, axis)
    return _part(b, woven, axis, count % 2 * reverse, count + count % 2 * reverse)


def _products_where(b: Builder, x: Value, axis: int, chosen: Callable[..., Value]) -> Value:
    """For each element, the product of those along an axis whose position, compared with its own, is chosen.

    Of an axis whose size only the run knows; takes the square of its memory.
    """
    count = x.type.shape[axis]
    position = b.iota(count=count)
    last = x.type.rank - 1
    perm = (*(i for i in range(last + 1) if i != axis), axis)
    rows = b.transpose(x, perm=perm)
    taken = chosen(position, b.reshape(position, shape=(count, 1)))
    found = b.prod(b.select(taken, b.reshape(rows, shape=(*rows.type.shape[:-1], 1, count)), 1.0), axis=-1)
    return b.transpose(found, perm=tuple(int(i) for i in np.argsort(perm)))


def _part(b: Builder, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    if (start, stop, step) == (0, x.type.shape[axis], 1):
        return x
    return b.slice(x, starts=start, stops=stop, axes=axis, steps=step)


def _padded(b: Builder, x: Value, axis: int, before: int = 0, after: int = 0) -> Value:
    """`x` with ones before or after it along an axis."""
    if not before and not after:
        return x
    none = (0,) * x.type.rank
    return b.pad(
        x, before=(*none[:axis], before, *none[axis + 1 :]), after=(*none[:axis], after, *none[axis + 1 :]), value=1.0
    )


def _woven(b: Builder, x: Value, y: Value, axis: int) -> Value:
    """x₀, y₀, x₁, y₁, … along an axis."""
    *before, count = x.type.shape[: axis + 1]
    after = x.type.shape[axis + 1 :]
    x, y = (b.reshape(value, shape=(*before, count, 1, *after)) for value in (x, y))
    return b.reshape(b.concat(x, y, axis=axis + 1), shape=(*before, 2 * count, *after))


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
