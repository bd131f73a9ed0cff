"""Sizes computed in a model: what exporters write so that a shape follows its input resolves while compiling."""

from __future__ import annotations

import numpy as np
import pytest

from .models import check, model, operators

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)

FLATTEN = {
    "by a concatenation of sizes": """
        shape = Shape (x)
        first = Gather (shape, zero)
        rest = Constant <value = int64[1] {-1}> ()
        wanted = Concat <axis = 0> (first, rest)
        y = Reshape (x, wanted)""",
    "by a product of sizes": """
        shape = Shape (x)
        first = Slice (shape, zero, one)
        rest = Slice (shape, one, three)
        columns = ReduceProd <keepdims = 1> (rest)
        wanted = Concat <axis = 0> (first, columns)
        y = Reshape (x, wanted)""",
    "by arithmetic on scalars": """
        shape = Shape (x)
        n0 = Gather (shape, zero)
        n = Squeeze (n0)
        two = Constant <value_int = 2> ()
        double = Mul (n, two)
        half = Div (double, two)
        same = Max (half, n)
        first = Unsqueeze (same, zero)
        rest = Constant <value = int64[1] {12}> ()
        wanted = Concat <axis = 0> (first, rest)
        y = Reshape (x, wanted)""",
    "through floats, as for a resize": """
        shape = Shape (x)
        n0 = Gather (shape, zero)
        f = Cast <to = 1> (n0)
        scale = Constant <value = float[1] {2.0}> ()
        g = Mul (f, scale)
        h = Floor (g)
        i = Cast <to = 7> (h)
        rest = Constant <value = int64[1] {6}> ()
        wanted = Concat <axis = 0> (i, rest)
        y = Reshape (x, wanted)""",
    "by the size and a division": """
        count = Size (x)
        shape = Shape (x)
        n0 = Gather (shape, zero)
        n = Squeeze (n0)
        columns0 = Div (count, n)
        columns = Unsqueeze (columns0, zero)
        wanted = Concat <axis = 0> (n0, columns)
        y = Reshape (x, wanted)""",
}


@pytest.mark.parametrize("how", FLATTEN)
def test_reshape(how: str):
    text = f"""
    flatten (float[batch, 3, 4] x) => (float[a, b] y) {{
      zero = Constant <value = int64[1] {{0}}> ()
      one = Constant <value = int64[1] {{1}}> ()
      three = Constant <value = int64[1] {{3}}> ()
      {FLATTEN[how]}
    }}"""
    assert operators(check(model(text), {"x": X}, {"x": X[:1]})) == {"reshape"}


def test_expand_as_pytorch_writes_it():
    text = """
    g (float[1, 4] x, float[batch, 3] like) => (float[a, b] y) {
      zero = Constant <value = int64[1] {0}> ()
      four = Constant <value = int64[1] {4}> ()
      shape = Shape (like)
      first = Gather (shape, zero)
      wanted = Concat <axis = 0> (first, four)
      two = Constant <value = int64[1] {2}> ()
      ones = ConstantOfShape <value = int64[1] {1}> (two)
      minus = Constant <value = int64 {-1}> ()
      kept = Equal (wanted, minus)
      actual = Where (kept, ones, wanted)
      y = Expand (x, actual)
    }"""
    feeds = [{"x": X[0, :1], "like": np.zeros((n, 3), np.float32)} for n in (1, 5)]
    assert operators(check(model(text), *feeds)) <= {"expand"}


def test_a_size_that_only_the_run_tells_stays_so():
    text = """
    g (float[n] x, int64[2] shape) => (float[a, b] y) {
      y = Reshape (x, shape)
    }"""
    feeds = [{"x": X.ravel(), "shape": np.array(shape)} for shape in ([6, 4], [-1, 12])]
    check(model(text), *feeds)


def test_a_comparison_of_open_sizes_is_left_to_the_run():
    text = """
    g (float[n] x, float[m] z) => (float y) {
      zero = Constant <value_int = 0> ()
      left = Size (x)
      right = Size (z)
      same = Equal (left, right)
      y = Cast <to = 1> (same)
    }"""
    same, other = np.zeros(3, np.float32), np.zeros(4, np.float32)
    check(model(text), {"x": same, "z": same}, {"x": same, "z": other})
