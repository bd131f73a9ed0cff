"""Text at character level: windows of tokens, and the same windows one character on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from netlang.diagnostics import fail

from ..files import read_text
from .table import Dataset, Field, Rows, generator

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

    def shuffled(self, seed: int, epoch: int) -> Rows:
        starts = len(self._tokens) - self._length
        return generator(seed, epoch).integers(0, starts, size=len(self.sequence()))


def text_dataset(path: Path, length: int | None = None, limit: int | None = None) -> Dataset:
    """A text file: the first 90 % of its characters to train, the rest to validate.

    The alphabet is every character of the file, sorted; its size is the setting `vocab`. `limit` is the number of
    windows to train on. Raises DiagnosticError (`unreadable-file`, `bad-data`, `bad-value`).
    """
    text = read_text(path, SIZE_LIMIT, "text file")
    window = DEFAULT_LENGTH if length is None else length
    if window < 1:
        raise fail("bad-value", f"the length of a window must be at least 1, found {window}")
    alphabet = "".join(sorted(set(text)))
    tokens = encode(text, alphabet)
    cut = int(len(tokens) * TRAIN_FRACTION)
    parts = {"train": tokens[:cut], "validation": tokens[cut:]}
    if limit is not None:
        parts = {name: part[: limit * window + 1] for name, part in parts.items()}
    for name, part in parts.items():
        if len(part) <= window:
            raise fail(
                "bad-data",
                f"`{path}` is too short: its {name} part has {len(part)} characters",
                expected=f"more than {window}, the length of a window",
                help="set a smaller one with `--length`",
            )
    splits = {name: WindowTable(part, window, len(alphabet)) for name, part in parts.items()}
    return Dataset(f"text:{path}", splits, {"vocab": len(alphabet)}, alphabet)


def encode(text: str, alphabet: str) -> np.ndarray:
    """The tokens of a text: positions of its characters in `alphabet`, i32[n].

    Raises DiagnosticError (`bad-data`) for a character that the alphabet, which is sorted, does not have.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    known = np.frombuffer(alphabet.encode("utf-32-le", "surrogatepass"), np.uint32)
    tokens = np.searchsorted(known, codes).astype(np.int32)
    strange = (tokens >= len(known)) | (known[np.minimum(tokens, len(known) - 1)] != codes)
    if strange.any():
        character = text[int(np.argmax(strange))]
        raise fail("bad-data", f"the character {character!r} is not among the {len(alphabet)} of the training text")
    return tokens


def decode(tokens: np.ndarray, alphabet: str) -> str:
    """The text that tokens stand for."""
    return "".join(alphabet[int(token)] for token in tokens)
