"""Text files of one example a line, compressed or not, and the splits that stand beside a training file."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from netlang.diagnostics import fail

from ..files import read_bytes, reading, unreadable

SIZE_LIMIT = 2_000_000_000
LINES_LIMIT = 100_000_000
_MARKS = {"validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
_AGAIN = "download or copy it again"


class Lines(NamedTuple):
    """The lines of a file without their ends. `note` says how they were read where that is not plain."""

    texts: list[str]
    note: str | None = None


def read_lines(path: Path) -> Lines:
    """The lines of a text file, compressed with gzip or not: UTF-8, or where it is not, Windows-1252, with a note.

    Raises DiagnosticError (`unreadable-file`, `bad-data`, `truncated-data`).
    """
    data = reading(path, lambda file: _unpacked(path, file))
    if b"\0" in data:
        raise unreadable(path, "this is a binary file, not a text file")
    lines = data.replace(b"\r\n", b"\n").removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n")
    if len(lines) > LINES_LIMIT:
        raise unreadable(path, f"more than {LINES_LIMIT:,} lines")
    return Lines([]) if lines == [b""] else _decoded(path, lines)


def sibling_splits(path: Path) -> dict[str, Path]:
    """The files of the splits that go with a training file, by their names.

    Beside `train.de.gz` these are `val.de.gz` (or `valid`, `validation`, `dev`) and `test.de.gz`, or the first of
    `test….de.gz`. A file whose name does not begin with `train` stands alone.
    """
    found = {"train": path}
    if not path.name.startswith("train"):
        return found
    rest = path.name.removeprefix("train")
    for split, marks in _MARKS.items():
        candidates = [path.with_name(mark + rest) for mark in marks]
        candidates += [other for mark in marks for other in _beside(path, mark, rest)]
        present = [other for other in candidates if other.is_file()]
        if present:
            found[split] = present[0]
    return found


def _beside(path: Path, mark: str, rest: str) -> list[Path]:
    try:
        names = [other for other in path.parent.iterdir() if other.name.startswith(mark) and other.name.endswith(rest)]
    except OSError as error:
        raise unreadable(path.parent, error) from None
    return sorted(names)


def _decoded(path: Path, lines: list[bytes]) -> Lines:
    try:
        return Lines([line.decode() for line in lines])
    except UnicodeDecodeError:
        number = next(number for number, line in enumerate(lines, start=1) if not _is_utf8(line))
    try:
        texts = [line.decode("cp1252") for line in lines]
    except UnicodeDecodeError:
        raise unreadable(path, f"line {number} is not UTF-8 text", help="save the file as UTF-8") from None
    return Lines(texts, f"`{path}` is not UTF-8 (line {number}): read as Windows-1252")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unpacked(path: Path, file: BinaryIO) -> bytes:
    if file.read(2) != b"\x1f\x8b":
        return read_bytes(path, SIZE_LIMIT, "text file")
    file.seek(0)
    try:
        with gzip.GzipFile(fileobj=file) as stream:
            return _limited(path, stream)
    except (gzip.BadGzipFile, zlib.error) as error:
        raise fail("bad-data", f"`{path}` is damaged: {str(error).lower()}", help=_AGAIN) from None
    except EOFError:
        title = f"`{path}` is incomplete: the compressed stream ends early"
        raise fail("truncated-data", title, help=_AGAIN) from None


def _limited(path: Path, stream: gzip.GzipFile) -> bytes:
    """The bytes of a stream, read piece by piece: a small file may hold any number of them."""
    buffer = io.BytesIO()
    while piece := stream.read(1 << 20):
        buffer.write(piece)
        if buffer.tell() > SIZE_LIMIT:
            raise unreadable(path, f"larger than the {SIZE_LIMIT / 1e6:g} MB that a text file may have")
    return buffer.getvalue()
