"""Reading of the operators that draw: their distributions, and that a seed and a step decide what they draw."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.reading import read_model
from onnx import TensorProto, helper, numpy_helper

from .harness import run_onnx
from .reading import model

ROWS = np.linspace(-1, 1, 40000, dtype=np.float32).reshape(400, 100)
COUNTERS = {"seed": np.array(3), "step": np.array(0)}


def read(
    nodes: list[onnx.NodeProto], outputs: list[str], x: np.ndarray = ROWS, **constants: np.ndarray
) -> onnx.ModelProto:
    """A model of the input `x` and of constants, with these outputs."""
    proto = model(nodes, {"x": x}, outputs)
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return proto


def run(proto: onnx.ModelProto, x: np.ndarray = ROWS, **counters: np.ndarray) -> dict[str, np.ndarray]:
    return run_onnx(read_model(proto).graph, {"x": x} | COUNTERS | counters)


def training_dropout(training: bool = True, ratio: float = 0.25) -> onnx.ModelProto:
    node = helper.make_node("Dropout", ["x", "ratio", "training"], ["y", "mask"])
    return read([node], ["y", "mask"], ratio=np.array(ratio, np.float32), training=np.array(training))


def test_dropout_in_training_keeps_and_scales() -> None:
    found = run(training_dropout())
    assert found["mask"].dtype == bool
    assert found["mask"].mean() == pytest.approx(0.75, abs=0.01)
    np.testing.assert_allclose(found["y"], np.where(found["mask"], ROWS / 0.75, 0), rtol=1e-6)


def test_seed_and_step_decide() -> None:
    first, again = (run(training_dropout())["mask"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    for other in ({"step": np.array(1)}, {"seed": np.array(4)}):
        assert 0.3 < np.mean(run(training_dropout(), **other)["mask"] != first) < 0.45  # 2 · 0.75 · 0.25 of them


def test_gradient_of_dropout_is_its_mask() -> None:
    graph = read_model(training_dropout()).graph
    b = Builder()
    b.adopt(graph)
    y, mask = (graph.output(name) for name in ("y", "mask"))
    (gradient,) = gradients(b, b.sum(y), [graph.inputs[0].value])
    b.output("g", gradient)
    b.output("mask", mask)
    found = run_onnx(b.graph(), {"x": ROWS} | COUNTERS)
    np.testing.assert_allclose(found["g"], found["mask"] / np.float32(0.75), rtol=1e-6)


@pytest.mark.parametrize(("training", "ratio"), [(False, 0.25), (True, 0.0)])
def test_dropout_that_drops_nothing(training: bool, ratio: float) -> None:
    graph = read_model(training_dropout(training, ratio)).graph
    assert [item.name for item in graph.inputs] == ["x"]
    found = run_onnx(graph, {"x": ROWS})
    np.testing.assert_array_equal(found["y"], ROWS)
    assert found["mask"].all()


@pytest.mark.parametrize("training", [True, False])
def test_dropout_told_when_it_runs(training: bool) -> None:
    node = helper.make_node("Dropout", ["x", "ratio", "training"], ["y", "mask"])
    proto = read([node], ["y", "mask"], ratio=np.array(0.5, np.float32))
    proto.graph.input.append(helper.make_tensor_value_info("training", TensorProto.BOOL, ()))
    found = run(proto, training=np.array(training))
    assert found["mask"].mean() == pytest.approx(0.5 if training else 1, abs=0.02)
    np.testing.assert_allclose(found["y"], np.where(found["mask"], ROWS * (2 if training else 1), 0), rtol=1e-6)


def test_draws_of_two_nodes_differ() -> None:
    nodes = [helper.make_node("RandomNormalLike", ["x"], [name], mean=2.0, scale=0.5) for name in ("y", "z")]
    found = run(read(nodes, ["y", "z"]))
    for drawn in found.values():
        assert drawn.mean() == pytest.approx(2, abs=0.02)
        assert drawn.std() == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(found["y"].ravel(), found["z"].ravel())[0, 1]) < 0.03


def test_uniform_numbers() -> None:
    node = helper.make_node("RandomUniform", [], ["u"], low=-1.0, high=3.0, shape=[400, 100])
    found = run(read([node, helper.make_node("Add", ["u", "x"], ["y"])], ["u", "y"]))["u"]
    assert found.min() > -1
    assert found.max() < 3
    assert np.histogram(found, 4, (-1, 3))[0] / found.size == pytest.approx(0.25, abs=0.01)


def test_bernoulli() -> None:
    chances = np.full((300, 100), 0.3, np.float32)
    found = run(read([helper.make_node("Bernoulli", ["x"], ["y"])], ["y"], chances), chances)["y"]
    assert set(np.unique(found)) == {0, 1}
    assert found.mean() == pytest.approx(0.3, abs=0.01)


def test_multinomial() -> None:
    """Logarithms of unnormalised chances 1 : 2 : 5."""
    logits = np.log(np.array([[1, 2, 5], [5, 2, 1]], np.float32))
    proto = read([helper.make_node("Multinomial", ["x"], ["y"], sample_size=20000)], ["y"], logits)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32
    found = run(proto, logits)["y"]
    assert found.dtype == np.int32
    for row, expected in zip(found, ([1, 2, 5], [5, 2, 1]), strict=True):
        assert np.bincount(row) / row.size == pytest.approx(np.array(expected) / 8, abs=0.015)


def test_in_a_loop_each_round_draws_anew() -> None:
    """There the counter would stand still, so the node stays as it is."""
    going = [helper.make_tensor_value_info(name, TensorProto.BOOL, ()) for name in ("go", "on")]
    body = helper.make_graph(
        [helper.make_node("RandomNormalLike", ["x"], ["drawn"]), helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, ()), going[0]],
        [going[1], helper.make_tensor_value_info("drawn", TensorProto.FLOAT, (3,))],
    )
    x = np.zeros(3, np.float32)
    proto = read([helper.make_node("Loop", ["trips", ""], ["y"], body=body)], ["y"], x, trips=np.array(2))
    proto.opset_import[0].version = 21  # onnxruntime has no kernel for the next version of the draw
    found = run_onnx(read_model(proto).graph, {"x": x})["y"]
    assert not np.array_equal(found[0], found[1])
