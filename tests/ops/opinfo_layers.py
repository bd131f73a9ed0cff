"""Convolution, pooling, normalisation, attention, losses and images. As PyTorch's samples use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, refuse_if


def _each(value: Any, rank: int) -> list[int]:
    return [value] * rank if isinstance(value, int) else list(value) * (rank if len(value) == 1 else 1)


def _conv(x: torch.Tensor, w: torch.Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
          groups: int = 1) -> Use:  # fmt: skip
    rank = w.dim() - 2
    refuse_if(x.dim() != w.dim(), "no batch")
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
    refuse_if(x.dim() != w.dim(), "no batch")
    steps, pads, dilations = _each(stride, rank), _each(padding, rank), _each(dilation, rank)
    more = _each(output_padding, rank)
    refuse_if(any(m >= s for m, s in zip(more, steps, strict=True)), "output padding of a stride or more")
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
        refuse_if(ceil_mode or return_indices, "sizes rounded up, or positions")
        refuse_if(x.dim() != rank + 2, "no batch")
        kernel = _each(kernel_size, rank)
        steps = kernel if stride in (None, (), []) else _each(stride, rank)
        pads, dilations = _each(padding, rank) * 2, _each(dilation, rank)
        return Use((x,), lambda b, x: b.max_pool(x, kernel=kernel, stride=steps, padding=pads, dilation=dilations))

    return adapter


def _avg_pool(rank: int) -> Adapter:
    def adapter(x: torch.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                count_include_pad: bool = True, divisor_override: Any = None) -> Use:  # fmt: skip
        refuse_if(ceil_mode or divisor_override, "sizes rounded up, or another divisor")
        refuse_if(x.dim() != rank + 2, "no batch")
        kernel = _each(kernel_size, rank)
        steps = kernel if stride in (None, (), []) else _each(stride, rank)
        pads = _each(padding, rank) * 2
        return Use((x,), lambda b, x: b.avg_pool(
            x, kernel=kernel, stride=steps, padding=pads, include_padding=count_include_pad))  # fmt: skip

    return adapter


def _layer_norm(x: torch.Tensor, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Use:
    refuse_if(len(shape) != 1 or weight is None or bias is None, "several axes, or no scale and shift")
    return Use((x, weight, bias), lambda b, x, w, s: b.layer_normalize(x, w, s, eps=eps)[0])


def _rms_norm(x: torch.Tensor, shape: Sequence[int], weight: Any = None, eps: Any = None) -> Use:
    refuse_if(len(shape) != 1 or weight is None, "several axes, or no scale")
    used = torch.finfo(x.dtype).eps if eps is None else eps
    return Use((x, weight), lambda b, x, w: b.rms_norm(x, w, eps=used))


def _group_norm(x: torch.Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Use:
    refuse_if(weight is None or bias is None, "no scale and shift")
    return Use((x, weight, bias), lambda b, x, w, s: b.group_norm(x, w, s, groups=groups, eps=eps))


def _instance_norm(x: torch.Tensor, running_mean: Any = None, running_var: Any = None, weight: Any = None,
                   bias: Any = None, use_input_stats: bool = True, momentum: float = 0.1,
                   eps: float = 1e-5) -> Use:  # fmt: skip
    refuse_if(not use_input_stats, "running statistics")
    scale = torch.ones(x.shape[1]) if weight is None else weight
    shift = torch.zeros(x.shape[1]) if bias is None else bias
    return Use((x, scale, shift), lambda b, x, w, s: b.instance_norm(x, w, s, eps=eps))


def _batch_norm(x: torch.Tensor, mean: Any, var: Any, weight: Any = None, bias: Any = None, training: bool = False,
                momentum: float = 0.1, eps: float = 1e-5) -> Use:  # fmt: skip
    refuse_if(training or weight is None or bias is None or mean is None, "batch statistics, or no scale and shift")
    return Use((x, weight, bias, mean, var), lambda b, x, w, s, m, v: b.batch_normalize(x, w, s, m, v, eps=eps))


def _local_response_norm(x: torch.Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Use:
    refuse_if(size % 2 == 0, "an even window, which ONNX places one further")
    return Use((x,), lambda b, x: b.local_response_norm(x, size=size, alpha=alpha, beta=beta, k=float(k)))


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, attn_mask: Any = None, dropout_p: float = 0.0,
               is_causal: bool = False, scale: Any = None, enable_gqa: bool = False) -> Use:  # fmt: skip
    refuse_if(q.dim() != 4 or dropout_p, "no heads, or dropout")
    if attn_mask is None:
        return Use((q, k, v), lambda b, q, k, v: b.scaled_dot_product_attention(q, k, v, causal=is_causal, scale=scale))
    mask = attn_mask.detach()
    return Use((q, k, v, mask), lambda b, q, k, v, m: b.masked_attention(q, k, v, m, scale=scale))


def _loss(name: str) -> Adapter:
    def adapter(x: torch.Tensor, target: torch.Tensor, weight: Any = None, **kwargs: Any) -> Use:
        kwargs = {"reduction": "mean", "ignore_index": -100} | kwargs
        refuse_if(kwargs.pop("label_smoothing", 0.0), "label smoothing")
        refuse_if(target.is_floating_point() or x.dim() < 2, "probabilities as targets, or no batch")
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
    def adapter(x: torch.Tensor, size: Any = None, scale_factor: Any = None, *, align_corners: Any = None,
                recompute_scale_factor: Any = None, **_: Any) -> Use:  # fmt: skip
        refuse_if(scale_factor is not None and not recompute_scale_factor, "sizes by scale: the reader has them")
        rank = x.dim() - 2
        corners = "align_corners" if align_corners else "pytorch_half_pixel"
        coordinates = {"nearest": "asymmetric", "nearest-exact": "half_pixel"}.get(mode, corners)
        rounding = "floor" if mode == "nearest" else "round_prefer_ceil"
        kind = {"bicubic": "cubic", "nearest-exact": "nearest", "nearest": "nearest"}.get(mode, "linear")
        scales = [scale_factor] * rank if isinstance(scale_factor, float | int) else scale_factor
        sizes = [int(n * s) for n, s in zip(x.shape[2:], scales, strict=True)] if size is None else _each(size, rank)
        axes = list(range(2, rank + 2))
        return Use((x,), lambda b, x: b.resize(
            x, size=sizes, axes=axes, mode=kind, coordinates=coordinates, rounding=rounding))  # fmt: skip

    return adapter


MODES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear")

COUNTERPARTS: dict[str, Adapter] = {
    **{f"nn.functional.conv{n}d": _conv for n in (1, 2, 3)},
    **{f"nn.functional.conv_transpose{n}d": _conv_transpose for n in (1, 2, 3)},
    **{f"nn.functional.max_pool{n}d": _max_pool(n) for n in (1, 2, 3)},
    **{f"nn.functional.avg_pool{n}d": _avg_pool(n) for n in (1, 2, 3)},
    "nn.functional.layer_norm": _layer_norm,
    "nn.functional.rms_norm": _rms_norm,
    "nn.functional.group_norm": _group_norm,
    "nn.functional.instance_norm": _instance_norm,
    "nn.functional.batch_norm": _batch_norm,
    "nn.functional.local_response_norm": _local_response_norm,
    "nn.functional.scaled_dot_product_attention": _attention,
    "nn.functional.cross_entropy": _loss("cross_entropy"),
    "nn.functional.nll_loss": _loss("nll_loss"),
    "nn.functional.mse_loss": _mse,
    "nn.functional.grid_sample": _grid_sample,
    **{f"nn.functional.interpolate.{mode}": _interpolate(mode) for mode in MODES},
}
"""By the name of the OpInfo, with its variant after a dot."""
