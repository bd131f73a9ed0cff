"""Complex numbers, as pairs on a last axis, and Fourier transforms. As PyTorch's samples use them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Value

from .opinfo_shapes import rolled
from .opinfo_use import Adapter, Use, composed


def pairs(b: Builder, real: Value, imaginary: Value) -> Value:
    """Two tensors that broadcast, as complex numbers."""
    shape = torch.broadcast_shapes(real.type.shape, imaginary.type.shape)
    return b.concat(*(b.reshape(b.expand(part, shape=shape), shape=(*shape, 1)) for part in (real, imaginary)))


def _complex(dtype: str) -> Adapter:
    return lambda x, **_: Use((x,), lambda b, x: _real(b, b.cast(x, dtype=dtype)))


def _real(b: Builder, x: Value) -> Value:
    return pairs(b, x, b.full(shape=(), value=0.0, dtype=x.type.dtype))


def _scale(norm: str | None, inverse: bool, count: int) -> float:
    """What our transform, whose inverse alone is divided by `count`, is to be multiplied by."""
    wanted = {None: int(inverse), "backward": int(inverse), "forward": int(not inverse), "ortho": 0.5}[norm]
    return count ** (int(inverse) - wanted)


def _transform(kind: str) -> Adapter:
    """Along one axis."""

    def adapter(x: torch.Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Use:
        return _along_axes(kind)(x, None if n is None else (n,), (dim,), norm)

    return adapter


def _along_axes(kind: str, default: Sequence[int] | None = None) -> Adapter:
    """Along several axes, the last of them first: `fft`, `ifft`; of real signals, or giving them (`r`, `h`)."""
    real_result = kind in ("irfft", "hfft")
    real_input = kind in ("rfft", "ihfft")
    inverse = kind in ("ifft", "irfft", "ihfft")

    def adapter(x: torch.Tensor, s: Sequence[int] | None = None, dim: Any = default, norm: str | None = None) -> Use:
        axes = _axes(x, s, dim)
        lengths = [x.shape[axis] for axis in axes] if s is None else list(s)
        lengths = [x.shape[axis] if n == -1 else n for n, axis in zip(lengths, axes, strict=True)]
        if real_result and s is None:
            lengths[-1] = 2 * (x.shape[axes[-1]] - 1)
        scale = _scale(norm, inverse, math.prod(lengths))

        order = list(zip(axes, lengths, strict=True))
        halved = order[-1]
        if not real_result:
            order.reverse()

        def build(b: Builder, x: Value) -> Value:
            z = _real(b, x) if real_result else b.reshape(x, shape=(*x.type.shape, 1))
            for axis, length in order:
                if (real_input or real_result) and (axis, length) == halved:
                    z = _one_sided(b, z, kind, axis, length)
                else:
                    z = b.dft(z, axis=axis, length=length, inverse=inverse)
            z = b.mul(z, scale)
            return b.reshape(z, shape=z.type.shape[:-1]) if real_result else z

        return Use((x,), build)

    return adapter


def _axes(x: torch.Tensor, s: Sequence[int] | None, dim: Any) -> list[int]:
    if dim is None:
        return list(range(x.dim()))[-len(s) :] if s is not None else list(range(x.dim()))
    return [axis % x.dim() for axis in ((dim,) if isinstance(dim, int) else dim)]


def _one_sided(b: Builder, z: Value, kind: str, axis: int, length: int) -> Value:
    """From a real signal, or to one; the Hermitian ones are the others with all angles the other way."""
    if kind == "hfft":
        return b.mul(b.dft(_conjugate(b, z), axis=axis, length=length, inverse=True, onesided=True), float(length))
    if kind == "ihfft":
        return b.div(_conjugate(b, b.dft(z, axis=axis, length=length, onesided=True)), float(length))
    return b.dft(z, axis=axis, length=length, inverse=kind == "irfft", onesided=True)


def _conjugate(b: Builder, z: Value) -> Value:
    return b.mul(z, b.constant(np.array([1.0, -1.0], np.float32)))


def _shifted(sign: int) -> Adapter:
    def adapter(x: torch.Tensor, dim: Any = None) -> Use:
        axes = list(range(x.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
        half = [x.shape[axis] // 2 if sign > 0 else (x.shape[axis] + 1) // 2 for axis in axes]
        return Use((x,), lambda b, x: rolled(b, x, half, axes))

    return adapter


def _stft(x: torch.Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
          window: torch.Tensor | None = None, center: bool = True, pad_mode: str = "reflect", normalized: bool = False,
          onesided: bool = True, return_complex: bool | None = None) -> Use:  # fmt: skip
    weights = torch.ones(n_fft) if window is None else window

    rank = x.dim()

    def build(b: Builder, x: Value, window: Value) -> Value:
        batch = x.type.shape if x.type.rank == 2 else (1, *x.type.shape)
        x = b.reshape(x, shape=batch)
        if center:
            x = b.pad_mode(x, before=(0, n_fft // 2), after=(0, n_fft // 2), mode=pad_mode)
        pieces = b.stft(b.reshape(x, shape=(*x.type.shape, 1)), window, step=hop_length or n_fft // 4,
                        onesided=onesided)  # fmt: skip
        y = b.transpose(pieces, perm=(0, 2, 1, 3))
        return b.reshape(y, shape=y.type.shape[2 - rank :])

    return Use((x, weights), build)


def _real_angle(b: Builder, x: Value) -> Value:
    return b.select(b.less(x, 0.0), b.full(shape=x.type.shape, value=math.pi), 0.0)


def _polar(b: Builder, length: Value, angle: Value) -> Value:
    return pairs(b, b.mul(length, b.cos(angle)), b.mul(length, b.sin(angle)))


KINDS = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")

COUNTERPARTS: dict[str, Adapter] = {
    "complex": composed(pairs),
    "view_as_complex": composed(lambda b, x: x),
    "polar": composed(_polar),
    "angle": composed(_real_angle),
    "chalf": _complex("f16"),
    "cfloat": _complex("f32"),
    "cdouble": _complex("f64"),
    **{f"fft.{kind}": _transform(kind) for kind in KINDS},
    **{f"fft.{kind}2": _along_axes(kind, (-2, -1)) for kind in KINDS},
    **{f"fft.{kind}n": _along_axes(kind) for kind in KINDS},
    "fft.fftshift": _shifted(1),
    "fft.ifftshift": _shifted(-1),
    "stft": _stft,
}
"""By the name of the OpInfo, with its variant after a dot."""
