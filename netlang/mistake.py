"""A syntax error as the parser sees it: what was accepted, what was not, and what would have been."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lark import Token

from netlang.diagnostics import Diagnostic, Label
from netlang.source import Source, Span
from netlang.tokens import CARRIES_ON, CLOSING


@dataclass(frozen=True, slots=True)
class Mistake:
    """The place where the tokens stopped making sense."""

    source: Source
    before: Sequence[Token]  # what was accepted
    found: Token  # what was not
    following: Token | None  # what comes after it
    expected: frozenset[str]  # NAME, NUMBER, STRING, _NL, $END, words and operators: what would have been accepted
    end: str  # how to call the end of the text

    @property
    def previous(self) -> Token | None:
        return self.before[-1] if self.before else None

    @property
    def begins_statement(self) -> bool:
        """Whether a statement or declaration would begin with `found`."""
        return self.previous is None or self.previous.type in ("_NL", "{")

    @property
    def first_word(self) -> Token | None:
        """The token before `found`, where its statement begins with it."""
        begins = len(self.before) == 1 or (len(self.before) > 1 and self.before[-2].type in ("_NL", "{"))
        return self.before[-1] if begins else None

    @property
    def line_ended(self) -> bool:
        """Whether `found` stands on a line of its own only because the line above is unfinished."""
        if self.previous is None or self.found.line == self.previous.line or self.found.type in ("_NL", "$END"):
            return False
        return self.previous.type in CARRIES_ON or self.found.type == "}"

    def span(self, token: Token) -> Span:
        return Span(self.source, token.start_pos or 0, token.end_pos or 0)

    def place(self) -> Span:
        """Where to point: at `found`, or behind the line that ended too early."""
        if self.previous is not None and (self.found.type in ("_NL", "$END") or self.line_ended):
            end = self.span(self.previous).end
            return Span(self.source, end, end)
        return self.span(self.found)

    def describe(self) -> str:
        """`found` in words."""
        if self.line_ended:
            return "end of line"
        match self.found.type:
            case "_NL":
                return "`;`" if self.found.value else "end of line"
            case "$END":
                return self.end
            case "STRING":
                return "a string"
            case "NUMBER":
                return f"the number `{self.found}`"
        return f"`{self.found}`"

    def open_brackets(self) -> list[Token]:
        """The brackets that `before` leaves open, outermost first."""
        opened: list[Token] = []
        for token in self.before:
            if token.type in CLOSING:
                opened.append(token)
            elif token.type in CLOSING.values() and opened:
                opened.pop()
        return opened

    def statement_words(self) -> set[str]:
        """Types of the tokens before `found` in its statement, leaving out what stands in closed brackets."""
        words: set[str] = set()
        depth = 0
        for token in reversed(self.before):
            depth += (token.type in CLOSING.values()) - (token.type in CLOSING)
            if depth < 0 or (depth == 0 and token.type == "_NL"):
                break
            if depth == 0:
                words.add(token.type)
        return words

    def fault(self, title: str, help: str | None = None, *, code: str = "syntax-error", label: str = "") -> Diagnostic:
        """The diagnostic that points at this place."""
        return Diagnostic(code, title, Label(self.place(), label), help=help)
