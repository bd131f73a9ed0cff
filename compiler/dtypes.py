"""The dtypes of the language, the opaque ones of ONNX included, and their names elsewhere."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

_NUMPY: dict[str, np.dtype[Any]] = {
    "f16": np.dtype(np.float16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    "i8": np.dtype(np.int8),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "u8": np.dtype(np.uint8),
    "u16": np.dtype(np.uint16),
    "u32": np.dtype(np.uint32),
    "u64": np.dtype(np.uint64),
    "bool": np.dtype(np.bool_),
    "string": np.dtype(np.object_),
    "c64": np.dtype(np.complex64),
    "c128": np.dtype(np.complex128),
}
_NAMES = {dtype: name for name, dtype in _NUMPY.items()}

_ML_DTYPES = {
    "bf16": "bfloat16",
    "f8e4m3fn": "float8_e4m3fn",
    "f8e4m3fnuz": "float8_e4m3fnuz",
    "f8e5m2": "float8_e5m2",
    "f8e5m2fnuz": "float8_e5m2fnuz",
    "f8e8m0": "float8_e8m0fnu",
    "f6e2m3": "float6_e2m3fn",
    "f6e3m2": "float6_e3m2fn",
    "f4e2m1": "float4_e2m1fn",
    "i4": "int4",
    "u4": "uint4",
    "i2": "int2",
    "u2": "uint2",
}
"""Those that the package `ml_dtypes` adds to NumPy, which is imported for a program that has one."""
_ML_NAMES = {added: name for name, added in _ML_DTYPES.items()}


@cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype for a dtype of the language. Raises KeyError."""
    if name not in _ML_DTYPES:
        return _NUMPY[name]
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, _ML_DTYPES[name]))


def largest(name: str) -> float:
    """The largest finite number of a float dtype of the language."""
    if name not in _ML_DTYPES:
        return float(np.finfo(_NUMPY[name]).max)
    import ml_dtypes

    return float(ml_dtypes.finfo(numpy_dtype(name)).max)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The language's name of a NumPy dtype. Raises KeyError."""
    dtype = np.dtype(dtype)
    return _NAMES[dtype] if dtype in _NAMES else _ML_NAMES[dtype.name]
