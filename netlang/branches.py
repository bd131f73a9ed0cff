"""What Lark's parser makes of a rule: a branch, with the names of the rule's parts left out that only mark it.

Lark's own trees know their places in the text too, by a wrapper around each rule, which took more time than the parser.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lark import Token
from lark.grammar import NonTerminal

from netlang.records import record


class Branch:
    """A rule that was found: its parts, and where it stands, `start:end`; both are None where it is empty.

    `start_pos` and `end_pos`, called as a token's, are those of the text that the branch takes up for what is around
    it, parentheses included.
    """

    __slots__ = ("children", "end", "end_pos", "name", "start", "start_pos")

    def __init__(self, name: str, children: list[Any], start: int | None, end: int | None) -> None:
        self.name, self.children = name, children
        self.start = self.start_pos = start
        self.end = self.end_pos = end


@record
class Production:
    """One way to write a rule, in place of Lark's `Rule`, of which its parser needs the rule and the number of parts.

    name: the method of the builder. kept: parts that are children, by number; -1 for an optional one that is not there.
    joined: parts that are repetitions, whose children are this rule's. is_single: one child stands for the rule.
    """

    origin: NonTerminal
    expansion: range
    name: str
    kept: Sequence[int]
    joined: Sequence[int]
    is_single: bool

    def make(self, parts: list[Any]) -> Branch | Token:
        """A branch of the parts, or the one of them that stands for all."""
        children = self._children(parts)
        start, end = _first_start(parts), _last_end(parts)
        if not (self.is_single and len(children) == 1):
            return Branch(self.name, children, start, end)
        (only,) = children
        if isinstance(only, Branch):
            only.start_pos, only.end_pos = start, end
        return only

    def _children(self, parts: list[Any]) -> list[Any]:
        if not self.joined:
            return [parts[number] if number >= 0 else None for number in self.kept]
        children: list[Any] = []
        for number in self.kept:
            if number in self.joined:  # a repetition begins with itself: what it had is taken over, not copied
                children = children + parts[number].children if children else parts[number].children
            else:
                children.append(parts[number] if number >= 0 else None)
        return children


def _first_start(parts: list[Any]) -> int | None:
    for part in parts:
        if part.start_pos is not None:
            return part.start_pos
    return None


def _last_end(parts: list[Any]) -> int | None:
    for part in reversed(parts):
        if part.end_pos is not None:
            return part.end_pos
    return None
