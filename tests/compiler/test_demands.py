"""Conditions on open sizes: true, false, or not known yet."""

from __future__ import annotations

import pytest
from netlang.compiler.demands import Combination, Comparison, Demand

from netlang.diagnostics import Diagnostic, DiagnosticError
from netlang.dims import symbol

T, N = symbol("t"), symbol("n")
SHORT = Comparison(T, "<=", 4)
KNOWN_TRUE, KNOWN_FALSE = Comparison(1, "<", 2), Comparison(1, ">", 2.5)


@pytest.mark.parametrize(
    ("condition", "sizes", "holds"),
    [
        (SHORT, {"t": 4}, True),
        (SHORT, {"t": 5}, False),
        (SHORT, {"n": 4}, None),
        (Comparison(T * 2, "==", N + 2), {"t": 3, "n": 4}, True),
        (Comparison(T * 2, "==", N + 2), {"t": 3}, None),
        (Combination("and", (SHORT, KNOWN_FALSE)), {}, False),
        (Combination("and", (SHORT, KNOWN_TRUE)), {}, None),
        (Combination("or", (SHORT, KNOWN_TRUE)), {}, True),
        (Combination("or", (SHORT, KNOWN_FALSE)), {}, None),
        (Combination("or", (SHORT, KNOWN_FALSE)), {"t": 9}, False),
        (Combination("not", (SHORT,)), {"t": 9}, True),
        (Combination("not", (SHORT,)), {}, None),
    ],
)
def test_what_is_not_known_decides_nothing(
    condition: Comparison | Combination, sizes: dict[str, int], holds: bool | None
) -> None:
    assert condition.holds(sizes) is holds


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (Comparison(T * 2, "==", N + 2), "2*t == n + 2"),
        (Combination("and", (SHORT, Combination("not", (KNOWN_TRUE,)))), "t <= 4 and (not (1 < 2))"),
    ],
)
def test_conditions_can_be_read(condition: Comparison | Combination, text: str) -> None:
    assert str(condition) == text


def test_the_fault_tells_the_sizes() -> None:
    demand = Demand(SHORT, ("there are ", T, ", not ", T + 1), (("t", T), ("n", N)), Diagnostic("assertion-failed", ""))
    demand.check({"t": 4})
    demand.check({})
    with pytest.raises(DiagnosticError) as caught:
        demand.check({"t": 7})
    (fault,) = caught.value.diagnostics
    assert (fault.title, fault.notes) == ("there are 7, not 8", ("`t` is 7, `n` is n",))
