"""The idx format of MNIST and its relatives: a header with dtype and sizes, then the elements, big-endian."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from netlang.diagnostics import DiagnosticError, fail

from ..files import reading
from .table import ArrayTable, Dataset
from .vocabulary import numbered

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DEFLATE_RATIO = 1032
_SPLITS = {"train": ("train",), "test": ("t10k", "test"), "validation": ("validation", "valid")}


def read_idx(path: Path) -> np.ndarray:
    """The array in an idx file, compressed with gzip or not. Raises DiagnosticError (`bad-data`, `truncated-data`)."""
    return reading(path, lambda file: _read(path, file))


def idx_directory(folder: Path) -> Dataset:
    """The data set in a folder of idx files, such as MNIST, Fashion-MNIST or EMNIST.

    Files are told apart by their names: `train`, or `t10k` or `test`; `images`, or `labels`. Columns: `image`
    f32[1, height, width] in [0, 1], `label` i64. Raises DiagnosticError.
    """
    splits = {name: table for name, marks in _SPLITS.items() if (table := _split(folder, marks)) is not None}
    if "train" not in splits and "test" not in splits:
        raise fail(
            "bad-data",
            f"`{folder}` holds no idx files",
            help="it should hold files such as `train-images-idx3-ubyte.gz` and `train-labels-idx1-ubyte.gz`",
        )
    classes = max(table.fields["label"].classes or 0 for table in splits.values())
    return Dataset(f"mnist:{folder}", splits, {"classes": classes}, {"label": numbered(classes)})


def is_idx_directory(folder: Path) -> bool:
    """Whether a folder holds files with names such as `…-images-idx3-ubyte`."""
    return any(folder.glob("*images*idx*"))


def _split(folder: Path, marks: tuple[str, ...]) -> ArrayTable | None:
    image_file, label_file = _find(folder, marks, "images"), _find(folder, marks, "labels")
    if image_file is None or label_file is None:
        present = image_file or label_file
        if present is not None:
            raise fail("bad-data", f"`{present}` has no counterpart with {'images' if label_file else 'labels'}")
        return None
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise fail("bad-data", f"`{image_file}` holds no images", expected="u8[n, height, width]", found=_type(images))
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise fail("bad-data", f"`{label_file}` holds no labels", expected="u8[n]", found=_type(labels))
    if len(images) != len(labels) or len(images) == 0:
        raise fail("bad-data", f"`{folder}` has {len(images)} images and {len(labels)} labels in one split")
    return ArrayTable({"image": images[:, None], "label": labels}, divisors={"image": 255}, images=("image",))


def _find(folder: Path, marks: tuple[str, ...], kind: str) -> Path | None:
    found = [
        path
        for path in sorted(folder.iterdir())
        if kind in path.name and "idx" in path.name and any(mark in path.name for mark in marks)
    ]
    return found[0] if found else None


def _read(path: Path, file: BinaryIO) -> np.ndarray:
    compressed = file.read(2) == b"\x1f\x8b"
    size = file.seek(0, 2)
    file.seek(0)
    if not compressed:
        return _parse(path, file, size)
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            return _parse(path, stream, size * _MAX_DEFLATE_RATIO)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise fail("bad-data", f"`{path}` is damaged: {str(error).lower()}", help=_AGAIN) from None
    except EOFError:
        raise _truncated(path, "the compressed stream ends early") from None


def _parse(path: Path, stream: BinaryIO | gzip.GzipFile, limit: int) -> np.ndarray:
    """Reads the array; `limit` is the number of bytes that the file can hold, checked before any are allocated."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        raise fail("bad-data", f"`{path}` is no idx file: it begins with {magic.hex(' ') or 'nothing'}")
    dtype, rank = np.dtype(_DTYPES[magic[2]]), magic[3]
    header = stream.read(4 * rank)
    if len(header) < 4 * rank:
        raise _truncated(path, "the header ends early")
    shape = struct.unpack(f">{rank}I", header)
    wanted = math.prod(shape) * dtype.itemsize
    data = stream.read(wanted) if wanted <= limit else b""
    if len(data) < wanted:
        raise _truncated(
            path, f"its header promises {wanted:,} bytes of data", f"{len(data):,} bytes" if data else None
        )
    if stream.read(1):
        raise fail("bad-data", f"`{path}` is longer than its header says", expected=f"{wanted:,} bytes of data")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


_AGAIN = "download or copy it again"


def _truncated(path: Path, why: str, found: str | None = None) -> DiagnosticError:
    return fail("truncated-data", f"`{path}` is incomplete: {why}", found=found, help=_AGAIN)


def _type(array: np.ndarray) -> str:
    return f"{array.dtype}{list(array.shape)}"
