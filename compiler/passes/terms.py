"""What a round of a scan computes, as sums of products of what it is given, column by column.

Two programs that add in another order, split one product instead of computing four, or write 1 - z where the other
writes z - 1 with its signs, have the same sums: `recurrent` knows cells by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netlang.dims import Size

from ..builder import Builder
from ..ir import Graph, Node, Value
from .algebra_common import made_by, uniform

TERMS_LIMIT = 64
"""Products that a sum may have: cells have 8 at most."""

NODES_LIMIT = 256
"""Nodes that the body of a scan may have: cells have 50 at most."""

DEPTH_LIMIT = 8
"""Nodes one after the other through which it is found what sequences and biases were computed from."""


class Unknown(Exception):
    """A value is no sum of products that a cell could have."""


@dataclass(frozen=True)
class Columns:
    """Columns `first` to `last` of a value outside: a sequence, or (`moving` is false) the same in every round."""

    value: Value
    first: int
    last: int
    moving: bool


@dataclass(frozen=True)
class Carry:
    """A carry, by its place."""

    index: int


@dataclass(frozen=True)
class Applied:
    """A function of each element of a sum."""

    name: str
    of: Sum


@dataclass(frozen=True)
class Product:
    """A product of atoms times rows and columns of a matrix, which is a value outside."""

    left: Term
    matrix: Value
    rows: tuple[int, int]
    columns: tuple[int, int]


Atom = Columns | Carry | Applied | Product
Term = frozenset[Atom]
"""Atoms that are multiplied; none stands for 1."""


@dataclass(frozen=True, eq=False)
class Sum:
    """Terms with their coefficients, in the order in which they were found, which does not count."""

    terms: tuple[tuple[Term, float], ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[Iterable[Atom], float]]) -> Sum:
        """The sum of products of atoms, each with its coefficient; equal products are added up."""
        total: dict[Term, float] = {}
        for atoms, coefficient in pairs:
            term = frozenset(atoms)
            total[term] = total.get(term, 0.0) + coefficient
        if len(total) > TERMS_LIMIT:
            raise Unknown
        return cls(tuple((term, coefficient) for term, coefficient in total.items() if coefficient))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sum) and frozenset(self.terms) == frozenset(other.terms)

    def __hash__(self) -> int:
        return hash(frozenset(self.terms))

    def __iter__(self) -> Iterator[tuple[Term, float]]:
        return iter(self.terms)

    def __add__(self, other: Sum) -> Sum:
        return Sum.of([*self, *other])

    def __mul__(self, other: Sum) -> Sum:
        pairs = [(left, a, right, b) for left, a in self for right, b in other]
        if any(left & right for left, _, right, _ in pairs):  # no cell squares anything
            raise Unknown
        return Sum.of((left | right, a * b) for left, a, right, b in pairs)

    def cut(self, first: int, last: int) -> Sum:
        """These columns of the sum."""
        return Sum.of(((_cut(atom, first, last) for atom in term), coefficient) for term, coefficient in self)


def number(value: float) -> Sum:
    """A number alone."""
    return Sum.of([((), value)])


def _cut(atom: Atom, first: int, last: int) -> Atom:
    match atom:
        case Columns(value, start, _, moving):
            return Columns(value, start + first, start + last, moving)
        case Applied(name, of):
            return Applied(name, of.cut(first, last))
        case Product(left, matrix, rows, (start, _)):
            return Product(left, matrix, rows, (start + first, start + last))
    raise Unknown  # no cell takes part of a carry


@dataclass(frozen=True)
class Part:
    """Columns next to each other that are one sum."""

    width: int
    sum: Sum

    def cut(self, first: int, last: int) -> Part:
        return self if (first, last) == (0, self.width) else Part(last - first, self.sum.cut(first, last))


Parts = tuple[Part, ...]
Read = Callable[[Value], Parts | float]
"""The parts of an operand, or the number that all of it is."""


def width(parts: Parts) -> int:
    """Columns of all parts together."""
    return sum(part.width for part in parts)


def sliced(parts: Parts, first: int, last: int) -> Parts:
    """These columns of the parts."""
    found: list[Part] = []
    start = 0
    for part in parts:
        low, high = max(first - start, 0), min(last - start, part.width)
        if low < high:
            found.append(part.cut(low, high))
        start += part.width
    return tuple(found)


def _paired(x: Parts, y: Parts) -> Iterator[tuple[Part, Part]]:
    """Both cut wherever one of them is."""
    if width(x) != width(y):
        raise Unknown
    ends = sorted({width(parts[: i + 1]) for parts in (x, y) for i in range(len(parts))})
    for first, last in zip([0, *ends], ends, strict=False):
        yield sliced(x, first, last)[0], sliced(y, first, last)[0]


def _two(node: Node, read: Read, combine: Callable[[Sum, Sum], Sum]) -> Parts:
    """A sum or product of two operands, one of which may be a number."""
    x, y = map(read, node.inputs)
    if isinstance(x, tuple):
        if isinstance(y, tuple):
            return tuple(Part(a.width, combine(a.sum, b.sum)) for a, b in _paired(x, y))
        return tuple(Part(part.width, combine(part.sum, number(y))) for part in x)
    if isinstance(y, tuple):
        return tuple(Part(part.width, combine(number(x), part.sum)) for part in y)
    raise Unknown  # a number of numbers is folded before


def _parts(read: Read, value: Value) -> Parts:
    found = read(value)
    if not isinstance(found, tuple):
        raise Unknown
    return found


def _along_last(node: Node, axis: int) -> None:
    if axis % node.inputs[0].type.rank != node.inputs[0].type.rank - 1:
        raise Unknown


def _split(node: Node, index: int, read: Read) -> Parts:
    _along_last(node, node.attributes["axis"])
    parts = _parts(read, node.inputs[0])
    each = width(parts) // node.attributes["parts"]
    return sliced(parts, index * each, (index + 1) * each)


def _slice(node: Node, read: Read) -> Parts:
    attrs = node.attributes
    if len(attrs["axes"]) != 1 or attrs["steps"] != (1,):
        raise Unknown
    _along_last(node, attrs["axes"][0])
    start, stop = attrs["starts"][0], attrs["stops"][0]
    if not isinstance(start, int) or not isinstance(stop, int):
        raise Unknown
    return sliced(_parts(read, node.inputs[0]), start, stop)


def apply(node: Node, index: int, read: Read) -> Parts:
    """The parts of the result `index` of a node, from those of its operands. Raises Unknown."""
    match node.op:
        case "add":
            return _two(node, read, lambda x, y: x + y)
        case "sub":
            return _two(node, read, lambda x, y: x + y * number(-1.0))
        case "mul":
            return _two(node, read, lambda x, y: x * y)
        case "neg":
            return tuple(Part(p.width, p.sum * number(-1.0)) for p in _parts(read, node.inputs[0]))
        case "sigmoid" | "tanh" | "relu":
            parts = _parts(read, node.inputs[0])
            return tuple(Part(p.width, Sum.of([((Applied(node.op, p.sum),), 1.0)])) for p in parts)
        case "split":
            return _split(node, index, read)
        case "slice":
            return _slice(node, read)
        case "concat":
            _along_last(node, node.attributes["axis"])
            return tuple(part for x in node.inputs for part in _parts(read, x))
    raise Unknown


def product(left: Parts, matrix: Value) -> Parts:
    """Parts times a matrix [rows, columns] that is the same in every round. Raises Unknown."""
    rows, columns = matrix.type.shape
    if width(left) != rows or not isinstance(columns, int):
        raise Unknown
    pairs: list[tuple[tuple[Atom], float]] = []
    start = 0
    for part in left:
        place = (start, start + part.width)
        if any(not term for term, _ in part.sum):
            raise Unknown  # a number has no columns to multiply by rows
        pairs += [((Product(term, matrix, place, (0, columns)),), by) for term, by in part.sum]
        start += part.width
    return (Part(columns, Sum.of(pairs)),)


class Round:
    """The sums of the values of a scan's body. `b` builds the graph around, `inputs` is what the scan is given there.

    Raises Unknown where the body is larger than a cell.
    """

    def __init__(self, b: Builder, node: Node, inputs: Sequence[Value]) -> None:
        attrs = node.attributes
        body: Graph = attrs["body"]
        if len(body.nodes) > NODES_LIMIT:
            raise Unknown
        carries = attrs["carries"]
        own = carries + attrs["sequences"]
        inside = [item.value for item in body.inputs]
        self.carries = inside[:carries]
        self.results = [output.value for output in body.outputs]
        self._b = b
        self._places = {value: index for index, value in enumerate(inside)}
        self._moving: Mapping[Value, Value] = dict(zip(inside[carries:own], inputs[carries:], strict=False))
        self._fixed: Mapping[Value, Value] = dict(zip(inside[own:], inputs[own:], strict=True))
        self._producers = {value: (node, index) for node in body.nodes for index, value in enumerate(node.outputs)}
        self._known: dict[Value, Parts | float] = {}

    def sum_of(self, value: Value) -> Sum:
        """The sum that a value of the body is. Raises Unknown where there is none, or several side by side."""
        parts = _parts(self._read, value)
        if len(parts) != 1:
            raise Unknown
        return parts[0].sum

    def choice(self, value: Value) -> tuple[int, Value, Value] | None:
        """Where the value is `select(where, this, other)`: the place of `where` among what the scan is given, and both.

        None where it is no such choice, or `where` is computed in the round.
        """
        node, _ = self._producers.get(value, (None, 0))
        if node is None or node.op != "select" or node.inputs[0] not in self._moving:
            return None
        where, this, other = node.inputs
        return self._places[where], this, other

    def _read(self, value: Value) -> Parts | float:
        if value not in self._known:
            self._known[value] = self._find(value)
        return self._known[value]

    def _find(self, value: Value) -> Parts | float:
        if value in self.carries:
            return _leaf(value, Carry(self._places[value]))
        if value in self._moving:
            if value.type.shape[:-1] != self.carries[0].type.shape[:1]:
                raise Unknown  # not columns for each row
            return _columns(self._moving[value], moving=True)
        if value in self._fixed:
            return _same_for_all(self._b, self._fixed[value])
        node, index = self._producers[value]
        if node.op == "constant":
            return _same_for_all(self._b, self._b.constant(node.attributes["value"].array, value.type.dtype))
        if node.op == "matmul":
            return product(_parts(self._read, node.inputs[0]), self._matrix(node.inputs[1]))
        found = apply(node, index, self._read)
        if value.type.shape != (*self.carries[0].type.shape[:1], width(found)):
            raise Unknown  # rows or columns were repeated
        return found

    def _matrix(self, value: Value) -> Value:
        matrix = self._fixed.get(value)
        if matrix is None or matrix.type.rank != 2:
            raise Unknown
        return matrix


def _leaf(value: Value, atom: Atom) -> Parts:
    columns = value.type.shape[-1] if value.type.rank else None
    if not isinstance(columns, int):
        raise Unknown
    return (Part(columns, Sum.of([((atom,), 1.0)])),)


def _columns(value: Value, moving: bool) -> Parts:
    columns = value.type.shape[-1] if value.type.rank else None
    if not isinstance(columns, int):
        raise Unknown
    return _leaf(value, Columns(value, 0, columns, moving))


def _same_for_all(b: Builder, value: Value) -> Parts | float:
    """Of a value that is the same in every round: a number, or columns that are the same for every row."""
    known = uniform(b, value)
    if known is not None and all(size == 1 for size in value.type.shape):
        return float(known)
    if any(size != 1 for size in value.type.shape[:-1]):
        raise Unknown
    return _biases(b, value)


def _biases(b: Builder, value: Value, depth: int = 0) -> Parts:
    """Columns of a value that is the same for all; of a sum, those of what was added."""
    node = made_by(b, value, "add")
    if node is None or depth == DEPTH_LIMIT or any(x.type != value.type for x in node.inputs):
        return _columns(value, moving=False)
    (first,), (second,) = (_biases(b, x, depth + 1) for x in node.inputs)
    return (Part(first.width, first.sum + second.sum),)


def sequence(b: Builder, value: Value, lead: tuple[Size, Size]) -> Parts:
    """The parts of a sequence [t, b, columns], with what it was computed from: products of another one, and biases.

    `lead` is (t, b). A sequence that is computed otherwise is its own columns.
    """
    try:
        return _traced(b, value, lead, turned=False, depth=0)
    except Unknown:
        return _columns(value, moving=True)


def _traced(b: Builder, value: Value, lead: tuple[Size, Size], turned: bool, depth: int) -> Parts:
    """As `sequence`; `turned` where the value comes as [b, t, columns]."""
    shape = (*(reversed(lead) if turned else lead), value.type.shape[-1] if value.type.rank else 1)
    if value.type.shape != shape and all(size == 1 for size in value.type.shape[:-1]):
        return _biases(b, value)
    node = b.producer(value)
    if node is None or value.type.shape != shape or depth == DEPTH_LIMIT:
        raise Unknown
    if node.op == "transpose" and node.attributes["perm"] == (1, 0, 2):
        return _traced(b, node.inputs[0], lead, not turned, depth + 1)
    if node.op == "matmul" and node.inputs[1].type.rank == 2:
        x = b.transpose(node.inputs[0], perm=(1, 0, 2)) if turned else node.inputs[0]
        return product(_columns(x, moving=True), node.inputs[1])
    index = node.outputs.index(value)

    def read(operand: Value) -> Parts | float:
        known = uniform(b, operand)
        if known is not None and operand.type.rank == 0:
            return float(known)
        return _traced(b, operand, lead, turned, depth + 1)

    return apply(node, index, read)
