"""Images read at positions that are computed: grids of positions, and what lies there."""

from __future__ import annotations

from itertools import product as combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from ..ir import Value
from ..op import Bad, Op, S
from .common import bad_value, listed, product, shape_mismatch
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder, Operand
    from ..emit import Emitter
    from ..ir import Node

Sizes = tuple[Size, ...]

MODES = ("linear", "nearest", "cubic")
PADDINGS = ("zeros", "border", "reflection")

_CUBIC_TAPS = np.array([[0, -0.75, 1.5, -0.75], [1, 0, -2.25, 1.25], [0, 0.75, 1.5, -1.25], [0, 0, -0.75, 0.75]])
"""Weights of the four elements around a position, t after the second, by 1, t, t², t³ (Keys 1981 with a = -3/4)."""


def size_as(b: Builder, size: Size, dtype: str) -> Operand:
    """A size as an operand of a float dtype, whether it is known while compiling or not."""
    return float(size) if isinstance(size, int) else b.cast(b.dim(size=size), dtype=dtype)


def rows_of_pixels(b: Builder, x: Value) -> Value:
    """x[n, c, *sizes] as [n * pixels, c]: the channels of each pixel side by side, to be gathered together."""
    n, c, *sizes = x.type.shape
    last = b.transpose(x, perm=(0, *range(2, x.type.rank), 1))
    return b.reshape(last, shape=(n * product(sizes), c))


# --- grid_sample ---------------------------------------------------------------------------------------------------


def _sample_shape(x: TensorType, grid: TensorType, mode: str, padding: str, align_corners: bool) -> TensorType:
    for name, word, known in (("mode", mode, MODES), ("padding", padding, PADDINGS)):
        if word not in known:
            raise bad_value(f"`{name}` of `grid_sample` is none of the known ones", " or ".join(known), word)
    axes = x.rank - 2
    if grid.rank != x.rank or grid.shape[-1] != axes:
        title = f"each position in x of {axes} axes is {axes} numbers"
        raise shape_mismatch(title, f"a grid [n, …, {axes}] of rank {x.rank}", listed(grid.shape))
    return TensorType(x.dtype, (*x.shape[:2], *grid.shape[1:-1]))


def _sample_body(b: Builder, x: Value, grid: Value, mode: str, padding: str, align_corners: bool) -> Value:
    n, c, *sizes = x.type.shape
    between = grid.type.shape[1:-1]
    points = n * product(between)
    columns = (b.reshape(column, shape=(1, points)) for column in reversed(b.split(grid, parts=len(sizes))))
    taps = [_taps(b, *pair, mode, padding, align_corners) for pair in zip(columns, sizes, strict=True)]
    index, weight = _combined_taps(b, taps, sizes)
    index = b.add(index, _first_pixels(b, n, product(sizes), product(between)))
    taken = _weighted_rows(b, rows_of_pixels(b, x), index, weight)
    rank = x.type.rank
    return b.transpose(b.reshape(taken, shape=(n, *between, c)), perm=(0, rank - 1, *range(1, rank - 1)))


def _first_pixels(b: Builder, n: Size, pixels: Size, points: Size) -> Value:
    """For each of the points of each image where its pixels begin: [n * points]."""
    first = b.mul(b.iota(count=n), _whole(b, pixels))
    return b.reshape(b.expand(b.reshape(first, shape=(n, 1)), shape=(n, points)), shape=(n * points,))


def _whole(b: Builder, size: Size) -> Operand:
    return size if isinstance(size, int) else b.dim(size=size)


def _combined_taps(b: Builder, taps: list[tuple[Value, Value | None]], sizes: list[Size]) -> tuple[Value, Value | None]:
    """Places in a flattened image, and their weights, from those along each axis: each of [taps, points]."""
    index, weight = taps[0]
    for (along, factor), size in zip(taps[1:], sizes[1:], strict=True):
        index = _outer(b, b.mul(index, _whole(b, size)), along, b.add)
        weight = _outer(b, weight, factor, b.mul) if weight is not None and factor is not None else None
    return index, weight


def _outer(b: Builder, left: Value, right: Value, combine: Any) -> Value:
    """Every row of one combined with every row of the other."""
    (rows, points), (others, _) = left.type.shape, right.type.shape
    both = combine(b.reshape(left, shape=(rows, 1, points)), b.reshape(right, shape=(1, others, points)))
    return b.reshape(both, shape=(rows * others, points))


def _weighted_rows(b: Builder, table: Value, index: Value, weight: Value | None) -> Value:
    """The sum over taps of rows of `table`[_, c] at `index`[taps, points] times their weights: [points, c]."""
    rows = b.gather(table, index)
    taps, points, _ = rows.type.shape
    if weight is not None:
        rows = b.mul(rows, b.reshape(weight, shape=(taps, points, 1)))
    return b.reshape(rows, shape=rows.type.shape[1:]) if taps == 1 else b.sum(rows, axis=0)


def _taps(
    b: Builder, grid: Value, size: Size, mode: str, padding: str, align_corners: bool
) -> tuple[Value, Value | None]:
    """Along one axis the elements that make each point: their places, which exist, and weights, [taps, points] both.

    `grid` is [1, points]: -1 and 1 are the centres of the outermost elements, or their outer edges. No weights where
    all are 1.
    """
    at = _positions(b, grid, size_as(b, size, grid.type.dtype), align_corners)
    if mode != "cubic":
        at = _kept_inside(b, at, size, padding, align_corners)
    if mode == "nearest":
        places, weights = b.round(at), None
    else:
        low = b.floor(at)
        offsets = np.array([[0], [1]] if mode == "linear" else [[-1], [0], [1], [2]])
        places = b.add(low, b.constant(offsets, low.type.dtype))
        weights = _linear_weights(b, b.sub(at, low)) if mode == "linear" else _cubic_weights(b, b.sub(at, low))
    if mode == "cubic":
        places = _kept_inside(b, places, size, padding, align_corners)
    return _existing(b, places, weights, size, zeros=padding == "zeros")


def _positions(b: Builder, grid: Value, size: Operand, align_corners: bool) -> Value:
    """Numbers from -1 to 1 as positions among elements, the first of which is at 0."""
    shifted = b.add(grid, 1.0)
    if align_corners:
        return b.mul(b.mul(shifted, 0.5), _less_one(b, size))
    return b.mul(b.sub(b.mul(shifted, size), 1.0), 0.5)


def _less_one(b: Builder, size: Operand) -> Operand:
    return size - 1 if isinstance(size, float) else b.sub(size, 1.0)


def _linear_weights(b: Builder, t: Value) -> Value:
    return b.concat(b.sub(1.0, t), t, axis=0)


def _cubic_weights(b: Builder, t: Value) -> Value:
    square = b.mul(t, t)
    powers = b.concat(b.full(shape=t.type.shape, value=1.0, dtype=t.type.dtype), t, square, b.mul(square, t), axis=0)
    return b.matmul(b.constant(_CUBIC_TAPS, t.type.dtype), powers)


def _kept_inside(b: Builder, at: Value, size: Size, padding: str, align_corners: bool) -> Value:
    """Positions beyond the ends moved to the border, or mirrored at the outermost centres or edges."""
    if padding == "zeros":
        return at
    if padding == "reflection":
        at = _reflected(b, at, size_as(b, size, at.type.dtype), align_corners)
    return _clipped(b, at, size)


def _reflected(b: Builder, at: Value, size: Operand, align_corners: bool) -> Value:
    """A triangle wave: it runs up and down between the lowest and the highest position."""
    low = 0.0 if align_corners else -0.5
    span = b.maximum(_as_value(b, _less_one(b, size), at), 1.0) if align_corners else _as_value(b, size, at)
    period = b.mul(span, 2.0)
    shifted = b.sub(at, low)
    phase = b.sub(shifted, b.mul(period, b.floor(b.div(shifted, period))))
    return b.add(b.sub(span, b.abs(b.sub(phase, span))), low)


def _as_value(b: Builder, number: Operand, like: Value) -> Value:
    return number if isinstance(number, Value) else b.constant(number, like.type.dtype)


def _clipped(b: Builder, at: Value, size: Size) -> Value:
    if isinstance(size, int):
        return b.clip(at, low=0.0, high=float(size - 1))
    return b.maximum(b.minimum(at, _less_one(b, size_as(b, size, at.type.dtype))), 0.0)


def _existing(b: Builder, places: Value, weights: Value | None, size: Size, zeros: bool) -> tuple[Value, Value | None]:
    """Places moved to elements that exist; with `zeros`, the weights of those that did not are 0."""
    there = _clipped(b, places, size)
    if zeros:
        inside = b.cast(b.equal(places, there), dtype=places.type.dtype)
        weights = inside if weights is None else b.mul(weights, inside)
    return b.cast(there, dtype="i64"), weights


def _sample_onnx(e: Emitter, node: Node, x: str, grid: str) -> str:
    attributes = node.attributes
    return e.node(
        "GridSample",
        x,
        grid,
        mode=attributes["mode"],
        padding_mode=attributes["padding"],
        align_corners=int(attributes["align_corners"]),
    )


# --- affine_grid ---------------------------------------------------------------------------------------------------


def _affine_shape(theta: TensorType, size: Sizes, align_corners: bool) -> TensorType:
    axes = len(size)
    if axes not in (2, 3):
        raise bad_value("`size` says how long the axes of the image are, without batch and channels", "2 or 3", axes)
    if any(isinstance(one, int) and one < 0 for one in size):
        raise bad_value("an image cannot have fewer pixels than none", "sizes from 0 on", listed(size))
    if theta.shape[1:] != (axes, axes + 1):
        title = f"an affine map of {axes} coordinates is a matrix and a column of offsets"
        raise shape_mismatch(title, f"[n, {axes}, {axes + 1}]", listed(theta.shape))
    return TensorType(theta.dtype, (theta.shape[0], *size, axes))


def _affine_body(b: Builder, theta: Value, size: Sizes, align_corners: bool) -> Value:
    n, axes = theta.type.shape[0], len(size)
    grid = _column(b, theta, axes, axes)
    for axis, one in enumerate(size):
        places = b.reshape(_spaced(b, one, theta.type.dtype, align_corners), shape=(one, *(1,) * (axes - axis)))
        grid = b.add(grid, b.mul(places, _column(b, theta, axes - 1 - axis, axes)))
    return grid if grid.type.shape == (n, *size, axes) else b.expand(grid, shape=(n, *size, axes))


def _column(b: Builder, theta: Value, i: int, axes: int) -> Value:
    """A column of each map, as [n, 1, …, 1, coordinates]."""
    column = b.slice(theta, starts=i, stops=i + 1, axes=2, steps=1)
    return b.reshape(column, shape=(theta.type.shape[0], *(1,) * axes, axes))


def _spaced(b: Builder, size: Size, dtype: str, align_corners: bool) -> Value:
    """`size` numbers between -1 and 1, evenly spaced around 0: with the ends, or the centres of as many equal parts."""
    whole = b.cast(b.iota(count=size), dtype=dtype)
    count = _as_value(b, size_as(b, size, dtype), whole)
    parts = b.maximum(b.sub(count, 1.0), 1.0) if align_corners else count
    return b.div(b.add(b.mul(whole, 2.0), b.sub(1.0, count)), parts)


def _torch_sample(x: Any, grid: Any, mode: str = "linear", padding: str = "zeros", align_corners: bool = False) -> Any:
    name = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    return torch.nn.functional.grid_sample(x, grid, mode=name, padding_mode=padding, align_corners=align_corners)


def _torch_affine(theta: Any, size: Any, align_corners: bool = False) -> Any:
    return torch.nn.functional.affine_grid(theta, (theta.shape[0], 1, *size), align_corners=align_corners)


_CLEAR = (-1.57, -1.29, -1.16, -0.84, -0.71, -0.57, -0.43, -0.29, -0.16, 0.14, 0.28, 0.44, 0.57, 0.71, 0.84, 1.16, 1.56)
"""Positions away from elements and halves between them, where gradients jump, for axes of 2 to 5 elements."""


def _grid(*shape: int) -> np.ndarray:
    positions = 7 * np.arange(np.prod(shape)) % len(_CLEAR)  # all, far from their neighbours, without `numpy.random`
    return np.take(_CLEAR, positions).reshape(shape).astype(np.float32)


_IMAGES = tuple(
    S((2, 3, 4, 5), _grid(2, 3, 4, 2), mode=mode, padding=padding, align_corners=align_corners, torch=_torch_sample)
    for mode, padding, align_corners in combinations(MODES, PADDINGS, (False, True))
)
_VOLUMES = tuple(
    S((2, 2, 3, 4, 3), _grid(2, 2, 3, 2, 3), mode=mode, padding=padding, torch=_torch_sample)
    for mode, padding in combinations(MODES[:2], PADDINGS)
)

OPERATORS: tuple[Op, ...] = (
    Op(
        'grid_sample(x: f[n, c, *s], grid: f[n, *u], mode: str = "linear", padding: str = "zeros", '
        "align_corners: bool = false) -> f",
        doc='What lies in x at the positions of the grid (Jaderberg et al. 2015): "linear" between neighbours, the '
        '"nearest", or "cubic". Each position is a number from -1 to 1 for each axis of x, the last axis first; beyond '
        'its ends x is "zeros", goes on as at its "border", or by "reflection". With `align_corners`, -1 and 1 are the '
        "centres of the outermost elements, otherwise their outer edges. Positions on an element have the gradient of "
        "their right side, and those kept at a border have none.",
        body=_sample_body,
        shape=_sample_shape,
        onnx=_sample_onnx,
        since=20,
        samples=(
            *_IMAGES,
            *_VOLUMES,
            S((2, 1, 1, 3), _grid(2, 2, 2, 2), padding="reflection", align_corners=True, torch=_torch_sample),
            Bad((2, 3, 4, 5), (2, 3, 4, 3), code="shape-mismatch"),
            Bad((2, 3, 4, 5), (3, 3, 4, 2), code="shape-mismatch"),
            Bad((2, 3, 4, 5), (2, 3, 4, 2), mode="bilinear", code="bad-value"),
            Bad((2, 3, 4, 5), (2, 3, 4, 2), padding="wrap", code="bad-value"),
        ),
    ),
    Op(
        "affine_grid(theta: f[n, k, l], size: sizes, align_corners: bool = false) -> f",
        doc="The positions for `grid_sample` to which an affine map theta of 2 or 3 coordinates takes the pixels of an "
        "image of the given size (Jaderberg et al. 2015). The only pixel of an axis lies at 0, as in PyTorch.",
        body=_affine_body,
        shape=_affine_shape,
        samples=(
            S((2, 2, 3), size=(3, 4), torch=_torch_affine),
            S((2, 2, 3), size=(3, 4), align_corners=True, torch=_torch_affine),
            S((2, 3, 4), size=(2, 3, 4), torch=_torch_affine),
            S((2, 3, 4), size=(2, 3, 4), align_corners=True, torch=_torch_affine),
            Bad((2, 2, 2), size=(3, 4), code="shape-mismatch"),
            Bad((2, 2, 3), size=(3,), code="bad-value"),
            Bad((2, 2, 3), size=(3, -4), code="bad-value"),
        ),
    ),
)
