"""Weights that others have published: safetensors files of any origin, read tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from safetensors import SafetensorError, safe_open

from netlang.diagnostics import DiagnosticError, fail
from netlang.types import TensorType

from ..compiler.dtypes import numpy_dtype
from .files import reading, unreadable

_DTYPES = {
    **{
        name.upper(): name
        for name in ("f16", "bf16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
    },
    "BOOL": "bool",
    "F8_E4M3": "f8e4m3fn",
    "F8_E5M2": "f8e5m2",
}
"""Types of elements as safetensors files call them, and as the language does."""

MAX_TENSORS = 500_000
"""More than any published model has; names beyond that are only there to keep a reader busy."""

_PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How files of PyTorch begin: an archive, or a pickle."""


class WeightFile:
    """The tensors of a safetensors file. The header is checked at once; numbers are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Raises DiagnosticError: `unreadable-file`, `bad-weights` where it is damaged or of another kind."""
        self.path = path
        start = reading(path, lambda file: file.read(8))
        if start.startswith(_PICKLED):
            raise _bad(path, "it is one of PyTorch's, which can hold programs and is not opened", _CONVERT)
        try:
            with safe_open(path, framework="numpy"):  # checks that the header and the file agree
                pass
        except OSError as error:
            raise unreadable(path, error) from None
        except (SafetensorError, ValueError, TypeError) as error:
            raise _bad(path, str(error).removeprefix("Error while deserializing header: ")) from None
        length = int.from_bytes(start, "little")
        header = json.loads(reading(path, lambda file: file.read(8 + length))[8:])
        self._entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        if len(self._entries) > MAX_TENSORS:
            raise _bad(path, f"it names {len(self._entries):,} tensors, more than {MAX_TENSORS:,}")
        self._data = 8 + length
        self._types = {name: self._type(name) for name in self._entries}

    @property
    def types(self) -> Mapping[str, TensorType]:
        """The types of the tensors, by name."""
        return MappingProxyType(self._types)

    def read(self, name: str) -> np.ndarray:
        """A tensor, which lies in the file until its elements are looked at."""
        type_, (start, _) = self._types[name], self._entries[name]["data_offsets"]
        shape = tuple(self._entries[name]["shape"])
        if 0 in shape:
            return np.zeros(shape, numpy_dtype(type_.dtype))
        return np.memmap(self.path, numpy_dtype(type_.dtype), "r", self._data + start, shape)

    def _type(self, name: str) -> TensorType:
        entry = self._entries[name]
        if entry["dtype"] not in _DTYPES:
            raise _bad(self.path, f"the elements of `{name[:100]}` are {entry['dtype']}, which has no meaning here")
        return TensorType(_DTYPES[entry["dtype"]], tuple(entry["shape"]))


_CONVERT = (
    'once, where PyTorch is: `safetensors.torch.save_file(torch.load("model.pth", weights_only=True), '
    '"model.safetensors")`'
)


def _bad(path: Path, why: str, help: str | None = None) -> DiagnosticError:
    help = help or "it should be the safetensors file as it was published: fetch it again"
    return fail("bad-weights", f"`{path}` holds no weights that can be used: {why}", help=help)
