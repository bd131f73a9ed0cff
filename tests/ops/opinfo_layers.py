"""Convolution and attention. As PyTorch's samples use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, refuse_if


def each(value: Any, rank: int) -> list[int]:
    """A number for each axis, where one may stand for all."""
    return [value] * rank if isinstance(value, int) else list(value) * (rank if len(value) == 1 else 1)


def _conv(x: torch.Tensor, w: torch.Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
          groups: int = 1) -> Use:  # fmt: skip
    rank = w.dim() - 2
    refuse_if(x.dim() != w.dim(), "no batch")
    steps, dilations = each(stride, rank), each(dilation, rank)
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilations, w.shape[2:], strict=True)]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
    else:
        pads = each(padding, rank) * 2

    def build(b: Builder, x: Value, w: Value, bias: Value | None = None) -> Value:
        y = b.conv(x, w, stride=steps, padding=pads, dilation=dilations, groups=groups)
        return y if bias is None else b.add(y, b.reshape(bias, shape=(w.type.shape[0], *(1,) * rank)))

    return Use((x, w) if bias is None else (x, w, bias), build)


def _conv_transpose(x: torch.Tensor, w: torch.Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0,
                    output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Use:  # fmt: skip
    rank = w.dim() - 2
    refuse_if(x.dim() != w.dim(), "no batch")
    steps, pads, dilations = each(stride, rank), each(padding, rank), each(dilation, rank)
    more = each(output_padding, rank)
    refuse_if(any(m >= s for m, s in zip(more, steps, strict=True)), "output padding of a stride or more")
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + m + 1
        for n, s, p, d, k, m in zip(x.shape[2:], steps, pads, dilations, w.shape[2:], more, strict=True)
    ]

    def build(b: Builder, x: Value, w: Value, bias: Value | None = None) -> Value:
        y = b.conv_transpose(x, w, size=size, stride=steps, padding=pads * 2, dilation=dilations, groups=groups)
        return y if bias is None else b.add(y, b.reshape(bias, shape=(y.type.shape[1], *(1,) * rank)))

    return Use((x, w) if bias is None else (x, w, bias), build)


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, attn_mask: Any = None, dropout_p: float = 0.0,
               is_causal: bool = False, scale: Any = None, enable_gqa: bool = False) -> Use:  # fmt: skip
    refuse_if(q.dim() != 4 or dropout_p, "no heads, or dropout")
    if attn_mask is None:
        return Use((q, k, v), lambda b, q, k, v: b.scaled_dot_product_attention(q, k, v, causal=is_causal, scale=scale))
    mask = attn_mask.detach()
    return Use((q, k, v, mask), lambda b, q, k, v, m: b.masked_attention(q, k, v, m, scale=scale))


COUNTERPARTS: dict[str, Adapter] = {
    **{f"nn.functional.conv{n}d": _conv for n in (1, 2, 3)},
    **{f"nn.functional.conv_transpose{n}d": _conv_transpose for n in (1, 2, 3)},
    "nn.functional.scaled_dot_product_attention": _attention,
}
"""By the name of the OpInfo, with its variant after a dot."""
