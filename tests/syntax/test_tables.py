"""The stored tables are those of the grammar, and what is read by them is what Lark reads without them.

`pytest tests/syntax --update-snapshots -k tables` writes the tables where `grammar.lark` or Lark was changed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lark import Lark, Token, Tree

from netlang import grammar_tables
from netlang.branches import Branch
from netlang.grammar_tables import END, STARTS, GrammarParser, feed, grammar_parser, made_of, make_parser, tables
from netlang.parser import accepted_tokens
from netlang.source import Source

ROOT = Path(__file__).parents[2]
GRAMMAR, TABLES = ROOT / "netlang" / "grammar.lark", ROOT / "netlang" / "grammar.json"
SOURCES = sorted((ROOT / "stdlib").rglob("*.net"))


def test_stored_tables_are_of_this_grammar(request: pytest.FixtureRequest) -> None:
    grammar = GRAMMAR.read_text("utf-8")
    if request.config.getoption("--update-snapshots"):
        TABLES.write_text(json.dumps(tables(grammar), separators=(",", ":")) + "\n", "utf-8")
    stored = json.loads(TABLES.read_text("utf-8"))["made_of"]
    assert stored["grammar"] == made_of(grammar)["grammar"], "the grammar was changed: see above"


def test_stored_tables_of_another_grammar_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"grammar.lark": 'module: "a"\nexpression: "b"\nsignature: "c"\n', "grammar.json": TABLES.read_text()}
    monkeypatch.setattr(grammar_tables, "_text", texts.__getitem__)
    parser = grammar_tables.grammar_parser.__wrapped__()
    assert [parser.expected(parser.begin(start)) for start in STARTS] == [{"a"}, {"b"}, {"c"}]


@pytest.fixture(scope="module")
def lark() -> Lark:
    return make_parser(GRAMMAR.read_text("utf-8"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_trees_and_places_are_those_of_lark(path: Path, lark: Lark) -> None:
    tokens = accepted_tokens(Source(str(path), path.read_text("utf-8")))
    assert _shown(_read(grammar_parser(), tokens)) == _shown(_read_by_lark(lark, tokens))


@pytest.mark.parametrize("path", SOURCES[:20], ids=lambda path: path.stem)
def test_what_can_come_next_is_what_lark_expects(path: Path, lark: Lark) -> None:
    parser, types = grammar_parser(), _types(lark)
    ours, theirs = parser.begin("module"), lark.parse_interactive(start="module")
    for token in accepted_tokens(Source(str(path), path.read_text("utf-8")))[:150]:
        feed(ours, token)
        theirs.feed_token(token.update(type=types.get(token.type, token.type)))
        assert {types.get(name, name) for name in parser.expected(ours)} == theirs.accepts()


def _read(parser: GrammarParser, tokens: list[Token]) -> Branch:
    state = parser.begin("module")
    for token in tokens:
        feed(state, token)
    return feed(state, Token(END, ""))


def _read_by_lark(parser: Lark, tokens: list[Token]) -> Tree:
    types, state = _types(parser), parser.parse_interactive(start="module")
    for token in tokens:
        state.feed_token(token.update(type=types.get(token.type, token.type)))
    return state.feed_eof()


def _types(parser: Lark) -> dict[str, str]:
    """Lark's names of terminals by ours."""
    return {str(terminal.pattern.value): terminal.name for terminal in parser.terminals}


def _shown(part: Branch | Tree | Token | None) -> object:
    """A tree as lists: rule, place, children."""
    if isinstance(part, Branch):
        return part.name, part.start, part.end, [_shown(child) for child in part.children]
    if isinstance(part, Tree):
        place = (None, None) if part.meta.empty else (part.meta.start_pos, part.meta.end_pos)
        return str(part.data), *place, [_shown(child) for child in part.children]
    return None if part is None else str(part)
