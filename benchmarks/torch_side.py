"""PyTorch as the peer: eager by default, with its fused optimizers and attention, or `torch.compile`."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from .cases import Case
from .torch_recipes import RECIPES


class TorchSide:
    """One case in PyTorch."""

    def __init__(self, case: Case, threads: int, *, compiled: bool = False) -> None:
        torch.set_num_threads(threads)
        self._recipe = RECIPES[case.name]
        self._model = self._recipe.model(**case.settings)
        self._inputs = tuple(case.inputs)
        if compiled:
            self._cache = tempfile.TemporaryDirectory()
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = self._cache.name  # what was compiled before does not count
        self._loss = torch.compile(self._recipe.loss) if compiled else self._recipe.loss
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
        loss, logits = self._loss(self._model, batch)
        loss.backward()
        if self._recipe.clip is not None:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._recipe.clip)
        self._optimizer.step()
        self._schedule.step()
        if logits is not None:
            self._report(logits.detach(), batch[self._recipe.target])
        return loss.item()

    def infer(self, inputs: Mapping[str, Tensor]) -> np.ndarray:
        """The model's first output in inference mode."""
        if self._model.training:
            self._model.eval()
        with torch.inference_mode():
            result = self._infer(*(inputs[name] for name in self._inputs))
        return (result[0] if isinstance(result, tuple) else result).numpy()

    def _report(self, logits: Tensor, target: Tensor) -> list[float]:
        """The share of targets among the first so many guesses."""
        guesses = [logits.topk(count, -1).indices if count > 1 else logits.argmax(-1)[..., None]
                   for count in self._recipe.accuracies]  # fmt: skip
        return [(found == target[..., None]).any(-1).float().mean().item() for found in guesses]

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
            **{"fused": True, **self._recipe.options},
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, self._recipe.rate)


_SUFFIXES = {"scale": "weight", "shift": "bias", "running_variance": "running_var"}
_WRAPPED = re.compile(r"(convolution(?:_\d+)?|halved\.\d+)\.conv2d|((?:dense(?:_\d+)?|follows))\.linear")
"""Layers of the library that wrap another, which is a layer of its own there."""


def to_torch_names(model: nn.Module, weights: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """netlang's weights as a state of `model`. Raises ValueError where names or shapes do not agree."""
    state = dict(model.state_dict())
    found: dict[str, Tensor] = {}
    for name, array in weights.items():
        stem, _, last = _WRAPPED.sub(lambda match: match[1] or match[2], name).rpartition(".")
        own = f"{stem}.{_SUFFIXES.get(last, last)}"
        found[own if own in state else f"{own}_l0"] = torch.from_numpy(array)  # recurrent layers are numbered
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            found[name] = tensor
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    given = {name: tuple(tensor.shape) for name, tensor in found.items()}
    if shapes != given:
        different = sorted(set(shapes.items()) ^ set(given.items()))
        raise ValueError(f"the models differ: {different[:6]}")
    return found
