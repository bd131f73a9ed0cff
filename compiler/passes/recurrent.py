"""Scans of LSTM and GRU cells become the operators that ONNX has for them, each one kernel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from netlang.dims import Size

from ..builder import Builder
from ..ir import Graph, Node, Value
from .algebra_common import made_by, uniform
from .cells import Cell, Gate, Weighted, cell_of
from .dead import dead
from .rebuild import Results, rebuild
from .terms import Columns, Product, Round, Sum, Unknown

Users = Mapping[Value, Sequence[Node | None]]
"""The nodes that use each value; None stands for an output of the graph."""


def recurrent(graph: Graph) -> Graph:
    """Rewrites scans whose rounds compute an LSTM or a GRU to `lstm` or `gru`, which take 0.5 to 0.9 of the time.

    Bodies are known by what they compute, not by how it is written. Scans with lengths, past which rows keep their
    states and give zeros, become `ragged_lstm` and `ragged_gru`. Graphs that hold gradients keep their scans, whose
    values the gradients need, and so does what is not f32, for which ONNX Runtime has no kernels. A simple recurrent
    network stays a scan too: ONNX Runtime's kernel for it takes 1.2 to 3 times as long. (Where NaN goes in,
    these kernels give numbers.)
    """
    if graph.differentiated or not any(node.op == "scan_over" for node in graph.nodes):
        return graph
    users = _users(graph)
    zeroed: dict[Value, Value] = {}  # stacks that are zeros past the lengths, and the mask that would make them so

    def replaced(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if node.op == "select" and zeroed.get(inputs[1]) is inputs[0] and uniform(b, inputs[2]) == 0:
            return inputs[1] if inputs[1].type == node.outputs[0].type else None
        if node.op != "scan_over" or any(value.type.dtype != "f32" for value in node.outputs):
            return None
        try:
            scan = _Scan(b, node, inputs, users)
            results = scan.applied()
        except Unknown:
            return None
        if scan.live is not None:
            zeroed.update(dict.fromkeys(results[len(scan.round.carries) :], inputs[scan.live]))
        return results

    return dead(rebuild(graph, replaced))


def _users(graph: Graph) -> Users:
    users: dict[Value, list[Node | None]] = defaultdict(list)
    for node in graph.nodes:
        for value in node.inputs:
            users[value].append(node)
    for output in graph.outputs:
        users[output.value].append(None)
    return users


class _Scan:
    """A scan of a cell. `live`: the place of its mask of rows that go on, where it has lengths.

    Raises Unknown where it is a scan of anything else.
    """

    def __init__(self, b: Builder, node: Node, inputs: Sequence[Value], users: Users) -> None:
        self.b, self.node, self.inputs = b, node, inputs
        self.round = Round(b, node, inputs)
        carries = self.round.carries
        if not carries or any(carry.type.rank != 2 for carry in carries):
            raise Unknown
        rows, self.size = carries[0].type.shape
        self.lead = (inputs[len(carries)].type.shape[0], rows)
        self.live, following = self._without_mask()
        sums = [self.round.sum_of(value) for value in following]
        self.cell: Cell = cell_of(b, sums, self.lead)
        self._check_stacks(sums[self.cell.states[0]], users)

    def _without_mask(self) -> tuple[int | None, list[Value]]:
        """The place of the mask past which carries stay, and the next carries without it."""
        carries = self.round.carries
        choices = [self.round.choice(value) for value in self.round.results[: len(carries)]]
        if not any(choices):
            return None, self.round.results[: len(carries)]
        found = [choice for choice in choices if choice is not None]
        places = {place for place, _, _ in found}
        kept = [other for _, _, other in found]
        if len(found) < len(carries) or len(places) > 1 or kept != carries:
            raise Unknown
        return places.pop(), [this for _, this, _ in found]

    def _check_stacks(self, output: Sum, users: Users) -> None:
        """All that is stacked is the output; with lengths, it is only used where rows go on."""
        carries = len(self.round.carries)
        for value, stack in zip(self.round.results[carries:], self.node.outputs[carries:], strict=True):
            if self.round.sum_of(value) != output:
                raise Unknown
            if self.live is not None and not all(self._masks(user, stack) for user in users.get(stack, ())):
                raise Unknown

    def _masks(self, user: Node | None, stack: Value) -> bool:
        if user is None or user.op != "select" or self.live is None:
            return False
        where, this, other = user.inputs
        return where is self.node.inputs[self.live] and this is stack and other is not stack

    def applied(self) -> tuple[Value, ...]:
        """The results of the scan, of the operator."""
        b, carries = self.b, len(self.round.carries)
        steps, rows = self.lead
        ragged = [] if self.live is None else [_lengths(b, self.inputs[self.live], self.lead)]
        states = [b.reshape(self.inputs[place], shape=(1, rows, self.size)) for place in self.cell.states]
        name = f"ragged_{self.cell.op}" if ragged else self.cell.op
        direction = "reverse" if self.node.attributes["reverse"] else "forward"
        attributes = {**self.cell.attributes, "direction": direction}
        output, *last = b.apply(name, [*self._weights(), *states, *ragged], attributes)  # type: ignore[misc]
        finals = dict(zip(self.cell.states, last, strict=True))
        output = b.reshape(output, shape=(steps, rows, self.size))
        results = [b.reshape(finals[place], shape=(rows, self.size)) for place in range(carries)]
        return (*results, *[output] * (len(self.node.outputs) - carries))

    def _weights(self) -> list[Value]:
        """The sequence, both matrices and the biases, as the operator takes them."""
        b, gates, size = self.b, self.cell.gates, self.size
        assert isinstance(size, int)
        parts = [[_matrix(b, getattr(gate, name)) for gate in gates] for name in ("inputs", "state")]
        biases = [_biases(b, gate, size) for gate in gates]
        parts += [[*(of_inputs for of_inputs, _ in biases), *(of_state for _, of_state in biases)]]
        joined = (b.concat(*each, axis=0) for each in parts)
        return [self._sequence(), *(b.reshape(one, shape=(1, *one.type.shape)) for one in joined)]

    def _sequence(self) -> Value:
        """The one sequence that all gates take."""
        found = {atom for gate in self.cell.gates for product, _ in gate.inputs for atom in product.left}
        (atom,) = found if len(found) == 1 else (None,)
        if not isinstance(atom, Columns) or atom.value.type.shape != (*self.lead, atom.last) or atom.first:
            raise Unknown
        return atom.value


def _matrix(b: Builder, products: Weighted) -> Value:
    """[columns, rows] of the matrices that a gate multiplies by, added up."""
    return _added(b, [(_transposed(b, product), by) for product, by in products])


def _transposed(b: Builder, product: Product) -> Value:
    places = [product.columns, product.rows]
    turned = made_by(b, product.matrix, "transpose")
    swapped = turned is not None and turned.attributes["perm"] == (1, 0)
    matrix = turned.inputs[0] if turned is not None and swapped else b.t(product.matrix)
    starts, stops = zip(*places, strict=True)
    if (starts, stops) == ((0, 0), matrix.type.shape):
        return matrix
    return b.slice(matrix, starts=starts, stops=stops, axes=(0, 1), steps=(1, 1))


def _biases(b: Builder, gate: Gate, size: int) -> tuple[Value, Value]:
    """The bias [size] with the inputs, and that with the state: where both are only added, the first and the rest."""
    if gate.state_biases is None:
        return _vector(b, gate.biases[:1], size), _vector(b, gate.biases[1:], size)
    return _vector(b, gate.biases, size), _vector(b, gate.state_biases, size)


def _vector(b: Builder, biases: Weighted, size: int) -> Value:
    ones = [(b.full(shape=(size,), value=by), 1.0) if one is None else (_cut(b, one), by) for one, by in biases]
    return _added(b, ones) if ones else b.full(shape=(size,), value=0.0)


def _cut(b: Builder, columns: Columns) -> Value:
    whole = b.reshape(columns.value, shape=columns.value.type.shape[-1:])
    if (columns.first, columns.last) == (0, whole.type.shape[0]):
        return whole
    return b.slice(whole, starts=(columns.first,), stops=(columns.last,), axes=(0,), steps=(1,))


def _added(b: Builder, parts: Sequence[tuple[Value, float]]) -> Value:
    """The sum of values times numbers. Raises Unknown where there are none."""
    total = None
    for value, by in parts:
        term = value if by == 1 else b.mul(value, by)
        total = term if total is None else b.add(total, term)
    if total is None:
        raise Unknown
    return total


def _lengths(b: Builder, live: Value, lead: tuple[Size, Size]) -> Value:
    """i64[b] where `live`, bool[t, b, 1], says whether a step is less than it. Raises Unknown where it does not."""
    node = made_by(b, _bare(b, live), "less")
    if node is None or live.type.shape != (*lead, 1) or node.outputs[0].type.shape[:2] != lead:
        raise Unknown
    position, lengths = node.inputs
    count = made_by(b, _bare(b, position), "iota")
    lengths = _bare(b, lengths)
    if count is None or count.attributes["count"] != lead[0] or lengths.type.shape != lead[1:]:
        raise Unknown
    if position.type.shape != (lead[0], *(1,) * (position.type.rank - 1)):
        raise Unknown
    return b.cast(lengths, dtype="i64")


def _bare(b: Builder, value: Value) -> Value:
    """The value that this one is in another shape."""
    while (node := made_by(b, value, "reshape")) is not None:
        value = node.inputs[0]
    return value
