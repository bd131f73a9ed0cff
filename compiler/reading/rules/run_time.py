"""Integers of a model as sizes, also where only the run tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netlang.dims import Size

from ...ir import Value

if TYPE_CHECKING:
    from ..reader import Reader


def scalars(reader: Reader, value: Value) -> list[Value] | None:
    """The elements of an integer scalar or vector as i64 scalars; None where their number is not known."""
    b = reader.b
    if value.type.rank > 1 or not all(isinstance(size, int) for size in value.type.shape):
        return None
    producer = b.producer(value)
    if producer is not None and producer.op == "concat":  # what is known of a part is known of its elements
        parts = [scalars(reader, part) for part in producer.inputs]
        return [element for part in parts for element in part or ()]
    numbers = b.cast(value, dtype="i64")
    if not value.type.rank:
        return [numbers]
    (count,) = value.type.shape
    assert isinstance(count, int)
    return [
        b.reshape(b.slice(numbers, starts=(i,), stops=(i + 1,), axes=(0,), steps=(1,)), shape=()) for i in range(count)
    ]


def size_of_number(reader: Reader, number: Value) -> Size:
    """An i64 scalar as a size: what is known of it, or a size that the run tells, at least 0."""
    known = reader.sizes(number)
    if known is not None:
        return known[0]
    b = reader.b
    zero, one = b.constant(0), b.constant(1)
    for node in b.nodes:
        if node.op == "arange" and node.inputs == (zero, number, one):
            return node.outputs[0].type.shape[0]
    return b.arange(zero, number, one).type.shape[0]


def run_time_sizes(reader: Reader, value: Value | None) -> tuple[Size, ...] | None:
    """The numbers in an integer scalar or vector as sizes; None where not even their number is known."""
    if value is None:
        return None
    known = reader.sizes(value)
    if known is not None:
        return known
    numbers = scalars(reader, value)
    return None if numbers is None else tuple(size_of_number(reader, number) for number in numbers)
