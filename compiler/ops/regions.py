"""Regions of an image of any size and place, each pooled to the same number of bins.

Always emitted as products and gathers: onnxruntime has no RoiAlign and no MaxRoiPool from operator set 22 on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from ..op import Bad, Op, S
from .common import bad_value, product
from .reference import torch
from .sampling import rows_of_pixels, size_as

if TYPE_CHECKING:
    from ..builder import Builder, Operand
    from ..ir import Value

Ints = tuple[int, ...]


def _column(b: Builder, x: Value, i: int) -> Value:
    return b.slice(x, starts=i, stops=i + 1, axes=1, steps=1)


def _checked_size(size: Ints) -> Ints:
    if len(size) != 2 or min(size) < 1:
        raise bad_value("`size` is the number of bins along each axis", "two numbers from 1 on", list(size))
    return size


def _numbers(b: Builder, counts: Value) -> Value:
    """0, 1, … up to but without the largest of some whole numbers of a float dtype, and 0 at least."""
    dtype = counts.type.dtype
    flat = b.reshape(counts, shape=(product(counts.type.shape),))
    largest = b.max(b.concat(flat, b.full(shape=(1,), value=1.0, dtype=dtype)))
    return b.cast(b.arange(b.constant(0), b.cast(largest, dtype="i64"), b.constant(1)), dtype=dtype)


def _bins_of_pixels(b: Builder, x: Value, image: Value, rows: Value, columns: Value) -> Value:
    """The channels of the pixels of each bin: [k * bins, pixels, c], from x[n, c, h, w].

    `rows`[k, bins, r] and `columns`[k, bins, s] say which pixels of the image `image`[k] they are, as floats.
    """
    h, w = x.type.shape[2:]
    (k, down, r), (_, across, s) = rows.type.shape, columns.type.shape
    first = b.mul(b.reshape(b.cast(image, dtype="i64"), shape=(k, 1, 1)), h if isinstance(h, int) else b.dim(size=h))
    lines = b.mul(b.add(b.cast(rows, dtype="i64"), first), w if isinstance(w, int) else b.dim(size=w))
    places = b.reshape(b.cast(columns, dtype="i64"), shape=(k, 1, across, 1, s))
    index = b.add(b.reshape(lines, shape=(k, down, 1, r, 1)), places)
    return b.gather(rows_of_pixels(b, x), b.reshape(index, shape=(k * down * across, r * s)))


def _both(b: Builder, rows: Value, columns: Value, combine: Any) -> Value:
    """What belongs to the pixels of each bin, from what belongs to their rows and columns: [k * bins, pixels, 1]."""
    (k, down, r), (_, across, s) = rows.type.shape, columns.type.shape
    both = combine(b.reshape(rows, shape=(k, down, 1, r, 1)), b.reshape(columns, shape=(k, 1, across, 1, s)))
    return b.reshape(both, shape=(k * down * across, r * s, 1))


def _largest(b: Builder, values: Value, there: Value) -> Value:
    """The largest of the values that are there, of [bins, values, c]; 0 where none are: [bins, c]."""
    lowest = b.constant(-math.inf, values.type.dtype)
    best = b.max(b.select(there, values, lowest), axis=1)
    return b.select(b.equal(best, lowest), b.constant(0.0, values.type.dtype), best)


def _laid_out(b: Builder, bins: Value, k: Size, size: Ints) -> Value:
    """[k * bins, c] as [k, c, *size]."""
    return b.transpose(b.reshape(bins, shape=(k, *size, bins.type.shape[1])), perm=(0, 3, 1, 2))


# --- roi_align -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Points:
    """Where the bins of each region are sampled along one axis of the image.

    at: positions among the elements, [k, bins, samples]. inside: 1 for each that counts, 0 for one too far outside.
    exists: which samples a region has, [k, 1, samples]. count: how many, [k, 1, 1].
    """

    at: Value
    inside: Value
    exists: Value
    count: Value


def _points(b: Builder, start: Value, end: Value, size: Size, bins: int, samples: int, half_pixel: bool) -> _Points:
    dtype = start.type.dtype
    length = b.sub(end, start)
    width = b.div(length if half_pixel else b.maximum(length, 1.0), float(bins))
    width = b.reshape(width, shape=(*width.type.shape, 1))
    count = b.full(shape=width.type.shape, value=float(samples), dtype=dtype) if samples else b.ceil(width)
    number = b.cast(b.iota(count=samples), dtype=dtype) if samples else _numbers(b, count)
    part = b.div(b.add(number, 0.5), b.maximum(count, 1.0))
    offsets = b.mul(b.add(b.reshape(b.cast(b.iota(count=bins), dtype=dtype), shape=(bins, 1)), part), width)
    at = b.add(b.reshape(start, shape=width.type.shape), offsets)
    limit = size_as(b, size, dtype)
    exists = b.less(number, count)
    near = b.logical_and(b.greater_equal(at, -1.0), b.less_equal(at, limit))
    inside = b.cast(b.logical_and(near, exists), dtype=dtype)
    return _Points(b.maximum(b.minimum(at, _last(b, limit)), 0.0), inside, exists, count)


def _last(b: Builder, size: Operand) -> Operand:
    return size - 1 if isinstance(size, float) else b.sub(size, 1.0)


def _align_shape(x: TensorType, rois: TensorType, image: TensorType, size: Ints, samples: int, mode: str, **_: Any
                 ) -> TensorType:  # fmt: skip
    if mode not in ("avg", "max"):
        raise bad_value("`mode` of `roi_align` is none of the known ones", "avg or max", mode)
    if samples < 0:
        raise bad_value("`samples` is a number of points, or 0 for as many as there are pixels", "from 0 on", samples)
    return TensorType(x.dtype, (rois.shape[0], x.shape[1], *_checked_size(size)))


def _align_body(b: Builder, x: Value, rois: Value, image: Value, size: Ints, scale: float, samples: int, mode: str,
                half_pixel: bool) -> Value:  # fmt: skip
    corners = b.sub(b.mul(rois, scale), 0.5) if half_pixel else b.mul(rois, scale)
    left, top, right, bottom = (_column(b, corners, i) for i in range(4))
    _, _, h, w = x.type.shape
    rows = _points(b, top, bottom, h, size[0], samples, half_pixel)
    columns = _points(b, left, right, w, size[1], samples, half_pixel)
    if mode == "avg":
        return _averaged(b, x, image, _shares(b, rows, h), _shares(b, columns, w))
    return _laid_out(b, _largest_part(b, x, image, rows, columns), rois.type.shape[0], size)


def _shares(b: Builder, points: _Points, size: Size) -> Value:
    """How much of each element goes into each bin: the samples' linear weights, averaged. [k, bins, size]."""
    k, bins, samples = points.at.type.shape
    elements = b.cast(b.iota(count=size), dtype=points.at.type.dtype)
    distance = b.abs(b.sub(b.reshape(points.at, shape=(k, bins, samples, 1)), elements))
    weights = b.mul(b.relu(b.sub(1.0, distance)), b.reshape(points.inside, shape=(k, bins, samples, 1)))
    return b.div(b.sum(weights, axis=2), b.maximum(points.count, 1.0))


def _averaged(b: Builder, x: Value, image: Value, down: Value, across: Value) -> Value:
    """x[n, c, h, w] multiplied along its rows by down[k, p, h] and along its columns by across[k, q, w].

    The image of a region is chosen by zeros in one large product rather than copied for each region.
    """
    n, c, h, w = x.type.shape
    (k, p, _), (_, q, _) = down.type.shape, across.type.shape
    if n != 1:
        chosen = b.cast(b.one_hot(image, classes=n), dtype=down.type.dtype)
        down = b.mul(b.reshape(down, shape=(k, p, 1, h)), b.reshape(chosen, shape=(k, 1, n, 1)))
    lines = b.reshape(b.transpose(x, perm=(0, 2, 1, 3)), shape=(n * h, c * w))
    strips = b.reshape(b.matmul(b.reshape(down, shape=(k * p, n * h)), lines), shape=(k, p * c, w))
    bins = b.reshape(b.matmul(strips, b.t(across)), shape=(k, p, c, q))
    return b.transpose(bins, perm=(0, 2, 1, 3))


def _largest_part(b: Builder, x: Value, image: Value, rows: _Points, columns: _Points) -> Value:
    """The largest share of a pixel in any sample of each bin, as ONNX defines it: [k * bins, c]."""
    _, _, h, w = x.type.shape
    (y, high, there), (z, wide, here) = _neighbours(b, rows, h), _neighbours(b, columns, w)
    values = b.mul(_bins_of_pixels(b, x, image, y, z), _both(b, high, wide, b.mul))
    return _largest(b, values, _both(b, there, here, b.logical_and))


def _neighbours(b: Builder, points: _Points, size: Size) -> tuple[Value, Value, Value]:
    """The two elements around each sample: their places, weights, and whether the sample exists. [k, bins, pairs]."""
    k, bins, samples = points.at.type.shape
    low = b.floor(points.at)
    high = b.minimum(b.add(low, 1.0), _last(b, size_as(b, size, low.type.dtype)))
    t = b.sub(points.at, low)
    exists = b.expand(points.exists, shape=(k, bins, samples))
    weights = b.mul(b.concat(b.sub(1.0, t), t), b.concat(points.inside, points.inside))
    return b.concat(low, high), weights, b.concat(exists, exists)


# --- max_roi_pool --------------------------------------------------------------------------------------------------


def _pool_shape(x: TensorType, rois: TensorType, size: Ints, scale: float) -> TensorType:
    return TensorType(x.dtype, (rois.shape[0], x.shape[1], *_checked_size(size)))


def _pool_body(b: Builder, x: Value, rois: Value, size: Ints, scale: float) -> Value:
    image, *corners = (_column(b, rois, i) for i in range(5))
    left, top, right, bottom = (_nearest(b, b.mul(corner, scale)) for corner in corners)
    image = b.reshape(_nearest(b, image), shape=(rois.type.shape[0],))
    _, _, h, w = x.type.shape
    rows, there = _covered(b, top, bottom, h, size[0])
    columns, here = _covered(b, left, right, w, size[1])
    k = rois.type.shape[0]
    values = _bins_of_pixels(b, x, image, rows, columns)
    return _laid_out(b, _largest(b, values, _both(b, there, here, b.logical_and)), k, size)


def _nearest(b: Builder, x: Value) -> Value:
    """The nearest whole number; halves away from zero."""
    return b.mul(b.sign(x), b.floor(b.add(b.abs(x), 0.5)))


def _covered(b: Builder, start: Value, end: Value, size: Size, bins: int) -> tuple[Value, Value]:
    """The elements of one axis that each bin covers, in part or whole, and which of them there are. [k, bins, _]."""
    dtype = start.type.dtype
    width = b.div(b.maximum(b.add(b.sub(end, start), 1.0), 1.0), float(bins))
    number = b.cast(b.iota(count=bins), dtype=dtype)
    limit = size_as(b, size, dtype)
    first, stop = (
        b.maximum(b.minimum(b.add(edge, start), limit), 0.0)
        for edge in (b.floor(b.mul(number, width)), b.ceil(b.mul(b.add(number, 1.0), width)))
    )
    first, stop = (b.reshape(edge, shape=(*edge.type.shape, 1)) for edge in (first, stop))
    at = b.add(first, _numbers(b, b.sub(stop, first)))
    return b.minimum(at, _last(b, limit)), b.less(at, stop)


# --- the same in PyTorch -------------------------------------------------------------------------------------------


def _torch_align(x: Any, rois: Any, image: Any, size: Ints, scale: float = 1.0, samples: int = 0,
                 half_pixel: bool = True) -> Any:  # fmt: skip
    """One region after the other, each sample by `grid_sample`."""
    shift = 0.5 if half_pixel else 0.0
    found = []
    for corners, i in zip(rois * scale - shift, image.tolist(), strict=True):
        axes = []
        for start, end, bins, limit in zip(
            corners[:2], corners[2:], reversed(size), reversed(x.shape[2:]), strict=True
        ):
            length = end - start if half_pixel else torch.maximum(end - start, torch.ones(()))
            count = samples or max(math.ceil(length.item() / bins), 1)
            at = start + length * (torch.arange(bins * count) + 0.5) / (bins * count)
            clamped = at.clamp(0, limit - 1)
            axes.append(((2 * clamped + 1) / limit - 1, ((at >= -1) & (at <= limit)).float(), count))
        (across, here, wide), (down, there, high) = axes
        grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)[None]
        values = torch.nn.functional.grid_sample(x[i : i + 1], grid, align_corners=False) * (there[:, None] * here)
        found.append(torch.nn.functional.avg_pool2d(values, (high, wide))[0])
    return torch.stack(found)


_ROIS = np.array([[0.3, 1.17, 4.6, 5.3], [-1.3, 0.4, 2.97, 6.9], [2.2, 2.3, 3.1, 2.9]], np.float32)
_IMAGES = np.array([1, 0, 1])
_POOLED = np.array([[1, 0, 1, 4, 5], [0, -2, 0, 2, 7], [1, 2, 2, 3, 2], [0, 9, 9, 9, 9]], np.float32)

OPERATORS: tuple[Op, ...] = (
    Op(
        "roi_align(x: f[n, c, h, w], rois: f[k, 4], image: i[k], size: ints, scale: float = 1.0, samples: int = 0, "
        'mode: str = "avg", half_pixel: bool = true) -> f',
        doc="Regions [left, top, right, bottom] of the images with the given numbers, each cut into `size` bins and "
        "sampled by linear interpolation at samples × samples points a bin (He et al. 2017); with 0 samples, at one "
        'for each pixel begun. The mean of a bin is its "avg"; its "max" is the largest product of a pixel and its '
        "weight, as ONNX defines it. `scale` takes coordinates of regions to pixels, half a pixel less with "
        "`half_pixel`.",
        body=_align_body,
        shape=_align_shape,
        samples=(
            S((2, 3, 5, 6), _ROIS, _IMAGES, size=(2, 3), samples=2, torch=_torch_align),
            S((2, 3, 5, 6), _ROIS, _IMAGES, size=(2, 2), torch=_torch_align),
            S(
                (2, 3, 5, 6),
                _ROIS * 2,
                _IMAGES,
                size=(2, 2),
                scale=0.5,
                samples=1,
                half_pixel=False,
                torch=_torch_align,
            ),
            S((1, 2, 5, 6), _ROIS, _IMAGES * 0, size=(3, 1), half_pixel=False, torch=_torch_align),
            S((2, 3, 5, 6), _ROIS, _IMAGES, size=(2, 3), samples=2, mode="max"),
            S((2, 3, 5, 6), _ROIS, _IMAGES, size=(2, 2), mode="max"),
            Bad((2, 3, 5, 6), (3, 4), _IMAGES, size=(2,), code="bad-value"),
            Bad((2, 3, 5, 6), (3, 4), _IMAGES, size=(2, 2), mode="sum", code="bad-value"),
            Bad((2, 3, 5, 6), (3, 5), _IMAGES, size=(2, 2), code="shape-mismatch"),
        ),
    ),
    Op(
        "max_roi_pool(x: f[n, c, h, w], rois: f[k, 5], size: ints, scale: float = 1.0) -> f",
        doc="Regions [image, left, top, right, bottom], times `scale` and rounded to pixels, each cut into `size` "
        "bins: the largest element of each, 0 where it has none (Girshick 2015). Equal ones share the gradient.",
        body=_pool_body,
        shape=_pool_shape,
        samples=(
            S((2, 3, 6, 7), _POOLED, size=(2, 2)),
            S((2, 3, 6, 7), _POOLED, size=(3, 1), scale=0.6),
            Bad((2, 3, 5, 6), (3, 5), size=(2, 0), code="bad-value"),
            Bad((2, 3, 5, 6), (3, 4), size=(2, 2), code="shape-mismatch"),
        ),
    ),
)
