"""Operators that give the elements of a tensor another shape, or join and cut tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from netlang.diagnostics import DiagnosticError
from netlang.dims import Size
from netlang.types import broadcast

from ...builder import size_of
from ...ir import Value
from .run_time import run_time_sizes, scalars, size_of_number

if TYPE_CHECKING:
    from ..call import Call
    from ..reader import Reader

Result = Value | Sequence[Value | None] | None
Sizes = tuple[Size, ...]


def given(call: Call, index: int = 0) -> Value:
    """The input at `index`, which the operator cannot do without."""
    value = call.input(index)
    assert value is not None, f"{call} has no input {index}"
    return value


def integers(reader: Reader, call: Call, name: str, index: int) -> tuple[int, ...] | None:
    """A list of integers that is an attribute called `name`, or, in later versions, the input at `index`.

    None where it is left out. Raises DiagnosticError (`onnx-dynamic`) where only the run tells it.
    """
    if name in call.attributes:
        return tuple(call.attributes[name])
    if call.input(index) is None:
        return None
    return tuple(int(i) for i in reader.require_constant(call, index).reshape(-1))


# --- reshape and its kin -------------------------------------------------------------------------------------------


def reshape(reader: Reader, call: Call) -> Result:
    x = given(call)
    wanted = reader.sizes(call.input(1))
    allow_zero = bool(call.attribute("allowzero", 0))
    if wanted is None:
        found = _run_time_shape(reader, x, given(call, 1), allow_zero)
        return None if found is None else reader.b.reshape(x, shape=found)
    return reader.b.reshape(x, shape=_shape(x.type.shape, wanted, allow_zero))


def _shape(found: Sizes, wanted: Sizes, allow_zero: bool) -> Sizes:
    """`wanted` with what -1 and 0 stand for."""
    copied = [found[i] if size == 0 and not allow_zero and i < len(found) else size for i, size in enumerate(wanted)]
    if -1 not in copied:
        return tuple(copied)
    others = [size for size in copied if size != -1]
    remaining = list(found)
    for size in list(others):  # taken off one by one, since a size that is 0 cannot be divided by
        if size in remaining:
            remaining.remove(size)
            others.remove(size)
    divisor = size_of(others)
    quotient = size_of(remaining) // divisor if divisor != 0 else 0
    return tuple(quotient if size == -1 else size for size in copied)


def _run_time_shape(reader: Reader, x: Value, wanted: Value, allow_zero: bool) -> Sizes | None:
    """The same, where only the run tells numbers in `wanted`."""
    b = reader.b
    numbers = scalars(reader, wanted)
    if numbers is None:
        return None
    if not allow_zero:
        for i, size in enumerate(x.type.shape[: len(numbers)]):
            numbers[i] = b.select(b.equal(numbers[i], 0), b.dim(size=size), numbers[i])
    total: Value = b.constant(-1)
    for number in numbers:  # the product of all with its sign turned: positive where one is -1
        total = b.mul(total, number)
    missing = b.floor_divide(b.dim(size=size_of(x.type.shape)), b.maximum(total, 1))
    return tuple(size_of_number(reader, b.select(b.equal(n, -1), missing, n)) for n in numbers)


def flatten(reader: Reader, call: Call) -> Result:
    x = given(call)
    axis = call.attribute("axis", 1)
    axis = axis + x.type.rank if axis < 0 else axis
    return reader.b.reshape(x, shape=(size_of(x.type.shape[:axis]), size_of(x.type.shape[axis:])))


def squeeze(reader: Reader, call: Call) -> Result:
    x = given(call)
    axes = _axes(reader, call)
    if axes is None and call.input(1) is not None:
        return None
    shape, rank = x.type.shape, x.type.rank
    dropped = {axis % rank for axis in axes} if axes is not None else {i for i, size in enumerate(shape) if size == 1}
    return reader.b.reshape(x, shape=tuple(size for i, size in enumerate(shape) if i not in dropped))


def unsqueeze(reader: Reader, call: Call) -> Result:
    x = given(call)
    axes = _axes(reader, call)
    if axes is None:
        return None
    rank = x.type.rank + len(axes)
    added = {axis % rank for axis in axes}
    sizes = iter(x.type.shape)
    return reader.b.reshape(x, shape=tuple(1 if i in added else next(sizes) for i in range(rank)))


def _axes(reader: Reader, call: Call) -> tuple[int, ...] | None:
    """The axes of a squeeze where they are stated and known."""
    if "axes" in call.attributes:
        return tuple(call.attributes["axes"])
    known = reader.constant(call.input(1))
    return None if known is None else tuple(int(axis) for axis in known.reshape(-1))


def transpose(reader: Reader, call: Call) -> Result:
    x = given(call)
    return reader.b.transpose(x, perm=tuple(call.attribute("perm", range(x.type.rank)[::-1])))


def expand(reader: Reader, call: Call) -> Result:
    x = given(call)
    wanted = run_time_sizes(reader, call.input(1))
    return None if wanted is None else reader.b.expand(x, shape=broadcast(x.type.shape, wanted))


def tile(reader: Reader, call: Call) -> Result:
    repeats = run_time_sizes(reader, call.input(1))
    return None if repeats is None else reader.b.tile(given(call), repeats=repeats)


def depth_to_space(reader: Reader, call: Call) -> Result:
    block, mode = call.attributes["blocksize"], call.attribute("mode", "DCR")
    return reader.b.depth_to_space(given(call), block=block, mode=mode)


def space_to_depth(reader: Reader, call: Call) -> Result:
    block, mode = call.attributes["blocksize"], call.attribute("mode", "DCR")
    return reader.b.space_to_depth(given(call), block=block, mode=mode)


# --- concat, split -------------------------------------------------------------------------------------------------


def concat(reader: Reader, call: Call) -> Result:
    return reader.b.concat(*call.inputs, axis=call.attributes["axis"])


def split(reader: Reader, call: Call) -> Result:
    x = given(call)
    parts = len(call.outputs)
    axis = call.attribute("axis", 0)
    size = x.type.shape[axis]
    if "split" in call.attributes:
        sizes: Sizes = tuple(call.attributes["split"])
    elif call.input(1) is not None:
        found = run_time_sizes(reader, call.input(1))
        if found is None or len(found) != parts:
            return None
        sizes = found
    elif size % parts == 0:
        return reader.b.split(x, parts=parts, axis=axis)
    else:
        sizes = _chunks(size, parts)
    return reader.b.split_with_sizes(x, sizes=sizes, axis=axis)


def _chunks(size: Size, parts: int) -> Sizes:
    """Equal parts but for the last, which may be smaller."""
    chunk = (size + (parts - 1)) // parts
    return (*(chunk,) * (parts - 1), size - chunk * (parts - 1))


# --- slice ---------------------------------------------------------------------------------------------------------


def slice_(reader: Reader, call: Call) -> Result:
    x = given(call)
    if "starts" in call.attributes:
        starts, ends = (tuple(call.attributes[name]) for name in ("starts", "ends"))
        axes = tuple(call.attribute("axes", range(len(starts))))
        return _sliced(reader, x, starts, ends, axes, (1,) * len(starts))
    starts, ends = (reader.sizes(call.input(i)) for i in (1, 2))
    count = given(call, 1).type.shape[0]
    axes = _constant_or(reader, call, 3, range(count) if isinstance(count, int) else ())
    steps = _constant_or(reader, call, 4, (1,) * len(axes or ()))
    if axes is None or steps is None or len(axes) != count:
        return None
    if starts is None or ends is None:
        return _sliced_at_run_time(reader, call, axes, steps)
    return _sliced(reader, x, starts, ends, axes, steps)


def _constant_or(reader: Reader, call: Call, index: int, default: Sequence[int]) -> tuple[int, ...] | None:
    """The integers in an input, `default` where it is left out, None where only the run tells them."""
    value = call.input(index)
    known = reader.constant(value)
    if value is None:
        return tuple(default)
    return None if known is None else tuple(int(i) for i in known)


def _sliced(reader: Reader, x: Value, starts: Sizes, ends: Sizes, axes: Sequence[int], steps: Sequence[int]) -> Value:
    bounds = [
        _bounds(start, end, step, x.type.shape[axis])
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True)
    ]
    return reader.b.slice(
        x, starts=tuple(a for a, _ in bounds), stops=tuple(z for _, z in bounds), axes=tuple(axes), steps=tuple(steps)
    )


def _bounds(start: Size, end: Size, step: int, size: Size) -> tuple[Size, Size]:
    """Start and stop from 0 on, where ONNX counts from the end below 0 and stops at the ends.

    An open size is taken to reach as far as a number says: the run clamps as ONNX does where it does not.
    """
    least, most = (0, size) if step > 0 else (-1, size - 1)
    first = _clamped(start, 0 if step < 0 else least, most, size)
    last = _clamped(end, least, most, size)
    empty = isinstance(first, int) and isinstance(last, int) and (last - first) * step < 0
    return first, first if empty else last


_FAR = 1 << 30
"""Numbers beyond mean an end of the axis, however long it is."""


def _clamped(position: Size, least: int, most: Size, size: Size) -> Size:
    if isinstance(position, int):
        if position >= _FAR:
            return most
        if position <= -_FAR:
            return least
        position = position + size if position < 0 else position
    if isinstance(position, int) and isinstance(most, int):
        return max(least, min(position, most))
    return position


def _sliced_at_run_time(reader: Reader, call: Call, axes: Sequence[int], steps: Sequence[int]) -> Result:
    """One axis after the other, between numbers of the graph."""
    x = given(call)
    starts, stops = (scalars(reader, given(call, i)) for i in (1, 2))
    if starts is None or stops is None:
        return None
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        ends = [reader.sizes(end) for end in (start, stop)]
        if ends[0] is not None and ends[1] is not None:
            x = _sliced(reader, x, ends[0], ends[1], (axis,), (step,))
        else:
            x = reader.b.slice_between(x, start, stop, axis=axis, step=step)
    return x


# --- pad -----------------------------------------------------------------------------------------------------------


def pad(reader: Reader, call: Call) -> Result:
    x = given(call)
    pads = tuple(call.attributes["pads"]) if "pads" in call.attributes else reader.sizes(call.input(1))
    axes = integers(reader, call, "", 3) if reader.constant(call.input(3)) is not None else None
    if pads is None or (axes is None and call.input(3) is not None):
        return None
    before, after = _for_every_axis(pads, axes, x.type.rank)
    mode = call.attribute("mode", "constant")
    if mode == "constant":
        return _with_value(reader, call, x, before, after)
    x, first, last = _cropped(reader, x, before, after)
    try:
        return reader.b.pad_mode(x, before=first, after=last, mode=mode)
    except DiagnosticError:  # further than there are elements to copy: the runtime goes round again
        return None


def _for_every_axis(pads: Sizes, axes: Sequence[int] | None, rank: int) -> tuple[list[Size], list[Size]]:
    before: list[Size] = [0] * rank
    after: list[Size] = [0] * rank
    named = range(rank) if axes is None else axes
    for axis, left, right in zip(named, pads[: len(pads) // 2], pads[len(pads) // 2 :], strict=True):
        before[axis], after[axis] = left, right
    return before, after


def _with_value(reader: Reader, call: Call, x: Value, before: Sequence[Size], after: Sequence[Size]) -> Value:
    b = reader.b
    value = call.input(2)
    known = call.attribute("value", 0.0) if value is None else reader.constant(b.reshape(value, shape=()))
    amounts = {"before": tuple(before), "after": tuple(after)}
    if known is not None and float(known) == known:
        return b.pad(x, **amounts, value=float(known))
    assert value is not None
    inside = b.pad(b.full(shape=x.type.shape, value=1.0, dtype="bool"), **amounts)
    return b.select(inside, b.pad(x, **amounts), b.reshape(value, shape=()))


def _cropped(
    reader: Reader, x: Value, before: Sequence[Size], after: Sequence[Size]
) -> tuple[Value, tuple[Size, ...], tuple[Size, ...]]:
    """What remains where numbers below 0 have cut off ends, and what is then to be added."""
    first, last = (tuple(min(size, 0) if isinstance(size, int) else 0 for size in sizes) for sizes in (before, after))
    if any(first) or any(last):
        x = reader.b.pad(x, before=first, after=last)
    pairs = (zip(before, first, strict=True), zip(after, last, strict=True))
    left, right = (tuple(size - cut for size, cut in one) for one in pairs)
    return x, left, right


def center_crop_pad(reader: Reader, call: Call) -> Result:
    x = given(call)
    shape = run_time_sizes(reader, call.input(1))
    if shape is None:
        return None
    return reader.b.center_crop_pad(x, shape=shape, axes=tuple(call.attribute("axes", range(x.type.rank))))


# --- col2im --------------------------------------------------------------------------------------------------------


def col2im(reader: Reader, call: Call) -> Result:
    """The windows added up in the padded image, of which the middle is kept."""
    x = given(call)
    image, kernel = reader.sizes(call.input(1)), reader.constant(call.input(2))
    if image is None or kernel is None:
        return None
    kernel = tuple(int(size) for size in kernel)
    axes = len(kernel)
    stride, dilation = (tuple(call.attribute(name, (1,) * axes)) for name in ("strides", "dilations"))
    pads = tuple(call.attribute("pads", (0,) * 2 * axes))
    padded = tuple(size + pads[i] + pads[i + axes] for i, size in enumerate(image))
    extent = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    counts = tuple((size - e) // s + 1 for size, e, s in zip(padded, extent, stride, strict=True))
    n, channels, _ = x.type.shape
    elements = int(np.prod(kernel))
    windows = reader.b.reshape(x, shape=(n, channels // elements, elements, *counts))
    total = reader.b.fold(windows, size=padded, kernel=kernel, stride=stride, dilation=dilation)
    cut = tuple(-size for size in pads)
    return reader.b.pad(total, before=(0, 0, *cut[:axes]), after=(0, 0, *cut[axes:]))


RULES = {
    "CenterCropPad": center_crop_pad,
    "Col2Im": col2im,
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Pad": pad,
    "Reshape": reshape,
    "Slice": slice_,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
