"""Dimensions: integers, and integer polynomials over names that stay open until run time.

A *size* is either a Python `int` or a `Dim`. Arithmetic on sizes gives sizes in canonical form, so two sizes are
provably equal exactly when they compare equal; a `Dim` that collapses to a constant becomes an `int` again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Symbol:
    """A named dimension whose value is known only at run time (`batch`, `t`)."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Opaque:
    """An application that a polynomial cannot express: floor division, modulo, minimum or maximum."""

    operator: str  # "//", "%", "min", "max"
    left: Size
    right: Size

    def __str__(self) -> str:
        if self.operator in ("min", "max"):
            return f"{self.operator}({self.left}, {self.right})"
        return f"{_factor(self.left)} {self.operator} {_divisor(self.right)}"


Atom = Symbol | Opaque
Monomial = tuple[tuple[Atom, int], ...]  # atoms with their powers, sorted; () is the constant


class Dim:
    """A polynomial that is not a constant. Immutable; made by `symbol` and arithmetic, never directly."""

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms

    @cached_property
    def _hash(self) -> int:
        return hash(self.terms)

    @cached_property
    def sole(self) -> str | None:
        """The name of the symbol that this is, without arithmetic; else None."""
        monomial, coefficient = self.terms[0]
        if len(self.terms) > 1 or coefficient != 1 or len(monomial) != 1:
            return None
        atom, power = monomial[0]
        return atom.name if power == 1 and isinstance(atom, Symbol) else None

    @cached_property
    def symbols(self) -> frozenset[str]:
        """Names of the symbols in it."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom, _ in monomial:
                if isinstance(atom, Symbol):
                    found.add(atom.name)
                else:
                    found |= symbols(atom.left) | symbols(atom.right)
        return frozenset(found)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Dim) and self.terms == other.terms)

    def __add__(self, other: Size) -> Size:
        total = dict(self.terms)
        for monomial, coefficient in _terms(other):
            total[monomial] = total.get(monomial, 0) + coefficient
        return _make(total)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return _make({monomial: -coefficient for monomial, coefficient in self.terms})

    def __sub__(self, other: Size) -> Size:
        return self + (-other)

    def __rsub__(self, other: Size) -> Size:
        return (-self) + other

    def __mul__(self, other: Size) -> Size:
        total: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in _terms(other):
                monomial = _times(left, right)
                total[monomial] = total.get(monomial, 0) + a * b
        return _make(total)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return floor_divide(self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        return floor_divide(other, self)

    def __mod__(self, other: Size) -> Size:
        return self - other * floor_divide(self, other)

    def __rmod__(self, other: Size) -> Size:
        return other - self * floor_divide(other, self)

    def __str__(self) -> str:
        return self._text

    @cached_property
    def _text(self) -> str:
        """Kept, for the order of terms goes by it, and sizes of convolutions nest one in the other."""
        parts: list[str] = []
        for monomial, coefficient in sorted(self.terms, key=_display_order):
            factors = [_factor_atom(atom, power) for atom, power in monomial]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, str(abs(coefficient)))
            sign = "-" if coefficient < 0 else "+"
            parts.append(f" {sign} " if parts else "-" if coefficient < 0 else "")
            parts.append("*".join(factors))
        return "".join(parts)

    def __repr__(self) -> str:
        return f"Dim({self})"


Size = int | Dim


def symbol(name: str) -> Dim:
    """The dimension called `name`."""
    return Dim(((((Symbol(name), 1),), 1),))


def floor_divide(a: Size, b: Size) -> Size:
    """`a // b`; exact where `b` divides every term, split where it divides some of them."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    if b == 1:
        return a
    if a == b:
        return 1
    if isinstance(b, int) and b > 0 and isinstance(a, Dim):
        # (b*q + r) // b == q + r // b for integers: every coefficient is left in its smallest form, so that equals
        # compare equal.
        whole = _make({m: c // b for m, c in a.terms})
        rest = _make({m: c % b for m, c in a.terms})
        if whole != 0:
            return whole + floor_divide(rest, b)
    elif isinstance(b, Dim) and isinstance(a, Dim):
        quotient = _exact_quotient(a, b)
        if quotient is not None:
            return quotient
    elif a == 0:
        return 0
    return Dim(((((Opaque("//", a, b), 1),), 1),))


def minimum(a: Size, b: Size) -> Size:
    return _choose("min", a, b)


def maximum(a: Size, b: Size) -> Size:
    return _choose("max", a, b)


def substitute(size: Size, values: Mapping[str, Size]) -> Size:
    """`size` with the symbols that `values` names replaced."""
    if isinstance(size, int) or not values:
        return size
    total: Size = 0
    for monomial, coefficient in size.terms:
        term: Size = coefficient
        for atom, power in monomial:
            value = _substitute_atom(atom, values)
            for _ in range(power):
                term = term * value
        total = total + term
    return total


def symbols(size: Size) -> frozenset[str]:
    """Names of the symbols in `size`."""
    return frozenset() if isinstance(size, int) else size.symbols


def solve_linear(size: Size, name: str, value: Size) -> Size | None:
    """The `name` for which `size` equals `value`, or None where that is not a whole number or not linear."""
    if isinstance(size, Dim) and size.sole == name:
        return value
    slope: Size = 0
    rest: Size = 0
    for monomial, coefficient in _terms(size):
        atoms = dict(monomial)
        power = atoms.pop(Symbol(name), 0)
        remaining = _make({tuple(sorted(atoms.items(), key=_atom_order)): coefficient})
        if power > 1 or name in symbols(remaining):
            return None
        if power:
            slope = slope + remaining
        else:
            rest = rest + remaining
    difference = value - rest
    if slope == 0:
        return None
    if isinstance(difference, int) and isinstance(slope, int):
        return difference // slope if difference % slope == 0 else None
    quotient = floor_divide(difference, slope)
    return quotient if quotient * slope == difference else None


def decide_equal(a: Size, b: Size) -> bool | None:
    """True or False where that holds for every value of the symbols (which are at least 0), else None."""
    difference = a - b
    if isinstance(difference, int):
        return difference == 0
    sign = _definite_sign(difference)
    return None if sign is None or sign == 0 else False


def equal_for_multiples(a: Size, b: Size) -> tuple[str, int] | None:
    """A symbol and the number whose multiples make two sizes equal: `h` and 2 for `h` and `2 * (h // 2)`; or None."""
    step = max(_divided_by(a), _divided_by(b))
    for name in sorted(symbols(a) | symbols(b)) if step > 1 else ():
        whole = {name: step * symbol(name)}
        if substitute(a, whole) == substitute(b, whole):
            return name, step
    return None


def decide_less(a: Size, b: Size) -> bool | None:
    """Whether `a < b` for every value of the symbols (which are at least 0), or None."""
    difference = b - a
    if isinstance(difference, int):
        return difference > 0
    sign = _definite_sign(difference)
    if sign == 1:
        return True
    opposite = _definite_sign(-difference)
    return False if opposite is not None else None


def _definite_sign(size: Size) -> int | None:
    """1 where `size` is positive for all symbol values >= 0, 0 where it is at least zero, -1 negative; else None."""
    terms = _terms(size)
    constant = dict(terms).get((), 0)
    rest = [c for m, c in terms if m]
    if all(c >= 0 for c in rest) and constant >= 0 and _nonnegative_atoms(size):
        return 1 if constant > 0 else 0
    if all(c <= 0 for c in rest) and constant < 0 and _nonnegative_atoms(size):
        return -1
    return None


def _divided_by(size: Size) -> int:
    """The largest product of the numbers that something in `size` is divided by, one division after the other."""
    atoms = [atom for monomial, _ in _terms(size) for atom, _ in monomial if isinstance(atom, Opaque)]
    found = [1]
    for atom in atoms:
        own = atom.right if atom.operator == "//" and isinstance(atom.right, int) else 1
        found.append(own * max(_divided_by(atom.left), _divided_by(atom.right)))
    return max(found)


def _nonnegative_atoms(size: Size) -> bool:
    return all(isinstance(atom, Symbol) for monomial, _ in _terms(size) for atom, _ in monomial)


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(size, Dim):
        return size.terms
    return (((), int(size)),) if size else ()


def _make(terms: Mapping[Monomial, int]) -> Size:
    kept = [(monomial, coefficient) for monomial, coefficient in terms.items() if coefficient]
    if not kept:
        return 0
    if len(kept) == 1 and kept[0][0] == ():
        return kept[0][1]
    return Dim(tuple(sorted(kept, key=_term_order)))


def _times(left: Monomial, right: Monomial) -> Monomial:
    if not left or not right:
        return left or right
    powers = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(powers.items(), key=_atom_order))


def _exact_quotient(a: Dim, b: Dim) -> Size | None:
    """`a / b` where `b` is one term that divides every term of `a`, or a multiple of it; else None."""
    if len(b.terms) != 1:
        leading = dict(a.terms).get(b.terms[0][0], 0)
        factor, remainder = divmod(leading, b.terms[0][1])
        return factor if factor and not remainder and b * factor == a else None
    (divisor, scale) = b.terms[0]
    quotient: dict[Monomial, int] = {}
    for monomial, coefficient in a.terms:
        powers = dict(monomial)
        for atom, power in divisor:
            powers[atom] = powers.get(atom, 0) - power
        if coefficient % scale or any(power < 0 for power in powers.values()):
            return None
        remaining = tuple(sorted(((x, p) for x, p in powers.items() if p), key=_atom_order))
        quotient[remaining] = coefficient // scale
    return _make(quotient)


def _choose(operator: str, a: Size, b: Size) -> Size:
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b) if operator == "min" else max(a, b)
    less = decide_less(a, b)
    if a == b or less is not None:
        return (a if less else b) if operator == "min" else (b if less else a)
    return Dim(((((Opaque(operator, a, b), 1),), 1),))


def _substitute_atom(atom: Atom, values: Mapping[str, Size]) -> Size:
    if isinstance(atom, Symbol):
        value = values.get(atom.name)
        return symbol(atom.name) if value is None else value
    left, right = substitute(atom.left, values), substitute(atom.right, values)
    if atom.operator == "//":
        return floor_divide(left, right)
    return _choose(atom.operator, left, right)


def _atom_order(item: tuple[Atom, int]) -> tuple[int, str]:
    return (isinstance(item[0], Opaque), str(item[0]))


def _term_order(term: tuple[Monomial, int]) -> list[tuple[int, str, int]]:
    return [(*_atom_order(item), item[1]) for item in term[0]]


def _display_order(term: tuple[Monomial, int]) -> tuple[bool, bool, list[tuple[int, str, int]]]:
    return (not term[0], term[1] < 0, _term_order(term))


def _factor(size: Size) -> str:
    if isinstance(size, Dim) and not (len(size.terms) == 1 and size.terms[0][1] == 1):
        return f"({size})"
    return str(size)


def _divisor(size: Size) -> str:
    """A factor that a division may stand before: `a // b*c` would divide by b alone."""
    is_product = isinstance(size, Dim) and len(size.terms[0][0]) > 1
    return f"({size})" if is_product else _factor(size)


def _factor_atom(atom: Atom, power: int) -> str:
    text = f"({atom})" if isinstance(atom, Opaque) and atom.operator == "//" else str(atom)
    return text if power == 1 else f"{text}**{power}"
