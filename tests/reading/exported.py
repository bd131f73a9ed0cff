"""Small networks as PyTorch's exporters write them."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx
import torch
from torch import nn


class Recurrent(nn.Module):
    """An LSTM of two layers, and a linear layer on its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, num_layers=2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 3))


def _cnn() -> nn.Module:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 3),
    )  # fmt: skip
    network(torch.randn(8, 3, 8, 8))  # moves the running statistics off their initial values
    return network


def _transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)
    network = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    for parameter in network.parameters():  # the layers begin as copies, and exporters store equal weights once
        nn.init.normal_(parameter, std=0.3)
    return network


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (_mlp, (4, 6)),
    "cnn": (_cnn, (4, 3, 8, 8)),
    "lstm": (Recurrent, (4, 5, 6)),
    "transformer": (_transformer, (4, 5, 16)),
}
"""What makes each network, and the shape of its input; the first size stays open."""


@dataclass(frozen=True)
class Exported:
    """A network, its ONNX model, and an input of another batch size than it was exported with."""

    network: nn.Module
    model: onnx.ModelProto
    x: torch.Tensor


def export(name: str, dynamo: bool) -> Exported:
    """Exports a network with an open batch size, by PyTorch's newer exporter (`dynamo`) or the older one."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = make().eval()
    example = torch.randn(*shape)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            if dynamo:
                shapes = ({0: torch.export.Dim("batch")},)
                program = torch.onnx.export(network, (example,), dynamo=True, dynamic_shapes=shapes, verbose=False)
                assert program is not None
                program.save(file)
            else:
                axes = {"x": {0: "batch"}}
                torch.onnx.export(network, (example,), file, dynamo=False, input_names=["x"], dynamic_axes=axes)
        finally:
            logging.disable(logging.NOTSET)
    return Exported(network, onnx.load_from_string(file.getvalue()), torch.randn(3, *shape[1:]))
