"""The kinds of data source, and how a source is named: `digits`, `mnist:DIR`, or a path whose kind is guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netlang.diagnostics import DiagnosticError, did_you_mean, fail

from .delimited import csv_dataset
from .digits import digits
from .idx import idx_directory, is_idx_directory
from .images import ImageTable, image_dataset, is_image_directory
from .neighbours import ContextTable, NeighbourTable, neighbour_dataset
from .numpy_files import npy_dataset, npz_dataset
from .parallel import parallel_dataset
from .planetoid import is_planetoid_directory, planetoid_dataset
from .ragged import SequenceTable
from .sentences import sentence_dataset
from .table import ArrayTable, Dataset, Table, split_off, spread
from .text import text_dataset
from .vocabulary import Vocabulary
from .vocabulary_file import read_vocabularies
from .walks import walk_dataset


@dataclass(frozen=True, slots=True)
class DataOptions:
    """What a user may ask of a data source.

    limit: at most so many rows of each split, evenly spread (of a text, windows from the beginning).
    length: tokens of a window of text; the most tokens of a sentence.
    validation, test: fractions of the training rows to hold out, the same rows always.
    tokens: how text becomes tokens (`words:8000`), or the file of a vocabulary that is there already.
    """

    limit: int | None = None
    length: int | None = None
    validation: float = 0.0
    test: float = 0.0
    tokens: str | None = None


Divisible = ArrayTable | ImageTable | SequenceTable
"""Tables whose rows can be put into tables of their own."""

Given = Mapping[str, Vocabulary]
"""Vocabularies that are there already, by column."""

Reader = Callable[[str, DataOptions, Given], Dataset]


def open_data(
    spec: str, options: DataOptions | None = None, vocabularies: Given | None = None, **chosen: Any
) -> Dataset:
    """The data set that `spec` names: `digits`, `KIND:PATH`, or a path.

    >>> open_data("parallel:train.de,train.en", tokens="words:8000")

    `chosen` are options by name. `vocabularies` are those of data that was read before, so that the same words get the
    same numbers. Raises DiagnosticError (`unknown-source`, `unreadable-file`, `bad-data`, `truncated-data`, …).
    """
    options = replace(options or DataOptions(), **chosen)
    _check(options)
    if spec == "digits":
        kind, rest = spec, ""
    else:
        kind, rest = _kind(spec)
    given = _given(kind, options, vocabularies or {})
    dataset = digits() if kind == "digits" else READERS[kind](rest, options, given)
    return _parted(replace(dataset, name=spec), options)


def _neighbours(table: type[NeighbourTable | ContextTable]) -> Reader:
    """The reader of running text as this kind of table."""
    return lambda rest, options, given: neighbour_dataset(_path(rest), options.tokens, options.length, given, table)


READERS: dict[str, Reader] = {
    "contexts": _neighbours(ContextTable),
    "csv": lambda rest, options, given: csv_dataset(_path(rest), given),
    "images": lambda rest, options, given: image_dataset(_directory(rest), given),
    "mnist": lambda rest, options, given: idx_directory(_directory(rest)),
    "neighbours": _neighbours(NeighbourTable),
    "npy": lambda rest, options, given: npy_dataset(_path(rest)),
    "npz": lambda rest, options, given: npz_dataset(_path(rest)),
    "parallel": lambda rest, options, given: parallel_dataset(*_two_paths(rest), options.tokens, options.length, given),
    "planetoid": lambda rest, options, given: planetoid_dataset(_path(rest)),
    "sentences": lambda rest, options, given: sentence_dataset(_path(rest), options.tokens, options.length, given),
    "text": lambda rest, options, given: text_dataset(
        _path(rest), options.tokens, options.length, options.limit, given
    ),
    "walks": lambda rest, options, given: walk_dataset(rest, options.length, given),
}
"""Kinds of source, as they are written before the colon."""

TEXT = ("contexts", "neighbours", "parallel", "sentences", "text")
"""The kinds that make tokens of text."""


def _given(kind: str, options: DataOptions, vocabularies: Given) -> Given:
    """The vocabularies to read data with: those that the caller has, or of the file that `tokens` names."""
    if options.tokens is None or vocabularies:
        return vocabularies
    if kind not in TEXT:
        raise fail("bad-value", f"`{kind}` has no text to make tokens of", help="leave out `--tokens`")
    return read_vocabularies(Path(options.tokens)) if options.tokens.endswith(".json") else {}


def _kind(spec: str) -> tuple[str, str]:
    kind, colon, rest = spec.partition(":")
    if colon and kind in READERS:
        return kind, rest
    path = Path(spec).expanduser()
    if not path.exists():
        raise _unknown(spec)
    guessed = _guess(path)
    if guessed is None:
        raise fail("unknown-source", f"`{spec}` is of no kind that is known", help=f"name one: {_kinds()}")
    return guessed, spec


def _guess(path: Path) -> str | None:
    """The kind of a file or folder, by its content where that tells."""
    if path.is_dir():
        if is_idx_directory(path):
            return "mnist"
        if is_image_directory(path):
            return "images"
        if is_planetoid_directory(path):
            return "planetoid"
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


def _path(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.exists():
        raise fail("unreadable-file", f"there is no file or folder `{text}`")
    return path


def _two_paths(text: str) -> tuple[Path, Path]:
    parts = text.split(",")
    if len(parts) != 2 or not all(parts):
        expected = "two files: `parallel:train.de,train.en`"
        raise fail("bad-value", "sentences in two languages are in two files", expected=expected, found=text)
    return _path(parts[0]), _path(parts[1])


def _directory(text: str) -> Path:
    path = _path(text)
    if not path.is_dir():
        raise fail("unreadable-file", f"`{path}` is no folder")
    return path


def _unknown(spec: str) -> DiagnosticError:
    kind = spec.partition(":")[0]
    help = did_you_mean(kind, ["digits", *READERS]) or f"one of `digits`, {_kinds()}, or a path"
    return fail("unknown-source", f"there is no data source or file `{spec}`", help=help)


def _kinds() -> str:
    return ", ".join(f"`{kind}:{'FILE,FILE' if kind == 'parallel' else 'PATH'}`" for kind in READERS)


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
    if not isinstance(train, Divisible):
        raise fail("bad-value", f"no {name} part can be held out of `{dataset.name}`")
    kept, held = split_off(len(train.sequence()), fraction, key)
    if len(kept) == 0 or len(held) == 0:
        raise fail("bad-value", f"{fraction:g} of {len(train.sequence())} rows leaves one part empty")
    return {"train": train.part(kept), name: train.part(held)}


def _limited(table: Table, limit: int) -> Table:
    """At most `limit` rows of a table; the windows of a text, which overlap, were limited as it was read."""
    if not isinstance(table, Divisible):
        return table
    return table.part(spread(len(table.sequence()), limit))
