"""Small networks as PyTorch's exporters write them."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import nn
from torch.nn import functional


class Recurrent(nn.Module):
    """An LSTM of two layers, and a linear layer on its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, num_layers=2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class BothDirections(nn.Module):
    """A GRU that reads its sequence from both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 5, bidirectional=True, batch_first=True)
        self.head = nn.Linear(10, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(x)[0]).tanh()


class Decoder(nn.Module):
    """Convolution, enlargement, transposed convolution, padding and resizing to the size of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear")
        self.transposed = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.transposed(functional.silu(self.enlarge(self.conv(x)))))
        y = functional.pad(y, (1, 1, 0, 2), mode="reflect")
        y = functional.interpolate(y, size=x.shape[2:], mode="nearest")
        return torch.cat([y, x], 1).mean((2, 3))


class GPTBlock(nn.Module):
    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, d = x.shape
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.view(b, t, self.heads, d // self.heads).transpose(1, 2) for part in parts)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Two causal blocks on embedded tokens and positions, with tied weights."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(50, d), nn.Embedding(64, d)
        self.blocks = nn.ModuleList(GPTBlock(d, 4) for _ in range(2))
        self.norm = nn.LayerNorm(d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.tokens(x) + self.positions(torch.arange(x.shape[1]))
        for block in self.blocks:
            y = block(y)
        return self.norm(y) @ self.tokens.weight.T / 10


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
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


@dataclass(frozen=True)
class Case:
    """How to make a network; the shape of its input, which of its sizes stay open, and others to try."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    open: Mapping[int, str]
    other: tuple[int, ...]
    tokens: int = 0

    def input(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Normal numbers; tokens where the network takes them."""
        return torch.randint(0, self.tokens, shape) if self.tokens else torch.randn(shape)


_BATCH = {0: "batch"}
_TIME = {0: "batch", 1: "time"}

NETWORKS: Mapping[str, Case] = {
    "mlp": Case(_mlp, (4, 6), _BATCH, (3, 6)),
    "cnn": Case(_cnn, (4, 3, 8, 8), _BATCH, (3, 3, 8, 8)),
    "decoder": Case(Decoder, (4, 3, 8, 8), {0: "batch", 2: "height", 3: "width"}, (3, 3, 10, 12)),
    "lstm": Case(Recurrent, (4, 5, 6), _TIME, (3, 7, 6)),
    "gru": Case(BothDirections, (4, 5, 6), _TIME, (3, 7, 6)),
    "transformer": Case(_transformer, (4, 5, 16), _BATCH, (3, 5, 16)),  # the older exporter fixes the time
    "gpt": Case(GPT, (4, 5), _TIME, (3, 7), tokens=50),
}


@dataclass(frozen=True)
class Exported:
    """A network, its ONNX model, and an input of other sizes than it was exported with."""

    network: nn.Module
    model: onnx.ModelProto
    x: torch.Tensor


def export(name: str, dynamo: bool) -> Exported:
    """Exports a network with open sizes, by PyTorch's newer exporter (`dynamo`) or the older one."""
    case = NETWORKS[name]
    torch.manual_seed(0)
    network = case.make().eval()
    with torch.no_grad():
        for parameter in network.parameters():  # exporters store equal weights, such as ones, only once
            parameter.add_(0.1 * torch.randn_like(parameter))
    example = case.input(case.shape)
    if dynamo:
        sizes = {axis: torch.export.Dim(size, min=2, max=60) for axis, size in case.open.items()}
        return Exported(network, export_program(network, example, sizes), case.input(case.other))
    return Exported(network, export_module(network, example, case.open), case.input(case.other))


def export_module(network: nn.Module, example: torch.Tensor, sizes: Mapping[int, str] | None = None) -> onnx.ModelProto:
    """The model that PyTorch's older exporter makes; `sizes` of the input stay open."""
    file = io.BytesIO()
    axes = {"x": dict(sizes or {})}
    with _quietly():
        torch.onnx.export(network, (example,), file, dynamo=False, input_names=["x"], dynamic_axes=axes)
    return onnx.load_from_string(file.getvalue())


def export_program(network: nn.Module, example: torch.Tensor, sizes: Mapping[int, Any]) -> onnx.ModelProto:
    """The model that PyTorch's newer exporter makes; `sizes` of the input stay open."""
    file = io.BytesIO()
    with _quietly():
        program = torch.onnx.export(network, (example,), dynamo=True, dynamic_shapes=(sizes,), verbose=False)
        assert program is not None
        program.save(file)
    return onnx.load_from_string(file.getvalue())


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporters' warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
