"""Order statistics, covariances, running extremes and integrals. As PyTorch's samples use them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.control import scan
from netlang.compiler.ir import Value

from netlang.types import TensorType

from .opinfo_functions import log_sum
from .opinfo_use import Adapter, Use, given, refuse_if, with_axis

# --- order ---------------------------------------------------------------------------------------------------------


def _picked(b: Builder, x: Value, position: int, axis: int, keepdim: bool) -> Value:
    """The element at a position of the sorted axis."""
    ordered = b.sort(x, axis=axis)[0]
    y = b.slice(ordered, starts=[position], stops=[position + 1], axes=[axis], steps=[1])
    return y if keepdim else _squeezed(b, y, axis)


def _squeezed(b: Builder, x: Value, axis: int) -> Value:
    axis %= x.type.rank
    return b.reshape(x, shape=(*x.type.shape[:axis], *x.type.shape[axis + 1 :]))


def _kth(x: torch.Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Use:
    return Use((x,), lambda b, x: _picked(b, x, k - 1, dim, keepdim))


def _median(x: torch.Tensor, *, dim: int | None = None, keepdim: bool = False) -> Use:
    """The lower one of two."""
    refuse_if(bool(x.isnan().any()), "NaN among the numbers")
    count = x.numel()
    if dim is None:
        return Use((x,), lambda b, x: _picked(b, b.reshape(x, shape=(count,)), (count - 1) // 2, 0, False))
    return Use((x,), lambda b, x: _picked(b, x, (x.type.shape[dim] - 1) // 2, dim, keepdim))


def _quantile(x: torch.Tensor, q: Any, dim: int | None = None, keepdim: bool = False,
              interpolation: str = "linear") -> Use:  # fmt: skip
    refuse_if(bool(x.isnan().any()), "NaN among the numbers")
    shape = (x.numel(),) if dim is None or not x.dim() else tuple(x.shape)
    fractions, many = torch.as_tensor(q, dtype=x.dtype), isinstance(q, torch.Tensor) and q.dim() > 0
    tensors = (x, q) if isinstance(q, torch.Tensor) else (x,)

    def build(b: Builder, x: Value, q: Any = None) -> Value:
        axis = 0 if dim is None else dim % len(shape)
        ordered = b.sort(b.reshape(x, shape=shape), axis=axis)[0]
        place = fractions.detach() * (shape[axis] - 1)
        low, high = place.floor().long(), place.ceil().long()
        below, above = (b.gather(ordered, at.reshape(-1).numpy(), axis=axis) for at in (low, high))
        part = torch.full_like(place, 0.5) * (low != high) if interpolation == "midpoint" else place - low
        weight = b.constant(part.reshape(-1, *(1,) * (len(shape) - axis - 1)).numpy())
        if q is not None and q.type.dtype == "f32" and interpolation == "linear":
            numbers = b.sub(b.mul(q, float(shape[axis] - 1)), b.constant(low.float().numpy()))
            weight = b.reshape(numbers, shape=weight.type.shape)
        y = b.add(below, b.mul(b.sub(above, below), weight))
        y = b.transpose(y, perm=(axis, *(i for i in range(len(shape)) if i != axis)))
        kept = tuple(n for i, n in enumerate(shape) if i != axis)
        if keepdim:
            kept = (1,) * x.type.rank if dim is None or not x.type.rank else (*shape[:axis], 1, *shape[axis + 1 :])
        return b.reshape(y, shape=(*fractions.shape, *kept) if many else kept)

    return Use(tensors, build)


def _mode(x: torch.Tensor, dim: int = -1, keepdim: bool = False) -> Use:
    """The smallest of the most frequent: each element of the sorted axis is compared with each."""
    refuse_if(x.numel() > 1000, "more than a thousand elements, each compared with each")

    def build(b: Builder, x: Value) -> Value:
        axis = dim % x.type.rank
        ordered = b.sort(x, axis=axis)[0]
        shape = x.type.shape
        rows = b.reshape(ordered, shape=(*shape[: axis + 1], 1, *shape[axis + 1 :]))
        columns = b.reshape(ordered, shape=(*shape[:axis], 1, *shape[axis:]))
        counts = b.sum(b.cast(b.equal(rows, columns), dtype="f32"), axis=axis + 1)
        place = b.argmax(counts, axis=axis)
        place = b.reshape(place, shape=(*shape[:axis], 1, *shape[axis + 1 :]))
        y = b.gather_elements(ordered, place, axis=axis)
        return y if keepdim else _squeezed(b, y, axis)

    return Use((x,), build)


# --- running -------------------------------------------------------------------------------------------------------


def _running(step: Callable[[Builder, Value, Value], Value]) -> Adapter:
    """A loop that carries what `step` makes of the elements so far and the next one."""

    def adapter(x: torch.Tensor, dim: int) -> Use:
        def build(b: Builder, x: Value) -> Value:
            axis = dim % x.type.rank
            perm = (axis, *(i for i in range(x.type.rank) if i != axis))
            sequence = b.transpose(x, perm=perm)
            count, *shape = sequence.type.shape
            if count == 1:  # ONNX Runtime's Scan fails where it is known that there is nothing to go through
                return x
            first, rest = b.split_with_sizes(sequence, sizes=(1, count - 1), axis=0)
            body = b.inner("running")
            carry, element = (body.input(name, TensorType(x.type.dtype, tuple(shape))) for name in ("carry", "element"))
            now = step(body, carry, element)
            body.output("next", now)
            body.output("now", now)
            _, (stacked,) = scan(b, body, [b.reshape(first, shape=shape)], [rest])
            return b.transpose(b.concat(first, stacked, axis=0), perm=[perm.index(i) for i in range(x.type.rank)])

        return Use((x,), build)

    return with_axis(adapter)


# --- differences and integrals -------------------------------------------------------------------------------------


def _neighbours(b: Builder, x: Value, axis: int) -> tuple[Value, Value]:
    """All elements along an axis but the last, and all but the first."""
    size = x.type.shape[axis]
    return tuple(b.slice(x, starts=[i], stops=[size - 1 + i], axes=[axis], steps=[1]) for i in (0, 1))


def _differences(x: torch.Tensor, n: int = 1, dim: int = -1, before: Any = None, after: Any = None) -> Use:
    count = x.shape[dim] + sum(0 if t is None else t.shape[dim] for t in (before, after))
    refuse_if(n > count, "more differences than there are elements")
    tensors = given(before, x, after) if n else (x,)
    refuse_if(len(set(map(id, tensors))) < len(tensors), "a tensor that is given twice")

    def build(b: Builder, *values: Value) -> Value:
        y = b.concat(*values, axis=dim)
        for _ in range(n):
            first, second = _neighbours(b, y, dim)
            y = b.sub(second, first)
        return y

    return Use(tensors, build)


def _gradient(x: torch.Tensor, *, dim: Any = None, spacing: Any = None, edge_order: int = 1) -> Use:
    """Central differences, and one-sided ones at the ends."""
    axes = list(range(x.dim())) if dim is None else list(dim)
    steps = [1.0 if spacing is None else spacing] * len(axes) if isinstance(spacing, float | None) else list(spacing)
    refuse_if(any(isinstance(step, torch.Tensor) for step in steps), "coordinates instead of distances")
    return Use((x,), lambda b, x: [_slope(b, x, *pair, edge_order) for pair in zip(axes, steps, strict=True)])


def _slope(b: Builder, x: Value, axis: int, step: float, order: int) -> Value:
    first, second = _neighbours(b, x, axis)
    steps = b.div(b.sub(second, first), step)
    count = steps.type.shape[axis]
    before, after = _neighbours(b, steps, axis)
    start, stop = (b.slice(steps, starts=[i], stops=[i + 1], axes=[axis], steps=[1]) for i in (0, count - 1))
    if order == 2:
        inner = [b.slice(steps, starts=[i], stops=[i + 1], axes=[axis], steps=[1]) for i in (1, count - 2)]
        start, stop = (
            b.sub(b.mul(end, 1.5), b.mul(next_, 0.5)) for end, next_ in zip((start, stop), inner, strict=True)
        )
    return b.concat(start, b.mul(b.add(before, after), 0.5), stop, axis=axis)


def _trapezoids(running: bool = False) -> Adapter:
    def adapter(y: torch.Tensor, x: Any = None, *, dx: float = 1.0, dim: int = -1) -> Use:
        def build(b: Builder, y: Value, x: Value | None = None) -> Value:
            first, second = _neighbours(b, y, dim)
            step: Any = dx
            if x is not None:
                start, stop = _neighbours(b, x, dim if x.type.rank > 1 else 0)
                step = b.sub(stop, start)
            areas = b.mul(b.mul(b.add(first, second), 0.5), step)
            return b.cumsum(areas, axis=dim) if running else b.sum(areas, axis=dim)

        return Use(given(y, x), build)

    return adapter


# --- covariance ----------------------------------------------------------------------------------------------------


def _covariance(x: torch.Tensor, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Use:
    rows = 1 if x.dim() < 2 else x.shape[0]

    def build(b: Builder, x: Value, *weights: Value) -> Value:
        flat = b.reshape(x, shape=(rows, x.type.shape[-1] if x.type.rank else 1))
        numbers = [b.cast(w, dtype="f32") for w in weights]
        weight = reduce(b.mul, numbers) if numbers else b.full(shape=(flat.type.shape[1],), value=1.0)
        total = b.sum(weight)
        centred = b.sub(flat, b.div(b.sum(b.mul(flat, weight), axis=1, keepdims=True), total))
        less = b.div(b.sum(b.mul(weight, numbers[-1])), total) if aweights is not None else 1.0
        norm = b.sub(total, b.mul(less, float(correction)) if isinstance(less, Value) else less * correction)
        y = b.div(b.matmul(b.mul(centred, weight), b.t(centred)), b.maximum(norm, 0.0))
        return b.reshape(y, shape=(rows, rows) if rows > 1 else ())

    return Use(given(x, fweights, aweights), build)


def _correlation(x: torch.Tensor) -> Use:
    covariance = _covariance(x)

    def build(b: Builder, x: Value) -> Value:
        y = covariance.build(b, x)
        assert isinstance(y, Value)
        if not y.type.rank:
            return b.div(y, y)
        deviation = b.sqrt(b.einsum(y, equation="ii->i"))
        count = deviation.type.shape[0]
        y = b.div(b.div(y, b.reshape(deviation, shape=(count, 1))), deviation)
        return b.clip(y, low=-1.0, high=1.0)

    return Use((x,), build)


def _grid(*tensors: Any, indexing: str = "ij") -> Use:
    parts: Sequence[torch.Tensor] = tensors[0] if isinstance(tensors[0], list | tuple) else tensors
    sizes = [part.numel() for part in parts]
    swapped = indexing == "xy" and len(parts) > 1
    order = [1, 0, *range(2, len(parts))] if swapped else list(range(len(parts)))
    shape = [sizes[i] for i in order]

    def build(b: Builder, *values: Value) -> list[Value]:
        lines = [[size if order[at] == i else 1 for at in range(len(sizes))] for i, size in enumerate(sizes)]
        return [b.expand(b.reshape(v, shape=line), shape=shape) for v, line in zip(values, lines, strict=True)]

    return Use(tuple(parts), build)


COUNTERPARTS: dict[str, Adapter] = {
    "kthvalue": with_axis(_kth),
    "median": with_axis(_median),
    "nanmedian": with_axis(_median),
    "quantile": _quantile,
    "nanquantile": _quantile,
    "mode": with_axis(_mode),
    "cummax": _running(lambda b, carry, x: b.maximum(carry, x)),
    "cummin": _running(lambda b, carry, x: b.minimum(carry, x)),
    "logcumsumexp": _running(log_sum),
    "diff": _differences,
    "gradient": _gradient,
    "trapz": _trapezoids(),
    "trapezoid": _trapezoids(),
    "cumulative_trapezoid": _trapezoids(running=True),
    "cov": _covariance,
    "corrcoef": _correlation,
    "meshgrid.variadic_tensors": _grid,
    "meshgrid.list_of_tensors": _grid,
}
"""By the name of the OpInfo, with its variant after a dot."""
