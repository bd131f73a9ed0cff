"""Operators that read at positions, choose the largest, or are made of positions alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from netlang.dims import Size

from ...builder import size_of
from ...ir import Value
from ..onnx_types import DTYPES
from .run_time import run_time_sizes
from .shape import given

if TYPE_CHECKING:
    from ..call import Call
    from ..reader import Reader

Result = Value | Sequence[Value | None] | None


# --- reading at positions ------------------------------------------------------------------------------------------


def gather(reader: Reader, call: Call) -> Result:
    """One known position is a slice, which costs less on inner axes, as its gradient does."""
    b, x, index = reader.b, given(call), given(call, 1)
    axis = call.attribute("axis", 0) % max(x.type.rank, 1)
    known = reader.sizes(index) if size_of(index.type.shape) == 1 else None
    if known is None or not x.type.rank or not isinstance(known[0], int):
        return b.gather(x, index, axis=axis)
    first = known[0] + x.type.shape[axis] if known[0] < 0 else known[0]
    part = b.slice(x, starts=first, stops=first + 1, axes=axis, steps=1)
    return b.reshape(part, shape=(*x.type.shape[:axis], *index.type.shape, *x.type.shape[axis + 1 :]))


def gather_elements(reader: Reader, call: Call) -> Result:
    return reader.b.gather_elements(given(call), given(call, 1), axis=call.attribute("axis", 0))


def gather_nd(reader: Reader, call: Call) -> Result:
    return reader.b.gather_nd(given(call), given(call, 1), batch_dims=call.attribute("batch_dims", 0))


def reverse_sequence(reader: Reader, call: Call) -> Result:
    axes = {"batch_axis": call.attribute("batch_axis", 1), "time_axis": call.attribute("time_axis", 0)}
    return reader.b.reverse_sequence(given(call), given(call, 1), **axes)


def top_k(reader: Reader, call: Call) -> Result:
    k = (call.attributes["k"],) if "k" in call.attributes else run_time_sizes(reader, call.input(1))
    if k is None:
        return None
    flags = {name: bool(call.attribute(name, 1)) for name in ("largest", "sorted")}
    return reader.b.topk(given(call), k=k[0], axis=call.attribute("axis", -1), **flags)


# --- made of positions ---------------------------------------------------------------------------------------------


def one_hot(reader: Reader, call: Call) -> Result:
    b = reader.b
    index, values = given(call), given(call, 2)
    classes = run_time_sizes(reader, b.cast(given(call, 1), dtype="i64"))
    if classes is None:
        return None
    index = b.cast(index, dtype="i64")
    rank = index.type.rank
    axis = call.attribute("axis", -1) % (rank + 1)
    beside = b.reshape(index, shape=(*index.type.shape[:axis], 1, *index.type.shape[axis:]))
    counted = b.select(b.less(beside, 0), b.add(beside, b.dim(size=classes[0])), beside)
    positions = b.reshape(b.iota(count=classes[0]), shape=(classes[0], *(1,) * (rank - axis)))
    off, on = (b.reshape(b.slice(values, starts=i, stops=i + 1, axes=0, steps=1), shape=()) for i in (0, 1))
    return b.select(b.equal(counted, positions), on, off)


def trilu(reader: Reader, call: Call) -> Result:
    b, x = reader.b, given(call)
    upper = bool(call.attribute("upper", 1))
    k = call.input(1)
    diagonal = np.array(0) if k is None else reader.constant(k)
    if diagonal is not None:
        return b.apply("triu" if upper else "tril", [x], {"diagonal": int(diagonal.item())})
    assert k is not None
    height, width = x.type.shape[-2:]
    across = b.sub(b.iota(count=width), b.reshape(b.iota(count=height), shape=(height, 1)))
    kept = (b.greater_equal if upper else b.less_equal)(across, b.reshape(k, shape=()))
    return b.select(kept, x, b.full(shape=x.type.shape, value=0.0, dtype=x.type.dtype))


def eye_like(reader: Reader, call: Call) -> Result:
    x = given(call)
    dtype = DTYPES[call.attributes["dtype"]] if "dtype" in call.attributes else x.type.dtype
    rows, columns = x.type.shape
    return reader.b.eye(rows=rows, columns=columns, diagonal=call.attribute("k", 0), dtype=dtype)


def shape_of(reader: Reader, call: Call) -> Result:
    shape = given(call).type.shape
    rank = len(shape)
    start, end = (_within(call.attribute(name, default), rank) for name, default in (("start", 0), ("end", rank)))
    return vector(reader, shape[start:end])


def _within(position: int, rank: int) -> int:
    return max(0, min(position + rank if position < 0 else position, rank))


def vector(reader: Reader, sizes: Sequence[Size]) -> Value:
    """An i64 vector of sizes."""
    b = reader.b
    if all(isinstance(size, int) for size in sizes):
        return b.constant(np.array(sizes, np.int64))
    return b.concat(*(b.reshape(b.dim(size=size), shape=(1,)) for size in sizes), axis=0)


def size(reader: Reader, call: Call) -> Result:
    return vector_element(reader, size_of(given(call).type.shape))


def vector_element(reader: Reader, size: Size) -> Value:
    """An i64 scalar of a size."""
    return reader.b.constant(np.int64(size)) if isinstance(size, int) else reader.b.dim(size=size)


# --- constants -----------------------------------------------------------------------------------------------------

_LITERALS = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


def constant(reader: Reader, call: Call) -> Result:
    (attribute,) = call.node.attribute
    if attribute.name == "value":
        return reader.literal(attribute.t)
    if attribute.name in _LITERALS:
        return reader.b.constant(np.array(call.attributes[attribute.name], _LITERALS[attribute.name]))
    return None


def constant_of_shape(reader: Reader, call: Call) -> Result:
    shape = run_time_sizes(reader, call.input(0))
    value = call.attribute("value", np.zeros(1, np.float32))
    if shape is None:
        return None
    number = reader.b.constant(value.reshape(()))
    return reader.b.expand(number, shape=shape)


RULES = {
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "EyeLike": eye_like,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "OneHot": one_hot,
    "ReverseSequence": reverse_sequence,
    "Shape": shape_of,
    "Size": size,
    "TopK": top_k,
    "Trilu": trilu,
}
