"""How the operators that PyTorch's own samples exercise are spelled with ours.

`COUNTERPARTS` maps the name of an OpInfo of `torch.testing` to a function that turns one of its samples into a `Use`.
Our operators take axes, sizes and windows as attributes, so most of what is here is the translation of arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value


class NotExpressible(Exception):
    """A sample that uses what our operator does not have; the message says what."""


@dataclass(frozen=True)
class Use:
    """The tensors of a sample, and what to build of them."""

    tensors: tuple[torch.Tensor, ...]
    build: Callable[..., Value | Sequence[Value]]


Adapter = Callable[..., Use]


def _no(condition: Any, why: str) -> None:
    if condition:
        raise NotExpressible(why)


# --- Elementwise ---------------------------------------------------------------------------------------------------


def _unary(name: str, **attrs: Any) -> Adapter:
    def adapter(x: torch.Tensor, **kwargs: Any) -> Use:
        _no(set(kwargs) - {"inplace"}, "options")
        return Use((x,), lambda b, x: getattr(b, name)(x, **attrs))

    return adapter


def _with(name: str, **renamed: str) -> Adapter:
    """One tensor, and numbers that are attributes: `_with("elu", alpha="alpha")`."""

    def adapter(x: torch.Tensor, *args: Any, **kwargs: Any) -> Use:
        given = dict(zip(renamed, args, strict=False)) | {k: v for k, v in kwargs.items() if k != "inplace"}
        _no(set(given) - set(renamed), f"options {sorted(set(given) - set(renamed))}")
        attrs = {renamed[key]: value for key, value in given.items()}
        return Use((x,), lambda b, x: getattr(b, name)(x, **attrs))

    return adapter


def _binary(name: str, *, swapped: bool = False, scaled: bool = False) -> Adapter:
    """Two tensors, or a tensor and a number."""

    def adapter(x: torch.Tensor, y: Any, *, alpha: float = 1, **kwargs: Any) -> Use:
        _no(set(kwargs) - {"rounding_mode"} or kwargs.get("rounding_mode"), "a rounding mode")
        _no(alpha != 1 and not scaled, "alpha")
        tensors = (x, y) if isinstance(y, torch.Tensor) else (x,)
        _no(len({t.dtype for t in tensors}) > 1, "operands of two dtypes")
        _no(isinstance(y, complex), "complex numbers")

        def build(b: Builder, x: Value, y: Any = y) -> Value:
            y = b.mul(y, alpha) if alpha != 1 and isinstance(y, Value) else alpha * y if alpha != 1 else y
            return getattr(b, name)(*((y, x) if swapped else (x, y)))

        return Use(tensors, build)

    return adapter


def _composed(build: Callable[..., Value]) -> Adapter:
    """Several operators of one tensor: `_composed(lambda b, x: b.log(b.add(x, 1.0)))`."""
    return lambda x: Use((x,), build)


def _clamp(x: torch.Tensor, low: Any = None, high: Any = None, *, min: Any = None, max: Any = None) -> Use:
    low, high = min if low is None else low, max if high is None else high
    bounds = [bound for bound in (low, high) if bound is not None]
    if not any(isinstance(bound, torch.Tensor) for bound in bounds):
        return Use((x,), lambda b, x: b.clip(x, low=low, high=high))
    _no(not all(isinstance(bound, torch.Tensor) and bound.dtype == x.dtype for bound in bounds), "bounds of two kinds")
    if len(bounds) == 2:
        return Use((x, low, high), lambda b, x, low, high: b.clamp(x, low, high))
    name = "maximum" if low is not None else "minimum"
    return Use((x, *bounds), lambda b, x, bound: getattr(b, name)(x, bound))


def _where(x: torch.Tensor, condition: torch.Tensor, y: torch.Tensor) -> Use:
    _no(x.dtype != y.dtype, "operands of two dtypes")
    return Use((condition, x, y), lambda b, c, x, y: b.select(c, x, y))


def _masked_fill(x: torch.Tensor, mask: torch.Tensor, value: Any) -> Use:
    _no(isinstance(value, torch.Tensor) and value.dtype != x.dtype, "operands of two dtypes")
    tensors = (x, mask, value) if isinstance(value, torch.Tensor) else (x, mask)
    return Use(tensors, lambda b, x, mask, value=value: b.select(mask, value, x))


def _reverse_pow(x: torch.Tensor, base: Any) -> Use:
    _no(bool((torch.as_tensor(base) <= 0).any()), "a base below 0, where the exponent's gradient is 0 here, NaN there")
    return _binary("pow", swapped=True)(x, base)


def _lerp(x: torch.Tensor, end: torch.Tensor, weight: Any) -> Use:
    tensors = (x, end, weight) if isinstance(weight, torch.Tensor) else (x, end)
    return Use(tensors, lambda b, x, end, weight=weight: b.add(x, b.mul(b.sub(end, x), weight)))


def _addc(name: str) -> Adapter:
    def adapter(x: torch.Tensor, first: torch.Tensor, second: torch.Tensor, *, value: float = 1) -> Use:
        return Use((x, first, second), lambda b, x, u, v: b.add(x, b.mul(getattr(b, name)(u, v), float(value))))

    return adapter


def _prelu(x: torch.Tensor, weight: torch.Tensor) -> Use:
    shape = (1, -1) if x.dim() > 1 and weight.numel() > 1 else None
    sizes = (weight.numel(), *(1,) * max(0, x.dim() - 2)) if shape else (1,) * min(1, x.dim())
    return Use((x, weight), lambda b, x, w: b.prelu(x, b.reshape(w, shape=sizes)))


def _threshold(x: torch.Tensor, threshold: float, value: float, inplace: bool = False) -> Use:
    if value == 0:
        return Use((x,), lambda b, x: b.thresholded_relu(x, alpha=float(threshold)))
    return Use((x,), lambda b, x: b.select(b.greater(x, float(threshold)), x, float(value)))


def _softplus(x: torch.Tensor, beta: float = 1, threshold: float = 20) -> Use:
    def build(b: Builder, x: Value) -> Value:
        scaled = b.mul(x, float(beta))
        return b.select(b.greater(scaled, float(threshold)), x, b.div(b.softplus(scaled), float(beta)))

    return Use((x,), build)


def _gelu(x: torch.Tensor, *, approximate: str = "none") -> Use:
    return Use((x,), lambda b, x: b.gelu_tanh(x) if approximate == "tanh" else b.gelu(x))


def _glu(x: torch.Tensor, dim: int = -1) -> Use:
    def build(b: Builder, x: Value) -> Value:
        first, second = b.split(x, parts=2, axis=dim)
        return b.mul(first, b.sigmoid(second))

    return Use((x,), build)


# --- Reductions ----------------------------------------------------------------------------------------------------


def _axes(x: torch.Tensor, dim: Any) -> tuple[int, ...] | None:
    """PyTorch's `dim`: none or empty means all of them."""
    if dim is None or dim == () or dim == []:
        return None if x.dim() else ()
    return tuple(d for d in ((dim,) if isinstance(dim, int) else dim)) if x.dim() else ()


def _reduction(name: str, **extra: Any) -> Adapter:
    def adapter(x: torch.Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Use:
        _no(dtype not in (None, x.dtype), "a dtype")
        axes = _axes(x, dim)
        return Use((x,), lambda b, x: getattr(b, name)(x, axis=axes, keepdims=keepdim, **extra))

    return adapter


def _extreme(name: str, position: str) -> Adapter:
    def adapter(x: torch.Tensor, dim: Any = None, keepdim: bool = False) -> Use:
        _no(isinstance(dim, torch.Tensor), "two operands")
        if dim is None:
            return Use((x,), lambda b, x: getattr(b, name)(x))
        raise NotExpressible("values and positions: PyTorch gives ties to one element, ours share")

    return adapter


def _variance(root: bool = False) -> Adapter:
    def adapter(
        x: torch.Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
    ) -> Use:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        less = correction if correction is not None else 1 if unbiased in (None, True) else 0
        axes = _axes(x, dim)
        count = torch.Size(x.shape[a] for a in (range(x.dim()) if axes is None else axes)).numel()
        _no(count <= less, "no degrees of freedom")

        def build(b: Builder, x: Value) -> Value:
            centred = b.sub(x, b.mean(x, axis=axes, keepdims=True))
            total = b.sum(b.mul(centred, centred), axis=axes, keepdims=keepdim)
            variance = b.div(total, float(count - less))
            return b.sqrt(variance) if root else variance

        return Use((x,), build)

    return adapter


def _norm(x: torch.Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Use:
    _no(dtype not in (None, x.dtype), "a dtype")
    _no(ord not in (1, 2), "a norm of another order")
    axes = _axes(x, dim)
    name = "reduce_l1" if ord == 1 else "reduce_l2"
    return Use((x,), lambda b, x: getattr(b, name)(x, axis=axes, keepdims=keepdim))


def _along(name: str, **extra: Any) -> Adapter:
    def adapter(x: torch.Tensor, dim: int, *, dtype: Any = None, _stacklevel: int = 0, **kwargs: Any) -> Use:
        _no(dtype not in (None, x.dtype), "a dtype")
        _no(kwargs, "options")
        _no(not x.dim(), "a scalar has no axis")
        return Use((x,), lambda b, x: getattr(b, name)(x, axis=dim, **extra))

    return adapter


def _softmin(x: torch.Tensor, dim: int, *, dtype: Any = None) -> Use:
    _no(dtype not in (None, x.dtype), "a dtype")
    _no(not x.dim(), "a scalar has no axis")
    return Use((x,), lambda b, x: b.softmax(b.neg(x), axis=dim))


# --- Shapes --------------------------------------------------------------------------------------------------------


def _to_shape(x: torch.Tensor, *shape: Any) -> Use:
    sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    sizes = sizes.shape if isinstance(sizes, torch.Tensor) else sizes
    final = tuple(x.reshape(*sizes).shape if sizes else x.reshape(()).shape)
    return Use((x,), lambda b, x: b.reshape(x, shape=final))


def _reshaped(function: Callable[..., torch.Tensor]) -> Adapter:
    """What only changes the shape."""

    def adapter(x: torch.Tensor, *args: Any, **kwargs: Any) -> Use:
        _no(isinstance(x, list | tuple), "a list of tensors")
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
    _no(len({t.dim() for t in tensors}) > 1, "tensors of several ranks")
    _no(len({t.dtype for t in tensors}) > 1, "tensors of several dtypes")
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
        _no(min((*before, *after), default=0) < 0, "padding below 0 is a slice")
        if mode == "constant":
            return Use((x,), lambda b, x: b.pad(x, before=before, after=after, value=float(value)))
        return Use((x,), lambda b, x: b.pad_mode(x, before=before, after=after, mode=mode))

    return adapter


def _triangle(name: str) -> Adapter:
    return lambda x, diagonal=0: Use((x,), lambda b, x: getattr(b, name)(x, diagonal=diagonal))


# --- Positions -----------------------------------------------------------------------------------------------------


def _gathered(x: torch.Tensor, dim: int, index: torch.Tensor, **_: Any) -> Use:
    _no(not x.dim() or index.dim() != x.dim(), "a scalar has no axis")
    return Use((x, index), lambda b, x, index: b.gather_elements(x, index, axis=dim))


def _take_along(x: torch.Tensor, index: torch.Tensor, dim: Any = None) -> Use:
    _no(dim is None, "positions in the flattened tensor")
    shapes = [list(x.shape), list(index.shape)]
    _no(any(a != b for i, (a, b) in enumerate(zip(*shapes, strict=True)) if i != dim % x.dim()), "broadcast positions")
    return _gathered(x, dim, index)


def _index_select(x: torch.Tensor, dim: int, index: torch.Tensor) -> Use:
    _no(not x.dim() or not index.dim(), "a scalar has no axis")
    return Use((x, index), lambda b, x, index: b.gather(x, index, axis=dim))


def _scattered(reduction: str = "none") -> Adapter:
    def adapter(x: torch.Tensor, dim: int, index: torch.Tensor, values: Any, *args: Any, **kwargs: Any) -> Use:
        _no(not isinstance(values, torch.Tensor), "a number is written")
        _no(kwargs.get("reduce") is not None and reduction == "none", "a reduction")
        _no(kwargs.get("include_self") is False, "the old values are left out")
        _no(not x.dim() or not index.dim() or not values.dim(), "a scalar has no axis")
        shape = index.shape
        sizes = [[0] * len(shape), list(shape), list(range(len(shape))), [1] * len(shape)]

        def build(b: Builder, x: Value, index: Value, values: Value) -> Value:
            starts, stops, axes, steps = sizes
            used = b.slice(values, starts=starts, stops=stops, axes=axes, steps=steps)
            return b.scatter_elements(x, index, used, axis=dim, reduction=reduction)

        return Use((x, index, values), build)

    return adapter


def _topk(x: torch.Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Use:
    _no(not x.dim(), "a scalar has no axis")
    return Use((x,), lambda b, x: b.topk(x, k=k, axis=dim, largest=largest))


def _sorted(x: torch.Tensor, *args: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Use:
    _no(not x.dim(), "a scalar has no axis")
    axis, down = (args[0] if args else dim), (args[1] if len(args) > 1 else descending)
    return Use((x,), lambda b, x: b.sort(x, axis=axis, descending=down))


def _embedding(weight: torch.Tensor, index: torch.Tensor, padding_idx: Any = None, **kwargs: Any) -> Use:
    options = {k for k, v in kwargs.items() if v not in (None, False) and k != "norm_type"}
    _no(padding_idx is not None or options, "a padding index, a largest norm, or gradients by frequency")
    return Use((weight, index), lambda b, w, i: b.gather(w, i))


# --- Linear algebra ------------------------------------------------------------------------------------------------


def _product(x: torch.Tensor, y: torch.Tensor) -> Use:
    _no(min(x.dim(), y.dim()) < 2, "vectors")
    return Use((x, y), lambda b, x, y: b.matmul(x, y))


def _vectors(x: torch.Tensor, y: torch.Tensor) -> Use:
    equation = {(1, 1): "i,i->", (2, 1): "ij,j->i"}.get((x.dim(), y.dim()))
    _no(equation is None, "other ranks")
    return Use((x, y), lambda b, x, y: b.einsum(x, y, equation=equation))


def _outer(x: torch.Tensor, y: torch.Tensor) -> Use:
    return Use((x, y), lambda b, x, y: b.einsum(x, y, equation="i,j->ij"))


def _einsum(tensors: Sequence[torch.Tensor], equation: str) -> Use:
    return Use(tuple(tensors), lambda b, *values: b.einsum(*values, equation=equation))


def _added_product(equation: str) -> Adapter:
    def adapter(x: torch.Tensor, u: torch.Tensor, v: torch.Tensor, *, alpha: Any = 1, beta: Any = 1) -> Use:
        _no(beta == 0, "x is left out, whatever it holds")

        def build(b: Builder, x: Value, u: Value, v: Value) -> Value:
            product = b.mul(b.einsum(u, v, equation=equation), float(alpha))
            return b.add(b.mul(x, float(beta)), product)

        return Use((x, u, v), build)

    return adapter


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: Any = None) -> Use:
    _no(x.dim() < 2 or weight.dim() < 2, "vectors")

    def build(b: Builder, x: Value, w: Value, bias: Value | None = None) -> Value:
        y = b.matmul(x, b.t(w))
        return y if bias is None else b.add(y, bias)

    return Use((x, weight) if bias is None else (x, weight, bias), build)


# --- Convolution, pooling, normalisation ---------------------------------------------------------------------------


def _each(value: Any, rank: int) -> list[int]:
    return [value] * rank if isinstance(value, int) else list(value) * (rank if len(value) == 1 else 1)


def _conv(x: torch.Tensor, w: torch.Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
          groups: int = 1) -> Use:  # fmt: skip
    rank = w.dim() - 2
    _no(x.dim() != w.dim(), "no batch")
    steps, dilations = _each(stride, rank), _each(dilation, rank)
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilations, w.shape[2:], strict=True)]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
    else:
        pads = _each(padding, rank) * 2

    def build(b: Builder, x: Value, w: Value, bias: Value | None = None) -> Value:
        y = b.conv(x, w, stride=steps, padding=pads, dilation=dilations, groups=groups)
        return y if bias is None else b.add(y, b.reshape(bias, shape=(w.type.shape[0], *(1,) * rank)))

    return Use((x, w) if bias is None else (x, w, bias), build)


def _conv_transpose(x: torch.Tensor, w: torch.Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0,
                    output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Use:  # fmt: skip
    rank = w.dim() - 2
    _no(x.dim() != w.dim(), "no batch")
    steps, pads, dilations = _each(stride, rank), _each(padding, rank), _each(dilation, rank)
    more = _each(output_padding, rank)
    _no(any(m >= s for m, s in zip(more, steps, strict=True)), "output padding of a stride or more")
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + m + 1
        for n, s, p, d, k, m in zip(x.shape[2:], steps, pads, dilations, w.shape[2:], more, strict=True)
    ]

    def build(b: Builder, x: Value, w: Value, bias: Value | None = None) -> Value:
        y = b.conv_transpose(x, w, size=size, stride=steps, padding=pads * 2, dilation=dilations, groups=groups)
        return y if bias is None else b.add(y, b.reshape(bias, shape=(y.type.shape[1], *(1,) * rank)))

    return Use((x, w) if bias is None else (x, w, bias), build)


def _max_pool(rank: int) -> Adapter:
    def adapter(x: torch.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                ceil_mode: bool = False, return_indices: bool = False) -> Use:  # fmt: skip
        _no(ceil_mode or return_indices, "sizes rounded up, or positions")
        _no(x.dim() != rank + 2, "no batch")
        kernel = _each(kernel_size, rank)
        steps = kernel if stride in (None, (), []) else _each(stride, rank)
        pads, dilations = _each(padding, rank) * 2, _each(dilation, rank)
        return Use((x,), lambda b, x: b.max_pool(x, kernel=kernel, stride=steps, padding=pads, dilation=dilations))

    return adapter


def _avg_pool(rank: int) -> Adapter:
    def adapter(x: torch.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                count_include_pad: bool = True, divisor_override: Any = None) -> Use:  # fmt: skip
        _no(ceil_mode or divisor_override, "sizes rounded up, or another divisor")
        _no(x.dim() != rank + 2, "no batch")
        kernel = _each(kernel_size, rank)
        steps = kernel if stride in (None, (), []) else _each(stride, rank)
        pads = _each(padding, rank) * 2
        return Use((x,), lambda b, x: b.avg_pool(
            x, kernel=kernel, stride=steps, padding=pads, include_padding=count_include_pad))  # fmt: skip

    return adapter


def _layer_norm(x: torch.Tensor, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Use:
    _no(len(shape) != 1 or weight is None or bias is None, "several axes, or no scale and shift")
    return Use((x, weight, bias), lambda b, x, w, s: b.layer_normalize(x, w, s, eps=eps)[0])


def _rms_norm(x: torch.Tensor, shape: Sequence[int], weight: Any = None, eps: Any = None) -> Use:
    _no(len(shape) != 1 or weight is None, "several axes, or no scale")
    used = torch.finfo(x.dtype).eps if eps is None else eps
    return Use((x, weight), lambda b, x, w: b.rms_norm(x, w, eps=used))


def _group_norm(x: torch.Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Use:
    _no(weight is None or bias is None, "no scale and shift")
    return Use((x, weight, bias), lambda b, x, w, s: b.group_norm(x, w, s, groups=groups, eps=eps))


def _instance_norm(x: torch.Tensor, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
                   use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> Use:  # fmt: skip
    _no(not use_input_stats, "running statistics")
    scale = torch.ones(x.shape[1]) if weight is None else weight
    shift = torch.zeros(x.shape[1]) if bias is None else bias
    return Use((x, scale, shift), lambda b, x, w, s: b.instance_norm(x, w, s, eps=eps))


def _batch_norm(x: torch.Tensor, mean: Any, var: Any, weight: Any = None, bias: Any = None, training: bool = False,
                momentum: float = 0.1, eps: float = 1e-5) -> Use:  # fmt: skip
    _no(training or weight is None or bias is None or mean is None, "batch statistics, or no scale and shift")
    return Use((x, weight, bias, mean, var), lambda b, x, w, s, m, v: b.batch_normalize(x, w, s, m, v, eps=eps))


def _local_response_norm(x: torch.Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Use:
    _no(size % 2 == 0, "an even window, which ONNX places one further")
    return Use((x,), lambda b, x: b.local_response_norm(x, size=size, alpha=alpha, beta=beta, k=float(k)))


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, attn_mask: Any = None, dropout_p: float = 0.0,
               is_causal: bool = False, scale: Any = None, enable_gqa: bool = False) -> Use:  # fmt: skip
    _no(q.dim() != 4 or dropout_p, "no heads, or dropout")
    if attn_mask is None:
        return Use((q, k, v), lambda b, q, k, v: b.scaled_dot_product_attention(q, k, v, causal=is_causal, scale=scale))
    mask = attn_mask.detach()
    return Use((q, k, v, mask), lambda b, q, k, v, m: b.masked_attention(q, k, v, m, scale=scale))


# --- Losses and images ---------------------------------------------------------------------------------------------


def _loss(name: str) -> Adapter:
    def adapter(x: torch.Tensor, target: torch.Tensor, weight: Any = None, **kwargs: Any) -> Use:
        kwargs = {"reduction": "mean", "ignore_index": -100} | kwargs
        _no(kwargs.pop("label_smoothing", 0.0), "label smoothing")
        _no(target.is_floating_point() or x.dim() < 2, "probabilities as targets, or no batch")
        if weight is None:
            return Use((x, target), lambda b, x, t: getattr(b, name)(x, t, **kwargs))
        return Use((x, target, weight), lambda b, x, t, w: getattr(b, f"weighted_{name}")(x, t, w, **kwargs))

    return adapter


def _mse(x: torch.Tensor, y: torch.Tensor, *, reduction: str = "mean") -> Use:
    def build(b: Builder, x: Value, y: Value) -> Value:
        error = b.sub(x, y)
        squares = b.mul(error, error)
        return squares if reduction == "none" else getattr(b, reduction)(squares)

    return Use((x, y), build)


def _grid_sample(x: torch.Tensor, grid: torch.Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                 align_corners: bool = False) -> Use:  # fmt: skip
    ours = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    return Use((x, grid), lambda b, x, grid: b.grid_sample(
        x, grid, mode=ours, padding=padding_mode, align_corners=bool(align_corners)))  # fmt: skip


def _interpolate(mode: str) -> Adapter:
    def adapter(x: torch.Tensor, size: Any = None, scale_factor: Any = None, mode_: Any = None, align_corners: Any = None,
                recompute_scale_factor: Any = None, **kwargs: Any) -> Use:  # fmt: skip
        _no(scale_factor is not None and not recompute_scale_factor, "sizes by scale: the reader has them")
        rank = x.dim() - 2
        corners = "align_corners" if align_corners else "pytorch_half_pixel"
        coordinates = {"nearest": "asymmetric", "nearest-exact": "half_pixel"}.get(mode, corners)
        rounding = "floor" if mode == "nearest" else "round_prefer_ceil"
        kind = {"bicubic": "cubic", "nearest-exact": "nearest", "nearest": "nearest"}.get(mode, "linear")
        sizes = _each(size, rank) if size is not None else [int(n * s) for n, s in zip(
            x.shape[2:], [scale_factor] * rank if isinstance(scale_factor, float | int) else scale_factor, strict=True)]  # fmt: skip
        return Use((x,), lambda b, x: b.resize(
            x, size=sizes, axes=list(range(2, rank + 2)), mode=kind, coordinates=coordinates, rounding=rounding))  # fmt: skip

    return adapter


COUNTERPARTS: dict[str, Adapter] = {
    **{name: _unary(name) for name in (
        "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "floor", "log",
        "neg", "reciprocal", "sigmoid", "sign", "sin", "sinh", "sqrt", "tan", "tanh")},
    **{f"nn.functional.{name}": _unary(name) for name in ("relu", "selu", "mish", "softsign", "hardsigmoid",
                                                         "hardswish", "silu")},
    "square": _composed(lambda b, x: b.mul(x, x)),
    "rsqrt": _composed(lambda b, x: b.reciprocal(b.sqrt(x))),
    "log1p": _composed(lambda b, x: b.log(b.add(x, 1.0))),
    "expm1": _composed(lambda b, x: b.sub(b.exp(x), 1.0)),
    "exp2": _composed(lambda b, x: b.pow(2.0, x)),
    "erfc": _composed(lambda b, x: b.sub(1.0, b.erf(x))),
    "nn.functional.logsigmoid": _composed(lambda b, x: b.neg(b.softplus(b.neg(x)))),
    "nn.functional.tanhshrink": _composed(lambda b, x: b.sub(x, b.tanh(x))),
    "nn.functional.relu6": lambda x, inplace=False: Use((x,), lambda b, x: b.clip(x, low=0.0, high=6.0)),
    "nn.functional.leaky_relu": _with("leaky_relu", negative_slope="slope"),
    "nn.functional.elu": _with("elu", alpha="alpha"),
    "nn.functional.celu": _with("celu", alpha="alpha"),
    "nn.functional.hardtanh": lambda x, min_val=-1.0, max_val=1.0: _clamp(x, min_val, max_val),
    "nn.functional.hardshrink": _with("shrink", lambd="threshold"),
    "nn.functional.softshrink": lambda x, lambd=0.5: Use((x,), lambda b, x: b.shrink(x, threshold=lambd, bias=lambd)),
    "nn.functional.threshold": _threshold,
    "nn.functional.softplus": _softplus,
    "nn.functional.gelu": _gelu,
    "nn.functional.glu": _glu,
    "nn.functional.prelu": _prelu,
    "add": _binary("add", scaled=True), "sub": _binary("sub", scaled=True), "mul": _binary("mul"),
    "div.no_rounding_mode": _binary("div"), "true_divide": _binary("div"), "pow": _binary("pow"),
    "__radd__": _binary("add"), "__rmul__": _binary("mul"), "__rsub__": _binary("sub", swapped=True),
    "__rdiv__": _binary("div", swapped=True), "__rpow__": _reverse_pow,
    "rsub": _binary("sub", swapped=True),
    "maximum": _binary("maximum"), "minimum": _binary("minimum"), "max.binary": _binary("maximum"),
    "min.binary": _binary("minimum"), "fmod": _binary("fmod"), "remainder": _binary("mod"),
    "clamp": _clamp, "where": _where, "masked_fill": _masked_fill, "lerp": _lerp,
    "addcmul": _addc("mul"), "addcdiv": _addc("div"),
    **{name: _reduction(name) for name in ("sum", "mean", "prod", "logsumexp")},
    "amax": _reduction("max"), "amin": _reduction("min"),
    "max.reduction_no_dim": _extreme("max", "argmax"), "min.reduction_no_dim": _extreme("min", "argmin"),
    "var": _variance(), "var.unbiased": _variance(), "std": _variance(root=True), "std.unbiased": _variance(root=True),
    "linalg.vector_norm": _norm,
    "cumsum": _along("cumsum"), "cumprod": _along("cumprod"),
    "softmax": _along("softmax"), "log_softmax": _along("log_softmax"), "nn.functional.softmin": _softmin,
    "reshape": _to_shape, "view": _to_shape, "reshape_as": _to_shape, "view_as": _to_shape, "view_copy": _to_shape,
    **{name: _reshaped(getattr(torch, name)) for name in ("flatten", "unflatten", "ravel", "squeeze", "unsqueeze",
                                                         "atleast_1d", "atleast_2d", "atleast_3d")},
    "squeeze.multiple": _reshaped(torch.squeeze),
    "expand": _expanded, "expand_as": _expanded, "broadcast_to": _expanded,
    **{name: _permuted(getattr(torch, name)) for name in ("permute", "transpose", "movedim", "t")},
    "flip": _flip, "fliplr": lambda x: _flip(x, 1), "flipud": lambda x: _flip(x, 0),
    "narrow": _narrow, "split": _split, "split.list_args": _split, "split_with_sizes": _split, "chunk": _chunk,
    "cat": _concat, "stack": _stack, "repeat": _tiled, "tile": _tiled,
    "tril": _triangle("tril"), "triu": _triangle("triu"),
    "constant_pad_nd": _padded("constant"), "nn.functional.pad.constant": _padded("constant"),
    "nn.functional.pad.reflect": _padded("reflect"), "nn.functional.pad.replicate": _padded("edge"),
    "nn.functional.pad.circular": _padded("wrap"),
    "gather": _gathered, "take_along_dim": _take_along, "index_select": _index_select,
    "scatter": _scattered(), "scatter_add": _scattered("add"), "scatter_reduce.sum": _scattered("add"),
    "scatter_reduce.prod": _scattered("mul"), "scatter_reduce.amax": _scattered("max"),
    "scatter_reduce.amin": _scattered("min"),
    "topk": _topk, "sort": _sorted, "msort": lambda x: Use((x,), lambda b, x: b.sort(x, axis=0)[0]),
    "nn.functional.embedding": _embedding,
    "matmul": _product, "mm": _product, "bmm": _product, "__rmatmul__": lambda x, y: _product(y, x),
    "dot": _vectors, "inner": _vectors, "mv": _vectors, "outer": _outer, "einsum": _einsum,
    "addmm": _added_product("ij,jk->ik"), "baddbmm": _added_product("bij,bjk->bik"),
    "addbmm": _added_product("bij,bjk->ik"), "addmv": _added_product("ij,j->i"), "addr": _added_product("i,j->ij"),
    "linalg.det": _unary("det"), "nn.functional.linear": _linear,
    **{f"nn.functional.conv{n}d": _conv for n in (1, 2, 3)},
    **{f"nn.functional.conv_transpose{n}d": _conv_transpose for n in (1, 2, 3)},
    **{f"nn.functional.max_pool{n}d": _max_pool(n) for n in (1, 2, 3)},
    **{f"nn.functional.avg_pool{n}d": _avg_pool(n) for n in (1, 2, 3)},
    "nn.functional.layer_norm": _layer_norm, "nn.functional.rms_norm": _rms_norm,
    "nn.functional.group_norm": _group_norm, "nn.functional.instance_norm": _instance_norm,
    "nn.functional.batch_norm": _batch_norm, "nn.functional.local_response_norm": _local_response_norm,
    "nn.functional.scaled_dot_product_attention": _attention,
    "nn.functional.cross_entropy": _loss("cross_entropy"), "nn.functional.nll_loss": _loss("nll_loss"),
    "nn.functional.mse_loss": _mse,
    "nn.functional.grid_sample": _grid_sample,
    **{f"nn.functional.interpolate.{mode}": _interpolate(mode) for mode in (
        "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear")},
}  # fmt: skip
"""By the name of the OpInfo, with its variant after a dot."""
