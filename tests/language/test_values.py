"""What expressions are worth: numbers while compiling, tensors against NumPy, functions as values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from .harness import LAYERS, network, result, run

X = np.arange(12, dtype=np.float32).reshape(3, 4) - 5


def value(expression: str, settings: str = "", before: str = "") -> np.ndarray:
    """An expression in a model whose `x` is `X`, of type f32[b, 4]."""
    return result(f"model M({settings})(x: f32[b, 4]) {{ {before}\n return {expression} }}", x=X)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("7 // 2", 3), ("-7 // 2", -4), ("7 % 3", 1), ("-7 % 3", 2), ("2 ** 10", 1024), ("-2 ** 2", -4),
        ("2 ** 3 ** 2", 512), ("6 / 3", 2), ("7 / 2", 3.5), ("1 / 4 + 1", 1.25), ("1e3 - 1", 999),
        ("sqrt(2)", math.sqrt(2)), ("maximum(2, 3)", 3), ("log(10)", math.log(10)), ("cos(0)", 1),
        ("product([2, 3, 4])", 24), ("product([])", 1), ("rank(x)", 2), ("rank([1, 2, 3])", 3),
        ("[5, 6, 7][1]", 6), ("[5, 6, 7][-1]", 7), ("(1, 2)[0]", 1), ("4 * (2 + 3)", 20),
        ("if 1 < 2 { 3 } else { 4 }", 3), ("if 2 < 1 or not true { 3 } else { 4 }", 4),
        ("if 1 == 1 and 2 != 3 { 1 } else if x == none { 2 } else { 3 }", 1), ("if none == none { 1 } else { 2 }", 1),
        ("if relu == relu { 1 } else { 2 }", 1), ("if relu == tanh { 1 } else { 2 }", 2),
        ('if "a" == "a" { 1 } else { 2 }', 1), ("if b + 1 > b { 1 } else { 2 }", 1), ("if b == b { 1 } else { 2 }", 1),
    ],
)  # fmt: skip
def test_numbers_are_computed_while_compiling(expression: str, expected: float) -> None:
    text = f"model M(x: f32[b, 4]) -> f32 {{ return {expression} }}"
    graph = network(text).elaborate()
    assert [node.op for node in graph.nodes] == ["constant"]
    np.testing.assert_allclose(run(graph, {"x": X})["output"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x + 1", X + 1), ("1 - x", 1 - X), ("x * x / 2", X * X / 2), ("-x", -X), ("x ** 2", X**2),
        ("2 ** x", 2.0**X), ("x > 0", X > 0), ("x == 1 or x < -2", (X == 1) | (X < -2)), ("not (x > 0)", X <= 0),
        ("x > 0 and x < 3", (X > 0) & (X < 3)), ("x @ x.T", X @ X.T), ("x.T", X.T), ("x |> relu", np.maximum(X, 0)),
        ("x |> relu >> neg", -np.maximum(X, 0)), ("relu(x) + tanh(x)", np.maximum(X, 0) + np.tanh(X)),
        ("x * b", X * 3), ("x + b / 2", X + 1.5), ("x / (b + 1)", X / 4), ("f32(b) * x", X * 3),
        ("i64(x)", X.astype(int)), ("minimum(x, 1e39)", X),
        ("sum(x, -1)", X.sum(-1)), ("sum(x, [0, 1])", X.sum()),
        ("mean(x, 0, keepdims = true)", X.mean(0, keepdims=True)),
        ("x |> sum(-1)", X.sum(-1)), ("x |> reshape([4, b])", X.reshape(4, 3)),
        ("x |> split(2)", np.split(X, 2, -1)[0]),
        ("concat(x, x, axis = 0)", np.concatenate([X, X])), ("concat([x, x])", np.concatenate([X, X], -1)),
        ("select(x > 0, x, 0)", np.where(X > 0, X, 0)), ("maximum(x, 0.5)", np.maximum(X, 0.5)),
        ("x |> identity", X), ("(x, x + 1) |> maximum", X + 1), ("if rank(x) == 2 { x } else { sum(x) }", X),
    ],
)  # fmt: skip
def test_tensors(expression: str, expected: Any) -> None:
    expression = f"({expression})[0]" if "split" in expression else expression
    np.testing.assert_allclose(value(expression), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("[0]", X[0]), ("[-1]", X[-1]), ("[:, 1]", X[:, 1]), ("[:, -1]", X[:, -1]), ("[0, 2]", X[0, 2]),
        ("[1:]", X[1:]), ("[:2]", X[:2]), ("[:, 1:3]", X[:, 1:3]), ("[:, :-1]", X[:, :-1]), ("[:, -2:]", X[:, -2:]),
        ("[:, ::2]", X[:, ::2]), ("[1, 1:]", X[1, 1:]), ("[:, 2:2]", X[:, 2:2]), ("[:, 0:b]", X[:, 0:3]),
        ("[b - 1]", X[2]), ("[iota(2)]", X[[0, 1]]), ("[argmax(x, 0)]", X[X.argmax(0)]), ("[:]", X),
    ],
)  # fmt: skip
def test_indices(items: str, expected: np.ndarray) -> None:
    before = "b, _n = 3, 0" if "b" in items else ""
    np.testing.assert_array_equal(value(f"x{items}", before=before), expected)


@pytest.mark.parametrize(
    ("before", "expression", "expected"),
    [
        ("f = relu >> neg", "f(x)", -np.maximum(X, 0)),
        ("f = if 2 > 1 { relu } else { tanh }", "x |> f", np.maximum(X, 0)),
        ("f = sum(-1)", "f(x)", X.sum(-1)),
        ("f = reshape([4, b])", "x |> f |> f", X.reshape(4, 3)),
        ("f = concat(axis = 0)", "f(x, x)", np.concatenate([X, X])),
        ("f = scaled(2)", "x |> f", 2 * X),
        ("f = scaled(factor = 3)", "x |> f >> f", 9 * X),
        ("f = shifted(1)", "f(x)", X + 1),
        ("", "scaled(x, 2)", 2 * X),
        ("", "scaled(factor = 2, x = x)", 2 * X),
        ("", "shifted(1)(x)", X + 1),
        ("", "twice(shifted(1), x)", X + 2),
        ("", "twice(f = relu >> neg, x = x)", -np.maximum(-np.maximum(X, 0), 0)),
        ("", "applied(x)", X),
        ("", "applied(x, relu)", np.maximum(X, 0)),
        ("", "masked(x)", X),
        ("", "masked(x, x > 0)", np.where(X > 0, X, 0)),
    ],
)  # fmt: skip
def test_functions_are_values(before: str, expression: str, expected: np.ndarray) -> None:
    text = f"""
    fn scaled(x: f32[*s], factor: float) -> f32[*s] {{ return factor * x }}
    fn shifted(by: float)(x: f32[*s]) -> f32[*s] {{ return x + by }}
    fn twice(f: layer, x: f32[*s]) -> f32[*s] {{ return f(f(x)) }}
    fn applied(x: f32[*s], f: layer = identity) -> f32[*s] {{ return f(x) }}
    fn masked(x: f32[*s], mask: bool[*m] = none) -> f32[*s] {{
      return if mask == none {{ x }} else {{ select(mask, x, 0) }}
    }}
    model M(x: f32[b, 4]) {{ {before}
      return {expression}
    }}"""
    np.testing.assert_allclose(result(text, x=X), expected, rtol=1e-6)


def test_constants_of_a_file() -> None:
    text = """
    const scale = base / 2
    const base = 6
    const table = f32(iota(4)) * scale
    model M(x: f32[b, 4]) {
      const offset = sum(table)
      return x * table + offset
    }"""
    np.testing.assert_allclose(result(text, x=X), X * np.arange(4) * 3 + 18)


def test_a_setting_may_depend_on_one_before_it() -> None:
    text = "model M(width: int = 4, hidden: int = 2 * width)(x: f32[b, width]) { return x + hidden }"
    np.testing.assert_allclose(result(text, x=X), X + 8)


def test_heads_run_their_body_once_for_each_head() -> None:
    text = """
    model M(x: f32[b, t, 6]) -> f32[b, t, 6] {
      return heads 3 over x { softmax(x @ x.T) @ x }
    }"""
    x = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
    parts = []
    for head in np.split(x, 3, -1):
        scores = np.exp(head @ head.swapaxes(1, 2))
        parts.append(scores / scores.sum(-1, keepdims=True) @ head)
    np.testing.assert_allclose(result(text, x=x), np.concatenate(parts, -1), rtol=1e-4)


def test_heads_may_change_the_width() -> None:
    text = "model M(x: f32[t, 6]) -> f32[t, 3] { return heads 3 over x { sum(x, -1, keepdims = true) } }"
    x = np.arange(12.0).reshape(2, 6)
    np.testing.assert_allclose(result(text, x=x), x.reshape(2, 3, 2).sum(-1))


def test_repeat_counts() -> None:
    text = "model M(x: f32[b, 4]) { repeat 4 as i { x = x + i }\n return x }"
    np.testing.assert_array_equal(result(text, x=X), X + 6)


def test_repeat_nothing() -> None:
    text = "model M(depth: int = 0)(x: f32[b, 4]) { repeat depth { x = x + 1 }\n return x }"
    np.testing.assert_array_equal(result(text, x=X), X)


def test_return_ends_a_repeat() -> None:
    text = "model M(x: f32[b, 4]) { repeat 4 as i { if i == 2 { return x }\n x = x + 1 }\n return -x }"
    np.testing.assert_array_equal(result(text, x=X), X + 2)


def test_a_shared_layer_is_one_function() -> None:
    text = LAYERS + "model M(x: f32[b, 4]) { let f = linear(4)\n return f(x) - f(x) }"
    np.testing.assert_array_equal(result(text, x=X), 0 * X)


def test_where_on_open_sizes_is_passed_over() -> None:
    text = """
    fn f(x: f32[b, d]) -> f32[b, d] where b <= 10, d > 2 : "too narrow: {d}" { return x }
    model M(x: f32[b, 4]) { return f(x) }"""
    np.testing.assert_array_equal(result(text, x=X), X)


def test_a_message_may_hold_braces_and_quotes() -> None:
    text = 'model M(x: f32[b, 4]) { assert 1 > 2 : "{{1}} is \\"{1 + 0}\\" of {x}"\n return x }'
    from netlang.diagnostics import DiagnosticError

    with pytest.raises(DiagnosticError) as caught:
        network(text).elaborate()
    assert caught.value.diagnostics[0].title == '{1} is "1" of f32[b, 4]'


def test_heads_of_vectors() -> None:
    """A vector is one row: what the heads make of it is joined into a vector."""
    text = "model M(x: f32[6], y: f32[6]) -> f32[6] { return heads 3 over x, y { x * softmax(y) } }"
    x, y = np.arange(6, dtype=np.float32), np.linspace(-1, 1, 6, dtype=np.float32)
    weights = np.exp(y.reshape(3, 2)) / np.exp(y.reshape(3, 2)).sum(-1, keepdims=True)
    np.testing.assert_allclose(result(text, x=x, y=y), (x.reshape(3, 2) * weights).reshape(6), rtol=1e-6)


def test_heads_can_have_several_results() -> None:
    """Each is joined again, here the weighted values and what they were made of."""
    text = "model M(x: f32[b, t, 6]) -> f32[b, t, 6] { y, z = heads 3 over x { x @ x.T @ x, 2 * x }; return y + z }"
    x = np.random.default_rng(0).standard_normal((2, 4, 6)).astype(np.float32)
    parts = x.reshape(2, 4, 3, 2).swapaxes(1, 2)
    expected = (parts @ parts.swapaxes(-1, -2) @ parts + 2 * parts).swapaxes(1, 2).reshape(2, 4, 6)
    np.testing.assert_allclose(result(text, x=x), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_that_was_never_created_can_be_an_argument() -> None:
    """Whoever gets it creates it, as often as it wants; the parameters are named after what it is."""
    text = f"""{LAYERS}
    layer stack(block: layer, n: int)(x: f32[b, d]) -> f32[b, d] {{
      repeat n {{ x = x |> block(d) }}
      return x
    }}
    model M(x: f32[b, 4]) -> f32[b, 4] {{ return x |> stack(linear, 2) }}
    """
    assert [v.name for v in network(text).variables][::2] == ["stack.linear.0.weight", "stack.linear.1.weight"]
