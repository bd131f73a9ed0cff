"""Lark's parser of the language. `grammar.lark` says what the language is; Lark makes LALR(1) tables of it.

Making them takes longer than everything else that a short command does, so `grammar.json` keeps what Lark made, and
`pytest tests/syntax --update-snapshots -k tables` writes it anew. A grammar that was changed since, or another
version of Lark, has its tables made when something is first parsed.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

import lark
from lark import Lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

STARTS = ("module", "expression", "signature")
"""Rules that describe a whole text."""


@cache
def grammar_parser() -> Lark:
    """The parser of the language, with the tables that are stored where they are those of its grammar."""
    grammar, stored = _text("grammar.lark"), json.loads(_text("grammar.json"), object_hook=_with_numbers)
    if stored.get("made_of") != made_of(grammar):
        return make_parser(grammar)
    return Lark._load_from_dict(stored["data"], stored["memo"])  # what the parsers use that Lark writes as programs


def make_parser(grammar: str) -> Lark:
    """The parser of a grammar, made by Lark."""
    return Lark(
        grammar, parser="lalr", lexer="basic", start=list(STARTS), propagate_positions=True, maybe_placeholders=True
    )


def stored_text(grammar: str) -> str:
    """What `grammar.json` holds of a grammar. Its states are numbered anew in each process."""
    data, memo = make_parser(grammar).memo_serialize([TerminalDef, Rule])
    return json.dumps({"made_of": made_of(grammar), "data": data, "memo": memo}, separators=(",", ":")) + "\n"


def made_of(grammar: str) -> str:
    """What tables depend on."""
    return f"lark {lark.__version__}, sha256 {hashlib.sha256(grammar.encode()).hexdigest()}"


def _with_numbers(stored: dict[str, Any]) -> dict[str | int, Any]:
    """With keys that are numbers, which JSON has no way to write."""
    return {int(key) if key.isdigit() else key: value for key, value in stored.items()}


def _text(name: str) -> str:
    return files("netlang").joinpath(name).read_text("utf-8")
