"""Computes equal things once."""

from __future__ import annotations

from ..builder import Builder
from ..ir import Graph, Node, Value
from .rebuild import Results, rebuild

COMMUTATIVE = frozenset({"add", "mul", "maximum", "minimum", "equal", "not_equal", "logical_and", "logical_or"})


def share(graph: Graph) -> Graph:
    """Merges equal applications of operators, also where the operands of a commutative one are swapped.

    `a = mul(x, y); b = mul(y, x); z = add(a, b)` becomes `a = mul(x, y); z = add(a, a)`. The builder merges what is
    equal as written; this pass puts operands in the order in which they were first computed.
    """
    order: dict[Value, int] = {}

    def sort_operands(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if node.op not in COMMUTATIVE:
            return None
        ranked = sorted((order.setdefault(x, len(order)), i) for i, x in enumerate(inputs))
        return b.apply(node.op, [inputs[i] for _, i in ranked], node.attributes)

    return rebuild(graph, sort_operands)
