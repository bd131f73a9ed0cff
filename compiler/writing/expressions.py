"""Expressions as text, with how tightly they hold together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PIPE, OR, AND, NOT, COMPARISON, SUM, PRODUCT, UNARY, POWER, POSTFIX, ATOM = range(11)
"""How tightly an expression holds together; what holds less tightly stands in parentheses inside what holds more."""

INFIX = {
    "add": ("+", SUM), "sub": ("-", SUM), "mul": ("*", PRODUCT), "div": ("/", PRODUCT), "matmul": ("@", PRODUCT),
    "floor_divide": ("//", PRODUCT), "mod": ("%", PRODUCT), "pow": ("**", POWER),
    "equal": ("==", COMPARISON), "not_equal": ("!=", COMPARISON), "less": ("<", COMPARISON),
    "less_equal": ("<=", COMPARISON), "greater": (">", COMPARISON), "greater_equal": (">=", COMPARISON),
    "logical_and": ("and", AND), "logical_or": ("or", OR),
}  # fmt: skip
"""Operators that are written between their operands."""
PREFIX = {"neg": ("-", UNARY), "logical_not": ("not ", NOT)}


@dataclass(frozen=True, slots=True)
class Text:
    """An expression and how tightly it holds together."""

    text: str
    precedence: int = ATOM

    def inside(self, precedence: int) -> str:
        """The text as an operand of what holds as tightly as `precedence`."""
        return self.text if self.precedence >= precedence else f"({self.text})"


def infix(op: str, left: Text, right: Text) -> Text:
    """`left + right`."""
    sign, precedence = INFIX[op]
    if precedence == POWER:  # binds its right side, which may be a negation, more loosely than its left
        return Text(f"{left.inside(POSTFIX)} ** {right.inside(UNARY)}", POWER)
    outer = precedence + 1 if precedence == COMPARISON else precedence
    return Text(f"{left.inside(outer)} {sign} {right.inside(precedence + 1)}", precedence)


def prefix(op: str, operand: Text) -> Text:
    """`-x`, `not x`."""
    sign, precedence = PREFIX[op]
    return Text(f"{sign}{operand.inside(precedence)}", precedence)


def call(function: str, arguments: Sequence[str]) -> Text:
    """`f(a, b)`."""
    return Text(f"{function}({', '.join(arguments)})", POSTFIX)


def pipe(value: Text, function: str) -> Text:
    """`x |> f`; what is calculated stands in parentheses."""
    left = value.text if value.precedence in (PIPE, POSTFIX, ATOM) else f"({value.text})"
    return Text(f"{left} |> {function}", PIPE)


def listed(items: Sequence[str]) -> str:
    """`[a, b]`."""
    return f"[{', '.join(items)}]"
