"""Reading what a user names, and writing so that a crash or a full disk loses nothing."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from netlang.diagnostics import DiagnosticError, fail

Chunk = bytes | memoryview
Result = TypeVar("Result")

_UNFINISHED = ".tmp"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def unreadable(path: Path | str, error: OSError | str, help: str | None = None) -> DiagnosticError:
    """The error for a file that cannot be read."""
    reason = error if isinstance(error, str) else (error.strerror or str(error)).lower()
    return fail("unreadable-file", f"cannot read `{path}`: {reason}", help=help)


def unwritable(path: Path | str, error: OSError) -> DiagnosticError:
    """The error for a file that cannot be written; what stood there before is still there."""
    if error.errno in _FULL:
        return fail(
            "disk-full",
            f"no space left to write `{path}`",
            notes=["nothing was lost: the previous version of the file is untouched"],
            help="free some space and do it again; a training that has begun goes on with `--resume`",
        )
    return fail("unwritable-file", f"cannot write `{path}`: {(error.strerror or str(error)).lower()}")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path in the directory of `path` that takes its place when the block ends without an error.

    The contents are on the disk before the name changes, so after a crash at any moment `path` holds either all of the
    old bytes or all of the new ones. Raises DiagnosticError (`disk-full`, `unwritable-file`).
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED)
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        _synchronise(temporary)
        temporary.chmod(0o666 & ~_umask())  # mkstemp is private; a result is an ordinary file
        temporary.replace(path)
        _synchronise(path.parent)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, chunks: Iterable[Chunk]) -> None:
    """Replaces `path` by the concatenated chunks, or leaves it as it was. Raises DiagnosticError."""
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def remove_unfinished(directory: Path) -> None:
    """Removes what processes that were killed had begun to write. Nobody may be writing there."""
    for path in directory.glob(f".*{_UNFINISHED}"):
        with contextlib.suppress(OSError):  # where nothing can be removed, the next file cannot be written, and says so
            path.unlink()


def write_json(path: Path, content: Any) -> None:
    """Writes JSON for people and programs, atomically. Raises DiagnosticError."""
    write_atomically(path, [json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"])


def make_directory(path: Path) -> Path:
    """Creates a directory and its parents. Raises DiagnosticError (`unwritable-file`, `disk-full`)."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def require_text(path: Path) -> None:
    """Refuses a place with a name that is not UTF-8, which ONNX cannot read. Raises DiagnosticError
    (`unwritable-file`)."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        help = "rename the file or folder"
        raise fail("unwritable-file", f"the name of `{path.absolute()}` is not UTF-8 text", help=help) from None


def lock(directory: Path) -> int | None:
    """A descriptor that keeps a directory for this process until it is closed; None where another one has it.

    Systems without such locks, as Windows, and drives without them, keep nobody away.
    """
    try:
        import fcntl
    except ImportError:
        return os.open(os.devnull, os.O_RDONLY)
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise unreadable(directory, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        pass
    return descriptor


def read_text(path: Path, limit: int, kind: str = "file") -> str:
    """The UTF-8 text of a file of at most `limit` bytes. Raises DiagnosticError (`unreadable-file`)."""
    data = read_bytes(path, limit, kind)
    if b"\0" in data:
        raise unreadable(path, f"this is a binary file, not a {kind}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise unreadable(path, f"line {line} is not UTF-8 text", help="save the file as UTF-8") from None


def read_bytes(path: Path, limit: int, kind: str = "file") -> bytes:
    """The contents of a file of at most `limit` bytes. Raises DiagnosticError (`unreadable-file`)."""

    def read(file: BinaryIO) -> bytes:
        data = file.read(limit + 1)
        if len(data) > limit:
            raise unreadable(path, f"larger than the {limit / 1e6:g} MB that a {kind} may have")
        return data

    return reading(path, read)


def reading(path: Path, read: Callable[[BinaryIO], Result]) -> Result:
    """`read(file)` for the file at `path` opened in binary. Raises DiagnosticError (`unreadable-file`)."""
    try:
        if path.is_dir():
            raise unreadable(path, "this is a directory")
        with path.open("rb") as file:
            return read(file)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise unreadable(path, error if isinstance(error, OSError) else str(error)) from None


def _synchronise(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows opens no directories, and journals the names itself
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
