"""Computes equal things once."""

from __future__ import annotations

from ..builder import Builder
from ..ir import Graph, Node, Value
from .rebuild import Results, rebuild

COMMUTATIVE = frozenset({"add", "mul", "maximum", "minimum", "equal", "not_equal", "logical_and", "logical_or"})


def share(graph: Graph) -> Graph:
    """Merges equal applications of operators, also where the operands of a commutative one are swapped.

    `a = mul(x, y); b = mul(y, x); z = add(a, b)` becomes `a = mul(x, y); z = add(a, a)`. The builder merges what is
    equal as written; this pass writes operands in the order in which the same ones came first.
    """
    first: dict[tuple[str, frozenset[Value]], tuple[Value, ...]] = {}

    def same_order(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if node.op not in COMMUTATIVE:
            return None
        return b.apply(node.op, first.setdefault((node.op, frozenset(inputs)), inputs), node.attributes)

    return rebuild(graph, same_order)
