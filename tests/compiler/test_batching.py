"""Which losses may be computed in parts: a proof must be right, and what is in daily use must be proved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from netlang.compiler import control
from netlang.compiler.autodiff import gradients
from netlang.compiler.batching import why_mixed
from netlang.compiler.builder import Builder
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph, Value
from netlang.compiler.verify import verify

from netlang.types import TensorType

from .graphs import BATCH

ROWS, PARTS = 6, 3

Make = Callable[..., Value]
Shape = tuple[Any, ...]


class Case:
    """A loss of `x`, whose rows come first, of classes `y: i64[b]`, and of weights of the shapes given."""

    def __init__(self, make: Make, x: Shape, *weights: Shape) -> None:
        self.make, self.x, self.weights = make, x, weights

    def graph(self, order: int = 0) -> Graph:
        b = Builder()
        x = b.input("x", TensorType("f64", (BATCH, *self.x)))
        y = b.input("y", TensorType("i64", (BATCH,)))
        weights = [b.input(f"w{i}", TensorType("f64", shape), role="seed") for i, shape in enumerate(self.weights)]
        loss = self.make(b, x, *([y] if self._takes_classes() else []), *weights)
        b.output("loss", loss, "loss")
        if order:
            for i, gradient in enumerate(gradients(b, loss, weights)):
                b.output(f"gradient{i}", gradient)
        return b.graph()

    def _takes_classes(self) -> bool:
        return self.make.__code__.co_varnames[2:3] == ("y",)

    def feeds(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(5)
        feeds: dict[str, np.ndarray] = {"x": rng.standard_normal((ROWS, *self.x)), "y": rng.integers(0, 3, ROWS)}
        return feeds | {f"w{i}": rng.standard_normal(shape) / 2 for i, shape in enumerate(self.weights)}


def mean(make: Make) -> Make:
    """The mean of the squares of what `make` gives. (Named arguments decide what a case is given.)"""
    if make.__code__.co_varnames[2:3] == ("y",):
        return lambda b, x, y, *w: _mean_square(b, make(b, x, y, *w))
    return lambda b, x, *w: _mean_square(b, make(b, x, *w))


def _mean_square(b: Builder, value: Value) -> Value:
    return b.mean(b.mul(value, value))


def _rounds_over_time(b: Builder, x: Value, w: Value, u: Value) -> Value:
    """h ← tanh(xₜ w + h u) over the middle axis of x."""
    body = b.inner("cell")
    h, step = body.input("h", TensorType("f64", (BATCH, 4))), body.input("step", TensorType("f64", (BATCH, 3)))
    new = body.tanh(body.add(body.matmul(step, w), body.matmul(h, u)))
    body.output("h", new)
    body.output("y", body.mul(new, h))
    start = b.full(shape=(BATCH, 4), value=0.5, dtype="f64")
    finals, stacks = control.scan(b, body, [start], [b.transpose(x, perm=(1, 0, 2))])
    return b.add(finals[0], b.sum(stacks[0], axis=(0,)))


def _repeated(b: Builder, x: Value, w: Value) -> Value:
    """As many rounds as a weight says."""
    body = b.inner("rounds")
    body.input("index", TensorType("i64"))
    h = body.input("h", x.type)
    body.output("go_on", body.less(body.sum(w), 100.0))
    body.output("h", body.sin(body.mul(h, w)))
    return control.loop(b, body, b.constant(np.array(3)), None, [x], bound=3)[0][0]


def _until_rows_say(b: Builder, x: Value, w: Value) -> Value:
    body = b.inner("rounds")
    body.input("index", TensorType("i64"))
    h = body.input("h", x.type)
    body.output("go_on", body.less(body.sum(h), 100.0))
    body.output("h", body.sin(body.mul(h, w)))
    return control.loop(b, body, b.constant(np.array(3)), None, [x], bound=3)[0][0]


def _along_rows(b: Builder, x: Value, w: Value) -> Value:
    body = b.inner("rows")
    h, row = body.input("h", TensorType("f64", (3,))), body.input("row", TensorType("f64", (3,)))
    body.output("h", body.tanh(body.add(body.mul(row, w), h)))
    body.output("y", body.mul(row, h))
    return control.scan(b, body, [w], [x])[1][0]


def _mixing_in_rounds(b: Builder, x: Value, w: Value) -> Value:
    body = b.inner("cell")
    h, step = body.input("h", TensorType("f64", (BATCH,))), body.input("step", TensorType("f64", (BATCH,)))
    body.output("h", body.mul(body.softmax(body.mul(step, h), axis=0), body.sum(w)))
    start = b.full(shape=(BATCH,), value=0.5, dtype="f64")
    return control.scan(b, body, [start], [b.transpose(x, perm=(1, 0))])[0][0]


def _chosen(b: Builder, x: Value, w: Value) -> Value:
    then, otherwise = b.inner("then"), b.inner("otherwise")
    then.output("y", then.mul(x, w))
    otherwise.output("y", otherwise.add(x, w))
    return control.branch(b, b.greater(b.sum(w), 0.0), then, otherwise)[0]


def _chosen_by_rows(b: Builder, x: Value, w: Value) -> Value:
    then, otherwise = b.inner("then"), b.inner("otherwise")
    then.output("y", then.mul(x, w))
    otherwise.output("y", otherwise.add(x, w))
    return control.branch(b, b.greater(b.sum(x), 0.0), then, otherwise)[0]


def _blocked(b: Builder, x: Value, w: Value) -> Value:
    body = b.inner("block")
    body.output("y", body.tanh(body.mul(x, w)))
    return control.block(b, body, recompute=True)[0]


def _recurrent(name: str, gates: int) -> Case:
    """The last state of a recurrent composite, whose rows are its second axis."""

    def make(b: Builder, x: Value, w: Value, r: Value, bias: Value) -> Value:
        state = b.full(shape=(1, BATCH, 2), value=0.0, dtype="f64")
        states = (state, state) if name == "lstm" else (state,)
        return getattr(b, name)(b.transpose(x, perm=(1, 0, 2)), w, r, bias, *states)[1]

    return Case(mean(make), (5, 3), (1, 2 * gates, 3), (1, 2 * gates, 2), (1, 4 * gates))


def _attended(b: Builder, x: Value, w: Value) -> Value:
    heads = b.reshape(b.matmul(x, w), shape=(BATCH, 1, 4, 3))
    return b.scaled_dot_product_attention(heads, heads, heads)


def _masked(b: Builder, x: Value, w: Value, mask: Value) -> Value:
    heads = b.reshape(b.matmul(x, w), shape=(BATCH, 1, 4, 3))
    return b.masked_attention(heads, heads, heads, mask)


def _order(b: Builder, x: Value) -> Value:
    """Where the elements of each row stand in order."""
    return b.topk(x, k=3, axis=1)[1]


SEPARATE = {
    "lstm": _recurrent("lstm", 4),
    "gru": _recurrent("gru", 3),
    "rnn": _recurrent("rnn", 1),
    "scan": Case(mean(_rounds_over_time), (5, 3), (3, 4), (4, 4)),
    "loop": Case(mean(_repeated), (3,), (3,)),
    "branch": Case(mean(_chosen), (3,), (3,)),
    "block": Case(mean(_blocked), (3,), (3,)),
    "cross entropy": Case(lambda b, x, y, w: b.cross_entropy(b.matmul(x, w), y), (4,), (4, 3)),
    "nll": Case(lambda b, x, y, w: b.nll_loss(b.log_softmax(b.matmul(x, w)), y), (4,), (4, 3)),
    "group norm": Case(mean(lambda b, x, w, v: b.group_norm(x, w, v, groups=2)), (4, 3, 3), (4,), (4,)),
    "instance norm": Case(mean(lambda b, x, w, v: b.instance_norm(x, w, v)), (4, 3, 3), (4,), (4,)),
    "rms norm": Case(mean(lambda b, x, w: b.rms_norm(x, w)), (4,), (4,)),
    "attention": Case(mean(_attended), (4, 3), (3, 3)),
    "einsum": Case(mean(lambda b, x, w: b.einsum(x, w, equation="bij,jk->bki")), (4, 3), (3, 2)),
    "resize": Case(mean(lambda b, x, w: b.resize_axis(b.mul(x, w), size=7, axis=1, mode="linear")), (4, 3), (3,)),
    "spectrum": Case(mean(lambda b, x, w: b.dft(b.reshape(b.mul(x, w), shape=(BATCH, 4, 1)), axis=1)), (4,), (4,)),
    "largest": Case(mean(lambda b, x, w: b.topk(b.mul(x, w), k=2, axis=1)[0]), (4,), (4,)),
    "sorted": Case(mean(lambda b, x, w: b.sort(b.mul(x, w), axis=1)[0]), (4,), (4,)),
    "picked": Case(mean(lambda b, x, w: b.gather_elements(b.mul(x, w), _order(b, x), axis=1)), (4,), (4,)),
    "put": Case(mean(lambda b, x, w: b.scatter_elements(x, _order(b, x), b.mul(_top(b, x), w), axis=1)), (4,), (3,)),
    "places": Case(mean(lambda b, x, w: b.gather(b.mul(x, w), b.constant(np.array([2, 0])), axis=1)), (4,), (4,)),
    "table": Case(mean(lambda b, x, y, w: b.mul(x, b.gather(w, y))), (4,), (3, 4)),
    "tiled": Case(mean(lambda b, x, w: b.tile(b.mul(x, w), repeats=(1, 2))), (4,), (4,)),
    "triangle": Case(mean(lambda b, x, w: b.tril(b.mul(x, w))), (4, 4), (4,)),
    "transposed convolution": Case(
        mean(lambda b, x, w: b.conv_transpose(x, w, size=(5,), stride=(1,), padding=(0, 0), dilation=(1,))),
        (2, 4), (2, 3, 2),
    ),
    "patches": Case(mean(lambda b, x, w: b.unfold(b.mul(x, w), kernel=(2, 2), stride=(1, 1))), (2, 4, 4), (4,)),
    "deformed": Case(
        mean(lambda b, x, w: b.deform_conv(
            x, w, b.full(shape=(BATCH, 8, 3, 3), value=0.3, dtype="f64"),
            b.mul(b.slice(x, starts=(0, 0), stops=(3, 3), axes=(2, 3), steps=(1, 1)), 0.5),
            stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1))),
        (4, 4, 4), (2, 4, 2, 2),
    ),
    "sampled": Case(mean(lambda b, x, w: b.grid_sample(x, b.mul(_grid(b), w))), (2, 4, 4), (2,)),
    "masked attention": Case(mean(_masked), (4, 3), (3, 3), (4, 4)),
    "rotated": Case(
        mean(lambda b, x, w: b.rotary_embedding(x, *(b.expand(w, shape=(BATCH, 4, 2)) for _ in range(2)))),
        (2, 4, 4), (4, 2),
    ),
    "short-time spectrum": Case(mean(lambda b, x, w: b.stft(x, w, step=2)), (8, 1), (4,)),
    "resized": Case(
        mean(lambda b, x, w: b.resize(b.mul(x, w), size=(5, 7), axes=(2, 3), mode="linear")), (2, 3, 4), (4,)
    ),
    "local response": Case(mean(lambda b, x, w: b.local_response_norm(b.mul(x, w), size=3)), (4, 2), (2,)),
    "pooled norms": Case(
        mean(lambda b, x, w: b.lp_pool(b.mul(x, w), kernel=(2,), stride=(1,), padding=(0, 0))), (2, 4), (4,)
    ),
    "log of sums": Case(mean(lambda b, x, w: b.logsumexp(b.mul(x, w), axis=(1,))), (4,), (4,)),
    "squares": Case(mean(lambda b, x, w: b.reduce_sum_square(b.mul(x, w), axis=(1,))), (4,), (4,)),
    "by count": Case(lambda b, x, w: b.div(b.sum(b.mul(x, w)), b.cast(b.dim(size=4 * BATCH), dtype="f64")), (4,), (4,)),
}  # fmt: skip


def _top(b: Builder, x: Value) -> Value:
    return b.topk(x, k=3, axis=1)[0]


def _grid(b: Builder) -> Value:
    return b.full(shape=(BATCH, 3, 3, 2), value=0.4, dtype="f64")


MIXED = {
    "scan along the rows": Case(mean(_along_rows), (3,), (3,)),
    "mixing in rounds": Case(mean(_mixing_in_rounds), (3,), (3,)),
    "rounds until the rows say": Case(mean(_until_rows_say), (3,), (3,)),
    "choice by the rows": Case(mean(_chosen_by_rows), (3,), (3,)),
    "rows as time": Case(
        mean(lambda b, x, w, r, c: b.lstm(b.reshape(x, shape=(BATCH, 1, 3)), w, r, c, *_states(b))[0]),
        (3,), (1, 8, 3), (1, 8, 2), (1, 16),
    ),
    "one less than the rows": Case(
        lambda b, x, w: b.div(b.sum(b.mul(x, w)), b.cast(b.dim(size=BATCH - 1), dtype="f64")), (4,), (4,)
    ),
    "rows squared": Case(
        lambda b, x, w: b.div(b.sum(b.mul(x, w)), b.cast(b.dim(size=BATCH * BATCH), dtype="f64")), (4,), (4,)
    ),
    "as many as pairs of rows": Case(
        lambda b, x, w: b.mul(b.mean(b.mul(x, w)), b.mean(_pairs(b, w))), (4,), (4,)
    ),
    "a mean spread over the rows": Case(
        lambda b, x, w: b.sum(b.expand(b.mean(b.mul(x, w)), shape=(BATCH,))), (4,), (4,)
    ),
    "largest of the rows": Case(mean(lambda b, x, w: b.topk(b.mul(x, w), k=1, axis=0)[0]), (4,), (4,)),
    "resized rows": Case(mean(lambda b, x, w: b.resize_axis(b.mul(x, w), size=7, axis=0)), (4,), (4,)),
    "spectrum of the rows": Case(
        mean(lambda b, x, w: b.dft(b.reshape(b.mul(x, w), shape=(BATCH, 4, 1)), axis=0)), (4,), (4,)
    ),
    "as many as are not left out": Case(
        lambda b, x, y, w: b.cross_entropy(b.matmul(x, w), y, ignore_index=1), (4,), (4, 3)
    ),
    "weights of the classes": Case(
        lambda b, x, y, w, v: b.weighted_cross_entropy(b.matmul(x, w), y, v), (4,), (4, 3), (3,)
    ),
    "a sum": Case(lambda b, x, y, w: b.cross_entropy(b.matmul(x, w), y, reduction="sum"), (4,), (4, 3)),
    "rows of other rows": Case(mean(lambda b, x, y, w: b.mul(b.gather(x, y), w)), (4,), (4,)),
    "places in the whole": Case(
        mean(lambda b, x, w: b.cast(b.max_pool_with_indices(b.mul(x, w), kernel=(2,), stride=(2,), padding=(0, 0))[1],
                                    dtype="f64")), (2, 4), (4,)
    ),
    "repeated rows": Case(mean(lambda b, x, w: b.tile(b.mul(x, w), repeats=(2, 1))), (4,), (4,)),
    "norm over rows": Case(mean(lambda b, x, w: b.lp_normalize(b.mul(x, w), axis=0, p=2)), (4,), (4,)),
}  # fmt: skip


def _states(b: Builder) -> list[Value]:
    return [b.full(shape=(1, 1, 2), value=0.0, dtype="f64")] * 2


def _pairs(b: Builder, w: Value) -> Value:
    return b.sum(b.expand(b.mean(w), shape=(BATCH, BATCH)), axis=(0,))


@pytest.mark.parametrize("name", SEPARATE)
def test_parts_give_the_gradient_of_the_whole(name: str) -> None:
    case = SEPARATE[name]
    assert why_mixed(case.graph()) is None
    graph = case.graph(order=1)
    verify(graph)
    feeds = case.feeds()
    whole = evaluate(graph, feeds)
    rows = ROWS // PARTS
    parts = [
        evaluate(graph, feeds | {key: feeds[key][i : i + rows] for key in ("x", "y")}) for i in range(0, ROWS, rows)
    ]
    for key, array in whole.items():
        np.testing.assert_allclose(sum(part[key] for part in parts) / PARTS, array, rtol=1e-9, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("name", MIXED)
def test_what_mixes_rows_is_refused(name: str) -> None:
    assert why_mixed(MIXED[name].graph()) is not None
