"""Models exported by PyTorch: imported they compute the same, and a step of training moves them as PyTorch's does."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from netlang.runtime.imported import import_model
from torch import Tensor, nn

import netlang as nl

from .torch_models import Convolutions, Encoder, Gated, Perceptron, Recurrent, exported, randomised, scripted

pytest.importorskip("onnxscript", reason="PyTorch exports with it")

WORDS = torch.tensor(np.random.default_rng(0).integers(0, 11, (4, 9)))
IMAGES = torch.tensor(np.random.default_rng(0).standard_normal((4, 1, 12, 12)), dtype=torch.float32)
ROWS = IMAGES.flatten(1)[:, :8]
LABELS = np.array([0, 2, 1, 2])
CASES = [
    (Perceptron, ROWS, exported),
    (Perceptron, ROWS, scripted),
    (Convolutions, IMAGES, scripted),
    (Recurrent, WORDS, exported),
    (Recurrent, WORDS, scripted),
    (Gated, WORDS, scripted),
    (Encoder, WORDS, exported),
]
Export = Callable[[nn.Module, Tensor], onnx.ModelProto]


@pytest.mark.parametrize(("make", "x", "export"), CASES, ids=lambda item: getattr(item, "__name__", ""))
def test_a_step_is_pytorch_s(make: type[nn.Module], x: Tensor, export: Export):
    model = randomised(make)
    net = nl.from_onnx(
        export(model, x),
        train="""
        in label: i64[batch]
        minimize cross_entropy(forward(x), label)
        optimizer sgd(0.1)
        """,
    )
    assert net.parameter_count == sum(parameter.numel() for parameter in model.parameters())
    np.testing.assert_allclose(net(x.numpy()), _results(model, x), atol=1e-5)
    metrics = nl.Trainer(net).step(x=x.numpy(), label=LABELS)
    before = _results(model, x)
    assert metrics["loss"] == pytest.approx(_step(model, x), abs=1e-5)
    after = _results(model, x)
    assert np.abs(after - before).max() > 1e-2
    np.testing.assert_allclose(net(x.numpy()), after, atol=1e-5)


def _results(model: nn.Module, x: Tensor) -> np.ndarray:
    with torch.no_grad():
        return model.eval()(x).numpy()


def _step(model: nn.Module, x: Tensor) -> float:
    """One step of gradient descent in PyTorch; its loss."""
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.1)
    loss = nn.functional.cross_entropy(model(x), torch.tensor(LABELS))
    loss.backward()
    optimizer.step()
    return loss.item()


@cache
def _perceptron() -> onnx.ModelProto:
    return exported(randomised(Perceptron), ROWS)


def test_recurrent_layers_are_the_library_s():
    imported = import_model(scripted(randomised(Gated), WORDS), "gated")
    assert (
        imported.written.text
        == """\
use std.layers: linear, embedding
use std.recurrent: gru

model Gated(x: i64[batch, 9]) -> f32[batch, 3] {
  let words = embedding(11, 6)
  let cells = gru(7)
  let head = linear(3)
  c = x |> words |> cells
  return c[:, -1] |> head
}
"""
    )


def test_frozen_parts_stay():
    net = nl.from_onnx(
        _perceptron(),
        train="""
        in label: i64[batch]
        minimize cross_entropy(forward(x), label)
        optimizer sgd(0.1, momentum = 0.9, weight_decay = 0.1)
        """,
        freeze=("fc1.*", "fc2.bias"),
    )
    before = net.parameters
    trainer = nl.Trainer(net)
    for _ in range(2):
        trainer.step(x=ROWS.numpy(), label=LABELS)
    moved = {name for name, array in net.parameters.items() if not np.array_equal(array, before[name])}
    assert moved == {"fc2.weight", "fc3.weight", "fc3.bias"}


def test_a_pattern_that_freezes_nothing_is_refused():
    with pytest.raises(nl.DiagnosticError, match=r"no parameter `encoder\.\*` to freeze"):
        nl.from_onnx(_perceptron(), freeze=["encoder.*"])


def test_a_frozen_run_goes_on_frozen(tmp_path: Path):
    train = "in label: i64[batch]\nminimize cross_entropy(forward(x), label)\noptimizer adam(0.1)"
    net = nl.from_onnx(_perceptron(), train=train, freeze=["fc1.*"])
    trainer = nl.Trainer(net)
    trainer.step(x=ROWS.numpy(), label=LABELS)
    nl.save(trainer, tmp_path / "run")
    again = nl.Trainer.restore(tmp_path / "run")
    again.step(x=ROWS.numpy(), label=LABELS)
    assert np.array_equal(again.network.weights["fc1.weight"], net.weights["fc1.weight"])
    assert not np.array_equal(again.network.weights["fc2.weight"], net.weights["fc2.weight"])
