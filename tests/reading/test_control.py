"""Sub-graphs: choices and iterations of ONNX, forward as onnxruntime runs them, and with gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.interpret import evaluate
from netlang.compiler.reading import Reading, read_model

from .models import check, model, operators

X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], np.float32)

IF = """
choose (float[n, 3] x, bool go, float[n, 3] z) => (float[n, 3] y) {
  y = If (go) <
    then_branch = then_graph () => (float[n, 3] a) { a = Mul (x, z) },
    else_branch = else_graph () => (float[n, 3] b) { w = Sub (x, z) b = Mul (w, w) }
  >
}
"""


@pytest.mark.parametrize("go", [True, False])
def test_if_runs_one_branch(go: bool):
    assert "branch" in operators(check(model(IF), {"x": X, "go": np.array(go), "z": X + 1}))


def test_if_with_a_known_condition_is_its_branch():
    text = IF.replace("bool go, ", "").replace("y = If", "go = Constant <value = bool {1}> () y = If")
    assert operators(check(model(text), {"x": X, "z": X})) == {"mul"}


def test_if_of_another_shape_in_each_branch_stays_foreign():
    text = """
    g (float[4] x, bool go) => (float[m] y) {
      two = Constant <value = int64[1] {2}> ()
      zero = Constant <value = int64[1] {0}> ()
      y = If (go) <
        then_branch = t () => (float[a] p) { p = Identity (x) },
        else_branch = e () => (float[b] q) { q = Slice (x, zero, two) }
      >
    }"""
    feeds = [{"x": np.arange(4, dtype=np.float32), "go": np.array(go)} for go in (True, False)]
    assert "foreign" in operators(check(model(text), *feeds))


LOOP = """
power (int64 count, bool start, float[n, 3] x, float[n, 3] w) => (float[n, 3] y, float[k, n, 3] all) {
  y, all = Loop (count, start, x) <
    body = step (int64 i, bool go, float[n, 3] h) => (bool more, float[n, 3] next, float[n, 3] seen) {
      more = Identity (go)
      product = Mul (h, w)
      next = Tanh (product)
      seen = Add (next, x)
    }
  >
}
"""


def test_loop_counts_and_stacks():
    feeds = {"count": np.array(3), "start": np.array(True), "x": X, "w": X / 2}
    assert "loop_while" in operators(check(model(LOOP), feeds, feeds | {"count": np.array(0)}))


def test_loop_stops_when_its_condition_fails():
    text = """
    halve (float x) => (float y) {
      limit = Constant <value = float {0.1}> ()
      start = Greater (x, limit)
      y = Loop ("", start, x) <
        body = step (int64 i, bool go, float h) => (bool more, float next) {
          two = Constant <value = float {2.0}> ()
          next = Div (h, two)
          more = Greater (next, limit)
        }
      >
    }"""
    check(model(text.replace('""', "")), {"x": np.array(5.0, np.float32)}, {"x": np.array(0.05, np.float32)})


def test_loop_of_a_known_number_of_rounds_is_a_scan_and_differentiates():
    text = LOOP.replace("int64 count, bool start, ", "").replace(
        "y, all = Loop (count, start",
        "count = Constant <value = int64 {3}> () start = Constant <value = bool {1}> () y, all = Loop (count, start",
    )
    reading = check(model(text), {"x": X, "w": X / 2})
    assert "scan_over" in operators(reading)
    x, w = (torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in (X, X / 2))
    h, seen = x, []
    for _ in range(3):
        h = torch.tanh(h * w)
        seen.append(h + x)
    (h.sum() + torch.stack(seen).sum()).backward()
    found = input_gradients(reading, {"x": X, "w": X / 2})
    np.testing.assert_allclose(found["x"], x.grad.numpy(), rtol=1e-10)
    np.testing.assert_allclose(found["w"], w.grad.numpy(), rtol=1e-10)


SCAN = """
walk (float[3] h0, float[2, 3] x) => (float[3] h, float[2, 3] all) {
  h, all = Scan <num_scan_inputs = 1, body = step (float[3] a, float[3] b) => (float[3] next, float[3] seen) {
    both = Mul (a, b)
    next = Tanh (both)
    seen = Sub (next, b)
  } ATTRIBUTES> (h0, x)
}
"""


@pytest.mark.parametrize(
    "attributes",
    [
        "",
        ", scan_input_directions = [1]",
        ", scan_output_directions = [1]",
        ", scan_input_directions = [1], scan_output_directions = [1]",
    ],
)
def test_scan_in_every_direction(attributes: str):
    reading = check(model(SCAN.replace("ATTRIBUTES", attributes)), {"h0": X[0] / 3, "x": X})
    assert "scan_over" in operators(reading)


def test_scan_along_other_axes():
    text = SCAN.replace("float[2, 3] x", "float[3, 2] x").replace("float[2, 3] all", "float[3, 2] all")
    axes = ", scan_input_axes = [1], scan_output_axes = [-1]"
    check(model(text.replace("ATTRIBUTES", axes)), {"h0": X[0] / 3, "x": X.T.copy()})


def test_scan_differentiates():
    reading = read_model(model(SCAN.replace("ATTRIBUTES", "")))
    h0, x = (torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in (X[0] / 3, X))
    h, seen = h0, []
    for row in x:
        h = torch.tanh(h * row)
        seen.append(h - row)
    (h.sum() + torch.stack(seen).sum()).backward()
    found = input_gradients(reading, {"h0": X[0] / 3, "x": X})
    np.testing.assert_allclose(found["h0"], h0.grad.numpy(), rtol=1e-10)
    np.testing.assert_allclose(found["x"], x.grad.numpy(), rtol=1e-10)


def test_weights_inside_a_branch():
    text = """
    g (float[2, 3] x, bool go) => (float[2, 3] y) {
      y = If (go) <
        then_branch = t () => (float[2, 3] a) <float[3] w = {1, 2, 3}> { a = Mul (x, w) },
        else_branch = e () => (float[2, 3] b) <float[3] w = {4, 5, 6}> { b = Mul (x, w) }
      >
    }"""
    reading = check(model(text), *({"x": X, "go": np.array(go)} for go in (True, False)))
    assert sorted(reading.weights) == ["w", "w_2"]


def test_values_of_every_graph_around_are_seen():
    text = """
    g (float[3] x, bool p, bool q) => (float[3] y) {
      y = If (p) <
        then_branch = t () => (float[3] a) {
          c = Constant <value = float {2.5}> ()
          a = If (q) <
            then_branch = tt () => (float[3] b) { b = Mul (x, c) },
            else_branch = te () => (float[3] d) { d = Add (x, c) }
          >
        },
        else_branch = e () => (float[3] f) { f = Neg (x) }
      >
    }"""
    feeds = [{"x": X[0], "p": np.array(p), "q": np.array(q)} for p in (True, False) for q in (True, False)]
    check(model(text), *feeds)


def input_gradients(reading: Reading, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The gradients of the sum of all results, in float64, by the inputs."""
    b = Builder()
    b.adopt(reading.graph)
    total = b.constant(0.0)
    for output in reading.graph.outputs:
        total = b.add(total, b.sum(output.value))
    values = [item.value for item in reading.graph.inputs]
    for value, gradient in zip(values, gradients(b, total, values), strict=True):
        b.output(f"g.{value.name}", gradient)
    found = evaluate(b.graph(), feeds | reading.weights, "f64")
    return {value.name: found[f"g.{value.name}"] for value in values}
