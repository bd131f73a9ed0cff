"""Shapes and positions. As PyTorch's samples use them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use


def _to_shape(x: torch.Tensor, *shape: Any) -> Use:
    sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    sizes = sizes.shape if isinstance(sizes, torch.Tensor) else sizes
    final = tuple(x.reshape(*sizes).shape if sizes else x.reshape(()).shape)
    return Use((x,), lambda b, x: b.reshape(x, shape=final))


def _reshaped(function: Callable[..., torch.Tensor]) -> Adapter:
    """What only changes the shape."""

    def adapter(x: torch.Tensor, *args: Any, **kwargs: Any) -> Use:
        tensors = tuple(x) if isinstance(x, list | tuple) else (x,)
        shapes = [tuple(function(tensor, *args, **kwargs).shape) for tensor in tensors]
        return Use(tensors, lambda b, *values: [b.reshape(v, shape=s) for v, s in zip(values, shapes, strict=True)])

    return adapter


def _expanded(x: torch.Tensor, *shape: Any) -> Use:
    sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    final = tuple(x.expand(tuple(sizes.shape if isinstance(sizes, torch.Tensor) else sizes)).shape)
    return Use((x,), lambda b, x: b.expand(x, shape=final))


def _permuted(function: Callable[..., torch.Tensor]) -> Adapter:
    """What only moves axes, which a tensor of axis numbers' sizes shows."""

    def adapter(x: torch.Tensor, *args: Any, **kwargs: Any) -> Use:
        marks = torch.empty(tuple(range(2, x.dim() + 2)))
        perm = tuple(size - 2 for size in function(marks, *args, **kwargs).shape)
        return Use((x,), lambda b, x: b.transpose(x, perm=perm))

    return adapter


def _flip(x: torch.Tensor, dims: Sequence[int] | int) -> Use:
    axes = sorted({d % x.dim() for d in ((dims,) if isinstance(dims, int) else dims)}) if x.dim() else []
    sizes = [x.shape[axis] for axis in axes]

    def build(b: Builder, x: Value) -> Value:
        starts, stops = [size - 1 for size in sizes], [-1] * len(sizes)
        return b.slice(x, starts=starts, stops=stops, axes=axes, steps=[-1] * len(sizes)) if axes else b.add(x, 0.0)

    return Use((x,), build)


def rolled(b: Builder, x: Value, shifts: Sequence[int], axes: Sequence[int]) -> Value:
    """x with each axis turned round: its last elements, as many as its shift says, come first."""
    for shift, axis in zip(shifts, axes, strict=True):
        size = x.type.shape[axis]
        kept = -shift % size if size else 0
        if kept:
            first, last = b.split_with_sizes(x, sizes=(kept, size - kept), axis=axis)
            x = b.concat(last, first, axis=axis)
    return x


def _roll(x: torch.Tensor, shifts: Any, dims: Any = ()) -> Use:
    amounts = [shifts] if isinstance(shifts, int) else list(shifts)
    axes = [dims] if isinstance(dims, int) else list(dims)
    count = x.numel()

    def build(b: Builder, x: Value) -> Value:
        if axes:
            return rolled(b, x, amounts, axes)
        flat = b.reshape(x, shape=(count,))
        return b.reshape(rolled(b, flat, amounts, [0]), shape=x.type.shape)

    return Use((x,), build)


def _sliced(x: torch.Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Use:
    first, last, step = slice(start, end, step).indices(x.shape[dim])
    return Use((x,), lambda b, x: b.slice(x, starts=[first], stops=[last], axes=[dim], steps=[step]))


def _channel_shuffle(x: torch.Tensor, groups: int) -> Use:
    n, c, *rest = x.shape

    def build(b: Builder, x: Value) -> Value:
        grouped = b.reshape(x, shape=(n, groups, c // groups, *rest))
        return b.reshape(b.transpose(grouped, perm=(0, 2, 1, *range(3, len(rest) + 3))), shape=(n, c, *rest))

    return Use((x,), build)


def _broadcast(*tensors: torch.Tensor) -> Use:
    shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))
    return Use(tensors, lambda b, *values: [b.expand(v, shape=shape) for v in values])


def _narrow(x: torch.Tensor, dim: int, start: Any, length: int) -> Use:
    first = int(start) % x.shape[dim] if x.shape[dim] else 0
    first = x.shape[dim] if int(start) == x.shape[dim] else first
    return Use((x,), lambda b, x: b.slice(x, starts=[first], stops=[first + length], axes=[dim], steps=[1]))


def _pieces(function: Callable[..., Sequence[torch.Tensor]], axis: Callable[[torch.Tensor], int] | None = None,
            squeezed: bool = False) -> Adapter:  # fmt: skip
    """What cuts an axis: the one in `dim`, the second argument, the first, or as `axis` says."""

    def adapter(x: torch.Tensor, *args: Any, dim: int = 0) -> Use:
        *first, last = (*args, dim) if len(args) < (1 if squeezed else 2) else args
        along = axis(x) if axis else last
        found = function(x, *args) if axis else function(x, *first, last)
        shapes = [tuple(piece.shape) for piece in found]
        sizes = [1 if squeezed else shape[along] for shape in shapes]

        def build(b: Builder, x: Value) -> list[Value]:
            pieces = b.split_with_sizes(x, sizes=sizes, axis=along)
            return [b.reshape(piece, shape=shape) for piece, shape in zip(pieces, shapes, strict=True)]

        return Use((x,), build)

    return adapter


def _concat(tensors: Sequence[torch.Tensor], dim: int = 0) -> Use:
    """PyTorch leaves out an empty vector among tensors of other ranks."""
    rank = max(t.dim() for t in tensors)
    return Use(tuple(tensors), lambda b, *values: b.concat(*(v for v in values if v.type.rank == rank), axis=dim))


def _stacked_along(least: Callable[..., Any], axis: int | None) -> Adapter:
    """Joined after each has got as many axes as `least` gives it; along the first for vectors where none is named."""

    def adapter(tensors: Sequence[torch.Tensor]) -> Use:
        shapes = [tuple(least(t).shape) for t in tensors]
        along = axis if axis is not None else min(1, len(shapes[0]) - 1)
        return Use(tuple(tensors), lambda b, *values: b.concat(
            *(b.reshape(v, shape=shape) for v, shape in zip(values, shapes, strict=True)), axis=along))  # fmt: skip

    return adapter


def _column(x: torch.Tensor) -> torch.Tensor:
    return x if x.dim() > 1 else x.reshape(-1, 1)


def _block_diagonal(*tensors: torch.Tensor) -> Use:
    shapes = [torch.atleast_2d(t).shape for t in tensors]
    columns = sum(shape[1] for shape in shapes)

    def build(b: Builder, *values: Value) -> Value:
        rows, start = [], 0
        for value, shape in zip(values, shapes, strict=True):
            after = columns - start - shape[1]
            rows.append(b.pad(b.reshape(value, shape=tuple(shape)), before=(0, start), after=(0, after)))
            start += shape[1]
        return b.concat(*rows, axis=0)

    return Use(tensors, build)


def _stack(tensors: Sequence[torch.Tensor], dim: int = 0) -> Use:
    axis = dim % (tensors[0].dim() + 1)
    shape = (*tensors[0].shape[:axis], 1, *tensors[0].shape[axis:])
    return Use(tuple(tensors), lambda b, *values: b.concat(*(b.reshape(v, shape=shape) for v in values), axis=axis))


def _tiled(x: torch.Tensor, *repeats: Any) -> Use:
    counts = repeats[0] if len(repeats) == 1 and not isinstance(repeats[0], int) else repeats
    counts = (*(1,) * (x.dim() - len(counts)), *counts)
    shape = (*(1,) * (len(counts) - x.dim()), *x.shape)
    return Use((x,), lambda b, x: b.tile(b.reshape(x, shape=shape), repeats=counts))


def _padded(mode: str) -> Adapter:
    def adapter(x: torch.Tensor, pad: Sequence[int], given: str = "constant", value: Any = None, **kwargs: Any) -> Use:
        value = kwargs.get("value", given if not isinstance(given, str) else value) or 0.0
        before, after = [0] * x.dim(), [0] * x.dim()
        for i in range(len(pad) // 2):
            before[x.dim() - 1 - i], after[x.dim() - 1 - i] = pad[2 * i], pad[2 * i + 1]
        if mode == "constant":
            return Use((x,), lambda b, x: b.pad(x, before=before, after=after, value=float(value)))
        more, less = ([[f(n, 0) for n in sizes] for sizes in (before, after)] for f in (max, min))

        def build(b: Builder, x: Value) -> Value:
            if mode == "wrap":  # what begins again is what the cut leaves
                return b.pad_mode(b.pad(x, before=less[0], after=less[1]), before=more[0], after=more[1], mode=mode)
            return b.pad(b.pad_mode(x, before=more[0], after=more[1], mode=mode), before=less[0], after=less[1])

        return Use((x,), build)

    return adapter


def _triangle(name: str) -> Adapter:
    return lambda x, diagonal=0: Use((x,), lambda b, x: getattr(b, name)(x, diagonal=diagonal))


RESHAPING = ("flatten", "unflatten", "ravel", "squeeze", "unsqueeze", "atleast_1d", "atleast_2d", "atleast_3d")

COUNTERPARTS: dict[str, Adapter] = {
    "reshape": _to_shape,
    "view": _to_shape,
    "reshape_as": _to_shape,
    "view_as": _to_shape,
    "view_copy": _to_shape,
    **{name: _reshaped(getattr(torch, name)) for name in RESHAPING},
    **{f"{name}_copy": _reshaped(getattr(torch, name)) for name in ("squeeze", "unsqueeze")},
    "squeeze.multiple": _reshaped(torch.squeeze),
    "expand": _expanded,
    "expand_as": _expanded,
    "expand_copy": _expanded,
    "broadcast_to": _expanded,
    **{name: _permuted(getattr(torch, name)) for name in ("permute", "transpose", "movedim", "t")},
    "roll": _roll,
    **{f"{name}_copy": _permuted(getattr(torch, name)) for name in ("permute", "transpose", "t")},
    **{name: _permuted(lambda x: x.T) for name in ("T", "H")},
    **{name: _permuted(lambda x: x.mT) for name in ("mT", "mH")},
    "flip": _flip,
    "fliplr": lambda x: _flip(x, 1),
    "flipud": lambda x: _flip(x, 0),
    "narrow": _narrow,
    "narrow_copy": _narrow,
    "slice": _sliced,
    **{name: _pieces(torch.split) for name in ("split", "split.list_args", "split_with_sizes", "unsafe_split")},
    "split_with_sizes_copy": _pieces(torch.split),
    "chunk": _pieces(torch.chunk),
    "unsafe_chunk": _pieces(torch.chunk),
    "tensor_split": _pieces(torch.tensor_split),
    "hsplit": _pieces(torch.hsplit, lambda x: min(1, x.dim() - 1)),
    "vsplit": _pieces(torch.vsplit, lambda x: 0),
    "dsplit": _pieces(torch.dsplit, lambda x: 2),
    "unbind": _pieces(torch.unbind, squeezed=True),
    "unbind_copy": _pieces(torch.unbind, squeezed=True),
    "hstack": _stacked_along(torch.atleast_1d, None),
    "vstack": _stacked_along(torch.atleast_2d, 0),
    "dstack": _stacked_along(torch.atleast_3d, 2),
    "column_stack": _stacked_along(_column, 1),
    "block_diag": _block_diagonal,
    "broadcast_tensors": _broadcast,
    "nn.functional.channel_shuffle": _channel_shuffle,
    "cat": _concat,
    "stack": _stack,
    "repeat": _tiled,
    "tile": _tiled,
    "tril": _triangle("tril"),
    "triu": _triangle("triu"),
    "constant_pad_nd": _padded("constant"),
    "nn.functional.pad.constant": _padded("constant"),
    "nn.functional.pad.reflect": _padded("reflect"),
    "nn.functional.pad.replicate": _padded("edge"),
    "nn.functional.pad.replicate_negative": _padded("edge"),
    "nn.functional.pad.circular": _padded("wrap"),
}
"""By the name of the OpInfo, with its variant after a dot."""
