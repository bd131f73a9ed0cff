"""Arrays in NumPy's own files, `.npy` and `.npz`, checked before they are read. Pickled objects are refused."""

from __future__ import annotations

import io
import lzma
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from netlang.diagnostics import DiagnosticError, fail

from ..files import reading
from .table import ArrayTable, Dataset

SPLITS = ("train", "validation", "test")
_SUFFIX = re.compile(rf"(.+)_({'|'.join(SPLITS)})")
_ENCRYPTED = 1
_AGAIN = "write or copy it again"
_NO_HEADER = (ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError)
"""What NumPy raises for a header that is none: it reads it as a Python expression."""


def read_npy(path: Path) -> np.ndarray:
    """The array in a `.npy` file. Raises DiagnosticError (`bad-data`, `truncated-data`)."""
    return reading(path, lambda file: _array(str(path), file, path.stat().st_size))


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a `.npz` file, by name. Raises DiagnosticError (`bad-data`, `truncated-data`)."""
    return reading(path, lambda file: _archive(path, file))


def npz_dataset(path: Path) -> Dataset:
    """The data set in a `.npz` file: arrays with the same number of rows.

    Names may end in `_train`, `_validation` or `_test` to say their split (`x_train`, `y_test`); without that, all
    rows are for training.
    """
    return array_dataset(f"npz:{path}", read_npz(path))


def npy_dataset(path: Path) -> Dataset:
    """The data set in one `.npy` file, or in all those of a folder, each a column by the name of its file."""
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if not files:
        raise fail("bad-data", f"`{path}` holds no `.npy` files")
    return array_dataset(f"npy:{path}", {file.stem: read_npy(file) for file in files})


def array_dataset(name: str, arrays: Mapping[str, np.ndarray]) -> Dataset:
    """Arrays by name as a data set: columns, and splits by the suffix of names. Raises DiagnosticError (`bad-data`)."""
    columns: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        match = _SUFFIX.fullmatch(key)
        column, split = match.groups() if match else (key, "train")
        columns.setdefault(split, {})[column] = array
    if not columns:
        raise fail("bad-data", f"`{name}` holds no arrays")
    for split, table in columns.items():
        _check_columns(name, split, table)
    splits = {split: ArrayTable(columns[split]) for split in SPLITS if split in columns}
    return Dataset(name, splits)


def _check_columns(name: str, split: str, columns: Mapping[str, np.ndarray]) -> None:
    for column, array in columns.items():
        if array.dtype.kind not in "iufb":
            raise fail("bad-data", f"`{column}` of `{name}` holds no numbers: its dtype is {array.dtype}")
        if array.ndim == 0:
            raise fail("bad-data", f"`{column}` of `{name}` is a single number", help="a data set needs rows")
    rows = {column: len(array) for column, array in columns.items()}
    if not any(rows.values()):
        raise fail("bad-data", f"the {split} part of `{name}` has no rows")
    if len(set(rows.values())) > 1:
        found = ", ".join(f"{column}: {count}" for column, count in rows.items())
        raise fail("bad-data", f"the arrays of `{name}` ({split}) must have the same number of rows", found=found)


def _archive(path: Path, file: BinaryIO) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            return {
                member.filename.removesuffix(".npy"): _member(path, archive, member) for member in archive.infolist()
            }
    except zipfile.BadZipFile as error:
        reason = str(error).lower()
        raise fail("truncated-data", f"`{path}` is damaged or incomplete: {reason}", help=_AGAIN) from None
    except (zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        raise fail("bad-data", f"`{path}` is damaged: {str(error).lower()}", help=_AGAIN) from None


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = f"{path}:{member.filename}"
    if not member.filename.endswith(".npy"):
        raise fail("bad-data", f"`{name}` is no array: a `.npz` file holds `.npy` files")
    if member.flag_bits & _ENCRYPTED:
        raise fail("bad-data", f"`{name}` is encrypted", help="save it without a password")
    with archive.open(member) as stream:
        return _array(name, io.BufferedReader(stream), member.file_size)  # type: ignore[arg-type]


def _array(name: str, file: BinaryIO | io.BufferedReader, size: int) -> np.ndarray:
    """Reads an array of a file of `size` bytes: what its header promises is compared with that before it is read."""
    try:
        version = npy.read_magic(file)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read_header is None:
            raise fail("bad-data", f"`{name}` is of version {version[0]}.{version[1]} of the format")
        shape, column_major, dtype = read_header(file)
    except _NO_HEADER as error:
        raise fail("bad-data", f"`{name}` is no NumPy array: {_sentence(error)}") from None
    if dtype.hasobject:
        raise fail("bad-data", f"`{name}` holds Python objects", help="save it with a numeric dtype")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > size:
        raise _truncated(name, wanted, size)
    data = file.read(wanted)
    if len(data) < wanted:
        raise _truncated(name, wanted, len(data))
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if column_major else "C")
    return array.astype(dtype.newbyteorder("=")) if not dtype.isnative else array


def _truncated(name: str, wanted: int, found: int) -> DiagnosticError:
    title = f"`{name}` is incomplete: its header promises {wanted:,} bytes of data"
    return fail("truncated-data", title, found=f"{found:,} bytes", help=_AGAIN)


def _sentence(error: Exception) -> str:
    """The first line of its message; a TokenError has its place behind that."""
    lines = str(error.args[0]).splitlines() if error.args else []
    return lines[0].rstrip(".").lower() if lines else "damaged"
