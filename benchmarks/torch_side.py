"""PyTorch as the peer: eager by default, with its fused optimizers and attention, or `torch.compile`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import torch_models
from .cases import PLANNED_STEPS, Case

Rate = Callable[[int], float]
"""From a step, counted from 0, to the factor on the learning rate."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model and how it is trained: what the `train` block of the same model says in netlang."""

    model: Callable[..., nn.Module]
    target: str
    optimizer: Callable[..., torch.optim.Optimizer]
    options: Mapping[str, Any]
    weight_decay: float = 0.0
    rate: Rate = lambda step: 1.0
    clip: float | None = None
    accuracy: bool = False


def cosine(warmup: int = 0, final: float = 0.0) -> Rate:
    """Linear warm-up, then half a cosine down to `final` of the peak. Loshchilov & Hutter 2016."""

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min((step - warmup) / max(PLANNED_STEPS - warmup, 1), 1.0)
        return final + 0.5 * (1 - final) * (1 + math.cos(math.pi * progress))

    return rate


RECIPES: dict[str, Recipe] = {
    "mlp": Recipe(torch_models.MLP, "label", torch.optim.Adam, {"lr": 0.001}),
    "lenet5": Recipe(
        torch_models.LeNet5,
        "label",
        torch.optim.AdamW,
        {"lr": 0.002},
        weight_decay=0.01,
        rate=cosine(),
        accuracy=True,
    ),
    "resnet20": Recipe(
        torch_models.ResNet20,
        "label",
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
        weight_decay=0.0001,
        rate=cosine(),
        accuracy=True,
    ),
    "gpt": Recipe(
        torch_models.GPT,
        "target",
        torch.optim.AdamW,
        {"lr": 0.001, "betas": (0.9, 0.99)},
        weight_decay=0.1,
        rate=cosine(warmup=100, final=0.1),
        clip=1.0,
    ),
}


class TorchSide:
    """One case in PyTorch."""

    def __init__(self, case: Case, threads: int, *, compiled: bool = False) -> None:
        torch.set_num_threads(threads)
        self._recipe = RECIPES[case.name]
        self._model = self._recipe.model(**case.settings)
        self._inputs = tuple(case.inputs)
        self._measure = torch.compile(self._loss) if compiled else self._loss
        self._infer = torch.compile(self._model) if compiled else self._model
        self._start_optimizer()

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Begins anew from netlang's weights. Raises ValueError where they are not those of this model."""
        state = to_torch_names(self._model, weights)
        self._model.load_state_dict(state)
        self._start_optimizer()

    def place(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """The arrays as tensors, which happens outside of what is timed."""
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def train_step(self, batch: Mapping[str, Tensor]) -> float:
        """One step; the loss before it."""
        if not self._model.training:
            self._model.train()
        self._optimizer.zero_grad(set_to_none=True)
        loss, logits = self._measure(batch)
        loss.backward()
        if self._recipe.clip is not None:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._recipe.clip)
        self._optimizer.step()
        self._schedule.step()
        if self._recipe.accuracy:
            (logits.detach().argmax(-1) == batch[self._recipe.target]).float().mean().item()
        return loss.item()

    def infer(self, inputs: Mapping[str, Tensor]) -> np.ndarray:
        """The model's output in inference mode."""
        if self._model.training:
            self._model.eval()
        with torch.inference_mode():
            return self._infer(*(inputs[name] for name in self._inputs)).numpy()

    def _loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        logits = self._model(*(batch[name] for name in self._inputs))
        return F.cross_entropy(logits.flatten(0, -2), batch[self._recipe.target].flatten()), logits

    def _start_optimizer(self) -> None:
        """Tables, matrices and kernels decay; biases and the parameters of normalisations do not."""
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for parameter in self._model.parameters():
            groups[parameter.ndim > 1].append(parameter)
        self._optimizer = self._recipe.optimizer(
            [
                {"params": groups[True], "weight_decay": self._recipe.weight_decay},
                {"params": groups[False], "weight_decay": 0.0},
            ],
            fused=True,
            **self._recipe.options,
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, self._recipe.rate)


_SUFFIXES = {"scale": "weight", "shift": "bias", "running_variance": "running_var"}
_WRAPPED = re.compile(r"(convolution(?:_\d+)?)\.conv2d")
"""The library's ResNets wrap a convolution in a layer of their own."""


def to_torch_names(model: nn.Module, weights: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """netlang's weights as a state of `model`. Raises ValueError where names or shapes do not agree."""
    state = dict(model.state_dict())
    found: dict[str, Tensor] = {}
    for name, array in weights.items():
        stem, _, last = _WRAPPED.sub(r"\1", name).rpartition(".")
        found[f"{stem}.{_SUFFIXES.get(last, last)}"] = torch.from_numpy(array)
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            found[name] = tensor
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    given = {name: tuple(tensor.shape) for name, tensor in found.items()}
    if shapes != given:
        different = sorted(set(shapes.items()) ^ set(given.items()))
        raise ValueError(f"the models differ: {different[:6]}")
    return found
