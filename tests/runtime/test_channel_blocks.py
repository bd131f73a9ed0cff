"""Convolutions in blocks of channels give what the plain ones give, wherever they replace them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from netlang.compiler import load_program
from netlang.compiler.emit import emit
from netlang.compiler.initializers import materialise
from netlang.runtime.channel_blocks import DOMAIN, block_size, blocked
from netlang.runtime.loader import load
from netlang.runtime.session import Device
from onnx import TensorProto, helper

from netlang.source import Source

Feeds = dict[str, np.ndarray]
Case = tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]
"""An operator, the shapes of its input and of its weights, its attributes."""

RNG = np.random.default_rng(0)
SAME = {"pads": [1, 1, 1, 1]}

IN_BLOCKS: dict[str, Case] = {
    "plain": ("Conv", (2, 32, 5, 6), (16, 32, 3, 3), SAME),
    "stride": ("Conv", (2, 16, 7, 6), (48, 16, 3, 3), {**SAME, "strides": [2, 1]}),
    "dilation": ("Conv", (1, 16, 9, 8), (16, 16, 3, 2), {"pads": [2, 0, 1, 1], "dilations": [2, 3]}),
    "point": ("Conv", (2, 32, 4, 4), (32, 32, 1, 1), {}),
    "few channels": ("Conv", (2, 3, 9, 9), (16, 3, 5, 5), {"strides": [2, 2]}),
    "transposed": ("ConvTranspose", (2, 32, 5, 6), (32, 16, 3, 3), SAME),
    "transposed, wide": ("ConvTranspose", (2, 16, 5, 6), (16, 32, 3, 5), {"pads": [0, 2, 1, 0]}),
    "transposed, dilation": ("ConvTranspose", (1, 16, 5, 6), (16, 16, 3, 2), {**SAME, "dilations": [2, 1]}),
}
PLAIN: dict[str, Case] = {
    "channels made": ("Conv", (1, 16, 4, 4), (10, 16, 3, 3), {}),
    "channels read": ("Conv", (1, 24, 4, 4), (16, 24, 3, 3), {}),
    "groups": ("Conv", (1, 32, 4, 4), (32, 16, 3, 3), {"group": 2}),
    "one axis": ("Conv", (1, 16, 4), (16, 16, 3), {}),
    "transposed, stride": ("ConvTranspose", (1, 16, 4, 4), (16, 16, 3, 3), {"strides": [2, 2]}),
    "transposed, few channels": ("ConvTranspose", (1, 4, 4, 4), (4, 16, 3, 3), {}),
    "transposed, cut": ("ConvTranspose", (1, 16, 4, 4), (16, 16, 3, 3), {"pads": [3, 0, 0, 0]}),
}

needs_blocks = pytest.mark.skipif(not block_size(), reason="onnxruntime has no kernels in blocks for this processor")


def model_of(case: Case, bias: bool = False) -> tuple[onnx.ModelProto, Feeds]:
    op_type, x, w, attributes = case
    shapes = {"x": x, "w": w, **({"b": (w[0],)} if bias else {})}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    node = helper.make_node(op_type, list(shapes), ["y"], **attributes)
    graph = helper.make_graph([node], "one", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    feeds = {name: RNG.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), feeds


def run(model: onnx.ModelProto, feeds: Feeds) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


@needs_blocks
@pytest.mark.parametrize("case", IN_BLOCKS.values(), ids=IN_BLOCKS)
def test_gives_the_same(case: Case) -> None:
    model, feeds = model_of(case)
    rewritten = blocked(model)
    assert [node.domain for node in rewritten.graph.node if node.op_type.startswith("Conv")] == [DOMAIN]
    (expected,), (found,) = run(model, feeds), run(rewritten, feeds)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@needs_blocks
def test_gives_the_same_with_a_bias() -> None:
    model, feeds = model_of(("Conv", (2, 16, 5, 6), (32, 16, 3, 3), SAME), bias=True)
    (expected,), (found,) = run(model, feeds), run(blocked(model), feeds)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", PLAIN.values(), ids=PLAIN)
def test_leaves_others_alone(case: Case) -> None:
    model, _ = model_of(case)
    assert blocked(model) is model


@needs_blocks
def test_a_network_has_the_same_gradients() -> None:
    """What several convolutions read is laid out once."""
    network = load_program(Source("net.net", NETWORK), load).network()
    model = emit(network.gradient_graph({"batch": 2}))
    rewritten = blocked(model)
    counts = Counter(node.op_type for node in rewritten.graph.node if node.domain == DOMAIN)
    assert counts == {"Conv": 5, "ReorderInput": 3, "ReorderOutput": 5}
    scalars = {"step": np.array(0), "steps": np.array(9), "seed": np.array(0)}
    data = {"image": RNG.standard_normal((2, 3, 8, 8), np.float32), "label": np.array([1, 2])}
    known = {item.name for item in model.graph.input}
    feeds = {**materialise(network.variables, 0), **scalars, **data}
    feeds = {name: value for name, value in feeds.items() if name in known}
    for expected, found in zip(run(model, feeds), run(rewritten, feeds), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


NETWORK = """
use std.layers: linear, conv2d

model Net(image: f32[batch, 3, 8, 8]) -> f32[batch, 4] {
  x = image |> conv2d(16, 3) |> tanh
  y = x |> conv2d(32, 3) |> tanh
  z = x |> conv2d(16, 3) |> tanh
  return concat(flatten(y), flatten(z)) |> linear(4)
}

train Net {
  in label: i64[batch]
  minimize cross_entropy(forward(image), label)
  optimizer sgd(0.1)
}
"""


@needs_blocks
def test_sessions_use_them_unless_told_not_to() -> None:
    model, feeds = model_of(IN_BLOCKS["plain"])
    (expected,) = run(model, feeds)
    with_blocks, without = (
        Device("cpu", 1, blocks=blocks).session(model).run(None, feeds)[0] for blocks in (True, False)
    )
    np.testing.assert_array_equal(without, expected)
    np.testing.assert_allclose(with_blocks, expected, rtol=1e-4, atol=1e-4)
    assert not np.array_equal(with_blocks, expected), "the order of the sums differs"
