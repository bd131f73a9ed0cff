"""Pooling and windows. As PyTorch's samples use them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from netlang.compiler.autodiff import pull_back
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_layers import each
from .opinfo_use import Adapter, Use, refuse_if, with_axis


def _extra(x: torch.Tensor, kernel: Sequence[int], steps: Sequence[int], pads: Sequence[int],
           dilations: Sequence[int]) -> list[int]:  # fmt: skip
    """How much more padding comes after each axis where the number of windows is rounded up.

    The last window begins in the axis or in the padding before it.
    """
    found = []
    sizes = x.shape[x.dim() - len(kernel) :]
    for size, k, step, pad, dilation in zip(sizes, kernel, steps, pads, dilations, strict=True):
        reach, whole = dilation * (k - 1) + 1, size + 2 * pad
        count = -((reach - whole) // step)
        count -= int(count * step >= size + pad)
        found.append(max(0, count * step + reach - whole))
    return found


def _max_pool(rank: int, derived: bool = False) -> Adapter:
    """Or, `derived`, the gradient of the sum of its results."""

    def adapter(x: torch.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                ceil_mode: bool = False, return_indices: bool = False) -> Use:  # fmt: skip
        kernel = each(kernel_size, rank)
        steps = kernel if stride in (None, (), []) else each(stride, rank)
        pads, dilations = each(padding, rank), each(dilation, rank)
        after = [p + e for p, e in zip(pads, _extra(x, kernel, steps, pads, dilations), strict=True)]
        options = {"kernel": kernel, "stride": steps, "dilation": dilations}
        options["padding"] = pads + (after if ceil_mode else pads)
        located = return_indices and all(p < k for p, k in zip(options["padding"], kernel * 2, strict=True))

        def build(b: Builder, x: Value) -> Value:
            y = b.max_pool_with_indices(x, **options)[0] if located else b.max_pool(x, **options)
            if not derived:
                return y
            (gradient,) = pull_back(b, [(y, b.full(shape=y.type.shape, value=1.0))], [x])
            assert gradient is not None
            return gradient

        return Use((x,), build)

    return with_axis(adapter, rank + 2)


def _avg_pool(rank: int) -> Adapter:
    def adapter(x: torch.Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                count_include_pad: bool = True, divisor_override: Any = None) -> Use:  # fmt: skip
        kernel = each(kernel_size, rank)
        steps = kernel if stride in (None, (), []) else each(stride, rank)
        pads = each(padding, rank)
        extra = _extra(x, kernel, steps, pads, [1] * rank) if ceil_mode else [0] * rank
        after = [p + e for p, e in zip(pads, extra, strict=True)]

        def build(b: Builder, x: Value) -> Value:
            options: dict[str, Any] = {"kernel": kernel, "stride": steps}
            if divisor_override:
                total = b.mul(b.avg_pool(x, padding=pads + after, **options), float(math.prod(kernel)))
                return b.div(total, float(divisor_override))
            if not count_include_pad:
                return b.avg_pool(x, padding=pads + after, include_padding=False, **options)
            wide = b.pad(x, before=[0, 0, *pads], after=[0, 0, *pads])  # what rounding up adds does not count
            return b.avg_pool(wide, padding=[0] * rank + extra, include_padding=False, **options)

        return Use((x,), build)

    return with_axis(adapter, rank + 2)


def adaptive(mean: bool, rank: int) -> Adapter:
    """Windows that begin and end where the sizes say; shorter ones repeat their last element, with no weight."""

    def adapter(x: torch.Tensor, output_size: Any, return_indices: bool = False) -> Use:
        sizes = [output_size] * rank if isinstance(output_size, int) or output_size is None else list(output_size)

        def build(b: Builder, x: Value) -> Value:
            for axis, size in enumerate(sizes * (rank // len(sizes)), x.type.rank - rank):
                x = x if size is None else _cut(b, x, axis, size, mean)
            return x

        return Use((x,), build)

    return adapter


def _cut(b: Builder, x: Value, axis: int, size: int, mean: bool) -> Value:
    length: Any = x.type.shape[axis]
    starts = [i * length // size for i in range(size)]
    stops = [-(-(i + 1) * length // size) for i in range(size)]
    width = max(stop - start for start, stop in zip(starts, stops, strict=True))
    places = np.array(
        [[min(start + j, stop - 1) for j in range(width)] for start, stop in zip(starts, stops, strict=True)]
    )
    windows = b.gather(x, places, axis=axis)
    if not mean:
        return b.max(windows, axis=axis + 1)
    weights = np.array([[(start + j < stop) / (stop - start) for j in range(width)]
                        for start, stop in zip(starts, stops, strict=True)], np.float32)  # fmt: skip
    shape = (size, width, *(1,) * (x.type.rank - axis - 1))
    return b.sum(b.mul(windows, weights.reshape(shape)), axis=axis + 1)


def _max_unpool(rank: int) -> Adapter:
    """PyTorch counts positions in each channel, ONNX in the whole tensor."""

    def adapter(x: torch.Tensor, index: torch.Tensor, *, output_size: Sequence[int], **_: Any) -> Use:
        size = tuple(output_size)[-rank:]
        whole = tuple(x.shape) if x.dim() == rank + 2 else (1, *x.shape)
        channels = np.arange(whole[0] * whole[1]).reshape(*whole[:2], *(1,) * rank) * math.prod(size)

        def build(b: Builder, x: Value, index: Value) -> Value:
            places = b.add(b.reshape(index, shape=whole), channels)
            y = b.max_unpool(b.reshape(x, shape=whole), places, size=size)
            return b.reshape(y, shape=(*x.type.shape[:-rank], *size))

        return Use((x, index), build)

    return adapter


def _unfold(x: torch.Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Use:
    kernel, dilations, pads, steps = (each(v, 2) for v in (kernel_size, dilation, padding, stride))
    far = any(pad > step * (size - 1) for pad, step, size in zip(pads, dilations, kernel, strict=True))

    def build(b: Builder, x: Value) -> Value:
        n, c = x.type.shape[:2]
        wide = b.pad(x, before=[0, 0, *pads], after=[0, 0, *pads]) if far else x
        y = b.unfold(wide, kernel=kernel, stride=steps, dilation=dilations, padding=[0] * 4 if far else pads * 2)
        return b.reshape(y, shape=(n, c * math.prod(kernel), math.prod(y.type.shape[3:])))

    return with_axis(lambda x: Use((x,), build), 4)(x)


def _pixels(name: str) -> Adapter:
    def adapter(x: torch.Tensor, upscale_factor: int = 0, downscale_factor: int = 0) -> Use:
        refuse_if(x.dim() != 4, "several axes of batches")
        block = upscale_factor or downscale_factor
        return Use((x,), lambda b, x: getattr(b, name)(x, block=block, mode="CRD"))

    return adapter


RANKS = (1, 2, 3)

COUNTERPARTS: dict[str, Adapter] = {
    **{f"nn.functional.max_pool{n}d": _max_pool(n) for n in RANKS},
    "max_pool2d_with_indices_backward": _max_pool(2, derived=True),
    **{f"nn.functional.avg_pool{n}d": _avg_pool(n) for n in RANKS},
    **{f"nn.functional.adaptive_avg_pool{n}d": adaptive(True, n) for n in RANKS},
    **{f"nn.functional.adaptive_max_pool{n}d": adaptive(False, n) for n in RANKS},
    **{f"nn.functional.max_unpool{n}d{grad}": _max_unpool(n) for n in RANKS for grad in ("", ".grad")},
    "nn.functional.unfold": _unfold,
    "nn.functional.pixel_shuffle": _pixels("depth_to_space"),
    "nn.functional.pixel_unshuffle": _pixels("space_to_depth"),
}
"""By the name of the OpInfo, with its variant after a dot."""
