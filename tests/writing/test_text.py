"""What is written for small graphs, word for word."""

from __future__ import annotations

import numpy as np
import pytest
from netlang.compiler import control
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Graph, Init, Value
from netlang.compiler.writing.program import identifier_of_model

from netlang.diagnostics import DiagnosticError
from netlang.dims import Size, symbol
from netlang.source import BUILTIN
from netlang.types import TensorType

from .harness import assert_same, rewritten

B, T = symbol("batch"), symbol("t")


def tensor(*shape: Size, dtype: str = "f32") -> TensorType:
    return TensorType(dtype, shape)


def parameter(b: Builder, name: str, *shape: int) -> Value:
    return b.variable(name, tensor(*shape), "param", Init("zeros"))


def linear(b: Builder, x: Value, name: str, out: int, scope: str = "") -> Value:
    """A linear layer as it stands in a graph."""
    weight, bias = parameter(b, f"{name}.weight", out, int(str(x.type.shape[-1]))), parameter(b, f"{name}.bias", out)
    with b.at(BUILTIN, scope or name):
        return b.add(b.matmul(x, b.t(weight)), bias)


def body(graph: Graph) -> str:
    """The lines of the model of a graph, which compiles to the same again."""
    case = rewritten(graph)
    assert_same(case)
    model = case.text[case.text.index("model ") :]
    return "\n".join(line.removeprefix("  ") for line in model.splitlines()[1:-1])


def test_operators_stand_between_their_operands_with_the_parentheses_they_need():
    b = Builder()
    x, y = b.input("x", tensor(B, 4)), b.input("y", tensor(B, 4))
    b.output("z", b.pow(b.sub(b.mul(b.add(x, y), 2.0), b.sub(x, y)), b.neg(y)))
    assert body(b.graph()) == "return ((x + y) * 2 - (x - y)) ** -y"


def test_comparisons_and_logic():
    b = Builder()
    x = b.input("x", tensor(B))
    inside = b.logical_and(b.less(x, 1.0), b.logical_not(b.equal(x, 0.0)))
    b.output("z", b.select(b.logical_or(inside, b.greater(x, 5.0)), x, 0.5))
    assert body(b.graph()) == "return select(x < 1 and not x == 0 or x > 5, x, 0.5)"


def test_chains_are_pipelines():
    b = Builder()
    x = b.input("x", tensor(B, 4, 6))
    b.output("y", b.softmax(b.transpose(b.reshape(b.relu(x), shape=(B, 2, 2, 6)), perm=(0, 2, 1, 3)), axis=-2))
    assert (
        body(b.graph())
        == "return relu(x) |> reshape([batch, 2, 2, 6]) |> transpose([0, 2, 1, 3]) |> softmax(axis = -2)"
    )


def test_indexing():
    b = Builder()
    x, rows = b.input("x", tensor(B, T, 4)), b.input("rows", tensor(3, dtype="i64"))
    part = b.slice(x, starts=(0, 1), stops=(T, 4), axes=(1, 2), steps=(1, 2))
    b.output("y", b.gather(part, rows))
    b.output("z", b.gather(x, np.array(-1), axis=1))
    assert body(b.graph()) == "return x[:, :, 1::2][rows], x[:, -1]"


def test_numbers_of_other_types_and_small_tensors():
    b = Builder()
    x = b.input("x", tensor(2, dtype="i32"))
    b.output("y", b.mul(b.cast(x, dtype="f32"), np.array([0.5, 2], np.float32)))
    b.output("z", b.select(b.less(x, np.array([3, 4], np.int32)), x, 7))
    b.output("m", b.maximum(b.cast(x, dtype="f32"), -np.inf))
    assert body(b.graph()) == (
        "h = f32(x)\nreturn h * tensor([0.5, 2]), select(x < tensor([3, 4], i32), x, 7), maximum(h, -infinity)"
    )


def test_truth_values_that_are_all_the_same():
    b = Builder()
    x = b.input("x", tensor(B, dtype="bool"))
    b.output("y", b.concat(x, np.ones(3, bool), axis=0))
    assert body(b.graph()) == "return concat(x, bool(full([3], 1)), 0)"


def test_large_constants_are_kept_with_the_weights():
    b = Builder()
    x = b.input("x", tensor(B, 40))
    b.output("y", b.mul(x, np.linspace(0, 1, 40, dtype=np.float32)))
    case = rewritten(b.graph())
    assert_same(case)
    assert "state table: f32[40] ~ zeros()" in case.text
    assert list(case.written.weights) == ["table"]
    assert case.network.parameter_count == 0


def test_names_are_taken_up_again_where_nothing_needs_them():
    b = Builder()
    x = b.input("x", tensor(B, 4))
    h = b.exp(x)
    h = b.add(h, b.mul(h, h))
    b.output("y", b.div(h, b.sum(h, axis=(1,), keepdims=True)))
    assert body(b.graph()) == "h = exp(x)\nh = h + h * h\nreturn h / sum(h, 1, keepdims = true)"


@pytest.mark.parametrize(
    ("title", "name"), [("resnet-18", "Resnet18"), ("Übung 1", "Ubung1"), ("a ü", "AU"), ("日本", "Model")]
)
def test_models_are_named_in_ascii(title: str, name: str):
    assert identifier_of_model(title) == name


def test_layers_have_the_names_of_their_scopes():
    b = Builder()
    x = b.input("x", tensor(B, 4))
    b.output("y", linear(b, b.relu(linear(b, x, "fc1", 8)), "head", 3))
    assert body(b.graph()) == "let fc1 = linear(8)\nlet head = linear(3)\nreturn x |> fc1 |> relu |> head"


def test_a_matrix_of_the_other_layout_is_turned():
    b = Builder()
    x = b.input("x", tensor(B, 4))
    b.output("y", b.matmul(x, parameter(b, "w", 4, 3)))
    case = rewritten(b.graph())
    assert_same(case)
    assert "return x |> linear(3, bias = false)" in case.text
    np.testing.assert_array_equal(case.written.weights["linear.weight"], case.weights["w"].T)


def test_a_weight_with_two_users_is_a_parameter():
    b = Builder()
    x, w = b.input("x", tensor(B, 4)), parameter(b, "shared", 4, 4)
    b.output("y", b.matmul(b.relu(b.matmul(x, w)), w))
    assert body(b.graph()) == "param shared: f32[4, 4] ~ kaiming_uniform()\nreturn relu(x @ shared) @ shared"


def test_equal_scopes_are_one_layer_with_settings_for_what_differs():
    b = Builder()
    x = b.input("x", tensor(B, 4))
    for i, (width, out) in enumerate([(8, 4), (16, 6), (12, 5)]):
        with b.at(BUILTIN, f"mlp{i}"):
            h = b.relu(linear(b, x, f"mlp{i}.up", width))
        with b.at(BUILTIN, f"mlp{i}"):
            x = b.tanh(linear(b, h, f"mlp{i}.lower", out))
    b.output("y", x)
    case = rewritten(b.graph())
    assert_same(case)
    assert (
        case.text
        == """\
use std.layers: linear

layer mlp(c: int, c_2: int)(x: f32[batch, d]) -> f32[batch, c_2] {
  let up = linear(c)
  let lower = linear(c_2)
  return x |> up |> relu |> lower |> tanh
}

model Model(x: f32[batch, 4]) -> f32[batch, 5] {
  return x |> mlp(8, 4) |> mlp(16, 6) |> mlp(12, 5)
}
"""
    )


def test_repeats_carry_several_values():
    b = Builder()
    x, y = b.input("x", tensor(B, 4)), b.input("y", tensor(B, 4))
    for i in range(3):
        x, y = b.add(linear(b, y, f"blocks.{i}.f", 4), x), b.mul(x, y)
    b.output("x_out", x)
    b.output("y_out", y)
    case = rewritten(b.graph())
    assert_same(case)
    assert case.written.repeats == (3,)
    assert "repeat 3 {\n    let f = linear(4)\n    h, z = z * h, f(h) + z\n  }" in case.text


def test_masks_are_made_once():
    b = Builder()
    x = b.input("x", tensor(B, T, 4))
    for i in range(2):
        with b.at(BUILTIN, f"blocks.{i}"):
            mask = b.less_equal(b.reshape(b.iota(count=T), shape=(1, T)), b.reshape(b.iota(count=T), shape=(T, 1)))
            scores = b.select(mask, b.matmul(x, b.t(x)), -1e9)
            x = b.add(x, linear(b, b.matmul(b.softmax(scores), x), f"blocks.{i}.out", 4))
    b.output("y", x)
    case = rewritten(b.graph())
    assert_same(case)
    assert case.written.repeats == (2,)
    assert case.text.count("iota(t)") == 1


def test_a_scope_that_is_left_and_entered_again_is_written_in_two_parts():
    b = Builder()
    x = b.input("x", tensor(B, 4))
    with b.at(BUILTIN, "inner"):
        h = b.exp(b.sin(b.cos(b.relu(x))))
    with b.at(BUILTIN, ""):
        h = b.tanh(h)
    with b.at(BUILTIN, "inner"):
        h = b.add(b.sin(b.relu(h)), b.exp(x))
    b.output("y", h)
    assert_same(rewritten(b.graph()))


def test_iteration_and_choice():
    b = Builder()
    x, h, go = b.input("x", tensor(T, B)), b.input("h", tensor(B)), b.input("go", tensor(dtype="bool"))
    inner = b.inner("scan")
    carry, element = inner.input("h", tensor(B)), inner.input("x", tensor(B))
    following = inner.tanh(inner.add(inner.mul(carry, h), element))
    inner.output("h", following)
    inner.output("y", inner.mul(following, 2.0))
    (last,), (stack,) = control.scan(b, inner, [h], [x])
    then, otherwise = b.inner("then"), b.inner("else")
    then.output("r", then.exp(last))
    otherwise.output("r", last)
    (chosen,) = control.branch(b, go, then, otherwise)
    b.output("y", stack)
    b.output("z", chosen)
    assert (
        body(b.graph())
        == """\
z, u = scan x_t in x along 0 carry c = h {
  y = tanh(c * h + x_t)
  next c = y
  emit y * 2
  keep c
}
v = if go {
  exp(u)
} else {
  u
}
return z, v"""
    )


def test_sequences_cannot_be_inputs():
    b = Builder()
    x = b.input("x", TensorType("opaque"))
    b.output("y", x)
    with pytest.raises(DiagnosticError, match="`x` is opaque, which is no tensor"):
        rewritten(b.graph())


def test_long_chains_and_deep_scopes_are_cut():
    b = Builder()
    x = b.input("x", tensor(B))
    for i in range(2_000):
        with b.at(BUILTIN, ".".join(["deep"] * 500) if i % 2 else ""):
            x = b.neg(b.exp(x)) if i % 2 else b.sin(x)
    b.output("y", x)
    assert rewritten(b.graph()).network.elaborate().outputs


def test_open_sizes_that_no_input_of_a_layer_has_are_settings_of_it():
    b = Builder()
    x, y = b.input("x", tensor(B, T, 4)), b.input("y", tensor(T * B, 4))
    for i in range(2):
        with b.at(BUILTIN, f"parts.{i}"):
            y = b.exp(b.sin(b.reshape(b.cos(b.relu(b.reshape(y, shape=(T, B, 2, 2)))), shape=(T * B, 4))))
    b.output("y_out", b.add(b.reshape(y, shape=(B, T, 4)), x))
    case = rewritten(b.graph())
    assert_same(case)
    assert "fn part(t: int, batch: int)(x: f32[b, 4]) -> f32[b, 4]" in case.text
    assert "h = h |> part(t, batch)" in case.text
