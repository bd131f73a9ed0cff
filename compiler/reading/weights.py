"""The content of a model's tensors, which may lie outside the model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import numpy_helper

from netlang.diagnostics import fail

from .checks import data_length, malformed

External = Callable[[str, int, int | None], bytes]
"""(location, offset, length or None for the rest) -> the bytes of a weight kept outside the model."""

DENSE_LIMIT = 1 << 24
"""Largest number of elements of a sparse tensor made dense."""


def no_external(location: str, offset: int, length: int | None) -> bytes:
    """Refuses external data: the model did not come from a file."""
    raise fail(
        "onnx-external",
        f"the external data `{location[:200]}` cannot be used: the model was not given as a file",
        help="give the path of the model",
    )


def content(tensor: onnx.TensorProto, external: External) -> np.ndarray:
    """The elements of a checked tensor.

    Raises DiagnosticError: `onnx-malformed` where external data is described wrongly or is of another length than the
    shape says, `onnx-external` where it cannot be read.
    """
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    entries = {entry.key: entry.value for entry in tensor.external_data}
    offset = _number(tensor, entries.get("offset", "0"))
    expected = data_length(tensor)
    length = _number(tensor, entries["length"]) if "length" in entries else expected
    if length != expected:
        raise malformed(f"the tensor `{tensor.name}` has too much or too little data", expected, length)
    data = external(entries.get("location", ""), offset, length)
    return numpy_helper.to_array(onnx.TensorProto(dims=tensor.dims, data_type=tensor.data_type, raw_data=data))


def dense(tensor: onnx.SparseTensorProto, external: External) -> np.ndarray:
    """A sparse tensor with its zeros. Raises DiagnosticError (`onnx-malformed`, `onnx-too-large`)."""
    shape = tuple(tensor.dims)
    count = int(np.prod([*shape, 1], dtype=object))
    if min(shape, default=0) < 0 or count > DENSE_LIMIT:
        title = f"the sparse tensor `{tensor.values.name}` is of shape {list(shape)}"
        raise fail("onnx-too-large", title, expected=f"at most {DENSE_LIMIT} elements", found=count)
    values, indices = content(tensor.values, external), content(tensor.indices, external)
    if indices.ndim == 2 and indices.shape == (len(values), len(shape)):
        places = np.zeros(len(values), np.int64)
        for axis, size in enumerate(shape):
            if len(values) and not ((indices[:, axis] >= 0) & (indices[:, axis] < size)).all():
                raise malformed(f"an index of the sparse tensor `{tensor.values.name}` is out of range")
            places = places * size + indices[:, axis]
    else:
        places = indices
    if places.shape != values.shape or (places.size and not (places.min() >= 0 and places.max() < count)):
        raise malformed(f"the indices of the sparse tensor `{tensor.values.name}` do not fit its values")
    flat = np.zeros(count, values.dtype)
    flat[places] = values
    return flat.reshape(shape)


def _number(tensor: onnx.TensorProto, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise malformed(f"the external data of `{tensor.name}` has no valid offset or length", "a number", text[:40])
    return int(text)
