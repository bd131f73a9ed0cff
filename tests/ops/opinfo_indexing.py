"""Reading and writing at positions, and orders. As PyTorch's samples use them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, composed, refuse_if, with_axis

# --- positions known while compiling -------------------------------------------------------------------------------


def _places(shape: Sequence[int], function: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> torch.Tensor:
    """Where each element of a view lies in the flattened tensor."""
    return function(torch.arange(math.prod(shape)).reshape(*shape), *args, **kwargs)


def _viewed(function: Callable[..., torch.Tensor]) -> Adapter:
    """What picks elements by their places alone."""

    def adapter(x: torch.Tensor, *args: Any, **kwargs: Any) -> Use:
        places, count = _places(x.shape, function, *args, **kwargs), x.numel()
        return Use((x,), lambda b, x: b.gather(b.reshape(x, shape=(count,)), places.numpy()))

    return adapter


def _view_written(function: Callable[..., torch.Tensor]) -> Adapter:
    """The same elements written: `diagonal_scatter` writes where `diagonal` reads."""

    def adapter(x: torch.Tensor, values: torch.Tensor, *args: Any, **kwargs: Any) -> Use:
        places = _places(x.shape, function, *args, **kwargs).reshape(-1)
        return Use((x, values), lambda b, x, values: _put_flat(b, x, b.constant(places.numpy()), values))

    return adapter


def _put_flat(b: Builder, x: Value, places: Value, values: Value, reduction: str = "none") -> Value:
    """x with values written at places in the flattened tensor."""
    flat, places, values = (b.reshape(v, shape=(math.prod(v.type.shape),)) for v in (x, places, values))
    return b.reshape(b.scatter_elements(flat, places, values, axis=0, reduction=reduction), shape=x.type.shape)


def _laid_on_diagonal(x: torch.Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Use:
    shape = torch.diag_embed(x, offset, dim1, dim2).shape
    places = _places(shape, torch.diagonal, offset, dim1, dim2)

    def build(b: Builder, x: Value) -> Value:
        return _put_flat(b, b.full(shape=shape, value=0.0), b.constant(places.numpy()), x)

    return Use((x,), build)


def _diag(x: torch.Tensor, diagonal: int = 0) -> Use:
    return _viewed(torch.diagonal)(x, diagonal) if x.dim() == 2 else _laid_on_diagonal(x, diagonal)


def _flat_diagonal(x: torch.Tensor, offset: int = 0) -> Use:
    use = _laid_on_diagonal(x.reshape(-1), offset)
    return Use((x,), use.build)


def _windows(x: torch.Tensor, dim: int, size: int, step: int) -> Use:
    """`Tensor.unfold`: the elements of each window become a last axis."""
    count = (x.shape[dim] - size) // step + 1 if x.dim() else 1
    places = (torch.arange(count)[:, None] * step + torch.arange(size)).numpy()

    def build(b: Builder, x: Value) -> Value:
        if not x.type.rank:
            return b.reshape(x, shape=(size,))
        axis = dim % x.type.rank
        found = b.gather(x, places, axis=axis)
        return b.transpose(found, perm=(*(i for i in range(x.type.rank + 1) if i != axis + 1), axis + 1))

    return Use((x,), build)


def _repeated(x: torch.Tensor, *, repeats: Any, dim: int | None = None, output_size: int | None = None) -> Use:
    count = x.numel() if dim is None else x.shape[dim]
    places = torch.repeat_interleave(torch.arange(count), repeats).numpy()
    shape = (count,) if dim is None else tuple(x.shape)
    return Use((x,), lambda b, x: b.gather(b.reshape(x, shape=shape), places, axis=dim or 0))


def _combined(x: torch.Tensor, r: int = 2, with_replacement: bool = False) -> Use:
    places = torch.combinations(torch.arange(len(x)), r, with_replacement).numpy()
    return Use((x,), lambda b, x: b.gather(x, places))


def _all_pairs(*tensors: torch.Tensor) -> Use:
    grid = torch.meshgrid(*(torch.arange(len(t)) for t in tensors), indexing="ij")
    places = [part.reshape(-1, *(1,) * (len(tensors) > 1)).numpy() for part in grid]
    return Use(tensors, lambda b, *values: b.concat(*(b.gather(v, p) for v, p in zip(values, places, strict=True))))


def _one(x: torch.Tensor, dim: int, index: int) -> Use:
    return Use((x,), lambda b, x: b.gather(x, b.constant(index), axis=dim))


# --- reading -------------------------------------------------------------------------------------------------------


def _gathered(x: torch.Tensor, dim: int, index: torch.Tensor, **_: Any) -> Use:
    refuse_if(index.dim() > max(1, x.dim()), "empty positions of another rank")

    def build(b: Builder, x: Value, index: Value) -> Value:
        source, at = (v if v.type.rank else b.reshape(v, shape=(1,)) for v in (x, index))
        return b.reshape(b.gather_elements(source, at, axis=dim), shape=index.type.shape)

    return Use((x, index), build)


def _take_along(x: torch.Tensor, index: torch.Tensor, dim: int | None = None) -> Use:
    def build(b: Builder, x: Value, index: Value) -> Value:
        if dim is None:
            return b.gather_elements(*(b.reshape(v, shape=(math.prod(v.type.shape),)) for v in (x, index)))
        shape = list(torch.broadcast_shapes(*(_without(v.type.shape, dim) for v in (x, index))))
        whole, at = (b.expand(v, shape=(*shape[:dim], v.type.shape[dim], *shape[dim:])) for v in (x, index))
        return b.gather_elements(whole, at, axis=dim)

    return Use((x, index), build)


def _without(shape: Sequence[Any], axis: int) -> list[Any]:
    return [size for i, size in enumerate(shape) if i != axis]


def _take(b: Builder, x: Value, index: Value) -> Value:
    return b.gather(b.reshape(x, shape=(math.prod(x.type.shape),)), index)


def _index_select(x: torch.Tensor, dim: int, index: torch.Tensor) -> Use:
    return Use((x, index), lambda b, x, index: b.gather(x, index, axis=dim))


def _at_grid(b: Builder, shape: Sequence[Any], indices: Sequence[Value]) -> Value:
    """Coordinates on a last axis, from indices that broadcast; those out of range are those of the border."""
    grid = torch.broadcast_shapes(*(index.type.shape for index in indices))
    parts = []
    for index, size in zip(indices, shape, strict=True):
        inside = b.minimum(b.maximum(index, -size), size - 1)
        parts.append(b.reshape(b.expand(inside, shape=grid), shape=(*grid, 1)))
    return b.concat(*parts)


def _masked_index(x: torch.Tensor, mask: torch.Tensor, indices: Sequence[torch.Tensor], fill: float) -> Use:
    refuse_if(any(index is None for index in indices), "an axis without positions")

    def build(b: Builder, x: Value, mask: Value, *indices: Value) -> Value:
        return b.select(mask, b.gather_nd(x, _at_grid(b, x.type.shape, indices)), fill)

    return Use((x, mask, *indices), build)


def _masked_index_add(x: torch.Tensor, mask: torch.Tensor, indices: Sequence[torch.Tensor],
                      values: torch.Tensor) -> Use:  # fmt: skip
    refuse_if(any(index is None for index in indices), "an axis without positions")

    def build(b: Builder, x: Value, mask: Value, values: Value, *indices: Value) -> Value:
        added = b.select(mask, values, 0.0)
        return b.scatter_nd(x, _at_grid(b, x.type.shape, indices), added, reduction="add")

    return Use((x, mask, values, *indices), build)


def _masked_select(x: torch.Tensor, mask: torch.Tensor) -> Use:
    shape = torch.broadcast_shapes(x.shape, mask.shape)
    return Use((x, mask), lambda b, x, mask: b.masked_select(*(b.expand(v, shape=shape) for v in (x, mask))))


def _masked_scatter(x: torch.Tensor, mask: torch.Tensor, values: torch.Tensor) -> Use:
    """Each place of the mask takes the value whose number is how many places come before it."""
    shape = torch.broadcast_shapes(x.shape, mask.shape)
    count = math.prod(shape)

    def build(b: Builder, x: Value, mask: Value, values: Value) -> Value:
        x, mask = (b.expand(v, shape=shape) for v in (x, mask))
        before = b.cumsum(b.cast(b.reshape(mask, shape=(count,)), dtype="i64"), exclusive=True)
        return b.select(mask, _take(b, values, b.reshape(before, shape=shape)), x)

    return Use((x, mask, values), build)


# --- writing -------------------------------------------------------------------------------------------------------

REDUCTIONS = {"sum": "add", "add": "add", "mean": "add", "prod": "mul", "multiply": "mul", "amax": "max", "amin": "min"}
NEUTRAL = {"add": 0.0, "mul": 1.0, "max": -math.inf, "min": math.inf}


def _reduced(b: Builder, x: Value, index: Value, values: Value, axis: int, reduce: str | None, whole: bool) -> Value:
    """Values written, or combined with each other and, where `whole`, with what is there."""
    if reduce is None:
        return b.scatter_elements(x, index, values, axis=axis)
    how = REDUCTIONS[reduce]
    if not whole:
        neutral = b.full(shape=index.type.shape, value=NEUTRAL[how])
        x = b.scatter_elements(x, index, neutral, axis=axis)
    y = b.scatter_elements(x, index, values, axis=axis, reduction=how)
    if reduce != "mean":
        return y
    ones = b.full(shape=index.type.shape, value=1.0)
    counts = b.full(shape=x.type.shape, value=float(whole))
    counts = b.scatter_elements(counts, index, ones, axis=axis, reduction="add")
    return b.div(y, b.maximum(counts, 1.0))


def _scattered(default: str | None = None) -> Adapter:
    def adapter(x: torch.Tensor, dim: int, index: torch.Tensor, values: Any, reduce: str | None = default, *,
                include_self: bool = True) -> Use:  # fmt: skip
        shape = index.shape
        written = values if isinstance(values, torch.Tensor) else torch.full(shape, float(values))

        def build(b: Builder, x: Value, index: Value, values: Value) -> Value:
            starts, stops, axes = [0] * len(shape), list(shape), list(range(len(shape)))
            used = b.slice(values, starts=starts, stops=stops, axes=axes, steps=[1] * len(shape))
            return _reduced(b, x, index, used, dim, reduce, include_self)

        return Use((x, index, written), build)

    return with_axis(adapter)


def _indexed(default: str | None = None) -> Adapter:
    """`index_add` and its kin: whole slices at the positions of a vector."""

    def adapter(x: torch.Tensor, dim: int, index: torch.Tensor, values: Any, reduce: str | None = default, *,
                include_self: bool = True, alpha: float = 1) -> Use:  # fmt: skip
        axis = dim % x.dim()
        shape = (*x.shape[:axis], len(index), *x.shape[axis + 1 :])
        written = values if isinstance(values, torch.Tensor) else torch.tensor(float(values))

        def build(b: Builder, x: Value, index: Value, values: Value) -> Value:
            line = [len(index.type.shape) and size if i == axis else 1 for i, size in enumerate(shape)]
            positions = b.expand(b.reshape(index, shape=line), shape=shape)
            scaled = b.mul(b.expand(values, shape=shape), float(alpha))
            return _reduced(b, x, positions, scaled, axis, reduce, include_self)

        return Use((x, index, written), build)

    return with_axis(adapter)


def _index_fill(x: torch.Tensor, dim: int, index: torch.Tensor, value: Any) -> Use:
    """One number for all positions, which may repeat: only whether they are named matters."""
    axis = dim % x.dim()
    line = [size if i == axis else 1 for i, size in enumerate(x.shape)]
    tensors = (x, index, value) if isinstance(value, torch.Tensor) else (x, index)

    def build(b: Builder, x: Value, index: Value, value: Any = value) -> Value:
        hits = b.max(b.one_hot(index, classes=x.type.shape[axis]), axis=0)
        return b.select(b.reshape(b.greater(hits, 0.0), shape=line), value, x)

    return Use(tensors, build)


def _segments(x: torch.Tensor, reduce: str, *, lengths: torch.Tensor | None = None,
              offsets: torch.Tensor | None = None, axis: int = 0, unsafe: bool = False,
              initial: float | None = None) -> Use:  # fmt: skip
    """Runs of elements along an axis, each combined with the initial number; their mean is over the elements only."""
    counts = lengths if lengths is not None else (offsets if offsets is not None else torch.empty(0)).diff(dim=axis)
    refuse_if(initial is None, "runs of no elements without an initial number")
    refuse_if(bool((counts.sum(dim=axis) != x.shape[axis]).any()), "elements that are in no run")
    rows = counts.reshape(-1, counts.shape[-1])
    places = torch.stack([torch.repeat_interleave(torch.arange(len(row)), row) for row in rows])
    places = places.reshape(*x.shape[: axis + 1], *(1,) * (x.dim() - axis - 1)).expand(x.shape).contiguous()
    shape = (*counts.shape, *x.shape[axis + 1 :])
    sizes = counts.clamp(min=1).float().reshape(*counts.shape, *(1,) * (x.dim() - axis - 1))
    how = REDUCTIONS.get(reduce, reduce)

    def build(b: Builder, x: Value) -> Value:
        first = b.full(shape=shape, value=float(initial or 0))
        y = b.scatter_elements(first, b.constant(places.numpy()), x, axis=axis, reduction=how)
        return b.div(y, b.constant(sizes.numpy())) if reduce == "mean" else y

    return Use((x,), build)


def _put(x: torch.Tensor, index: torch.Tensor, values: torch.Tensor, accumulate: bool = False) -> Use:
    how = "add" if accumulate else "none"
    return Use((x, index, values), lambda b, x, index, values: _put_flat(b, x, index, values, how))


def _index_put(x: torch.Tensor, indices: Sequence[torch.Tensor], values: torch.Tensor, *, accumulate: bool) -> Use:
    refuse_if(len(indices) > 1, "positions in several axes")
    (index,) = indices
    index = index.nonzero()[:, 0] if index.dtype == torch.bool else index
    how = "add" if accumulate else "none"

    def build(b: Builder, x: Value, index: Value, values: Value) -> Value:
        (count,) = index.type.shape
        whole = b.expand(values, shape=(count, *x.type.shape[1:]))
        return b.scatter_nd(x, b.reshape(index, shape=(count, 1)), whole, reduction=how)

    return Use((x, index, values), build)


# --- orders --------------------------------------------------------------------------------------------------------


def _topk(x: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Use:
    return Use((x,), lambda b, x: b.topk(x, k=k, axis=dim, largest=largest))


def _sorted(x: torch.Tensor, *args: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Use:
    axis, down = (args[0] if args else dim), (args[1] if len(args) > 1 else descending)
    return Use((x,), lambda b, x: b.sort(x, axis=axis, descending=down))


# --- embeddings ----------------------------------------------------------------------------------------------------


def _embedding(weight: torch.Tensor, index: torch.Tensor, padding_idx: Any = None, **kwargs: Any) -> Use:
    options = {k for k, v in kwargs.items() if v not in (None, False) and k != "norm_type"}
    refuse_if(padding_idx is not None or options, "a padding index, a largest norm, or gradients by frequency")
    return Use((weight, index), lambda b, w, i: b.gather(w, i))


def _embedding_bag(weight: torch.Tensor, index: torch.Tensor, *, offsets: torch.Tensor | None = None,
                   mode: str = "mean", per_sample_weights: torch.Tensor | None = None, padding_idx: int | None = None,
                   include_last_offset: bool = False) -> Use:  # fmt: skip
    starts = torch.arange(len(index)) * index.shape[-1] if offsets is None else offsets
    starts = starts[:-1] if include_last_offset else starts
    bags = torch.searchsorted(starts, torch.arange(index.numel()), right=True) - 1
    kept = torch.ones_like(bags) if padding_idx is None else (index.reshape(-1) != padding_idx % len(weight)).long()
    counts = torch.zeros(len(starts)).index_add(0, bags, kept.float())
    tensors = (weight, index) if per_sample_weights is None else (weight, index, per_sample_weights)

    def build(b: Builder, weight: Value, index: Value, factors: Value | None = None) -> Value:
        flat = b.reshape(index, shape=bags.shape)
        rows = b.gather(weight, flat)
        if mode == "max":
            return _largest(b, rows, bags, kept, counts)
        used = b.constant(kept.float()[:, None].numpy())
        used = used if factors is None else b.mul(used, b.reshape(factors, shape=(len(bags), 1)))
        total = b.scatter_rows(b.mul(rows, used), bags.numpy(), rows=len(starts))
        return b.div(total, counts.clamp(min=1)[:, None].numpy()) if mode == "mean" else total

    return Use(tensors, build)


def _largest(b: Builder, rows: Value, bags: torch.Tensor, kept: torch.Tensor, counts: torch.Tensor) -> Value:
    columns: Any = rows.type.shape[1]
    shape = (len(counts), columns)
    rows = b.select((kept == 1)[:, None].numpy(), rows, -math.inf)
    places = bags[:, None].expand(-1, shape[1]).contiguous().numpy()
    y = b.scatter_elements(b.full(shape=shape, value=-math.inf), places, rows, axis=0, reduction="max")
    return b.select((counts == 0)[:, None].numpy(), 0.0, y)


COUNTERPARTS: dict[str, Adapter] = {
    "gather": _gathered,
    "take_along_dim": _take_along,
    "take": composed(_take),
    "index_select": with_axis(_index_select),
    "select": _one,
    "masked_select": _masked_select,
    "masked_scatter": _masked_scatter,
    "_unsafe_masked_index": _masked_index,
    "_unsafe_masked_index_put_accumulate": _masked_index_add,
    "scatter": _scattered(),
    "scatter_add": _scattered("add"),
    **{f"scatter_reduce.{how}": _scattered() for how in ("sum", "prod", "amax", "amin", "mean")},
    "index_add": _indexed("add"),
    "index_copy": _indexed(),
    "index_fill": with_axis(_index_fill, positions=(0,)),
    **{f"index_reduce.{how}": _indexed() for how in ("mean", "prod", "amax", "amin")},
    "_segment_reduce.lengths": _segments,
    "_segment_reduce.offsets": _segments,
    "index_put": _index_put,
    "put": _put,
    "__getitem__": _viewed(lambda x, index: x[index]),
    "as_strided": _viewed(torch.as_strided),
    "as_strided_copy": _viewed(torch.as_strided),
    "diagonal": _viewed(torch.diagonal),
    "diagonal_copy": _viewed(torch.diagonal),
    "linalg.diagonal": _viewed(torch.linalg.diagonal),
    "diagonal_scatter": _view_written(torch.diagonal),
    "select_scatter": _view_written(torch.select),
    "slice_scatter": _view_written(torch.ops.aten.slice),
    "diag": _diag,
    "diag_embed": _laid_on_diagonal,
    "diagflat": _flat_diagonal,
    "rot90": _viewed(torch.rot90),
    "unfold": _windows,
    "unfold_copy": _windows,
    "repeat_interleave": _repeated,
    "combinations": _combined,
    "cartesian_prod": _all_pairs,
    "topk": with_axis(_topk),
    "sort": with_axis(_sorted),
    "msort": lambda x: Use((x,), lambda b, x: b.sort(x, axis=0)[0]),
    "nn.functional.embedding": _embedding,
    "nn.functional.embedding_bag": _embedding_bag,
}
"""By the name of the OpInfo, with its variant after a dot."""
