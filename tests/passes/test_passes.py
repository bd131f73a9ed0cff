"""The pipeline and its other passes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import FOLD_LIMIT, Builder
from netlang.compiler.ir import Graph, Init, Node, Value
from netlang.compiler.passes import PIPELINE, run
from netlang.compiler.passes.dead import dead
from netlang.compiler.passes.fold import fold
from netlang.compiler.passes.share import share
from netlang.compiler.passes.transpose import transpose
from netlang.compiler.printer import print_graph
from netlang.compiler.verify import verify

from netlang.source import Source, Span

from .graphs import N, assert_equal, build, graphs, operators, tensor


@given(graphs())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_random_graphs_keep_their_meaning(graph: Graph):
    after = run(graph, after=lambda name, result: verify(result))
    assert_equal(graph, after, rtol=2e-5)
    assert len(after.nodes) <= len(graph.nodes) + 4


@pytest.mark.parametrize("name", [name for name, _ in PIPELINE])
@given(graph=graphs())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_each_pass_alone_keeps_the_meaning(name: str, graph: Graph):
    simplify = dict(PIPELINE)[name]
    assert_equal(graph, simplify(graph), rtol=2e-5)


def test_passes_can_be_left_out_and_watched():
    graph = build(lambda b, x: b.mul(b.exp(x), 1.0), tensor(N))
    seen: list[str] = []
    after = run(graph, without=("algebra",), after=lambda name, _: seen.append(name))
    assert seen == [name for name, _ in PIPELINE if name != "algebra"]
    assert operators(after) == ["exp", "mul"]
    assert operators(run(graph)) == ["exp"]


def test_names_are_unique():
    assert len({name for name, _ in PIPELINE}) == len(PIPELINE)


def test_the_result_is_deterministic():
    def once() -> str:
        return print_graph(run(build(lambda b, x, y: b.add(b.mul(x, y), b.mul(y, x)), tensor(N), tensor(N))))

    assert once() == once()


def test_dead_removes_what_no_output_needs():
    b = Builder()
    x, seed = b.input("x", tensor(2)), b.input("seed", tensor(dtype="i64"), "seed")
    b.input("unused", tensor(2))
    b.variable("w", tensor(2), "param", Init("zeros"))
    y = b.exp(x)
    b.log(y)
    b.cast(seed, dtype="f32")
    b.output("y", y)
    after = dead(b.graph())
    assert operators(after) == ["exp"]
    assert [item.name for item in after.inputs] == ["x", "unused"]
    assert [item.name for item in after.variables] == ["w"]


def test_dead_keeps_a_seed_that_is_used():
    b = Builder()
    b.output("y", b.cast(b.input("seed", tensor(dtype="i64"), "seed"), dtype="f32"))
    assert [item.name for item in dead(b.graph()).inputs] == ["seed"]


def by_hand(op: str, inputs: tuple[Value, ...], result: Value, **attrs: object) -> Node:
    return Node(op, inputs, tuple(sorted(attrs.items())), (result,))


def test_fold_computes_constants():
    """A graph that no builder made, so that its constants are not folded yet."""
    b = Builder()
    x = b.input("x", tensor(2))
    four = b.constant(4.0)
    two = Value(tensor(), "two")
    y = Value(tensor(2), "y")
    b.nodes += [by_hand("sqrt", (four,), two), by_hand("mul", (x, two), y)]
    b.output("y", y)
    after = dead(fold(b.graph()))
    assert [node.op for node in after.nodes] == ["constant", "mul"]
    assert after.nodes[0].attributes["value"].array == 2
    assert_equal(b.graph(), after)


def test_fold_leaves_large_results_for_run_time():
    graph = build(lambda b, x: b.add(x, b.sum(b.full(shape=(FOLD_LIMIT + 1,), value=1.0))), tensor(2))
    assert "full" in operators(fold(graph))


def test_fold_gives_back_what_has_no_constants():
    graph = build(lambda b, x: b.exp(x), tensor(2))
    assert fold(graph) is graph


def test_share_merges_equal_nodes():
    b = Builder()
    x = b.input("x", tensor(2))
    first, second, y = (Value(tensor(2), name) for name in ("first", "second", "y"))
    b.nodes += [by_hand("exp", (x,), first), by_hand("exp", (x,), second), by_hand("sub", (first, second), y)]
    b.output("y", y)
    after = share(b.graph())
    assert operators(after) == ["exp", "sub"]
    assert_equal(b.graph(), after)


@pytest.mark.parametrize(("name", "merged"), [("mul", True), ("maximum", True), ("sub", False), ("div", False)])
def test_share_swaps_operands_only_where_they_commute(name: str, merged: bool):
    graph = build(
        lambda b, x, y: b.pow(b.apply(name, (x, y), {}), b.apply(name, (y, x), {})), tensor(N, 2), tensor(N, 2)
    )
    after = dead(share(graph))
    assert operators(after).count(name) == (1 if merged else 2)
    assert_equal(graph, after)


def test_share_keeps_constants_of_different_dtypes_apart():
    def make(b: Builder, x: Value, i: Value) -> Value:
        return b.add(b.mul(x, 2.0), b.cast(b.mul(i, 2), dtype="f32"))

    graph = build(make, tensor(2), tensor(2, dtype="i64"))
    assert_equal(graph, share(graph))


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda b, x, y: b.t(b.matmul(b.t(x), y)), ["transpose", "matmul"]),
        (lambda b, x, y: b.t(b.matmul(x, b.t(y))), ["transpose", "matmul"]),
        (lambda b, x, y: b.t(b.matmul(b.t(x), b.t(y))), ["matmul"]),
    ],
)
def test_transpose_moves_into_products(make, left: list[str]):
    graph = build(make, tensor(N, 3, 3), tensor(N, 3, 3))
    after = dead(transpose(graph))
    assert operators(after) == left
    assert_equal(graph, after, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda b, x, y: b.t(b.matmul(x, y)),
        lambda b, x, y: b.transpose(b.matmul(b.t(x), y), perm=(1, 0, 2)),
        lambda b, x, y: b.add(b.t(b.matmul(b.t(x), y)), b.matmul(b.t(x), y)),
    ],
    ids=["no operand is transposed", "another transposition", "the product has another use"],
)
def test_transpose_leaves_alone(make):
    graph = build(make, tensor(3, 3, 3), tensor(3, 3, 3))
    assert operators(dead(transpose(graph))) == operators(graph)


def test_the_gradient_of_a_linear_layer_transposes_no_result():
    b = Builder()
    x, w = b.input("x", tensor(N, 4)), b.variable("w", tensor(5, 4), "param", Init("zeros"))
    y = b.tanh(b.matmul(x, b.t(w)))
    b.output("gradient", gradients(b, b.sum(y), [w])[0])
    after = run(b.graph())
    last = after.nodes[-1]
    assert last.op == "matmul"
    assert last.outputs[0] is after.outputs[0].value
    assert_equal(b.graph(), after, rtol=1e-5)


def test_places_and_scopes_survive():
    b = Builder()
    x = b.input("x", tensor(N))
    place = Span(Source("net.net", "exp(x) * 1"), 0, 6)
    with b.at(place, "layer"):
        b.output("y", b.mul(b.exp(x), 1.0))
    (node,) = run(b.graph(source="net.net")).nodes
    assert (node.loc, node.scope) == (place, "layer")
    assert run(b.graph(source="net.net")).metadata == {"source": "net.net"}


def test_time_is_linear_in_the_graph():
    """Ten thousand nodes take well below ten times what a thousand take, and not long."""

    def seconds(depth: int) -> float:
        b = Builder()
        x = y = b.input("x", tensor(N, 4))
        for _ in range(depth):
            y = b.add(b.tanh(b.mul(y, x)), b.mul(x, y))
        b.output("y", y)
        graph = b.graph()
        start = time.process_time()
        run(graph)
        return time.process_time() - start

    small = min(seconds(250) for _ in range(3))
    assert seconds(2500) < 30 * small
