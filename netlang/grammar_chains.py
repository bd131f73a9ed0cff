"""Tables of Lark without the reductions that change nothing.

In the grammar a name is an `atom`, which is a `postfix`, which is a `power`, and so on to `expression`: fourteen
reductions, each of which only renames what there is, and four fifths of all that a program takes.
"""

from __future__ import annotations

from typing import Any

from lark.grammar import Rule
from lark.parsers.lalr_analysis import ParseTableBase, Reduce, Shift

Row = dict[str, tuple[Any, Any]]
"""A state: by the name of a symbol, the action and the state or rule that it goes to."""

_END = "$END"


def without_chains(table: ParseTableBase[Any]) -> tuple[list[Row], dict[str, int], dict[str, int]]:
    """The rows of a table that does in one step what `table` does by reducing chain after chain; starts and ends.

    Where a chain would end depends on the state below: each state with chains becomes one for every state that it can
    stand on (Pager 1974, "On eliminating unit productions from LR(k) parsers").
    """
    eliminated = _Elimination(table)
    starts = {rule: eliminated.number(table.states[state]) for rule, state in table.start_states.items()}
    eliminated.finish()
    ends = {rule: eliminated.rows[start][rule][1] for rule, start in starts.items()}
    return eliminated.rows, starts, ends


def is_rule(name: str) -> bool:
    """Whether a symbol is a rule: Lark writes terminals in capitals."""
    return not name.isupper()


def _is_chain(rule: Rule) -> bool:
    """Whether what the rule makes is its only part, another rule."""
    options = rule.options
    if len(rule.expansion) != 1 or any(options.empty_indices) or not options.expand1 or rule.alias:
        return False
    part = rule.expansion[0]
    return is_rule(part.name) and not part.name.startswith("_")  # which is a repetition of parts


class _Elimination:
    """States found so far, each a row of the old table or several that became one; equal ones are the same."""

    def __init__(self, table: ParseTableBase[Any]) -> None:
        self._states = table.states
        self._found: list[Row] = []  # with states of the old table
        self._numbers: dict[frozenset[Any], int] = {}
        self.rows: list[Row] = []  # the same with new ones

    def number(self, row: Row) -> int:
        """The number of the state with a row."""
        key = frozenset(row.items())
        if key not in self._numbers:
            self._numbers[key] = len(self._found)
            self._found.append(row)
        return self._numbers[key]

    def finish(self) -> None:
        """Writes the rows of the states found so far, and of those that they lead to."""
        while len(self.rows) < len(self._found):
            row = self._found[len(self.rows)]
            self.rows.append({name: self._renumbered(row, *action) for name, action in row.items()})

    def _renumbered(self, row: Row, action: Any, target: Any) -> tuple[Any, Any]:
        return (action, self.number(self._above(row, target)) if action is Shift else target)

    def _above(self, below: Row, state: Any) -> Row:
        """The row of a state on top of one with the row `below`, with what follows its chains in their place.

        The end of the text ends chains one by one, as the parser looks for the rule that it began with.
        """
        row = dict(self._states[state])
        for name, (action, rule) in list(row.items()):
            if name != _END and action is Reduce and _is_chain(rule):
                last = self._last(below, rule, name)
                row.pop(name)
                for symbol, step in last.items():
                    if symbol == name or is_rule(symbol):
                        assert row.get(symbol, step) == step, f"two chains go on differently at {symbol}"
                        row[symbol] = step
        return row

    def _last(self, below: Row, rule: Rule, name: str) -> Row:
        """The row at the end of a chain that begins with `rule` and is read before a token called `name`."""
        row = self._states[below[rule.origin.name][1]]
        action, following = row.get(name, (Shift, None))
        return self._last(below, following, name) if action is Reduce and _is_chain(following) else row
