"""Sentences with a label each, for networks that read and decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from netlang.diagnostics import fail

from .lines import Lines, read_lines, sibling_splits
from .ragged import Sequences, SequenceTable, check_longest
from .table import ArrayTable, Dataset
from .tokenizing import vocabularies
from .vocabulary import MARK_SETTINGS, Vocabulary, class_names

Labelled = tuple[list[str], list[str]]
"""Labels and texts."""


def sentence_dataset(
    path: Path,
    tokens: str | None = None,
    length: int | None = None,
    given: Mapping[str, Vocabulary] | None = None,
) -> Dataset:
    """A text file, plain or compressed with gzip, whose lines are a label, a space or tab, and a sentence.

    Columns: `tokens` i64[_] and `label` i64, the number of the label in alphabetical order. Where the file is called
    `train…`, those called `val…` and `test…` beside it are the other splits. `tokens` says how text becomes tokens:
    `words`, the default, … . `length` is the most tokens of a sentence; what is behind them is cut off. Raises
    DiagnosticError.
    """
    files = sibling_splits(path)
    lines = {split: read_lines(file) for split, file in files.items()}
    parts = {split: _labelled(files[split], found) for split, found in lines.items()}
    labels = class_names(parts["train"][0], given or {})
    if not given:
        _check_labels(path, labels, len(parts["train"][0]))
    vocabulary = vocabularies({"tokens": parts["train"][1]}, tokens or "words", given or {})["tokens"]
    tables = {split: _table(part, vocabulary, labels, length) for split, part in parts.items()}
    if length is None:
        for split, table in tables.items():
            check_longest(files[split], table, "cuts longer sentences off")
    notes = [found.note for found in lines.values() if found.note]
    notes += [f"{split}: `{file}`" for split, file in files.items() if split != "train"]
    settings = {"vocab": len(vocabulary), "classes": len(labels), **MARK_SETTINGS}
    return Dataset(f"sentences:{path}", tables, settings, {"tokens": vocabulary, "label": labels}, tuple(notes))


def _labelled(path: Path, lines: Lines) -> Labelled:
    """The label and the sentence of each line."""
    if not lines.texts:
        raise fail("bad-data", f"`{path}` has no lines")
    pairs = [line.split(maxsplit=1) for line in lines.texts]
    for number, pair in enumerate(pairs, start=1):
        if len(pair) < 2:
            found = f"`{pair[0]}` alone" if pair else "nothing"
            raise fail("bad-data", f"line {number} of `{path}` has no sentence", expected=_EXPECTED, found=found)
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


_EXPECTED = "a label, a space or tab, and the sentence: `positive a moving film`"


def _check_labels(path: Path, labels: Vocabulary, count: int) -> None:
    """Refuses text whose lines begin with words of all kinds, or with one."""
    if len(labels) < 2 or 2 * len(labels) > max(count, 4):
        raise fail(
            "bad-data",
            f"the lines of `{path}` do not begin with labels",
            expected=_EXPECTED,
            found=f"{len(labels):,} different first words in {count:,} lines",
        )


def _table(part: Labelled, vocabulary: Vocabulary, labels: Vocabulary, length: int | None) -> SequenceTable:
    rows: Sequence[np.ndarray] = [row[:length] for row in vocabulary.encode_all(part[1])]
    numbers = np.array([labels.number(label) for label in part[0]], np.int64)
    columns = ArrayTable({"label": numbers})
    return SequenceTable({"tokens": Sequences(rows, len(vocabulary))}, columns)
