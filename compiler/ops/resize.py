"""Tensors in another resolution: every mode of interpolation is, along each axis, a product with a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value, listed, normal_axes, normal_axis, product
from .interpolation import Interpolation
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

Ints = tuple[int, ...]
Sizes = tuple[Size, ...]

LARGEST_CONSTANT = 1 << 22
"""Matrices of more elements are made by the run, as those of open sizes are, and not written into the model."""

_KERNEL = 'mode: str = "nearest", coordinates: str = "half_pixel", rounding: str = "round_prefer_floor", ' \
          "cubic: float = -0.75, exclude_outside: bool = false, antialias: bool = false"  # fmt: skip
_PART = "scale: float = 0.0, start: float = 0.0, end: float = 1.0"


def _with_size(shape: Sizes, axis: int, size: Size) -> Sizes:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _check_sizes(*sizes: Size) -> None:
    if any(isinstance(size, int) and size < 1 for size in sizes):
        raise bad_value("an axis to resize has elements, before and after", "sizes of at least 1", listed(sizes))


# --- one axis ------------------------------------------------------------------------------------------------------


def _axis_shape(x: TensorType, size: Size, axis: int, **kernel: Any) -> TensorType:
    at = normal_axis(axis, x.rank)
    _check_sizes(x.shape[at], size)
    Interpolation(**kernel).check()
    return TensorType(x.dtype, _with_size(x.shape, at, size))


def _axis_numpy(x: np.ndarray, size: int, axis: int, **kernel: Any) -> np.ndarray:
    matrix = Interpolation(**kernel).matrix(x.shape[axis], size).astype(x.dtype)
    return np.moveaxis(np.tensordot(x, matrix, (axis, 0)), -1, axis)


def _axis_vjp(b: Builder, g: Value, y: Value, x: Value, size: Size, axis: int, **kernel: Any) -> tuple[Value]:
    return (b.resize_axis_transpose(g, size=x.type.shape[axis], axis=axis, **kernel),)


def _axis_onnx(e: Emitter, node: Node, x: str) -> str:
    attributes = node.attributes
    size, axis = attributes.pop("size"), attributes.pop("axis")
    type_ = node.inputs[0].type
    return _resized_along(e, x, type_, normal_axis(axis, type_.rank), size, Interpolation(**attributes))


def _resized_along(e: Emitter, x: str, type_: TensorType, axis: int, size: Size, kernel: Interpolation) -> str:
    """The nearest element by a Resize, anything else by a product; Resize ignores the part of an axis to take."""
    if kernel.mode == "nearest" and type_.dtype == "f32" and not kernel.is_cropped and not kernel.scale:
        return _resize_node(e, x, (axis,), (size,), kernel)
    flipped = axis < type_.rank - 1
    matrix = _emitted_matrix(e, type_.shape[axis], size, kernel, type_.dtype, flipped)
    return _multiplied(e, x, type_.shape, axis, matrix, size)


def _multiplied(e: Emitter, x: str, shape: Sizes, axis: int, matrix: str, result: Size) -> str:
    """`x` with one axis multiplied by a matrix: [_, result], but [result, _] where the axis is not the last."""
    if axis == len(shape) - 1:
        return e.node("MatMul", x, matrix)
    before, after = shape[:axis], shape[axis + 1 :]
    planes = e.reshape(x, shape, (*before, shape[axis], product(after)))
    changed = e.node("MatMul", matrix, planes)
    return e.reshape(changed, (*before, result, product(after)), (*before, result, *after))


def _emitted_matrix(e: Emitter, size: Size, result: Size, kernel: Interpolation, dtype: str, flipped: bool) -> str:
    """[size, result] as a constant; for sizes known only at run time, the identity resized along its second axis."""
    if isinstance(size, int) and isinstance(result, int) and size * result <= LARGEST_CONSTANT:
        known = kernel.matrix(size, result).astype(numpy_dtype(dtype))
        return e.constant(np.ascontiguousarray(known.T) if flipped else known)
    identity = e.node("EyeLike", e.node("ConstantOfShape", e.sizes([size, size])))
    matrix = _resize_node(e, identity, (1,), (result,), kernel)
    matrix = matrix if dtype == "f32" else e.node("Cast", matrix, to=e.onnx_dtype(dtype))
    return e.node("Transpose", matrix, perm=[1, 0]) if flipped else matrix


def _resize_node(e: Emitter, x: str, axes: Ints, sizes: Sizes, kernel: Interpolation) -> str:
    part = np.repeat([kernel.start, kernel.end], len(axes)).astype(np.float32)
    target = [e.constant(np.array([kernel.scale], np.float32))] if kernel.scale else ["", e.sizes(sizes)]
    return e.node(
        "Resize",
        x,
        e.constant(part) if kernel.is_cropped else "",
        *target,
        axes=axes,
        mode=kernel.mode,
        coordinate_transformation_mode=kernel.coordinates,
        nearest_mode=kernel.rounding,
        cubic_coeff_a=kernel.cubic,
        exclude_outside=int(kernel.exclude_outside and (kernel.mode == "cubic" or kernel.antialias)),
        antialias=int(kernel.antialias),
    )


# --- its transpose -------------------------------------------------------------------------------------------------


def _transpose_numpy(g: np.ndarray, size: int, axis: int, **kernel: Any) -> np.ndarray:
    matrix = Interpolation(**kernel).matrix(size, g.shape[axis]).astype(g.dtype)
    return np.moveaxis(np.tensordot(g, matrix, (axis, 1)), -1, axis)


def _transpose_vjp(b: Builder, h: Value, y: Value, g: Value, size: Size, axis: int, **kernel: Any) -> tuple[Value]:
    return (b.resize_axis(h, size=g.type.shape[axis], axis=axis, **kernel),)


def _transpose_onnx(e: Emitter, node: Node, g: str) -> str:
    attributes = node.attributes
    size, type_ = attributes.pop("size"), node.inputs[0].type
    axis = normal_axis(attributes.pop("axis"), type_.rank)
    flipped = axis == type_.rank - 1
    matrix = _emitted_matrix(e, size, type_.shape[axis], Interpolation(**attributes), type_.dtype, flipped)
    return _multiplied(e, g, type_.shape, axis, matrix, size)


# --- several axes --------------------------------------------------------------------------------------------------


def _places(shape: Sizes, size: Sizes, axes: Ints | None) -> list[tuple[int, Size]]:
    """The axes with the sizes that they get, in an order that keeps what lies between small.

    Raises DiagnosticError (`bad-value`, `bad-axis`).
    """
    if len(size) > len(shape) or (axes is not None and len(axes) != len(size)):
        wanted = f"{len(shape)} sizes at most" if axes is None else f"{len(axes)} sizes"
        raise bad_value("`size` says how long each resized axis becomes", wanted, listed(size))
    places = range(-len(size), 0) if axes is None else axes
    normal_axes(places, len(shape))  # each once
    pairs = [(normal_axis(axis, len(shape)), one) for axis, one in zip(places, size, strict=True)]
    return sorted(pairs, key=lambda pair: _growth(shape[pair[0]], pair[1]))


def _growth(size: Size, result: Size) -> float:
    """Results per element, as far as that is known."""
    return result / max(size, 1) if isinstance(size, int) and isinstance(result, int) else 1.0


def _resize_shape(x: TensorType, size: Sizes, axes: Ints | None, **kernel: Any) -> TensorType:
    for axis, one in _places(x.shape, size, axes):
        x = _axis_shape(x, one, axis, **kernel)
    return x


def _resize_body(b: Builder, x: Value, size: Sizes, axes: Ints | None, **kernel: Any) -> Value:
    for axis, one in _places(x.type.shape, size, axes):
        if x.type.shape[axis] != one:
            x = b.resize_axis(x, size=one, axis=axis, **kernel)
    return x


def _resize_onnx(e: Emitter, node: Node, x: str) -> str:
    attributes = node.attributes
    type_ = node.inputs[0].type
    places = _places(type_.shape, attributes.pop("size"), attributes.pop("axes"))
    places = [(axis, one) for axis, one in places if type_.shape[axis] != one]
    kernel = Interpolation(**attributes)
    if not places:
        return e.node("Identity", x)
    if _runtime_resizes(type_, kernel, places):
        return _resize_node(e, x, tuple(axis for axis, _ in places), tuple(one for _, one in places), kernel)
    for axis, one in places:
        x = _resized_along(e, x, type_, axis, one, kernel)
        type_ = TensorType(type_.dtype, _with_size(type_.shape, axis, one))
    return x


def _runtime_resizes(x: TensorType, kernel: Interpolation, places: list[tuple[int, Size]]) -> bool:
    """Whether onnxruntime's Resize can do it, no slower than products with matrices.

    For 2 × 64 × 56², doubled, on one thread, in ms: nearest 0.8, linear 2.3, cubic 95; by products 1.7.
    """
    linear = kernel.mode == "linear" and not kernel.antialias
    planes = 2 <= x.rank <= 4 and all(axis >= x.rank - 2 for axis, _ in places)
    return x.dtype == "f32" and not kernel.is_cropped and (kernel.mode == "nearest" or (linear and planes))


def _torch_resize(x: Any, size: Any, mode: str = "nearest", coordinates: str = "half_pixel", antialias: bool = False,
                  **_: Any) -> Any:  # fmt: skip
    if mode == "nearest":
        return torch.nn.functional.interpolate(x, size, mode="nearest-exact" if coordinates == "half_pixel" else mode)
    name = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)] if mode == "linear" else "bicubic"
    corners = coordinates == "align_corners"
    return torch.nn.functional.interpolate(x, size, mode=name, align_corners=corners, antialias=antialias)


_FLOOR: dict[str, Any] = {"coordinates": "asymmetric", "rounding": "floor"}
_CORNERS: dict[str, Any] = {"coordinates": "align_corners"}
_SHARP: dict[str, Any] = {"cubic": -0.5, "antialias": True, "exclude_outside": True}
_CROP: dict[str, Any] = {"coordinates": "tf_crop_and_resize", "start": -0.2, "end": 1.1}

OPERATORS: tuple[Op, ...] = (
    Op(
        f"resize(x: f[*s], size: sizes, axes: ints = none, {_KERNEL}) -> f",
        doc="x with its last axes (or `axes`) interpolated to `size`, as ONNX's Resize does: the nearest element, "
        'linear, or cubic. `coordinates = "align_corners"` puts the outermost results on the outermost elements. '
        "Other than for the nearest, what is not finite spreads over its row.",
        body=_resize_body,
        shape=_resize_shape,
        onnx=_resize_onnx,
        samples=(
            S((2, 3, 4, 5), size=(8, 5), torch=_torch_resize),
            S((2, 3, 4, 5), size=(3, 9), **_FLOOR, torch=_torch_resize),
            S((2, 3, 5), size=(3,), mode="linear", torch=_torch_resize),
            S((2, 3, 4, 5), size=(7, 3), mode="linear", torch=_torch_resize),
            S((2, 3, 4, 5), size=(7, 3), mode="linear", **_CORNERS, torch=_torch_resize),
            S((2, 2, 3, 4, 2), size=(2, 6, 3), mode="linear", torch=_torch_resize),
            S((2, 2, 4, 5), size=(7, 9), mode="cubic", torch=_torch_resize),
            S((2, 2, 4, 5), size=(7, 3), mode="cubic", **_CORNERS, torch=_torch_resize),
            S((2, 2, 6, 7), size=(3, 9), mode="linear", antialias=True, exclude_outside=True, torch=_torch_resize),
            S((2, 2, 6, 7), size=(3, 4), mode="cubic", **_SHARP, torch=_torch_resize),
            S((2, 2, 6, 7), size=(3, 4), mode="cubic", antialias=True),
            S((2, 5, 4), size=(7, 3), mode="cubic", exclude_outside=True),
            S((4, 3, 2), size=(5,), axes=(0,), mode="cubic"),
            S((4, 3, 2), size=(3, 5), axes=(0, -1), mode="linear"),
            S((2, 3), size=(3,), mode="linear"),
            Bad((2, 3, 4), size=(2, 2), axes=(0,), code="bad-value"),
            Bad((2, 3, 4), size=(2, 2, 2, 2), code="bad-value"),
            Bad((2, 3, 4), size=(0,), code="bad-value"),
            Bad((2, 3, 4), size=(2,), axes=(3,), code="bad-axis"),
            Bad((2, 3, 4), size=(2, 2), axes=(1, -2), code="bad-axis"),
            Bad((2, 3, 4), size=(2,), mode="quintic", code="bad-value"),
            Bad((2, 3, 4), size=(2,), antialias=True, code="bad-value"),
        ),
    ),
    Op(
        f"resize_axis(x: f[*s], size: size, axis: int = -1, {_KERNEL}, {_PART}) -> f",
        doc="x with one axis interpolated to `size`, as `resize` does; with `scale` results per element where that is "
        'not what the sizes say; with `coordinates = "tf_crop_and_resize"` the part of the axis from `start` to `end`, '
        "as fractions of it, 0 beyond its ends.",
        numpy=_axis_numpy,
        vjp=_axis_vjp,
        shape=_axis_shape,
        onnx=_axis_onnx,
        samples=(
            S((2, 3, 4), size=8),
            S((2, 3, 4), size=5, axis=1, mode="linear"),
            S((3, 2), size=5, axis=0, mode="cubic", exclude_outside=True),
            S((2, 5, 4), size=3, axis=1, mode="linear", **_CROP),
            S((2, 5, 4), size=4, **_CROP),
            S((2, 5), size=8, mode="linear", scale=1.7, coordinates="half_pixel_symmetric"),
            S((2, 7), size=3, scale=0.45, **_FLOOR),
            Bad((2, 3, 4), size=0, code="bad-value"),
            Bad((2, 3, 4), size=2, axis=3, code="bad-axis"),
            Bad((2, 3, 4), size=2, rounding="up", code="bad-value"),
        ),
    ),
    Op(
        f"resize_axis_transpose(x: f[*s], size: size, axis: int = -1, {_KERNEL}, {_PART}) -> f",
        doc="The transpose of `resize_axis` from `size` elements to those of x: each shared out among the elements "
        "that made it.",
        numpy=_transpose_numpy,
        vjp=_transpose_vjp,
        shape=_axis_shape,
        onnx=_transpose_onnx,
        samples=(
            S((2, 3, 8), size=4),
            S((2, 3, 3), size=5, mode="linear"),
            S((2, 7, 3), size=4, axis=1, mode="cubic", **_CORNERS),
            S((2, 3, 2), size=6, axis=0, mode="linear", antialias=True),
            S((2, 3), size=5, mode="linear", **_CROP),
            Bad((2, 3, 4), size=0, code="bad-value"),
            Bad((2, 3, 4), size=2, coordinates="centre", code="bad-value"),
        ),
    ),
)
