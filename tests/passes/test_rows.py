"""Gradients kept as the rows that are not 0, and the optimizers for which these are enough."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.compiler import load_program
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Graph
from netlang.compiler.passes.rows import PLACES, ROWS, adds_multiple, row_outputs, row_update, rows
from netlang.compiler.verify import verify
from netlang.runtime.loader import load

from netlang.source import Source
from netlang.types import TensorType

from .test_speed import Program, normal, one_of, results

OWN = """
layer mine(lr: schedule = 0.1)(p: f32[*s], g: f32[*s], step: f32) -> f32[*s] {{
  {body}
}}

model M(x: f32[b, 6]) -> f32[b, 2] {{
  param w: f32[6, 2] ~ zeros()
  return x @ w
}}

train M {{
  in y: f32[b, 2]
  minimize mse(forward(x), y)
  optimizer {optimizer}
}}
"""


def flat_apply(optimizer: str, body: str = "return p - lr * g", decay: bool = True) -> Graph:
    text = OWN.format(optimizer=optimizer, body=body)
    return load_program(Source("test.net", text), load).network().flat_step(1).apply[decay]


@pytest.mark.parametrize(
    ("optimizer", "decay", "expected"),
    [
        ("sgd(0.1)", True, True),
        ("sgd(cosine(0.1, warmup = 3))", True, True),
        ("sgd(0.1, weight_decay = 0.1)", True, False),
        ("sgd(0.1, weight_decay = 0.1)", False, True),
        ("sgd(0.1, momentum = 0.9)", True, False),
        ("adam(0.1)", True, False),
    ],
)
def test_optimizers_that_add_a_multiple_of_the_gradient(optimizer: str, decay: bool, expected: bool) -> None:
    assert adds_multiple(flat_apply(optimizer, decay=decay)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return -(lr * g) / step + p", True),
        ("return p - (g - 0.5 * g) * lr", True),
        ("return p - lr * sign(g)", False),
        ("return p - lr * (g * g)", False),
        ("return p - lr * (g * p)", False),
        ("return p * (1 - lr) - lr * g", False),
        ("return p - lr * (g + 1)", False),
        ("return g - p", False),
        ("return p", False),
    ],
)
def test_own_optimizers_that_do(body: str, expected: bool) -> None:
    assert adds_multiple(flat_apply("mine(0.1)", body)) == expected


def program(*, dense: bool = False) -> Program:
    """A table of which two uses have gradients, and one that is used as a whole too."""
    arrays = {"values": normal(7, 5, 3), "more": normal(20, 3), "whole": normal(500, 3)}
    p = Program(index=one_of(500, 7, 5), other=one_of(500, 20), **arrays)
    b, (index, other, values, more, whole) = p.b, p.values
    total = b.add(b.scatter_rows(values, index, rows=500), b.scatter_rows(more, other, rows=500))
    if dense:
        total = b.add(total, b.neg(whole))
    b.output("grad.table", total, "gradient")
    b.output("loss", b.sum(more), "loss")
    return p


def test_rows_at_positions_are_the_gradient() -> None:
    p = program()
    (expected, loss), graph = results(p.b.graph(), p.feeds), rows(p.b.graph(), {"table": 2.0})
    verify(graph)
    assert [table for table, *_ in row_outputs(graph)] == ["table", "table"]
    found = dict(zip((output.name for output in graph.outputs), results(graph, p.feeds), strict=True))
    total = np.zeros_like(expected)
    for number in range(2):
        places, values = found[f"grad.table.{PLACES}.{number}"], found[f"grad.table.{ROWS}.{number}"]
        np.add.at(total, places[:, 0], values.reshape(len(places), -1))
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-6)
    assert found["loss"] == loss


@pytest.mark.parametrize("dense", [False, True])
def test_other_gradients_stay(dense: bool) -> None:
    tables = {"table": 2.0} if dense else {"another": 2.0}
    assert not list(row_outputs(rows(program(dense=dense).b.graph(), tables)))


def test_rows_beside_another_gradient() -> None:
    p = program(dense=True)
    (expected, _), graph = results(p.b.graph(), p.feeds), rows(p.b.graph(), {}, beside={"table"})
    verify(graph)
    assert [table for table, *_ in row_outputs(graph)] == ["table", "table"]
    found = dict(zip((output.name for output in graph.outputs), results(graph, p.feeds), strict=True))
    total = found["grad.table"].copy()
    np.testing.assert_array_equal(total, -p.feeds["whole"])
    for number in range(2):
        places, values = found[f"grad.table.{PLACES}.{number}"], found[f"grad.table.{ROWS}.{number}"]
        np.add.at(total, places[:, 0], values.reshape(len(places), -1))
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("positions", "expected"), [(1000, True), (1001, False)])
def test_gradients_of_which_most_rows_count_stay(positions: int, expected: bool) -> None:
    b = Builder("many")
    index, values = (b.input(name, TensorType(dtype, (positions, *rest)), "data")
                     for name, dtype, rest in (("index", "i64", ()), ("values", "f32", (3,))))  # fmt: skip
    b.output("grad.table", b.scatter_rows(values, index, rows=500), "gradient")
    assert bool(list(row_outputs(rows(b.graph(), {"table": 2.0})))) == expected


def test_the_update_of_rows_is_that_of_the_table() -> None:
    apply = flat_apply("sgd(0.5)")
    table, values, places = normal(40, 3), normal(9, 3), one_of(40, 9, 1)
    graph = row_update(apply, TensorType("f32", table.shape), TensorType("f32", values.shape))
    (found,) = results(graph, {"table": table, PLACES: places, ROWS: values, "scale": np.array(1, np.float32)})
    gradient = np.zeros_like(table)
    np.add.at(gradient, places[:, 0], values)
    np.testing.assert_allclose(found, table - 0.5 * gradient, rtol=0, atol=1e-6)
