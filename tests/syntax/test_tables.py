"""The stored tables are those of the grammar, and read as those that Lark makes anew.

`pytest tests/syntax --update-snapshots -k tables` writes the tables where `grammar.lark` or Lark was changed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lark import Lark

from netlang import grammar_tables
from netlang.grammar_tables import grammar_parser, made_of, make_parser, stored_text
from netlang.parser import accepted_tokens
from netlang.source import Source

ROOT = Path(__file__).parents[2]
GRAMMAR, TABLES = ROOT / "netlang" / "grammar.lark", ROOT / "netlang" / "grammar.json"
SOURCES = sorted((ROOT / "stdlib").rglob("*.net"))


def test_stored_tables_are_of_this_grammar(request: pytest.FixtureRequest) -> None:
    grammar = GRAMMAR.read_text("utf-8")
    if request.config.getoption("--update-snapshots"):
        TABLES.write_text(stored_text(grammar), "utf-8")
    stored = json.loads(TABLES.read_text("utf-8"))["made_of"]
    assert stored.split()[-1] == made_of(grammar).split()[-1], "the grammar was changed: see above"


def test_stored_tables_of_another_grammar_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"grammar.lark": 'module: "a"\nexpression: "b"\nsignature: "c"\n', "grammar.json": TABLES.read_text()}
    monkeypatch.setattr(grammar_tables, "_text", texts.__getitem__)
    parser = grammar_tables.grammar_parser.__wrapped__()
    assert [terminal.name for terminal in parser.terminals] == ["A", "B", "C"]


@pytest.fixture(scope="module")
def made_anew() -> Lark:
    return make_parser(GRAMMAR.read_text("utf-8"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_trees_are_those_of_tables_made_anew(path: Path, made_anew: Lark) -> None:
    source = Source(str(path), path.read_text("utf-8"))
    assert _tree(grammar_parser(), source) == _tree(made_anew, source)


def _tree(parser: Lark, source: Source) -> object:
    terminals = {str(terminal.pattern.value): terminal.name for terminal in parser.terminals}
    state = parser.parse_interactive(start="module")
    for token in accepted_tokens(source):
        state.feed_token(token.update(type=terminals.get(token.type, token.type)))
    return state.feed_eof()
