"""Passes that make graphs faster change nothing but rounding: each beside the graph without it, in onnxruntime."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnxruntime
import pytest
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.ir import Graph
from netlang.compiler.ops.indexing import from_start
from netlang.compiler.passes import CPU, ONE_THREAD, PIPELINE, run
from netlang.compiler.passes.fixed import fixed
from netlang.compiler.passes.hoist import hoist
from netlang.compiler.passes.multiply_add import multiply_add
from netlang.compiler.passes.serial import SHORT, short_sums
from netlang.compiler.verify import verify
from netlang.runtime.further_passes import adds_products, further_passes, sums_alone
from netlang.runtime.session import Device

from netlang.dims import symbol
from netlang.types import TensorType

PASSES = {**dict((*PIPELINE, *ONE_THREAD)), "multiply_add": multiply_add, "short_sums": short_sums}


def results(graph: Graph, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = emit(graph).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, feeds)  # type: ignore[return-value]


def changed(name: str, graph: Graph, feeds: dict[str, np.ndarray], tolerance: float = 0.0) -> list[str]:
    """The operators after a pass, whose results are those before it, to within a share of the greatest."""
    before = run(graph, pipeline=(("share", PASSES["share"]),))
    after = PASSES[name](before)
    verify(after)
    for expected, found in zip(results(before, feeds), results(after, feeds), strict=True):
        assert expected.any()
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    return operators(after)


def operators(graph: Graph) -> list[str]:
    """By name, those of ONNX by their own."""
    return [node.attributes["node"].node.op_type if node.op == "foreign" else node.op for node in graph.nodes]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def one_of(classes: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, classes, shape)


def typed(array: np.ndarray) -> TensorType:
    return TensorType({"float32": "f32", "int64": "i64"}[str(array.dtype)], array.shape)


class Program:
    """A graph under construction with the arrays that it is run on."""

    def __init__(self, **feeds: np.ndarray) -> None:
        self.feeds = feeds
        self.b = Builder("speed")
        self.values = [self.b.input(name, typed(array), "data") for name, array in feeds.items()]

    def changed(self, name: str, tolerance: float = 0.0) -> list[str]:
        return changed(name, self.b.graph(), self.feeds, tolerance)


@pytest.mark.parametrize("smoothing", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_targets_of_a_cross_entropy(smoothing: bool, weighted: bool) -> None:
    p = Program(logits=normal(6, 5, 9), target=one_of(9, 6, 5) - 1, column=normal(6, 5, 1))
    b, (logits, target, column) = p.b, p.values
    log_p = b.log_softmax(logits, axis=-1)
    g = b.mul(column if weighted else b.constant(0.25), b.one_hot(from_start(b, target, 9), classes=9))
    if smoothing:
        g = b.add(b.mul(column, 0.5), g)
    b.output("loss", b.sum(b.take_along(log_p, target)))
    b.output("gradient", b.sub(g, b.mul(b.exp(log_p), b.sum(g, axis=-1, keepdims=True))))
    found = p.changed("targets", 1e-6)
    assert "scatter_elements" in found and "one_hot" not in found


def test_a_one_hot_for_anything_else_stays() -> None:
    p = Program(index=one_of(4, 6), x=normal(6, 4), y=normal(6, 4))
    b, (index, x, y) = p.b, p.values
    b.output("r", b.sub(b.mul(x, b.one_hot(index, classes=4)), y))
    assert "one_hot" in p.changed("targets")


def test_positions_that_nothing_reads_may_lie_outside() -> None:
    p = Program(index=np.array([5, -1, 1, 0]), x=normal(4, 3), column=normal(4, 1))
    b, (index, x, column) = p.b, p.values
    hits = b.one_hot(index, classes=3)
    b.output("inside", b.sum(hits, axis=(-1,), keepdims=True))
    b.output("weighed", b.sum(b.mul(column, hits), axis=(-1,), keepdims=True))
    b.output("difference", b.sub(b.mul(column, hits), x))
    assert p.changed("targets").count("one_hot") == 1


@pytest.mark.parametrize(("shape", "views"), [((30, 20, 1), 2), ((600, 1, 1), 2), ((3, 1), 0), ((1, 30, 20), 0)])
def test_columns_are_computed_without_their_last_axis(shape: tuple[int, ...], views: int) -> None:
    p = Program(x=normal(*shape))
    p.b.output("r", p.b.sub(1.0, p.values[0]))
    assert p.changed("columns").count("reshape") == views


def test_masks_are_ones_where_x_is_positive() -> None:
    x = np.array([[-np.inf, -1.0, -1e-30, -0.0], [0.0, 1e-30, 1.0, np.inf]], np.float32)
    p = Program(x=x)
    p.b.output("mask", p.b.cast(p.b.greater(p.values[0], 0.0), dtype="f32"))
    p.b.output("sign", p.b.sign(p.values[0]))
    found = p.changed("masks")
    assert "HardSigmoid" in found and not {"greater", "cast", "sign"} & set(found)


def test_affine_maps_into_0_to_1() -> None:
    p = Program(x=np.array([-np.inf, -3.0, -1e-9, 0.0, 0.5, 7.0, np.inf], np.float32))
    b, (x,) = p.b, p.values
    b.output("distribution", b.add(b.mul(b.erf(x), 0.5), 0.5))
    b.output("falling", b.add(0.75, b.mul(-0.25, b.tanh(x))))
    b.output("beyond", b.add(b.mul(b.erf(x), 0.5), 0.6))
    assert Counter(p.changed("affine"))["HardSigmoid"] == 2


def test_squares_of_a_whole_tensor() -> None:
    p = Program(x=normal(30, 40))
    (x,) = p.values
    p.b.output("all", p.b.sum(p.b.mul(x, x)))
    p.b.output("rows", p.b.sum(p.b.mul(x, x), axis=-1))
    assert Counter(p.changed("squares", 1e-6))["ReduceSumSquare"] == 1


def test_serial_sums_rows_that_repeat() -> None:
    p = Program(table=normal(500, 3), index=one_of(7, 40, 5), values=normal(40, 5, 3), column=one_of(300, 80, 1))
    b, (table, index, values, column) = p.b, p.values
    few = b.slice(values, starts=(0, 0), stops=(40, 2), axes=(0, 1), steps=(1, 1))
    b.output("alone", b.scatter_rows(values, index, rows=500))
    b.output("added", b.add(table, b.scatter_rows(b.mul(values, 2.0), index, rows=500)))
    b.output("most", b.scatter_nd(table, column, b.reshape(few, shape=(80, 3)), reduction="max"))
    b.output("small", b.scatter_rows(values, index, rows=9))
    found = Counter(p.changed("serial", 1e-6))
    assert found["ScatterND"] == 3 and found["scatter_rows"] == 1 and "add" not in found


def test_short_sums_are_those_of_all_rows() -> None:
    many = 2 * SHORT // 64 + 10
    p = Program(table=normal(500, 64), index=one_of(300, many // 2, 2), values=normal(many // 2, 2, 64))
    b, (table, index, values) = p.b, p.values
    places = b.reshape(index, shape=(many, 1))
    b.output("sum", b.scatter_rows(values, index, rows=500))
    b.output("most", b.scatter_nd(table, places, b.reshape(values, shape=(many, 64)), reduction="max"))
    b.output("small", b.scatter_rows(values, index, rows=9))
    p.feeds["index"] %= 9
    found = Counter(p.changed("short_sums", 1e-6))
    assert found["ScatterND"] == 2 * 3 and found["scatter_rows"] == 1


def test_sums_that_would_be_too_many_or_too_wide_stay() -> None:
    b = Builder("large")
    for name, count, width in (("many", SHORT, 65), ("wide", 3, SHORT + 1), ("open", "n", 8)):
        sizes = tuple(symbol(size) if isinstance(size, str) else size for size in (count, width))
        values = b.input(name, TensorType("f32", sizes), "data")
        index = b.input(f"{name} index", TensorType("i64", sizes[:1]), "data")
        b.output(f"{name} sum", b.scatter_rows(values, index, rows=500))
    assert operators(short_sums(b.graph())).count("scatter_rows") == 3


def test_short_sums_of_several_threads_lose_nothing() -> None:
    """All at one place, where threads that share the work would lose nearly all."""
    if not sums_alone(2):
        pytest.skip("the threads of this ONNX Runtime share short sums")
    b = Builder("race")
    index, values = (b.input(n, TensorType(t, (SHORT * 8,)), "data") for n, t in (("index", "i64"), ("values", "f32")))
    b.output("sum", b.scatter_rows(values, index, rows=300))
    graph = run(b.graph(), pipeline=further_passes(2))
    assert operators(graph).count("ScatterND") == 8
    session = Device("cpu", 2).session(emit(graph))
    feeds = {"index": np.full(SHORT * 8, 7), "values": np.ones(SHORT * 8, np.float32)}
    for _ in range(5):
        (found,) = session.run(None, feeds)
        assert np.asarray(found)[7] == SHORT * 8


def test_threads_that_share_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netlang.runtime.further_passes.SHORT", 1 << 19)
    assert not sums_alone.__wrapped__(2)


def test_serial_is_for_one_thread_only() -> None:
    assert "serial" in dict(ONE_THREAD) and "serial" not in dict((*PIPELINE, *CPU))


@pytest.mark.skipif(not adds_products(), reason="this ONNX Runtime has no GatedAdd")
def test_multiply_add_gives_the_same_bits() -> None:
    p = Program(x=normal(30, 40), y=normal(30, 40)[::-1].copy(), rows=normal(30, 1), number=normal(), vector=normal(70))
    b, (x, y, rows, number, vector) = p.b, p.values
    b.output("added", b.add(b.mul(y, rows), x))
    b.output("taken", b.sub(x, b.mul(b.exp(rows), y)))
    b.output("scaled", b.sub(x, b.mul(number, y)))
    b.output("constant", b.add(vector, b.mul(b.exp(vector), 0.1)))
    found = Counter(p.changed("multiply_add"))
    assert found["GatedAdd"] == 4 and not {"mul", "add", "sub"} & found.keys()


def test_multiply_add_leaves_products_that_others_need() -> None:
    p = Program(x=normal(30, 30), column=normal(30, 1), row=normal(1, 30))
    b, (x, column, row) = p.b, p.values
    shared = b.mul(x, column)
    b.output("shared", b.add(shared, x))
    b.output("also", shared)
    b.output("other way", b.sub(b.mul(b.exp(x), column), x))
    b.output("by column", b.add(x, b.mul(b.exp(x), row)))
    b.output("of matrices", b.add(x, b.mul(b.matmul(x, x), 2.0)))
    assert "GatedAdd" not in p.changed("multiply_add")


def test_fixed_inputs_are_constants() -> None:
    b = Builder("fixed")
    x, scale = b.input("x", TensorType("f32", (3,)), "data"), b.input("scale", TensorType("f32"), "scale")
    b.output("r", b.add(b.mul(x, scale), 1.0))
    whole, half = fixed(b.graph(), {"scale": 1.0}), fixed(b.graph(), {"scale": 0.5})
    assert [item.name for item in half.inputs] == ["x"]
    assert "mul" not in operators(whole) and "mul" in operators(half)
    assert results(half, {"x": np.ones(3, np.float32)})[0].tolist() == [1.5] * 3


def test_hoisted_numbers_and_the_rest_are_the_whole() -> None:
    b = Builder("hoist")
    step, x = b.input("step", TensorType("i64"), "step"), b.input("x", TensorType("f32", (3,)), "data")
    rate = b.sqrt(b.add(b.cast(step, dtype="f32"), 1.0))
    b.output("y", b.mul(x, b.reshape(b.mul(rate, 2.0), shape=(1,))))
    b.output("rate", rate)
    numbers, rest = hoist(b.graph(), {"step"})
    assert [item.name for item in rest.inputs] == ["x", *(output.name for output in numbers.outputs)]
    assert operators(rest) == ["mul"]
    feeds = {"step": np.array(3), "x": normal(3)}
    found = dict(zip((o.name for o in numbers.outputs), results(numbers, {"step": feeds["step"]}), strict=True))
    for expected, result in zip(results(b.graph(), feeds), results(rest, {"x": feeds["x"], **found}), strict=True):
        np.testing.assert_array_equal(result, expected)
