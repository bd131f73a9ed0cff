"""Random programs with control flow against the same programs unrolled: forward, gradients, every pass, onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from netlang.compiler import control
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph, Value
from netlang.compiler.passes import run
from netlang.compiler.verify import verify

from netlang.dims import symbol
from netlang.types import TensorType

from .random_programs import Program

ORDERS = (onnxruntime.ExecutionOrder.DEFAULT, onnxruntime.ExecutionOrder.PRIORITY_BASED)
Arrays = dict[str, np.ndarray]


def _close(found: Arrays, expected: Arrays, tolerance: float = 1e-9) -> None:
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance, err_msg=name)


def _run_onnx(graph: Graph, feeds: Arrays) -> list[Arrays]:
    """What onnxruntime makes of it, in each order in which it may go through the nodes."""
    model = emit(graph)
    onnx.checker.check_model(model, full_check=True)
    results = []
    for order in ORDERS:
        options = onnxruntime.SessionOptions()
        options.execution_order = order
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        results.append(dict(zip(names, map(np.asarray, session.run(None, feeds)), strict=True)))
    return results


def _agree(graph: Graph, feeds: Arrays, expected: Arrays, onnx_too: bool = True) -> None:
    """The graph, the graph after each pass, and what onnxruntime computes, give what is expected."""

    def check(name: str, result: Graph) -> None:
        verify(result)
        _close(evaluate(result, feeds), expected, 1e-8)

    verify(graph)
    _close(evaluate(graph, feeds), expected)
    simplified = run(graph, after=check)
    for variant in (graph, simplified) if onnx_too else ():
        for found in _run_onnx(variant, feeds):
            _close(found, expected, 1e-6)


@pytest.mark.parametrize("seed", range(24))
def test_gradients_are_those_of_the_unrolled_program(seed: int) -> None:
    program = Program(seed, rolled=True)
    feeds = program.feeds()
    expected = evaluate(Program(seed, rolled=False).graph(1), feeds)
    _agree(program.graph(1), feeds, expected)


@pytest.mark.parametrize("seed", range(100, 114))
def test_second_gradients_are_those_of_the_unrolled_program(seed: int) -> None:
    program = Program(seed, rolled=True)
    feeds = program.feeds()
    expected = evaluate(Program(seed, rolled=False).graph(2), feeds)
    _agree(program.graph(2), feeds, expected, onnx_too=False)


# --- Found by them, or by reading -------------------------------------------------------------------------------------


def f64(*shape: object) -> TensorType:
    return TensorType("f64", shape)  # type: ignore[arg-type]


def _with_gradient(b: Builder, loss: Value, inputs: list[Value]) -> Graph:
    for i, value in enumerate((loss, *gradients(b, loss, inputs))):
        b.output(f"y{i}", value)
    return b.graph()


def test_a_loop_in_a_scan_keeps_nothing_whose_size_differs_from_round_to_round() -> None:
    """Each number is multiplied by 1.5 until it is above 2, in as many rounds as that takes."""
    b = Builder()
    x = b.input("x", f64(3))
    outer = b.inner("numbers")
    total, item = outer.input("total", f64()), outer.input("item", f64())
    inner = outer.inner("growth")
    inner.input("index", TensorType("i64"))
    state = inner.input("state", f64())
    state = inner.mul(inner.mul(state, 1.5), inner.cos(inner.mul(item, 0.0)))
    inner.output("go_on", inner.less(state, 2.0))
    inner.output("state", state)
    inner.output("each", inner.mul(state, state))
    finals, stacks = control.loop(outer, inner, None, outer.less(item, 2.0), [item], bound=9)
    outer.output("total", outer.add(total, outer.add(finals[0], outer.sum(stacks[0]))))
    finals, _ = control.scan(b, outer, [b.constant(0.0, "f64")], [x])
    graph = _with_gradient(b, finals[0], [x])

    def value(start: float) -> tuple[float, float]:
        rounds = 0 if start >= 2 else int(np.ceil(np.log(2 / start) / np.log(1.5)))
        powers = 1.5 ** np.arange(1, rounds + 1)
        result = start * 1.5**rounds + ((start * powers) ** 2).sum()
        return result, 1.5**rounds + (2 * start * powers**2).sum()

    feeds = {"x": np.array([0.3, 1.7, 2.5])}
    values, slopes = zip(*map(value, feeds["x"]), strict=True)
    _agree(graph, feeds, {"y0": np.array(sum(values)), "y1": np.array(slopes)})


def test_sizes_that_a_round_determines_stay_in_it() -> None:
    """The mean of the positive numbers of each row, and a tensor of ones that is as long as there are any."""
    b = Builder()
    x = b.input("x", f64(symbol("rows"), 4))
    scale = b.input("scale", f64())
    body = b.inner("rows")
    row = body.input("row", f64(4))
    count = body.fresh("nonzero")
    places = body.reshape(body.nonzero(body.greater(row, 0.0), count=count), shape=(count,))
    ones = body.full(shape=(count,), value=1.0, dtype="f64")
    scaled = body.expand(scale, shape=(count,))
    kept = body.mul(body.mul(body.gather(row, places), scaled), ones)
    body.output("mean", body.div(body.sum(kept), body.cast(body.dim(size=count), dtype="f64")))
    _, (means,) = control.scan(b, body, [], [x])
    graph = _with_gradient(b, b.sum(b.mul(means, means)), [x, scale])

    data = np.array([[0.5, -1, 2, 3], [1, -2, -3, -4], [1, 2, 3, 4.5]])
    positive = data > 0
    expected = (data * positive).sum(1) / positive.sum(1)
    slope = 2 * 1.5**2 * expected[:, None] * positive / positive.sum(1, keepdims=True)
    results = {"y0": (1.5 * expected) ** 2, "y1": slope, "y2": 2 * 1.5 * expected**2}
    results |= {"y0": results["y0"].sum(), "y2": results["y2"].sum()}
    _agree(graph, {"x": data, "scale": np.array(1.5)}, {k: np.asarray(v) for k, v in results.items()})


@pytest.mark.parametrize("start", [1.0, 3.0])
def test_a_loop_that_does_not_run_has_a_gradient(start: float) -> None:
    b = Builder()
    x = b.input("x", f64(symbol("n")))
    body = b.inner("halving")
    body.input("index", TensorType("i64"))
    state = body.input("state", x.type)
    half = body.mul(body.mul(state, state), 0.25)
    body.output("go_on", body.greater(body.sum(half), 3.0))
    body.output("state", half)
    body.output("each", body.sin(half))
    finals, stacks = control.loop(b, body, None, b.greater(b.sum(x), 3.0), [x], bound=5)
    graph = _with_gradient(b, b.add(b.sum(finals[0]), b.sum(stacks[0])), [x])
    value, slope = start, 1.0
    if start == 3.0:  # two rounds
        first, second = 3.0**2 / 4, (3.0**2 / 4) ** 2 / 4
        value = second + np.sin(first) + np.sin(second)
        slope = (first / 2 * (1 + np.cos(second)) + np.cos(first)) * start / 2
    _agree(graph, {"x": np.full(2, start)}, {"y0": np.array(2 * value), "y1": np.full(2, slope)})


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_no_rounds_stack_no_rows_of_their_own_size(limit: float) -> None:
    """Rows whose length only the run knows: the sum of no such row is a row of zeros."""
    b = Builder()
    x = b.input("x", f64(symbol("n"), symbol("m")))
    body = b.inner("rounds")
    body.input("index", TensorType("i64"))
    state = body.input("state", x.type)
    half = body.mul(body.sin(state), 0.5)
    body.output("go_on", body.greater(body.sum(half), limit))
    body.output("state", half)
    body.output("sums", body.sum(body.mul(half, state), axis=(1,)))
    (last,), (sums,) = control.loop(b, body, None, b.greater(b.sum(x), limit), [x], bound=4)
    total = b.sum(sums, axis=(0,))
    graph = _with_gradient(b, b.add(b.sum(b.mul(last, last)), b.sum(b.mul(total, total))), [x])
    feeds = {"x": np.ones((2, 3))}
    expected = {"y0": np.array(6.0), "y1": np.full((2, 3), 2.0)} if limit == 100 else evaluate(graph, feeds)
    _agree(graph, feeds, expected)


def test_what_gives_nothing_is_not_emitted() -> None:
    b = Builder()
    x = b.input("x", f64(symbol("n")))
    body = b.inner("nothing")
    body.exp(body.input("item", f64()))
    control.scan(b, body, [], [x])
    control.branch(b, b.greater(b.sum(x), 0.0), b.inner("then"), b.inner("otherwise"))
    b.output("y", b.sum(x))
    _agree(b.graph(), {"x": np.ones(3)}, {"y": np.array(3.0)})


def _lstm_twice(blocked: bool) -> Graph:
    """A gradient penalty of an LSTM, and a loss of the same LSTM, which a block repeats where `blocked`."""
    b = Builder()
    x, w, r = b.input("x", f64(3, 1, 2)), b.input("w", f64(1, 4, 2)), b.input("r", f64(1, 4, 1))
    bias, state = b.full(shape=(1, 8), value=0.1, dtype="f64"), b.full(shape=(1, 1, 1), value=0.1, dtype="f64")
    y, _, _ = b.lstm(x, w, r, bias, state, state)
    (slope,) = gradients(b, b.sum(b.mul(y, y)), [w])
    body = b.inner("again") if blocked else b
    again, _, cell = body.lstm(x, w, r, bias, state, state)
    squares = body.mul(again, again)
    if blocked:
        body.output("squares", squares)
        body.output("cell", cell)
        squares, cell = control.block(b, body)
    return _with_gradient(b, b.add(b.sum(b.mul(slope, slope)), b.add(b.sum(squares), b.sum(cell))), [x, w, r])


def test_an_iteration_that_two_gradients_widen() -> None:
    """That of the block comes first, and finds the scan that the penalty goes through later."""
    rng = np.random.default_rng(1)
    feeds = {name: rng.standard_normal(shape) for name, shape in (("x", (3, 1, 2)), ("w", (1, 4, 2)), ("r", (1, 4, 1)))}
    _agree(_lstm_twice(True), feeds, evaluate(_lstm_twice(False), feeds))
