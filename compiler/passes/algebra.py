"""Rewrites what algebra makes simpler: a table of small rules, tried on every node as it is built."""

from __future__ import annotations

from ..ir import Graph
from . import algebra_arithmetic, algebra_elementwise, algebra_reduction, algebra_shape
from .algebra_common import Rule, Simplifier
from .rebuild import rebuild

TABLES = (algebra_arithmetic.RULES, algebra_elementwise.RULES, algebra_shape.RULES, algebra_reduction.RULES)

RULES: dict[str, tuple[Rule, ...]] = {
    name: tuple(rule for table in TABLES for rule in table.get(name, ())) for name in sorted(set().union(*TABLES))
}
"""The rules of each operator, in the order in which they are tried."""


def algebra(graph: Graph) -> Graph:
    """Applies the rules until none fits.

    `a = mul(x, 2.0); b = mul(a, 0.5); y = add(b, 0.0)` becomes `y = x`. Results may differ by rounding where numbers
    are merged, and in the sign of zeros. Gradients must have been taken: `stop_gradient` goes.
    """
    return rebuild(graph, builder=Simplifier(graph.name, RULES))
