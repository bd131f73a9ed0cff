"""Normalisation. As PyTorch's samples use it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, refuse_if


def _flat(shape: Sequence[int], count: int) -> tuple[int, ...]:
    """The shape with its last `count` axes as one."""
    return (*shape[: len(shape) - count], math.prod(shape[len(shape) - count :]))


def _scale_and_shift(size: int, weight: Any, bias: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.ones(size) if weight is None else weight, torch.zeros(size) if bias is None else bias


def _layer_norm(statistics: bool = False) -> Adapter:
    """With mean and 1 / deviation where they are results too."""

    def adapter(x: torch.Tensor, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Use:
        flat = _flat(x.shape, len(shape))
        refuse_if(statistics and flat[-1] == 1, "one element, whose gradient is 0: PyTorch's is a rounding error")
        ones = (*x.shape[: x.dim() - len(shape)], *(1,) * len(shape))

        def build(b: Builder, x: Value, weight: Value, bias: Value) -> list[Value]:
            scale, shift = (b.reshape(v, shape=flat[-1:]) for v in (weight, bias))
            y, mean, factor = b.layer_normalize(b.reshape(x, shape=flat), scale, shift, eps=eps)
            others = [b.reshape(v, shape=ones) for v in (mean, factor)] if statistics else []
            return [b.reshape(y, shape=x.type.shape), *others]

        return Use((x, *_scale_and_shift(flat[-1], weight, bias)), build)

    return adapter


def _rms_norm(x: torch.Tensor, shape: Sequence[int], weight: Any = None, eps: Any = None) -> Use:
    used = torch.finfo(x.dtype).eps if eps is None else eps
    flat = _flat(x.shape, len(shape))

    def build(b: Builder, x: Value, weight: Value) -> Value:
        y = b.rms_norm(b.reshape(x, shape=flat), b.reshape(weight, shape=flat[-1:]), eps=used)
        return b.reshape(y, shape=x.type.shape)

    return Use((x, torch.ones(flat[-1]) if weight is None else weight), build)


def _group_norm(x: torch.Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Use:
    tensors = (x, *_scale_and_shift(x.shape[1], weight, bias))
    return Use(tensors, lambda b, x, w, s: b.group_norm(x, w, s, groups=groups, eps=eps))


def _native_group_norm(x: torch.Tensor, weight: Any, bias: Any, n: int, c: int, size: int, groups: int,
                       eps: float) -> Use:  # fmt: skip
    def build(b: Builder, x: Value, weight: Value, bias: Value) -> list[Value]:
        y = b.group_norm(x, weight, bias, groups=groups, eps=eps)
        mean, factor = _statistics(b, b.reshape(x, shape=(n, groups, c // groups * size)), (2,), eps)
        return [y, mean, factor]

    return Use((x, *_scale_and_shift(c, weight, bias)), build)


def _statistics(b: Builder, x: Value, axes: Sequence[int], eps: float) -> tuple[Value, Value]:
    """Mean, and 1 / √(variance + eps)."""
    centred = b.sub(x, b.mean(x, axis=axes, keepdims=True))
    return b.mean(x, axis=axes), b.reciprocal(b.sqrt(b.add(b.mean(b.mul(centred, centred), axis=axes), eps)))


def _instance_norm(x: torch.Tensor, running_mean: Any = None, running_var: Any = None, weight: Any = None,
                   bias: Any = None, use_input_stats: bool = True, momentum: float = 0.1,
                   eps: float = 1e-5) -> Use:  # fmt: skip
    refuse_if(not use_input_stats, "running statistics")
    tensors = (x, *_scale_and_shift(x.shape[1], weight, bias))
    return Use(tensors, lambda b, x, w, s: b.instance_norm(x, w, s, eps=eps))


def _batch_norm(x: torch.Tensor, mean: Any, var: Any, weight: Any = None, bias: Any = None, training: bool = False,
                momentum: float = 0.1, eps: float = 1e-5) -> Use:  # fmt: skip
    use = _native_batch_norm(x, weight, bias, mean, var, training, momentum, eps)
    return Use(use.tensors, lambda b, *values: _first(use.build(b, *values)))


def _first(results: Value | Sequence[Value]) -> Value:
    return results if isinstance(results, Value) else results[0]


def _native_batch_norm(x: torch.Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float,
                       eps: float) -> Use:  # fmt: skip
    """With mean and 1 / deviation, of no elements unless they are those of the batch."""
    refuse_if(x.dim() < 2, "no channels")
    axes = [axis for axis in range(x.dim()) if axis != 1]
    used = _scale_and_shift(x.shape[1], weight, bias)
    if not training:
        return Use((x, *used, mean, var, torch.zeros(0)), lambda b, x, w, s, m, v, none: [
            b.batch_normalize(x, w, s, m, v, eps=eps), none, none])  # fmt: skip

    def build(b: Builder, x: Value, scale: Value, shift: Value) -> list[Value]:
        mean, factor = _statistics(b, x, axes, eps)
        variance = b.sub(b.reciprocal(b.mul(factor, factor)), eps)
        return [b.batch_normalize(x, scale, shift, mean, variance, eps=eps), mean, factor]

    return Use((x, *used), build)


def _legitimate(x: torch.Tensor, weight: Any, bias: Any, *rest: Any) -> Use:
    """Running statistics may be left out."""
    statistics = rest[:2] if len(rest) > 3 else (None, None)
    return _native_batch_norm(x, weight, bias, *statistics, *rest[-3:])


def _with_update(x: torch.Tensor, weight: Any, bias: Any, mean: Any, var: Any, momentum: float, eps: float) -> Use:
    return _native_batch_norm(x, weight, bias, mean, var, True, momentum, eps)


def _local_response_norm(x: torch.Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Use:
    """Of an even window the odd channel lies before in PyTorch, after in ONNX: there the channels are turned round."""

    def build(b: Builder, x: Value) -> Value:
        def turned(x: Value) -> Value:
            return b.slice(x, starts=[x.type.shape[1] - 1], stops=[-1], axes=[1], steps=[-1]) if size % 2 == 0 else x

        return turned(b.local_response_norm(turned(x), size=size, alpha=alpha, beta=beta, k=float(k)))

    return Use((x,), build)


COUNTERPARTS: dict[str, Adapter] = {
    "nn.functional.layer_norm": _layer_norm(),
    "native_layer_norm": _layer_norm(statistics=True),
    "nn.functional.rms_norm": _rms_norm,
    "nn.functional.group_norm": _group_norm,
    "native_group_norm": _native_group_norm,
    "nn.functional.instance_norm": _instance_norm,
    "nn.functional.batch_norm": _batch_norm,
    "native_batch_norm": _native_batch_norm,
    "_native_batch_norm_legit": _legitimate,
    "_batch_norm_with_update": _with_update,
    "nn.functional.local_response_norm": _local_response_norm,
}
"""By the name of the OpInfo, with its variant after a dot."""
