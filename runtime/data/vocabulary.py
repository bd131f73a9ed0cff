"""What the numbers of a column stand for: characters, words, pieces of words, or the names of classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netlang.diagnostics import did_you_mean, fail

PADDING, BEGIN, END, UNKNOWN = "<padding>", "<begin>", "<end>", "<unknown>"
MARKS = (PADDING, BEGIN, END, UNKNOWN)
"""What stands first in a vocabulary with marks, so that these are the tokens 0 to 3."""

MARK_SETTINGS = {"padding": 0, "begin": 1, "end": 2}
"""What models call the numbers of the marks."""

NAMES, CHARACTERS, WORDS, BPE = "names", "characters", "words", "bpe"
KINDS = (NAMES, CHARACTERS, WORDS, BPE)

SPACE = "▁"
"""What stands for a space before a piece of a word."""

_WORD = re.compile(r"\n|\w+(?:[-'’]\w+)*|[^\w\s]")
_BEFORE_CLOSING = re.compile(r" (?=[.,!?;:…%)\]}])")
_BEHIND_OPENING = re.compile(r"(?<=[(\[{„]) ")
_AROUND_LINE_END = re.compile(r" ?\n ?")


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in the order of their numbers.

    kind: "names" (of classes), "characters", "words", or "bpe" (pieces of words, Sennrich et al. 2016). lower: whether
    text is read in small letters. merges: of "bpe", the pairs of pieces to join, in order. before, after: what is put
    around each text. Where the first tokens are `MARKS`, a text may hold what the vocabulary does not.
    """

    kind: str
    tokens: tuple[str, ...]
    lower: bool = False
    merges: tuple[tuple[str, str], ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    _number: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_number", {token: i for i, token in enumerate(self.tokens)})

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def marked(self) -> bool:
        """Whether it has the marks for padding, begin, end, and what is unknown."""
        return self.tokens[: len(MARKS)] == MARKS

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text, and what is put around each: i32[n].

        Raises DiagnosticError (`unknown-token`) for what a vocabulary without marks does not have.
        """
        return self.encode_all([text])[0]

    def encode_all(self, texts: Iterable[str]) -> list[np.ndarray]:
        """The tokens of each text. Raises DiagnosticError (`unknown-token`, `missing-extra`)."""
        first = [self._number[token] for token in self.before]
        last = [self._number[token] for token in self.after]
        if not first and not last:
            return [self._numbers(pieces) for pieces in self._pieces(texts)]
        return [np.concatenate([first, self._numbers(pieces), last]).astype(np.int32) for pieces in self._pieces(texts)]

    def unknown(self, text: str) -> list[str]:
        """What of a text the vocabulary does not have, each once, in order: words, or else characters."""
        text = text.lower() if self.lower else text
        parts = split(WORDS, text) if self.kind == WORDS else "".join(text.split()) if self.kind == BPE else text
        return list(dict.fromkeys(part for part in parts if part not in self._number))

    def decode(self, numbers: Iterable[int]) -> str:
        """The text that tokens stand for, up to the mark for its end; marks are left out."""
        pieces: list[str] = []
        for number in numbers:
            token = self._token(int(number))
            if token == END and self.marked:
                break
            if not (self.marked and token in (PADDING, BEGIN)):
                pieces.append(token)
        return self._joined(pieces)

    def name(self, number: int) -> str:
        """What one number stands for."""
        return self._token(number)

    def number(self, name: str) -> int:
        """The number of one name or token. Raises DiagnosticError (`unknown-token`)."""
        if name not in self._number:
            what = "names of classes" if self.kind == NAMES else self.kind
            help = did_you_mean(name, self.tokens) or f"known are {_listed(self.tokens)}"
            raise fail("unknown-token", f"`{name}` is not among the {len(self):,} {what} of the training", help=help)
        return self._number[name]

    def _token(self, number: int) -> str:
        return self.tokens[number] if 0 <= number < len(self) else f"<{number}>"

    def _pieces(self, texts: Iterable[str]) -> Iterator[Iterable[str]]:
        texts = (text.lower() for text in texts) if self.lower else texts
        if self.kind == BPE:
            from .bpe import pieces

            return pieces(self, texts)
        return (split(self.kind, text) for text in texts)

    def _numbers(self, pieces: Iterable[str]) -> np.ndarray:
        number = self._number
        if self.marked:
            unknown = number[UNKNOWN]
            return np.fromiter((number.get(piece, unknown) for piece in pieces), np.int32)
        try:
            return np.fromiter((number[piece] for piece in pieces), np.int32)
        except KeyError as error:
            what = {CHARACTERS: "character", WORDS: "word"}.get(self.kind, "piece")
            title = f"the {what} {error.args[0]!r} is not among the {len(self)} of the training text"
            raise fail("unknown-token", title) from None

    def _joined(self, pieces: list[str]) -> str:
        if self.kind == WORDS:
            text = _BEHIND_OPENING.sub("", _BEFORE_CLOSING.sub("", " ".join(pieces)))
            return _AROUND_LINE_END.sub("\n", text)
        if self.kind == BPE:
            return "".join(pieces).replace(SPACE, " ").removeprefix(" ")
        return "".join(pieces)

    def to_json(self) -> dict[str, Any]:
        """Everything about it, for a file."""
        optional = {"lower": self.lower, "merges": self.merges, "before": self.before, "after": self.after}
        return {"kind": self.kind, "tokens": self.tokens, **{key: value for key, value in optional.items() if value}}

    @classmethod
    def from_json(cls, values: Any) -> Vocabulary:
        """The vocabulary that `to_json` wrote. Raises ValueError for anything else."""
        if not isinstance(values, Mapping) or values.get("kind") not in KINDS:
            raise ValueError("no vocabulary of a known kind")
        lists = {key: tuple(_strings(values.get(key, ()), key)) for key in ("tokens", "before", "after")}
        if len(set(lists["tokens"])) < len(lists["tokens"]):
            raise ValueError("a token is there twice")
        if not {*lists["before"], *lists["after"]} <= set(lists["tokens"]):
            raise ValueError("what is put around a text is not among the tokens")
        pairs = [tuple(_strings(pair, "merges")) for pair in _list(values.get("merges", ()), "merges")]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("`merges` are no pairs")
        merges = tuple((pair[0], pair[1]) for pair in pairs)
        return cls(values["kind"], lists["tokens"], bool(values.get("lower")), merges, lists["before"], lists["after"])


def names(tokens: Iterable[str]) -> Vocabulary:
    """The names of classes, in the order of their numbers."""
    return Vocabulary(NAMES, tuple(tokens))


def split(kind: str, text: str) -> Iterable[str]:
    """The characters of a text, or its words, line ends and marks of punctuation."""
    return text if kind == CHARACTERS else (match.group() for match in _WORD.finditer(text))


def numbered(count: int) -> Vocabulary:
    """Classes whose names are their numbers."""
    return names(map(str, range(count)))


def class_names(found: Iterable[str], given: Mapping[str, Vocabulary], column: str = "label") -> Vocabulary:
    """The `given` names of classes, or those found in data, in alphabetical order."""
    return given[column] if column in given else names(sorted(set(found)))


def _listed(tokens: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{token}`" for token in tokens[:8])
    return shown + (", …" if len(tokens) > 8 else "")


def _strings(values: Any, key: str) -> list[str]:
    if not all(isinstance(value, str) for value in _list(values, key)):
        raise ValueError(f"`{key}` holds what is no text")
    return list(values)


def _list(values: Any, key: str) -> Any:
    if not isinstance(values, list | tuple):
        raise ValueError(f"`{key}` is no list")
    return values
