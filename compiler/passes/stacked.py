"""Operators on whole stacks: what a node computes in each round, computed for all rounds at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from netlang.dims import Size

from ..builder import Builder
from ..ir import Node, Value
from ..row_rules import ELEMENTWISE

Rule = Callable[[Builder, Node, Sequence[Value], Size], Any]


def stackable(node: Node, moving: Sequence[bool]) -> bool:
    """Whether `stack_node` can do it. `moving` tells which inputs differ from round to round."""
    if node.op not in STACKED or not any(moving):
        return False
    if node.op == "matmul":
        ranks = [x.type.rank for x in node.inputs]
        return min(ranks) >= 2 and (ranks[0] == ranks[1] if all(moving) else ranks[moving.index(False)] == 2)
    return node.op in ELEMENTWISE or all(moving)


def stack_node(
    b: Builder, node: Node, inputs: Sequence[Value], moving: Sequence[bool], length: Size
) -> Sequence[Value] | None:
    """The stacks of the results of `node` along a new first axis, from its inputs: stacks where `moving`, else the same
    in every round. None where there is no rule.
    """
    if not stackable(node, moving):
        return None
    if node.op in ELEMENTWISE:
        rank = node.outputs[0].type.rank
        inputs = [_lifted(b, x, rank) if moves else x for x, moves in zip(inputs, moving, strict=True)]
    results = STACKED[node.op](b, node, inputs, length)
    return results if isinstance(results, tuple) else (results,)


def _lifted(b: Builder, x: Value, rank: int) -> Value:
    """A stack of tensors that broadcast to `rank` axes: further axes of size 1 after the first."""
    missing = rank + 1 - x.type.rank
    return b.reshape(x, shape=(x.type.shape[0], *(1,) * missing, *x.type.shape[1:])) if missing else x


def _same(b: Builder, node: Node, inputs: Sequence[Value], length: Size) -> Any:
    return b.apply(node.op, inputs, node.attributes)


def _transpose(b: Builder, node: Node, inputs: Sequence[Value], length: Size) -> Value:
    return b.transpose(*inputs, perm=(0, *(axis + 1 for axis in node.attributes["perm"])))


def _shaped(b: Builder, node: Node, inputs: Sequence[Value], length: Size) -> Value:
    x = _lifted(b, inputs[0], node.outputs[0].type.rank) if node.op == "expand" else inputs[0]
    return b.apply(node.op, [x], {"shape": (length, *node.attributes["shape"])})  # type: ignore[return-value]


def _along(b: Builder, node: Node, inputs: Sequence[Value], length: Size) -> Any:
    """Operators along axes, which are one further now."""
    rank, attrs = node.inputs[0].type.rank, node.attributes
    name = "axes" if "axes" in attrs else "axis"
    axes = attrs[name]
    if axes is None:
        axes = tuple(range(rank))
    moved = axes % rank + 1 if isinstance(axes, int) else tuple(axis % rank + 1 for axis in axes)
    return b.apply(node.op, inputs, attrs | {name: moved})


STACKED: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _same),
    **dict.fromkeys(("sum", "mean", "max", "min", "prod", "cumsum", "softmax", "log_softmax"), _along),
    **dict.fromkeys(("concat", "split", "slice"), _along),
    **dict.fromkeys(("reshape", "expand"), _shaped),
    "matmul": _same,
    "transpose": _transpose,
}
"""By operator, how it is applied to stacks."""
