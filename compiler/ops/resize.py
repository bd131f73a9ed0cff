"""Tensors in another resolution: every mode of interpolation is, along each axis, a product with a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..ir import Constant
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

_KERNEL = 'mode: str = "nearest", coordinates: str = "half_pixel", rounding: str = "round_prefer_floor", ' \
          "cubic: float = -0.75, exclude_outside: bool = false, antialias: bool = false"  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis that is resized, from `size` elements to `result`."""

    axis: int
    size: Size
    result: Size
    interpolation: Interpolation

    @property
    def is_static(self) -> bool:
        """Whether both sizes are known while compiling."""
        return isinstance(self.size, int) and isinstance(self.result, int)

    @property
    def growth(self) -> float:
        """Results per element, as far as that is known."""
        return self.result / self.size if isinstance(self.size, int) and isinstance(self.result, int) else 1.0

    def matrix(self, dtype: np.dtype[Any]) -> np.ndarray:
        """[size, result]."""
        assert isinstance(self.size, int) and isinstance(self.result, int)
        return self.interpolation.matrix(self.size, self.result).astype(dtype)


def _resized_axes(shape: Sizes, size: Sizes, axes: Ints | None, scales: Constant | None, region: Constant | None,
                  **kernel: Any) -> list[_Axis]:  # fmt: skip
    """The axes that get the sizes `size`, in an order that keeps what lies between small.

    Raises DiagnosticError (`bad-value`, `bad-axis`).
    """
    places = _places(len(shape), size, axes)
    if any(isinstance(one, int) and one < 1 for one in (*size, *(shape[place] for place in places))):
        raise bad_value("an axis to resize has elements, before and after", "sizes of at least 1", listed(size))
    factors = np.zeros(len(size)) if scales is None else scales.array
    starts, ends = (np.zeros(len(size)), np.ones(len(size))) if region is None else region.array
    found = [
        _Axis(place, shape[place], one,
              Interpolation(scale=float(factor), start=float(start), end=float(end), **kernel))
        for place, one, factor, start, end in zip(places, size, factors, starts, ends, strict=True)
    ]  # fmt: skip
    for one in found:
        one.interpolation.check()
    return sorted(found, key=lambda one: one.growth)


def _places(rank: int, size: Sizes, axes: Ints | None) -> tuple[int, ...]:
    """The axes that the sizes are for: the last ones, unless they are named."""
    if len(size) > rank or (axes is not None and len(axes) != len(size)):
        wanted = f"{rank} sizes at most" if axes is None else f"{len(axes)} sizes"
        raise bad_value("`size` says how long each resized axis becomes", wanted, listed(size))
    if axes is None:
        return tuple(range(rank - len(size), rank))
    normal_axes(axes, rank)
    return tuple(normal_axis(axis, rank) for axis in axes)


def _restored_axes(shape: Sizes, size: Sizes, axes: Ints | None, **attrs: Any) -> list[_Axis]:
    """The axes that `resize` made as long as they are in `shape`, from the sizes `size`; the last one resized first."""
    places = _places(len(shape), size, axes)
    before = _with_sizes(shape, dict(zip(places, size, strict=True)))
    return _resized_axes(before, tuple(shape[place] for place in places), axes, **attrs)[::-1]


def _with_sizes(shape: Sizes, sizes: dict[int, Size]) -> Sizes:
    return tuple(sizes.get(axis, size) for axis, size in enumerate(shape))


# --- resize --------------------------------------------------------------------------------------------------------


def _resize_shape(x: TensorType, **attrs: Any) -> TensorType:
    return TensorType(x.dtype, _with_sizes(x.shape, {one.axis: one.result for one in _resized_axes(x.shape, **attrs)}))


def _resize_numpy(x: np.ndarray, **attrs: Any) -> np.ndarray:
    for one in _resized_axes(x.shape, **attrs):
        x = np.moveaxis(np.tensordot(x, one.matrix(x.dtype), (one.axis, 0)), -1, one.axis)
    return x


def _resize_vjp(b: Builder, g: Value, y: Value, x: Value, size: Sizes, axes: Ints | None, **attrs: Any) -> tuple[Value]:
    places = range(-len(size), 0) if axes is None else axes
    before = tuple(x.type.shape[place] for place in places)
    return (b.resize_transpose(g, size=before, axes=axes, **attrs),)


def _resize_onnx(e: Emitter, node: Node, x: str) -> str:
    type_ = node.inputs[0].type
    axes = _resized_axes(type_.shape, **node.attributes)
    if _runtime_resizes(type_, axes):
        return _resized(e, x, axes)
    shape = type_.shape
    for one in axes:
        matrix = _emitted_matrix(e, one, type_.dtype, flipped=one.axis < type_.rank - 1)
        x, shape = _multiplied(e, x, shape, one.axis, matrix, one.result)
    return x


def _runtime_resizes(x: TensorType, axes: list[_Axis]) -> bool:
    """Whether onnxruntime's Resize does what is meant, no slower than products with matrices.

    Cubic interpolation takes it 56 times as long (2 × 64 × 56², doubled: 95 ms against 1.7). It ignores the region of
    an axis that keeps its size, and finds `size` for itself where a scale is given.
    """
    kernel = axes[0].interpolation if axes else Interpolation()
    plain = kernel.mode == "nearest" or (kernel.mode == "linear" and not kernel.antialias)
    planes = kernel.mode == "nearest" or (2 <= x.rank <= 4 and all(one.axis >= x.rank - 2 for one in axes))
    cropped = kernel.coordinates == "tf_crop_and_resize"
    factors = all(map(_follows_scale, axes)) and (_factors(axes) is not None or not _scaled(axes))
    return plain and planes and not cropped and x.dtype == "f32" and factors


def _follows_scale(one: _Axis) -> bool:
    """Whether the size of the result is what the scale, if there is one, makes of the size."""
    scale = one.interpolation.scale
    return not scale or (isinstance(one.size, int) and int(np.float32(one.size) * np.float32(scale)) == one.result)


def _scaled(axes: list[_Axis]) -> bool:
    return any(one.interpolation.scale for one in axes)


def _factors(axes: list[_Axis]) -> list[float] | None:
    """Results per element of each axis; None where they are known only at run time."""
    known = [one.interpolation.scale or (one.growth if one.is_static else 0.0) for one in axes]
    return known if all(known) else None


def _resized(e: Emitter, x: str, axes: list[_Axis]) -> str:
    """One Resize node, told the factors where any is stated, else the sizes."""
    if _scaled(axes):
        target = ["", e.constant(np.array(_factors(axes), np.float32))]
    else:
        target = ["", "", e.sizes([one.result for one in axes])]
    return e.node("Resize", x, *target, axes=[one.axis for one in axes], **_onnx_kernel(axes[0].interpolation))


def _onnx_kernel(kernel: Interpolation) -> dict[str, Any]:
    return {
        "mode": kernel.mode,
        "coordinate_transformation_mode": kernel.coordinates,
        "nearest_mode": kernel.rounding,
        "cubic_coeff_a": kernel.cubic,
        "exclude_outside": int(kernel.exclude_outside and (kernel.mode == "cubic" or kernel.antialias)),
        "antialias": int(kernel.antialias),
    }


def _multiplied(e: Emitter, x: str, shape: Sizes, axis: int, matrix: str, result: Size) -> tuple[str, Sizes]:
    """`x` with one axis multiplied by a matrix: [_, result], but [result, _] where the axis is not the last."""
    if axis == len(shape) - 1:
        return e.node("MatMul", x, matrix), (*shape[:axis], result)
    before, after = shape[:axis], shape[axis + 1 :]
    planes = e.reshape(x, shape, (*before, shape[axis], product(after)))
    changed = e.node("MatMul", matrix, planes)
    shape = (*before, result, *after)
    return e.reshape(changed, (*before, result, product(after)), shape), shape


def _emitted_matrix(e: Emitter, one: _Axis, dtype: str, flipped: bool) -> str:
    """The matrix as a constant; for sizes known only at run time, the identity resized along its second axis."""
    if one.is_static:
        matrix = one.matrix(numpy_dtype(dtype))
        return e.constant(np.ascontiguousarray(matrix.T) if flipped else matrix)
    kernel = one.interpolation
    identity = e.node("EyeLike", e.node("ConstantOfShape", e.sizes([one.size, one.size])))
    roi = e.constant(np.array([kernel.start, kernel.end], np.float32))
    target = [e.constant(np.array([kernel.scale], np.float32))] if kernel.scale else ["", e.sizes([one.result])]
    matrix = e.node("Resize", identity, roi, *target, axes=[1], **_onnx_kernel(kernel))
    matrix = matrix if dtype == "f32" else e.node("Cast", matrix, to=e.onnx_dtype(dtype))
    return e.node("Transpose", matrix, perm=[1, 0]) if flipped else matrix


# --- its transpose -------------------------------------------------------------------------------------------------


def _transpose_shape(g: TensorType, **attrs: Any) -> TensorType:
    return TensorType(g.dtype, _with_sizes(g.shape, {one.axis: one.size for one in _restored_axes(g.shape, **attrs)}))


def _transpose_numpy(g: np.ndarray, **attrs: Any) -> np.ndarray:
    for one in _restored_axes(g.shape, **attrs):
        g = np.moveaxis(np.tensordot(g, one.matrix(g.dtype), (one.axis, 1)), -1, one.axis)
    return g


def _transpose_vjp(b: Builder, h: Value, y: Value, g: Value, size: Sizes, axes: Ints | None, **attrs: Any
                   ) -> tuple[Value]:  # fmt: skip
    places = range(-len(size), 0) if axes is None else axes
    return (b.resize(h, size=tuple(g.type.shape[place] for place in places), axes=axes, **attrs),)


def _transpose_onnx(e: Emitter, node: Node, g: str) -> str:
    type_ = node.inputs[0].type
    shape = type_.shape
    for one in _restored_axes(shape, **node.attributes):
        matrix = _emitted_matrix(e, one, type_.dtype, flipped=one.axis == type_.rank - 1)
        g, shape = _multiplied(e, g, shape, one.axis, matrix, one.size)
    return g


def _torch_resize(x: Any, size: Any, axes: Any = None, mode: str = "nearest", coordinates: str = "half_pixel",
                  antialias: bool = False, **_: Any) -> Any:  # fmt: skip
    if mode == "nearest":
        return torch.nn.functional.interpolate(x, size, mode="nearest-exact" if coordinates == "half_pixel" else mode)
    name = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)] if mode == "linear" else "bicubic"
    corners = coordinates == "align_corners"
    return torch.nn.functional.interpolate(x, size, mode=name, align_corners=corners, antialias=antialias)


_FLOOR: dict[str, Any] = {"coordinates": "asymmetric", "rounding": "floor"}
_CORNERS: dict[str, Any] = {"coordinates": "align_corners"}
_SOFT: dict[str, Any] = {"cubic": -0.5, "antialias": True, "exclude_outside": True}
_CROP: dict[str, Any] = {"coordinates": "tf_crop_and_resize", "region": Constant(np.array([[0.1, -0.2], [0.8, 1.1]]))}
_SCALES: dict[str, Any] = {"coordinates": "asymmetric", "scales": Constant(np.array([1.6, 0.45], np.float32))}

OPERATORS: tuple[Op, ...] = (
    Op(
        f"resize(x: f[*s], size: sizes, axes: ints = none, {_KERNEL}, scales: constant = none, "
        "region: constant = none) -> f",
        doc="x with its last axes (or `axes`) interpolated to `size`, as ONNX's Resize does: the nearest element, "
        'linear, or cubic. `coordinates = "align_corners"` puts the outermost results on the outermost elements. '
        "What is not finite spreads over its row.",
        numpy=_resize_numpy,
        vjp=_resize_vjp,
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
            S((2, 2, 6, 7), size=(3, 4), mode="cubic", **_SOFT, torch=_torch_resize),
            S((2, 2, 6, 7), size=(3, 4), mode="cubic", antialias=True),
            S((2, 5, 4), size=(7, 3), mode="cubic", exclude_outside=True),
            S((2, 5, 4), size=(5, 3), mode="linear", **_CROP),
            S((2, 2, 5, 7), size=(8, 3), mode="linear", **_SCALES),
            S((2, 2, 5, 7), size=(8, 3), mode="linear", coordinates="half_pixel_symmetric", scales=_SCALES["scales"]),
            S((4, 3, 2), size=(5,), axes=(0,), mode="cubic"),
            S((4, 3, 2), size=(3, 5), axes=(0, -1), mode="linear"),
            Bad((2, 3, 4), size=(2, 2), axes=(0,), code="bad-value"),
            Bad((2, 3, 4), size=(0,), code="bad-value"),
            Bad((2, 3, 4), size=(2,), axes=(3,), code="bad-axis"),
            Bad((2, 3, 4), size=(2,), mode="quintic", code="bad-value"),
            Bad((2, 3, 4), size=(2,), antialias=True, code="bad-value"),
        ),
    ),
    Op(
        f"resize_transpose(x: f[*s], size: sizes, axes: ints = none, {_KERNEL}, scales: constant = none, "
        "region: constant = none) -> f",
        doc="The transpose of `resize` to the sizes of x: each result shared out among the elements that made it. "
        "`size` says how long the axes were before.",
        numpy=_transpose_numpy,
        vjp=_transpose_vjp,
        shape=_transpose_shape,
        onnx=_transpose_onnx,
        samples=(
            S((2, 3, 8, 5), size=(4, 5)),
            S((2, 3, 3), size=(5,), mode="linear"),
            S((2, 2, 7, 3), size=(4, 5), mode="cubic", **_CORNERS),
            S((2, 2, 3, 2), size=(6, 7), mode="linear", antialias=True),
            S((3, 4, 5), size=(4, 2), axes=(0, -1), mode="linear"),
            S((2, 5, 3), size=(5, 4), mode="linear", **_CROP),
            Bad((2, 3, 4), size=(2, 2), axes=(0,), code="bad-value"),
            Bad((2, 3, 4), size=(2,), mode="quintic", code="bad-value"),
        ),
    ),
)
