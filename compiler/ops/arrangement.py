"""Operators that repeat, reverse, blank out and regroup elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netlang.dims import Size, decide_less
from netlang.types import TensorType

from ..op import Bad, Op, S
from .common import bad_value, listed, normal_axis, shape_mismatch
from .indexing import as_i64
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

Sizes = tuple[Size, ...]
Ints = tuple[int, ...]


# --- tile ----------------------------------------------------------------------------------------------------------


def _tile_shape(x: TensorType, repeats: Sizes) -> TensorType:
    if len(repeats) != x.rank or any(decide_less(count, 0) for count in repeats):
        raise bad_value("`repeats` says how often for every axis", f"{x.rank} numbers from 0 on", listed(repeats))
    return TensorType(x.dtype, tuple(count * size for count, size in zip(repeats, x.shape, strict=True)))


def _tile_vjp(b: Builder, g: Value, y: Value, x: Value, repeats: Sizes) -> tuple[Value]:
    pairs = [size for pair in zip(repeats, x.type.shape, strict=True) for size in pair]
    copies = tuple(2 * axis for axis, count in enumerate(repeats) if count != 1)
    total = b.sum(b.reshape(g, shape=tuple(pairs)), axis=copies) if copies else g
    return (b.reshape(total, shape=x.type.shape),)


def _tile_onnx(e: Emitter, node: Node, x: str) -> str:
    return e.node("Tile", x, e.sizes(node.attributes["repeats"])) if node.inputs[0].type.rank else e.node("Identity", x)


# --- reverse_sequence ----------------------------------------------------------------------------------------------


def _reverse_shape(x: TensorType, lengths: TensorType, batch_axis: int, time_axis: int) -> TensorType:
    batch, time = normal_axis(batch_axis, x.rank), normal_axis(time_axis, x.rank)
    if {batch, time} != {0, 1}:
        raise bad_value("the axes of rows and of time are the first two", "0 and 1", [batch_axis, time_axis])
    if lengths.shape != (x.shape[batch],):
        raise shape_mismatch("every row has its length", listed((x.shape[batch],)), listed(lengths.shape))
    return x


def _reverse_numpy(x: np.ndarray, lengths: np.ndarray, batch_axis: int, time_axis: int) -> np.ndarray:
    y = np.moveaxis(x, (batch_axis, time_axis), (0, 1)).copy()
    for row, length in zip(y, lengths, strict=True):
        row[:length] = row[:length][::-1]
    return np.moveaxis(y, (0, 1), (batch_axis, time_axis))


def _reverse_vjp(b: Builder, g: Value, y: Value, x: Value, lengths: Value, **axes: int) -> tuple[Value, None]:
    return b.reverse_sequence(g, lengths, **axes), None


def _reverse_onnx(e: Emitter, node: Node, x: str, lengths: str) -> str:
    axes = {name: node.attributes[name] % node.inputs[0].type.rank for name in ("batch_axis", "time_axis")}
    return e.node("ReverseSequence", x, as_i64(e, node, lengths), **axes)


# --- tril, triu ----------------------------------------------------------------------------------------------------


def _triangle(name: str, upper: bool, sentence: str) -> Op:
    def lowered(e: Emitter, node: Node, x: str) -> str:
        diagonal = e.constant(np.array(node.attributes["diagonal"], np.int64))
        return e.node("Trilu", x, diagonal, upper=int(upper))

    meaning = np.triu if upper else np.tril
    return Op(
        f"{name}(x: t[*s, h, w], diagonal: int = 0) -> t[*s, h, w]",
        doc=f"{sentence} Diagonal 0 is the main one; those above it count from 1 on, those below from -1 down.",
        numpy=lambda x, diagonal: meaning(x, k=diagonal),
        vjp=lambda b, g, y, x, diagonal: (b.apply(name, [g], {"diagonal": diagonal}),),
        onnx=lowered,
        samples=(
            S((3, 4), torch=getattr(torch, name)),
            S((2, 4, 3), diagonal=1, torch=getattr(torch, name)),
            S((2, 2, 3), diagonal=-1, torch=getattr(torch, name)),
            S((2, 3), diagonal=-5, torch=getattr(torch, name)),
            S(np.arange(6).reshape(2, 3)),
            Bad((3,), code="rank-mismatch"),
        ),
    )


# --- depth and space -----------------------------------------------------------------------------------------------

_DEPTH_ORDERS = {"DCR": (0, 3, 4, 1, 5, 2), "CRD": (0, 1, 4, 2, 5, 3)}
_SPACE_ORDERS = {"DCR": (0, 3, 5, 1, 2, 4), "CRD": (0, 1, 3, 5, 2, 4)}


def _check_block(block: int, mode: str) -> None:
    if block < 1:
        raise bad_value("a block has one row or more", "block >= 1", block)
    if mode not in _DEPTH_ORDERS:
        raise bad_value("there is no such order of channels", "DCR or CRD", mode)


def _depth_shape(x: TensorType, block: int, mode: str) -> TensorType:
    _check_block(block, mode)
    n, c, h, w = x.shape
    if c % block**2 != 0:
        raise shape_mismatch(f"{c} channels do not make blocks of {block} by {block}", f"a multiple of {block**2}", c)
    return TensorType(x.dtype, (n, c // block**2, h * block, w * block))


def _depth_body(b: Builder, x: Value, block: int, mode: str) -> Value:
    n, c, h, w = x.type.shape
    few = c // block**2
    blocks = (block, block, few) if mode == "DCR" else (few, block, block)
    apart = b.reshape(x, shape=(n, *blocks, h, w))
    return b.reshape(b.transpose(apart, perm=_DEPTH_ORDERS[mode]), shape=(n, few, h * block, w * block))


def _depth_onnx(e: Emitter, node: Node, x: str) -> str:
    return e.node("DepthToSpace", x, blocksize=node.attributes["block"], mode=node.attributes["mode"])


def _space_shape(x: TensorType, block: int, mode: str) -> TensorType:
    _check_block(block, mode)
    n, c, h, w = x.shape
    for size in (h, w):
        if size % block != 0:
            raise shape_mismatch(f"{size} is not cut into blocks of {block}", f"a multiple of {block}", size)
    return TensorType(x.dtype, (n, c * block**2, h // block, w // block))


def _space_body(b: Builder, x: Value, block: int, mode: str) -> Value:
    n, c, h, w = x.type.shape
    apart = b.reshape(x, shape=(n, c, h // block, block, w // block, block))
    moved = b.transpose(apart, perm=_SPACE_ORDERS[mode])
    return b.reshape(moved, shape=(n, c * block**2, h // block, w // block))


# --- tensor_scatter ------------------------------------------------------------------------------------------------


def _cache_shape(cache: TensorType, values: TensorType, start: TensorType, axis: int, circular: bool) -> TensorType:
    at = normal_axis(axis, cache.rank)
    expected = (*cache.shape[:at], values.shape[at] if at < values.rank else 0, *cache.shape[at + 1 :])
    if at == 0 or values.shape != expected:
        title = f"values to write along axis {axis} of {listed(cache.shape)} agree with it in every other"
        raise shape_mismatch(title, listed(expected), listed(values.shape))
    if start.shape != cache.shape[:1]:
        raise shape_mismatch("every row has its place", listed(cache.shape[:1]), listed(start.shape))
    return cache


def _cache_body(b: Builder, cache: Value, values: Value, start: Value, axis: int, circular: bool) -> Value:
    at = normal_axis(axis, cache.type.rank)
    grid = values.type.shape[: at + 1]

    def along(number: Value, axis: int) -> Value:
        """One coordinate of every position: `number` counts along an axis."""
        spread = b.reshape(number, shape=(*(1,) * axis, *number.type.shape, *(1,) * (at - axis)))
        return b.expand(spread, shape=grid)

    positions = b.add(along(b.cast(start, dtype="i64"), 0), along(b.iota(count=grid[at]), at))
    if circular:
        positions = b.mod(positions, b.dim(size=cache.type.shape[at]))
    coordinates = (*(along(b.iota(count=grid[i]), i) for i in range(at)), positions)
    index = b.concat(*(b.reshape(x, shape=(*grid, 1)) for x in coordinates), axis=-1)
    return b.scatter_nd(cache, index, values)


def _cache_numpy(cache: np.ndarray, values: np.ndarray, start: np.ndarray, axis: int, circular: bool) -> np.ndarray:
    y = cache.copy()
    for row, new, first in zip(y, values, start, strict=True):
        along, source = (np.moveaxis(x, axis - (axis > 0), 0) for x in (row, new))
        for i, one in enumerate(source):
            along[(first + i) % len(along) if circular else first + i] = one
    return y


OPERATORS: tuple[Op, ...] = (
    Op(
        "tile(x: t[*s], repeats: sizes) -> t[*s]",
        doc="x again and again along each axis, as often as `repeats` says.",
        numpy=lambda x, repeats: np.tile(x, reps=repeats),
        vjp=_tile_vjp,
        shape=_tile_shape,
        onnx=_tile_onnx,
        samples=(
            S((2, 3), repeats=(2, 3), torch=lambda x, repeats: x.tile(repeats)),
            S((2, 1, 3), repeats=(1, 4, 1), torch=lambda x, repeats: x.tile(repeats)),
            S((2, 3), repeats=(1, 0)),
            S((2,), repeats=(1,), torch=lambda x, repeats: x.tile(repeats)),
            S((), repeats=()),
            Bad((2, 3), repeats=(2,), code="bad-value"),
            Bad((2, 3), repeats=(2, -1), code="bad-value"),
        ),
    ),
    Op(
        "reverse_sequence(x: t[*s], lengths: i[b], batch_axis: int = 0, time_axis: int = 1) -> t[*s]",
        doc="Each row of x with its first `lengths` elements in time in the opposite order, and the rest as it is.",
        numpy=_reverse_numpy,
        vjp=_reverse_vjp,
        shape=_reverse_shape,
        onnx=_reverse_onnx,
        samples=(
            S((3, 4), np.array([4, 1, 2])),
            S((4, 3, 2), np.array([4, 1, 3], np.int32), batch_axis=1, time_axis=0),
            S((2, 3, 2), np.array([3, 3]), batch_axis=-3, time_axis=-2, torch=lambda x, n, **_: x.flip(1)),
            Bad((3, 4), np.array([4, 1]), code="shape-mismatch"),
            Bad((3, 4), np.array([4, 1, 2]), time_axis=0, code="bad-value"),
            Bad((3, 4), np.array([4, 1, 2]), time_axis=2, code="bad-axis"),
        ),
    ),
    _triangle("tril", False, "The last two axes with zeros above a diagonal."),
    _triangle("triu", True, "The last two axes with zeros below a diagonal."),
    Op(
        'depth_to_space(x: t[n, c, h, w], block: int, mode: str = "DCR") -> t',
        doc="Channels laid out as blocks of block x block pixels. A channel of x counts as (row, column, channel of "
        "the result) in the mode DCR, as (channel of the result, row, column) in CRD, the pixel shuffle of Shi et al. "
        "2016.",
        body=_depth_body,
        shape=_depth_shape,
        onnx=_depth_onnx,
        samples=(
            S((2, 8, 2, 3), block=2),
            S((2, 8, 2, 3), block=2, mode="CRD", torch=lambda x, block, mode: torch.pixel_shuffle(x, block)),
            S((1, 3, 2, 2), block=1, torch=lambda x, block: x),
            Bad((2, 6, 2, 3), block=2, code="shape-mismatch"),
            Bad((2, 8, 2, 3), block=0, code="bad-value"),
            Bad((2, 8, 2, 3), block=2, mode="RCD", code="bad-value"),
            Bad((8, 2, 3), block=2, code="rank-mismatch"),
        ),
    ),
    Op(
        'space_to_depth(x: t[n, c, h, w], block: int, mode: str = "DCR") -> t',
        doc="Blocks of block x block pixels laid out as channels, the inverse of `depth_to_space`.",
        body=_space_body,
        shape=_space_shape,
        samples=(
            S((2, 2, 4, 6), block=2),
            S((2, 2, 4, 6), block=2, mode="CRD", torch=lambda x, block, mode: torch.pixel_unshuffle(x, block)),
            Bad((2, 2, 4, 5), block=2, code="shape-mismatch"),
            Bad((2, 2, 4, 6), block=-2, code="bad-value"),
        ),
    ),
    Op(
        "tensor_scatter(cache: t[*s], values: t[*u], start: i[b], axis: int = -2, circular: bool = false) -> t[*s]",
        doc="The cache with each row's values written along an axis, from the position in `start` on; where "
        "`circular`, past the end they go on from the beginning: how caches of keys and values grow.",
        numpy=_cache_numpy,
        body=_cache_body,
        shape=_cache_shape,
        samples=(
            S((2, 3, 5, 2), (2, 3, 2, 2), np.array([3, 0])),
            S((2, 4, 3), (2, 3, 3), np.array([3, 1], np.int32), axis=1, circular=True),
            S((2, 3, 4), (2, 3, 1), np.array([3, 1]), axis=-1),
            Bad((2, 5, 2), (2, 2, 3), np.array([3, 0]), code="shape-mismatch"),
            Bad((2, 5, 2), (2, 2, 2), np.array([3, 0, 0]), code="shape-mismatch"),
            Bad((2, 5), (2, 5), np.array([3, 0]), axis=0, code="shape-mismatch"),
        ),
    ),
)
