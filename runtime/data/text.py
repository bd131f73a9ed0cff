"""Running text: windows of tokens, and the same windows one token on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netlang.diagnostics import fail

from ..files import read_text
from .table import Dataset, Field, Rows, generator
from .tokenizing import vocabularies
from .vocabulary import CHARACTERS, Vocabulary

DEFAULT_LENGTH = 64
TRAIN_FRACTION = 0.9
SIZE_LIMIT = 1_000_000_000


class WindowTable:
    """Windows of a sequence of tokens: row `r` is the window that begins at token `r`.

    Columns: `tokens` i64[length] and `target` i64[length], which is `tokens` one place further on. An epoch of training
    is as many windows as fit into the sequence end to end, at random places; an evaluation goes through those that do
    fit end to end, and leaves out a rest shorter than a window.
    """

    def __init__(self, tokens: np.ndarray, length: int, classes: int) -> None:
        """`tokens` are integers of any dtype, more than `length` of them."""
        self._tokens = tokens
        self._length = length
        self._classes = classes

    @property
    def fields(self) -> dict[str, Field]:
        field = Field("i64", (self._length,), classes=self._classes)
        return {"tokens": field, "target": field}

    def take(self, rows: Rows) -> dict[str, np.ndarray]:
        windows = self._tokens[rows[:, None] + np.arange(self._length + 1)].astype(np.int64)
        return {"tokens": windows[:, :-1], "target": windows[:, 1:]}

    def sequence(self) -> Rows:
        return np.arange(0, len(self._tokens) - self._length, self._length)

    def shuffled(self, seed: int, epoch: int, batch: int) -> Rows:
        starts = len(self._tokens) - self._length
        return generator(seed, epoch).integers(0, starts, size=len(self.sequence()))


def text_dataset(
    path: Path,
    tokens: str | None = None,
    length: int | None = None,
    limit: int | None = None,
    given: Mapping[str, Vocabulary] | None = None,
) -> Dataset:
    """A text file: the first 90 % of its tokens to train, the rest to validate.

    `tokens` says how text becomes tokens: `characters`, the default, `words`, …; the size of the vocabulary is the
    setting `vocab`. `limit` is the number of windows to train on. `given` is the vocabulary of `tokens`, where there is
    one already. Raises DiagnosticError (`unreadable-file`, `bad-data`, `bad-value`, `unknown-token`, …).
    """
    text = read_text(path, SIZE_LIMIT, "text file")
    window = DEFAULT_LENGTH if length is None else length
    if window < 1:
        raise fail("bad-value", f"the length of a window must be at least 1, found {window}")
    found = vocabularies({"tokens": [text]}, tokens or CHARACTERS, given or {}, marked=False)
    vocabulary = found["tokens"]
    numbers = vocabulary.encode(text)
    cut = int(len(numbers) * TRAIN_FRACTION)
    parts = {"train": numbers[:cut], "validation": numbers[cut:]}
    if limit is not None:
        parts = {name: part[: limit * window + 1] for name, part in parts.items()}
    what = "characters" if vocabulary.kind == CHARACTERS else "tokens"
    for name, part in parts.items():
        if len(part) <= window:
            raise fail(
                "bad-data",
                f"`{path}` is too short: its {name} part has {len(part)} {what}",
                expected=f"more than {window}, the length of a window",
                help="set a smaller one with `--length`",
            )
    splits = {name: WindowTable(part, window, len(vocabulary)) for name, part in parts.items()}
    return Dataset(f"text:{path}", splits, {"vocab": len(vocabulary)}, {**found, "target": vocabulary})
