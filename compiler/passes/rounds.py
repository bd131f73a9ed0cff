"""Takes out of iterations what need not be in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netlang.dims import Size

from ..builder import Builder
from ..control import free_values, needed_nodes
from ..determined import determined, sizes_of
from ..ir import Graph, Input, Node, Output, Value
from ..shapes import attribute_symbols
from .rebuild import Results, rebuild
from .stacked import STACKED, stack_node, stackable


def rounds(graph: Graph) -> Graph:
    """Moves work out of the bodies of scans, where it is done once for all rounds instead of once in each.

    - What depends on captures alone is computed before the scan.
    - What depends on captures and slices alone is computed for the whole sequences: `x_t @ w` becomes a slice of
      `x @ w`, one large product.
    - What is only stacked and made of one other value of the round is computed from the stack of that value.
    - A carry that only sums up, as the gradients of parameters do, becomes a sum over stacks; of products, one product.
    - Carries, slices, captures and stacks that nothing needs are dropped.
    """
    if not any(node.op == "scan_over" for node in graph.nodes):
        return graph
    used = {value for node in graph.nodes for value in node.inputs} | {output.value for output in graph.outputs}

    def lighten(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if node.op != "scan_over":
            return None
        return _Scan(b, node, inputs, [value in used for value in node.outputs]).lightened()

    return rebuild(graph, lighten)


@dataclass
class _Carry:
    """A value handed from round to round. `index` is its place among the results of the node."""

    index: int
    inside: Value
    initial: Value
    next: Value


@dataclass
class _Stack:
    """A result of the node: the stack of a value of the body, or what `finish` computes after the scan."""

    index: int
    inside: Value | None
    finish: Callable[[], Value] | None = None


class _Scan:
    """One scan while it is taken apart. Values "inside" are those of its body, "outside" those of the new graph."""

    def __init__(self, b: Builder, node: Node, inputs: Sequence[Value], used: Sequence[bool]) -> None:
        self.b, self.node, self.used = b, node, used
        attrs = node.attributes
        self.body: Graph = attrs["body"]
        k, own = attrs["carries"], attrs["carries"] + attrs["sequences"]
        inside = [item.value for item in self.body.inputs]
        results = [output.value for output in self.body.outputs]
        self.nodes = list(self.body.nodes)
        self.producers = {y: node for node in self.nodes for y in node.outputs}
        self.carries = [_Carry(i, inside[i], inputs[i], results[i]) for i in range(k)]
        self.moving = dict(zip(inside[k:own], inputs[k:own], strict=True))  # inside -> outside, stacked
        self.fixed = dict(zip(inside[own:], inputs[own:], strict=True))  # inside -> outside, the same in every round
        self.stacks = [_Stack(i, results[i]) for i in range(k, len(results)) if used[i]]
        self.sequence = (inside[k], inputs[k])  # something to run along
        self.length: Size = inputs[k].type.shape[0]
        self.emitted: dict[Value, Value] = {}  # inside -> outside, stacked by the new scan
        self.operands: Counter[Value] = Counter()  # how often nodes inside use a value, once work has been moved out
        self.own_sizes: frozenset[str] = frozenset()  # those that nodes inside determine
        self.wanted: dict[Value, None] = {}  # inside: what the new scan has to stack for `finish`

    def lightened(self) -> tuple[Value, ...]:
        """The results of the node that comes in its place."""
        self._drop_carries()
        self._hoist()
        sums = self._sums()
        self._sink()
        self._drop_nodes()
        finals = self._apply()
        results: dict[int, Value] = {carry.index: final for carry, final in zip(self.carries, finals, strict=True)}
        results |= {index: finish() for index, finish in sums.items()}
        for stack in self.stacks:
            results[stack.index] = stack.finish() if stack.finish else self._outside(stack.inside)
        return tuple(results.get(i, self._unused(y)) for i, y in enumerate(self.node.outputs))

    def _unused(self, result: Value) -> Value:
        return self.b.full(shape=result.type.shape, value=0.0, dtype=result.type.dtype)

    def _outside(self, value: Value | None) -> Value:
        assert value is not None
        return self.emitted[value] if value in self.emitted else self.moving[value]

    # --- What is not needed ---

    def _drop_carries(self) -> None:
        """Keeps the carries that are asked for, and those that these or the stacks depend on."""
        kept = [carry for carry in self.carries if self.used[carry.index]]
        while True:
            results = [carry.next for carry in kept] + [stack.inside for stack in self.stacks if stack.inside]
            needed = set(free_values(needed_nodes(self.nodes, results), results))
            more = [carry for carry in self.carries if carry not in kept and carry.inside in needed]
            if not more:
                break
            kept += more
        self.carries = [carry for carry in self.carries if carry in kept]

    def _drop_nodes(self) -> None:
        self.nodes = needed_nodes(self.nodes, self._results())

    def _results(self) -> list[Value]:
        stacked = [stack.inside for stack in self.stacks if stack.inside and not stack.finish]
        return [carry.next for carry in self.carries] + stacked + list(self.wanted)

    # --- What can be done before ---

    def _hoist(self) -> None:
        """Computes outside what depends on captures and slices alone."""
        kept: list[Node] = []
        for node in self.nodes:
            if self._is_ragged(node) or not (self._hoist_fixed(node) or self._hoist_moving(node)):
                self.own_sizes |= determined(node)
                kept.append(node)
        self.nodes = kept
        self._keep_constants_inside()
        self.operands = Counter(x for node in self.nodes for x in node.inputs)

    def _is_ragged(self, node: Node) -> bool:
        """Whether a node needs a size that only its round knows."""
        return bool(self.own_sizes) and not self.own_sizes.isdisjoint(sizes_of(node))

    def _hoist_fixed(self, node: Node) -> bool:
        if any(x not in self.fixed for x in node.inputs):
            return False
        with self.b.at(node.loc, node.scope):
            results = self.b.apply(node.op, [self.fixed[x] for x in node.inputs], node.attributes)
        self.fixed.update(zip(node.outputs, results if isinstance(results, tuple) else (results,), strict=True))
        return True

    def _hoist_moving(self, node: Node) -> bool:
        if any(x not in self.fixed and x not in self.moving for x in node.inputs):
            return False
        flags = [x in self.moving for x in node.inputs]
        inputs = [self.moving[x] if moves else self.fixed[x] for x, moves in zip(node.inputs, flags, strict=True)]
        with self.b.at(node.loc, node.scope):
            results = stack_node(self.b, node, inputs, flags, self.length)
        if results is None:
            return False
        self.moving.update(zip(node.outputs, results, strict=True))
        return True

    def _keep_constants_inside(self) -> None:
        """Constants are no captures: a body has its own."""
        needed = set(free_values(self.nodes, self._results()))
        own = [node for node in self.body.nodes if not node.inputs and any(y in needed for y in node.outputs)]
        self.nodes = [*own, *self.nodes]

    # --- What can be done after ---

    def _sums(self) -> dict[int, Callable[[], Value]]:
        """Takes away the carries that only sum up; how to compute their last values from stacks."""
        found: dict[int, Callable[[], Value]] = {}
        for carry in list(self.carries):
            node = self.producers.get(carry.next)
            if node is None or node.op != "add" or carry.inside not in node.inputs or self._uses(carry.inside) != 1:
                continue
            if self._uses(carry.next) or node.inputs[0] is node.inputs[1]:
                continue
            (term,) = (x for x in node.inputs if x is not carry.inside)
            total = self._total(term)
            if total is not None and term.type == carry.next.type:
                self.carries.remove(carry)
                found[carry.index] = lambda carry=carry, total=total: self.b.add(carry.initial, total())
        return found

    def _uses(self, value: Value) -> int:
        """How often a value is used in the body: by nodes, as a carry's next value but the first time, or stacked."""
        count = self.operands[value] + sum(stack.inside is value for stack in self.stacks)
        return count + max(0, sum(carry.next is value for carry in self.carries) - 1)

    def _total(self, value: Value) -> Callable[[], Value] | None:
        """How to compute the sum of `value` over all rounds after the scan, where that is cheaper."""
        node = self.producers.get(value)
        if node is None:
            return None
        if node.op == "add" and all(x.type == value.type for x in node.inputs):
            first, second = map(self._total, node.inputs)
            return None if first is None or second is None else lambda: self.b.add(first(), second())
        if node.op in ("transpose", "reshape", "neg"):
            inner = self._total(node.inputs[0])
            return None if inner is None else lambda: getattr(self.b, node.op)(inner(), **node.attributes)
        if node.op == "sum":
            return self._total_of_sum(node)
        if node.op == "matmul" and all(x.type.rank == 2 for x in node.inputs):
            return self._total_of_product(node)
        return None

    def _total_of_sum(self, node: Node) -> Callable[[], Value] | None:
        (x,) = node.inputs
        if not self._want(x):
            return None

        def compute() -> Value:
            results = stack_node(self.b, node, [self._outside(x)], [True], self.length)
            assert results is not None
            return self.b.sum(results[0], axis=(0,))

        return compute

    def _total_of_product(self, node: Node) -> Callable[[], Value] | None:
        """Σ Aₜ Bₜ as one product: of all columns of the Aₜ side by side with all rows of the Bₜ below each other."""
        left, right = node.inputs
        turned = self.producers.get(left)
        rows = turned.inputs[0] if turned is not None and turned.op == "transpose" else None
        if not self._want(right) or not self._want(left if rows is None else rows):
            return None
        b = self.b

        def compute() -> Value:
            height, inner = left.type.shape
            if rows is None:
                columns = b.transpose(self._outside(left), perm=(1, 0, 2))
                wide = b.reshape(columns, shape=(height, self.length * inner))
            else:
                wide = b.t(b.reshape(self._outside(rows), shape=(self.length * inner, height)))
            return b.matmul(wide, b.reshape(self._outside(right), shape=(self.length * inner, right.type.shape[1])))

        return compute

    def _want(self, value: Value) -> bool:
        """Asks for the stack of a value of the body; False where there is none, or it is the same in every round."""
        if value in self.fixed or not self.own_sizes.isdisjoint(attribute_symbols(value.type.shape)):
            return False
        if value not in self.moving:
            self.wanted[value] = None
        return True

    def _sink(self) -> None:
        """Computes a stack from another one, where its value is used for nothing else in the body."""
        inside = set(self.nodes)
        stacked = {stack.inside for stack in self.stacks}
        for stack in self.stacks:
            node = self.producers.get(stack.inside) if stack.inside else None
            if node is None or node not in inside or node.op not in STACKED or len(node.outputs) != 1:
                continue
            if self._is_ragged(node):
                continue
            if stack.inside in self.wanted or self._uses(node.outputs[0]) != 1 or self._is_carried(node.outputs[0]):
                continue
            new = {x for x in node.inputs if x not in self.fixed and x not in self.moving and x not in self.wanted}
            new -= stacked
            if len(new) <= 1 and not any(x.type.rank > node.outputs[0].type.rank for x in new):
                self._sink_one(stack, node)

    def _is_carried(self, value: Value) -> bool:
        return any(carry.next is value for carry in self.carries)

    def _sink_one(self, stack: _Stack, node: Node) -> None:
        flags = [x not in self.fixed for x in node.inputs]
        if not any(flags) or not stackable(node, flags):
            return
        for x in node.inputs:
            self._want(x)

        def compute() -> Value:
            operands = [self.fixed[x] if x in self.fixed else self._outside(x) for x in node.inputs]
            with self.b.at(node.loc, node.scope):
                results = stack_node(self.b, node, operands, flags, self.length)
            assert results is not None
            return results[0]

        stack.finish = compute

    # --- The scan that is left ---

    def _apply(self) -> list[Value]:
        emitted = list(dict.fromkeys([s.inside for s in self.stacks if s.inside and not s.finish] + list(self.wanted)))
        emitted = [value for value in emitted if value not in self.moving]
        results = [carry.next for carry in self.carries] + emitted
        if not results:
            return []
        self.nodes = needed_nodes(self.nodes, results)
        free = free_values(self.nodes, results, [carry.inside for carry in self.carries])
        moving = {x: self.moving[x] for x in free if x in self.moving} or dict([self.sequence])
        fixed = {x: self.fixed[x] for x in free if x in self.fixed}
        inputs = tuple(map(Input, (*(carry.inside for carry in self.carries), *moving, *fixed)))
        outputs = tuple(Output(f"y{i}", value) for i, value in enumerate(results))
        body = Graph(self.body.name, inputs, (), tuple(self.nodes), outputs)
        attrs = self.node.attributes | {"body": body, "carries": len(self.carries), "sequences": len(moving)}
        given = (*(carry.initial for carry in self.carries), *moving.values(), *fixed.values())
        applied = self.b.apply("scan_over", given, attrs)
        assert isinstance(applied, tuple)
        self.emitted = dict(zip(emitted, applied[len(self.carries) :], strict=True))
        return list(applied[: len(self.carries)])
