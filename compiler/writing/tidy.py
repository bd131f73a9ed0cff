"""Takes out what exporters leave behind: reshapes to the same shape, factors of one, casts to the same type."""

from __future__ import annotations

import numpy as np

from netlang.dims import Size

from ..builder import Builder
from ..ir import Graph, Value
from ..passes.algebra_arithmetic import add_zero, divide_by_one, multiply_by_one, subtract_zero
from ..passes.algebra_common import Results, Rule, Simplifier
from ..passes.algebra_shape import (
    concat_of_one,
    empty_pad,
    expanded_number,
    reshape_of_reshape,
    same_shape,
    transpose_of_transpose,
    whole_slice,
)
from ..passes.dead import dead
from ..passes.rebuild import rebuild


def same_dtype(b: Builder, x: Value, dtype: str) -> Results | None:
    """A cast to the type that there is already."""
    return x if x.type.dtype == dtype else None


def untransposed(b: Builder, x: Value, perm: tuple[int, ...]) -> Results | None:
    """A transposition that leaves the axes where they are."""
    return x if perm == tuple(range(len(perm))) else None


def one_row(b: Builder, x: Value, shape: tuple[Size, ...]) -> Results | None:
    """A slice of length one without its axis: the row at a place, the last one where it is that."""
    node = b.producer(x)
    if node is None or node.op != "slice" or len(node.attributes["axes"]) != 1:
        return None
    (axis,), (start,), (stop,) = (node.attributes[key] for key in ("axes", "starts", "stops"))
    source = node.inputs[0]
    sizes = source.type.shape
    place = -1 if start - sizes[axis] == -1 else start
    if stop - start != 1 or axis < 0 or shape != sizes[:axis] + sizes[axis + 1 :] or not isinstance(place, int):
        return None
    return b.gather(source, np.array(place), axis=axis)


RULES: dict[str, tuple[Rule, ...]] = {
    "add": (add_zero,),
    "cast": (same_dtype,),
    "concat": (concat_of_one,),
    "div": (divide_by_one,),
    "expand": (same_shape, expanded_number),
    "mul": (multiply_by_one,),
    "pad": (empty_pad,),
    "reshape": (same_shape, reshape_of_reshape, one_row),
    "slice": (whole_slice,),
    "sub": (subtract_zero,),
    "transpose": (untransposed, transpose_of_transpose),
}
"""Rules that change no bit of a result, but for the sign of zeros."""


def tidy(graph: Graph) -> Graph:
    """`graph` without what has no effect."""
    return dead(rebuild(graph, builder=Simplifier(graph.name, RULES)))
