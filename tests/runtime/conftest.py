"""Networks for the tests of the runtime, from text."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from netlang.compiler import Network, Program, load_program
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.loader import load

from netlang.source import Source

Build = Callable[..., Network]

LINE = """
model Line(i: int = 3)(x: f32[batch, i]) -> f32[batch, 1] {
  param weight: f32[1, i] ~ normal(0.1)
  param bias: f32[1] ~ zeros()
  return x @ weight.T + bias
}
train Line(lr: float = 0.1) {
  in y: f32[batch, 1]
  out = forward(x)
  minimize mse(out, y)
  report mae(out, y)
  optimizer OPTIMIZER
}
"""

CLASSIFIER = """
use std.layers: linear, dropout

model Classifier(classes: int, hidden: int = 16)(image: f32[batch, 1, 8, 8]) -> f32[batch, classes] {
  return image |> flatten |> linear(hidden) |> relu |> dropout(0.2) |> linear(classes)
}
train Classifier(lr: float = 1e-2) {
  in label: i64[batch]
  logits = forward(image)
  minimize cross_entropy(logits, label)
  report accuracy(logits, label)
  optimizer adam(cosine(lr, warmup = 5))
}
"""


@cache
def program(text: str) -> Program:
    """The program of a text; parsing is most of the work, and networks of one program do not touch each other."""
    return load_program(Source("test.net", text), load)


@pytest.fixture
def build() -> Build:
    """`build(text, model=None, **settings)`: a network of a source text."""

    return lambda text, model=None, **settings: program(text).network(model, settings)


@pytest.fixture
def line(build: Build) -> Callable[..., Network]:
    """`line("sgd(lr)", i=3)`: linear regression with this optimizer."""
    return lambda optimizer="sgd(lr)", **settings: build(LINE.replace("OPTIMIZER", optimizer), **settings)


@pytest.fixture
def classifier(build: Build) -> Callable[..., BoundNetwork]:
    """`classifier(hidden=16)`: a small classifier of 8×8 images, with dropout and a schedule, and its weights."""
    return lambda **settings: BoundNetwork(build(CLASSIFIER, **{"classes": 10, **settings}))
