"""Sums of tensors with scaled and shifted rows: the same numbers in fewer passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Graph, Value
from netlang.compiler.passes.scaled_rows import scaled_rows
from netlang.compiler.verify import verify
from netlang.runtime.further_passes import adds_products

from ..ops.harness import run_onnx
from .graphs import build, feeds, tensor

pytestmark = pytest.mark.skipif(not adds_products(), reason="this ONNX Runtime has no GatedAdd")

IMAGE, CHANNEL, PLANE = tensor(3, 4, 20), tensor(4, 1), tensor(3, 4, 1)


def kinds(graph: Graph) -> Counter[str]:
    names = (node.attributes["node"].node.op_type if node.op == "foreign" else node.op for node in graph.nodes)
    return Counter(name for name in names if name not in ("constant", "reshape", "expand"))


def assert_same(before: Graph, after: Graph) -> None:
    verify(after)
    arrays = feeds(before)
    expected, found = (run_onnx(graph, arrays)["y"] for graph in (before, after))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def batch_norm_gradient(b: Builder, g: Value, x: Value, scale: Value, tilt: Value, shift: Value) -> Value:
    return b.add(b.add(b.mul(g, scale), b.mul(x, tilt)), shift)


@pytest.mark.parametrize(
    ("make", "types", "wanted"),
    [
        (
            batch_norm_gradient,
            (IMAGE, IMAGE, CHANNEL, tensor(1, 4, 1), PLANE),
            {"BatchNormalization": 1, "GatedAdd": 1},
        ),
        (lambda b, x, a, c: b.add(c, b.mul(a, x)), (IMAGE, PLANE, CHANNEL), {"BatchNormalization": 1}),
        (lambda b, x, a, z: b.add(b.mul(x, a), z), (IMAGE, CHANNEL, IMAGE), {"GatedAdd": 1}),
        (
            lambda b, x, a, c, z: b.add(b.add(z, b.mul(x, a)), c),
            (IMAGE, CHANNEL, PLANE, IMAGE),
            {"BatchNormalization": 1, "add": 1},
        ),
        (
            lambda b, x, z, a, c: b.add(b.mul(x, a), b.mul(z, c)),
            (IMAGE, IMAGE, PLANE, CHANNEL),
            {"mul": 1, "GatedAdd": 1},
        ),
        (
            lambda b, x, a, c, d: b.add(b.add(b.mul(x, a), c), d),
            (tensor(5, 16), tensor(5, 1), tensor(5, 1), tensor(1, 1)),
            {"BatchNormalization": 1, "add": 1},
        ),
    ],
    ids=["batch norm", "group norm", "added", "all", "two products", "two shifts"],
)
def test_takes_fewer_passes(make: Callable[..., Value], types: tuple, wanted: dict[str, int]) -> None:
    before = build(make, *types)
    after = scaled_rows(before)
    assert kinds(after) == wanted
    assert_same(before, after)


def used_twice(b: Builder, x: Value, a: Value, c: Value) -> Value:
    product = b.mul(x, a)
    return b.mul(product, b.add(product, c))


@pytest.mark.parametrize(
    ("make", "types"),
    [
        (used_twice, (IMAGE, PLANE, CHANNEL)),
        (lambda b, x, a, c: b.add(b.mul(x, a), c), (tensor(3, 4, 5), PLANE, CHANNEL)),
        (lambda b, x, a, c: b.add(b.mul(x, a), c), (tensor(3, 4, 20), tensor(20), tensor(20))),
        (lambda b, x, w, a, c: b.add(b.mul(b.matmul(x, w), a), c), (tensor(4, 9), tensor(9, 20), CHANNEL, CHANNEL)),
        (lambda b, x, c: b.add(x, c), (IMAGE, CHANNEL)),
    ],
    ids=["used twice", "short rows", "columns", "product of matrices", "shift alone"],
)
def test_leaves_others(make: Callable[..., Value], types: tuple) -> None:
    before = build(make, *types)
    after = scaled_rows(before)
    assert kinds(after) == kinds(before)
    assert_same(before, after)
