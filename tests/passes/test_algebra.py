"""Each rule of algebra: that it fires, that it keeps the meaning, and where it must not fire."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from netlang.compiler.cost import count
from netlang.compiler.ir import Value
from netlang.compiler.passes.algebra import RULES, algebra
from netlang.compiler.passes.dead import dead

from netlang.types import TensorType

from .graphs import N, assert_equal, build, operators, tensor

X, ROW, COLUMN, SCALAR = tensor(N, 4), tensor(4), tensor(N, 1), tensor()
STATIC = tensor(2, 4)
TRUTH = tensor(N, 4, dtype="bool")

Make = Callable[..., Value]

# (what is written, the types of its inputs, the operators that are left)
FIRES: list[tuple[str, Make, tuple[TensorType, ...], list[str]]] = [
    ("x + 0", lambda b, x: b.add(x, 0.0), (X,), []),
    ("0 + x", lambda b, x: b.add(b.full(shape=(N, 4), value=0.0), x), (X,), []),
    ("x + larger zeros", lambda b, x: b.add(x, b.full(shape=(2, N, 4), value=0.0)), (X,), ["expand"]),
    ("x + x", lambda b, x: b.add(x, x), (X,), ["mul"]),
    ("x + -y", lambda b, x, y: b.add(x, b.neg(y)), (X, ROW), ["sub"]),
    ("-x + y", lambda b, x, y: b.add(b.neg(x), y), (X, ROW), ["sub"]),
    ("x - 0", lambda b, x: b.sub(x, 0.0), (X,), []),
    ("0 - x", lambda b, x: b.sub(0.0, x), (X,), ["neg"]),
    ("x - -y", lambda b, x, y: b.sub(x, b.neg(y)), (X, X), ["add"]),
    ("x 1", lambda b, x: b.mul(x, 1.0), (X,), []),
    ("ones x", lambda b, x: b.mul(b.full(shape=(N, 4), value=1.0), x), (ROW,), ["expand"]),
    ("x -1", lambda b, x: b.mul(x, -1.0), (X,), ["neg"]),
    ("-x -y", lambda b, x, y: b.mul(b.neg(x), b.neg(y)), (X, ROW), ["mul"]),
    ("-x 2", lambda b, x: b.mul(b.neg(x), 2.0), (X,), ["mul"]),
    ("x 2 4", lambda b, x: b.mul(b.mul(x, 2.0), 4.0), (X,), ["mul"]),
    ("x 2 0.5", lambda b, x: b.mul(b.mul(2.0, x), 0.5), (X,), []),
    ("x / 4 2", lambda b, x: b.mul(b.div(x, 4.0), 2.0), (X,), ["mul"]),
    ("x 4 / 2", lambda b, x: b.div(b.mul(x, 4.0), 2.0), (X,), ["mul"]),
    ("x / 4 / 2", lambda b, x: b.div(b.div(x, 4.0), 2.0), (X,), ["div"]),
    ("x s 2", lambda b, x, s: b.mul(b.mul(x, s), 2.0), (X, SCALAR), ["mul", "mul"]),
    ("x s s", lambda b, x, s: b.mul(b.mul(x, s), s), (X, SCALAR), ["mul", "mul"]),
    ("x r 2", lambda b, x, r: b.mul(b.mul(x, r), 2.0), (X, ROW), ["mul", "mul"]),
    ("x / c / s", lambda b, x, c, s: b.div(b.div(x, c), s), (X, COLUMN, SCALAR), ["mul", "div"]),
    ("x / 1", lambda b, x: b.div(x, 1.0), (X,), []),
    ("x / -1", lambda b, x: b.div(x, -1.0), (X,), ["neg"]),
    ("--x", lambda b, x: b.neg(b.neg(x)), (X,), []),
    ("-(x - y)", lambda b, x, y: b.neg(b.sub(x, y)), (X, ROW), ["sub"]),
    ("-(x 2)", lambda b, x: b.neg(b.mul(x, 2.0)), (X,), ["mul"]),
    ("|-x|", lambda b, x: b.abs(b.neg(x)), (X,), ["abs"]),
    ("||x||", lambda b, x: b.abs(b.abs(x)), (X,), ["abs"]),
    ("x^1", lambda b, x: b.pow(x, 1.0), (X,), []),
    ("x^2", lambda b, x: b.pow(x, 2.0), (X,), ["mul"]),
    ("x^0.5", lambda b, x: b.pow(b.abs(x), 0.5), (X,), ["abs", "sqrt"]),
    ("x^-1", lambda b, x: b.pow(x, -1.0), (X,), ["div"]),
    ("relu relu", lambda b, x: b.relu(b.relu(x)), (X,), ["relu"]),
    ("x + sum(x - mean)", lambda b, x: b.add(x, b.sum(b.sub(x, b.mean(x, axis=(0,))), axis=(0,))), (STATIC,), []),
    ("x + mean((x - mean) c)", lambda b, x, c: b.add(x, b.mean(b.mul(b.sub(x, b.mean(x, axis=(1,), keepdims=True)), c),
                                                              axis=(1,), keepdims=True)), (STATIC, tensor(2, 1)), []),
    ("x + sum(r (x - mean as a column))", lambda b, x, r: b.add(x, b.sum(b.mul(r, b.sub(x, b.reshape(
        b.mean(x, axis=(0, 2)), shape=(4, 1)))), axis=(0, 2), keepdims=True)), (tensor(2, 4, 3), tensor(4, 1)), []),
    ("exp(full)", lambda b: b.exp(b.full(shape=(N,), value=0.0)), (), ["full"]),
    ("full + full", lambda b: b.add(b.full(shape=(N, 1), value=1.0), b.full(shape=(4,), value=2.0)), (), ["full"]),
    ("x > full", lambda b, x: b.greater(x, b.full(shape=(N, 1), value=1.0)), (X,), ["greater"]),
    ("x ^ full", lambda b, x: b.pow(b.full(shape=(4,), value=1.5), x), (X,), ["pow"]),
    ("x * expand(y)", lambda b, x, y: b.mul(x, b.expand(y, shape=(N, 4))), (X, ROW), ["mul"]),
    ("expand(y) - x", lambda b, x, y: b.sub(b.expand(y, shape=(N, 4)), x), (X, COLUMN), ["sub"]),
    ("expand(x) + expand(y)", lambda b, x, y: b.add(b.expand(x, shape=(N, 4)), b.expand(y, shape=(N, 4))),
     (ROW, COLUMN), ["add"]),
    ("expand(x) * 2", lambda b, x: b.mul(b.expand(x, shape=(N, 4)), 2.0), (ROW,), ["mul", "expand"]),
    ("exp(expand(x))", lambda b, x: b.exp(b.expand(x, shape=(N, 4))), (ROW,), ["exp", "expand"]),
    ("expand(expand(x) + y) + z", lambda b, x, y, z: b.add(b.add(b.expand(x, shape=(N, 4)), y), z), (ROW, SCALAR, X),
     ["add", "add"]),
    ("x + reshape(s)", lambda b, x, s: b.add(x, b.reshape(s, shape=(1, 1))), (X, SCALAR), ["add"]),
    ("select(c, expand(x), y)", lambda b, c, x, y: b.select(c, b.expand(x, shape=(N, 4)), y), (TRUTH, ROW, X),
     ["select"]),
    ("select(c, x, x)", lambda b, c, x: b.select(c, x, x), (TRUTH, X), []),
    ("select(true, x, y)", lambda b, x, y: b.select(b.constant(True), x, y), (X, X), []),
    ("select(false, x, y)", lambda b, x, y: b.select(b.constant(False), x, y), (X, ROW), ["expand"]),
    ("not not", lambda b, x: b.logical_not(b.logical_not(x)), (TRUTH,), []),
    ("not equal", lambda b, x, y: b.logical_not(b.equal(x, y)), (X, X), ["not_equal"]),
    ("clip()", lambda b, x: b.clip(x), (X,), []),
    ("cast to itself", lambda b, x: b.cast(x, dtype="f32"), (X,), []),
    ("cast there and back", lambda b, x: b.cast(b.cast(x, dtype="f64"), dtype="f32"), (X,), []),
    ("truth there and back", lambda b, x: b.cast(b.cast(x, dtype="f32"), dtype="bool"), (TRUTH,), []),
    ("cast of full", lambda b: b.cast(b.full(shape=(N,), value=2.5), dtype="i64"), (), ["full"]),
    ("stop_gradient", lambda b, x: b.stop_gradient(x), (X,), []),
    ("reshape to itself", lambda b, x: b.reshape(x, shape=(N, 4)), (X,), []),
    ("reshape reshape", lambda b, x: b.reshape(b.reshape(x, shape=(4 * N,)), shape=(4, N)), (X,), ["reshape"]),
    ("reshape and back", lambda b, x: b.reshape(b.reshape(x, shape=(4 * N,)), shape=(N, 4)), (X,), []),
    ("reshape of full", lambda b: b.reshape(b.full(shape=(N, 4), value=2.0), shape=(4, N)), (), ["full"]),
    ("expand to itself", lambda b, x: b.expand(x, shape=(N, 4)), (X,), []),
    ("expand expand", lambda b, x: b.expand(b.expand(x, shape=(N, 4)), shape=(2, N, 4)), (ROW,), ["expand"]),
    ("expand by ones", lambda b, x: b.expand(x, shape=(1, 1, N, 4)), (X,), ["reshape"]),
    ("expand of a number", lambda b: b.expand(b.constant(2.0), shape=(N, 4)), (), ["full"]),
    ("transpose in place", lambda b, x: b.transpose(x, perm=(0, 1)), (X,), []),
    ("transpose and back", lambda b, x: b.t(b.t(x)), (X,), []),
    ("transpose transpose", lambda b, x: b.transpose(b.transpose(x, perm=(1, 2, 0)), perm=(1, 2, 0)),
     (tensor(2, 3, 4),), ["transpose"]),
    ("transpose of a column", lambda b, x: b.t(x), (COLUMN,), ["reshape"]),
    ("transpose of full", lambda b: b.t(b.full(shape=(N, 4), value=2.0)), (), ["full"]),
    ("whole slice", lambda b, x: b.slice(x, starts=(0, 0), stops=(N, 4), axes=(0, 1), steps=(1, 1)), (X,), []),
    ("slice slice", lambda b, x: b.slice(b.slice(x, starts=(1,), stops=(4,), axes=(1,), steps=(1,)), starts=(1,),
                                         stops=(3,), axes=(1,), steps=(1,)), (X,), ["slice"]),
    ("pad by nothing", lambda b, x: b.pad(x, before=(0, 0), after=(0, 0)), (X,), []),
    ("concat of one", lambda b, x: b.concat(x, axis=0), (X,), []),
    ("concat of split", lambda b, x: b.concat(*b.split(x, parts=2, axis=1), axis=-1), (X,), []),
    ("split in one", lambda b, x: b.split(x, parts=1, axis=0)[0], (X,), []),
    ("split of concat", lambda b, x, y: b.split(b.concat(x, y, axis=1), parts=2, axis=-1)[1], (X, X), []),
    ("sum over no axes", lambda b, x: b.sum(x, axis=()), (X,), []),
    ("max over ones", lambda b, x: b.max(x, axis=(1,)), (COLUMN,), ["reshape"]),
    ("mean over ones, kept", lambda b, x: b.mean(x, axis=(1,), keepdims=True), (COLUMN,), []),
    ("sum sum", lambda b, x: b.sum(b.sum(x, axis=(1,)), axis=(0,)), (X,), ["sum"]),
    ("sum sum, kept", lambda b, x: b.sum(b.sum(x, axis=(1,), keepdims=True), axis=(0,), keepdims=True), (X,), ["sum"]),
    ("max max", lambda b, x: b.max(b.max(x, axis=(0, 2)), axis=(1,)), (tensor(2, 3, 2, 3),), ["max"]),
    ("mean mean", lambda b, x: b.mean(b.mean(x, axis=(0,)), axis=(0,)), (X,), ["mean"]),
    ("prod prod", lambda b, x: b.prod(b.prod(x, axis=(1,))), (X,), ["prod"]),
    ("sum of expand", lambda b, x: b.sum(b.expand(x, shape=(8, 4)), axis=(0,)), (ROW,), ["mul"]),
    ("sum of expand, open", lambda b, x: b.sum(b.expand(x, shape=(N, 4))), (ROW,), ["sum", "dim", "cast", "mul"]),
    ("sum of expand over one of two", lambda b, x: b.sum(b.expand(x, shape=(5, N, 4)), axis=(0,)), (ROW,),
     ["mul", "expand"]),
    ("sum of expand, partly", lambda b, x: b.sum(b.expand(x, shape=(5, N, 4)), axis=(0, 1), keepdims=True),
     (tensor(N, 1),), ["sum", "mul", "expand"]),
    ("mean of expand", lambda b, x: b.mean(b.expand(x, shape=(N, 4)), axis=(0,)), (ROW,), []),
    ("sum of full", lambda b: b.sum(b.full(shape=(N, 4), value=2.0), axis=(1,)), (), ["full"]),
    ("mean of full", lambda b: b.mean(b.full(shape=(N, 4), value=2.0), axis=(1,), keepdims=True), (), ["full"]),
    ("max of full", lambda b: b.max(b.full(shape=(N, 4), value=2.0), axis=(1,)), (), ["full"]),
    ("sum of -x", lambda b, x: b.sum(b.neg(x), axis=(0,)), (X,), ["sum", "neg"]),
    ("mean of -x", lambda b, x: b.mean(b.neg(x)), (X,), ["mean", "neg"]),
    ("sum of x c", lambda b, x: b.sum(b.mul(x, 3.0)), (X,), ["sum", "mul"]),
    ("mean of x / c", lambda b, x: b.mean(b.div(x, 3.0), axis=(1,)), (X,), ["mean", "div"]),
]  # fmt: skip

# (what is written, the types of its inputs): looks like a rule, but is another thing
STAYS: list[tuple[str, Make, tuple[TensorType, ...]]] = [
    ("x + nearly zeros", lambda b, x: b.add(x, b.constant([0.0, 0.0, 0.0, 1.0])), (X,)),
    ("x · 0 keeps infinities", lambda b, x: b.mul(x, 0.0), (X,)),
    ("0 / x", lambda b, x: b.div(0.0, x), (X,)),
    ("integers round", lambda b, x: b.mul(b.floor_divide(x, 2), 2), (tensor(N, dtype="i64"),)),
    ("x^3", lambda b, x: b.pow(x, 3.0), (X,)),
    ("cast to a narrower dtype and back", lambda b, x: b.cast(b.cast(x, dtype="i64"), dtype="f32"), (X,)),
    ("select with one branch of another shape", lambda b, c, x, y: b.select(c, x, y), (TRUTH, ROW, X)),
    ("sum and then mean", lambda b, x: b.mean(b.sum(x, axis=(0,)), axis=(0,)), (X,)),
    ("sum kept and then not", lambda b, x: b.sum(b.sum(x, axis=(1,), keepdims=True), axis=(0,)), (X,)),
    ("sum over other axes than were expanded", lambda b, x: b.sum(b.expand(x, shape=(N, 4)), axis=(1,)), (ROW,)),
    ("sum of x / 0", lambda b, x: b.sum(b.div(x, 0.0)), (X,)),
    ("merged factors that overflow", lambda b, x: b.mul(b.mul(x, 1e30), 1e30), (X,)),
    ("merged factors that vanish", lambda b, x: b.mul(b.div(x, 1e30), 1e-30), (X,)),
    ("a row and a column", lambda b, x, r, c: b.mul(b.mul(x, r), c), (X, ROW, COLUMN)),
    ("factors as large as x", lambda b, x, y: b.mul(b.mul(x, y), y), (X, X)),
    ("sum of x - the mean of y", lambda b, x, y: b.sum(b.sub(x, b.mean(y, axis=(0,))), axis=(0,)), (STATIC, STATIC)),
    ("sum of x - mean over other axes", lambda b, x: b.sum(b.sub(x, b.mean(x, axis=(0,))), axis=(1,)), (STATIC,)),
    ("mean from x", lambda b, x: b.sum(b.sub(b.mean(x, axis=(0,)), x), axis=(0,)), (STATIC,)),
    ("sum of (x - mean) y", lambda b, x, y: b.sum(b.mul(b.sub(x, b.mean(x, axis=(0,))), y), axis=(0,)),
     (STATIC, STATIC)),
    ("max of scaled", lambda b, x: b.max(b.mul(x, -2.0)), (X,)),
    ("slice in steps", lambda b, x: b.slice(x, starts=(0,), stops=(4,), axes=(1,), steps=(2,)), (X,)),
    ("slices of slices in steps", lambda b, x: b.slice(b.slice(x, starts=(0,), stops=(4,), axes=(1,), steps=(2,)),
                                                      starts=(0,), stops=(1,), axes=(1,), steps=(1,)), (X,)),
    ("concat in another order", lambda b, x: b.concat(*b.split(x, parts=2, axis=1)[::-1], axis=1), (X,)),
    ("concat along another axis", lambda b, x: b.concat(*b.split(x, parts=2, axis=1), axis=0), (X,)),
    ("split into others", lambda b, x, y: b.split(b.concat(x, y, axis=1), parts=2, axis=1)[0], (X, tensor(N, 2))),
    ("a transposed product's operand", lambda b, x: b.t(b.transpose(x, perm=(1, 0, 2))), (tensor(2, 3, 4),)),
    ("a transposed product", lambda b, x: b.transpose(b.t(x), perm=(1, 0, 2)), (tensor(2, 3, 4),)),
    ("transpose of a matrix", lambda b, x: b.t(x), (X,)),
    ("not less", lambda b, x, y: b.logical_not(b.less(x, y)), (X, X)),
    ("clip below", lambda b, x: b.clip(x, low=0.0), (X,)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "types", "left"), [case[1:] for case in FIRES], ids=[case[0] for case in FIRES])
def test_simplifies(make: Make, types: tuple[TensorType, ...], left: list[str]):
    before = build(make, *types)
    after = dead(algebra(before))
    assert operators(after) == left
    assert_equal(before, after, rtol=1e-6)


@pytest.mark.parametrize(("make", "types"), [case[1:] for case in STAYS], ids=[case[0] for case in STAYS])
def test_leaves_alone(make: Make, types: tuple[TensorType, ...]):
    before = build(make, *types)
    after = dead(algebra(before))
    assert operators(after) == operators(before)
    assert_equal(before, after)


KINDS = sorted({rule.__qualname__ for rules in RULES.values() for rule in rules})


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_fires_in_some_case(kind: str, monkeypatch: pytest.MonkeyPatch):
    """Without the rule, some case above comes out otherwise."""
    for name, rules in RULES.items():
        monkeypatch.setitem(RULES, name, tuple(rule for rule in rules if rule.__qualname__ != kind))
    assert any(operators(dead(algebra(build(make, *types)))) != left for _, make, types, left in FIRES)


@pytest.mark.parametrize("name", ["x s 2", "x s s", "x r 2", "x / c / s"])
def test_smaller_factors_are_merged_first(name: str):
    (make, types, _) = next(case[1:] for case in FIRES if case[0] == name)
    before = build(make, *types)
    sizes = {"n": 100, "m": 1}
    assert count(dead(algebra(before)), sizes).flops < 0.7 * count(before, sizes).flops


def test_places_stay():
    graph = build(lambda b, x: b.mul(b.exp(x), 1.0), X)
    assert algebra(graph).nodes[0].loc == graph.nodes[0].loc


def test_repeated_application_changes_nothing():
    for _, make, types, _ in FIRES:
        once = dead(algebra(build(make, *types)))
        assert operators(dead(algebra(once))) == operators(once)


LARGE = 2**53 + 1
"""A whole number that no float is."""

WHOLE: dict[str, Make] = {
    "expanded": lambda b: b.expand(b.constant(LARGE, "i64"), shape=(N,)),
    "a product": lambda b: b.mul(b.full(shape=(N,), value=3.0, dtype="i64"), b.constant(LARGE, "i64")),
    "a sum": lambda b: b.sum(b.full(shape=(3, N), value=float(2**53 - 1), dtype="i64"), axis=(0,)),
    "a sum beyond the largest": lambda b: b.sum(b.full(shape=(4,), value=float(2**30), dtype="i32"), axis=(0,)),
    "the largest": lambda b: b.cast(b.full(shape=(N,), value=-1.0, dtype="i64"), dtype="u64"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_stay_exact(name: str):
    before = build(WHOLE[name])
    assert_equal(before, dead(algebra(before)))


UNSIGNED: dict[str, Make] = {
    "0 - x": lambda b, x: b.sub(0.0, x),
    "-x 3": lambda b, x: b.mul(b.neg(x), 3.0),
    "-(x 3)": lambda b, x: b.neg(b.mul(x, 3.0)),
    "|-x|": lambda b, x: b.abs(b.neg(x)),
}


@pytest.mark.parametrize("name", UNSIGNED)
def test_numbers_without_a_sign_have_no_negative(name: str):
    before = build(UNSIGNED[name], tensor(N, 4, dtype="u8"))
    after = dead(algebra(before))
    assert_equal(before, after)
    assert operators(after) == operators(before)
