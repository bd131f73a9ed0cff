"""PyTorch models and their ONNX exports."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import onnx
import torch
from torch import Tensor, nn


class Perceptron(nn.Module):
    """Three layers with names of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(self.fc2(self.fc1(x).relu()).relu())


class Convolutions(nn.Module):
    """Convolutions with batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        )  # fmt: skip
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).flatten(1))


class Recurrent(nn.Module):
    """The last output of an LSTM over words."""

    kind: type[nn.RNNBase] = nn.LSTM

    def __init__(self) -> None:
        super().__init__()
        self.words, self.cells, self.head = nn.Embedding(11, 6), self.kind(6, 7, batch_first=True), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(self.words(x))[0][:, -1])


class Gated(Recurrent):
    """The last output of a GRU over words."""

    kind = nn.GRU


class Encoder(nn.Module):
    """Three layers of a Transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.words(x)).mean(1))


def randomised(make: Callable[[], nn.Module]) -> nn.Module:
    """A model whose weights all differ: exporters join equal ones."""
    torch.manual_seed(0)
    model = make()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return model.eval()


def exported(model: nn.Module, x: Tensor) -> onnx.ModelProto:
    """The export by `torch.export`, with an open batch and, for words, an open length."""
    dims = {0: "batch", 1: "t"} if x.dtype == torch.int64 else {0: "batch"}
    with _quiet():
        program = torch.onnx.export(model, (x,), dynamo=True, dynamic_shapes=(dims,), verbose=False)
    assert program is not None
    return program.model_proto


def scripted(model: nn.Module, x: Tensor) -> onnx.ModelProto:
    """The export by tracing, which keeps batch normalisation apart from the convolution before it."""
    with _quiet(), TemporaryDirectory() as folder:
        file = f"{folder}/model.onnx"
        torch.onnx.export(
            model, (x,), file, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
            input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "batch"}},
        )  # fmt: skip
        return onnx.load(file)


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters warn and log about themselves."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
