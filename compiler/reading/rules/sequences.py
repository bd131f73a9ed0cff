"""Sequences of tensors: where their elements are known while compiling, they are nothing but these tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...ir import Value
from .shape import given

if TYPE_CHECKING:
    from ..call import Call
    from ..reader import Reader

LIMIT = 4096
"""Into how many elements a tensor is split while compiling; one of more stays a sequence of the run."""

Result = Value | Sequence[Value | None] | None


def construct(reader: Reader, call: Call) -> Result:
    return reader.sequence([given(call, i) for i in range(len(call.inputs))])


def empty(reader: Reader, call: Call) -> Result:
    (value,) = reader.foreign(call)
    assert value is not None
    reader.model.elements[value] = ()
    return value


def at(reader: Reader, call: Call) -> Result:
    elements, position = reader.elements(call.input(0)), reader.constant(call.input(1))
    if elements is None or position is None:
        return None
    return elements[_place(reader, call, int(position), len(elements))]


def insert(reader: Reader, call: Call) -> Result:
    elements = reader.elements(call.input(0))
    position = np.array(len(elements or ())) if call.input(2) is None else reader.constant(call.input(2))
    if elements is None or position is None:
        return None
    end = int(position) == len(elements)  # the one place that no negative number names
    place = len(elements) if end else _place(reader, call, int(position), len(elements))
    return reader.sequence([*elements[:place], given(call, 1), *elements[place:]])


def erase(reader: Reader, call: Call) -> Result:
    elements = reader.elements(call.input(0))
    position = np.array(-1) if call.input(1) is None else reader.constant(call.input(1))
    if elements is None or position is None or len(elements) < 2:
        return None
    place = _place(reader, call, int(position), len(elements))
    return reader.sequence([*elements[:place], *elements[place + 1 :]])


def _place(reader: Reader, call: Call, position: int, count: int) -> int:
    if not -count <= position < count:
        raise reader.malformed(f"{call} asks for position {position} of {count}")
    return position % count


def length(reader: Reader, call: Call) -> Result:
    elements = reader.elements(call.input(0))
    return None if elements is None else reader.b.constant(np.int64(len(elements)))


def split(reader: Reader, call: Call) -> Result:
    b, x = reader.b, given(call)
    axis = call.attribute("axis", 0) % x.type.rank
    size = x.type.shape[axis]
    stated = call.input(1)
    parts = np.array(1) if stated is None else reader.constant(stated)
    if parts is None or not isinstance(size, int) or (not parts.ndim and size > int(parts) * LIMIT):
        return None
    if parts.ndim:
        sizes = [int(part) for part in parts]
    else:
        sizes = [min(int(parts), size - done) for done in range(0, size, int(parts))]
    if not sizes:
        return None
    elements = b.split_with_sizes(x, sizes=sizes, axis=axis)
    if stated is None and not call.attribute("keepdims", 1):
        shape = (*x.type.shape[:axis], *x.type.shape[axis + 1 :])
        elements = [b.reshape(element, shape=shape) for element in elements]
    return reader.sequence(elements)


def concat(reader: Reader, call: Call) -> Result:
    b = reader.b
    elements = reader.elements(call.input(0))
    axis = call.attributes["axis"]
    if not elements:
        return None
    if call.attribute("new_axis", 0):
        rank = elements[0].type.rank + 1
        axis %= rank
        elements = [b.reshape(x, shape=(*x.type.shape[:axis], 1, *x.type.shape[axis:])) for x in elements]
    return b.concat(*elements, axis=axis)


RULES = {
    "ConcatFromSequence": concat,
    "SequenceAt": at,
    "SequenceConstruct": construct,
    "SequenceEmpty": empty,
    "SequenceErase": erase,
    "SequenceInsert": insert,
    "SequenceLength": length,
    "SplitToSequence": split,
}
