"""Graphs as text."""

from __future__ import annotations

from netlang.compiler.builder import Builder
from netlang.compiler.ir import Init
from netlang.compiler.printer import print_graph, print_node

from netlang.source import Source, Span

from .graphs import BATCH, f32, i64

EXPECTED = """\
graph tiny
  input %x: f32[batch, 4]
  input %step: i64  # step
  param %w: f32[4, 2] ~ normal(std = 0.02)
  state %s: f32[2] ~ zeros()  # frozen, no decay
  %matmul_0: f32[batch, 2] = matmul(%x, %w)  # net:1 linear
  %sum_1: f32[batch] = sum(%matmul_0, axis = [1], keepdims = false)
  %constant_2: f32 = constant(value = 0.5)
  %mul_3: f32[batch] = mul(%sum_1, %constant_2)
  %split_4: f32[batch, 1], %split_4.1: f32[batch, 1] = split(%matmul_0, axis = 1, parts = 2)
  loss loss = %mul_3
  next s = %s
"""


def tiny() -> Builder:
    b = Builder("tiny")
    x = b.input("x", f32(BATCH, 4))
    b.input("step", i64(), "step")
    w = b.variable("w", f32(4, 2), "param", Init("normal", (("std", 0.02),)))
    s = b.variable("s", f32(2), "state", Init("zeros"), trainable=False, decay=False)
    with b.at(Span(Source("net.net", "x @ w"), 0, 5), "linear"):
        y = b.matmul(x, w)
    b.output("loss", b.mul(b.sum(y, axis=(1,)), 0.5), "loss")
    b.split(y, parts=2, axis=1)
    b.output("s", s, "next")
    return b


def test_prints_everything():
    assert print_graph(tiny().graph()) == EXPECTED


def test_is_deterministic():
    assert print_graph(tiny().graph()) == print_graph(tiny().graph())


def test_large_constants_show_their_type_only():
    b = Builder()
    b.constant([1.0, 2.0, 3.0, 4.0, 5.0])
    assert print_node(b.nodes[0]) == "%constant_0: f32[5] = constant(value = float32[5])"
