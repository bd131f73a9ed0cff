"""Models exported by PyTorch: imported they compute the same, and a step of training moves them as PyTorch's does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import netlang as nl

from .torch_models import Convolutions, Encoder, Perceptron, Recurrent, exported, randomised, scripted

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
