"""Operators that move elements without calculating: reshape, transpose, expand, concat, split, slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.diagnostics import fail
from netlang.dims import Dim, Opaque, Size, decide_equal, decide_less
from netlang.types import Mismatch, TensorType, broadcast

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from ..shapes import where_multiples
from .common import bad_value, listed, normal_axis, product, shape_mismatch
from .reference import torch
from .source import check_sizes

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

Sizes = tuple[Size, ...]
Ints = tuple[int, ...]

_BEYOND_FIRST = np.iinfo(np.int64).min + 1
"""The stop that lets an ONNX Slice with a negative step include the first element."""


# --- reshape, transpose, expand ------------------------------------------------------------------------------------


def _reshape_shape(x: TensorType, shape: Sizes) -> TensorType:
    check_sizes(*shape)
    found, wanted = product(x.shape), product(shape)
    if found != wanted and (decide_equal(found, wanted) is False or not _left_to_the_run(found - wanted)):
        title = f"{listed(x.shape)} cannot become {listed(shape)}: they differ in their number of elements"
        raise shape_mismatch(title, f"{found} elements", f"{wanted} elements")
    return TensorType(x.dtype, shape)


def _left_to_the_run(size: Size) -> bool:
    """Whether only the run can tell what `size` comes to: a floor division is part of it, or a size found there.

    (`Builder.fresh` puts a # into the name of such a size.)
    """
    atoms = [atom for term, _ in size.terms for atom, _ in term] if isinstance(size, Dim) else []
    return any(isinstance(atom, Opaque) or "#" in atom.name for atom in atoms)


def _reshape_onnx(e: Emitter, node: Node, x: str) -> str:
    return e.reshape(x, node.inputs[0].type.shape, node.outputs[0].type.shape)


def _transpose_shape(x: TensorType, perm: Ints) -> TensorType:
    if sorted(perm) != list(range(x.rank)):
        raise bad_value("`perm` must name every axis once", f"an order of 0 to {x.rank - 1}", list(perm))
    return TensorType(x.dtype, tuple(x.shape[i] for i in perm))


def _transpose_vjp(b: Builder, g: Value, y: Value, x: Value, perm: Ints) -> tuple[Value]:
    return (b.transpose(g, perm=tuple(int(i) for i in np.argsort(perm))),)


def _transpose_onnx(e: Emitter, node: Node, x: str) -> str:
    perm = node.attributes["perm"]
    return e.node("Transpose", x, perm=perm) if perm else e.node("Identity", x)


def _expand_shape(x: TensorType, shape: Sizes) -> TensorType:
    check_sizes(*shape)
    try:
        fits = broadcast(x.shape, shape) == shape
    except Mismatch:
        fits = False
    if not fits:
        raise shape_mismatch(f"{listed(x.shape)} does not broadcast to {listed(shape)}", listed(shape), listed(x.shape))
    return TensorType(x.dtype, shape)


def _expand_onnx(e: Emitter, node: Node, x: str) -> str:
    """ONNX Runtime's optimizer takes an Expand from sizes of 1 to known sizes of 0 for one that does nothing."""
    type_ = node.outputs[0].type
    known = [size for size in type_.shape if isinstance(size, int)]
    if 0 in known and len(known) == type_.rank:
        return e.constant(np.zeros(known, numpy_dtype(type_.dtype)))
    return e.node("Expand", x, e.sizes(type_.shape))


# --- concat, split -------------------------------------------------------------------------------------------------


def _concat_shape(*tensors: TensorType, axis: int) -> TensorType:
    first = tensors[0]
    at = normal_axis(axis, first.rank)
    for tensor in tensors[1:]:
        if tensor.rank != first.rank or _without(tensor.shape, at) != _without(first.shape, at):
            title = f"tensors to concatenate along axis {axis} must agree in every other"
            raise shape_mismatch(title, f"like {first}", tensor, _concat_help(first.shape, tensor.shape, at))
    total: Size = 0
    for tensor in tensors:
        total = total + tensor.shape[at]
    return TensorType(first.dtype, (*first.shape[:at], total, *first.shape[at + 1 :]))


def _concat_help(one: Sizes, other: Sizes, axis: int) -> str | None:
    """What makes two shapes agree in every axis but one."""
    if len(one) != len(other):
        return None
    pairs = [(a, b) for at, (a, b) in enumerate(zip(one, other, strict=True)) if at != axis and a != b]
    if all(1 in pair for pair in pairs) and len({a == 1 for a, _ in pairs}) == 1:
        short, long = (one, other) if pairs[0][0] == 1 else (other, one)
        return f"`expand(x, {listed((*long[:axis], short[axis], *long[axis + 1 :]))})` repeats what has an axis of 1"
    return where_multiples(pairs)


def _without(shape: Sizes, axis: int) -> Sizes:
    return (*shape[:axis], *shape[axis + 1 :])


def _concat_vjp(b: Builder, g: Value, y: Value, *tensors: Value, axis: int) -> tuple[Value, ...]:
    at = normal_axis(axis, y.type.rank)
    parts: list[Value] = []
    start: Size = 0
    for tensor in tensors:
        stop = start + tensor.type.shape[at]
        parts.append(b.slice(g, starts=start, stops=stop, axes=at, steps=1))
        start = stop
    return tuple(parts)


def _concat_onnx(e: Emitter, node: Node, *tensors: str) -> str:
    return e.node("Concat", *tensors, axis=node.attributes["axis"])


def _split_shape(x: TensorType, parts: int, axis: int) -> tuple[TensorType, ...]:
    at = normal_axis(axis, x.rank)
    size = x.shape[at]
    if parts < 1:
        raise bad_value("a tensor is split into one part or more", "parts >= 1", parts)
    if size % parts != 0:
        title = f"an axis of size {size} does not split into {parts} equal parts"
        raise shape_mismatch(title, f"a multiple of {parts}", size)
    return (TensorType(x.dtype, (*x.shape[:at], size // parts, *x.shape[at + 1 :])),) * parts


def _split_numpy(x: np.ndarray, parts: int, axis: int) -> tuple[np.ndarray, ...]:
    return tuple(np.split(x, parts, axis))


def _split_onnx(e: Emitter, node: Node, x: str) -> tuple[str, ...]:
    parts = node.attributes["parts"]
    if parts == 1:
        return (e.node("Identity", x),)
    return e.node("Split", x, outputs=parts, axis=node.attributes["axis"], num_outputs=parts)


def _split_with_sizes_shape(x: TensorType, sizes: Sizes, axis: int) -> tuple[TensorType, ...]:
    at = normal_axis(axis, x.rank)
    if not sizes or any(decide_less(size, 0) for size in sizes):
        raise bad_value("a tensor is split into parts of size 0 or more", "one size or more", listed(sizes))
    total = sum(sizes, start=0)
    if total != x.shape[at] and not _left_to_the_run(total - x.shape[at]):
        title = f"the sizes of the parts must add up to the axis of size {x.shape[at]}"
        raise shape_mismatch(title, x.shape[at], f"{' + '.join(map(str, sizes))} = {total}")
    return tuple(TensorType(x.dtype, (*x.shape[:at], size, *x.shape[at + 1 :])) for size in sizes)


def _split_with_sizes_numpy(x: np.ndarray, sizes: Ints, axis: int) -> tuple[np.ndarray, ...]:
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


def _joined(
    b: Builder, gs: tuple[Value | None, ...], ys: tuple[Value, ...], x: Value, axis: int, **_: Any
) -> tuple[Value]:
    """The gradients of the parts in their places; zeros for the parts that nothing depends on."""
    zeros = (b.full(shape=y.type.shape, value=0.0, dtype=y.type.dtype) for y in ys)
    return (b.concat(*(zero if g is None else g for g, zero in zip(gs, zeros, strict=True)), axis=axis),)


def _split_with_sizes_onnx(e: Emitter, node: Node, x: str) -> tuple[str, ...]:
    attributes = node.attributes
    count = len(node.outputs)
    if count == 1:
        return (e.node("Identity", x),)
    return e.node("Split", x, e.sizes(attributes["sizes"]), outputs=count, axis=attributes["axis"])


# --- slice ---------------------------------------------------------------------------------------------------------


def _count(start: Size, stop: Size, step: int) -> Size:
    """How many elements `start`, `start + step`, … come before `stop`."""
    span = stop - start if step > 0 else start - stop
    return (span + (abs(step) - 1)) // abs(step)


def _slice_shape(x: TensorType, starts: Sizes, stops: Sizes, axes: Ints, steps: Ints) -> TensorType:
    if not len(starts) == len(stops) == len(axes) == len(steps):
        lengths = [len(starts), len(stops), len(axes), len(steps)]
        raise bad_value("a slice has as many starts, stops and steps as axes", "lists of one length", lengths)
    shape = list(x.shape)
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        if step == 0:
            raise bad_value("a slice cannot have step 0", "a step above or below 0", step)
        at = normal_axis(axis, x.rank)
        _check_ends(start, stop, step, x.shape[at])
        count = _count(start, stop, step)
        shape[at] = max(count, 0) if isinstance(count, int) else count
    return TensorType(x.dtype, tuple(shape))


def _check_ends(start: Size, stop: Size, step: int, size: Size) -> None:
    """Raises DiagnosticError (`bad-index`) where a slice surely begins or ends outside an axis."""
    least, most = (0, size) if step > 0 else (-1, size - 1)
    for end in (start, stop):
        if decide_less(end, least) or decide_less(most, end):
            title = f"a slice from {start} to {stop} leaves an axis of size {size}"
            raise fail("bad-index", title, expected=f"from {least} to {most}", found=end)


def _slice_numpy(x: np.ndarray, starts: Ints, stops: Ints, axes: Ints, steps: Ints) -> np.ndarray:
    index: list[Any] = [slice(None)] * x.ndim
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        index[axis] = slice(start, None if step < 0 and stop == -1 else stop, step)
    return x[tuple(index)]


def _slice_vjp(
    b: Builder,
    g: Value,
    y: Value,
    x: Value,
    starts: Sizes,
    stops: Sizes,
    axes: Ints,
    steps: Ints,
) -> tuple[Value]:
    before: list[Size] = [0] * x.type.rank
    after: list[Size] = [0] * x.type.rank
    for start, axis, step in zip(starts, axes, steps, strict=True):
        at = normal_axis(axis, x.type.rank)
        count = g.type.shape[at]
        if count == 0:
            return (b.full(shape=x.type.shape, value=0.0, dtype=g.type.dtype),)
        if step < 0:
            g = b.slice(g, starts=count - 1, stops=-1, axes=at, steps=-1)
        g = _spread(b, g, at, abs(step))
        before[at] = start if step > 0 else start + (count - 1) * step
        after[at] = x.type.shape[at] - before[at] - g.type.shape[at]
    return (b.pad(g, before=tuple(before), after=tuple(after)),)


def _spread(b: Builder, x: Value, axis: int, step: int) -> Value:
    """`x` with `step - 1` zeros between neighbours along an axis."""
    if step == 1:
        return x
    shape = x.type.shape
    apart = b.reshape(x, shape=(*shape[: axis + 1], 1, *shape[axis + 1 :]))
    none = (0,) * apart.type.rank
    padded = b.pad(apart, before=none, after=(*none[: axis + 1], step - 1, *none[axis + 2 :]))
    joined = b.reshape(padded, shape=(*shape[:axis], shape[axis] * step, *shape[axis + 1 :]))
    return b.slice(joined, starts=0, stops=(shape[axis] - 1) * step + 1, axes=axis, steps=1)


def _slice_onnx(e: Emitter, node: Node, x: str) -> str:
    attributes = node.attributes
    steps = attributes["steps"]
    stops = [_BEYOND_FIRST if step < 0 and stop == -1 else stop
             for stop, step in zip(attributes["stops"], steps, strict=True)]  # fmt: skip
    axes = e.constant(np.array(attributes["axes"], np.int64))
    return e.node(
        "Slice", x, e.sizes(attributes["starts"]), e.sizes(stops), axes, e.constant(np.array(steps, np.int64))
    )


def _torch_slice(x: Any, starts: Ints, stops: Ints, axes: Ints, steps: Ints) -> Any:
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        x = x.index_select(axis, torch.tensor([*range(start, stop, step)]).long())
    return x


OPERATORS: tuple[Op, ...] = (
    Op(
        "reshape(x: t[*s], shape: sizes) -> t[*shape]",
        doc="The same elements in the same order, in another shape.",
        numpy=lambda x, shape: x.reshape(shape),
        vjp=lambda b, g, y, x, shape: (b.reshape(g, shape=x.type.shape),),
        shape=_reshape_shape,
        onnx=_reshape_onnx,
        samples=(
            S((2, 3, 4), shape=(2, 12), torch=torch.reshape),
            S((2, 3), shape=(1, 3, 2), torch=torch.reshape),
            S((1, 1), shape=(), torch=torch.reshape),
            S((2, 0), shape=(0, 5), torch=torch.reshape),
            S(np.array([True, False]), shape=(2, 1), torch=torch.reshape),
            Bad((2, 3), shape=(4, 2), code="shape-mismatch"),
            Bad((2, 3), shape=(-2, -3), code="bad-value"),
        ),
    ),
    Op(
        "transpose(x: t[*s], perm: ints) -> t[*s]",
        doc="The axes in another order: axis i of the result is axis perm[i] of x.",
        numpy=lambda x, perm: x.transpose(perm),
        vjp=_transpose_vjp,
        shape=_transpose_shape,
        onnx=_transpose_onnx,
        samples=(
            S((2, 3), perm=(1, 0), torch=lambda x, perm: x.permute(perm)),
            S((2, 3, 4), perm=(1, 2, 0), torch=lambda x, perm: x.permute(perm)),
            S((), perm=(), torch=lambda x, perm: x.permute(perm)),
            Bad((2, 3), perm=(0, 0), code="bad-value"),
        ),
    ),
    Op(
        "expand(x: t[*s], shape: sizes) -> t[*shape]",
        doc="x repeated along new axes on the left and axes of size 1, to the given shape.",
        numpy=np.broadcast_to,
        vjp=lambda b, g, y, x, shape: (g,),
        shape=_expand_shape,
        onnx=_expand_onnx,
        samples=(
            S((3,), shape=(2, 3), torch=lambda x, shape: x.broadcast_to(shape)),
            S((2, 1, 3), shape=(2, 4, 3), torch=lambda x, shape: x.broadcast_to(shape)),
            S((), shape=(2, 2), torch=lambda x, shape: x.broadcast_to(shape)),
            S((2, 1, 3), shape=(2, 0, 3), torch=lambda x, shape: x.broadcast_to(shape)),
            Bad((3,), shape=(3, 2), code="shape-mismatch"),
            Bad((2, 3), shape=(1, 3), code="shape-mismatch"),
        ),
    ),
    Op(
        "concat(x: t[*s], axis: int = -1) -> t",
        doc="Tensors joined along an axis; their other axes agree.",
        numpy=lambda *tensors, axis: np.concatenate(tensors, axis),
        vjp=_concat_vjp,
        shape=_concat_shape,
        variadic=True,
        onnx=_concat_onnx,
        samples=(
            S((2, 3), (2, 1), torch=lambda *x: torch.cat(x, -1)),
            S((2, 3), (4, 3), (1, 3), axis=0, torch=lambda *x, axis: torch.cat(x, axis)),
            S((2, 3), axis=-2, torch=lambda *x, axis: torch.cat(x, axis)),
            S((2, 0), (2, 1), torch=lambda *x: torch.cat(x, -1)),
            Bad((2, 3), (3, 3), code="shape-mismatch"),
            Bad((2, 3), (3,), code="shape-mismatch"),
            Bad((2, 3), np.zeros((2, 3), np.int64), code="type-mismatch"),
            Bad((2, 3), axis=2, code="bad-axis"),
        ),
    ),
    Op(
        "split(x: t[*s], parts: int, axis: int = -1) -> t",
        doc="The axis cut into equal parts, each a result.",
        numpy=_split_numpy,
        vjp=_joined,
        shape=_split_shape,
        splits=True,
        onnx=_split_onnx,
        samples=(
            S((2, 6), parts=3, torch=lambda x, parts: x.chunk(parts, -1)),
            S((4, 2, 3), parts=2, axis=0, torch=lambda x, parts, axis: x.chunk(parts, axis)),
            S((2, 3), parts=1, torch=lambda x, parts: x.chunk(parts, -1)),
            Bad((2, 5), parts=2, code="shape-mismatch"),
            Bad((2, 5), parts=0, code="bad-value"),
        ),
    ),
    Op(
        "split_with_sizes(x: t[*s], sizes: sizes, axis: int = -1) -> t",
        doc="The axis cut into parts of the given sizes, each a result.",
        numpy=_split_with_sizes_numpy,
        vjp=_joined,
        shape=_split_with_sizes_shape,
        splits=True,
        onnx=_split_with_sizes_onnx,
        samples=(
            S((2, 6), sizes=(1, 3, 2), torch=lambda x, sizes: x.split(sizes, -1)),
            S((4, 2, 3), sizes=(0, 4), axis=0, torch=lambda x, sizes, axis: x.split(sizes, axis)),
            S((4, 2, 3), sizes=(2,), axis=1),
            Bad((2, 5), sizes=(2, 2), code="shape-mismatch"),
            Bad((2, 5), sizes=(6, -1), code="bad-value"),
            Bad((2, 5), sizes=(), code="bad-value"),
        ),
    ),
    Op(
        "slice(x: t[*s], starts: sizes, stops: sizes, axes: ints, steps: ints) -> t",
        doc="Along each of `axes`, the elements start, start + step, … before stop. Starts and stops count from 0; "
        "with a negative step a stop of -1 includes the first element.",
        numpy=_slice_numpy,
        vjp=_slice_vjp,
        shape=_slice_shape,
        onnx=_slice_onnx,
        samples=(
            S((5, 3), starts=(1,), stops=(4,), axes=(0,), steps=(1,), torch=_torch_slice),
            S((2, 7), starts=(1,), stops=(7,), axes=(1,), steps=(2,), torch=_torch_slice),
            S((2, 7), starts=(0,), stops=(6,), axes=(-1,), steps=(4,), torch=_torch_slice),
            S((2, 7), starts=(6,), stops=(-1,), axes=(1,), steps=(-1,), torch=_torch_slice),
            S((4, 7), starts=(0, 5), stops=(3, 0), axes=(0, 1), steps=(2, -3), torch=_torch_slice),
            S((2, 3), starts=(2,), stops=(2,), axes=(1,), steps=(1,), torch=_torch_slice),
            Bad((2, 3), starts=(0, 0), stops=(2,), axes=(1,), steps=(1,), code="bad-value"),
            Bad((2, 3), starts=(0,), stops=(2,), axes=(1,), steps=(0,), code="bad-value"),
            Bad((2, 3), starts=(0,), stops=(2,), axes=(2,), steps=(1,), code="bad-axis"),
            Bad((2, 3), starts=(0,), stops=(4,), axes=(1,), steps=(1,), code="bad-index"),
            Bad((2, 3), starts=(3,), stops=(0,), axes=(1,), steps=(-1,), code="bad-index"),
        ),
    ),
)
