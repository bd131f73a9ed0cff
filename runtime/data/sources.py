"""The kinds of data source, and how a source is named: `digits`, `mnist:DIR`, or a path whose kind is guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from netlang.diagnostics import DiagnosticError, did_you_mean, fail

from .delimited import csv_dataset
from .digits import digits
from .idx import idx_directory, is_idx_directory
from .images import ImageTable, image_dataset, is_image_directory
from .numpy_files import npy_dataset, npz_dataset
from .table import ArrayTable, Dataset, Table, split_off, spread
from .text import text_dataset


@dataclass(frozen=True, slots=True)
class DataOptions:
    """What a user may ask of a data source.

    limit: at most so many rows of each split, evenly spread (of a text, windows from the beginning).
    length: characters of a window of text.
    validation, test: fractions of the training rows to hold out, the same rows always.
    """

    limit: int | None = None
    length: int | None = None
    validation: float = 0.0
    test: float = 0.0


Reader = Callable[[Path, DataOptions], Dataset]


def open_data(spec: str, options: DataOptions | None = None) -> Dataset:
    """The data set that `spec` names: `digits`, `KIND:PATH`, or a path.

    Raises DiagnosticError (`unknown-source`, `unreadable-file`, `bad-data`, `truncated-data`, …).
    """
    options = options or DataOptions()
    _check(options)
    if spec == "digits":
        return _parted(digits(), options)
    kind, path = _kind(spec)
    return _parted(replace(READERS[kind](path, options), name=spec), options)


READERS: dict[str, Reader] = {
    "csv": lambda path, options: csv_dataset(path),
    "images": lambda path, options: image_dataset(_directory(path)),
    "mnist": lambda path, options: idx_directory(_directory(path)),
    "npy": lambda path, options: npy_dataset(path),
    "npz": lambda path, options: npz_dataset(path),
    "text": lambda path, options: text_dataset(path, options.length, options.limit),
}
"""Kinds of source, as they are written before the colon."""


def _kind(spec: str) -> tuple[str, Path]:
    kind, colon, rest = spec.partition(":")
    if colon and kind in READERS:
        path = Path(rest).expanduser()
        if not path.exists():
            raise fail("unreadable-file", f"there is no file or folder `{rest}`")
        return kind, path
    path = Path(spec).expanduser()
    if not path.exists():
        raise _unknown(spec)
    guessed = _guess(path)
    if guessed is None:
        raise fail("unknown-source", f"`{spec}` is of no kind that is known", help=f"name one: {_kinds()}")
    return guessed, path


def _guess(path: Path) -> str | None:
    """The kind of a file or folder, by its content where that tells."""
    if path.is_dir():
        if is_idx_directory(path):
            return "mnist"
        if is_image_directory(path):
            return "images"
        return "npy" if any(path.glob("*.npy")) else None
    with path.open("rb") as file:
        beginning = file.read(4096)
    if beginning.startswith(b"\x93NUMPY"):
        return "npy"
    if beginning.startswith(b"PK"):
        return "npz"
    if b"\0" in beginning:
        return None
    return "csv" if path.suffix.lower() in (".csv", ".tsv") else "text"


def _directory(path: Path) -> Path:
    if not path.is_dir():
        raise fail("unreadable-file", f"`{path}` is no folder")
    return path


def _unknown(spec: str) -> DiagnosticError:
    kind = spec.partition(":")[0]
    help = did_you_mean(kind, ["digits", *READERS]) or f"one of `digits`, {_kinds()}, or a path"
    return fail("unknown-source", f"there is no data source or file `{spec}`", help=help)


def _kinds() -> str:
    return ", ".join(f"`{kind}:PATH`" for kind in READERS)


def _check(options: DataOptions) -> None:
    for name in ("limit", "length"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise fail("bad-value", f"`{name}` must be at least 1, found {value}")
    for name in ("validation", "test"):
        value = getattr(options, name)
        if not 0 <= value < 1:
            raise fail("bad-value", f"the {name} part must be a fraction from 0 up to 1, found {value:g}")


def _parted(dataset: Dataset, options: DataOptions) -> Dataset:
    """The data set with its rows limited and splits held out as the options say."""
    splits = dict(dataset.splits)
    for key, name in enumerate(("test", "validation")):
        fraction = getattr(options, name)
        if fraction:
            splits |= _hold_out(dataset, splits, name, fraction, key)
    if options.limit is not None:
        splits = {name: _limited(table, options.limit) for name, table in splits.items()}
    return replace(dataset, splits=splits)


def _hold_out(dataset: Dataset, splits: dict[str, Table], name: str, fraction: float, key: int) -> dict[str, Table]:
    train = splits.get("train")
    if name in splits:
        raise fail("bad-value", f"`{dataset.name}` has a {name} part of its own", help=f"leave out `--{name}`")
    if not isinstance(train, ArrayTable | ImageTable):
        raise fail("bad-value", f"no {name} part can be held out of `{dataset.name}`")
    kept, held = split_off(len(train.sequence()), fraction, key)
    if len(kept) == 0 or len(held) == 0:
        raise fail("bad-value", f"{fraction:g} of {len(train.sequence())} rows leaves one part empty")
    return {"train": train.part(kept), name: train.part(held)}


def _limited(table: Table, limit: int) -> Table:
    """At most `limit` rows of a table; the windows of a text, which overlap, were limited as it was read."""
    if not isinstance(table, ArrayTable | ImageTable):
        return table
    return table.part(spread(len(table.sequence()), limit))
