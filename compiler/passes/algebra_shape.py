"""Rules of operators that move elements without computing."""

from __future__ import annotations

from netlang.dims import Size

from ..builder import Builder
from ..ir import Value
from ..ops.common import swaps_last
from .algebra_common import Results, Rule, filled, made_by, uniform


def same_shape(b: Builder, x: Value, shape: tuple[Size, ...]) -> Results | None:
    """A reshape or expansion to the shape that there is already."""
    return x if x.type.shape == shape else None


def reshape_of_reshape(b: Builder, x: Value, shape: tuple[Size, ...]) -> Results | None:
    """Only the last of several reshapes matters."""
    inner = made_by(b, x, "reshape")
    return b.reshape(inner.inputs[0], shape=shape) if inner else None


def expand_of_expand(b: Builder, x: Value, shape: tuple[Size, ...]) -> Results | None:
    """Only the last of several expansions matters."""
    inner = made_by(b, x, "expand")
    return b.expand(inner.inputs[0], shape=shape) if inner else None


def expand_by_ones(b: Builder, x: Value, shape: tuple[Size, ...]) -> Results | None:
    """An expansion that only puts axes of size 1 in front is a reshape, which costs nothing."""
    added = (1,) * (len(shape) - x.type.rank)
    return b.reshape(x, shape=shape) if shape == added + x.type.shape else None


def reshaped_uniform(b: Builder, x: Value, shape: tuple[Size, ...]) -> Results | None:
    """A tensor of one number in another shape is filled in that shape."""
    source = made_by(b, x, "full")
    return b.full(shape=shape, value=source.attributes["value"], dtype=x.type.dtype) if source else None


def expanded_number(b: Builder, x: Value, shape: tuple[Size, ...]) -> Results | None:
    """A constant number expanded is filled."""
    value = uniform(b, x)
    return None if value is None else filled(b, shape, value, x.type.dtype)


def transpose_of_transpose(b: Builder, x: Value, perm: tuple[int, ...]) -> Results | None:
    """Two transpositions are one; but a swap of the last two axes stays apart, for products read it in place."""
    inner = made_by(b, x, "transpose")
    if inner is None:
        return None
    first = inner.attributes["perm"]
    both = tuple(first[axis] for axis in perm)
    if both != tuple(range(len(perm))) and (swaps_last(perm) or swaps_last(first)):
        return None
    return b.transpose(inner.inputs[0], perm=both)


def transpose_of_ones(b: Builder, x: Value, perm: tuple[int, ...]) -> Results | None:
    """Where nothing moves but axes of size 1, the elements stay: a reshape, which costs nothing."""
    moved = [axis for axis in perm if x.type.shape[axis] != 1]
    return b.reshape(x, shape=tuple(x.type.shape[axis] for axis in perm)) if moved == sorted(moved) else None


def transposed_uniform(b: Builder, x: Value, perm: tuple[int, ...]) -> Results | None:
    """A tensor of one number, its axes in another order, is filled in that order."""
    return reshaped_uniform(b, x, tuple(x.type.shape[axis] for axis in perm))


def whole_slice(
    b: Builder,
    x: Value,
    *,
    starts: tuple[Size, ...],
    stops: tuple[Size, ...],
    axes: tuple[int, ...],
    steps: tuple[int, ...],
) -> Results | None:
    """A slice of everything."""
    bounds = zip(starts, stops, axes, steps, strict=True)
    return x if all((a, z, s) == (0, x.type.shape[axis], 1) for a, z, axis, s in bounds) else None


def slice_of_slice(
    b: Builder,
    x: Value,
    *,
    starts: tuple[Size, ...],
    stops: tuple[Size, ...],
    axes: tuple[int, ...],
    steps: tuple[int, ...],
) -> Results | None:
    """Two slices in steps of one along the same axes are one."""
    inner = made_by(b, x, "slice")
    if inner is None or inner.attributes["axes"] != axes:
        return None
    if any(step != 1 for step in (*steps, *inner.attributes["steps"])):
        return None
    offsets = inner.attributes["starts"]
    return b.slice(
        inner.inputs[0],
        starts=tuple(offset + start for offset, start in zip(offsets, starts, strict=True)),
        stops=tuple(offset + stop for offset, stop in zip(offsets, stops, strict=True)),
        axes=axes,
        steps=steps,
    )


def empty_pad(
    b: Builder, x: Value, *, before: tuple[Size, ...], after: tuple[Size, ...], value: float
) -> Results | None:
    """Padding by nothing."""
    return x if all(size == 0 for size in (*before, *after)) else None


def concat_of_one(b: Builder, *parts: Value, axis: int) -> Results | None:
    """One part is the whole."""
    return parts[0] if len(parts) == 1 else None


def concat_of_split(b: Builder, *parts: Value, axis: int) -> Results | None:
    """All parts of a split, joined again in their order."""
    split = made_by(b, parts[0], "split")
    if split is None or split.outputs != parts:
        return None
    rank = parts[0].type.rank
    return split.inputs[0] if split.attributes["axis"] % rank == axis % rank else None


def split_in_one(b: Builder, x: Value, parts: int, axis: int) -> Results | None:
    """The whole is the one part."""
    return (x,) if parts == 1 else None


def split_of_concat(b: Builder, x: Value, parts: int, axis: int) -> Results | None:
    """A split that undoes a join."""
    joined = made_by(b, x, "concat")
    if joined is None or len(joined.inputs) != parts or joined.attributes["axis"] % x.type.rank != axis % x.type.rank:
        return None
    return joined.inputs if all(part.type == joined.inputs[0].type for part in joined.inputs) else None


RULES: dict[str, tuple[Rule, ...]] = {
    "concat": (concat_of_one, concat_of_split),
    "expand": (same_shape, expanded_number, expand_of_expand, expand_by_ones),
    "pad": (empty_pad,),
    "reshape": (same_shape, reshaped_uniform, reshape_of_reshape),
    "slice": (whole_slice, slice_of_slice),
    "split": (split_in_one, split_of_concat),
    "transpose": (transposed_uniform, transpose_of_transpose, transpose_of_ones),
}
