"""Lark's parser of the language. `grammar.lark` says what the language is; Lark makes LALR(1) tables of it.

Making them takes longer than everything else that a short command does, so `grammar.json` keeps what Lark made, and
`pytest tests/syntax --update-snapshots -k tables` writes it anew. A grammar that was changed since, or another
version of Lark, has its tables made when something is first parsed.

In these tables a terminal is called as our token (`+`, `use`, NAME), a rule `rule:sum`, and no chain is reduced: see
`without_chains`.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import lark
from lark import Lark, Token, UnexpectedToken
from lark.grammar import NonTerminal, Rule, Symbol
from lark.parsers.lalr_analysis import IntParseTable, Reduce, Shift
from lark.parsers.lalr_parser_state import ParseConf, ParserState

from netlang.branches import Production
from netlang.grammar_chains import Row, is_rule, without_chains

STARTS = ("module", "expression", "signature")
"""Rules that describe a whole text."""

END = "$END"
"""The type of the token behind the last one."""

_RULE = "rule:"


class GrammarParser:
    """Lark's parser over stored tables."""

    def __init__(self, stored: Mapping[str, Any]) -> None:
        productions = [
            Production(NonTerminal(origin), range(length), *rest) for origin, length, *rest in stored["rules"]
        ]
        states: Any = _Rows(stored["states"], productions)
        self._table = IntParseTable(states, stored["starts"], stored["ends"])
        self._made: Any = {production: production.make for production in productions}

    def begin(self, start: str) -> ParserState:
        """The state before the first token of what the rule `start` describes; `feed` takes it on."""
        lexer: Any = None
        return ParserState(ParseConf(self._table, self._made, start), lexer)

    def expected(self, state: ParserState) -> frozenset[str]:
        """Types of the tokens that can come next."""
        return frozenset(type for type in self._table.states[state.position] if self._goes_on(state, type))

    def _goes_on(self, state: ParserState, type: str) -> bool:
        if type.startswith(_RULE):
            return False
        trial = state.copy(deepcopy_values=False)
        trial.parse_conf = ParseConf(self._table, {}, state.parse_conf.start)  # nothing is made of what is read
        try:
            feed(trial, Token(type, ""))
        except UnexpectedToken:
            return False
        return True


def feed(state: ParserState, token: Token) -> Any:
    """Takes a state on by a token; behind the last, what was read. Raises UnexpectedToken."""
    return state.feed_token(token, token.type == END)


class _Rows(dict[int, Row]):
    """The rows of a table, each taken apart when the parser first comes there."""

    def __init__(self, texts: Sequence[str], productions: Sequence[Production]) -> None:
        self._texts, self._productions = texts, productions

    def __missing__(self, state: int) -> Row:
        words = self._texts[state].split(" ")
        self[state] = row = {name: self._action(word) for name, word in zip(words[::2], words[1::2], strict=True)}
        return row

    def _action(self, word: str) -> tuple[Any, Any]:
        return (Reduce, self._productions[int(word[1:])]) if word[0] == "~" else (Shift, int(word))


@cache
def grammar_parser() -> GrammarParser:
    """The parser of the language, with the tables that are stored where they are those of its grammar."""
    grammar, stored = _text("grammar.lark"), json.loads(_text("grammar.json"))
    return GrammarParser(stored if stored["made_of"] == made_of(grammar) else tables(grammar))


def make_parser(grammar: str) -> Lark:
    """The parser of a grammar as Lark makes it."""
    return Lark(
        grammar, parser="lalr", lexer="basic", start=list(STARTS), propagate_positions=True, maybe_placeholders=True
    )


def tables(grammar: str) -> dict[str, Any]:
    """What `grammar.json` holds of a grammar. Its states are numbered anew in each process."""
    parser: Any = make_parser(grammar)
    types = {terminal.name: str(terminal.pattern.value) for terminal in parser.terminals if terminal.pattern}
    rows, starts, ends = without_chains(parser.parser.parser._parse_table)  # what Lark writes into its own caches
    numbers = {rule: number for number, rule in enumerate(parser.rules)}

    def name(symbol: str) -> str:
        return types.get(symbol, _RULE + symbol if is_rule(symbol) else symbol)

    def entry(symbol: str, action: Any, target: Any) -> str:
        return f"{name(symbol)} {target if action is Shift else f'~{numbers[target]}'}"

    return {
        "made_of": made_of(grammar),
        "rules": [_stored_rule(rule) for rule in parser.rules],
        "states": [" ".join(entry(symbol, *action) for symbol, action in row.items()) for row in rows],
        "starts": starts,
        "ends": ends,
    }


def made_of(grammar: str) -> dict[str, str]:
    """What tables depend on."""
    return {"lark": lark.__version__, "grammar": grammar}


def _stored_rule(rule: Rule) -> tuple[str, int, str, list[int], list[int], bool]:
    """The fields of a `Production`, its origin by name, its parts by their number."""
    options = rule.options
    absent = [False] * len(rule.expansion) if not options.empty_indices else list(options.empty_indices)
    kept: list[int] = []
    parts = iter(enumerate(rule.expansion))
    for is_absent in absent:
        number, symbol = (-1, None) if is_absent else next(parts)
        if symbol is None or options.keep_all_tokens or not _is_filtered(symbol):
            kept.append(number)
    joined = [i for i, symbol in enumerate(rule.expansion) if not symbol.is_term and symbol.name.startswith("_")]
    is_single = options.expand1 and not rule.alias
    return _RULE + rule.origin.name, len(rule.expansion), rule.alias or str(rule.origin.name), kept, joined, is_single


def _is_filtered(symbol: Symbol) -> bool:
    return symbol.is_term and symbol.filter_out  # type: ignore[attr-defined]


def _text(name: str) -> str:
    data = pkgutil.get_data("netlang", name)
    assert data is not None
    return data.decode("utf-8")
