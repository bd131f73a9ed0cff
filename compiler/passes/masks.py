"""Ones where something is positive, in one pass instead of two."""

from __future__ import annotations

from ..builder import Builder
from ..ir import Graph, Node, Value
from .algebra_common import made_by, number
from .dead import dead
from .native import native
from .rebuild import Results, rebuild

STEEP = 3e38
"""A slope that takes every positive number to 1 or more, numbers that are not normal aside."""


def masks(graph: Graph) -> Graph:
    """Rewrites `cast(x > 0, f32)` to HardSigmoid, which is max(0, min(1, slope · x)).

    The gradient of ReLU multiplies by such a mask. A comparison and a cast take two and a half times as long. Positive
    numbers below 3e-39, which sessions take for 0, give a part of 1; NaN gives NaN.
    """

    def steep(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        greater = made_by(b, inputs[0], "greater") if node.op == "cast" else None
        if greater is None or node.attributes["dtype"] != "f32":
            return None
        x, zero = greater.inputs
        if x.type.dtype != "f32" or number(b, zero) != 0:
            return None
        return native(b, "HardSigmoid", (x,), x.type, since=6, alpha=STEEP, beta=0.0)

    return dead(rebuild(graph, steep))
