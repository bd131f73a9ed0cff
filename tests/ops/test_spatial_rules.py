"""Reading of convolution, pooling and normalisation: random uses, sizes left open too, against onnxruntime."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.interpret import evaluate
from netlang.compiler.reading import read_model
from onnx import helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from netlang.types import TensorType

from .harness import central_difference, run_onnx
from .reading import floats, model

SEEDS = range(24)

REFUSED = (Fail, InvalidArgument, RuntimeException)
"""What onnxruntime raises for windows that it does not take."""


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def opened(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the batch and the sizes after the channels of its first input left open."""
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for axis, dim in enumerate(dims):
        if axis != 1:
            dim.dim_param = f"s{axis}"
    return proto


def check(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> None:
    """What is read gives what onnxruntime gives; skipped where that refuses the model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
        expected = session.run(None, feeds)
    except REFUSED as refusal:
        pytest.skip(f"onnxruntime: {refusal}")
    reading = read_model(proto)
    found = run_onnx(reading.graph, feeds)
    for output, result in zip(session.get_outputs(), expected, strict=True):
        wanted = np.asarray(result)
        assert found[output.name].shape == wanted.shape
        np.testing.assert_allclose(found[output.name], wanted, rtol=1e-5, atol=1e-5, err_msg=output.name)
    kept = any(node.op == "foreign" for node in reading.graph.nodes)
    assert not kept or "index" in found, "only positions of windows that reach far into padding are left to ONNX"


def check_gradients(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> None:
    """Gradients by all float inputs agree with differences, and onnxruntime agrees with the interpreter."""
    b, graph = Builder(), read_model(proto).graph
    b.adopt(graph)
    shapes = {name: result.shape for name, result in evaluate(graph, feeds).items()}
    weights = {f"weight.{output.name}": array(*shapes[output.name], seed=5) for output in graph.outputs}
    inputs = {name: b.input(name, TensorType("f32", weight.shape)) for name, weight in weights.items()}
    terms = [b.sum(b.mul(output.value, inputs[f"weight.{output.name}"])) for output in graph.outputs]
    loss = reduce(b.add, terms)
    b.output("loss", loss)
    sources = [item.value for item in graph.inputs]
    for value, gradient in zip(sources, gradients(b, loss, sources), strict=True):
        b.output(f"grad.{value.name}", gradient)
    all_feeds = feeds | weights
    found = evaluate(b.graph(), all_feeds, "f64")
    direction = {name: array(*feeds[name].shape, seed=7).astype(np.float64) for name in floats(feeds)}
    along = sum(float(np.sum(found[f"grad.{name}"] * move)) for name, move in direction.items())

    def total(values: dict[str, np.ndarray]) -> float:
        return float(evaluate(b.graph(), values, "f64")["loss"])

    assert along == pytest.approx(central_difference(total, all_feeds, direction), rel=1e-7, abs=1e-8)
    for name, result in run_onnx(b.graph(), all_feeds).items():
        np.testing.assert_allclose(result, found[name], rtol=1e-4, atol=1e-5, err_msg=name)


def windows(rng: np.random.Generator, axes: int, pooling: bool) -> dict[str, Any]:
    """Attributes of a random window; padding stays below the kernel where there is pooling."""
    kernel = rng.integers(1, 4, axes)
    attributes: dict[str, Any] = {
        "kernel_shape": kernel.tolist(),
        "strides": rng.integers(1, 4, axes).tolist(),
        "dilations": rng.integers(1, 3, axes).tolist(),
    }
    mode = rng.choice(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if mode != "NOTSET":
        return attributes | {"auto_pad": mode, "dilations": [1] * axes}
    limit = np.tile(kernel if pooling else kernel + 1, 2)
    return attributes | {"pads": rng.integers(0, limit).tolist()}


@pytest.mark.parametrize("form", ["static", "open"])
@pytest.mark.parametrize("seed", SEEDS)
def test_conv(seed: int, form: str) -> None:
    rng = np.random.default_rng(seed)
    axes, groups = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    attributes = windows(rng, axes, pooling=False)
    feeds = {"x": array(2, 2 * groups, *rng.integers(6, 9, axes)), "w": array(4, 2, *attributes["kernel_shape"])}
    inputs = ["x", "w"]
    if rng.integers(2):
        feeds["bias"] = array(4)
        inputs.append("bias")
    proto = model([helper.make_node("Conv", inputs, ["y"], group=groups, **attributes)], feeds, ["y"])
    check(opened(proto) if form == "open" else proto, feeds)


@pytest.mark.parametrize("form", ["static", "open"])
@pytest.mark.parametrize("seed", SEEDS)
def test_conv_transpose(seed: int, form: str) -> None:
    rng = np.random.default_rng(seed)
    axes, groups = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    attributes = windows(rng, axes, pooling=False)
    attributes["strides"] = strides = rng.integers(1, 4, axes).tolist()
    if rng.integers(2):
        attributes["output_padding"] = [int(rng.integers(0, stride)) for stride in strides]
    sizes = rng.integers(3, 6, axes)
    if form == "static" and rng.integers(2):
        attributes.pop("pads", None)
        attributes["output_shape"] = _shape_of_result(attributes, sizes, int(rng.integers(3)))
    feeds = {"x": array(2, 2 * groups, *sizes), "w": array(2 * groups, 3, *attributes["kernel_shape"])}
    proto = model([helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=groups, **attributes)], feeds, ["y"])
    check(opened(proto) if form == "open" else proto, feeds)


def _shape_of_result(attributes: dict[str, Any], sizes: np.ndarray, cut: int) -> list[int]:
    """All that the windows reach, and the output padding, less `cut` where there is so much."""
    more = attributes.get("output_padding", [0] * len(sizes))
    items = zip(sizes, attributes["strides"], attributes["kernel_shape"], attributes["dilations"], more, strict=True)
    full = [int((size - 1) * step + (kernel - 1) * apart + 1 + extra) for size, step, kernel, apart, extra in items]
    return [max(size - cut, 1) for size in full]


@pytest.mark.parametrize("form", ["static", "open"])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("seed", SEEDS)
def test_pooling(seed: int, op: str, form: str) -> None:
    rng = np.random.default_rng(seed)
    axes = int(rng.integers(1, 4))
    attributes = windows(rng, axes, pooling=True)
    if "auto_pad" not in attributes:
        attributes["ceil_mode"] = int(rng.integers(2))
    if op == "AveragePool":
        attributes["count_include_pad"] = int(rng.integers(2))
    if op == "LpPool":
        attributes["p"] = int(rng.integers(1, 4))
    feeds = {"x": array(2, 3, *rng.integers(6, 10, axes))}
    outputs = ["y", "index"] if op == "MaxPool" and form == "static" and seed % 2 else ["y"]
    if len(outputs) == 2 and axes == 2:
        attributes["storage_order"] = int(rng.integers(2))
    proto = model([helper.make_node(op, ["x"], outputs, **attributes)], feeds, outputs)
    if len(outputs) == 2:
        proto.graph.output[1].type.tensor_type.elem_type = onnx.TensorProto.INT64
    check(opened(proto) if form == "open" else proto, feeds)


VECTOR, LINE = array(4), array(4, 5)

NORMALISATIONS: dict[str, tuple[str, dict[str, np.ndarray], dict[str, Any], int]] = {
    "instance": ("InstanceNormalization", {"x": array(2, 4, 5), "s": VECTOR, "b": VECTOR}, {"epsilon": 0.1}, 22),
    "group": ("GroupNormalization", {"x": array(2, 4, 5), "s": VECTOR, "b": VECTOR}, {"num_groups": 2}, 21),
    "layer": ("LayerNormalization", {"x": array(2, 3, 4), "s": VECTOR, "b": VECTOR}, {}, 17),
    "layer of two axes": ("LayerNormalization", {"x": array(2, 4, 5), "s": LINE, "b": LINE}, {"axis": 1}, 17),
    "layer without shift": ("LayerNormalization", {"x": array(2, 3, 4), "s": VECTOR}, {"axis": -1}, 17),
    "layer, broadcast": ("LayerNormalization", {"x": array(2, 4, 4), "s": array(4), "b": array(4)}, {"axis": 1}, 17),
    "root mean square": ("RMSNormalization", {"x": array(2, 3, 4), "s": VECTOR}, {}, 23),
    "root mean square of two axes": ("RMSNormalization", {"x": array(2, 4, 5), "s": LINE}, {"axis": -2}, 23),
    "response": ("LRN", {"x": array(2, 4, 3, 3)}, {"size": 3, "alpha": 0.5, "bias": 2.0}, 13),
    "lp": ("LpNormalization", {"x": array(2, 4, 3)}, {"p": 1, "axis": 1}, 22),
    "length": ("LpNormalization", {"x": array(2, 4, 3)}, {}, 22),
    "mean and variance": ("MeanVarianceNormalization", {"x": array(2, 3, 4, 5)}, {"axes": [0, 2, 3]}, 13),
    "batch": (
        "BatchNormalization",
        {"x": array(3, 4, 5), "s": VECTOR, "b": VECTOR, "m": VECTOR, "v": np.abs(VECTOR)},
        {"epsilon": 0.1},
        15,
    ),
}


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_normalisation(name: str) -> None:
    op, feeds, attributes, opset = NORMALISATIONS[name]
    proto = model([helper.make_node(op, list(feeds), ["y"], **attributes)], feeds, ["y"], opset)
    check(proto, feeds)
    check_gradients(proto, feeds)
    if len(feeds) == 1:
        check(opened(proto), feeds)


PLANES = array(2, 3, 5, 6)

OLDER: dict[str, tuple[str, dict[str, np.ndarray], dict[str, Any], tuple[int, ...]]] = {
    "conv": ("Conv", {"x": PLANES, "w": array(4, 3, 2, 2), "b": VECTOR}, {"pads": [1, 0, 0, 1]}, (7, 11)),
    "conv_transpose": ("ConvTranspose", {"x": PLANES, "w": array(3, 2, 2, 2)}, {"strides": [2, 2]}, (7, 11)),
    "average": ("AveragePool", {"x": PLANES}, {"kernel_shape": [2, 3], "pads": [1, 1, 0, 1]}, (7, 10, 11, 19)),
    "average, rounded up": ("AveragePool", {"x": PLANES}, {"kernel_shape": [3, 3], "ceil_mode": 1}, (10, 11, 19)),
    "maximum": ("MaxPool", {"x": PLANES}, {"kernel_shape": [2, 3], "strides": [2, 1]}, (7, 8, 10, 11, 12)),
    "norm": ("LpPool", {"x": PLANES}, {"kernel_shape": [2, 3], "p": 3}, (7, 11, 18)),
    "global average": ("GlobalAveragePool", {"x": PLANES}, {}, (7,)),
    "global maximum": ("GlobalMaxPool", {"x": PLANES}, {}, (7,)),
    "global norm": ("GlobalLpPool", {"x": PLANES}, {"p": 3}, (7,)),
    "batch": (
        "BatchNormalization",
        {"x": PLANES, "s": array(3), "b": array(3), "m": array(3), "v": np.abs(array(3))},
        {"epsilon": 0.1},
        (7, 9, 14),
    ),
    "instance": ("InstanceNormalization", {"x": PLANES, "s": array(3), "b": array(3)}, {}, (7,)),
    "groups scaled as groups": (
        "GroupNormalization",
        {"x": array(2, 4, 5), "s": array(2), "b": array(2, seed=1)},
        {"num_groups": 2},
        (18,),
    ),
    "response": ("LRN", {"x": PLANES}, {"size": 3, "alpha": 0.5}, (7,)),
    "length": ("LpNormalization", {"x": PLANES}, {"axis": 2}, (7,)),
    "mean and variance": ("MeanVarianceNormalization", {"x": PLANES}, {}, (9,)),
    "dropout": ("Dropout", {"x": PLANES}, {}, (7, 10, 12, 13)),
}


@pytest.mark.parametrize(("name", "opset"), [(name, opset) for name, use in OLDER.items() for opset in use[3]])
def test_older_operator_sets(name: str, opset: int) -> None:
    op, feeds, attributes, _ = OLDER[name]
    proto = model([helper.make_node(op, list(feeds), ["y"], **attributes)], feeds, ["y"], opset)
    check(proto, feeds)
    check(opened(proto), feeds)


def test_batch_statistics() -> None:
    """The output of training and the running statistics that follow from it."""
    feeds = {"x": array(3, 4, 5), "s": VECTOR, "b": VECTOR, "m": VECTOR, "v": np.abs(VECTOR)}
    node = helper.make_node("BatchNormalization", list(feeds), ["y", "mean", "var"], training_mode=1, momentum=0.8)
    proto = model([node], feeds, ["y", "mean", "var"], 15)
    check(proto, feeds)
    check_gradients(proto, feeds)


SPATIAL_GRADIENTS: dict[str, tuple[str, dict[str, np.ndarray], dict[str, Any]]] = {
    "conv": ("Conv", {"x": array(2, 4, 6), "w": array(4, 2, 3), "b": VECTOR}, {"group": 2, "auto_pad": "SAME_LOWER"}),
    "conv_transpose": (
        "ConvTranspose",
        {"x": array(1, 2, 3, 3), "w": array(2, 1, 3, 3)},
        {"strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 2]},
    ),
    "deform_conv": (
        "DeformConv",
        {"x": array(1, 2, 3, 4), "w": array(2, 1, 2, 2), "offset": array(1, 16, 2, 3), "b": array(2)},
        {"group": 2, "offset_group": 2},
    ),
    "average": ("AveragePool", {"x": array(1, 2, 6, 5)}, {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    "average with padding": (
        "AveragePool",
        {"x": array(1, 1, 6, 5)},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4, "ceil_mode": 1, "count_include_pad": 1},
    ),
    "maximum": ("MaxPool", {"x": array(1, 2, 6, 5)}, {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    "norm": ("LpPool", {"x": array(1, 2, 6)}, {"kernel_shape": [3], "p": 3, "dilations": [2]}),
}


@pytest.mark.parametrize("name", SPATIAL_GRADIENTS)
def test_gradient(name: str) -> None:
    op, feeds, attributes = SPATIAL_GRADIENTS[name]
    check_gradients(model([helper.make_node(op, list(feeds), ["y"], **attributes)], feeds, ["y"]), feeds)
