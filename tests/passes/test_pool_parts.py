"""Gradients of overlapping max-poolings in parts: the same bits, PyTorch's numbers, and nothing else is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Graph
from netlang.compiler.passes import PIPELINE, run
from netlang.compiler.passes.pool_parts import pool_parts
from netlang.compiler.verify import verify

from netlang.dims import Size, symbol

from ..ops.harness import run_onnx
from .graphs import tensor

HALF = {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1)}
CHANNEL = 9 * 4 * 4 * 4
"""Bytes of the windows of one channel of one of the images here."""


def gradient(batch: Size = 2, **geometry) -> Graph:
    b = Builder()
    x = b.input("x", tensor(batch, 3, 7, 8))
    y = b.max_pool(x, **{**HALF, **geometry})
    weights = b.input("weights", y.type)
    b.output("dx", gradients(b, b.sum(b.mul(y, weights)), [x])[0])
    return run(b.graph(), pipeline=PIPELINE)


def cut(graph: Graph) -> Graph:
    after = pool_parts(graph, large=2 * CHANNEL, part=3 * CHANNEL)
    verify(after)
    return after


def images(graph: Graph) -> dict[str, np.ndarray]:
    """Small whole numbers: many windows have several largest elements, or negative ones alone."""
    rng = np.random.default_rng(0)
    return {item.name: rng.integers(-4, 2, item.value.type.shape).astype(np.float32) for item in graph.inputs}


@pytest.mark.parametrize("geometry", [{}, {"padding": (0, 0, 1, 1)}, {"kernel": (2, 3), "stride": (1, 2)}])
def test_gives_the_same_bits(geometry: dict) -> None:
    graph = gradient(**geometry)
    after = cut(graph)
    (scanned,) = [node for node in after.nodes if node.op == "scan_over"]
    assert scanned.inputs[0].type.shape[0] > 1
    assert "unfold" not in {node.op for node in after.nodes}
    arrays = images(graph)
    np.testing.assert_array_equal(run_onnx(after, arrays)["dx"], run_onnx(graph, arrays)["dx"])


def test_what_the_program_padded_is_read_with_its_padding() -> None:
    b = Builder()
    x = b.input("x", tensor(2, 3, 7, 8))
    wide = b.pad(x, before=(0, 0, 1, 1), after=(0, 0, 1, 1), value=0.0)
    y = b.max_pool(wide, kernel=(3, 3), stride=(2, 2), padding=(0, 0, 0, 0))
    weights = b.input("weights", y.type)
    b.output("dx", gradients(b, b.sum(b.mul(y, weights)), [x])[0])
    graph = run(b.graph())
    after = cut(graph)
    assert "scan_over" in {node.op for node in after.nodes}
    np.testing.assert_array_equal(*(run_onnx(each, images(graph))["dx"] for each in (after, graph)))


def test_gives_the_numbers_of_pytorch() -> None:
    graph = gradient()
    rng = np.random.default_rng(0)
    arrays = {item.name: rng.standard_normal(item.value.type.shape, np.float32) for item in graph.inputs}
    x, weights = (torch.tensor(arrays[name]) for name in ("x", "weights"))
    pooled = torch.nn.functional.max_pool2d(x.requires_grad_(), 3, 2, 1)
    (expected,) = torch.autograd.grad((pooled * weights).sum(), x)
    np.testing.assert_allclose(run_onnx(cut(graph), arrays)["dx"], expected.numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "graph",
    [gradient(symbol("n")), gradient(kernel=(2, 2), padding=(0, 0, 0, 0))],
    ids=["open", "side by side"],
)
def test_leaves_others_whole(graph: Graph) -> None:
    assert [node.op for node in cut(graph).nodes] == [node.op for node in graph.nodes]


def test_leaves_other_sums_over_the_largest_elements_whole() -> None:
    """Put back by windows of another stride than those that were read."""
    b = Builder()
    x, y = b.input("x", tensor(2, 3, 7, 7)), b.input("y", tensor(2, 3, 1, 3, 3))
    taken = b.cast(b.equal(b.unfold(x, kernel=(3, 3), stride=(2, 2)), y), dtype="f32")
    put = b.mul(taken, b.div(y, b.sum(taken, axis=2, keepdims=True)))
    b.output("z", b.fold(put, size=(5, 5), kernel=(3, 3), stride=(1, 1)))
    assert "scan_over" not in {node.op for node in cut(b.graph()).nodes}


def test_leaves_a_sum_over_windows_whole() -> None:
    b = Builder()
    x = b.input("x", tensor(2, 3, 7, 8))
    windows = b.unfold(x, kernel=(3, 3), stride=(1, 1))
    b.output("y", b.fold(b.mul(windows, windows), size=(7, 8), kernel=(3, 3), stride=(1, 1)))
    assert [node.op for node in cut(b.graph()).nodes] == ["unfold", "mul", "fold"]
