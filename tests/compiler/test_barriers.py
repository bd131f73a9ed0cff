"""Where graphs are cut at sums over their rows, and that the segments together compute what the graph does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from netlang.compiler.autodiff import gradients
from netlang.compiler.barriers import cut_at_barriers
from netlang.compiler.builder import Builder
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph, Init, Value
from netlang.compiler.row_rules import Mixed, Rows
from netlang.compiler.segments import closing_graph, segment_graph
from netlang.compiler.verify import verify

from netlang.types import TensorType

from .graphs import BATCH

ROWS = 7
PARTS = ((0, 3), (3, 6), (6, 7))

Make = Callable[[Builder, Value, Value], Value]


def normalise(b: Builder, x: Value) -> Value:
    spread = b.sub(x, b.mean(x, axis=(0,)))
    return b.div(spread, b.sqrt(b.add(b.mean(b.mul(spread, spread), axis=(0,)), 0.1)))


def sum_of(b: Builder, x: Value) -> Value:
    return b.sum(x, axis=(0, 1))


BOUND: dict[str, tuple[Make, int]] = {
    "rows apart": (lambda b, x, w: sum_of(b, b.tanh(b.matmul(x, w))), 1),
    "normalised": (lambda b, x, w: sum_of(b, b.tanh(normalise(b, b.matmul(x, w)))), 5),
    "twice": (lambda b, x, w: sum_of(b, b.tanh(normalise(b, b.tanh(normalise(b, b.matmul(x, w)))))), 9),
    "root of the loss": (lambda b, x, w: b.sqrt(b.mean(b.exp(b.matmul(x, w)), axis=(0, 1))), 2),
    "by the count": (lambda b, x, w: b.div(sum_of(b, b.matmul(x, w)), b.cast(b.dim(size=BATCH), dtype="f64")), 1),
    "of the weights too": (lambda b, x, w: b.add(sum_of(b, b.tanh(b.matmul(x, w))), sum_of(b, b.mul(w, w))), 1),
    "by a sum of the data": (lambda b, x, w: b.div(sum_of(b, b.tanh(b.matmul(x, w))), sum_of(b, b.mul(x, x))), 2),
    "a sum as weights": (lambda b, x, w: sum_of(b, b.tanh(b.matmul(x, b.matmul(b.t(x), b.matmul(x, w))))), 3),
}

MIXED: dict[str, Make] = {
    "rows with rows": lambda b, x, w: sum_of(b, b.matmul(b.matmul(x, b.t(x)), b.matmul(x, w))),
    "softmax over rows": lambda b, x, w: sum_of(b, b.softmax(b.matmul(x, w), axis=0)),
    "largest row": lambda b, x, w: b.sum(b.max(b.matmul(x, w), axis=(0,)), axis=(0,)),
    "running sum": lambda b, x, w: sum_of(b, b.cumsum(b.matmul(x, w), axis=0)),
}


def graph_of(make: Make) -> Graph:
    """A loss of `x: f64[batch, 4]` and `w: f64[4, 4]`, and its gradient by w."""
    b = Builder()
    x = b.input("x", TensorType("f64", (BATCH, 4)))
    w = b.variable("w", TensorType("f64", (4, 4)), "param", Init("zeros"))
    loss = make(b, x, w)
    b.output("loss", loss, "loss")
    b.output("grad.w", gradients(b, loss, [w])[0], "gradient")
    return b.graph()


def by_segments(graph: Graph, x: np.ndarray, w: np.ndarray) -> dict[str, np.ndarray]:
    """Loss and gradient, computed for parts of different sizes: no part begins a segment before all end the last."""
    cut = cut_at_barriers(graph, str(BATCH), ROWS)
    kept: list[dict[str, np.ndarray]] = [{} for _ in PARTS]
    sums: dict[str, np.ndarray] = {}
    gradient = np.zeros_like(w)
    for index in range(len(cut.segments)):
        shares: dict[str, list[np.ndarray]] = {}
        for part, (start, end) in enumerate(PARTS):
            segment = segment_graph(cut, index, end - start, len(PARTS))
            verify(segment)
            given = {"x": x[start:end], "w": w, **kept[part], **sums}
            found = evaluate(segment, _needed(segment, given))
            for output in segment.outputs:
                if output.role == "sum":
                    shares.setdefault(output.name, []).append(found[output.name])
                elif output.role == "gradient":
                    gradient += found[output.name]
                else:
                    kept[part][output.name] = found[output.name]
        sums |= {name: np.stack(parts) for name, parts in shares.items()}
    closing = closing_graph(cut, len(PARTS))
    given = {"w": w, **sums}
    last = evaluate(closing, _needed(closing, given))
    return {"loss": last["loss"], "grad.w": gradient + last.get("grad.w", 0)}


def _needed(graph: Graph, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {item.name: given[item.name] for item in (*graph.inputs, *graph.variables)}


@pytest.mark.parametrize("name", BOUND)
def test_segments_compute_the_graph(name: str) -> None:
    make, segments = BOUND[name]
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((ROWS, 4)), rng.standard_normal((4, 4))
    graph = graph_of(make)
    expected = evaluate(graph, {"x": x, "w": w})
    found = by_segments(graph, x, w)
    for key in ("loss", "grad.w"):
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-10, atol=1e-12, err_msg=key)
    assert len(cut_at_barriers(graph, str(BATCH), ROWS).segments) == segments


@pytest.mark.parametrize("name", MIXED)
def test_what_is_no_sum_is_not_cut(name: str) -> None:
    with pytest.raises(Mixed):
        cut_at_barriers(graph_of(MIXED[name]), str(BATCH), ROWS)


def test_a_sum_is_completed_while_it_is_small() -> None:
    """Of `0 * total + row`, four numbers are added up, not as many as the result has; and once for all its readers."""
    b = Builder()
    x = b.input("x", TensorType("f64", (BATCH, 4)))
    total = b.sum(x, axis=(0,))
    wide = b.expand(b.reshape(b.neg(total), shape=(4, 1)), shape=(4, 64))
    b.output("loss", b.sum(b.mul(b.matmul(x, wide), b.matmul(b.mul(x, total), wide)), axis=(0, 1)), "loss")
    cut = cut_at_barriers(b.graph(), str(BATCH), ROWS)
    assert sorted(value.type.shape for value in cut.sums) == [(), (4,)]


def test_sums_of_the_data_come_first() -> None:
    """Else the whole forward pass would be kept for the gradient, which waits for them."""
    graph = graph_of(BOUND["by a sum of the data"][0])
    cut = cut_at_barriers(graph, str(BATCH), ROWS)
    assert [node.op for node in cut.segments[0]] == ["mul", "sum"]
    assert not cut.kept


def test_gradients_stay_shares() -> None:
    """They are added up with the optimizer, so no part waits for them."""
    graph = graph_of(BOUND["normalised"][0])
    cut = cut_at_barriers(graph, str(BATCH), ROWS)
    assert cut.is_share("gradient", cut.graph.output("grad.w"))
    assert cut.kinds[cut.graph.output("loss")] is Rows.SUM
    assert cut.graph.output("grad.w") not in cut.sums
