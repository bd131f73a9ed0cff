"""The frameworks that are measured: what they are called, what they can do, and how their side is made.

A side is imported when it is made, so that a process carries one framework only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .cases import CASES, Case


class Side(Protocol):
    """One case in one framework, which trains it, runs it, or both."""

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Begins anew from these weights, by netlang's names; the optimizer and the schedule too."""
        ...

    def place(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """A batch as the framework takes it."""
        ...


class TrainingSide(Side, Protocol):
    """A side that takes training steps."""

    def train_step(self, batch: Any) -> float:
        """One complete step; the loss before it."""
        ...


class InferringSide(Side, Protocol):
    """A side that runs the model by itself."""

    def infer(self, inputs: Any) -> np.ndarray:
        """The model's output."""
        ...


@dataclass(frozen=True, slots=True)
class Framework:
    """`make` imports it and makes its side for a case and threads; `cases` names those it has, if not all.

    `package` is the one whose version tells which it is. `serial` names the cases it gets right on one thread only.
    """

    name: str
    title: str
    package: str
    make: Callable[[Case, int], Side]
    trains: bool = True
    infers: bool = True
    cases: frozenset[str] | None = None
    serial: frozenset[str] = frozenset()

    def has(self, case: Case, threads: int) -> bool:
        """Whether the case can be measured with it on so many threads."""
        if threads > 1 and case.name in self.serial:
            return False
        return (self.cases is None or case.name in self.cases) and (self.trains or bool(case.inference_batches))


def _netlang(case: Case, threads: int) -> Side:
    from .netlang_side import NetlangSide

    return NetlangSide(case, threads)


def _torch(case: Case, threads: int) -> Side:
    from .torch_side import TorchSide

    return TorchSide(case, threads)


def _torch_compile(case: Case, threads: int) -> Side:
    from .torch_side import TorchSide

    return TorchSide(case, threads, compiled=True)


def _torch_onnx(case: Case, threads: int) -> Side:
    from .torch_onnx_side import TorchOnnxSide

    return TorchOnnxSide(case, threads)


def _ort_training(case: Case, threads: int) -> Side:
    from .ort_training_side import OrtTrainingSide

    return OrtTrainingSide(case, threads)


def _jax(case: Case, threads: int) -> Side:
    from .jax_side import JaxSide

    return JaxSide(case, threads)


NETLANG = Framework("netlang", "netlang", "netlang", _netlang)
TORCH = Framework("torch", "PyTorch eager", "torch", _torch)
TORCH_COMPILE = Framework(
    "torch.compile",
    "torch.compile",
    "torch",
    _torch_compile,
    cases=frozenset(case.name for case in CASES) - {"skip_gram_descent"},
)
TORCH_ONNX = Framework(
    "torch.onnx",
    "PyTorch's ONNX export",
    "torch",
    _torch_onnx,
    trains=False,
    serial=frozenset({"gcn", "gat"}),  # the threads of its ScatterND lose sums where positions repeat
)
ORT_TRAINING = Framework(
    "onnxruntime-training",
    "onnxruntime-training",
    "onnxruntime-training",
    _ort_training,
    infers=False,
    cases=frozenset({"mlp", "lenet5", "lstm", "seq2seq", "transformer", "bert", "gpt", "gpt6", "vae"})
    | {"skip_gram", "skip_gram_descent"},
)
JAX = Framework("jax", "JAX jit", "jax", _jax)

FRAMEWORKS: dict[str, Framework] = {
    framework.name: framework for framework in (NETLANG, TORCH, TORCH_ONNX, TORCH_COMPILE, ORT_TRAINING, JAX)
}
"""Every framework by its name; ratios refer to the first."""
