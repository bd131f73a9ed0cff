"""Interpolation and sampling of images. As PyTorch's samples use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_layers import each
from .opinfo_pooling import adaptive
from .opinfo_use import Adapter, Use, refuse_if


def _grid_sample(x: torch.Tensor, grid: torch.Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                 align_corners: bool = False) -> Use:  # fmt: skip
    ours = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    return Use((x, grid), lambda b, x, grid: b.grid_sample(
        x, grid, mode=ours, padding=padding_mode, align_corners=bool(align_corners)))  # fmt: skip


def _grid_sampler(x: torch.Tensor, grid: torch.Tensor, mode: int, padding: int, align_corners: bool) -> Use:
    modes, paddings = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    return _grid_sample(x, grid, modes[mode], paddings[padding], align_corners)


def _resized(x: torch.Tensor, size: Any, scales: Sequence[float | None] | None, **kernel: Any) -> Use:
    """To a size, or by scales, whose fractions matter then to where the elements lie."""
    rank = x.dim() - 2
    factors: list[Any] = [None] * rank if scales is None else list(scales)
    sizes = each(size, rank) if size is not None else [int(n * s) for n, s in zip(x.shape[2:], factors, strict=True)]

    def build(b: Builder, x: Value) -> Value:
        for axis, (length, scale) in enumerate(zip(sizes, factors, strict=True), 2):
            x = b.resize_axis(x, size=length, axis=axis, scale=float(scale or 0.0), **kernel)
        return x

    if any(factors):
        return Use((x,), build)
    return Use((x,), lambda b, x: b.resize(x, size=sizes, axes=list(range(2, rank + 2)), **kernel))


def _kernel(mode: str, align_corners: Any) -> dict[str, Any]:
    corners = "align_corners" if align_corners else "pytorch_half_pixel"
    return {
        "mode": {"bicubic": "cubic", "nearest-exact": "nearest", "nearest": "nearest"}.get(mode, "linear"),
        "coordinates": {"nearest": "asymmetric", "nearest-exact": "half_pixel"}.get(mode, corners),
        "rounding": "floor" if mode == "nearest" else "round_prefer_ceil",
    }


def _interpolate(mode: str, corners: bool = False) -> Adapter:
    def adapter(x: torch.Tensor, size: Any = None, scale_factor: Any = None, *, align_corners: Any = corners,
                recompute_scale_factor: Any = None, **_: Any) -> Use:  # fmt: skip
        rank = x.dim() - 2
        scales = [scale_factor] * rank if isinstance(scale_factor, float | int) else scale_factor
        if recompute_scale_factor:
            size, scales = [int(n * s) for n, s in zip(x.shape[2:], scales, strict=True)], None
        return _resized(x, size, scales, **_kernel(mode, align_corners))

    return adapter


def _area(x: torch.Tensor, size: Any = None, scale_factor: Any = None, **_: Any) -> Use:
    rank = x.dim() - 2
    scales = [scale_factor] * rank if isinstance(scale_factor, float | int) else scale_factor
    sizes = each(size, rank) if size is not None else [int(n * s) for n, s in zip(x.shape[2:], scales, strict=True)]
    return adaptive(True, rank)(x, sizes)


def _smoothed(x: torch.Tensor, *, output_size: Any, align_corners: bool, scale_factors: Any = None,
              scales_h: Any = None, scales_w: Any = None) -> Use:  # fmt: skip
    refuse_if(align_corners, "corners aligned, where PyTorch centres the windows as if they were not")
    scales = scale_factors if scale_factors is not None else (scales_h, scales_w)
    kernel = {"mode": "linear", "antialias": True, "exclude_outside": True}
    return _resized(x, output_size, scales, **kernel)


MODES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear")

COUNTERPARTS: dict[str, Adapter] = {
    **{f"nn.functional.interpolate.{mode}": _interpolate(mode) for mode in MODES},
    "nn.functional.interpolate.area": _area,
    "nn.functional.upsample_nearest": _interpolate("nearest"),
    "nn.functional.upsample_bilinear": _interpolate("bilinear", corners=True),
    "_upsample_bilinear2d_aa": _smoothed,
    "nn.functional.grid_sample": _grid_sample,
    "grid_sampler_2d": _grid_sampler,
    "grid_sampler_3d": _grid_sampler,
}
"""By the name of the OpInfo, with its variant after a dot."""
