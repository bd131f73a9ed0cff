"""Windows as an axis and back, and elements repeated into windows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.diagnostics import fail
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value
from .patches import folded, sliced
from .reference import torch
from .windows import Ints, Sizes, checked, pooling_window, spread, window_of

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value


# --- nearest neighbours --------------------------------------------------------------------------------------------


def _upsample_shape(x: TensorType, factors: Ints) -> TensorType:
    if x.rank != len(factors) + 2 or x.rank < 3 or any(factor < 1 for factor in factors):
        raise bad_value("`factors` has one for each axis after the first two", f"{x.rank - 2} factors", list(factors))
    sizes = (size * factor for size, factor in zip(x.shape[2:], factors, strict=True))
    return TensorType(x.dtype, (*x.shape[:2], *sizes))


def _upsample_numpy(x: np.ndarray, factors: Ints) -> np.ndarray:
    for axis, factor in enumerate(factors, start=2):
        x = np.repeat(x, factor, axis)
    return x


def _upsample_vjp(b: Builder, g: Value, y: Value, x: Value, factors: Ints) -> tuple[Value]:
    none = (0,) * 2 * len(factors)
    return (b.mul(b.avg_pool(g, kernel=factors, stride=factors, padding=none), float(math.prod(factors))),)


def _upsample_onnx(e: Emitter, node: Node, x: str) -> str:
    scales = e.constant(np.array([1, 1, *node.attributes["factors"]], np.float32))
    return e.node(
        "Resize", x, "", scales,
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip


# --- windows as an axis --------------------------------------------------------------------------------------------


def _unfold_shape(x: TensorType, kernel: Ints, stride: Ints, dilation: Ints | None, padding: Ints | None) -> TensorType:
    window = checked(x, pooling_window(kernel, stride, padding, dilation))
    return TensorType(x.dtype, (*x.shape[:2], math.prod(kernel), *window.results(x.shape[2:])))


def _unfold_numpy(x: np.ndarray, kernel: Ints, stride: Ints, dilation: Ints | None, padding: Ints | None) -> np.ndarray:
    views = pooling_window(kernel, stride, padding, dilation).views(x)
    axes = len(kernel)
    moved = np.moveaxis(views, range(2 + axes, 2 + 2 * axes), range(2, 2 + axes))
    return moved.reshape(*x.shape[:2], math.prod(kernel), *views.shape[2 : 2 + axes])


def _unfold_onnx(e: Emitter, node: Node, x: str) -> str:
    shape = node.inputs[0].type.shape
    window = window_of(node)
    n, c, elements, *counts = node.outputs[0].type.shape
    return e.reshape(sliced(e, x, shape, window), (n * c, elements, *counts), (n, c, elements, *counts))


def _fold_shape(
    x: TensorType, size: Sizes, kernel: Ints, stride: Ints, dilation: Ints | None, padding: Ints | None
) -> TensorType:
    window = pooling_window(kernel, stride, padding, dilation)
    if x.rank != len(kernel) + 3:
        title = "windows as an axis stand between the channels and the axes"
        raise fail("rank-mismatch", title, expected=f"{len(kernel) + 3} axes", found=x)
    window.check(len(kernel))
    if x.shape[2] != math.prod(kernel):
        raise bad_value("the third axis holds the elements of a window", f"{math.prod(kernel)}", x.shape[2])
    return spread(x, size, window, x.shape[3:])


def _fold_numpy(
    x: np.ndarray, size: Ints, kernel: Ints, stride: Ints, dilation: Ints | None, padding: Ints | None
) -> np.ndarray:
    axes = len(kernel)
    parts = x.reshape(*x.shape[:2], *kernel, *x.shape[3:])
    moved = np.moveaxis(parts, range(2, 2 + axes), range(2 + axes, 2 + 2 * axes))
    return pooling_window(kernel, stride, padding, dilation).fill(size, moved)


def _fold_onnx(e: Emitter, node: Node, x: str) -> str:
    n, c, elements, *counts = node.inputs[0].type.shape
    dtype = numpy_dtype(node.inputs[0].type.dtype)
    size = node.attributes["size"]
    window = window_of(node)
    planes = e.reshape(x, (n, c, elements, *counts), (n * c, elements, *counts))
    return e.reshape(folded(e, planes, size, dtype, window), (n * c, 1, *size), (n, c, *size))


# --- PyTorch -------------------------------------------------------------------------------------------------------


def _torch_upsample(x: Any, factors: Ints) -> Any:
    for axis, factor in enumerate(factors, start=2):
        x = x.repeat_interleave(factor, axis)
    return x


def _torch_unfold(x: Any, kernel: Ints, stride: Ints, dilation: Ints = (1, 1), padding: Ints = (0, 0, 0, 0)) -> Any:
    counts = pooling_window(kernel, stride, padding, dilation).results(x.shape[2:])
    return torch.nn.functional.unfold(x, kernel, dilation, padding[:2], stride).reshape(*x.shape[:2], -1, *counts)


def _torch_fold(
    x: Any, size: Ints, kernel: Ints, stride: Ints, dilation: Ints = (1, 1), padding: Ints = (0, 0, 0, 0)
) -> Any:
    columns = x.reshape(x.shape[0], x.shape[1] * x.shape[2], -1)
    return torch.nn.functional.fold(columns, size, kernel, dilation, padding[:2], stride)


OPERATORS: tuple[Op, ...] = (
    Op(
        "upsample_nearest(x: f[n, c, *s], factors: ints) -> f",
        doc="Each element repeated `factors` times along the axes after the first two.",
        numpy=_upsample_numpy,
        vjp=_upsample_vjp,
        shape=_upsample_shape,
        onnx=_upsample_onnx,
        samples=(
            S((2, 3, 2, 3), factors=(2, 3), torch=_torch_upsample),
            S((2, 3, 4), factors=(3,), torch=_torch_upsample),
            Bad((2, 3, 4), factors=(2, 2), code="bad-value"),
        ),
    ),
    Op(
        "unfold(x: f[n, c, *s], kernel: ints, stride: ints, dilation: ints = none, padding: ints = none) -> f",
        doc="The elements of each window as an axis after the channels: [n, c, elements, windows …]. Padding holds "
        "zeros.",
        numpy=_unfold_numpy,
        vjp=lambda b, g, y, x, **attrs: (b.fold(g, size=x.type.shape[2:], **attrs),),
        shape=_unfold_shape,
        onnx=_unfold_onnx,
        samples=(
            S((2, 3, 5, 7), kernel=(3, 2), stride=(1, 2), torch=_torch_unfold),
            S((2, 1, 4, 4), kernel=(1, 1), stride=(2, 2), torch=_torch_unfold),
            S((2, 3, 7, 6), kernel=(3, 2), stride=(1, 2), dilation=(2, 3), torch=_torch_unfold),
            S((2, 3, 4, 5), kernel=(3, 2), stride=(2, 1), padding=(1, 1, 1, 1), torch=_torch_unfold),
            S((2, 1, 4, 5), kernel=(3, 2), stride=(2, 3), padding=(0, 1, 1, 0)),
            S((2, 3, 7), kernel=(3,), stride=(2,)),
            Bad((2, 3, 2, 2), kernel=(3, 3), stride=(1, 1), code="shape-mismatch"),
        ),
    ),
    Op(
        "fold(x: f[n, c, e, *t], size: sizes, kernel: ints, stride: ints, dilation: ints = none, "
        "padding: ints = none) -> f[n, c, *size]",
        doc="The transpose of unfold: windows added up at their places in axes of the given size, without the padding.",
        numpy=_fold_numpy,
        vjp=lambda b, g, y, x, size, **attrs: (b.unfold(g, **attrs),),
        shape=_fold_shape,
        onnx=_fold_onnx,
        samples=(
            S((2, 3, 6, 3, 3), size=(5, 7), kernel=(3, 2), stride=(1, 2), torch=_torch_fold),
            S((2, 3, 6, 3, 2), size=(7, 6), kernel=(3, 2), stride=(1, 2), dilation=(2, 3), torch=_torch_fold),
            S((2, 3, 6, 2, 6), size=(4, 5), kernel=(3, 2), stride=(2, 1), padding=(1, 1, 1, 1), torch=_torch_fold),
            S((2, 3, 3, 3), size=(8,), kernel=(3,), stride=(2,)),
            Bad((2, 3, 6, 3, 3), size=(5, 9), kernel=(3, 2), stride=(1, 2), code="shape-mismatch"),
            Bad((2, 3, 5, 3, 3), size=(5, 7), kernel=(3, 2), stride=(1, 2), code="bad-value"),
            Bad((2, 3, 3), size=(8,), kernel=(3,), stride=(2,), code="rank-mismatch"),
        ),
    ),
)
