"""A pass for graphs that run on one thread of a processor here: gradients of max-pooling in parts that fit its cache.

Where windows overlap, their gradient lays them out and goes over them six times. For 8 images of 64 channels of 112²
and windows of 3×3 by 2 this takes 87 ms on one core at once, and 41 in parts of four channels.
"""

from __future__ import annotations

import math

from netlang.types import TensorType

from ..builder import Builder
from ..control import scan
from ..dtypes import numpy_dtype
from ..ir import Graph, Node, Value
from ..ops.max_pooling import overlapping_maximum
from ..ops.windows import Window, whole, window_of
from .algebra_common import made_by
from .dead import dead
from .rebuild import Results, rebuild

LARGE = 1 << 21
"""Bytes of windows up to which they are laid out at once."""

PART = 1 << 19
"""Bytes of windows that a part should have."""


def pool_parts(graph: Graph, large: int = LARGE, part: int = PART) -> Graph:
    """Computes the gradients of large overlapping max-poolings for a few images and channels at a time."""

    def in_parts(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        sources = _sources(b, node, *inputs) if node.op == "fold" else None
        rows = _rows(inputs[0].type, large, part) if sources else None
        return None if sources is None or rows is None else _stacked(b, node, sources, rows)

    return dead(rebuild(graph, in_parts))


def _sources(b: Builder, node: Node, put: Value) -> tuple[Value, Value, Value] | None:
    """What `overlapping_maximum` had, as g, y and x, where it ends with `node`, a fold of taken · (g / sum(taken)).

    taken are the elements of the windows of x that equal y, whose axis of elements has size 1, as that of g has.
    """
    product = made_by(b, put, "mul")
    taken = made_by(b, product.inputs[0], "cast") if product else None
    share = made_by(b, product.inputs[1], "div") if product else None
    equal = made_by(b, taken.inputs[0], "equal") if taken else None
    windows = made_by(b, equal.inputs[0], "unfold") if equal else None
    ties = made_by(b, share.inputs[1], "sum") if share else None
    if not (taken and share and equal and windows and ties) or ties.inputs[0] not in taken.outputs:
        return None
    g, y, x = share.inputs[0], equal.inputs[1], _padded(b, window_of(node), windows.inputs[0])
    column = (*put.type.shape[:2], 1, *put.type.shape[3:])
    same = all(windows.attributes[name] == node.attributes[name] for name in ("kernel", "stride", "dilation"))
    same = same and not any(windows.attributes["padding"] or ())
    over_elements = ties.attributes["axis"] == (2,) and ties.attributes["keepdims"]
    if x is None or not same or not over_elements or {g.type.shape, y.type.shape} != {column}:
        return None
    return g, y, x


def _padded(b: Builder, window: Window, wide: Value) -> Value | None:
    """What was padded for windows; None where it was padded otherwise."""
    if not any(window.padding):
        return wide
    pad = made_by(b, wide, "pad")
    wanted = {"before": (0, 0, *window.begin), "after": (0, 0, *window.end), "value": -math.inf}
    return pad.inputs[0] if pad is not None and pad.attributes == wanted else None


def _rows(windows: TensorType, large: int, part: int) -> int | None:
    """How many of the images and channels of windows[n, c, elements, *results] a part has; None where all are one."""
    known = [size for size in windows.shape if isinstance(size, int)]
    planes, total = math.prod(known[:2]), math.prod(known) * numpy_dtype(windows.dtype).itemsize
    if len(known) < windows.rank or total <= large:
        return None
    return max(
        (rows for rows in range(1, planes) if planes % rows == 0 and rows * total <= part * planes), default=None
    )


def _stacked(b: Builder, node: Node, sources: tuple[Value, Value, Value], rows: int) -> Value:
    """The gradient for `rows` images and channels at a time, one part above the other."""
    window = window_of(node)
    shape = whole(node.outputs[0].type.shape)
    counts = window.results(shape[2:])
    parts = shape[0] * shape[1] // rows
    body = b.inner("part")
    sizes = (("g", counts), ("y", counts), ("x", shape[2:]))
    g, y, x = (body.input(name, TensorType(sources[2].type.dtype, (rows, 1, *size))) for name, size in sizes)
    body.output("gradient", overlapping_maximum(body, g, y, x, window))
    split = [b.reshape(one, shape=(parts, rows, 1, *size)) for one, (_, size) in zip(sources, sizes, strict=True)]
    _, (stacked,) = scan(b, body, [], split)
    return b.reshape(stacked, shape=shape)
