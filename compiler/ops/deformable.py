"""Deformable convolution: a convolution whose window takes its elements from places that are computed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.diagnostics import fail
from netlang.dims import Size
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value, listed, product, shape_mismatch
from .reference import torch
from .windows import Ints, Window, whole

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value


def _shape(
    x: TensorType,
    weight: TensorType,
    offset: TensorType,
    mask: TensorType,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
    offset_groups: int,
) -> TensorType:
    if not all(isinstance(size, int) for size in weight.shape):
        raise fail("not-compile-time", "the weights of a convolution need sizes known while compiling", found=weight)
    made, read, *kernel = whole(weight.shape)
    window = Window((kernel[0], kernel[1]), stride, padding, dilation)
    window.check(2)
    if groups < 1 or made % groups or x.shape[1] != read * groups:
        raise shape_mismatch("each group reads its own channels", f"{read} for each of {groups} groups", x.shape[1])
    channels = x.shape[1]
    if offset_groups < 1 or (isinstance(channels, int) and channels % offset_groups):
        raise bad_value("channels share places in groups", f"offset groups that divide {channels}", offset_groups)
    results, places = window.results(x.shape[2:]), offset_groups * math.prod(kernel)
    for tensor, planes, name in ((offset, 2 * places, "offset"), (mask, places, "mask")):
        expected = (x.shape[0], planes, *results)
        if tensor.shape != expected:
            raise shape_mismatch(f"`{name}` has another shape", listed(expected), listed(tensor.shape))
    return TensorType(x.dtype, (x.shape[0], made, *results))


def _body(
    b: Builder,
    x: Value,
    weight: Value,
    offset: Value,
    mask: Value,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int,
    offset_groups: int,
) -> Value:
    n = x.type.shape[0]
    made, read, *kernel = whole(weight.type.shape)
    window = Window((kernel[0], kernel[1]), stride, padding, dilation)
    results, elements = offset.type.shape[2:], math.prod(kernel)
    moves = b.reshape(offset, shape=(n, offset_groups, elements, 2, *results))
    rows, columns = (b.add(_along(b, moves, axis), _regular(b, window, axis, results, x)) for axis in range(2))
    strength = b.reshape(mask, shape=(n, offset_groups, elements, *results))
    taken = _sampled(b, x, rows, columns, strength)  # [n, offset groups, elements, positions, channels of one]
    places = product(results)
    patches = b.transpose(taken, perm=(0, 3, 1, 4, 2))
    patches = b.transpose(b.reshape(patches, shape=(n, places, groups, read * elements)), perm=(0, 2, 1, 3))
    matrix = b.reshape(weight, shape=(groups, made // groups, read * elements))
    products = b.matmul(matrix, b.t(patches))  # [n, groups, channels made by one, positions]
    return b.reshape(products, shape=(n, made, *results))


def _along(b: Builder, moves: Value, axis: int) -> Value:
    """One of the two coordinates of moves[n, groups, elements, 2, *results]."""
    n, groups, elements, _, *results = moves.type.shape
    part = b.slice(moves, starts=(axis,), stops=(axis + 1,), axes=(3,), steps=(1,))
    return b.reshape(part, shape=(n, groups, elements, *results))


def _regular(b: Builder, window: Window, axis: int, results: tuple[Size, ...], x: Value) -> Value:
    """Where an undeformed window takes its elements along one axis, against [elements, *results]."""
    start = [offset[axis] - window.begin[axis] for offset in window.offsets()]
    first = b.constant(np.array(start).reshape(-1, 1, 1), x.type.dtype)
    steps = b.mul(b.cast(b.iota(count=results[axis]), dtype=x.type.dtype), float(window.stride[axis]))
    return b.add(first, b.reshape(steps, shape=(*results[axis : axis + 1], *(1,) * (1 - axis))))


def _sampled(b: Builder, x: Value, rows: Value, columns: Value, strength: Value) -> Value:
    """x between its elements, by weighting the four around each place; zero outside.

    Places are [n, groups, elements, *results]; the result is [n, groups, elements, positions, channels of a group].
    """
    n, channels, height, width = x.type.shape
    _, groups, elements, *results = rows.type.shape
    each = channels // groups
    table = b.transpose(b.reshape(x, shape=(n, groups, each, height * width)), perm=(0, 1, 3, 2))
    table = b.reshape(table, shape=(n * groups * height * width, each))
    planes = b.mul(b.iota(count=n * groups), b.dim(size=height * width))
    planes = b.reshape(planes, shape=(n, groups, 1, 1, 1))
    total: Value | None = None
    for row, by_row in _neighbours(b, rows, height):
        for column, by_column in _neighbours(b, columns, width):
            place = b.add(planes, b.add(b.mul(row, b.dim(size=width)), column))
            share = b.reshape(b.mul(b.mul(by_row, by_column), strength), shape=(*place.type.shape, 1))
            part = b.mul(b.gather(table, place), share)
            total = part if total is None else b.add(total, part)
    assert total is not None
    return b.reshape(total, shape=(n, groups, elements, product(results), each))


def _neighbours(b: Builder, place: Value, size: Size) -> list[tuple[Value, Value]]:
    """The elements before and after a place along an axis, and their weights, which are 0 outside the axis."""
    before = b.floor(place)
    beyond = b.sub(place, before)
    last = b.cast(b.dim(size=size - 1), dtype=place.type.dtype)
    found: list[tuple[Value, Value]] = []
    for element, share in ((before, b.sub(1.0, beyond)), (b.add(before, 1.0), beyond)):
        near = b.minimum(b.maximum(element, 0.0), last)
        inside = b.cast(b.equal(element, near), dtype=place.type.dtype)
        found.append((b.cast(near, dtype="i64"), b.mul(share, inside)))
    return found


def _onnx(e: Emitter, node: Node, x: str, weight: str, offset: str, mask: str) -> str:
    attributes = node.attributes
    bias = e.constant(np.zeros(whole(node.inputs[1].type.shape)[0], numpy_dtype(node.inputs[0].type.dtype)))
    return e.node(
        "DeformConv",
        x,
        weight,
        offset,
        bias,
        mask,
        strides=attributes["stride"],
        pads=attributes["padding"],
        dilations=attributes["dilation"],
        group=attributes["groups"],
        offset_group=attributes["offset_groups"],
    )


def _torch(
    x: Any,
    weight: Any,
    offset: Any,
    mask: Any,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    groups: int = 1,
    offset_groups: int = 1,
) -> Any:
    """Each element of the window by PyTorch's own sampling, then a convolution of 1×1."""
    n, channels, height, width = x.shape
    kernel, results, elements = weight.shape[2:], offset.shape[2:], math.prod(weight.shape[2:])
    moves = offset.reshape(n, offset_groups, elements, 2, *results)
    taken: list[Any] = []
    for group, part in enumerate(x.chunk(offset_groups, 1)):
        for element in range(elements):
            i, j = divmod(element, kernel[1])
            row = torch.arange(results[0])[:, None] * stride[0] - padding[0] + i * dilation[0]
            column = torch.arange(results[1]) * stride[1] - padding[1] + j * dilation[1]
            y, z = row + moves[:, group, element, 0], column + moves[:, group, element, 1]
            grid = torch.stack([2 * z / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
            sampled = torch.nn.functional.grid_sample(part, grid, align_corners=True)
            taken.append(sampled * mask[:, group * elements + element, None])
    patches = torch.stack(taken, 1).unflatten(1, (offset_groups, elements)).transpose(2, 3)
    matrix = weight.reshape(weight.shape[0], -1, 1, 1)
    return torch.nn.functional.conv2d(patches.reshape(n, channels * elements, *results), matrix, groups=groups)


_SAME = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1)}
_PLAIN = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
_ODD = {"stride": (2, 1), "padding": (0, 2, 1, 0), "dilation": (1, 2)}

OPERATORS: tuple[Op, ...] = (
    Op(
        "deform_conv(x: f[n, c, h, w], weight: f[o, i, p, q], offset: f[n, j, *s], mask: f[n, m, *s], stride: ints, "
        "padding: ints, dilation: ints, groups: int = 1, offset_groups: int = 1) -> f[n, o, *s]",
        doc="A convolution over two axes, as `conv`, that takes each element of each window from beside its place, by "
        "`offset` rows and columns, weighted by `mask`. The channels share offsets and masks in `offset_groups`; for "
        "each group and each element of the window, `offset` holds two planes and `mask` one. Between elements of x "
        "the four around a place are weighted; outside it is zero (Dai et al. 2017; Zhu et al. 2019).",
        body=_body,
        shape=_shape,
        onnx=_onnx,
        since=19,
        samples=(
            S((2, 3, 4, 5), (4, 3, 3, 2), (2, 12, 4, 6), (2, 6, 4, 6), **_SAME, torch=_torch),
            S((2, 4, 5, 6), (6, 2, 2, 2), (2, 16, 3, 6), (2, 8, 3, 6), **_ODD, groups=2, offset_groups=2, torch=_torch),
            S((2, 4, 3, 3), (2, 4, 1, 1), (2, 4, 3, 3), (2, 2, 3, 3), **_PLAIN, offset_groups=2, torch=_torch),
            Bad((2, 3, 4, 4), (4, 3, 2, 2), (2, 8, 4, 4), (2, 4, 3, 3), **_PLAIN, code="shape-mismatch"),
            Bad((2, 3, 4, 4), (4, 2, 2, 2), (2, 8, 3, 3), (2, 4, 3, 3), **_PLAIN, code="shape-mismatch"),
            Bad((2, 3, 4, 4), (4, 3, 2, 2), (2, 8, 3, 3), (2, 4, 3, 3), **_PLAIN, offset_groups=2, code="bad-value"),
        ),
    ),
)
