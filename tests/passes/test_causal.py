"""Causal attention in blocks of rows is causal attention, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Graph, Value
from netlang.compiler.passes import run
from netlang.compiler.passes.causal import BLOCKS, LEAST, causal
from netlang.compiler.verify import verify

from netlang.dims import symbol
from netlang.types import TensorType

from .test_speed import Program, normal, results

SIZES = (200, 261)
"""Queries: in equal blocks and a mask that is a constant; in unequal ones, and a mask too large to be kept."""


def attention(b: Builder, q: Value, k: Value, v: Value, mask: Value, kept: Value | None = None) -> Value:
    """softmax(q kᵀ / 2 + mask) v, in which weights may be dropped."""
    scores = b.matmul(q, b.transpose(k, perm=(0, 1, 3, 2)))
    weights = b.softmax(b.add(b.div(scores, 2.0), mask), axis=-1)
    return b.matmul(weights if kept is None else b.mul(weights, kept), v)


def lower_triangle(b: Builder, size: int, hidden: float = -1e9) -> Value:
    rows, columns = b.reshape(b.iota(count=size), shape=(size, 1)), b.reshape(b.iota(count=size), shape=(1, size))
    return b.select(b.less_equal(columns, rows), 0.0, hidden)


def of_size(size: int, dropped: bool = False) -> Program:
    """A program with queries, keys and values, and a share of the weights to be kept."""
    shares = {"kept": (normal(2, 2, size, size) > 0).astype(np.float32)} if dropped else {}
    return Program(q=normal(2, 2, size, 8), k=normal(2, 2, size, 8)[::-1].copy(), v=normal(2, 2, size, 6), **shares)


def squares(graph: Graph, size: int) -> int:
    """How many values have an element for each query and each key of a head."""
    return sum(value.type.shape == (2, 2, size, size) for node in graph.nodes for value in node.outputs)


def in_blocks(p: Program, size: int) -> int:
    """`squares` of the program in blocks, whose results are as before."""
    before = run(p.b.graph())
    after = causal(before)
    verify(after)
    for expected, found in zip(results(before, p.feeds), results(after, p.feeds), strict=True):
        assert expected.any() and expected.shape == found.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    return squares(after, size)


@pytest.mark.parametrize("size", SIZES)
def test_attention_and_its_gradient(size: int) -> None:
    p = of_size(size)
    y = attention(p.b, *p.values, lower_triangle(p.b, size))
    p.b.output("y", y)
    for name, gradient in zip("qkv", gradients(p.b, p.b.sum(p.b.mul(y, y)), p.values), strict=True):
        p.b.output(f"gradient of {name}", gradient)
    assert in_blocks(p, size) == 0


def test_weights_that_are_dropped_are_cut() -> None:
    p = of_size(200, dropped=True)
    q, k, v, kept = p.values
    y = attention(p.b, q, k, v, lower_triangle(p.b, 200), kept)
    for name, gradient in zip("qkv", gradients(p.b, p.b.sum(p.b.mul(y, y)), (q, k, v)), strict=True):
        p.b.output(f"gradient of {name}", gradient)
    assert in_blocks(p, 200) == 0


def test_weights_that_others_read_are_whole() -> None:
    p = of_size(200)
    q, k, _ = p.values
    weights = p.b.softmax(
        p.b.add(p.b.matmul(q, p.b.transpose(k, perm=(0, 1, 3, 2))), lower_triangle(p.b, 200)), axis=-1
    )
    p.b.output("weights", weights)
    p.b.output("greatest", p.b.max(weights, axis=-1))
    assert in_blocks(p, 200) == 1


def test_masks_that_are_not_causal_or_small_stay() -> None:
    size = LEAST + 8
    p = of_size(size)
    seen = p.b.transpose(lower_triangle(p.b, size), perm=(1, 0))
    p.b.output("reversed", attention(p.b, *p.values, seen))
    p.b.output("weak", attention(p.b, *p.values, lower_triangle(p.b, size, -3.0)))
    assert in_blocks(p, size) > 0
    few = of_size(16)
    few.b.output("few", attention(few.b, *few.values, lower_triangle(few.b, 16)))
    assert in_blocks(few, 16) > 0


def test_scores_that_hide_keys_themselves_stay() -> None:
    """Of the first queries, every key that they see is padding: those after them are what their softmax is of."""
    p = Program(scores=normal(2, 200, 200), v=normal(2, 200, 6), padding=np.zeros((2, 1, 200), np.float32))
    p.feeds["padding"][0, 0, :7] = -1e9
    scores, v, padding = p.values
    products = p.b.matmul(v, p.b.transpose(v, perm=(0, 2, 1)))
    for hidden in (p.b.add(products, padding), p.b.mul(scores, 2.0)):
        p.b.output(hidden.name, p.b.matmul(p.b.softmax(p.b.add(hidden, lower_triangle(p.b, 200)), axis=-1), v))
    before = run(p.b.graph())
    assert [node.op for node in causal(before).nodes] == [node.op for node in before.nodes]


def test_batches_may_be_open() -> None:
    b = Builder("open")
    q, k, v = (b.input(name, TensorType("f32", (symbol("n"), 2, 200, 8)), "data") for name in "qkv")
    b.output("y", attention(b, q, k, v, lower_triangle(b, 200)))
    after = causal(run(b.graph()))
    feeds = {name: normal(3, 2, 200, 8) for name in "qkv"}
    np.testing.assert_allclose(*(results(graph, feeds)[0] for graph in (b.graph(), after)), rtol=1e-5, atol=1e-6)
    assert sum(node.op == "softmax" for node in after.nodes) == BLOCKS
