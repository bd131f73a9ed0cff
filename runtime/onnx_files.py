"""ONNX models on disk: the file itself, and the files beside it that hold weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import onnx

from netlang.diagnostics import DiagnosticError, fail

from ..compiler.reading.checks import parse
from .files import unreadable

FILE_LIMIT = (1 << 31) - 1
"""Largest model file in bytes: protobuf knows no larger message. What is larger keeps its weights in other files."""

External = Callable[[str, int, int | None], bytes]
"""(location, offset, length or None for the rest) -> the bytes of a weight kept outside the model file."""

_ESCAPES = re.compile(r"^[/\\]|^[A-Za-z]:|[\x00]|(^|[/\\])\.\.([/\\]|$)")


def load_onnx(path: Path) -> tuple[onnx.ModelProto, External]:
    """The model in a file, and what reads its external weights, from files in the folder of `path` only.

    Raises DiagnosticError: `unreadable-file`, `onnx-too-large`, `onnx-malformed` where it is no model.
    """
    try:
        size = path.stat().st_size
        if size > FILE_LIMIT:
            raise fail("onnx-too-large", f"`{path}` has {size} bytes", expected=f"at most {FILE_LIMIT}", found=size)
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    folder = path.parent
    return parse(content), lambda location, offset, length: read_external(folder, location, offset, length)


def read_external(folder: Path, location: str, offset: int, length: int | None) -> bytes:
    """A range of a file inside `folder`; nothing is read before all of it is known to be there.

    Raises DiagnosticError (`onnx-external`) where the file is missing, lies outside the folder (by `..`, as an absolute
    path or through a link), is no plain file, or is shorter than the range.
    """
    path = _inside(folder, location)
    try:
        size = path.stat().st_size
        end = size if length is None else offset + length
        if offset < 0 or end < offset or end > size:
            raise _external(location, "its range lies outside the file", f"within {size} bytes", f"{offset} to {end}")
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(end - offset)
    except OSError as error:
        raise _external(location, (error.strerror or str(error)).lower()) from None


def _inside(folder: Path, location: str) -> Path:
    """The file that `location` names. Raises DiagnosticError (`onnx-external`) where that is none inside `folder`."""
    if not location or _ESCAPES.search(location):
        raise _external(location, "it must lie beside the model", "a relative path without `..`", location)
    path = folder / location
    try:
        actual = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise _external(location, "there is no such file") from None
    if not actual.is_relative_to(folder.resolve()):
        raise _external(location, "it is a link out of the model's folder")
    if not actual.is_file():
        raise _external(location, "it is no plain file")
    return actual


def _external(location: str, reason: str, expected: object = None, found: object = None) -> DiagnosticError:
    title = f"the external data `{location[:200]}` cannot be used: {reason}"
    return fail("onnx-external", title, expected=expected, found=found)
