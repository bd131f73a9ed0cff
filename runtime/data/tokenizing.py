"""How text becomes tokens, as it is asked for: `characters`, `words`, `words:8000:lower`, `bpe:4000`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from netlang.diagnostics import did_you_mean, fail

from .vocabulary import BPE, CHARACTERS, MARKS, WORDS, Vocabulary, split

BPE_SIZE = 8000
"""How many pieces a vocabulary of pieces has where nobody says."""

_SPELLING = "`characters`, `words`, `bpe`; with `:SIZE` for at most so many, and `:lower` for small letters only"


@dataclass(frozen=True, slots=True)
class Tokenizing:
    """A way to make tokens of text. size: the most tokens, marks included; None where all are kept."""

    kind: str
    size: int | None = None
    lower: bool = False

    @classmethod
    def parse(cls, text: str) -> Tokenizing:
        """`words:8000:lower` as what it means. Raises DiagnosticError (`bad-value`)."""
        kind, *rest = text.split(":")
        if kind not in (CHARACTERS, WORDS, BPE):
            help = did_you_mean(kind, (CHARACTERS, WORDS, BPE))
            raise fail("bad-value", f"text has no tokens of the kind `{kind}`", expected=_SPELLING, help=help)
        sizes = [int(part) for part in rest if part.isascii() and part.isdigit() and len(part) < 10]
        if len(sizes) + rest.count("lower") < len(rest) or len(rest) > 2 or len(sizes) > 1:
            raise fail("bad-value", f"`{text}` is no way to make tokens", expected=_SPELLING)
        size = sizes[0] if sizes else BPE_SIZE if kind == BPE else None
        if size is not None and size <= len(MARKS):
            raise fail("bad-value", f"{size} tokens are too few", expected=f"more than the {len(MARKS)} marks")
        if kind == CHARACTERS and sizes:
            raise fail("bad-value", "all characters are kept: they take no size", help=f"`{CHARACTERS}`, or `{BPE}`")
        return cls(kind, size, "lower" in rest)

    def vocabulary(self, texts: Iterable[str], marked: bool) -> Vocabulary:
        """The vocabulary of texts: the most frequent tokens first where there is a size, or where they are words.

        `marked` puts `MARKS` first; words and pieces have them always. Raises DiagnosticError (`missing-extra`).
        """
        texts = (text.lower() for text in texts) if self.lower else texts
        if self.kind == BPE:
            from .bpe import train

            return train(texts, self.size or BPE_SIZE, self.lower)
        if self.kind == CHARACTERS:
            found = sorted(set().union(*texts))
            return Vocabulary(CHARACTERS, (*(MARKS if marked else ()), *found), self.lower)
        counts = Counter(word for text in texts for word in split(WORDS, text))
        words = sorted(counts, key=lambda word: (-counts[word], word))
        return Vocabulary(WORDS, (*MARKS, *words)[: self.size], self.lower)


def vocabularies(
    columns: Mapping[str, Sequence[str]],
    spec: str,
    given: Mapping[str, Vocabulary],
    *,
    marked: bool = True,
) -> dict[str, Vocabulary]:
    """The vocabulary of each column of texts: the `given` ones, or what `spec` asks for.

    One way serves all columns together; `words,words:5000` makes one vocabulary for each. Raises DiagnosticError
    (`bad-value`, `vocabulary-mismatch`, `missing-extra`).
    """
    if given:
        return {name: _given(name, given) for name in columns}
    ways = [Tokenizing.parse(part) for part in spec.split(",")]
    if len(ways) == 1:
        return dict.fromkeys(columns, ways[0].vocabulary(chain.from_iterable(columns.values()), marked))
    if len(ways) != len(columns):
        expected = f"one way for all, or {len(columns)}" if len(columns) > 1 else "one way"
        raise fail("bad-value", f"`{spec}` asks for {len(ways)} vocabularies", expected=expected)
    return {name: way.vocabulary(columns[name], marked) for name, way in zip(columns, ways, strict=True)}


def _given(name: str, given: Mapping[str, Vocabulary]) -> Vocabulary:
    if name not in given:
        raise fail(
            "vocabulary-mismatch",
            f"there is no vocabulary for the column `{name}`",
            found=", ".join(f"one for `{other}`" for other in given),
            help="use data of the kind that the vocabulary was made for",
        )
    return given[name]
