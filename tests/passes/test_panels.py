"""Products in panels are the products, and what reads them sees no difference."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Graph, Value
from netlang.compiler.passes import run
from netlang.compiler.passes.panels import in_panels, panels
from netlang.compiler.verify import verify
from netlang.runtime.panel_width import panel_width

from netlang.dims import symbol
from netlang.types import TensorType

from .test_speed import Program, normal, operators, results

WIDTH = panel_width()

pytestmark = pytest.mark.skipif(not WIDTH, reason="this ONNX Runtime or processor has no kernels for blocks")


def in_panels_too(p: Program) -> Counter[str]:
    """The operators of the program in panels, whose results are those that it had in rows."""
    before = run(p.b.graph())
    after = in_panels(before, WIDTH)
    verify(after)
    for expected, found in zip(results(before, p.feeds), results(after, p.feeds), strict=True):
        assert expected.any() and expected.shape == found.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    return Counter(operators(after))


def turned(b: Builder, x: Value) -> Value:
    return b.transpose(x, perm=(1, 0))


def flat(b: Builder, x: Value) -> Value:
    """All rows of x below each other."""
    rows = int(np.prod([int(size) for size in x.type.shape[:-1]]))
    return b.reshape(x, shape=(rows, x.type.shape[-1]))


@pytest.mark.parametrize("shape", [(96,), (3, 32), (2, 3, 50)])
def test_a_product_with_either_form_of_a_matrix(shape: tuple[int, ...]) -> None:
    p = Program(x=normal(*shape, 64), y=normal(64, 112), w=normal(112, 64), bias=normal(112))
    b, (x, y, w, bias) = p.b, p.values
    b.output("plain", b.matmul(x, y))
    b.output("biased", b.add(bias, b.matmul(x, turned(b, w))))
    found = in_panels_too(p)
    assert found["Conv"] == 2 and found["ReorderInput"] == 3 and not {"matmul", "add"} & found.keys()


def test_what_lies_between_products_stays_in_panels() -> None:
    p = Program(x=normal(4, 32, 64), v=normal(128, 64), bias=normal(128), w=normal(64, 128))
    b, (x, v, bias, w) = p.b, p.values
    hidden = b.mul(b.gelu(b.add(b.matmul(x, turned(b, v)), bias)), 0.5)
    b.output("y", b.matmul(hidden, turned(b, w)))
    b.output("sum", b.sum(hidden, axis=(0, 1)))
    found = in_panels_too(p)
    assert found["Conv"] == 2 and found["ReorderInput"] == 3 and found["ReorderOutput"] == 1


def test_what_rows_are_needed_for_sees_rows() -> None:
    p = Program(x=normal(128, 64), w=normal(64, 96), by_row=normal(128, 1), by_column=normal(96))
    b, (x, w, by_row, by_column) = p.b, p.values
    y = b.matmul(x, w)
    b.output("product", y)
    b.output("scaled", b.mul(y, by_row))
    b.output("weighed", b.mul(b.mul(y, by_column), by_row))
    b.output("folded", b.sum(b.reshape(y, shape=(64, 2, 96)), axis=(1,)))
    b.output("rows", b.sum(y, axis=(-1,)))
    b.output("twice", b.add(y, by_column))
    assert in_panels_too(p)["ReorderOutput"] == 1


@pytest.mark.parametrize(("rows", "columns"), [(64, 160), (160, 64), (72, 160), (160, 72)])
def test_gradients_of_weights_in_either_order(rows: int, columns: int) -> None:
    p = Program(g=normal(3, 64, rows), x=normal(3, 64, columns), w=normal(rows, 80), v=normal(columns, 80))
    b, (g, x, w, v) = p.b, p.values
    b.output("forward", b.matmul(x, v))
    b.output("back", b.matmul(g, w))
    b.output("weights", b.matmul(turned(b, flat(b, g)), flat(b, x)))
    assert in_panels_too(p)["Conv"] == (1 if 72 in (rows, columns) else 2) + (rows != 72 or columns % WIDTH == 0)


def test_the_gradient_of_two_layers() -> None:
    p = Program(x=normal(2, 64, 64), v=normal(128, 64), bias=normal(128), w=normal(64, 128))
    b, (x, v, bias, w) = p.b, p.values
    y = b.matmul(b.relu(b.add(b.matmul(x, turned(b, v)), bias)), turned(b, w))
    for name, gradient in zip("xvbw", gradients(b, b.sum(b.mul(y, y)), (x, v, bias, w)), strict=True):
        b.output(f"gradient of {name}", gradient)
    assert "matmul" not in in_panels_too(p)


def test_products_that_are_repeated_to_be_added_are_in_rows() -> None:
    p = Program(x=normal(4, 64, 64), y=normal(64, 64), z=normal(64, 1, 64), w=normal(64, 96))
    b, (x, y, z, w) = p.b, p.values
    b.output("for each", b.add(b.matmul(x, w), b.matmul(y, w)))
    b.output("of each other", b.add(b.matmul(y, w), b.matmul(z, w)))
    assert in_panels_too(p)["add"] == 2


def test_numbers_may_have_axes() -> None:
    p = Program(x=normal(2, 2, 2, 32, 64), w=normal(64, 96), number=normal(1, 1, 1, 1, 1))
    b, (x, w, number) = p.b, p.values
    b.output("y", b.mul(b.matmul(x, w), number))
    assert in_panels_too(p)["ReorderOutput"] == 1


def test_other_products_stay() -> None:
    p = Program(x=normal(4, 64, 64), few=normal(64, 12), narrow=normal(16, 64), odd=normal(64, 100))
    b, (x, few, narrow, odd) = p.b, p.values
    b.output("of heads", b.matmul(x, b.transpose(x, perm=(0, 2, 1))))
    b.output("of few", b.matmul(x, few))
    b.output("of narrow", b.matmul(narrow, odd))
    b.output("of odd", b.matmul(x, odd))
    assert in_panels_too(p)["matmul"] == 4


def product(rows: int | str, inner: int, columns: int) -> Graph:
    b = Builder("product")
    places = symbol(rows) if isinstance(rows, str) else rows
    x = b.input("x", TensorType("f32", (places, inner)), "data")
    b.output("y", b.matmul(x, b.input("w", TensorType("f32", (inner, columns)), "data")))
    return b.graph()


@pytest.mark.parametrize(
    ("sizes", "worth"),
    [((2048, 384, 1536), True), ((128, 784, 512), False), ((64, 64, 64), False), (("n", 512, 512), False)],
)
def test_panels_where_they_gain_more_than_they_cost(sizes: tuple[int | str, int, int], worth: bool) -> None:
    found = operators(panels(product(*sizes), WIDTH))
    assert ("Conv" in found) == worth and ("matmul" in found) != worth
