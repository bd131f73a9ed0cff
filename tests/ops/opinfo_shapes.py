"""Shapes and positions. As PyTorch's samples use them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, refuse_if


def _to_shape(x: torch.Tensor, *shape: Any) -> Use:
    sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    sizes = sizes.shape if isinstance(sizes, torch.Tensor) else sizes
    final = tuple(x.reshape(*sizes).shape if sizes else x.reshape(()).shape)
    return Use((x,), lambda b, x: b.reshape(x, shape=final))


def _reshaped(function: Callable[..., torch.Tensor]) -> Adapter:
    """What only changes the shape."""

    def adapter(x: torch.Tensor, *args: Any, **kwargs: Any) -> Use:
        refuse_if(isinstance(x, list | tuple), "a list of tensors")
        final = tuple(function(x, *args, **kwargs).shape)
        return Use((x,), lambda b, x: b.reshape(x, shape=final))

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


def _narrow(x: torch.Tensor, dim: int, start: Any, length: int) -> Use:
    first = int(start) % x.shape[dim] if x.shape[dim] else 0
    first = x.shape[dim] if int(start) == x.shape[dim] else first
    return Use((x,), lambda b, x: b.slice(x, starts=[first], stops=[first + length], axes=[dim], steps=[1]))


def _split(x: torch.Tensor, parts: Any, dim: int = 0) -> Use:
    sizes = tuple(piece.shape[dim] for piece in torch.split(x, parts, dim))
    return Use((x,), lambda b, x: b.split_with_sizes(x, sizes=sizes, axis=dim))


def _chunk(x: torch.Tensor, chunks: int, dim: int = 0) -> Use:
    sizes = tuple(piece.shape[dim] for piece in torch.chunk(x, chunks, dim))
    return Use((x,), lambda b, x: b.split_with_sizes(x, sizes=sizes, axis=dim))


def _concat(tensors: Sequence[torch.Tensor], dim: int = 0) -> Use:
    refuse_if(len({t.dim() for t in tensors}) > 1, "tensors of several ranks")
    refuse_if(len({t.dtype for t in tensors}) > 1, "tensors of several dtypes")
    return Use(tuple(tensors), lambda b, *values: b.concat(*values, axis=dim))


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
        refuse_if(min((*before, *after), default=0) < 0, "padding below 0 is a slice")
        if mode == "constant":
            return Use((x,), lambda b, x: b.pad(x, before=before, after=after, value=float(value)))
        return Use((x,), lambda b, x: b.pad_mode(x, before=before, after=after, mode=mode))

    return adapter


def _triangle(name: str) -> Adapter:
    return lambda x, diagonal=0: Use((x,), lambda b, x: getattr(b, name)(x, diagonal=diagonal))


def _gathered(x: torch.Tensor, dim: int, index: torch.Tensor, **_: Any) -> Use:
    refuse_if(not x.dim() or index.dim() != x.dim(), "a scalar has no axis")
    return Use((x, index), lambda b, x, index: b.gather_elements(x, index, axis=dim))


def _take_along(x: torch.Tensor, index: torch.Tensor, dim: Any = None) -> Use:
    refuse_if(dim is None, "positions in the flattened tensor")
    shapes = [list(x.shape), list(index.shape)]
    refuse_if(
        any(a != b for i, (a, b) in enumerate(zip(*shapes, strict=True)) if i != dim % x.dim()), "broadcast positions"
    )
    return _gathered(x, dim, index)


def _index_select(x: torch.Tensor, dim: int, index: torch.Tensor) -> Use:
    refuse_if(not x.dim() or not index.dim(), "a scalar has no axis")
    return Use((x, index), lambda b, x, index: b.gather(x, index, axis=dim))


def _scattered(reduction: str = "none") -> Adapter:
    def adapter(x: torch.Tensor, dim: int, index: torch.Tensor, values: Any, *args: Any, **kwargs: Any) -> Use:
        refuse_if(not isinstance(values, torch.Tensor), "a number is written")
        refuse_if(kwargs.get("reduce") is not None and reduction == "none", "a reduction")
        refuse_if(kwargs.get("include_self") is False, "the old values are left out")
        refuse_if(not x.dim() or not index.dim() or not values.dim(), "a scalar has no axis")
        shape = index.shape
        sizes = [[0] * len(shape), list(shape), list(range(len(shape))), [1] * len(shape)]

        def build(b: Builder, x: Value, index: Value, values: Value) -> Value:
            starts, stops, axes, steps = sizes
            used = b.slice(values, starts=starts, stops=stops, axes=axes, steps=steps)
            return b.scatter_elements(x, index, used, axis=dim, reduction=reduction)

        return Use((x, index, values), build)

    return adapter


def _topk(x: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Use:
    refuse_if(not x.dim(), "a scalar has no axis")
    return Use((x,), lambda b, x: b.topk(x, k=k, axis=dim, largest=largest))


def _sorted(x: torch.Tensor, *args: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Use:
    refuse_if(not x.dim(), "a scalar has no axis")
    axis, down = (args[0] if args else dim), (args[1] if len(args) > 1 else descending)
    return Use((x,), lambda b, x: b.sort(x, axis=axis, descending=down))


def _embedding(weight: torch.Tensor, index: torch.Tensor, padding_idx: Any = None, **kwargs: Any) -> Use:
    options = {k for k, v in kwargs.items() if v not in (None, False) and k != "norm_type"}
    refuse_if(padding_idx is not None or options, "a padding index, a largest norm, or gradients by frequency")
    return Use((weight, index), lambda b, w, i: b.gather(w, i))


RESHAPING = ("flatten", "unflatten", "ravel", "squeeze", "unsqueeze", "atleast_1d", "atleast_2d", "atleast_3d")

COUNTERPARTS: dict[str, Adapter] = {
    "reshape": _to_shape,
    "view": _to_shape,
    "reshape_as": _to_shape,
    "view_as": _to_shape,
    "view_copy": _to_shape,
    **{name: _reshaped(getattr(torch, name)) for name in RESHAPING},
    "squeeze.multiple": _reshaped(torch.squeeze),
    "expand": _expanded,
    "expand_as": _expanded,
    "broadcast_to": _expanded,
    **{name: _permuted(getattr(torch, name)) for name in ("permute", "transpose", "movedim", "t")},
    "roll": _roll,
    "flip": _flip,
    "fliplr": lambda x: _flip(x, 1),
    "flipud": lambda x: _flip(x, 0),
    "narrow": _narrow,
    "split": _split,
    "split.list_args": _split,
    "split_with_sizes": _split,
    "chunk": _chunk,
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
    "nn.functional.pad.circular": _padded("wrap"),
    "msort": lambda x: Use((x,), lambda b, x: b.sort(x, axis=0)[0]),
    "gather": _gathered,
    "take_along_dim": _take_along,
    "index_select": _index_select,
    "scatter": _scattered(),
    "scatter_add": _scattered("add"),
    "scatter_reduce.sum": _scattered("add"),
    "scatter_reduce.prod": _scattered("mul"),
    "scatter_reduce.amax": _scattered("max"),
    "scatter_reduce.amin": _scattered("min"),
    "topk": _topk,
    "sort": _sorted,
    "nn.functional.embedding": _embedding,
}
"""By the name of the OpInfo, with its variant after a dot."""
