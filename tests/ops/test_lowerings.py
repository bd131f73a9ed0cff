"""Where an operator has several lowerings: all agree, and the rule chooses the one that was measured to be the best."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.interpret import evaluate
from netlang.compiler.ops import scatter, weight_gradient

from netlang.dims import symbol
from netlang.types import TensorType

from .harness import run_onnx


@pytest.mark.parametrize(
    ("channels", "results", "stride", "groups", "expected"),
    [
        (1, (24, 24), (1, 1), 1, "slices"),  # LeNet-5
        (6, (10, 10), (1, 1), 1, "slices"),
        (8, (10, 10), (1, 1), 1, "offsets"),
        (16, (1, 1), (1, 1), 1, "window"),
        (3, (32, 32), (1, 1), 1, "slices"),  # ResNet-20
        (16, (32, 32), (1, 1), 1, "offsets"),
        (16, (16, 16), (2, 2), 1, "identity"),
        (64, (8, 8), (1, 1), 1, "offsets"),
        (3, (112, 112), (2, 2), 1, "identity"),  # ResNet-18
        (64, (28, 28), (2, 2), 1, "identity"),
        (1, (14, 14), (1, 1), 256, "offsets"),  # depthwise
        (1, (7, 7), (2, 2), 256, "identity"),
        (64, (symbol("h"), symbol("w")), (1, 1), 1, "offsets"),
    ],
)
def test_choice(channels, results, stride, groups, expected):
    assert weight_gradient.choose(channels, results, stride, groups) == expected


SHAPES = [
    ((2, 4, 7, 6), (2, 6, 7, 6), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
    ((2, 4, 7, 6), (2, 6, 3, 4), (3, 2), (2, 1), (0, 0, 0, 0), (1, 2), 1),
    ((2, 4, 7, 6), (2, 6, 4, 3), (1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 1),
    ((2, 4, 7, 6), (2, 6, 9, 7), (2, 3), (1, 1), (2, 1, 1, 2), (1, 1), 1),
    ((2, 4, 5, 5), (2, 6, 5, 5), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 2),
    ((2, 4, 5, 5), (2, 8, 3, 3), (3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 4),
    ((3, 2, 9), (3, 5, 4), (3,), (2,), (0, 0), (1,), 1),
    ((2, 2, 4, 5, 4), (2, 3, 4, 3, 3), (1, 3, 2), (1, 1, 1), (0,) * 6, (1, 1, 1), 1),
]


CASES = [
    (shape, lowering)
    for shape in SHAPES
    for lowering in ("offsets", "slices", "identity")
    if shape[-1] == 1 or lowering != "slices"  # which does not know groups
]


@pytest.mark.parametrize("batch", [None, "n"])
@pytest.mark.parametrize(("shape", "lowering"), CASES, ids=str)
def test_weight_gradients_agree(monkeypatch, shape, lowering, batch):
    x, g, kernel, *layout = shape
    check_weight_gradient(monkeypatch, x, g, kernel, layout, lowering, batch)


@pytest.mark.parametrize("batch", [None, "n"])
@pytest.mark.parametrize("lowering", ["offsets", "slices", "identity", "window"])
def test_weight_gradients_of_one_window_agree(monkeypatch, lowering, batch):
    layout = (1, 1), (0, 0, 1, 0), (1, 2), 1
    check_weight_gradient(monkeypatch, (3, 2, 4, 5), (3, 6, 1, 1), (5, 3), layout, lowering, batch)


def check_weight_gradient(monkeypatch, x, g, kernel, layout, lowering, batch):
    monkeypatch.setattr(weight_gradient, "choose", lambda *_: lowering)
    stride, padding, dilation, groups = layout
    leading = x[0] if batch is None else symbol(batch)
    b = Builder()
    values = [b.input("x", TensorType("f32", (leading, *x[1:]))), b.input("g", TensorType("f32", (leading, *g[1:])))]
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    b.output("w", b.conv_weight_gradient(*values, kernel=kernel, **attrs))
    rng = np.random.default_rng(0)
    feeds = {name: rng.standard_normal(size).astype(np.float32) for name, size in (("x", x), ("g", g))}
    found, expected = run_onnx(b.graph(), feeds)["w"], evaluate(b.graph(), feeds)["w"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("open_sizes", [(), (2,), (2, 3)], ids=["static", "open height", "open image"])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_and_gradients_of_images_of_open_size(stride, open_sizes):
    from netlang.compiler.autodiff import gradients

    b = Builder()
    shape = tuple(symbol(f"s{i}") if i in open_sizes else size for i, size in enumerate((2, 3, 7, 8)))
    x, w = b.input("x", TensorType("f32", shape)), b.input("w", TensorType("f32", (4, 3, 3, 3)))
    y = b.conv(x, w, stride=(stride, stride), padding=(1, 1, 1, 1), dilation=(1, 1))
    y = b.max_pool(y, kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    y = b.avg_pool(y, kernel=(2, 2), stride=(1, 1), padding=(0, 1, 1, 0), include_padding=False)
    for name, value in zip(("gx", "gw"), gradients(b, b.sum(b.mul(y, y)), [x, w]), strict=True):
        b.output(name, value)
    rng = np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((2, 3, 7, 8)), "w": rng.standard_normal((4, 3, 3, 3))}
    feeds = {name: value.astype(np.float32) for name, value in feeds.items()}
    found, expected = run_onnx(b.graph(), feeds), evaluate(b.graph(), feeds)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("rows", "operator"), [(256, "MatMul"), (257, "ScatterElements")])
def test_rows_are_never_added_by_threads_that_race(rows, operator):
    b = Builder()
    x, index = b.input("x", TensorType("f32", (20000, 3))), b.input("index", TensorType("i64", (20000,)))
    b.output("y", b.scatter_rows(x, index, rows=rows))
    model = emit(b.graph())
    assert operator in operators(model)
    assert "ScatterND" not in operators(model)
    rng = np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((20000, 3)).astype(np.float32), "index": rng.integers(0, 5, 20000)}
    runs = [run_onnx(b.graph(), feeds, threads=2)["y"] for _ in range(5)]
    assert all(np.array_equal(runs[0], run) for run in runs[1:])
    np.testing.assert_allclose(runs[0], evaluate(b.graph(), feeds, "f64")["y"], rtol=1e-4, atol=1e-3)


def test_scattered_rows_of_open_number(monkeypatch):
    """As many rows as there are nodes in a graph: known only when it runs."""
    for _, limit in itertools.product(range(2), (0, 256)):
        monkeypatch.setattr(scatter, "ONE_HOT_ROWS", limit)
        b = Builder()
        x, index = (
            b.input("x", TensorType("f32", (symbol("e"), 3))),
            b.input("index", TensorType("i64", (symbol("e"),))),
        )
        nodes = b.input("nodes", TensorType("f32", (symbol("v"), 2)))
        b.output("y", b.scatter_rows(x, index, rows=nodes.type.shape[0]))
        b.output("total", b.sum(nodes))
        feeds = {
            "x": np.arange(12, dtype=np.float32).reshape(4, 3),
            "index": np.array([1, 0, 1, -1]),
            "nodes": np.ones((5, 2), np.float32),
        }
        np.testing.assert_array_equal(run_onnx(b.graph(), feeds)["y"], evaluate(b.graph(), feeds)["y"])


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]
