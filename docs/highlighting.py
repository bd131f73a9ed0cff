"""The TextMate grammar of `editors/`, made from the words that the scanner knows, so that it cannot miss one.

Every rule is one regular expression within a line. TextMate takes the rule that matches first in the line, and of those
that match at the same place, the first one of the list.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netlang.compiler.elaborate.patterns import SETTING_TYPES

from netlang.tokens import HEAD_WORDS, KEYWORDS, TRAIN_WORDS
from netlang.types import DTYPES

NAMED = frozenset({"fn", "layer", "model", "entry", "train", "phase"})
"""Keywords with the name of what they declare behind them."""
STORED = frozenset({"param", "state", "let", "const"})
OPERATORS = frozenset({"and", "or", "not"})
LITERALS = frozenset({"true", "false", "none"})

_ENDS_OPERAND = frozenset({"true", "false", "backward"})
"""Keywords that a word of a head can follow."""

_NAME = r"[^\W\d]\w*"
_DIGITS = "[0-9][0-9_]*"
_LINE_START = r"^\s*"


def grammar() -> dict[str, Any]:
    """The grammar as TextMate's JSON."""
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "netlang",
        "scopeName": "source.netlang",
        "fileTypes": ["net"],
        "patterns": [*_text(), *_declarations(), *_words(), *_signs()],
    }


def _text() -> list[dict[str, Any]]:
    return [
        _rule("comment.line.documentation", r"##.*$"),
        _rule("comment.line.number-sign", r"#.*$"),
        _rule("string.quoted.double", r'"(?:\\.|[^"\\])*"?')
        | {
            "captures": {
                "0": {
                    "patterns": [
                        _rule("constant.character.escape", r"\\.|\{\{|\}\}"),
                        _rule("variable.other.interpolated", r"\{[^{}]*\}"),
                    ]
                }
            }
        },
        _rule(
            "constant.numeric",
            r"(?<![\w.])(?:[0-9][0-9_]*(?:\.(?![A-Za-z_])[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?",
        ),
    ]


def _declarations() -> list[dict[str, Any]]:
    annotation = {
        "match": _LINE_START + r"(@)(\w+)",
        "captures": {"1": {"name": "storage.modifier.netlang"}, "2": {"name": "storage.modifier.netlang"}},
    }
    named = {
        "match": rf"(?<!\.)\b({_any(NAMED)})\s+({_NAME})",
        "captures": {"1": {"name": "storage.type.netlang"}, "2": {"name": "entity.name.function.netlang"}},
    }
    of_train = {
        "match": rf"{_LINE_START}({_any(TRAIN_WORDS - NAMED)})(?=\s+[^\s=.,)]|\s*\{{)",
        "captures": {"1": {"name": "keyword.control.netlang"}},
    }
    return [annotation, named, of_train]


def _words() -> list[dict[str, Any]]:
    soft = TRAIN_WORDS | HEAD_WORDS | {"training", "keep"}
    plain = KEYWORDS - soft - OPERATORS - LITERALS - STORED - {"layer"}
    behind_operand = r"(?<=[\w)\]\"] )" + "".join(rf"(?<!\b{word} )" for word in sorted(KEYWORDS - _ENDS_OPERAND))
    no_name = r"(?<!\.)\b(?!\w+\s*=[^=])"  # after a dot and before `=`, a keyword is a name
    return [
        _rule("keyword.operator.word", rf"(?<!\.)\b(?:{_any(OPERATORS)})\b"),
        _rule("constant.language", rf"(?<!\.)\b(?:{_any(LITERALS)})\b"),
        _rule("storage.type", rf"{no_name}(?:{_any(STORED)})\b"),
        _rule("keyword.control", rf"{no_name}(?:{_any(plain)})\b"),
        _rule("keyword.control", r"(?<=\bwhen )training\b"),
        {
            "match": rf"(?:^|[;{{]) *(keep)(?=\s+{_NAME})",
            "captures": {"1": {"name": "keyword.control.netlang"}},
        },
        _rule("keyword.control", rf"{behind_operand}(?:{_any(HEAD_WORDS)})\b(?=\s+[\w(\"]|\s*$)"),
        _rule("support.type", rf"(?<!\.)\b(?:{_any(DTYPES)})\b"),
        _rule("support.type", rf"(?<=: )(?:{_any(SETTING_TYPES)})\b"),
        _rule("entity.name.function", rf"{_NAME}(?=\()"),
        _rule("variable.other", _NAME),
    ]


def _signs() -> list[dict[str, Any]]:
    return [_rule("keyword.operator", r"\|>|>>|->|\*\*|//|[=!<>]=|[-+*/%@~=<>]")]


def _rule(scope: str, match: str) -> dict[str, Any]:
    return {"name": f"{scope}.netlang", "match": match}


def _any(words: Iterable[str]) -> str:
    """An alternative of words, the longer ones first."""
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))
