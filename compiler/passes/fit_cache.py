"""A pass for graphs that run on a processor here: weight gradients of convolutions in parts that fit its cache.

What computes them goes through the images several times, so these should stay near. Milliseconds on one core with 2 MiB
of second-level cache, for 3×3 windows: 32 images of 64×28² 21 at once, 17 one by one; 8 of 64×56² 24 and 18; 32 of
16×32² 3.5 at once, 2.9 in parts of 4.
"""

from __future__ import annotations

import math
from dataclasses import replace

from netlang.types import TensorType

from ..builder import Builder
from ..control import scan
from ..dtypes import numpy_dtype
from ..ir import Graph, Node, Value
from .rebuild import Results, rebuild

LARGE = 3 << 19
"""Bytes of images and their gradients up to which the batch is left whole."""

PART = 1 << 19
"""Bytes that a part should have, and weights at most have: each part is added to their sum."""


def fit_cache(graph: Graph, large: int = LARGE, part: int = PART) -> Graph:
    """Sums the gradients of large batches over parts of the batch, where sizes are known; differs by rounding."""

    def in_parts(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if node.op != "conv_weight_gradient":
            return None
        rows = _rows(node, large, part)
        return None if rows is None else _sum_over_parts(b, node, inputs, rows)

    return rebuild(graph, in_parts)


def _rows(node: Node, large: int, part: int) -> int | None:
    """How many images a part has; None where the batch stays whole."""
    sizes = [_bytes(value.type) for value in (*node.inputs, *node.outputs)]
    batch = node.inputs[0].type.shape[0]
    if None in sizes or not isinstance(batch, int) or batch < 2:
        return None
    *images, weights = (size for size in sizes if size is not None)
    each = sum(images) // batch
    rows = max((rows for rows in range(1, batch) if batch % rows == 0 and rows * each <= part), default=1)
    return rows if sum(images) > large and weights <= max(part, rows * each) else None


def _bytes(type_: TensorType) -> int | None:
    """None where a size is open."""
    known = [size for size in type_.shape if isinstance(size, int)]
    return math.prod(known) * numpy_dtype(type_.dtype).itemsize if len(known) == type_.rank else None


def _sum_over_parts(b: Builder, node: Node, inputs: tuple[Value, ...], rows: int) -> Value:
    body = b.inner("part")
    total = body.input("total", node.outputs[0].type)
    types = [replace(value.type, shape=(rows, *value.type.shape[1:])) for value in inputs]
    own = tuple(body.input(name, type_) for name, type_ in zip("xg", types, strict=True))
    body.output("total", body.add(total, body.apply(node.op, own, node.attributes)))
    parts = [b.reshape(value, shape=(value.type.shape[0] // rows, rows, *value.type.shape[1:])) for value in inputs]
    zeros = b.full(shape=total.type.shape, value=0.0, dtype=total.type.dtype)
    (result,), _ = scan(b, body, [zeros], parts)
    return result
