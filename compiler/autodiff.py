"""Reverse-mode differentiation: walks a graph backwards and emits, by each operator's rule, the nodes of the gradient.

The gradient is made of the same operators as the graph, in the same builder, so it differentiates again.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlang.diagnostics import DiagnosticError, fail
from netlang.dims import Size
from netlang.types import FLOATS

from .builder import Builder
from .control import body_of, inline
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
    found = pull_back(b, [(loss, _filled(b, loss, 1.0) if seed is None else seed)], wrt)
    return [_filled(b, x, 0.0) if gradient is None else gradient for x, gradient in zip(wrt, found, strict=True)]


def pull_back(
    b: Builder, seeds: Sequence[tuple[Value, Value]], wrt: Sequence[Value], nodes: Sequence[Node] | None = None
) -> list[Value | None]:
    """The vector-Jacobian product: from pairs of a result and its gradient, the gradients of each of `wrt`.

    None where no result depends on it. `nodes` are those to go through, by default all of `b`.
    """
    b.root.differentiated = True
    path = _path(b.nodes if nodes is None else nodes, [result for result, _ in seeds], wrt)
    found: dict[Value, Value] = {}
    for result, seed in seeds:
        _accumulate(b, found, result, seed)
    for node in reversed(path.nodes):
        results = [found.get(output) for output in node.outputs]
        if all(result is None for result in results):
            continue
        with b.at(node.loc, gradient_scope(node.scope)):
            for value, contribution in _contributions(b, node, results, path).items():
                _accumulate(b, found, value, contribution)
    return [found.get(value) for value in wrt]


def _accumulate(b: Builder, found: dict[Value, Value], value: Value, contribution: Value) -> None:
    found[value] = b.add(found[value], contribution) if value in found else contribution


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
    """The nodes between `wrt` and the results, in topological order, and the values that depend on `wrt`."""

    def __init__(self, nodes: list[Node], active: set[Value], results: set[Value]) -> None:
        self.nodes = nodes
        self.active = active
        self.results = results


def _path(nodes: Sequence[Node], results: Sequence[Value], wrt: Sequence[Value]) -> _Path:
    active = set(wrt)
    for node in nodes:
        if OPS[node.op].nondiff is None and any(x in active for x in node.inputs):
            active.update(y for y in node.outputs if y.type.dtype in (*FLOATS, "opaque"))  # which may hold floats
    needed = set(results) & active
    between: list[Node] = []
    for node in reversed(nodes):
        inputs = [x for x in node.inputs if x in active]
        if inputs and OPS[node.op].nondiff is None and any(y in needed for y in node.outputs):
            needed.update(inputs)
            between.append(node)
    between.reverse()
    return _Path(between, active, set(results))


def _contributions(b: Builder, node: Node, results: list[Value | None], path: _Path) -> dict[Value, Value]:
    """What `node` adds to the gradient of each of its inputs, in its shape; an input used twice gets one sum.

    (That sum is often of two equal terms, as in x · x, and then a product.)
    """
    op = OPS[node.op]
    if op.body is not None:
        return _through_body(b, node, results, path.active)
    if op.node_vjp is not None:
        contributions = op.node_vjp(b, node, results, [x in path.active for x in node.inputs])
    elif op.vjp is not None:
        contributions = _by_rule(b, op, node, results)
    else:
        raise _no_rule(node, path)
    sums: dict[Value, Value] = {}
    for value, contribution in zip(node.inputs, contributions, strict=True):
        if contribution is not None and value in path.active:
            _accumulate(b, sums, value, sum_to_shape(b, contribution, value.type.shape))
    return sums


def _by_rule(b: Builder, op: Op, node: Node, results: list[Value | None]) -> tuple[Value | None, ...]:
    """What the operator's own rule gives for each input."""
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


def _through_body(b: Builder, node: Node, results: list[Value | None], active: set[Value]) -> dict[Value, Value]:
    """The gradient of a composite: its body, repeated here, is differentiated. (The pass `expand` shares the two.)"""
    wrt = [value for value in dict.fromkeys(node.inputs) if value in active]
    with b.at(node.loc, node.scope):
        repeated = inline(b, body_of(b, node), node.inputs)
        if any(value in producer.outputs for producer in repeated.nodes for value in wrt):
            with b.unshared():  # an input is computed by what the body computes as well: keep the two apart
                repeated = inline(b, body_of(b, node), node.inputs)
    seeds = [(y, g) for y, g in zip(repeated.results, results, strict=True) if g is not None]
    found = pull_back(b, seeds, wrt, repeated.nodes)
    return {value: gradient for value, gradient in zip(wrt, found, strict=True) if gradient is not None}


def _filled(b: Builder, like: Value, number: float) -> Value:
    with b.at(b.loc, gradient_scope(b.scope)):
        return b.full(shape=like.type.shape, value=number, dtype=like.type.dtype)


def _no_rule(node: Node, path: _Path) -> DiagnosticError:
    """Names the operator, and how the loss depends on it."""
    chain = [node]
    reached = set(node.outputs)
    for later in path.nodes[path.nodes.index(node) + 1 :]:
        if not path.results & reached and any(x in reached for x in later.inputs):
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
