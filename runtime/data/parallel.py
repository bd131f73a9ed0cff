"""Sentences in two languages, line by line, for networks that translate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from netlang.diagnostics import fail

from .lines import Lines, read_lines, sibling_splits
from .ragged import Sequences, SequenceTable, check_longest
from .table import Dataset
from .tokenizing import vocabularies
from .vocabulary import BEGIN, END, MARK_SETTINGS, Vocabulary


class Pair(NamedTuple):
    """The lines of both sides."""

    source: Lines
    target: Lines


def parallel_dataset(
    source: Path,
    target: Path,
    tokens: str | None = None,
    length: int | None = None,
    given: Mapping[str, Vocabulary] | None = None,
) -> Dataset:
    """Two text files, plain or compressed with gzip, whose lines are translations of each other.

    Columns: `source` i64[_], whose end is marked, and `target` i64[_], whose begin and end are. Where the files are
    called `train…`, those called `val…` and `test…` beside them are the other splits. `tokens` says how text becomes
    tokens, in one vocabulary for both (`words`, the default) or in two (`words,words`), whose sizes are the settings
    `source_vocab` and `target_vocab`, and `vocab` where they are one. They are made from the training lines.
    `length` is the most tokens of a line to train on. Raises DiagnosticError.
    """
    files = _files(source, target)
    pairs = {split: _read(*paths) for split, paths in files.items()}
    columns = {"source": pairs["train"].source.texts, "target": pairs["train"].target.texts}
    found = vocabularies(columns, tokens or "words", given or {})
    framed = {
        "source": replace(found["source"], before=(), after=(END,)),
        "target": replace(found["target"], before=(BEGIN,), after=(END,)),
    }
    notes = [note for pair in pairs.values() for note in (pair.source.note, pair.target.note) if note]
    notes += [f"{split}: `{one}` and `{other}`" for split, (one, other) in files.items() if split != "train"]
    tables = {split: _table(pair, framed) for split, pair in pairs.items()}
    if length is not None:
        tables["train"], note = _shorter(tables["train"], length)
        notes += [note] if note else []
    for split, table in tables.items():
        if length is None or split != "train":
            check_longest(files[split][0], table, "leaves out longer pairs of the training part")
    return Dataset(f"parallel:{source},{target}", tables, _settings(found), framed, tuple(notes))


def _files(source: Path, target: Path) -> dict[str, tuple[Path, Path]]:
    """The two files of each split that both sides have."""
    sources, targets = sibling_splits(source), sibling_splits(target)
    return {split: (path, targets[split]) for split, path in sources.items() if split in targets}


def _read(source: Path, target: Path) -> Pair:
    pair = Pair(read_lines(source), read_lines(target))
    counts = [len(side.texts) for side in pair]
    if counts == [0, 0]:
        raise fail("bad-data", f"`{source}` and `{target}` have no lines")
    if counts[0] != counts[1]:
        raise fail(
            "bad-data",
            f"`{source}` and `{target}` have different numbers of lines",
            found=f"{counts[0]:,} and {counts[1]:,}",
            help="each line must be the translation of the line with the same number",
        )
    for path, lines in zip((source, target), pair, strict=True):
        empty = next((number for number, text in enumerate(lines.texts, start=1) if not text.strip()), None)
        if empty is not None:
            raise fail("bad-data", f"line {empty} of `{path}` is empty", help="take it out of both files")
    return pair


def _table(pair: Pair, vocabulary: Mapping[str, Vocabulary]) -> SequenceTable:
    columns = {"source": pair.source.texts, "target": pair.target.texts}
    return SequenceTable(
        {name: Sequences(vocabulary[name].encode_all(texts), len(vocabulary[name])) for name, texts in columns.items()}
    )


def _shorter(table: SequenceTable, length: int) -> tuple[SequenceTable, str | None]:
    """The rows of at most `length` tokens, and a note of how many others there are."""
    kept = np.flatnonzero(table.longest <= length)
    if len(kept) == 0:
        shortest = int(table.longest.min())
        raise fail("bad-value", f"no line has {length} tokens or fewer", found=f"the shortest has {shortest}")
    left_out = len(table.longest) - len(kept)
    return table.part(kept), f"{left_out:,} pairs of more than {length} tokens left out" if left_out else None


def _settings(found: Mapping[str, Vocabulary]) -> dict[str, int]:
    source, target = found["source"], found["target"]
    shared = {"vocab": len(source)} if source.tokens == target.tokens else {}
    return {**shared, "source_vocab": len(source), "target_vocab": len(target), **MARK_SETTINGS}
