"""The faults that the gradient of a loss has, found without the gradient: one node of each kind is differentiated."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from netlang.types import FLOATS

from ..autodiff import gradients, pull_back
from ..builder import Builder
from ..ir import Node, Value
from ..ops import OPS


def check_gradients(b: Builder, loss: Value, wrt: Sequence[Value], seen: set[Hashable]) -> None:
    """Raises DiagnosticError where `gradients(b, loss, wrt)` does. Kinds of nodes that are `seen` have no faults."""
    gradients(b, loss, [x for x in wrt if x.type.dtype not in FLOATS])  # refuses them
    nodes = [node for node in b.nodes if OPS[node.op].nondiff is None]
    active = _dependent(nodes, wrt)
    needed = {loss}
    for node in reversed(nodes):
        targets = [x for x in node.inputs if x in active]
        results = [y for y in node.outputs if y in needed and y in active]
        if not targets or not results:
            continue
        needed.update(targets)
        kind = _kind(b, node, targets, results)
        if kind not in seen:
            pull_back(b, [(y, y) for y in results], list(dict.fromkeys(targets)), [node])
            seen.add(kind)


def _dependent(nodes: Sequence[Node], wrt: Sequence[Value]) -> set[Value]:
    """The floats that are computed from `wrt`."""
    found = set(wrt)
    for node in nodes:
        if not found.isdisjoint(node.inputs):
            found.update(y for y in node.outputs if y.type.dtype in (*FLOATS, "opaque"))
    return found


def _kind(b: Builder, node: Node, targets: Sequence[Value], results: Sequence[Value]) -> Hashable:
    """Equal for nodes that the rule of their operator cannot tell apart, but for the names of what they compute."""
    inputs = (x.type if b.constant_value(x) is None else x for x in node.inputs)
    wanted = tuple([x in targets for x in node.inputs])
    return (node.op, node.attrs, wanted, tuple([y.type for y in results]), *inputs)
