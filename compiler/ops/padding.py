"""Operators that lengthen or shorten axes at their ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size, decide_less, maximum
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value, listed, normal_axis, shape_mismatch
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

Sizes = tuple[Size, ...]
Ints = tuple[int, ...]


# --- with one value ------------------------------------------------------------------------------------------------


def _lengthened(x: TensorType, before: Sizes, after: Sizes) -> TensorType:
    if not len(before) == len(after) == x.rank:
        raise bad_value("`before` and `after` say how much for every axis", f"{x.rank} sizes each", listed(before))
    shape = tuple(b + s + a for b, s, a in zip(before, x.shape, after, strict=True))
    if any(decide_less(size, 0) for size in shape):
        raise bad_value("more is cut off than there is", f"less than {listed(x.shape)}", listed((*before, *after)))
    return TensorType(x.dtype, shape)


def _pad_shape(x: TensorType, before: Sizes, after: Sizes, value: float) -> TensorType:
    return _lengthened(x, before, after)


def _pad_numpy(x: np.ndarray, before: Ints, after: Ints, value: float) -> np.ndarray:
    if not x.ndim:
        return x
    kept = tuple(slice(max(-b, 0), n - max(-a, 0)) for b, n, a in zip(before, x.shape, after, strict=True))
    added = [(max(b, 0), max(a, 0)) for b, a in zip(before, after, strict=True)]
    return np.pad(x[kept], added, constant_values=value)


def _pad_vjp(b: Builder, g: Value, y: Value, x: Value, before: Sizes, after: Sizes, value: float) -> tuple[Value]:
    if any(isinstance(size, int) and size < 0 for size in (*before, *after)):
        return (b.pad(g, before=tuple(-size for size in before), after=tuple(-size for size in after)),)
    axes = tuple(i for i in range(x.type.rank) if before[i] != 0 or after[i] != 0)
    starts = tuple(before[i] for i in axes)
    stops = tuple(before[i] + x.type.shape[i] for i in axes)
    return (b.slice(g, starts=starts, stops=stops, axes=axes, steps=(1,) * len(axes)) if axes else g,)


def _pad_onnx(e: Emitter, node: Node, x: str) -> str:
    attributes = node.attributes
    if not node.inputs[0].type.rank:
        return e.node("Identity", x)
    value = np.array(attributes["value"], numpy_dtype(node.inputs[0].type.dtype))
    return e.node("Pad", x, e.sizes([*attributes["before"], *attributes["after"]]), e.constant(value))


def _torch_pad(x: Any, before: Ints, after: Ints, value: float = 0.0) -> Any:
    return torch.nn.functional.pad(x, _torch_pairs(before, after), value=value)


def _torch_pairs(before: Ints, after: Ints) -> list[int]:
    return [size for pair in zip(reversed(before), reversed(after), strict=True) for size in pair]


# --- with what is there --------------------------------------------------------------------------------------------

_TORCH_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}
_REACH = {"reflect": 1, "edge": 1, "wrap": 0}
"""How many elements an axis needs beyond those that are copied to one end; `edge` copies one, however often."""


def _pad_mode_shape(x: TensorType, before: Sizes, after: Sizes, mode: str) -> TensorType:
    if mode not in _TORCH_MODES:
        raise bad_value("there is no such way to go on beyond the ends", "reflect, edge or wrap", mode)
    result = _lengthened(x, before, after)
    for size, added in zip(x.shape * 2, (*before, *after), strict=True):
        needed = _REACH[mode] + (0 if mode == "edge" and added != 0 else added)
        if added != 0 and (decide_less(added, 0) or decide_less(size, needed)):
            title = f"an axis of size {size} cannot go on for {added} by `{mode}`"
            raise bad_value(title, f"0 to {size - _REACH[mode]}", added)
    return result


def _pad_mode_numpy(x: np.ndarray, before: Ints, after: Ints, mode: str) -> np.ndarray:
    return np.pad(x, list(zip(before, after, strict=True)), mode) if any((*before, *after)) else x  # type: ignore


def _pad_mode_body(b: Builder, x: Value, before: Sizes, after: Sizes, mode: str) -> Value:
    """One axis after the other, so that corners repeat what was added before."""
    for axis, (left, right) in enumerate(zip(before, after, strict=True)):
        if left != 0 or right != 0:
            parts = (_beyond(b, x, axis, left, mode, True), x, _beyond(b, x, axis, right, mode, False))
            x = b.concat(*(part for part in parts if part is not None), axis=axis)
    return x


def _beyond(b: Builder, x: Value, axis: int, count: Size, mode: str, first: bool) -> Value | None:
    """What comes before the first, or after the last, element of an axis; None where that is nothing."""
    if count == 0:
        return None
    size = x.type.shape[axis]
    if mode == "edge":
        end = 0 if first else size - 1
        shape = (*x.type.shape[:axis], count, *x.type.shape[axis + 1 :])
        return b.expand(b.slice(x, starts=end, stops=end + 1, axes=axis, steps=1), shape=shape)
    if mode == "wrap":
        start = size - count if first else 0
        return b.slice(x, starts=start, stops=start + count, axes=axis, steps=1)
    start = count if first else size - 2
    return b.slice(x, starts=start, stops=start - count, axes=axis, steps=-1)


def _pad_mode_onnx(e: Emitter, node: Node, x: str) -> str:
    attributes = node.attributes
    return e.node("Pad", x, e.sizes([*attributes["before"], *attributes["after"]]), mode=attributes["mode"])


def _torch_pad_mode(x: Any, before: Ints, after: Ints, mode: str = "reflect") -> Any:
    return torch.nn.functional.pad(x, _torch_pairs(before[2:], after[2:]), mode=_TORCH_MODES[mode])


# --- to a size -----------------------------------------------------------------------------------------------------


def _center_shape(x: TensorType, shape: Sizes, axes: Ints) -> TensorType:
    if len(shape) != len(axes):
        raise bad_value("`shape` gives a size for each of `axes`", f"{len(axes)} sizes", listed(shape))
    wanted = {normal_axis(axis, x.rank): size for axis, size in zip(axes, shape, strict=True)}
    if len(wanted) < len(axes):
        raise bad_value("an axis is named twice", "each axis once", list(axes))
    if any(decide_less(size, 0) for size in shape):
        raise shape_mismatch("a size is below 0", "0 or more", listed(shape))
    return TensorType(x.dtype, tuple(wanted.get(i, size) for i, size in enumerate(x.shape)))


def _center_body(b: Builder, x: Value, shape: Sizes, axes: Ints) -> Value:
    at = [normal_axis(axis, x.type.rank) for axis in axes]
    starts = [maximum(x.type.shape[i] - size, 0) // 2 for i, size in zip(at, shape, strict=True)]
    kept = [x.type.shape[i] - maximum(x.type.shape[i] - size, 0) for i, size in zip(at, shape, strict=True)]
    stops = [start + size for start, size in zip(starts, kept, strict=True)]
    x = b.slice(x, starts=tuple(starts), stops=tuple(stops), axes=tuple(at), steps=(1,) * len(at))
    before: list[Size] = [0] * x.type.rank
    after: list[Size] = [0] * x.type.rank
    for i, size, present in zip(at, shape, kept, strict=True):
        before[i] = (size - present) // 2
        after[i] = size - present - before[i]
    return b.pad(x, before=tuple(before), after=tuple(after))


OPERATORS: tuple[Op, ...] = (
    Op(
        "pad(x: t[*s], before: sizes, after: sizes, value: float = 0.0) -> t[*s]",
        doc="x with copies of `value` before and after it along each axis; sizes below 0 cut off instead.",
        numpy=_pad_numpy,
        vjp=_pad_vjp,
        shape=_pad_shape,
        onnx=_pad_onnx,
        samples=(
            S((2, 3), before=(0, 1), after=(0, 2), torch=_torch_pad),
            S((2, 3), before=(1, 0), after=(0, 0), value=-1.5, torch=_torch_pad),
            S((3,), before=(0,), after=(0,), torch=_torch_pad),
            S((4, 3), before=(-1, 2), after=(-2, -1), value=2.0, torch=_torch_pad),
            S((2, 0), before=(0, 1), after=(1, 0)),
            S((), before=(), after=()),
            Bad((2, 3), before=(1,), after=(1,), code="bad-value"),
            Bad((2, 3), before=(-1, 0), after=(-2, 0), code="bad-value"),
        ),
    ),
    Op(
        'pad_mode(x: t[*s], before: sizes, after: sizes, mode: str = "reflect") -> t[*s]',
        doc="x, going on before and after it along each axis: `reflect` mirrors it at its first and last element, "
        "`edge` repeats these, `wrap` begins again at the other end. No further than there are elements to copy.",
        numpy=_pad_mode_numpy,
        body=_pad_mode_body,
        shape=_pad_mode_shape,
        onnx=_pad_mode_onnx,
        since=19,
        samples=(
            S((2, 1, 3, 4), before=(0, 0, 2, 1), after=(0, 0, 1, 3), torch=_torch_pad_mode),
            S((2, 1, 3, 4), before=(0, 0, 3, 1), after=(0, 0, 1, 5), mode="edge", torch=_torch_pad_mode),
            S((2, 1, 3, 4), before=(0, 0, 3, 1), after=(0, 0, 0, 4), mode="wrap", torch=_torch_pad_mode),
            S((3, 5), before=(0, 2), after=(0, 0)),
            S((2, 1), before=(0, 2), after=(0, 3), mode="edge"),
            S((2, 3), before=(0, 0), after=(0, 0), mode="wrap"),
            Bad((2, 3), before=(0, 3), after=(0, 0), code="bad-value"),
            Bad((2, 3), before=(0, 0), after=(0, -1), code="bad-value"),
            Bad((2, 3), before=(0, 4), after=(0, 0), mode="wrap", code="bad-value"),
            Bad((2, 0), before=(0, 1), after=(0, 0), mode="edge", code="bad-value"),
            Bad((2, 3), before=(0, 1), after=(0, 0), mode="mirror", code="bad-value"),
            Bad((2, 3), before=(1,), after=(1,), code="bad-value"),
        ),
    ),
    Op(
        "center_crop_pad(x: t[*s], shape: sizes, axes: ints) -> t[*s]",
        doc="The middle of x along `axes`, brought to the sizes in `shape`: longer axes are cut at both ends, shorter "
        "ones get zeros there; the odd one goes to the end.",
        body=_center_body,
        shape=_center_shape,
        samples=(
            S((5, 4), shape=(2, 7), axes=(0, 1)),
            S((3, 5), shape=(3,), axes=(-1,), torch=lambda x, shape, axes: x[:, 1:4]),
            S((3, 4), shape=(5,), axes=(0,), torch=lambda x, shape, axes: torch.nn.functional.pad(x, (0, 0, 1, 1))),
            Bad((3, 5), shape=(3,), axes=(0, 1), code="bad-value"),
            Bad((3, 5), shape=(3, 3), axes=(1, -1), code="bad-value"),
            Bad((3, 5), shape=(3,), axes=(2,), code="bad-axis"),
        ),
    ),
)
