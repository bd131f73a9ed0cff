"""Declared result types, dimensions with arithmetic, packs and holes: what is accepted, and what they come to."""

from __future__ import annotations

import numpy as np
import pytest

from netlang.diagnostics import DiagnosticError

from .harness import LAYERS, network, program, result


def output_type(text: str) -> str:
    """The type of what the model's `forward` returns."""
    (output,) = network(LAYERS + text).elaborate().outputs
    return str(output.value.type)


@pytest.mark.parametrize(
    ("declared", "body", "expected"),
    [
        ("f32[b, 4]", "x", "f32[b, 4]"),
        ("f32[b, _]", "x", "f32[b, 4]"),
        ("f32[*s, 4]", "x", "f32[b, 4]"),
        ("f32[*s]", "x", "f32[b, 4]"),
        ("f32[b, d]", "x", "f32[b, 4]"),
        ("f32[b, 2 * d]", "concat(x, x)", "f32[b, 8]"),
        ("f32[b, d / 2]", "x[:, 0:2]", "f32[b, 2]"),
        ("f32[b, (d + 2 - 1) / 2 + 1]", "x[:, 0:3]", "f32[b, 3]"),
        ("f32[b, d % 3]", "x[:, 0:1]", "f32[b, 1]"),
        ("f32[b, min(d, 3)]", "x[:, 0:3]", "f32[b, 3]"),
        ("f32[b, max(d, 3) + 1]", "concat(x, x[:, 0:1])", "f32[b, 5]"),
        ("f32[b * d]", "reshape(x, [b * d])", "f32[4*b]"),
        ("f32[b + 1, d]", "concat(x, x[0:1], axis = 0)", "f32[b + 1, 4]"),
        ("f32", "sum(x)", "f32"),
        ("f32", "1.5", "f32"),
        ("i64", "b * 0 + i64(3)", "i64"),
        ("bool[b, d]", "x > 0", "bool[b, 4]"),
    ],
)
def test_result(declared: str, body: str, expected: str) -> None:
    text = f"layer f(x: f32[b, d]) -> {declared} {{ return {body} }}\n"
    assert (
        output_type(text + f"model M(x: f32[b, 4]) -> {declared.replace('d', '4')} {{ return x |> f() }}") == expected
    )


@pytest.mark.parametrize(
    ("parameters", "arguments", "returned", "expected"),
    [
        ("x: f32[2 * n]", "full([6], 0)", "iota(n)", "i64[3]"),
        ("x: f32[n + 1]", "full([6], 0)", "iota(n)", "i64[5]"),
        ("x: f32[8 - n]", "full([6], 0)", "iota(n)", "i64[2]"),
        ("x: f32[h * w], y: f32[h]", "full([6], 0), full([2], 0)", "iota(w)", "i64[3]"),
        ("x: f32[n // 2], y: f32[n]", "full([3], 0), full([7], 0)", "iota(n)", "i64[7]"),
        ("x: f32[*s, n]", "full([2, 3, 4], 0)", "full([n, *s], 0)", "f32[4, 2, 3]"),
        ("x: f32[n, *s]", "full([2], 0)", "full([n, *s], 0)", "f32[2]"),
        ("x: f32[a, *s, z]", "full([2, 3, 4], 0)", "iota(product(s))", "i64[3]"),
        ("x: f32[*s], y: f32[*s, n]", "full([2, 3], 0), full([2, 3, 5], 0)", "iota(n)", "i64[5]"),
        ("x: f32[*B], y: f32[*B]", "full([2, 1], 0), full([3], 0)", "x + y", "f32[2, 3]"),
        ("x: f32[_, n]", "full([2, 3], 0)", "iota(n)", "i64[3]"),
        ("x: f32[*s]", "full([2, 3], 0)", "iota(rank(s))", "i64[2]"),
    ],
)
def test_dimensions_are_inferred(parameters: str, arguments: str, returned: str, expected: str) -> None:
    text = f"fn f({parameters}) -> _type {{ return {returned} }}\nmodel M(t: f32[b]) {{ return f({arguments}) }}"
    assert output_type(text.replace(" -> _type", "")) == expected


def test_a_body_may_give_the_name_of_a_dimension_to_something_else() -> None:
    text = """
    layer f(x: f32[b, d]) -> f32[b, d] {
      b, d = sum(x), mean(x)
      return x * b + d
    }
    model M(x: f32[n, 4]) -> f32[n, 4] { return x |> f() }
    """
    x = np.array([[1, 2, 3, 4]])
    np.testing.assert_allclose(result(text, x=x), x * 10 + 2.5)


def test_several_results() -> None:
    text = """
    fn moments(x: f32[b, d]) -> (f32[b], f32[b]) {
      center = mean(x, -1)
      return center, mean((x - reshape(center, [b, 1])) ** 2, -1)
    }
    model M(x: f32[b, 4]) -> (f32[b], f32[b]) { return moments(x) }
    """
    assert [str(output.value.type) for output in network(text).elaborate().outputs] == ["f32[b]", "f32[b]"]


@pytest.mark.parametrize(
    ("declared", "returned", "found"),
    [
        ("f32[b, 5]", "x", "f32[b, 4]"),
        ("f32[4, b]", "x", "f32[b, 4]"),
        ("f32[b]", "x", "f32[b, 4]"),
        ("f32[b, 4, _]", "x", "f32[b, 4]"),
        ("f32[b, b]", "x", "f32[b, 4]"),
        ("f32[2 * b, 4]", "x", "f32[b, 4]"),
        ("i64[b, 4]", "x", "f32[b, 4]"),
        ("f32[1]", "2", "f32"),
    ],
)
def test_a_result_that_is_not_declared(declared: str, returned: str, found: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        network(f"model M(x: f32[b, 4]) -> {declared} {{ return {returned} }}").elaborate()
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.found) == ("wrong-result", found)


def test_a_size_of_an_input_is_fixed_by_name() -> None:
    text = "model M(x: f32[b, t]) -> f32[b, 2 * t] { return concat(x, x) }"
    (output,) = network(text).elaborate(dims={"b": 2, "t": 3}).outputs
    assert str(output.value.type) == "f32[2, 6]"


def test_open_sizes_stay_open() -> None:
    text = "model M(x: f32[b, t], y: f32[b, u]) -> f32[b, t + u] { return concat(x, y) }"
    assert output_type(text) == "f32[b, t + u]"
    x, y = np.ones((2, 3)), np.zeros((2, 1))
    np.testing.assert_array_equal(result(text, x=x, y=y), np.concatenate([x, y], -1))


def test_two_open_sizes_are_not_equal() -> None:
    found = program("model M(x: f32[b, t], y: f32[b, u]) -> f32[b, t] { return x + y }").check()
    assert [fault.code for fault in found] == ["shape-mismatch"]


def test_what_a_layer_given_as_a_setting_makes_of_two_tensors_is_not_known() -> None:
    text = "fn total(body: layer, x: f32[b, i], y: f32[b, i]) -> f32 { return sum(body(x, y)) }"
    assert not program(text).check()
    (found,) = program(text.replace("body(x, y)", "body(x).shape")).check()
    assert found.code == "unknown-attribute"
