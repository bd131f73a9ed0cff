"""Functions of a model are read in place of their calls."""

from __future__ import annotations

import numpy as np

from .models import check, model, operators

X = np.array([[1.0, -2.0, 3.0]], np.float32)


def test_a_function_with_attributes_and_a_default():
    text = """
    g (float[1, 3] x) => (float[1, 3] y, float[1, 3] z) {
      y = my.scaled <alpha = 0.25> (x)
      z = my.scaled (x)
    }"""
    functions = """
    <domain: "my", opset_import: ["" : 18]>
    scaled <alpha: float = 2.0> (x) => (y) {
      a = LeakyRelu <alpha: float = @alpha> (x)
      y = Exp (a)
    }"""
    reading = check(model(text, imports='"my": 1', functions=functions), {"x": X})
    assert "foreign" not in operators(reading)


def test_a_function_may_use_another_operator_set():
    text = """
    g (float[1, 3] x) => (float[1, 1] y) {
      y = my.total (x)
    }"""
    functions = """
    <domain: "my", opset_import: ["" : 11]>
    total (x) => (y) {
      y = ReduceSum <axes: ints = [1]> (x)
    }"""
    reading = read(model(text, imports='"my": 1', functions=functions))
    np.testing.assert_allclose(reading, [[2.0]])


def test_functions_call_functions_and_leave_out_inputs():
    text = """
    g (float[1, 3] x) => (float[1, 3] y) {
      y = my.outer (x)
    }"""
    functions = """
    <domain: "my", opset_import: ["" : 18, "my" : 1]>
    inner (x, low, high) => (y) {
      y = Clip (x, low, high)
    }
    <domain: "my", opset_import: ["" : 18, "my" : 1]>
    outer (x) => (y) {
      low = Constant <value = float {-1.0}> ()
      y = my.inner (x, low)
    }"""
    check(model(text, imports='"my": 1', functions=functions), {"x": X})


def read(proto):
    """The first result for `X`, where onnxruntime does not take the model itself."""
    from netlang.compiler.reading import read_model

    from .models import outputs

    return outputs(read_model(proto), {"x": X})[0]
