"""`netlang ops`."""

from __future__ import annotations

import json

from netlang.compiler.ops import OPS

from .conftest import netlang

KEYS = ["name", "forward", "gradient", "second_order", "tested", "dtypes", "devices"]


def test_json_has_a_row_for_every_operator_with_stable_keys() -> None:
    rows = json.loads(netlang("ops", "--json").out)
    assert [row["name"] for row in rows] == sorted(OPS)
    assert all(list(row) == KEYS for row in rows)
    assert all(row["tested"] for row in rows)


def test_says_which_operators_differentiate_and_twice() -> None:
    rows = {row["name"]: row for row in json.loads(netlang("ops", "--json").out)}
    assert rows["matmul"]["gradient"]
    assert rows["matmul"]["second_order"]
    assert not rows["argmax"]["gradient"]
    assert not rows["argmax"]["second_order"]
    assert {name for name, row in rows.items() if row["gradient"] and not row["second_order"]} == set()


def test_the_table_gives_the_reason_why_there_is_no_gradient() -> None:
    result = netlang("ops")
    (line,) = [line for line in result.out.splitlines() if line.startswith("argmax ")]
    assert OPS["argmax"].nondiff is not None
    assert OPS["argmax"].nondiff in " ".join(line.split())
    assert result.out.splitlines()[-1] == f"{len(OPS)} operators"


def test_one_operator_is_shown_in_full() -> None:
    result = netlang("ops", "matmul")
    assert result.code == 0
    assert result.out.startswith(f"{OPS['matmul'].text}\n\n{OPS['matmul'].doc}\n")
    assert "gradient: yes; of the gradient: yes" in result.out


def test_an_unknown_operator_comes_with_the_nearest() -> None:
    result = netlang("ops", "matmull")
    assert result.code == 1
    assert "there is no operator `matmull`" in result.err
    assert "did you mean `matmul`?" in result.err
