"""onnxruntime-training 1.19.2, the last release of Microsoft's training build, with its native gradient kernels.

It wants a Python environment of its own: `pip install onnxruntime-training==1.19.2 onnx==1.16.2 "numpy<2" torch`.
The model is PyTorch's, exported; its optimizers are AdamW and plain SGD, without parameter groups.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnxruntime.training import artifacts, onnxblock
from onnxruntime.training.api import CheckpointState, Module, Optimizer
from torch import Tensor, nn

from .cases import Case
from .torch_recipes import RECIPES, Recipe
from .torch_side import to_torch_names

OPSET = 15
"""The highest one whose exported LayerNormalization has a gradient there."""


class OrtTrainingSide:
    """One case in onnxruntime-training: the training step only.

    Raises ValueError for a case whose optimizer it does not have.
    """

    def __init__(self, case: Case, threads: int) -> None:
        self._recipe = RECIPES[case.name]
        if self._recipe.optimizer is torch.optim.SGD:
            raise ValueError("onnxruntime-training has no momentum")
        torch.set_num_threads(threads)
        self._inputs = tuple(case.inputs)
        self._options = ort.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._model = self._recipe.model(**case.settings)
        self._temporary = tempfile.TemporaryDirectory()
        self._folder = Path(self._temporary.name)
        example = case.training_batches(1)[0]
        self._export(tuple(torch.from_numpy(example[name]) for name in self._inputs))
        self._start({})

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Begins anew from netlang's weights."""
        names = to_torch_names(self._model, weights)
        self._start({name: tensor.numpy() for name, tensor in names.items()})

    def place(self, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """Inputs, then targets with their axes flattened as the loss wants them."""
        return (*(arrays[name] for name in self._inputs), arrays[self._recipe.target].ravel())

    def train_step(self, batch: tuple[np.ndarray, ...]) -> float:
        """One step; the loss before it."""
        self._optimizer.set_learning_rate(self._recipe.options["lr"] * self._recipe.rate(self._steps))
        loss = self._module(*batch)
        self._optimizer.step()
        self._module.lazy_reset_grad()
        self._steps += 1
        return float(loss)

    def _export(self, example: tuple[Tensor, ...]) -> None:
        path = str(self._folder / "model.onnx")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter that it understands is the old one
            torch.onnx.export(
                _Flat(self._model),
                example,
                path,
                dynamo=False,
                training=torch.onnx.TrainingMode.TRAINING,
                do_constant_folding=False,
                opset_version=OPSET,
                input_names=list(self._inputs),
                output_names=["logits"],
            )
        model = onnx.load(path)
        artifacts.generate_artifacts(
            model,
            requires_grad=[tensor.name for tensor in model.graph.initializer],
            loss=artifacts.LossType.CrossEntropyLoss,
            optimizer=_optimizer(self._recipe),
            artifact_directory=str(self._folder),
        )

    def _start(self, weights: Mapping[str, np.ndarray]) -> None:
        state = CheckpointState.load_checkpoint(str(self._folder / "checkpoint"))
        paths = [str(self._folder / f"{name}_model.onnx") for name in ("training", "eval", "optimizer")]
        self._module = Module(paths[0], state, paths[1], session_options=self._options)
        for name, array in weights.items():
            state.parameters[f"model.{name}"] = array
        self._module.train()
        self._optimizer = Optimizer(paths[2], self._module)
        self._steps = 0


class _Flat(nn.Module):
    """A model whose logits are one row for each target."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.model(*inputs).flatten(0, -2)


def _optimizer(recipe: Recipe) -> onnxblock.Block:
    clip = None if recipe.clip is None else onnxblock.optim.ClipGradNorm(recipe.clip)
    betas = recipe.options.get("betas", (0.9, 0.999))
    return onnxblock.optim.AdamW(betas=betas, eps=1e-8, weight_decay=recipe.weight_decay, clip_grad=clip)
