"""Operators outside the table are kept as they are: in the graph, in what is emitted, and in the interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.interpret import evaluate
from netlang.compiler.printer import print_graph
from netlang.compiler.reading import read_model

from netlang.diagnostics import DiagnosticError

from .models import check, model, operators

BOXES = np.array([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 10, 1, 11]]], np.float32)
SCORES = np.array([[[0.9, 0.75, 0.6]]], np.float32)

SELECT = """
g (float[1, n, 4] boxes, float[1, 1, n] scores) => (int64[m, 3] chosen, float[m] sizes) {
  many = Constant <value = int64[1] {10}> ()
  overlap = Constant <value = float[1] {0.5}> ()
  least = Constant <value = float[1] {0.0}> ()
  chosen = NonMaxSuppression (boxes, scores, many, overlap, least)
  floats = Cast <to = 1> (chosen)
  axis = Constant <value = int64[1] {1}> ()
  sizes = ReduceSum <keepdims = 0> (floats, axis)
}
"""


def test_a_result_whose_size_the_run_tells():
    reading = check(
        model(SELECT), {"boxes": BOXES, "scores": SCORES}, {"boxes": BOXES[:, :1], "scores": SCORES[..., :1]}
    )
    assert "foreign" in operators(reading) and "sum" in operators(reading)
    assert "NonMaxSuppression" in print_graph(reading.graph)


def test_the_interpreter_runs_the_reference_implementation():
    found = evaluate(read_model(model(SELECT)).graph, {"boxes": BOXES, "scores": SCORES})
    np.testing.assert_array_equal(found["chosen"], [[0, 0, 0], [0, 0, 2]])


def test_an_operator_that_has_changed_is_brought_to_the_emitted_operator_set():
    text = """
    g (float[2, 3] x) => (float[2, 3] y) {
      y = Hardmax <axis = 1> (x)
    }"""
    x = np.array([[1, 5, 2], [7, 3, 1]], np.float32)
    check(model(text, opset=11, ir_version=6), {"x": x})


def test_text():
    text = """
    g (string[n] words) => (string[m] y) {
      y = StringNormalizer <case_change_action = "UPPER", stopwords = ["the"]> (words)
    }"""
    reading = read_model(model(text))
    assert [str(item.value.type) for item in reading.graph.inputs] == ["string[n]"]
    emit(reading.graph)


def test_a_domain_of_its_own_is_imported():
    text = """
    g (float[1, 3] x) => (float[1, 3] y) {
      y = ai.onnx.ml.Normalizer <norm = "L2"> (x)
    }"""
    check(model(text, imports='"ai.onnx.ml": 3'), {"x": np.array([[3, 0, 4]], np.float32)})


def test_an_optional_value():
    text = """
    g (float[3] x) => (float[3] y) {
      maybe = Optional (x)
      y = OptionalGetElement (maybe)
    }"""
    check(model(text), {"x": np.arange(3, dtype=np.float32)})


def test_a_sequence_of_a_length_that_the_run_tells():
    text = """
    g (float[n, 2] x, int64 place) => (float[a, b] y) {
      rows = SplitToSequence <axis = 0> (x)
      y = SequenceAt (rows, place)
    }"""
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    check(model(text), *({"x": x, "place": np.array(place)} for place in (0, 2, -1)))


def test_a_graph_inside_a_foreign_node_sees_the_values_around():
    text = """
    g (float[4] x, bool go) => (float[m] y, float[4] z) {
      z = Exp (x)
      two = Constant <value = int64[1] {2}> ()
      zero = Constant <value = int64[1] {0}> ()
      y = If (go) <
        then_branch = t () => (float[a] p) { w = Neg (z) p = Mul (w, x) },
        else_branch = e () => (float[b] q) { w = Slice (z, zero, two) q = Neg (w) }
      >
    }"""
    x = np.arange(4, dtype=np.float32)
    reading = check(model(text), *({"x": x, "go": np.array(go)} for go in (True, False)))
    assert "foreign" in operators(reading)


def test_random_operators_are_not_shared():
    text = """
    g (float[3] x) => (float[3] y) {
      a = RandomUniformLike (x)
      b = RandomUniformLike (x)
      y = Sub (a, b)
    }"""
    graph = read_model(model(text)).graph
    draws = [node for node in graph.nodes if node.op in ("foreign", "random_bits", "uniform", "random_uniform")]
    assert len(draws) != 1


def test_there_is_no_gradient_and_the_error_names_the_operator():
    text = """
    g (float[1, 3] x) => (float[1, 3] y) <float[1, 3] h> {
      h = ai.onnx.ml.Normalizer <norm = "L2"> (x)
      y = Exp (h)
    }"""
    reading = read_model(model(text, imports='"ai.onnx.ml": 3'))
    b = Builder()
    b.adopt(reading.graph)
    with pytest.raises(DiagnosticError, match="`Normalizer` of ONNX has no gradient") as caught:
        gradients(b, b.sum(reading.graph.outputs[0].value), [reading.graph.inputs[0].value])
    label = caught.value.diagnostics[0].primary
    assert label is not None and label.span.text == "h = Normalizer(x)"


def test_an_operator_of_the_table_that_does_not_fit_is_kept():
    """Sizes that cannot be proved equal are left to the run."""
    text = """
    g (float[n, 3] x, float[m, 3] z) => (float[a, 3] y) {
      y = Add (x, z)
    }"""
    x = np.ones((2, 3), np.float32)
    assert operators(check(model(text), {"x": x, "z": x}, {"x": x, "z": x[:1]})) == {"foreign"}


def test_a_gradient_through_a_sequence_that_stays_one_is_refused():
    text = """
    g (float[3] x, float[3] z, int64 place) => (float[3] y) {
      both = SequenceConstruct (x, z)
      y = SequenceAt (both, place)
    }"""
    reading = read_model(model(text))
    b = Builder()
    b.adopt(reading.graph)
    with pytest.raises(DiagnosticError, match="no-gradient"):
        gradients(b, b.sum(reading.graph.outputs[0].value), [reading.graph.inputs[0].value])
