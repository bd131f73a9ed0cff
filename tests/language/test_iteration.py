"""`scan`, `loop` and run-time `if`: their values in onnxruntime and NumPy, and their gradients against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from netlang.diagnostics import DiagnosticError

from ..stdlib.harness import CHECKED, Runner, assert_near, program, run_inputs, variables
from .harness import names, run

X = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)


def outputs(text: str, **feeds: Any) -> list[np.ndarray]:
    """What the model's `forward` gives, in onnxruntime and, the same, in the interpreter."""
    network = program(text).network()
    graph = network.elaborate()
    dtypes = {"f32": np.float32, "i64": np.int64, "bool": np.bool_}
    given = {i.name: np.asarray(feeds[i.name], dtypes[i.value.type.dtype]) for i in graph.inputs}
    values = {**variables(network), **given}
    expected = list(run(graph, values).values())
    found = list(Runner(network.graph(**CHECKED))(values).values())
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    return found


def result(text: str, **feeds: Any) -> np.ndarray:
    (found,) = outputs(text, **feeds)
    return found


def model(inputs: str, body: str) -> str:
    return f"use std.layers: linear, batch_norm, dropout\nmodel M({inputs}) {{\n{body}\n}}"


# --- scan ------------------------------------------------------------------------------------------------------------


def test_what_is_emitted_stands_where_the_sequence_had_its_axis() -> None:
    text = model(
        "x: f32[b, t, d]", "return scan x_t in x along t carry s = zeros(b, d) { next s = s + x_t; emit next s }"
    )
    np.testing.assert_allclose(result(text, x=X), X.cumsum(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axis", ["0", "1", "2", "-1"])
def test_an_axis_can_be_named_by_its_number(axis: str) -> None:
    text = model(
        "x: f32[3, 5, 4]", f"return scan e in x along {axis} carry s = 0.0 {{ next s = s + sum(e); emit e + next s }}"
    )
    total = np.moveaxis(X, int(axis), 0)
    expected = np.moveaxis(total + total.sum((1, 2)).cumsum()[:, None, None], 0, int(axis))
    np.testing.assert_allclose(result(text, x=X), expected, rtol=1e-5, atol=1e-5)


def test_one_number_of_each_step_makes_a_vector() -> None:
    text = model(
        "x: f32[b, t, d]", "return scan x_t in x along t carry n = 0 { next n = n + 1; emit sum(x_t) * f32(n) }"
    )
    np.testing.assert_allclose(result(text, x=X), X.sum((0, 2)) * np.arange(5), rtol=1e-5, atol=1e-5)


def test_backward() -> None:
    text = model(
        "x: f32[b, t, d]", "return scan x_t in x along t backward carry s = zeros(b, d) {\nnext s = s + x_t\nemit s\n}"
    )
    expected = np.flip(np.flip(X, 1).cumsum(1), 1) - X
    np.testing.assert_allclose(result(text, x=X), expected, rtol=1e-5, atol=1e-5)


def test_several_sequences_results_and_carries() -> None:
    text = model(
        "x: f32[b, t, d], w: f32[t]",
        """
  return scan x_t in x, w_t in w along t carry s = zeros(b, d), n = 0 {
    next s = s + w_t * x_t
    next n = n + 1
    emit next s, w_t * w_t
    keep n, s
  }""",
    )
    w = np.arange(5) / 3
    y, squares, n, s = outputs(text, x=X, w=w)
    np.testing.assert_allclose(y, (X * w[:, None]).cumsum(1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(squares, w * w, rtol=1e-5)
    assert n == 5
    np.testing.assert_allclose(s, y[:, -1])


def test_a_line_can_set_a_carry_and_bind_a_name() -> None:
    """Of several values, some go into the next round, and some are for this one alone, in any order."""
    body = """
    return scan x_t in x along t carry s = zeros(b, d), n = zeros(b, d) {
      y, next s, _z, next n = [x_t * s, s + x_t, x_t, n + 1]
      emit y + next s + next n
    }
    """
    sums = np.cumsum(X, 1)
    before = np.concatenate([np.zeros_like(X[:, :1]), sums[:, :-1]], 1)
    expected = X * before + sums + np.arange(1, 6, dtype=np.float32)[:, None]
    np.testing.assert_allclose(result(model("x: f32[b, t, d]", body), x=X), expected, rtol=1e-5, atol=1e-5)


def test_a_line_can_set_a_state_and_bind_a_name() -> None:
    text = """
    layer counted()(x: f32[b, 2]) -> f32[b, 2] {
      state seen: f32 ~ zeros()
      param w: f32 ~ ones()
      next seen, y = [seen + 3, x * 2]
      return w * y
    }
    model Net(x: f32[b, 2]) -> f32[b, 2] { return counted()(x) }
    train Net { minimize mean(forward(x)); optimizer sgd(0.1) }
    """
    network = program(text).network()
    values = {"counted.seen": np.float32([4]).reshape(()), "counted.w": np.float32([1]).reshape(())}
    found = Runner(network.train_graph(**CHECKED))({**values, "x": X[0, :, :2], **run_inputs()})
    assert found["next.counted.seen"] == 7
    assert found["loss"] == pytest.approx(2 * X[0, :, :2].mean(), rel=1e-5)


def test_without_emit_and_keep_the_last_carries_are_the_result() -> None:
    text = model(
        "x: f32[b, t, d]",
        "return scan x_t in x along t carry s = zeros(b, d), m = zeros(b, d) {\n"
        "next s, next m = s + x_t, maximum(m, x_t)\n}",
    )
    s, m = outputs(text, x=X)
    np.testing.assert_allclose(s, X.sum(1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(m, np.maximum(X.max(1), 0))


@pytest.mark.parametrize("backward", [False, True])
def test_ragged_rows_keep_their_carry_and_emit_zeros(backward: bool) -> None:
    text = model(
        "x: f32[b, t, d], n: i64[b]",
        f"""
  return scan x_t in x along t backward if {str(backward).lower()} lengths n carry s = zeros(b, d) {{
    next s = 0.5 * s + x_t
    emit next s
    keep s
  }}""",
    )
    lengths = [5, 2, 0]
    y, s = outputs(text, x=X, n=lengths)
    for row, n in enumerate(lengths):
        state = np.zeros(4)
        expected = np.zeros((5, 4))
        for step in reversed(range(n)) if backward else range(n):
            state = expected[step] = 0.5 * state + X[row, step]
        np.testing.assert_allclose(y[row], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(s[row], state, rtol=1e-5, atol=1e-5)


def test_the_types_of_the_parameters_say_which_axis_is_meant_where_sizes_do_not() -> None:
    text = model(
        "x: f32[t, b, d]",
        "z = x @ x.T\nreturn scan z_t in z along t carry s = zeros(b, b) { next s = s + z_t; emit next s }",
    )
    x = X[:, :3, :3]
    network = program(text).network()
    found = Runner(network.graph(dims={"t": 3, "b": 3, "d": 3}, **CHECKED))({"x": x})["output"]
    np.testing.assert_allclose(found, (x @ x.transpose(0, 2, 1)).cumsum(0), rtol=1e-4, atol=1e-5)


def test_a_scan_inside_a_scan() -> None:
    text = model(
        "x: f32[b, t, d]",
        """
  return scan x_t in x along t carry total = zeros(b) {
    products = scan e in x_t along d carry p = total { next p = p * 0.5 + e; emit next p }
    next total = sum(products, -1)
    emit products
  }""",
    )
    total, expected = np.zeros(3), np.zeros((3, 5, 4))
    for t in range(5):
        p = total
        for d in range(4):
            p = expected[:, t, d] = p * 0.5 + X[:, t, d]
        total = expected[:, t].sum(-1)
    np.testing.assert_allclose(result(text, x=X), expected, rtol=1e-4, atol=1e-4)


def test_layers_in_a_body_are_created_once() -> None:
    text = model(
        "x: f32[b, t, 4]",
        "return scan x_t in x along t carry h = zeros(b, 4) { next h = linear(4)(h) + linear(4)(x_t); emit h }",
    )
    assert names(text) == ["linear.weight", "linear.bias", "linear_2.weight", "linear_2.bias"]


# --- loop ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "numbers"),
    [("1 to 4", [1, 2, 3, 4]), ("4 down to 1", [4, 3, 2, 1]), ("-1 to 1", [-1, 0, 1]), ("3 to 3", [3]),
     ("2 to 3 - 2", []), ("a to 4", [2, 3, 4]), ("4 down to a", [4, 3, 2]), ("a to a - 1", []),
     ("1 to t", [1, 2, 3, 4, 5]), ("t - 1 down to a", [4, 3, 2])],
)  # fmt: skip
def test_loops_count_with_both_ends(bounds: str, numbers: list[int]) -> None:
    text = model(
        "x: f32[t], a: i64",
        f"return loop i from {bounds} carry s = sum(x), n = 0 {{\n"
        "next s = s * 2 + f32(i)\nnext n = n + 1\nemit i, s\nkeep s, n\n}",
    )
    emitted, before, s, n = outputs(text, x=[1, 2, 3, 4, 5], a=2)
    expected = [15.0]
    for i in numbers:
        expected.append(expected[-1] * 2 + i)
    assert emitted.tolist() == numbers
    assert before.tolist() == expected[:-1]
    assert (s, n) == (expected[-1], len(numbers))


def test_a_condition_is_looked_at_before_each_round() -> None:
    text = model("x: f32", "return loop while x < 100 carry x = x, n = 0 { next x = 2 * x; next n = n + 1 }")
    assert [float(value) for value in outputs(text, x=3)] == [192, 6]
    assert [float(value) for value in outputs(text, x=100)] == [100, 0]


def test_a_layer_in_a_condition_is_created_once() -> None:
    text = model(
        "x: f32[b, 4]",
        "return loop i from 1 to 3 while sum(linear(1)(x)) < 9 carry x = x { next x = x + linear(4)(x) }",
    )
    assert names(text) == ["linear.weight", "linear.bias", "linear_2.weight", "linear_2.bias"]


def test_a_condition_can_be_carried() -> None:
    text = model("x: f32", "return loop while go carry x = x, go = true { next x, next go = x + 1, x < 5; keep x }")
    assert result(text, x=2.5) == 6.5


def test_a_bound_and_a_condition() -> None:
    text = model("x: f32", "return loop i from 1 to 4 while x < 100 and i < 4 carry x = x { next x = 2 * x; emit x }")
    assert result(text, x=3).tolist() == [3, 6, 12]
    assert result(text, x=60).tolist() == [60]


def test_rounds_draw_different_numbers() -> None:
    text = model(
        "x: f32[b], seed: i64",
        "return loop i from 1 to 3 { emit loop j from 1 to 3 { emit normal(100, seed = seed) } }",
    )
    found = result(text, x=[1.0], seed=7).reshape(9, 100)
    assert len({row.tobytes() for row in found}) == 9
    assert np.abs(np.corrcoef(found) - np.eye(9)).max() < 0.4
    assert np.array_equal(found, result(text, x=[1.0], seed=7).reshape(9, 100))


def test_elements_of_a_sequence_draw_different_numbers() -> None:
    text = model(
        "x: f32[t], seed: i64",
        "return scan e in x along t backward {\n"
        "emit if e > 0 { normal(100, seed = seed) } else { normal(100, seed = seed) + uniform(100, seed = seed) }\n}",
    )
    found = result(text, x=[1, -1, 1, -1, 1], seed=7)
    assert np.abs(np.corrcoef(found) - np.eye(5)).max() < 0.4


# --- if --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return if sum(x) > 0 { x * 2 } else { 0 }", ([2, 4], [0, 0])),
        ("return if sum(x) > 0 { 1 } else { 0.5 }", (1, 0.5)),
        ("y, z = if sum(x) > 0 { x, 1.0 } else { -x, sum(x) }\nreturn y * z", ([1, 2], [-3, -6])),
        ("y = x\nif sum(x) > 0 { y = y * 2 }\nreturn y", ([2, 4], [-1, -2])),
        ("if sum(x) > 0 { y = x + 1; z = 1 } else { y = x; z = 2 }\nreturn y * f32(z)", ([2, 3], [-2, -4])),
        ("if sum(x) > 0 { return x } else { return -x }", ([1, 2], [1, 2])),
        ("if sum(x) > 0 { return x } else if sum(x) > -1 { return -x } else { return x * 0 }", ([1, 2], [0, 0])),
        ("if true and sum(x) > 0 { z = 1.5 } else { z = 2.5 }\nreturn x * z", ([1.5, 3], [-2.5, -5])),
        ("y = loop i from 0 to 3 carry y = x {\nif i % 2 == 0 { next y = y * 2 } else { next y = y + 1 }\n}\nreturn y",
         ([7, 11], [-1, -5])),
    ],
)  # fmt: skip
def test_choices_at_run_time(body: str, expected: tuple[Any, Any]) -> None:
    text = model("x: f32[b]", body)
    np.testing.assert_allclose(result(text, x=[1, 2]), expected[0])
    np.testing.assert_allclose(result(text, x=[-1, -2]), expected[1])


def test_a_truth_value_can_be_an_input() -> None:
    text = model("x: f32[b], flag: bool[]", "return if flag { x } else { -x }")
    assert result(text, x=[1, 2], flag=True).tolist() == [1, 2]
    assert result(text, x=[1, 2], flag=False).tolist() == [-1, -2]


def test_functions_choose_and_iterate_on_their_own() -> None:
    """Each definition has its own carries, names and `return`."""
    text = (
        "fn bounded(h: f32[b]) -> f32[b] { if sum(h) > 9 { return h / 2 } else { return h } }\n"
        "fn total(x: f32[b, d]) -> f32[b] { return scan e in x along d carry h = zeros(b) { next h = h + e } }\n"
    ) + model(
        "x: f32[b, t, d]",
        "return scan e in x along t carry h = zeros(b) { next h = bounded(h + total(e)); emit next h }",
    )
    x, h, expected = np.abs(X), np.zeros(3), []
    for t in range(5):
        h = h + x[:, t].sum(-1)
        h = h / 2 if h.sum() > 9 else h
        expected.append(h)
    np.testing.assert_allclose(result(text, x=x), np.stack(expected, 1), rtol=1e-5)


def test_parameters_of_both_branches_exist() -> None:
    text = model("x: f32[b, 4]", "return if sum(x) > 0 { x |> linear(2) } else { x |> linear(2) |> tanh }")
    assert names(text) == ["linear.weight", "linear.bias", "linear_2.weight", "linear_2.bias"]
    assert result(text, x=X[:, 0]).shape == (3, 2)


# --- Gradients -------------------------------------------------------------------------------------------------------


def gradients(body: str, shape: tuple[int, ...]) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    """Gradients of a loss by the parameters `x` (of `shape`) and `w` (4 × 4), and these as PyTorch tensors."""
    text = f"""
use std.layers: linear
model M {{
  param x: f32{list(shape)} ~ normal(1.0)
  param w: f32[4, 4] ~ normal(0.5)
  entry forward() -> f32 {{
{body}
  }}
}}
train M {{ minimize forward(); optimizer sgd(0.1) }}
"""
    network = program(text).network()
    values = variables(network)
    found = Runner(network.gradient_graph(**CHECKED))({**values, **run_inputs()})
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in values.items()}
    return found, tensors


def compare(found: dict[str, np.ndarray], tensors: dict[str, torch.Tensor], loss: torch.Tensor) -> None:
    assert_near(found["loss"], loss, 2e-6)
    loss.backward()
    for name, tensor in tensors.items():
        assert tensor.grad is not None
        assert_near(found[f"grad.{name}"], tensor.grad, 1e-5, name)


@pytest.mark.parametrize("mark", ["", "@recompute "])
def test_gradient_of_a_scan(mark: str) -> None:
    found, t = gradients(
        f"{mark}y = scan x_t in x along 1 backward carry h = zeros(3, 4) {{\n"
        "next h = tanh(h @ w + x_t * x_t)\nemit next h\n}\nreturn sum(y * y)",
        (3, 5, 4),
    )
    h, total = torch.zeros(3, 4), torch.zeros(())
    for step in reversed(range(5)):
        h = torch.tanh(h @ t["w"] + t["x"][:, step] ** 2)
        total = total + (h * h).sum()
    compare(found, t, total)


@pytest.mark.parametrize("mark", ["", "@recompute "])
@pytest.mark.parametrize("head", ["from 1 to 6", "from 1 to 6 while sum(h * h) < 40", "from 1 to n"])
def test_gradient_of_a_loop(mark: str, head: str) -> None:
    found, t = gradients(
        f"n = 4 + i64(sum(x) * 0)\n{mark}y = loop i {head} carry h = x {{ next h = h @ w + h / f32(i) }}\n"
        "return sum(y * y)",
        (3, 4),
    )
    h, i = t["x"], 1
    while i <= (4 if head.endswith("n") else 6) and not ("while" in head and (h * h).sum() >= 40):
        h = h @ t["w"] + h / i
        i += 1
    compare(found, t, (h * h).sum())


def test_gradient_of_a_choice() -> None:
    body = "y = if {} {{ x @ w }} else {{ tanh(x) @ w @ w }}\nreturn sum(y * y)"
    for condition in ("sum(x) > 1000", "sum(x) < 1000"):
        found, t = gradients(body.format(condition), (3, 4))
        y = t["x"] @ t["w"] if "<" in condition else torch.tanh(t["x"]) @ t["w"] @ t["w"]
        compare(found, t, (y * y).sum())


def test_a_loop_without_a_bound_runs_and_has_no_gradient() -> None:
    with pytest.raises(DiagnosticError) as raised:
        gradients("y = loop while sum(x) < 9 carry x = x { next x = x @ w }\nreturn sum(y)", (3, 4))
    assert raised.value.diagnostics[0].code == "unbounded-loop"
