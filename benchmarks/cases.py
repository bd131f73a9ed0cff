"""What is measured: models of the library at fixed sizes, with data made from a seed.

This module imports no framework, so that a process that measures one carries nothing of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

PLANNED_STEPS = 10_000
"""Length of the training that learning-rate schedules believe in."""

_PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True, slots=True)
class Field:
    """One input of a model: float32 from the normal distribution, or int64 below `classes`."""

    shape: tuple[int, ...]
    classes: int | None = None

    def draw(self, rng: np.random.Generator, batch: int) -> np.ndarray:
        """An array for a batch of this many."""
        shape = (batch, *self.shape)
        if self.classes is None:
            return rng.standard_normal(shape, dtype=np.float32)
        return rng.integers(0, self.classes, shape, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Case:
    """A model with all sizes.

    `source`, `model` and `settings` are what `netlang train FILE MODEL --set …` takes. `inputs` are the inputs of
    inference, `targets` what training needs besides. `sizes` are symbolic sizes other than the batch.
    """

    name: str
    title: str
    source: str
    batch: int
    inputs: Mapping[str, Field]
    targets: Mapping[str, Field]
    model: str | None = None
    settings: Mapping[str, int | float] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    inference_batches: tuple[int, ...] = (1, 64)

    @property
    def dims(self) -> dict[str, int]:
        """Every symbolic size of the training step."""
        return {"batch": self.batch, **self.sizes}

    def training_batches(self, count: int = 8) -> list[dict[str, np.ndarray]]:
        """Different batches to train on, always the same ones; each by input name."""
        rng = np.random.default_rng(1)
        fields = {**self.inputs, **self.targets}
        return [{name: field.draw(rng, self.batch) for name, field in fields.items()} for _ in range(count)]

    def inference_inputs(self, batch: int) -> dict[str, np.ndarray]:
        """One batch to run the model on, by input name."""
        rng = np.random.default_rng(2)
        return {name: field.draw(rng, batch) for name, field in self.inputs.items()}


def _gpt(layers: int, width: int, heads: int, context: int) -> dict[str, int]:
    return {"vocab": 65, "d": width, "layers": layers, "h": heads, "context": context}


MLP = Case(
    "mlp",
    "MLP 784-512-512-10, batch 128",
    source=str(_PROGRAMS / "mlp.net"),
    batch=128,
    inputs={"image": Field((784,))},
    targets={"label": Field((), classes=10)},
    inference_batches=(1, 512),
)

LENET5 = Case(
    "lenet5",
    "LeNet-5, 1×32×32, batch 64",
    source="std:LeNet5",
    batch=64,
    inputs={"image": Field((1, 32, 32))},
    targets={"label": Field((), classes=10)},
    inference_batches=(1, 256),
)

RESNET20 = Case(
    "resnet20",
    "ResNet-20, 3×32×32, batch 32",
    source="std:ResNet20",
    batch=32,
    inputs={"image": Field((3, 32, 32))},
    targets={"label": Field((), classes=10)},
    sizes={"height": 32, "width": 32},
    inference_batches=(1, 128),
)

GPT = Case(
    "gpt",
    "GPT, 4 layers, d 128, context 64, batch 12",
    source="std:GPT",
    batch=12,
    inputs={"tokens": Field((64,), classes=65)},
    targets={"target": Field((64,), classes=65)},
    settings=_gpt(layers=4, width=128, heads=4, context=64),
    sizes={"t": 64},
    inference_batches=(1, 32),
)

CASES: tuple[Case, ...] = (MLP, LENET5, RESNET20, GPT)
"""Every model that is trained and run."""


def case_named(name: str) -> Case:
    """The case with this name. Raises KeyError."""
    return {case.name: case for case in CASES}[name]
