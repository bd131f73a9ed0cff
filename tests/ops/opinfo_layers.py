"""Convolution and attention. As PyTorch's samples use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_use import Adapter, Use, given, refuse_if, with_axis


def each(value: Any, rank: int) -> list[int]:
    """A number for each axis, where one may stand for all."""
    return [value] * rank if isinstance(value, int) else list(value) * (rank if len(value) == 1 else 1)


def _conv(x: torch.Tensor, w: torch.Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
          groups: int = 1) -> Use:  # fmt: skip
    rank = w.dim() - 2
    steps, dilations = each(stride, rank), each(dilation, rank)
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilations, w.shape[2:], strict=True)]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
    else:
        pads = each(padding, rank) * 2

    def build(b: Builder, x: Value, w: Value, bias: Value | None = None) -> Value:
        y = b.conv(x, w, stride=steps, padding=pads, dilation=dilations, groups=groups)
        return y if bias is None else b.add(y, b.reshape(bias, shape=(w.type.shape[0], *(1,) * rank)))

    return Use(given(x, w, bias), build)


def _conv_transpose(x: torch.Tensor, w: torch.Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0,
                    output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Use:  # fmt: skip
    rank = w.dim() - 2
    steps, pads, dilations = each(stride, rank), each(padding, rank), each(dilation, rank)
    more = each(output_padding, rank)
    far = any(m >= s for m, s in zip(more, steps, strict=True))  # no convolution leaves that much: it is added after
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + m + 1
        for n, s, p, d, k, m in zip(x.shape[2:], steps, pads, dilations, w.shape[2:], more, strict=True)
    ]
    whole = [n + 2 * p - m for n, p, m in zip(size, pads, more, strict=True)]

    def build(b: Builder, x: Value, w: Value, bias: Value | None = None) -> Value:
        options: dict[str, Any] = {"stride": steps, "dilation": dilations, "groups": groups}
        if far:
            y = b.conv_transpose(x, w, size=whole, padding=[0] * 2 * rank, **options)
            after = [m - p for m, p in zip(more, pads, strict=True)]
            y = b.pad(y, before=[0, 0, *(-p for p in pads)], after=[0, 0, *after])
        else:
            y = b.conv_transpose(x, w, size=size, padding=pads * 2, **options)
        return y if bias is None else b.add(y, b.reshape(bias, shape=(y.type.shape[1], *(1,) * rank)))

    return Use(given(x, w, bias), build)


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, attn_mask: Any = None, dropout_p: float = 0.0,
               is_causal: bool = False, scale: Any = None, enable_gqa: bool = False) -> Use:  # fmt: skip
    refuse_if(dropout_p, "dropout")
    batch = torch.broadcast_shapes(*(v.shape[:-2] for v in ((q,) if enable_gqa else (q, k, v))))

    def build(b: Builder, *values: Value) -> Value:
        q, k, v = (_with_heads(b, value, value.type.shape[:-2] if enable_gqa else batch) for value in values[:3])
        if attn_mask is None:
            y = b.scaled_dot_product_attention(q, k, v, causal=is_causal, scale=scale)
        else:
            y = b.masked_attention(q, k, v, values[3], scale=scale)
        return b.reshape(y, shape=(*batch, *y.type.shape[-2:]))

    return Use(given(q, k, v, attn_mask), build)


def _with_heads(b: Builder, x: Value, batch: Sequence[Any]) -> Value:
    """As [batch, heads, rows, columns], one head where there is no axis for them."""
    rows = x.type.shape[-2:]
    whole = (*batch, 1) if len(batch) == 1 else tuple(batch)
    return b.reshape(b.expand(x, shape=(*batch, *rows)), shape=(*whole, *rows))


COUNTERPARTS: dict[str, Adapter] = {
    **{f"nn.functional.conv{n}d": with_axis(_conv, n + 2, (0,)) for n in (1, 2, 3)},
    **{f"nn.functional.conv_transpose{n}d": with_axis(_conv_transpose, n + 2, (0,)) for n in (1, 2, 3)},
    "nn.functional.scaled_dot_product_attention": _attention,
}
"""By the name of the OpInfo, with its variant after a dot."""
