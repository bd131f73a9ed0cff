"""Words that stand near each other in running text, for vectors of words (Mikolov et al. 2013)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from netlang.diagnostics import fail

from ..files import read_text
from .table import Dataset, Field, Rows, generator
from .text import TRAIN_FRACTION
from .tokenizing import Tokenizing
from .vocabulary import MARKS, WORDS, Vocabulary, split

WINDOW = 5
"""How far a neighbour may be where nobody says."""

FREQUENT = 1e-3
"""Words that are more frequent than this part of the text are left out at random, the more often the more frequent."""

SIZE_LIMIT = 200_000_000


class NeighbourTable:
    """Pairs of words at most `window` places apart: row `2·window·p + k` is the word at place p and its k-th neighbour.

    Columns: `word` i64 and `near` i64. An epoch of training draws for each place how far its neighbours may be, and
    leaves out frequent words. An evaluation takes one pair for each place.
    """

    def __init__(self, words: np.ndarray, window: int, classes: int) -> None:
        """`words` are integers of any dtype, more than `2·window` of them."""
        self._words = words
        self._offsets = np.concatenate([np.arange(-window, 0), np.arange(1, window + 1)])
        self._classes = classes
        frequency = np.bincount(words, minlength=classes) / len(words)
        self._kept = np.sqrt(FREQUENT / np.maximum(frequency, FREQUENT))

    @property
    def fields(self) -> dict[str, Field]:
        field = Field("i64", (), classes=self._classes)
        return {"word": field, "near": field}

    def take(self, rows: Rows) -> dict[str, np.ndarray]:
        place, neighbour = np.divmod(rows, len(self._offsets))
        near = self._words[place + self._offsets[neighbour]]
        return {"word": self._words[place].astype(np.int64), "near": near.astype(np.int64)}

    def sequence(self) -> Rows:
        places = self._places()
        return places * len(self._offsets) + places % len(self._offsets)

    def shuffled(self, seed: int, epoch: int, batch: int) -> Rows:
        random = generator(seed, epoch)
        kept = random.random(len(self._words)) < self._kept[self._words]
        places = self._places()
        places = places[kept[places]]
        reach = random.integers(1, len(self._offsets) // 2 + 1, len(places))
        chosen = (np.abs(self._offsets) <= reach[:, None]) & kept[places[:, None] + self._offsets]
        place, neighbour = np.nonzero(chosen)
        return random.permutation(places[place] * len(self._offsets) + neighbour)

    def _places(self) -> np.ndarray:
        """The places that have all neighbours."""
        window = len(self._offsets) // 2
        return np.arange(window, len(self._words) - window)


def neighbour_dataset(
    path: Path,
    tokens: str | None = None,
    window: int | None = None,
    given: Mapping[str, Vocabulary] | None = None,
) -> Dataset:
    """A text file: pairs of the words of its first 90 % to train, of the rest to validate.

    The vocabulary has the words in the order of their frequencies, without marks; punctuation, line ends, and words
    that it has not, are passed over. Its size is the setting `vocab`. `tokens` is `words`, perhaps with a size. Raises
    DiagnosticError.
    """
    text = read_text(path, SIZE_LIMIT, "text file")
    vocabulary = given["word"] if given and "word" in given else _vocabulary(text, tokens or WORDS)
    text = text.lower() if vocabulary.lower else text
    number = {word: i for i, word in enumerate(vocabulary.tokens)}
    words = np.fromiter((number[word] for word in split(WORDS, text) if word in number), np.int32)
    cut = int(len(words) * TRAIN_FRACTION)
    window = window or WINDOW
    parts = {"train": words[:cut], "validation": words[cut:]}
    for name, part in parts.items():
        if len(part) <= 2 * window:
            title = f"`{path}` is too short: its {name} part has {len(part)} words that the vocabulary knows"
            raise fail("bad-data", title, expected=f"more than {2 * window}, two windows")
    tables = {name: NeighbourTable(part, window, len(vocabulary)) for name, part in parts.items()}
    return Dataset(
        f"neighbours:{path}", tables, {"vocab": len(vocabulary)}, dict.fromkeys(("word", "near"), vocabulary)
    )


def _vocabulary(text: str, spec: str) -> Vocabulary:
    way = Tokenizing.parse(spec)
    if way.kind != WORDS:
        raise fail("bad-value", f"neighbours are words, not {way.kind}", help="`--tokens words`, `words:10000`, …")
    ordered = Tokenizing(WORDS, None, way.lower).vocabulary([text], marked=True).tokens[len(MARKS) :]
    words = [word for word in ordered if word[0].isalnum()]
    return Vocabulary(WORDS, tuple(words[: way.size]), way.lower)
