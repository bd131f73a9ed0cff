"""Operators that read images at other places or in another resolution."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size, decide_equal
from netlang.types import FLOATS

from ...ir import Value
from .run_time import run_time_sizes
from .shape import given

if TYPE_CHECKING:
    from ..call import Call
    from ..reader import Reader

Result = Value | Sequence[Value | None] | None
Ints = tuple[int, ...]
Sizes = tuple[Size, ...]

_MODES = {"bilinear": "linear", "bicubic": "cubic"}  # as later versions call them


# --- resize --------------------------------------------------------------------------------------------------------


def resize(reader: Reader, call: Call) -> Result:
    """Resize-10 to -19; integers are left to the runtime."""
    x = given(call)
    if x.type.dtype not in FLOATS:
        return None
    if call.version < 11:
        return _scaled(reader, x, call.attribute("mode", "nearest"), reader.constant(call.input(1)))
    axes = _axes(call, x.type.rank)
    target = _target(reader, call, x, axes)
    region = _region(reader, call, len(axes))
    if target is None or region is None:
        return None
    sizes, scales = target
    resized = _resized(reader, x, axes, sizes, scales, region, _kernel(call))
    outside = call.attribute("extrapolation_value", 0.0)
    if _kernel(call)["coordinates"] != "tf_crop_and_resize" or not outside:
        return resized
    b = reader.b
    shape = tuple(size if axis in axes else 1 for axis, size in enumerate(x.type.shape))
    ones = b.full(shape=shape, value=1.0, dtype=x.type.dtype)
    inside = _resized(reader, ones, axes, sizes, scales, region, _kernel(call))
    return b.add(resized, b.mul(b.sub(1.0, inside), outside))


def upsample(reader: Reader, call: Call) -> Result:
    """Upsample-7 (factors an attribute) and -9."""
    x = given(call)
    if x.type.dtype not in FLOATS:
        return None
    scales = np.array(call.attributes["scales"]) if call.version < 9 else reader.constant(call.input(1))
    return _scaled(reader, x, call.attribute("mode", "nearest"), scales)


def _scaled(reader: Reader, x: Value, mode: str, scales: np.ndarray | None) -> Result:
    """As Upsample and the first Resize did it: from the first element on; the nearest one before, or after if fewer."""
    sizes = None if scales is None else _grown(x.type.shape, scales)
    if scales is None or sizes is None:
        return None
    for rounding, chosen in (("ceil", scales < 1), ("floor", scales >= 1)):
        axes = tuple(int(axis) for axis in np.flatnonzero(chosen))
        kernel = {"mode": mode, "coordinates": "asymmetric", "rounding": rounding}
        region = np.repeat([[0.0], [1.0]], len(axes), axis=1)
        x = _resized(reader, x, axes, tuple(sizes[axis] for axis in axes), scales[chosen], region, kernel)
    return x


def _axes(call: Call, rank: int) -> Ints:
    return tuple(axis % rank for axis in call.attribute("axes", range(rank)))


def _target(reader: Reader, call: Call, x: Value, axes: Ints) -> tuple[Sizes, np.ndarray | None] | None:
    """The sizes asked for, with the factors where they are what the model states; None where they are not known."""
    shape = tuple(x.type.shape[axis] for axis in axes)
    if _stated(call, 2):
        scales = reader.constant(call.input(2))
        sizes = None if scales is None else _grown(shape, scales)
        return None if sizes is None else (sizes, scales)
    sizes = run_time_sizes(reader, call.input(3))
    policy = call.attribute("keep_aspect_ratio_policy", "stretch")
    if sizes is None or policy == "stretch":
        return None if sizes is None else (sizes, None)
    return _in_proportion(shape, sizes, policy)


def _stated(call: Call, index: int) -> bool:
    """Whether an input is there and has elements: an empty one is as good as none."""
    value = call.input(index)
    return value is not None and value.type.shape != (0,)


def _grown(shape: Sizes, scales: np.ndarray) -> Sizes | None:
    """Sizes times factors, rounded down; None where a size is open and its factor no simple fraction."""
    grown: list[Size] = []
    for size, scale in zip(shape, scales.astype(np.float32), strict=True):
        if isinstance(size, int):
            grown.append(int(np.float32(size) * scale))
            continue
        fraction = Fraction(float(scale)).limit_denominator(1000)
        if np.float32(float(fraction)) != scale:
            return None
        grown.append(size * fraction.numerator // fraction.denominator)
    return tuple(grown)


def _in_proportion(shape: Sizes, sizes: Sizes, policy: str) -> tuple[Sizes, np.ndarray] | None:
    """One factor for all axes: the largest that makes none larger than asked for, or the least that reaches all."""
    known = [(size, wanted) for size, wanted in zip(shape, sizes, strict=True)
             if isinstance(size, int) and isinstance(wanted, int)]  # fmt: skip
    choose = {"not_larger": min, "not_smaller": max}.get(policy)
    if len(known) < len(sizes) or choose is None:
        return None
    scale = choose(Fraction(wanted, size) for size, wanted in known)
    found = tuple(int(scale * size + Fraction(1, 2)) for size, _ in known)
    return found, np.full(len(found), float(scale))


def _region(reader: Reader, call: Call, count: int) -> np.ndarray | None:
    """Where the part of each axis that is resized begins and ends; None where it is not known."""
    if call.attribute("coordinate_transformation_mode") != "tf_crop_and_resize" or not _stated(call, 1):
        return np.repeat([[0.0], [1.0]], count, axis=1)
    region = reader.constant(call.input(1))
    return None if region is None else region.reshape(2, count).astype(float)


def _kernel(call: Call) -> dict[str, Any]:
    return {
        "mode": call.attribute("mode", "nearest"),
        "coordinates": call.attribute("coordinate_transformation_mode", "half_pixel"),
        "rounding": call.attribute("nearest_mode", "round_prefer_floor"),
        "cubic": call.attribute("cubic_coeff_a", -0.75),
        "exclude_outside": bool(call.attribute("exclude_outside", 0)),
        "antialias": bool(call.attribute("antialias", 0)),
    }


def _resized(reader: Reader, x: Value, axes: Ints, sizes: Sizes, scales: np.ndarray | None, region: np.ndarray,
             kernel: dict[str, Any]) -> Value:  # fmt: skip
    """`x` with those axes resized that change: together, unless the model states more than their sizes."""
    factors = np.zeros(len(axes)) if scales is None else scales
    stated = [_own_factor(x.type.shape[a], size, scale) for a, size, scale in zip(axes, sizes, factors, strict=True)]
    if not any(stated) and kernel["coordinates"] != "tf_crop_and_resize":
        changed = [(axis, size) for axis, size in zip(axes, sizes, strict=True) if x.type.shape[axis] != size]
        return _resized_together(reader, x, changed, kernel) if changed else x
    for axis, size, scale, (start, end) in zip(axes, sizes, stated, region.T.tolist(), strict=True):
        if x.type.shape[axis] != size or (start, end) != (0, 1):
            x = reader.b.resize_axis(x, size=size, axis=axis, scale=scale, start=start, end=end, **kernel)
    return x


def _resized_together(reader: Reader, x: Value, changed: list[tuple[int, Size]], kernel: dict[str, Any]) -> Value:
    axes, sizes = zip(*sorted(changed, key=lambda pair: pair[0]), strict=True)
    last = axes == tuple(range(x.type.rank - len(axes), x.type.rank))
    return reader.b.resize(x, size=sizes, axes=None if last else axes, **kernel)


def _own_factor(size: Size, result: Size, scale: float) -> float:
    """The factor, or 0 where the sizes say the same."""
    if isinstance(size, int) and isinstance(result, int):
        return 0.0 if not scale or np.float32(scale) == np.float32(result / size) else float(scale)
    return 0.0 if not scale or size * round(scale) == result else float(scale)


# --- sampling and regions ------------------------------------------------------------------------------------------


def grid_sample(reader: Reader, call: Call) -> Result:
    """GridSample-16 to -22."""
    x = given(call)
    mode = call.attribute("mode", "linear")
    return reader.b.grid_sample(
        x,
        _of_sizes(reader, given(call, 1), {0: x.type.shape[0], -1: x.type.rank - 2}),
        mode=_MODES.get(mode, mode),
        padding=call.attribute("padding_mode", "zeros"),
        align_corners=bool(call.attribute("align_corners", 0)),
    )


def _of_sizes(reader: Reader, x: Value, sizes: dict[int, Size]) -> Value:
    """x with axes of the sizes that they must have, where the model leaves these open or calls them something else."""
    axes = [axis for axis, size in sizes.items() if decide_equal(x.type.shape[axis], size) is None]
    if not axes:
        return x
    stops = tuple(sizes[axis] for axis in axes)
    return reader.b.slice(x, starts=(0,) * len(axes), stops=stops, axes=axes, steps=(1,) * len(axes))


def affine_grid(reader: Reader, call: Call) -> Result:
    """AffineGrid-20."""
    size = run_time_sizes(reader, call.input(1))
    if size is None:
        return None
    theta = _of_sizes(reader, given(call), {0: size[0], 1: len(size) - 2, 2: len(size) - 1})
    return reader.b.affine_grid(theta, size=size[2:], align_corners=bool(call.attribute("align_corners", 0)))


def roi_align(reader: Reader, call: Call) -> Result:
    """RoiAlign-10 (which took coordinates as they are) to -22."""
    shift = call.attribute("coordinate_transformation_mode", "half_pixel" if call.version >= 16 else "")
    rois = _of_sizes(reader, given(call, 1), {1: 4})
    return reader.b.roi_align(
        given(call),
        rois,
        _of_sizes(reader, given(call, 2), {0: rois.type.shape[0]}),
        size=(call.attribute("output_height", 1), call.attribute("output_width", 1)),
        scale=call.attribute("spatial_scale", 1.0),
        samples=call.attribute("sampling_ratio", 0),
        mode=call.attribute("mode", "avg"),
        half_pixel=shift == "half_pixel",
    )


def max_roi_pool(reader: Reader, call: Call) -> Result:
    """MaxRoiPool-1 and -22."""
    size, scale = tuple(call.attributes["pooled_shape"]), call.attribute("spatial_scale", 1.0)
    return reader.b.max_roi_pool(given(call), _of_sizes(reader, given(call, 1), {1: 5}), size=size, scale=scale)


def image_decoder(reader: Reader, call: Call) -> Result:
    """ImageDecoder-20, which no runtime at hand has."""
    raise reader.refuse(call, "onnxruntime decodes no images; decode them before they enter the model")


RULES = {
    "AffineGrid": affine_grid,
    "GridSample": grid_sample,
    "ImageDecoder": image_decoder,
    "MaxRoiPool": max_roi_pool,
    "Resize": resize,
    "RoiAlign": roi_align,
    "Upsample": upsample,
}
