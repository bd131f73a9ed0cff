"""Which recurrent cell sums of products are, and what goes into its gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from netlang.dims import Size

from ..builder import Builder
from .terms import Applied, Atom, Carry, Columns, Product, Sum, Term, Unknown, number, sequence, sliced

Weighted = list[tuple[Any, float]]
"""Parts of a weight with the numbers that they are multiplied by before they are added."""


@dataclass(frozen=True)
class Gate:
    """What is added up before the function of a gate: columns of matrices, and biases (None for the number 1).

    state_biases: what the reset gate of a GRU multiplies together with the product of the state. None where nothing is
    multiplied, so that it does not matter which biases are added to which product.
    """

    inputs: Weighted = field(default_factory=list)
    state: Weighted = field(default_factory=list)
    biases: Weighted = field(default_factory=list)
    state_biases: Weighted | None = None

    def negated(self) -> Gate:
        """The gate of the sigmoid that is 1 less this one."""
        inputs, state, biases = ([(one, -by) for one, by in part] for part in (self.inputs, self.state, self.biases))
        return Gate(inputs, state, biases)


@dataclass(frozen=True)
class Cell:
    """A cell that ONNX has, its gates in ONNX's order. states: their places among the carries, the output first."""

    op: str
    states: tuple[int, ...]
    gates: tuple[Gate, ...]
    attributes: dict[str, Any] = field(default_factory=dict)


GateOf = Callable[[Sum], Gate]


def cell_of(b: Builder, following: Sequence[Sum], lead: tuple[Size, Size]) -> Cell:
    """The cell whose next carries these are. `lead` is how long sequences are, and how many. Raises Unknown."""
    if len(following) == 2:
        output = int(len(following[0].terms) > 1)
        return _lstm(following, output, lambda of: _gate(b, of, Carry(output), lead))
    if len(following) != 1:
        raise Unknown
    return _gru(following[0], lambda of: _gate(b, of, Carry(0), lead))


def _lstm(following: Sequence[Sum], h: int, gate: GateOf) -> Cell:
    """c' = f · c + i · tanh(g), h' = o · tanh(c')."""
    cell, carry = following[1 - h], Carry(1 - h)
    terms = _plain(cell)
    kept, added = ([term for term in terms if (carry in term) is own] for own in (True, False))
    shown = _plain(following[h])
    if not len(kept) == len(added) == len(shown) == 1:
        raise Unknown
    (forget,) = _functions(kept[0] - {carry}, "sigmoid")
    given, candidate = _functions(added[0], "sigmoid", "tanh")
    output, state = _functions(shown[0], "sigmoid", "tanh")
    if state != cell:
        raise Unknown
    return Cell("lstm", (h, 1 - h), tuple(map(gate, (given, output, forget, candidate))))


def _gru(following: Sum, gate: GateOf) -> Cell:
    """h' = (1 - z) · n + z · h, or with z and 1 - z the other way round."""
    h = Carry(0)
    functions = {atom for term, _ in following for atom in term} - {h}
    names = {atom.name: atom for atom in functions if isinstance(atom, Applied)}
    if len(functions) != 2 or names.keys() != {"sigmoid", "tanh"}:
        raise Unknown
    z, new = names["sigmoid"], names["tanh"]
    update = gate(z.of)
    if following == _between(z, h, new):
        update = update.negated()
    elif following != _between(z, new, h):
        raise Unknown
    reset, candidate, after = _candidate(new.of, h, gate)
    return Cell("gru", (0,), (update, gate(reset), candidate), {"reset_after": after})


def _between(z: Atom, x: Atom, y: Atom) -> Sum:
    """(1 - z) · x + z · y."""
    return Sum.of([((x,), 1.0), ((z, x), -1.0), ((z, y), 1.0)])


def _candidate(of: Sum, h: Carry, gate: GateOf) -> tuple[Sum, Gate, bool]:
    """The reset gate, the gate of the candidate, and whether the former multiplies the product with the state."""
    resets = {atom for term, _ in of for atom in _factors(term) if isinstance(atom, Applied)}
    if len(resets) != 1:
        raise Unknown
    (reset,) = resets
    if reset.name != "sigmoid":
        raise Unknown
    inner = Sum.of((term - {reset}, by) for term, by in of if reset in term)
    outer = Sum.of((term, by) for term, by in of if reset not in term)
    if inner.terms:
        own, rest = gate(inner), gate(outer)
        if own.inputs or rest.state:
            raise Unknown
        return reset.of, Gate(rest.inputs, own.state, rest.biases, own.biases), True
    plain = Sum.of(((_without(atom, reset, h) for atom in term), by) for term, by in outer)
    return reset.of, gate(plain), False


def _factors(term: Term) -> list[Atom]:
    """The atoms of a product, and of what matrices are multiplied by in it."""
    return [inner for atom in term for inner in (atom.left if isinstance(atom, Product) else (atom,))]


def _without(atom: Atom, reset: Atom, h: Carry) -> Atom:
    """The product with the state in place of that with the state that was reset, which no other product may be of."""
    if not isinstance(atom, Product) or atom.left.isdisjoint({reset, h}):
        return atom
    if atom.left != {reset, h}:
        raise Unknown
    return replace(atom, left=frozenset({h}))


def _plain(total: Sum) -> list[Term]:
    """The terms of a sum without coefficients."""
    if any(coefficient != 1 for _, coefficient in total):
        raise Unknown
    return [term for term, _ in total]


def _functions(term: Term, *names: str) -> list[Sum]:
    """What functions of these names are of, where the term is their product."""
    found = {atom.name: atom.of for atom in term if isinstance(atom, Applied)}
    if len(found) != len(term) or found.keys() != set(names):
        raise Unknown
    return [found[name] for name in names]


def _gate(b: Builder, of: Sum, h: Carry, lead: tuple[Size, Size]) -> Gate:
    """Sorts what is added up before the function of a gate."""
    gate = Gate()
    for term, coefficient in _expanded(b, of, lead):
        (atom,) = term if len(term) == 1 else (None,)
        match atom:
            case None if not term:
                gate.biases.append((None, coefficient))
            case Columns(moving=False):
                gate.biases.append((atom, coefficient))
            case Product(left) if left == {h}:
                gate.state.append((atom, coefficient))
            case Product(left) if len(left) == 1 and _is_sequence(left):
                gate.inputs.append((atom, coefficient))
            case _:
                raise Unknown
    return gate


def _is_sequence(term: Term) -> bool:
    return all(isinstance(atom, Columns) and atom.moving for atom in term)


def _expanded(b: Builder, of: Sum, lead: tuple[Size, Size]) -> Sum:
    """The sum with what sequences were computed from in their place."""
    total = Sum.of(())
    for term, coefficient in of:
        (atom,) = term if len(term) == 1 else (None,)
        found = Sum.of([(term, 1.0)])
        if isinstance(atom, Columns) and atom.moving:
            parts = sliced(sequence(b, atom.value, lead), atom.first, atom.last)
            if len(parts) != 1:
                raise Unknown
            found = parts[0].sum
        total += found * number(coefficient)
    return total
