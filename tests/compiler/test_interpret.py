"""The NumPy meaning of graphs: symbols, precision, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.compiler.builder import Builder
from netlang.compiler.interpret import evaluate

from netlang.types import TensorType

from .graphs import BATCH, TIME, f32, f64, feeds, i64, parameter, perceptron_gradients


def test_computes_by_name():
    graph = perceptron_gradients()
    arrays = feeds(graph, batch=2, time=3)
    y = np.tanh(arrays["x"] @ arrays["linear.weight"].T + arrays["linear.bias"])
    outputs = evaluate(graph, arrays)
    assert sorted(outputs) == ["gradient.linear.bias", "gradient.linear.weight", "loss"]
    np.testing.assert_allclose(outputs["loss"], np.mean(y * y), rtol=1e-6)
    expected = (2 * y * (1 - y * y)).sum((0, 1)) / y.size
    np.testing.assert_allclose(outputs["gradient.linear.bias"], expected, rtol=1e-5, atol=1e-7)


def test_sizes_come_from_the_feeds():
    b = Builder()
    b.input("x", f32(BATCH, 2 * TIME + 1))
    b.output("full", b.full(shape=(TIME, BATCH), value=3.0))
    b.output("count", b.dim(size=BATCH * TIME))
    b.output("half", b.iota(count=TIME // 2))
    outputs = evaluate(b.graph(), {"x": np.zeros((4, 11), np.float32)})
    np.testing.assert_array_equal(outputs["full"], np.full((5, 4), 3, np.float32))
    assert outputs["count"] == 20
    np.testing.assert_array_equal(outputs["half"], [0, 1])


def test_float64_reaches_constants_and_casts():
    b = Builder()
    x = b.input("x", f32())
    i = b.input("i", i64(BATCH))
    b.output("y", b.add(b.mul(x, 0.1), b.mul(b.cast(i, dtype="f32"), b.full(shape=(BATCH,), value=0.2))))
    graph = b.graph()
    arrays = {"x": np.array(1 / 3), "i": np.array([1, 1])}
    result = evaluate(graph, arrays, "f64")["y"]
    assert result.dtype == np.float64
    # The constant 0.1 was written as f32; all that follows is float64.
    np.testing.assert_array_equal(result, float(np.float32(0.1)) / 3 + np.array([0.2, 0.2]))


def test_results_have_their_types():
    b = Builder()
    x = b.input("x", f32(3))
    b.output("total", b.sum(x))
    b.output("where", b.argmax(x))
    outputs = evaluate(b.graph(), {"x": np.array([1, 5, 2], np.float32)})
    assert {name: array.dtype for name, array in outputs.items()} == {"total": np.float32, "where": np.int64}


def test_infinities_are_results_and_not_warnings():
    b = Builder()
    b.output("y", b.log(b.input("x", f32(2))))
    np.testing.assert_array_equal(evaluate(b.graph(), {"x": np.zeros(2, np.float32)})["y"], [-np.inf, -np.inf])


def test_numbers_and_lists_take_the_dtype_of_the_input():
    b = Builder()
    b.output("y", b.mul(b.input("x", f32(2)), b.input("s", f32())))
    np.testing.assert_array_equal(evaluate(b.graph(), {"x": [1, 2], "s": 3})["y"], np.array([3, 6], np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, r"no value given for `x`"),
        ({"z": np.zeros(1)}, r"the graph has no input `z`; it has \['x', 'y', 'w'\]"),
        ({"x": np.zeros((2, 3))}, r"`x` must be f32\[batch, 3\], found dtype float64"),
        ({"x": np.zeros((2, 3, 1), np.float32)}, r"`x` must be f32\[batch, 3\], found shape \[2, 3, 1\]"),
        ({"x": np.zeros((2, 4), np.float32)}, r"`x` must be f32\[batch, 3\] where batch = 2, found shape \[2, 4\]"),
        ({"y": np.zeros(5, np.int64)}, r"`y` must be i64\[batch\] where batch = 2, found shape \[5\]"),
        ({"w": np.zeros(4, np.float32)}, r"`w` must be f32\[3\], found shape \[4\]"),
    ],
)
def test_refuses_feeds_that_do_not_fit(change: dict, message: str):
    b = Builder()
    b.output("r", b.add(b.input("x", f32(BATCH, 3)), 0.0))
    b.input("y", i64(BATCH))
    parameter(b, "w", 3)
    arrays = {"x": np.zeros((2, 3), np.float32), "y": np.zeros(2, np.int64), "w": np.zeros(3, np.float32)} | change
    with pytest.raises(ValueError, match=message):
        evaluate(b.graph(), {name: array for name, array in arrays.items() if array is not None})


def test_refuses_a_size_that_solves_nothing():
    b = Builder()
    b.output("y", b.neg(b.input("x", f32(2 * TIME))))
    with pytest.raises(ValueError, match=r"`x` must be f32\[2\*time\], found shape \[3\]"):
        evaluate(b.graph(), {"x": np.zeros(3, np.float32)})


def test_booleans_pass_in_every_precision():
    b = Builder()
    x = b.input("x", TensorType("bool", (2,)))
    b.output("y", b.logical_not(x))
    for precision in (None, "f64"):
        outputs = evaluate(b.graph(), {"x": np.array([True, False])}, precision)
        np.testing.assert_array_equal(outputs["y"], [False, True])


def test_float32_and_float64_agree_to_rounding():
    graph = perceptron_gradients()
    arrays = feeds(graph, batch=3, time=2)
    single, double = evaluate(graph, arrays), evaluate(graph, f64(arrays), "f64")
    for name, array in single.items():
        np.testing.assert_allclose(array, double[name], rtol=1e-5, atol=1e-7)
