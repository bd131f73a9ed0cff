"""The dtypes of the language and their names elsewhere."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

_NUMPY: dict[str, np.dtype[Any]] = {
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
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
}
_NAMES = {dtype: name for name, dtype in _NUMPY.items()}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype for a dtype of the language. Raises KeyError."""
    return _NUMPY[name]


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The language's name of a NumPy dtype. Raises KeyError."""
    return _NAMES[np.dtype(dtype)]
