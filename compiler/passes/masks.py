"""Signs and masks of what is positive, by arithmetic that the runtime is fast in."""

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
    """Rewrites `cast(x > 0, f32)` to HardSigmoid, max(0, min(1, slope · x)), and `sign(x)` to clip(slope · x, -1, 1).

    The gradient of ReLU multiplies by such a mask, for which a comparison and a cast take two and a half times as long;
    Sign takes eight times as long as both passes here. Numbers below 3e-39, which sessions take for 0, give a part of
    1; NaN gives NaN.
    """

    def steep(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if node.op == "sign" and inputs[0].type.dtype == "f32":
            return b.clip(b.mul(inputs[0], STEEP), low=-1.0, high=1.0)
        greater = made_by(b, inputs[0], "greater") if node.op == "cast" else None
        if greater is None or node.attributes["dtype"] != "f32":
            return None
        x, zero = greater.inputs
        if x.type.dtype != "f32" or number(b, zero) != 0:
            return None
        return native(b, "HardSigmoid", (x,), x.type, since=6, alpha=STEEP, beta=0.0)

    return dead(rebuild(graph, steep))
