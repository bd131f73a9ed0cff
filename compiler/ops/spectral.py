"""Discrete Fourier transforms, of whole axes and of short pieces of a signal, as matrix products; and their windows.

Onnxruntime's own DFT and STFT are slower and lose digits where the length is no power of two: a DFT of length 1,000 is
off by 8e-3 and takes 4.6 ms where the product takes 0.9, an STFT with a window of 400 takes 26 ms where this takes 3.4.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size, decide_less, minimum
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value, normal_axis, product, shape_mismatch
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

LONGEST_PRODUCT = 256
"""A longer transform, of a length that has factors, is made in steps (Cooley and Tukey 1965).

Measured on one thread, in ms (one product, steps): 64 × 512 0.20, 0.17; 64 × 1,024 0.82, 0.40; 8 × 4,096 4.7, 0.28.
"""

LONGEST_PRIME = 2048
"""A step has a matrix of its length, in both directions: no longer ones."""

LONGEST = 1 << 22
"""Between steps there is a matrix of the length of the whole transform: no longer ones."""


# --- matrices ------------------------------------------------------------------------------------------------------


def _cos_sin(b: Builder, rows: Size, columns: Size, length: Size, dtype: str) -> tuple[Value, Value]:
    """cos and sin of 2 pi row column / length, [rows, columns] each; exact to the last digit where sizes are known."""
    if isinstance(rows, int) and isinstance(columns, int) and isinstance(length, int):
        cos, sin = _exact_cos_sin(np.outer(np.arange(rows), np.arange(columns)), length)
        return b.constant(cos, dtype), b.constant(sin, dtype)
    row, column = b.reshape(b.iota(count=rows), shape=(rows, 1)), b.iota(count=columns)
    size = length if isinstance(length, int) else b.dim(size=length)
    turns = b.div(b.cast(b.mod(b.mul(row, column), size), dtype=dtype), b.cast(_value(b, size), dtype=dtype))
    angles = b.mul(turns, 2 * math.pi)
    return b.cos(angles), b.sin(angles)


def _value(b: Builder, size: Value | int) -> Value:
    return b.constant(size) if isinstance(size, int) else size


def _exact_cos_sin(products: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of 2 pi products / length, zero where they are zero, which floating-point multiples of pi miss."""
    angles = (products % length) * (2 * math.pi / length)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.where(np.abs(cos) < 1e-12, 0.0, cos), np.where(np.abs(sin) < 1e-12, 0.0, sin)


def _complex_product(b: Builder, cos: Value, sin: Value, parts: int, results: int) -> Value:
    """What multiplies by cos - i sin, as a real matrix [rows * parts, columns * results].

    A number is its real part, where parts or results are 1, or the real and the imaginary one side by side.
    """
    rows, columns = cos.type.shape
    blocks = [[cos, b.neg(sin)], [sin, cos]]
    strips = []
    for line in blocks[:parts]:
        cells = [b.reshape(block, shape=(rows, 1, columns, 1)) for block in line[:results]]
        strips.append(cells[0] if results == 1 else b.concat(*cells, axis=3))
    joined = strips[0] if parts == 1 else b.concat(*strips, axis=1)
    return b.reshape(joined, shape=(rows * parts, columns * results))


def _hermitian_weights(b: Builder, bins: Size, length: Size, dtype: str) -> Value:
    """How often each bin of a real signal's spectrum stands for itself and its mirror image: [bins, 1]."""
    place = b.iota(count=bins)
    half = length // 2 if isinstance(length, int) else b.floor_divide(b.dim(size=length), 2)
    even = b.equal(b.mul(place, 2), length if isinstance(length, int) else b.dim(size=length))
    alone = b.logical_or(b.equal(place, 0), even)
    weights = b.select(alone, b.constant(1.0, dtype), b.constant(2.0, dtype))
    weights = b.select(b.greater(place, half), b.constant(0.0, dtype), weights)
    return b.reshape(weights, shape=(bins, 1))


# --- dft -----------------------------------------------------------------------------------------------------------


def _spectrum(size: Size, length: Size | None, inverse: bool, onesided: bool) -> tuple[Size, Size]:
    """The length of a transform of `size` elements, and of its result."""
    if length is None:
        length = 2 * (size - 1) if inverse and onesided else size
    return length, length // 2 + 1 if onesided and not inverse else length


def _dft_shape(x: TensorType, axis: int, length: Size | None, inverse: bool, onesided: bool) -> TensorType:
    if not x.rank or x.shape[-1] not in (1, 2):
        title = "the last axis of what is transformed holds a real part, or a real and an imaginary one"
        raise shape_mismatch(title, "1 or 2", x.shape[-1] if x.rank else "a scalar")
    at = normal_axis(axis, x.rank)
    if at == x.rank - 1:
        raise bad_value("the axis of the real and imaginary parts cannot be transformed", "another axis", axis)
    if onesided and x.shape[-1] != (2 if inverse else 1):
        title = "a one-sided spectrum is that of a real signal"
        raise shape_mismatch(title, "parts: 2 of the spectrum, 1 of the signal", x.shape[-1])
    length, result = _spectrum(x.shape[at], length, inverse, onesided)
    if decide_less(length, 1):
        raise bad_value("a transform has a length", "at least 1", length)
    if isinstance(length, int) and length > LONGEST:
        raise bad_value("a transform has a length that a matrix can have", f"at most {LONGEST:,}", length)
    if isinstance(length, int) and length > LONGEST_PRIME and _largest_prime(length) > LONGEST_PRIME:
        title = f"the length of a transform has no prime factor above {LONGEST_PRIME:,}"
        raise bad_value(title, "a length with smaller factors, such as a power of two", length)
    return TensorType(x.dtype, (*x.shape[:at], result, *x.shape[at + 1 : -1], 1 if inverse and onesided else 2))


def _dft_body(b: Builder, x: Value, axis: int, length: Size | None, inverse: bool, onesided: bool) -> Value:
    at, rank = normal_axis(axis, x.type.rank), x.type.rank
    length, result = _spectrum(x.type.shape[at], length, inverse, onesided)
    order = (*(i for i in range(rank - 1) if i != at), at, rank - 1)
    x = b.transpose(x, perm=order)
    x = _first(b, x, length // 2 + 1 if inverse and onesided else length)
    *outer, size, given = x.type.shape
    x = b.reshape(x, shape=(product(outer), size, given))
    parts = 1 if inverse and onesided else 2
    if isinstance(length, int) and _splits(length):
        y = _by_steps(b, x, length, result, inverse, parts)
    else:
        y = _by_product(b, x, length, result, inverse, parts)
    y = b.reshape(y, shape=(*outer, *y.type.shape[1:]))
    return b.transpose(y, perm=tuple(int(i) for i in np.argsort(order)))


def _first(b: Builder, x: Value, count: Size) -> Value:
    """At most `count` elements of the last axis but one."""
    at = x.type.rank - 2
    size = x.type.shape[at]
    kept = minimum(size, count)
    return x if kept == size else b.slice(x, starts=0, stops=kept, axes=at, steps=1)


def _by_product(b: Builder, x: Value, length: Size, result: Size, inverse: bool, parts: int) -> Value:
    """The transform of x[n, elements, parts] as one product with a matrix."""
    n, size, given = x.type.shape
    dtype = x.type.dtype
    cos, sin = _cos_sin(b, size, result, length, dtype)
    if inverse:
        share = _inverse_share(b, size, length, dtype, real=parts == 1)
        cos, sin = b.mul(cos, share), b.neg(b.mul(sin, share))
    flat = b.reshape(x, shape=(n, size * given))
    y = b.matmul(flat, _complex_product(b, cos, sin, 1 if given == 1 else 2, parts))
    return b.reshape(y, shape=(n, result, parts))


def _inverse_share(b: Builder, size: Size, length: Size, dtype: str, real: bool) -> Value:
    """By what an inverse transform multiplies each element, beside the rotation: [size, 1], or one number."""
    count = b.constant(float(length), dtype) if isinstance(length, int) else b.cast(b.dim(size=length), dtype=dtype)
    return b.div(_hermitian_weights(b, size, length, dtype) if real else b.constant(1.0, dtype), count)


def _by_steps(b: Builder, x: Value, length: int, result: Size, inverse: bool, parts: int) -> Value:
    """The transform of x[n, elements, parts] of a length that has factors, in steps."""
    size = x.type.shape[1]
    if inverse:
        x = b.mul(x, _inverse_share(b, size, length, x.type.dtype, real=parts == 1))
    if size != length:
        x = b.pad(x, before=(0, 0, 0), after=(0, length - size, 0))
    y = _first(b, _rotated(b, x, length, inverse), result)
    return y if parts == 2 else b.slice(y, starts=0, stops=1, axes=2, steps=1)


def _rotated(b: Builder, x: Value, length: int, inverse: bool) -> Value:
    """The transform of x[n, length, parts], not yet divided by the length.

    With element j1 n2 + j2 and result k1 + n1 k2 of n1 n2, the rotation by j k / (n1 n2) is one by j1 k1 / n1, then one
    by j2 k1 / (n1 n2), then one by j2 k2 / n2.
    """
    n, _, given = x.type.shape
    dtype = x.type.dtype
    if not _splits(length):
        cos, sin = _cos_sin(b, length, length, length, dtype)
        matrix = _complex_product(b, cos, b.neg(sin) if inverse else sin, 1 if given == 1 else 2, 2)
        return b.reshape(b.matmul(b.reshape(x, shape=(n, length * given)), matrix), shape=(n, length, 2))
    first = _factor(length)
    second = length // first
    columns = b.transpose(b.reshape(x, shape=(n, first, second, given)), perm=(0, 2, 1, 3))
    y = _rotated(b, b.reshape(columns, shape=(n * second, first, given)), first, inverse)
    y = b.transpose(b.reshape(y, shape=(n, second, first, 2)), perm=(0, 2, 1, 3))
    y = _turned(b, y, *_cos_sin(b, first, second, length, dtype), inverse)
    y = _rotated(b, b.reshape(y, shape=(n * first, second, 2)), second, inverse)
    return b.reshape(b.transpose(b.reshape(y, shape=(n, first, second, 2)), perm=(0, 2, 1, 3)), shape=(n, length, 2))


def _turned(b: Builder, x: Value, cos: Value, sin: Value, inverse: bool) -> Value:
    """Complex numbers x[…, 2] times cos - i sin, or cos + i sin."""
    real, imaginary = b.split(x, parts=2)
    cos, sin = (b.reshape(part, shape=(*part.type.shape, 1)) for part in (cos, b.neg(sin) if inverse else sin))
    return b.concat(
        b.add(b.mul(real, cos), b.mul(imaginary, sin)),
        b.sub(b.mul(imaginary, cos), b.mul(real, sin)),
    )


def _splits(length: int) -> bool:
    """Whether a transform of this length is made in steps."""
    return length > LONGEST_PRODUCT and _factor(length) > 1


def _factor(length: int) -> int:
    """The largest divisor up to the square root."""
    return next(i for i in range(math.isqrt(length), 0, -1) if length % i == 0)


def _largest_prime(length: int) -> int:
    """The largest prime factor."""
    least = next((i for i in range(2, math.isqrt(length) + 1) if length % i == 0), length)
    return least if least == length else max(least, _largest_prime(length // least))


# --- stft ----------------------------------------------------------------------------------------------------------


def _stft_shape(signal: TensorType, window: TensorType, step: int, onesided: bool) -> TensorType:
    b, n, parts = signal.shape
    (length,) = window.shape
    if parts != 1 and (parts != 2 or onesided):
        title = "a one-sided spectrum is that of a real signal" if parts == 2 else "a signal has one or two parts"
        raise shape_mismatch(title, f"[{b}, {n}, 1]", f"[{b}, {n}, {parts}]")
    if not isinstance(length, int):
        raise bad_value("the length of a window is known while compiling", "a number", length)
    if step < 1:
        raise bad_value("windows move on by at least one element", "step >= 1", step)
    if decide_less(n, length):
        raise shape_mismatch(f"a window of {length} does not fit a signal of {n}", f"at least {length}", n)
    return TensorType(signal.dtype, (b, (n - length) // step + 1, length // 2 + 1 if onesided else length, 2))


def _stft_body(b: Builder, signal: Value, window: Value, step: int, onesided: bool) -> Value:
    (length,) = window.type.shape
    assert isinstance(length, int)
    pieces = _pieces(b, signal, length, step)
    return b.dft(b.mul(pieces, b.reshape(window, shape=(length, 1))), onesided=onesided)


def _pieces(b: Builder, signal: Value, length: int, step: int) -> Value:
    """Pieces of a signal [n, _, parts], `step` apart, side by side: [n, pieces, length, parts]."""
    n, size, parts = signal.type.shape
    count = (size - length) // step + 1
    if length % step:
        starts = b.reshape(b.mul(b.iota(count=count), step), shape=(count, 1))
        return b.gather(signal, b.add(starts, b.iota(count=length)), axis=1)
    reach = length // step
    blocks = b.slice(signal, starts=0, stops=(count + reach - 1) * step, axes=1, steps=1)
    blocks = b.reshape(blocks, shape=(n, count + reach - 1, step * parts))
    shifted = (b.slice(blocks, starts=i, stops=i + count, axes=1, steps=1) for i in range(reach))
    return b.reshape(b.concat(*shifted), shape=(n, count, length, parts))


# --- windows and filters -------------------------------------------------------------------------------------------


def _cosines(*shares: float) -> Any:
    """The meaning of a window that is a sum of cosines of one period, two, and so on, by their shares."""

    def window(size: int, periodic: bool, dtype: str) -> np.ndarray:
        turn = 2 * math.pi * np.arange(size) / max(size if periodic else size - 1, 1)
        terms = [share * np.cos(i * turn) for i, share in enumerate(shares)]
        return np.sum(terms, axis=0).astype(numpy_dtype(dtype))

    return window


def _window_shape(size: Size, periodic: bool, dtype: str) -> TensorType:
    if decide_less(size, 0):
        raise bad_value("a window cannot have fewer elements than none", "from 0 on", size)
    return TensorType(dtype, (size,))


def _window_onnx(e: Emitter, node: Node) -> str:
    name = {"hann": "HannWindow", "hamming": "HammingWindow", "blackman": "BlackmanWindow"}[node.op.split("_")[0]]
    attributes = node.attributes
    window = e.node(name, e.size(attributes["size"]), periodic=int(attributes["periodic"]))
    return window if attributes["dtype"] == "f32" else e.node("Cast", window, to=e.onnx_dtype(attributes["dtype"]))


def _mel_numpy(bands: int, length: int, rate: int, low: float, high: float, dtype: str) -> np.ndarray:
    lowest, highest = (2595 * math.log10(1 + hertz / 700) for hertz in (low, high))
    mels = lowest + np.arange(bands + 2) * ((highest - lowest) / (bands + 2))
    hertz = 700 * (10 ** (mels / 2595) - 1)
    corners = np.floor((length + 1) * hertz / rate).astype(np.int64)
    left, peak, right = corners[:-2], corners[1:-1], corners[2:]
    place = np.arange(length // 2 + 1)[:, None]
    rising = (place - left) / np.maximum(peak - left, 1)
    falling = (right - place) / np.maximum(right - peak, 1)
    sides = np.where(place < peak, rising, falling)
    return np.where(place == peak, 1.0, np.maximum(sides, 0.0)).astype(numpy_dtype(dtype))


def _mel_shape(bands: int, length: int, rate: int, low: float, high: float, dtype: str) -> TensorType:
    if min(bands, length, rate) < 1:
        raise bad_value("bands, length and rate are at least 1", "numbers from 1 on", [bands, length, rate])
    if not 0 <= low < high <= rate / 2:
        title = "the bands lie between two frequencies, up to half the rate"
        raise bad_value(title, f"0 <= low < high <= {rate / 2:g}", [low, high])
    return TensorType(dtype, (length // 2 + 1, bands))


def _mel_onnx(e: Emitter, node: Node) -> str:
    attributes = node.attributes
    whole = (e.constant(np.array(attributes[name])) for name in ("bands", "length", "rate"))
    edges = (e.constant(np.array(attributes[name], np.float32)) for name in ("low", "high"))
    matrix = e.node("MelWeightMatrix", *whole, *edges)
    return matrix if attributes["dtype"] == "f32" else e.node("Cast", matrix, to=e.onnx_dtype(attributes["dtype"]))


def _torch_dft(x: Any, axis: int = -2, length: Any = None, inverse: bool = False, onesided: bool = False) -> Any:
    at = axis % len(x.shape)
    if inverse and onesided:
        return torch.fft.irfft(torch.complex(x[..., 0], x[..., 1]), n=length, dim=at)[..., None]
    if onesided:
        return torch.view_as_real(torch.fft.rfft(x[..., 0], n=length, dim=at))
    signal = torch.complex(x[..., 0], x[..., 1]) if x.shape[-1] == 2 else x[..., 0]
    transform = torch.fft.ifft if inverse else torch.fft.fft
    return torch.view_as_real(transform(signal, n=length, dim=at))


def _torch_stft(signal: Any, window: Any, step: int, onesided: bool = True) -> Any:
    x = torch.complex(signal[..., 0], signal[..., 1]) if signal.shape[-1] == 2 else signal[..., 0]
    found = torch.stft(x, window.shape[0], step, window=window, center=False, onesided=onesided, return_complex=True)
    return torch.view_as_real(found).transpose(1, 2)


def _torch_window(function: Any, *shares: float) -> Any:
    return lambda size, periodic=True: function(size, periodic, *shares)


OPERATORS: tuple[Op, ...] = (
    Op(
        "dft(x: f[*s], axis: int = -2, length: size = none, inverse: bool = false, onesided: bool = false) -> f",
        doc="The discrete Fourier transform of one axis; the last axis of x and of the result holds the real part, or "
        "the real and the imaginary one. x is cut off or continued with zeros to `length`. With `onesided` a real "
        "signal gives the first half of its spectrum, length // 2 + 1 numbers, and the inverse a real signal from it. "
        "The inverse divides by the length.",
        body=_dft_body,
        shape=_dft_shape,
        samples=(
            S((2, 5, 1), torch=_torch_dft),
            S((2, 6, 2), torch=_torch_dft),
            S((3, 2, 4, 2), axis=0, inverse=True, torch=_torch_dft),
            S((3, 6, 2, 1), axis=1, onesided=True, torch=_torch_dft),
            S((2, 7, 1), onesided=True, torch=_torch_dft),
            S((2, 4, 2), inverse=True, onesided=True, torch=_torch_dft),
            S((2, 4, 2), length=7, inverse=True, onesided=True, torch=_torch_dft),
            S((2, 5, 2), length=4, inverse=True, onesided=True, torch=_torch_dft),
            S((2, 5, 1), length=8, torch=_torch_dft),
            S((2, 9, 2), length=6, torch=_torch_dft),
            S((6, 1), onesided=True, torch=_torch_dft),
            Bad((2, 5, 3), code="shape-mismatch"),
            Bad((2, 5, 2), onesided=True, code="shape-mismatch"),
            Bad((2, 5, 2), axis=-1, code="bad-value"),
            Bad((2, 5, 2), axis=3, code="bad-axis"),
            Bad((2, 5, 2), length=0, code="bad-value"),
            Bad((2, 2053, 1), code="bad-value"),
            Bad((2, 4, 1), length=1 << 40, code="bad-value"),
        ),
    ),
    Op(
        "stft(signal: f[b, n, p], window: f[l], step: int, onesided: bool = true) -> f",
        doc="Fourier transforms of short pieces of a signal, `step` elements apart, each multiplied by the window: "
        "[b, pieces, frequencies, 2]. The last axis is the real part, or the real and the imaginary one; with "
        "`onesided`, for real signals, the first half of each spectrum.",
        body=_stft_body,
        shape=_stft_shape,
        samples=(
            S((2, 20, 1), (6,), step=3, torch=_torch_stft),
            S((2, 11, 1), (5,), step=2, onesided=False, torch=_torch_stft),
            S((2, 11, 2), (4,), step=4, onesided=False, torch=_torch_stft),
            S(np.cos(np.arange(22.0)).reshape(2, 11, 1), np.hanning(6), step=2, torch=_torch_stft),
            S(np.cos(np.arange(22.0)).reshape(1, 11, 2), np.hanning(5), step=2, onesided=False, torch=_torch_stft),
            Bad((2, 20, 2), (6,), step=3, code="shape-mismatch"),
            Bad((2, 5, 1), (6,), step=3, code="shape-mismatch"),
            Bad((2, 20, 1), (6,), step=0, code="bad-value"),
        ),
    ),
    Op(
        "hann_window(size: size, periodic: bool = true, dtype: dtype = f32) -> dtype[size]",
        doc="One period of a raised cosine, 0 at its ends; not `periodic`, both ends are part of it.",
        numpy=_cosines(0.5, -0.5),
        nondiff="it has no input to differentiate by",
        shape=_window_shape,
        onnx=_window_onnx,
        samples=(
            S(size=8, torch=_torch_window(torch.hann_window)),
            S(size=7, periodic=False, torch=_torch_window(torch.hann_window)),
            S(size=5, dtype="f64"),
            Bad(size=-1, code="bad-value"),
        ),
    ),
    Op(
        "hamming_window(size: size, periodic: bool = true, dtype: dtype = f32) -> dtype[size]",
        doc="One period of a raised cosine, 2/23 at its ends, as ONNX has it (PyTorch: 0.08).",
        numpy=_cosines(25 / 46, -21 / 46),
        nondiff="it has no input to differentiate by",
        shape=_window_shape,
        onnx=_window_onnx,
        samples=(
            S(size=8, torch=_torch_window(torch.hamming_window, 25 / 46, 21 / 46)),
            S(size=5, periodic=False),
        ),
    ),
    Op(
        "blackman_window(size: size, periodic: bool = true, dtype: dtype = f32) -> dtype[size]",
        doc="One period of 0.42 - 0.5 cos + 0.08 cos of twice the angle, 0 at its ends.",
        numpy=_cosines(0.42, -0.5, 0.08),
        nondiff="it has no input to differentiate by",
        shape=_window_shape,
        onnx=_window_onnx,
        samples=(
            S(size=8, torch=_torch_window(torch.blackman_window)),
            S(size=5, periodic=False),
        ),
    ),
    Op(
        "mel_weight_matrix(bands: int, length: int, rate: int, low: float, high: float, dtype: dtype = f32) -> dtype",
        doc="Triangles with peaks of 1, evenly spaced on the mel scale between the frequencies `low` and `high`, by "
        "which to multiply spectra of `length` samples taken `rate` times a second: [length // 2 + 1, bands].",
        numpy=_mel_numpy,
        nondiff="it has no input to differentiate by",
        shape=_mel_shape,
        onnx=_mel_onnx,
        samples=(
            S(bands=8, length=16, rate=8192, low=0.0, high=4096.0),
            S(bands=20, length=400, rate=16000, low=20.0, high=7600.0),
            Bad(bands=8, length=16, rate=8192, low=0.0, high=5000.0, code="bad-value"),
            Bad(bands=0, length=16, rate=8192, low=0.0, high=4000.0, code="bad-value"),
        ),
    ),
)
