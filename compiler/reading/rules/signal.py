"""Fourier transforms, and the windows and filters that go with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.types import FLOATS

from ...ir import Value
from ..onnx_types import DTYPES
from .run_time import run_time_sizes
from .shape import given

if TYPE_CHECKING:
    from ..call import Call
    from ..reader import Reader

Result = Value | Sequence[Value | None] | None


def dft(reader: Reader, call: Call) -> Result:
    """DFT-17 (whose axis is an attribute) and -20."""
    axis = call.attribute("axis", 1) if call.version < 20 else _number(reader, call, 2, -2)
    length = run_time_sizes(reader, call.input(1)) if call.input(1) is not None else (None,)
    if axis is None or length is None:
        return None
    flags = {name: bool(call.attribute(name, 0)) for name in ("inverse", "onesided")}
    return reader.b.dft(given(call), axis=int(axis), length=length[0], **flags)


def stft(reader: Reader, call: Call) -> Result:
    """STFT-17."""
    b = reader.b
    signal = given(call)
    step, length = _number(reader, call, 1, None), _number(reader, call, 3, signal.type.shape[1])
    if step is None or length is None:
        return None
    if signal.type.rank == 2:
        signal = b.reshape(signal, shape=(*signal.type.shape, 1))
    window = call.input(2)
    if window is None:
        window = b.full(shape=(length,), value=1.0, dtype=signal.type.dtype)
    return b.stft(signal, window, step=int(step), onesided=bool(call.attribute("onesided", 1)))


def _number(reader: Reader, call: Call, index: int, default: Any) -> Any:
    """The number in an input, `default` where it is left out; None where only the run tells it."""
    if call.input(index) is None:
        return default
    known = reader.constant(call.input(index))
    return None if known is None else known.item()


def _window(name: str) -> Callable[[Reader, Call], Result]:
    """The rule of a window, version 17."""

    def rule(reader: Reader, call: Call) -> Result:
        size = run_time_sizes(reader, call.input(0))
        dtype = DTYPES.get(call.attribute("output_datatype", 1))
        if size is None or dtype not in FLOATS:
            return None
        periodic = bool(call.attribute("periodic", 1))
        return reader.b.apply(name, (), {"size": size[0], "periodic": periodic, "dtype": dtype})  # type: ignore

    return rule


def mel_weight_matrix(reader: Reader, call: Call) -> Result:
    """MelWeightMatrix-17, of numbers that are known."""
    numbers = [reader.constant(value) for value in call.inputs]
    dtype = DTYPES.get(call.attribute("output_datatype", 1))
    if dtype not in FLOATS or any(number is None for number in numbers):
        return None
    bands, length, rate, low, high = (np.asarray(number).item() for number in numbers)
    return reader.b.mel_weight_matrix(
        bands=int(bands), length=int(length), rate=int(rate), low=float(low), high=float(high), dtype=dtype
    )


RULES = {
    "BlackmanWindow": _window("blackman_window"),
    "DFT": dft,
    "HammingWindow": _window("hamming_window"),
    "HannWindow": _window("hann_window"),
    "MelWeightMatrix": mel_weight_matrix,
    "STFT": stft,
}
