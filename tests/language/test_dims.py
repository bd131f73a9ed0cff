"""Sizes against plain integers: arithmetic, printing, decisions and the solver, on random expressions."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from netlang.dims import (
    Dim,
    Size,
    decide_equal,
    decide_less,
    equal_for_multiples,
    floor_divide,
    maximum,
    minimum,
    solve_linear,
    substitute,
    symbol,
)

NAMES = ("a", "b", "c")
A, B, C = map(symbol, NAMES)
X = symbol("x")

Values = dict[str, int]


@dataclass(frozen=True)
class Expression:
    """One arithmetic expression, computed twice: with sizes, and with integers by Python itself."""

    operator: str  # or the name of a symbol, or a number
    operands: tuple[Expression, ...] = ()

    def size(self) -> Size:
        """The expression as a size."""
        if not self.operands:
            return symbol(self.operator) if self.operator in NAMES else int(self.operator)
        return _SIZES[self.operator](*(operand.size() for operand in self.operands))

    def integer(self, values: Values) -> int:
        """Its value. Raises ZeroDivisionError."""
        if not self.operands:
            return values[self.operator] if self.operator in NAMES else int(self.operator)
        return _INTEGERS[self.operator](*(operand.integer(values) for operand in self.operands))


_INTEGERS: dict[str, Any] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "//": lambda x, y: x // y,
    "%": lambda x, y: x % y,
    "neg": lambda x: -x,
    "min": min,
    "max": max,
}
_SIZES = {**_INTEGERS, "//": floor_divide, "min": minimum, "max": maximum}

LEAVES = st.sampled_from(NAMES) | st.integers(-6, 6).map(str)


def _nodes(operators: str) -> st.SearchStrategy[Expression]:
    def larger(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        binary = st.tuples(st.sampled_from(operators.split()), st.tuples(inner, inner))
        return (binary | st.tuples(st.just("neg"), st.tuples(inner))).map(lambda parts: Expression(*parts))

    return st.recursive(LEAVES.map(Expression), larger, max_leaves=6)


EXPRESSIONS = _nodes("+ - * // % min max")
POLYNOMIALS = _nodes("+ - *")
ONE_TERM = st.builds(
    lambda coefficient, names: coefficient * math.prod(map(symbol, names)),  # math.prod multiplies any numbers
    st.sampled_from((1, 2, 3, 4)),
    st.lists(st.sampled_from(NAMES), max_size=2),
)
VALUES = st.fixed_dictionaries({name: st.integers(0, 7) for name in NAMES})


def value_of(size: Size, values: Values) -> int:
    """The integer that a size is worth."""
    known = substitute(size, values)
    assert isinstance(known, int)
    return known


def defined(expression: Expression, values: Values) -> int:
    """The value of an expression; examples that divide by zero are passed over."""
    try:
        return expression.integer(values)
    except ZeroDivisionError:
        assume(False)
        raise


def size_of(expression: Expression) -> Size:
    """The size of an expression; examples that divide by zero are passed over."""
    try:
        return expression.size()
    except ZeroDivisionError:
        assume(False)
        raise


@given(EXPRESSIONS, VALUES)
def test_arithmetic_agrees_with_integers(expression: Expression, values: Values) -> None:
    expected = defined(expression, values)
    assert value_of(size_of(expression), values) == expected


@given(EXPRESSIONS, VALUES)
def test_values_may_be_given_one_after_another(expression: Expression, values: Values) -> None:
    expected = defined(expression, values)
    size = size_of(expression)
    for name, value in values.items():
        try:
            size = substitute(size, {name: value})
        except ZeroDivisionError:  # a part that cancels in the whole, such as 0 * (a // b)
            assume(False)
    assert size == expected


@given(EXPRESSIONS, VALUES)
def test_the_printed_form_means_the_same(expression: Expression, values: Values) -> None:
    expected = defined(expression, values)
    assert eval(str(size_of(expression)), {"min": min, "max": max}, dict(values)) == expected


def test_a_product_that_divides_is_in_parentheses() -> None:
    a, b, c = symbol("a"), symbol("b"), symbol("c")
    assert str(floor_divide(a, b * c)) == "(a // (b*c))"
    assert str(floor_divide(a * b, c)) == "(a*b // c)"
    assert str(floor_divide(a, b * b)) == "(a // b**2)"


@given(POLYNOMIALS, POLYNOMIALS, POLYNOMIALS)
def test_equal_polynomials_have_one_form(x: Expression, y: Expression, z: Expression) -> None:
    a, b, c = x.size(), y.size(), z.size()
    for left, right in (
        (a + b, b + a),
        (a * b, b * a),
        ((a + b) + c, a + (b + c)),
        ((a * b) * c, a * (b * c)),
        ((a + b) * c, a * c + b * c),
        (a - b, -(b - a)),
        (a - a, 0),
    ):
        assert left == right
        assert hash(left) == hash(right)
        assert str(left) == str(right)


@given(POLYNOMIALS, POLYNOMIALS)
def test_polynomials_are_equal_exactly_when_they_agree_everywhere(x: Expression, y: Expression) -> None:
    """Their degree is at most 6 in each name, so that agreement on 7 values of each is agreement everywhere."""
    grid = [dict(zip(NAMES, point, strict=True)) for point in itertools.product(range(7), repeat=len(NAMES))]
    assert (x.size() == y.size()) == all(x.integer(values) == y.integer(values) for values in grid)


@given(EXPRESSIONS, EXPRESSIONS)
@settings(max_examples=300)
def test_what_is_decided_holds_for_all_values(x: Expression, y: Expression) -> None:
    left, right = size_of(x), size_of(y)
    equal, less = decide_equal(left, right), decide_less(left, right)
    for point in itertools.product((0, 1, 2, 5), repeat=len(NAMES)):
        values = dict(zip(NAMES, point, strict=True))
        try:
            a, b = x.integer(values), y.integer(values)
        except ZeroDivisionError:
            continue
        assert equal is None or equal == (a == b), (values, a, b)
        assert less is None or less == (a < b), (values, a, b)


@given(ONE_TERM, POLYNOMIALS, POLYNOMIALS)
def test_solving_finds_the_value_put_in(slope: Size, rest: Expression, solution: Expression) -> None:
    offset, wanted = rest.size(), solution.size()
    assert solve_linear(slope * symbol("x") + offset, "x", slope * wanted + offset) == wanted


@given(EXPRESSIONS, ONE_TERM, EXPRESSIONS)
def test_a_solution_solves(x: Expression, slope: Size, y: Expression) -> None:
    size, value = size_of(x) + slope * symbol("x"), size_of(y)
    solution = solve_linear(size, "x", value)
    assert solution is None or substitute(size, {"x": solution}) == value


@pytest.mark.parametrize(
    ("size", "value"),
    [
        (2 * X, 7),  # no whole number
        (2 * X, A),
        (X * X, 4),  # not linear
        (X * A + X * X, A),
        (X // 2, 3),  # several solutions
        (A * X, B),
        (A + 1, 4),  # does not depend on it
    ],
)
def test_no_solution(size: Size, value: Size) -> None:
    assert solve_linear(size, "x", value) is None


@given(POLYNOMIALS, ONE_TERM)
def test_a_product_divides_exactly(x: Expression, divisor: Size) -> None:
    assert floor_divide(x.size() * divisor, divisor) == x.size()


@given(st.integers(1, 8), POLYNOMIALS, VALUES)
def test_what_divides_is_split_off_a_division(divisor: int, x: Expression, values: Values) -> None:
    """(d·p + r) // d = p + r // d for integers."""
    size = x.size()
    assert floor_divide(divisor * size + C * C * C, divisor) == size + floor_divide(C * C * C, divisor)
    assert value_of(floor_divide(size, divisor), values) == x.integer(values) // divisor


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (4 * A, "4*a"),
        (A * A - 1, "a**2 - 1"),
        (B + A, "a + b"),
        (1 - A, "-a + 1"),
        ((A + 1) // 2 * 2, "2*((a + 1) // 2)"),
        (minimum(A, B) + 3, "min(a, b) + 3"),
        (A * 0 + 7, "7"),
    ],
)
def test_printed_form(size: Size, text: str) -> None:
    assert str(size) == text


@pytest.mark.parametrize(
    ("left", "right", "equal", "less"),
    [
        (A, A, True, False),
        (A, A + 1, False, True),
        (A + 1, A, False, False),
        (2 * A, A, None, False),  # equal where a = 0
        (A, 2 * A, None, None),
        (A, B, None, None),
        (A, 3, None, None),
        (A, -1, False, False),
        (A * B + A, 0, None, False),
        (A // 2, A // 2, True, False),
        (A // 2, A // 2 + 1, False, True),
        (3, 4, False, True),
    ],
)
def test_decisions(left: Size, right: Size, equal: bool | None, less: bool | None) -> None:
    assert decide_equal(left, right) is equal
    assert decide_less(left, right) is less


def test_a_constant_is_an_integer() -> None:
    for size in (A - A + 3, A * 0, (2 * A + 4) // 2 - A, minimum(A, A + 1) - A, A % 1):
        assert isinstance(size, int), size
    assert isinstance(A + 0, Dim)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (X, 2 * (X // 2), ("x", 2)),
        (X, 4 * (X // 2 // 2), ("x", 4)),
        (X // 2, 2 * ((X // 2) // 2), ("x", 4)),
        (X, 2 * ((X - 1) // 2 + 1), ("x", 2)),
        (A * X, 3 * A * (X // 3), ("x", 3)),
        (X, 2 * (X // 2) + 1, None),
        (X, A, None),
        (X, 5, None),
    ],
)
def test_the_multiples_that_make_sizes_equal(one: Size, other: Size, expected: tuple[str, int] | None):
    assert equal_for_multiples(one, other) == equal_for_multiples(other, one) == expected
