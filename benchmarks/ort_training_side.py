"""onnxruntime-training 1.19.2, the last release of Microsoft's training build, with its native gradient kernels.

It wants a Python environment of its own: `pip install onnxruntime-training==1.19.2 onnx==1.16.2 "numpy<2" torch`.
The model and its loss are PyTorch's, exported; its optimizers are AdamW and plain SGD, without parameter groups.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnxruntime.training import artifacts, onnxblock
from onnxruntime.training.api import CheckpointState, Module, Optimizer
from torch import Tensor, nn
from torch.nn import functional as F

from .cases import Case
from .torch_recipes import RECIPES, Loss, Recipe
from .torch_side import to_torch_names

OPSET = 15
"""The highest one whose exported LayerNormalization has a gradient there."""


class OrtTrainingSide:
    """One case in onnxruntime-training: the training step only.

    Raises ValueError for a case whose optimizer it does not have.
    """

    def __init__(self, case: Case, threads: int) -> None:
        self._recipe = RECIPES[case.name]
        if "momentum" in self._recipe.options:
            raise ValueError("onnxruntime-training has no momentum")
        self._loss = _LOSSES.get(case.name, self._recipe.loss)
        torch.set_num_threads(threads)
        self._options = ort.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._model = self._recipe.model(**case.settings)
        self._temporary = tempfile.TemporaryDirectory()
        self._folder = Path(self._temporary.name)
        example = case.training_batches(1)[0]
        self._inputs = self._export({name: torch.from_numpy(array) for name, array in example.items()})
        self._start({})

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Begins anew from netlang's weights."""
        names = to_torch_names(self._model, weights)
        self._start({name: tensor.numpy() for name, tensor in names.items()})

    def place(self, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The arrays in the order of the graph's inputs."""
        return [arrays[name] for name in self._inputs]

    def train_step(self, batch: Sequence[np.ndarray]) -> float:
        """One step; the loss before it."""
        self._optimizer.set_learning_rate(self._recipe.options["lr"] * self._recipe.rate(self._steps))
        loss = self._module(*batch)
        self._optimizer.step()
        self._module.lazy_reset_grad()
        self._steps += 1
        return float(loss)

    def _export(self, example: Mapping[str, Tensor]) -> list[str]:
        """Writes the graphs of the step; the names of its inputs, of which the exporter leaves out what is not used."""
        path = str(self._folder / "model.onnx")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter that it understands is the old one
            torch.onnx.export(
                _Loss(self._model, self._loss, list(example)),
                tuple(example.values()),
                path,
                dynamo=False,
                training=torch.onnx.TrainingMode.TRAINING,
                do_constant_folding=False,
                opset_version=OPSET,
                input_names=list(example),
                output_names=["loss"],
            )
        model = onnx.load(path)
        for node in model.graph.node:
            if node.op_type == "SoftmaxCrossEntropyLoss" and len(node.output) == 1:
                node.output.append(f"{node.output[0]}.log_probabilities")  # its gradient is made from them
        trained = {f"model.{name}" for name, _ in self._model.named_parameters()}
        artifacts.generate_artifacts(
            model,
            requires_grad=[tensor.name for tensor in model.graph.initializer if tensor.name in trained],
            optimizer=_optimizer(self._recipe),
            artifact_directory=str(self._folder),
        )
        return [value.name for value in model.graph.input]

    def _start(self, weights: Mapping[str, np.ndarray]) -> None:
        state = CheckpointState.load_checkpoint(str(self._folder / "checkpoint"))
        paths = [str(self._folder / f"{name}_model.onnx") for name in ("training", "eval", "optimizer")]
        self._module = Module(paths[0], state, paths[1], session_options=self._options)
        for name, array in weights.items():
            state.parameters[f"model.{name}"] = array
        self._module.train()
        self._optimizer = Optimizer(paths[2], self._module)
        self._steps = 0


class _Loss(nn.Module):
    """The loss of a batch, by the names of its parts."""

    def __init__(self, model: nn.Module, loss: Loss, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.names = names

    def forward(self, *batch: Tensor) -> Tensor:
        return self.loss(self.model, dict(zip(self.names, batch, strict=True)))[0]


def _smoothed_translation(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, None]:
    """`torch_recipes.translation(0.1)` in operators that the exporter knows, for sentences of full length."""
    target = batch["target"]
    logits, answer = model(batch["source"], target[:, :-1]).flatten(0, 1), target[:, 1:].flatten()
    return 0.9 * F.cross_entropy(logits, answer) - 0.1 * F.log_softmax(logits, -1).mean(), None


_LOSSES: Mapping[str, Loss] = {"transformer": _smoothed_translation}
"""By the names of the cases, where it is not that of the recipe."""


def _optimizer(recipe: Recipe) -> onnxblock.Block:
    if recipe.optimizer is torch.optim.SGD:
        return onnxblock.optim.SGD()
    clip = None if recipe.clip is None else onnxblock.optim.ClipGradNorm(recipe.clip)
    betas, eps = recipe.options.get("betas", (0.9, 0.999)), recipe.options.get("eps", 1e-8)
    return onnxblock.optim.AdamW(betas=betas, eps=eps, weight_decay=recipe.weight_decay, clip_grad=clip)
