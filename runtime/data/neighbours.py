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


class PairTable:
    """Places with a neighbour each: row `2·window·p + k` is what stands at place p, and its k-th neighbour.

    Columns: what stands there, by a name of the caller's, and `near`, both i64.
    """

    def __init__(self, standing: np.ndarray, window: int, classes: int, name: str) -> None:
        """`standing` are integers of any dtype, at places in a row."""
        self._standing = standing
        self._offsets = _offsets(window)
        self._classes = classes
        self._name = name

    @property
    def fields(self) -> dict[str, Field]:
        field = Field("i64", (), classes=self._classes)
        return {self._name: field, "near": field}

    def take(self, rows: Rows) -> dict[str, np.ndarray]:
        place, neighbour = np.divmod(rows, len(self._offsets))
        near = self._standing[place + self._offsets[neighbour]]
        return {self._name: self._standing[place].astype(np.int64), "near": near.astype(np.int64)}

    def _drawn_neighbours(self, count: int, random: np.random.Generator) -> np.ndarray:
        """So many numbers of neighbours: the nearer one is, the more often."""
        nearness = np.abs(self._offsets).max() + 1.0 - np.abs(self._offsets)
        return random.choice(len(self._offsets), count, p=nearness / nearness.sum())


class NeighbourTable(PairTable):
    """Pairs of words at most `window` places apart, `word` and `near`.

    An evaluation takes one pair for each place. An epoch of training is as many, drawn at random: the nearer a
    neighbour the more often, and a frequent word seldom (`FREQUENT`).
    """

    def __init__(self, words: np.ndarray, window: int, classes: int) -> None:
        """`words` are integers of any dtype, more than `2·window` of them."""
        super().__init__(words, window, classes, "word")
        self._kept = _kept(words, classes)

    def sequence(self) -> Rows:
        places = _places(self._standing, self._offsets)
        return places * len(self._offsets) + places % len(self._offsets)

    def shuffled(self, seed: int, epoch: int, batch: int) -> Rows:
        random = generator(seed, epoch)
        kept = random.random(len(self._standing)) < self._kept[self._standing]
        places = _places(self._standing, self._offsets)
        chosen = places[kept[places]]
        drawn = (
            chosen[random.integers(0, len(chosen), int(len(places) / max(kept.mean(), 0.01)))]
            if len(chosen)
            else chosen
        )
        neighbour = self._drawn_neighbours(len(drawn), random)
        rows = (drawn * len(self._offsets) + neighbour)[kept[drawn + self._offsets[neighbour]]]
        return _as_many(rows, random.permutation(self.sequence()))


class ContextTable:
    """Places of a text: row p is the word there, and those up to `window` places before and behind it.

    Columns: `around` i64[2·window] and `word` i64. An epoch of training is as many places as there are, in random
    order, frequent words seldom among them (`FREQUENT`).
    """

    def __init__(self, words: np.ndarray, window: int, classes: int) -> None:
        """`words` are integers of any dtype, more than `2·window` of them."""
        self._words = words
        self._offsets = _offsets(window)
        self._classes = classes
        self._kept = _kept(words, classes)

    @property
    def fields(self) -> dict[str, Field]:
        around = Field("i64", (len(self._offsets),), classes=self._classes)
        return {"around": around, "word": Field("i64", (), classes=self._classes)}

    def take(self, rows: Rows) -> dict[str, np.ndarray]:
        around = self._words[rows[:, None] + self._offsets]
        return {"around": around.astype(np.int64), "word": self._words[rows].astype(np.int64)}

    def sequence(self) -> Rows:
        return _places(self._words, self._offsets)

    def shuffled(self, seed: int, epoch: int, batch: int) -> Rows:
        random = generator(seed, epoch)
        places = random.permutation(self.sequence())
        return _as_many(places[random.random(len(places)) < self._kept[self._words[places]]], places)


def _offsets(window: int) -> np.ndarray:
    return np.concatenate([np.arange(-window, 0), np.arange(1, window + 1)])


def _kept(words: np.ndarray, classes: int) -> np.ndarray:
    """How often each word is taken rather than left out (Mikolov et al. 2013)."""
    frequency = np.bincount(words, minlength=classes) / len(words)
    return np.sqrt(FREQUENT / np.maximum(frequency, FREQUENT))


def _places(words: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The places that have all neighbours."""
    window = len(offsets) // 2
    return np.arange(window, len(words) - window)


def _as_many(rows: Rows, all_rows: Rows) -> Rows:
    """As many rows as there are in all: these, over and over, or all where these are none."""
    return np.resize(rows, len(all_rows)) if len(rows) else all_rows


def neighbour_dataset(
    path: Path,
    tokens: str | None = None,
    window: int | None = None,
    given: Mapping[str, Vocabulary] | None = None,
    table: type[NeighbourTable | ContextTable] = NeighbourTable,
) -> Dataset:
    """A text file as a `table`: the words of its first 90 % to train, the rest to validate.

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
    tables = {name: table(part, window, len(vocabulary)) for name, part in parts.items()}
    columns = tables["train"].fields
    return Dataset(f"text:{path}", tables, {"vocab": len(vocabulary)}, dict.fromkeys(columns, vocabulary))


def _vocabulary(text: str, spec: str) -> Vocabulary:
    way = Tokenizing.parse(spec)
    if way.kind != WORDS:
        raise fail("bad-value", f"neighbours are words, not {way.kind}", help="`--tokens words`, `words:10000`, …")
    ordered = Tokenizing(WORDS, None, way.lower).vocabulary([text], marked=True).tokens[len(MARKS) :]
    words = [word for word in ordered if word[0].isalnum()]
    return Vocabulary(WORDS, tuple(words[: way.size]), way.lower)
