"""Memory that kernels are fast on: from the beginning of a cache line, and for large results used before."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np

LINE = 64
"""Bytes of a cache line. A product whose rows begin anywhere else takes longer: the Transformer, for 61 MB of its
results, 5 to 7 %."""

LARGE = 1 << 20
"""Bytes from which the system gives fresh pages for each array, and takes 0.1 ms for each megabyte of them."""

Shape = tuple[int, ...]


def aligned(shape: Shape, dtype: np.dtype[Any]) -> np.ndarray:
    """An array of zeros that begins at a cache line."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.zeros(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size].view(dtype).reshape(shape)


class ResultMemory:
    """Arrays for the results of one kind. It keeps what two of the latest size need, at most."""

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []

    def array(self, shape: Shape, dtype: np.dtype[Any]) -> np.ndarray:
        """An array with any content. Its memory comes back when neither it nor a view of it is held any more."""
        size = math.prod(shape) * dtype.itemsize
        if size < LARGE:
            return aligned(shape, dtype)
        memory = self._taken()
        if memory is None or memory.nbytes != size:
            self._free.clear()
            memory = aligned((size,), np.dtype(np.uint8))
        lease = _Lease(memory, shape, dtype)
        weakref.finalize(lease, _give_back, self._free, memory).atexit = False
        return np.asarray(lease)

    def _taken(self) -> np.ndarray | None:
        """In one step: memory comes back, of any size, whenever a result ends, and several threads may ask."""
        try:
            return self._free.pop()
        except IndexError:
            return None


class _Lease:
    """What an array in lent memory has for its base, so that views of it hold this as well."""

    def __init__(self, memory: np.ndarray, shape: Shape, dtype: np.dtype[Any]) -> None:
        place = (memory.ctypes.data, False)
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str, "data": place}


def _give_back(free: list[np.ndarray], memory: np.ndarray) -> None:
    if len(free) < 2:
        free.append(memory)
