"""Reverse-mode differentiation: walks a graph backwards and emits, by each operator's rule, the nodes of the gradient.

The gradient is made of the same operators as the graph, in the same builder, so it differentiates again.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlang.diagnostics import DiagnosticError, fail
from netlang.dims import Size
from netlang.types import FLOATS

from .builder import Builder
from .ir import Node, Value
from .op import Op
from .ops import OPS


def gradients(b: Builder, loss: Value, wrt: Sequence[Value], seed: Value | None = None) -> list[Value]:
    """The gradients of `loss` with respect to each of `wrt`, of the same types, appended to `b`.

    `seed` is the gradient of `loss` itself, of its type; without it, ones (of a loss that is no scalar, the gradient
    of the sum). A value that `loss` does not depend on, or only through operators whose derivative is zero, has a
    gradient of zeros. Takes time linear in the nodes of `b`.

    Raises DiagnosticError (`no-gradient`) where an operator on the way has no rule, or a value is not a float.
    """
    for value in (loss, *wrt):
        if value.type.dtype not in FLOATS:
            raise fail("no-gradient", f"{value.type} has no gradient: only floating-point tensors do", b.loc)
    path = _path(b.nodes, loss, wrt)
    found = {loss: _filled(b, loss, 1.0) if seed is None else seed}
    for node in reversed(path.nodes):
        results = [found.get(output) for output in node.outputs]
        if all(result is None for result in results):
            continue
        op = OPS[node.op]
        if op.vjp is None:
            raise _no_rule(node, path, loss)
        with b.at(node.loc, gradient_scope(node.scope)):
            for value, contribution in _contributions(b, op, node, results, path.active).items():
                found[value] = b.add(found[value], contribution) if value in found else contribution
    return [found[value] if value in found else _filled(b, value, 0.0) for value in wrt]


def gradient_scope(scope: str) -> str:
    """The scope of the nodes that differentiate those of `scope`."""
    return f"{scope}/grad" if scope else "grad"


def sum_to_shape(b: Builder, value: Value, shape: tuple[Size, ...]) -> Value:
    """The transpose of broadcasting: `value` summed over the axes along which `shape` was broadcast to its shape."""
    found = value.type.shape
    if found == shape:
        return value
    leading = len(found) - len(shape)
    stretched = [leading + i for i, size in enumerate(shape) if size == 1 and found[leading + i] != 1]
    axes = (*range(leading), *stretched)
    total = b.sum(value, axis=axes, keepdims=not leading) if axes else value
    return total if total.type.shape == shape else b.reshape(total, shape=shape)


class _Path:
    """The nodes between `wrt` and the loss, in topological order, and the values that depend on `wrt`."""

    def __init__(self, nodes: list[Node], active: set[Value]) -> None:
        self.nodes = nodes
        self.active = active


def _path(nodes: Sequence[Node], loss: Value, wrt: Sequence[Value]) -> _Path:
    active = set(wrt)
    for node in nodes:
        if OPS[node.op].nondiff is None and any(x in active for x in node.inputs):
            active.update(y for y in node.outputs if y.type.dtype in FLOATS)
    needed = {loss} & active
    between: list[Node] = []
    for node in reversed(nodes):
        inputs = [x for x in node.inputs if x in active]
        if inputs and OPS[node.op].nondiff is None and any(y in needed for y in node.outputs):
            needed.update(inputs)
            between.append(node)
    between.reverse()
    return _Path(between, active)


def _contributions(
    b: Builder, op: Op, node: Node, results: list[Value | None], active: set[Value]
) -> dict[Value, Value]:
    """What `node` adds to the gradient of each of its inputs, in its shape; an input used twice gets one sum.

    (That sum is often of two equal terms, as in x · x, and then a product.)
    """
    sums: dict[Value, Value] = {}
    for value, contribution in zip(node.inputs, _pull_back(b, op, node, results), strict=True):
        if contribution is not None and value in active:
            summed = sum_to_shape(b, contribution, value.type.shape)
            sums[value] = b.add(sums[value], summed) if value in sums else summed
    return sums


def _pull_back(b: Builder, op: Op, node: Node, results: list[Value | None]) -> tuple[Value | None, ...]:
    """The contribution of `node` to the gradient of each of its inputs."""
    assert op.vjp is not None
    g = tuple(results) if op.multiple else results[0]
    y = node.outputs if op.multiple else node.outputs[0]
    contributions = op.vjp(b, g, y, *node.inputs, **node.attributes)
    if contributions is None or isinstance(contributions, Value):
        contributions = (contributions,)
    assert len(contributions) == len(node.inputs), f"the gradient rule of {op.name} misses an input"
    for value, contribution in zip(node.inputs, contributions, strict=True):
        if contribution is not None and value.type.dtype in FLOATS:
            assert contribution.type.dtype == value.type.dtype, f"the gradient rule of {op.name} changes the dtype"
    return tuple(contributions)


def _filled(b: Builder, like: Value, number: float) -> Value:
    with b.at(b.loc, gradient_scope(b.scope)):
        return b.full(shape=like.type.shape, value=number, dtype=like.type.dtype)


def _no_rule(node: Node, path: _Path, loss: Value) -> DiagnosticError:
    """Names the operator, and how the loss depends on it."""
    chain = [node]
    reached = set(node.outputs)
    for later in path.nodes[path.nodes.index(node) + 1 :]:
        if loss not in reached and any(x in reached for x in later.inputs):
            chain.append(later)
            reached = set(later.outputs)
    steps = " -> ".join(f"{n.op} ({n.loc})" for n in chain)
    return fail(
        "no-gradient",
        f"operator `{node.op}` has no gradient",
        node.loc,
        "the loss depends on this",
        notes=[f"the way to the loss: {steps}"],
        help="`stop_gradient` around it treats the result as a constant",
    )
