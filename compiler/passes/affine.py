"""Products with a number plus a number, in one pass where the result is known to lie between 0 and 1."""

from __future__ import annotations

from ..builder import Builder
from ..ir import Graph, Node, Value
from .algebra_common import made_by, number
from .dead import dead
from .native import native
from .rebuild import Results, rebuild

BOUNDED = ("erf", "tanh")
"""Operators whose results lie between -1 and 1."""


def affine(graph: Graph) -> Graph:
    """Rewrites `a · x + b` to HardSigmoid, max(0, min(1, a · x + b)), where x is such that this changes nothing.

    The gradient of GELU has 0.5 · erf(x) + 0.5, for which HardSigmoid takes 3.5 µs in 32,768 elements, and a product
    and a sum 5.8.
    """

    def clipped(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if node.op == "add" and node.outputs[0].type.dtype == "f32":
            for product, constant in (inputs, inputs[::-1]):
                scaled, beta = made_by(b, product, "mul"), number(b, constant)
                if scaled is not None and beta is not None:
                    return _hard_sigmoid(b, scaled, beta)
        return None

    return dead(rebuild(graph, clipped))


def _hard_sigmoid(b: Builder, scaled: Node, beta: float) -> Value | None:
    """alpha · x + beta, where `scaled` is alpha · x, and the sum between 0 and 1."""
    for x, factor in (scaled.inputs, scaled.inputs[::-1]):
        alpha, source = number(b, factor), b.producer(x)
        bounded = source is not None and source.op in BOUNDED
        if bounded and alpha is not None and abs(alpha) <= beta <= 1 - abs(alpha):
            return native(b, "HardSigmoid", (x,), x.type, since=6, alpha=alpha, beta=beta)
    return None
