"""Networks that are copied, or sent to another process: the same weights, and nothing in common afterwards."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import netlang as nl

LINE = """use std.layers: linear
model Line(x: f32[b, 4]) -> f32[b, 2] { return linear(2)(x) }
train Line {
  in y: f32[b, 2]
  minimize mse(forward(x), y)
  optimizer sgd(0.1)
}
"""
X = np.arange(8, dtype=np.float32).reshape(2, 4) / 8
Y = np.ones((2, 2), np.float32)

Copy = Callable[[nl.BoundNetwork], nl.BoundNetwork]


@pytest.fixture
def trainer(tmp_path: Path) -> nl.Trainer:
    (tmp_path / "line.net").write_text(LINE, "utf-8")
    trainer = nl.Trainer(nl.load(tmp_path / "line.net")["Line"](threads=1), threads=1)
    trainer.step(x=X, y=Y)
    return trainer


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_of_a_trained_network_stands_alone(trainer: nl.Trainer, make: Copy) -> None:
    net = trainer.network
    before = net.forward(X)
    other = make(net)
    np.testing.assert_array_equal(other.forward(X), before)
    trainer.step(x=X, y=Y)
    assert not np.array_equal(net.forward(X), before)
    np.testing.assert_array_equal(other.forward(X), before)
    further = nl.Trainer(other, threads=1)  # it goes on from the weights of the copy, as the first did
    further.step(x=X, y=Y)
    np.testing.assert_array_equal(other.forward(X), net.forward(X))


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_trainer_says_what_does_instead_of_a_copy(trainer: nl.Trainer, make: Callable[[nl.Trainer], object]) -> None:
    with pytest.raises(TypeError, match=r"`Trainer\.restore`"):
        make(trainer)
