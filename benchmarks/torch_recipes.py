"""How each model of the suite is trained in PyTorch: what the `train` block of the same model says in netlang."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import torch_generation, torch_graphs, torch_models, torch_sentences
from .cases import PLANNED_STEPS

Rate = Callable[[int], float]
"""From a step, counted from 0, to the factor on the learning rate."""

Loss = Callable[[nn.Module, Mapping[str, Tensor]], tuple[Tensor, Tensor | None]]
"""The loss of a batch, and the logits where accuracies are reported."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model and how it is trained. `accuracies` are the numbers of guesses that each report of accuracy allows."""

    model: Callable[..., nn.Module]
    loss: Loss
    optimizer: Callable[..., torch.optim.Optimizer]
    options: Mapping[str, Any]
    weight_decay: float = 0.0
    rate: Rate = lambda step: 1.0
    clip: float | None = None
    accuracies: tuple[int, ...] = ()
    target: str = "label"


def cosine(warmup: int = 0, final: float = 0.0) -> Rate:
    """Linear warm-up, then half a cosine down to `final` of the peak. Loshchilov & Hutter 2016."""

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min((step - warmup) / max(PLANNED_STEPS - warmup, 1), 1.0)
        return final + 0.5 * (1 - final) * (1 + math.cos(math.pi * progress))

    return rate


def linear_decay(warmup: int = 0) -> Rate:
    """Linear warm-up, then a line down to 0."""
    return lambda step: (step + 1) / warmup if step < warmup else (PLANNED_STEPS - step) / (PLANNED_STEPS - warmup)


def transformer_rate(d: int, warmup: int) -> Rate:
    """Rises for `warmup` steps, then falls with the root of the step. Vaswani et al. 2017."""
    return lambda step: min((step + 1) ** -0.5, (step + 1) * warmup**-1.5) / math.sqrt(d)


def classification(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The cross entropy of one class for each row; the last of the batch is the target."""
    *inputs, target = batch.values()
    logits = model(*inputs)
    return F.cross_entropy(logits, target), logits


def next_token(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, None]:
    """The cross entropy of one class for each token."""
    logits = model(batch["tokens"])
    return F.cross_entropy(logits.flatten(0, 1), batch["target"].flatten()), None


def translation(label_smoothing: float) -> Loss:
    """The cross entropy of each word of a sentence but the first, from those before it and the source."""

    def loss(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, None]:
        target = batch["target"]
        logits, answer = model(batch["source"], target[:, :-1]).flatten(0, 1), target[:, 1:].flatten()
        padding = torch_sentences.PADDING
        return F.cross_entropy(logits, answer, ignore_index=padding, label_smoothing=label_smoothing), None

    return loss


def own(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, None]:
    """The loss that the model has itself."""
    return model.loss(**batch), None  # type: ignore[operator]


def own_with_logits(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The loss that the model has itself, and its logits."""
    return model.loss(**batch)  # type: ignore[operator]


_ADAM = torch.optim.Adam
_ADAMW = torch.optim.AdamW
_SGD = torch.optim.SGD

_GPT = Recipe(
    torch_models.GPT,
    next_token,
    _ADAMW,
    {"lr": 0.001, "betas": (0.9, 0.99)},
    weight_decay=0.1,
    rate=cosine(warmup=100, final=0.1),
    clip=1.0,
    target="target",
)

RECIPES: dict[str, Recipe] = {
    "mlp": Recipe(torch_models.MLP, classification, _ADAM, {"lr": 0.001}),
    "lenet5": Recipe(
        torch_models.LeNet5,
        classification,
        _ADAMW,
        {"lr": 0.002},
        weight_decay=0.01,
        rate=cosine(),
        accuracies=(1,),
    ),
    "resnet20": Recipe(
        torch_models.ResNet20,
        classification,
        _SGD,
        {"lr": 0.01, "momentum": 0.9, "nesterov": True},
        weight_decay=0.0001,
        rate=cosine(),
        accuracies=(1,),
    ),
    "resnet18": Recipe(
        torch_models.ResNet18,
        classification,
        _SGD,
        {"lr": 0.001, "momentum": 0.9},
        weight_decay=0.0001,
        rate=cosine(),
        accuracies=(1, 5),
    ),
    "lstm": Recipe(torch_sentences.LSTM, classification, _ADAM, {"lr": 0.001}),
    "seq2seq": Recipe(torch_sentences.Seq2Seq, translation(0.0), _ADAM, {"lr": 0.001}, clip=1.0),
    "transformer": Recipe(
        torch_sentences.Transformer,
        translation(0.1),
        _ADAM,
        {"lr": 1.0, "betas": (0.9, 0.98), "eps": 1e-9},
        rate=transformer_rate(256, 4000),
    ),
    "bert": Recipe(
        torch_sentences.BERT,
        own,
        _ADAMW,
        {"lr": 0.0001, "eps": 1e-6},
        weight_decay=0.01,
        rate=linear_decay(warmup=100),
        clip=1.0,
    ),
    "gpt": _GPT,
    "gpt6": _GPT,
    "vae": Recipe(torch_generation.VAE, own, _ADAM, {"lr": 0.001}),
    "ddpm": Recipe(torch_generation.DDPM, own, _ADAM, {"lr": 0.0005}, rate=cosine(warmup=200), clip=1.0),
    "gcn": Recipe(torch_graphs.GCN, own_with_logits, _ADAM, {"lr": 0.01}, accuracies=(1,)),
    "gat": Recipe(torch_graphs.GAT, classification, _ADAM, {"lr": 0.005}, weight_decay=5e-4, accuracies=(1,)),
    "skip_gram": Recipe(torch_sentences.SkipGram, own, _ADAM, {"lr": 0.002}),
    "skip_gram_descent": Recipe(
        partial(torch_sentences.SkipGram, sparse=True),
        own,
        torch.optim.SGD,
        {"lr": 12.8, "fused": False},
        rate=linear_decay(),
    ),
}
"""By the names of the cases."""
