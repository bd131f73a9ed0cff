"""Gradients of the operators on graphs.

The gradient of an iteration runs in the other direction. Its body is found by differentiating the body once, together
with the forward nodes ("joint"); the values of the forward nodes that it needs are emitted by the forward node, which
is widened by these results, unless computing them again is as good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netlang.dims import Size
from netlang.types import FLOATS

from .builder import Builder
from .control import free_values, inline, needed_nodes, stacked_type, unbounded
from .determined import NOTHING, determined, sizes_of
from .ir import Graph, Input, Node, Output, Value
from .shapes import attribute_symbols

Gradients = list[Value | None]

FREE = frozenset({"constant", "full", "iota", "dim", "reshape", "transpose", "expand", "placeholder"})
"""Operators that cost less than what it takes to keep their result."""


@dataclass(frozen=True)
class Iteration:
    """A `scan` or `loop`, taken apart. The lists pair values of the body with those of the graph around."""

    node: Node
    body: Graph
    length: Size
    reverse: bool
    recompute: bool
    carries: list[Value]  # inputs of the body
    initial: list[Value]  # inputs of the node
    slices: list[Value]
    sequences: list[Value]
    index: list[Value]  # the number of rounds done, where the body gets it
    captures: list[Value]
    captured: list[Value]
    next: list[Value]  # outputs of the body
    emitted: list[Value]
    stacks: list[Value]  # outputs of the node

    @property
    def first_emitted(self) -> int:
        return len(self.body.outputs) - len(self.emitted)


def scan(b: Builder, node: Node, grads: Gradients, wanted: Sequence[bool]) -> Gradients:
    """The gradient of a `scan`: a scan in the other direction."""
    node = _present(b, node)
    attrs, body = node.attributes, node.attributes["body"]
    k, own = attrs["carries"], attrs["carries"] + attrs["sequences"]
    inputs, outputs = [item.value for item in body.inputs], [output.value for output in body.outputs]
    iteration = Iteration(
        node, body, node.inputs[k].type.shape[0], attrs["reverse"], attrs["recompute"],
        inputs[:k], list(node.inputs[:k]), inputs[k:own], list(node.inputs[k:own]), [],
        inputs[own:], list(node.inputs[own:]), outputs[:k], outputs[k:], list(node.outputs[k:]),
    )  # fmt: skip
    return _iteration(b, iteration, grads, wanted)


def loop(b: Builder, node: Node, grads: Gradients, wanted: Sequence[bool]) -> Gradients:
    """The gradient of a `loop`: a scan over the rounds that were run, from the last to the first."""
    node = _present(b, node)
    attrs, body = node.attributes, node.attributes["body"]
    if attrs["bound"] is None:
        raise unbounded(node)
    k = attrs["carries"]
    inputs, outputs = [item.value for item in body.inputs], [output.value for output in body.outputs]
    iteration = Iteration(
        node, body, attrs["count"], False, attrs["recompute"],
        inputs[1 : k + 1], list(node.inputs[2 : k + 2]), [], [], inputs[:1],
        inputs[k + 1 :], list(node.inputs[k + 2 :]), outputs[1 : k + 1], outputs[k + 1 :], list(node.outputs[k:]),
    )  # fmt: skip
    return [None, None, *_iteration(b, iteration, grads, wanted[2:])]


def branch(b: Builder, node: Node, grads: Gradients, wanted: Sequence[bool]) -> Gradients:
    """The gradient of a `branch`: the same choice between the gradients of its branches, which compute them again."""
    condition, *captured = node.inputs
    present = [i for i, g in enumerate(grads) if g is not None]
    targets = [i for i, want in enumerate(wanted[1:]) if want and captured[i].type.dtype in FLOATS]
    bodies: dict[str, Graph] = {}
    for name in ("then", "otherwise"):
        body: Graph = node.attributes[name]
        joint = _joint(b, body)
        seeds = [(body.outputs[i].value, joint.input(f"grad.{i}", node.outputs[i].type)) for i in present]
        inputs = [item.value for item in body.inputs]
        found = _pull(joint, seeds, [inputs[i] for i in targets])
        for i, gradient in zip(targets, found, strict=True):
            joint.output(f"grad.x{i}", gradient if gradient is not None else _zeros(joint, inputs[i]))
        results = [output.value for output in joint.outputs]
        nodes = needed_nodes(joint.nodes, results)
        bodies[name] = Graph(f"{body.name}/grad", tuple(joint.inputs), (), tuple(nodes), tuple(joint.outputs))
    given = [g for g in grads if g is not None]
    results = b.apply("branch", (condition, *captured, *given), dict(bodies))
    assert isinstance(results, tuple)
    by_target = dict(zip(targets, results, strict=True))
    return [None, *(by_target.get(i) for i in range(len(captured)))]


def block(b: Builder, node: Node, grads: Gradients, wanted: Sequence[bool]) -> Gradients:
    """The gradient of a `block`: its own, or that of its body computed once more."""
    attrs = node.attributes
    given = [_zeros(b, y) if g is None else g for y, g in zip(node.outputs, grads, strict=True)]
    if attrs["gradient"] is not None:
        return list(inline(b, attrs["gradient"], (*node.inputs, *node.outputs, *given)).results)
    after = next(g for g in grads if g is not None)
    kept = {variable.value for variable in b.root.variables}
    late = attrs["recompute"]
    inputs = [x if x in kept or not late else b.barrier(x, after) for x in node.inputs]
    again = inline(b, attrs["body"], inputs)
    seeds = [(y, g) for y, g in zip(again.results, grads, strict=True) if g is not None]
    found = _pull(b, seeds, inputs, again.nodes)
    return [g if want else None for g, want in zip(found, wanted, strict=True)]


# --- Iterations ----------------------------------------------------------------------------------------------------


def _iteration(b: Builder, it: Iteration, grads: Gradients, wanted: Sequence[bool]) -> Gradients:
    k, m = len(it.carries), len(it.slices)
    joint = _joint(b, it.body)
    forward = len(joint.nodes)
    floats = [i for i in range(k) if it.carries[i].type.dtype in FLOATS]
    emitting = [j for j, g in enumerate(grads[k:]) if g is not None]
    carry_grads = [joint.input(f"grad.carry{i}", it.carries[i].type) for i in floats]
    emitted_grads = [joint.input(f"grad.emitted{j}", it.emitted[j].type) for j in emitting]
    seeds = [(it.next[i], g) for i, g in zip(floats, carry_grads, strict=True)]
    seeds += [(it.emitted[j], g) for j, g in zip(emitting, emitted_grads, strict=True)]
    slices = [j for j in range(m) if wanted[k + j] and it.slices[j].type.dtype in FLOATS]
    captures = [j for j, x in enumerate(it.captures) if wanted[k + m + j] and x.type.dtype in FLOATS]
    targets = [it.carries[i] for i in floats] + [it.slices[j] for j in slices] + [it.captures[j] for j in captures]
    found = dict(zip(targets, _pull(joint, seeds, targets, joint.nodes[:forward]), strict=True))

    captures = [j for j in captures if found[it.captures[j]] is not None]
    sums = [joint.input(f"sum.capture{j}", it.captures[j].type) for j in captures]
    carried = [found[it.carries[i]] or _zeros(joint, it.carries[i]) for i in floats]
    carried += [joint.add(total, found[it.captures[j]]) for total, j in zip(sums, captures, strict=True)]
    slices = [j for j in slices if found[it.slices[j]] is not None]
    stacked = [found[it.slices[j]] for j in slices]
    results = [*carried, *(g for g in stacked if g is not None)]
    answer: Gradients = [None] * (k + m + len(it.captures))
    if not results:
        return answer

    backward = _Backward(it, joint.nodes[:forward], joint.nodes[forward:], results, [*carry_grads, *sums])
    saved = backward.saved(emitted_grads)
    stacks = _widen(b, it, joint.nodes[:forward], saved)
    first = [grads[i] or _zeros(b, it.initial[i]) for i in floats]
    first += [_zeros(b, it.captured[j]) for j in captures]
    finals, gradient_stacks = backward.emit(
        b, first, dict(zip(saved, stacks, strict=True)),
        dict(zip(emitted_grads, (g for g in grads[k:] if g is not None), strict=True)), len(carried),
    )  # fmt: skip
    for i, g in zip(floats, finals, strict=False):
        answer[i] = g
    for j, g in zip(slices, gradient_stacks, strict=True):
        answer[k + j] = g
    for j, g in zip(captures, finals[len(floats) :], strict=True):
        answer[k + m + j] = g
    return answer


class _Backward:
    """The body of the gradient: the nodes that compute it, and which values of the forward body it needs."""

    def __init__(
        self, it: Iteration, forward: Sequence[Node], gradient: Sequence[Node], results: list[Value], own: list[Value]
    ) -> None:
        self.it, self.results, self.own = it, results, own
        nodes = needed_nodes(gradient, results)
        again = self._again(forward, nodes, free_values(nodes, results, own))
        self.nodes = [*again, *nodes]
        self.free = free_values(self.nodes, results, own)

    def _again(self, forward: Sequence[Node], gradient: Sequence[Node], free: list[Value]) -> list[Node]:
        """The forward nodes to compute again: the cheap, those that are the same in every round, or all.

        Also what has, or tells, a size of this round alone: such values cannot be stacked.
        """
        it = self.it
        known = {*it.captures, *it.slices}
        invariant = _invariant(forward, it.captures)
        told = frozenset().union(*map(determined, forward))
        sizes = told.intersection(size for node in gradient for size in sizes_of(node)) if told else NOTHING
        needed = set(free) - known
        chosen: list[Node] = []
        for node in reversed(forward):
            wanted = [y for y in node.outputs if y in needed]
            cheap = it.recompute or node.op in FREE or all(x in invariant for x in node.inputs)
            if (wanted and (cheap or any(_has(y, told) for y in wanted))) or not sizes.isdisjoint(determined(node)):
                chosen.append(node)
                needed.update(x for x in node.inputs if x not in known)
                sizes = sizes | (told & sizes_of(node)) if told else sizes
        chosen.reverse()
        return chosen

    def saved(self, given: list[Value]) -> list[Value]:
        """The values of the forward body to keep, one of each round."""
        known = {*self.it.captures, *self.it.slices, *given}
        kept = [value for value in self.free if value not in known]
        used = any(value in self.free for value in (*self.it.slices, *given))
        return kept if kept or used else list(self.it.index)  # an iteration needs something to run along

    def emit(
        self, b: Builder, first: list[Value], stacks: dict[Value, Value], given: dict[Value, Value], carries: int
    ) -> tuple[list[Value], list[Value]]:
        """Adds the scan that computes the gradient: the last carries, and the stacks."""
        it = self.it
        sequences = dict(stacks)
        sequences |= {x: whole for x, whole in zip(it.slices, it.sequences, strict=True) if x in self.free}
        sequences |= {x: whole for x, whole in given.items() if x in self.free}
        if not sequences:
            sequences = {it.slices[0]: it.sequences[0]}
        captured = {x: outer for x, outer in zip(it.captures, it.captured, strict=True) if x in self.free}
        inputs = tuple(map(Input, (*self.own, *sequences, *captured)))
        outputs = tuple(Output(f"grad.{i}", value) for i, value in enumerate(self.results))
        body = Graph(f"{it.body.name}/grad", inputs, (), tuple(self.nodes), outputs)
        attrs = {"body": body, "carries": carries, "sequences": len(sequences)}
        attrs |= {"reverse": not it.reverse, "recompute": it.recompute}
        results = b.apply("scan_over", (*first, *sequences.values(), *captured.values()), attrs)
        assert isinstance(results, tuple)
        return list(results[:carries]), list(results[carries:])


def _widen(b: Builder, it: Iteration, forward: Sequence[Node], saved: Sequence[Value]) -> list[Value]:
    """Makes the forward node emit `saved` too; the stacks of them. What it emits already is not emitted again."""
    known = dict(zip(it.emitted, it.stacks, strict=True))
    fresh = [value for value in saved if value not in known]
    if fresh or tuple(forward) != it.body.nodes:
        new = [Value(stacked_type(it.length, value.type), f"{it.node.op}.saved{i}") for i, value in enumerate(fresh)]
        extra = tuple(Output(f"saved{len(it.body.outputs) + i}", value) for i, value in enumerate(fresh))
        body = Graph(it.body.name, it.body.inputs, (), tuple(forward), (*it.body.outputs, *extra))
        attrs = tuple((key, body if key == "body" else value) for key, value in it.node.attrs)
        outputs = (*it.node.outputs, *new)
        b.replace(it.node, Node(it.node.op, it.node.inputs, attrs, outputs, it.node.loc, it.node.scope))
        known |= dict(zip(fresh, new, strict=True))
    return [known[value] for value in saved]


def _invariant(nodes: Sequence[Node], captures: list[Value]) -> set[Value]:
    """The values that are the same in every round."""
    found = set(captures)
    for node in nodes:
        if all(x in found for x in node.inputs):
            found.update(node.outputs)
    return found


def _has(value: Value, sizes: frozenset[str]) -> bool:
    """Whether the shape of a value depends on one of `sizes`."""
    return not sizes.isdisjoint(attribute_symbols(value.type.shape))


def _present(b: Builder, node: Node) -> Node:
    """What stands in the place of `node` by now: the gradient of another node may have widened it on the way here."""
    return b.producer(node.outputs[0]) or node


def _joint(b: Builder, body: Graph) -> Builder:
    """A builder that goes on where a body ends."""
    joint = b.inner(body.name)
    joint.adopt(body)
    return joint


def _pull(
    b: Builder, seeds: list[tuple[Value, Value]], targets: list[Value], nodes: Sequence[Node] | None = None
) -> Gradients:
    from .autodiff import pull_back

    return pull_back(b, seeds, targets, nodes)


def _zeros(b: Builder, like: Value) -> Value:
    return b.full(shape=like.type.shape, value=0.0, dtype=like.type.dtype)
