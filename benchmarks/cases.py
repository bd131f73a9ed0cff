"""What is measured: models of the library at fixed sizes, with data made from a seed.

Whatever a model would draw (noise, words hidden, words to tell apart) is data here, and nothing is dropped out: so all
frameworks compute the same, and what they compute is compared. This module imports no framework, so that a process that
measures one carries nothing of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

PLANNED_STEPS = 10_000
"""Length of the training that learning-rate schedules believe in."""

_PROGRAMS = Path(__file__).parent / "programs"

Shape = tuple[int | Literal["batch"], ...]


@dataclass(frozen=True, slots=True)
class Field:
    """One input of a model: int64 from `lowest` to below `classes`, or where these are not given float32, normal."""

    shape: Shape
    classes: int | None = None
    lowest: int = 0

    def draw(self, rng: np.random.Generator, batch: int) -> np.ndarray:
        """An array for a batch of this many."""
        shape = tuple(batch if size == "batch" else size for size in self.shape)
        if self.classes is None:
            return rng.standard_normal(shape, dtype=np.float32)
        return rng.integers(self.lowest, self.classes, shape, dtype=np.int64)


Fields = Mapping[str, Field]
Settings = Mapping[str, int | float]


@dataclass(frozen=True, slots=True)
class Case:
    """A model with all sizes.

    `source` and `model` are what `netlang train FILE MODEL` takes, `settings` those of the model and `recipe` those of
    its training. `inputs` are those of the entry that is run, in its order; `training` those of a training step.
    `sizes` are symbolic sizes other than the batch.
    """

    name: str
    title: str
    source: str
    batch: int
    inputs: Fields
    training: Fields
    model: str | None = None
    entry: str = "forward"
    settings: Settings = field(default_factory=dict)
    recipe: Settings = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    inference_batches: tuple[int, ...] = (1, 64)

    @property
    def set(self) -> dict[str, int | float]:
        """What follows `--set`."""
        return {**self.settings, **self.recipe}

    @property
    def dims(self) -> dict[str, int]:
        """Every symbolic size of the training step."""
        return {"batch": self.batch, **self.sizes}

    def training_batches(self, count: int = 8) -> list[dict[str, np.ndarray]]:
        """Different batches to train on, always the same ones; each by input name."""
        rng = np.random.default_rng(1)
        return [{name: field.draw(rng, self.batch) for name, field in self.training.items()} for _ in range(count)]

    def inference_inputs(self, batch: int) -> dict[str, np.ndarray]:
        """One batch to run the model on, by input name."""
        rng = np.random.default_rng(2)
        return {name: field.draw(rng, batch) for name, field in self.inputs.items()}


def _images(*shape: int, classes: int) -> dict[str, Any]:
    """The inputs of a model that classifies images."""
    inputs = {"image": Field(("batch", *shape))}
    return {"inputs": inputs, "training": {**inputs, "label": Field(("batch",), classes)}}


def _gpt(name: str, batch: int, layers: int, d: int, h: int, context: int, batches: tuple[int, ...]) -> Case:
    tokens = Field(("batch", context), 65)
    return Case(
        name,
        f"GPT, {layers} layers, d {d}, context {context}, batch {batch}",
        source="std:GPT",
        batch=batch,
        inputs={"tokens": tokens},
        training={"tokens": tokens, "target": tokens},
        settings={"vocab": 65, "d": d, "layers": layers, "h": h, "context": context},
        sizes={"t": context},
        inference_batches=batches,
    )


MLP = Case(
    "mlp",
    "MLP 784-512-512-10, batch 128",
    source=str(_PROGRAMS / "mlp.net"),
    batch=128,
    **_images(784, classes=10),
    inference_batches=(1, 512),
)

LENET5 = Case(
    "lenet5",
    "LeNet-5, 1×32×32, batch 64",
    source="std:LeNet5",
    batch=64,
    **_images(1, 32, 32, classes=10),
    inference_batches=(1, 256),
)

RESNET20 = Case(
    "resnet20",
    "ResNet-20, 3×32×32, batch 32",
    source="std:ResNet20",
    batch=32,
    **_images(3, 32, 32, classes=10),
    recipe={"lr": 0.01},  # at the library's 0.1 the first steps multiply whatever was rounded
    sizes={"height": 32, "width": 32},
    inference_batches=(1, 128),
)

RESNET18 = Case(
    "resnet18",
    "ResNet-18, 3×224×224, batch 8",
    source="std:ResNet18",
    batch=8,
    **_images(3, 224, 224, classes=1000),
    recipe={"lr": 0.001},  # as for ResNet-20
    sizes={"height": 224, "width": 224},
    inference_batches=(1, 8),
)

LSTM = Case(
    "lstm",
    "LSTM, 64 steps, 128 units, batch 32",
    source=str(_PROGRAMS / "lstm.net"),
    batch=32,
    inputs={"x": Field(("batch", 64, 128))},
    training={"x": Field(("batch", 64, 128)), "label": Field(("batch",), 10)},
    sizes={"t": 64},
    inference_batches=(1, 32),
)

SEQ2SEQ = Case(
    "seq2seq",
    "GRU with attention, d 256, 20 to 20 words, batch 64",
    source="std:Seq2Seq",
    batch=64,
    inputs={"source": Field(("batch", 20), 8000, 3), "target": Field(("batch", 20), 8000, 3)},
    training={"source": Field(("batch", 20), 8000, 3), "target": Field(("batch", 21), 8000, 3)},
    settings={"source_vocab": 8000, "target_vocab": 8000, "d": 256, "n": 256},
    sizes={"s": 20, "t": 21},
)

TRANSFORMER = Case(
    "transformer",
    "Transformer, 3+3 layers, d 256, 30 to 30 words, batch 64",
    source="std:Transformer",
    batch=64,
    inputs={"source": Field(("batch", 30), 8000, 3), "target": Field(("batch", 30), 8000, 3)},
    training={"source": Field(("batch", 30), 8000, 3), "target": Field(("batch", 31), 8000, 3)},
    settings={"vocab": 8000, "d": 256, "layers": 3, "h": 8, "ff": 512, "drop": 0.0},
    sizes={"s": 30, "t": 31},
)

BERT = Case(
    "bert",
    "BERT, 4 layers, d 256, 128 tokens, batch 16",
    source=str(_PROGRAMS / "bert.net"),
    batch=16,
    entry="encode",
    inputs={"tokens": Field(("batch", 128), 30522, 1000), "segments": Field(("batch", 128), 2)},
    training={
        "tokens": Field(("batch", 128), 30522, 1000),
        "segments": Field(("batch", 128), 2),
        "random_next": Field(("batch",), 2),
        "place": Field((304,), 16 * 128),
        "word": Field((304,), 30522, 1000),
    },
    settings={"d": 256, "layers": 4, "h": 4, "context": 128, "drop": 0.0},
    sizes={"t": 128, "hidden": 304},
    inference_batches=(1, 16),
)

GPT = _gpt("gpt", batch=12, layers=4, d=128, h=4, context=64, batches=(1, 32))

GPT6 = _gpt("gpt6", batch=8, layers=6, d=384, h=6, context=256, batches=(1, 8))

VAE = Case(
    "vae",
    "VAE 784-400-20, batch 128",
    source=str(_PROGRAMS / "vae.net"),
    batch=128,
    entry="decode",
    inputs={"z": Field(("batch", 20))},
    training={"x": Field(("batch", 784)), "noise": Field(("batch", 20))},
    inference_batches=(1, 512),
)

DDPM = Case(
    "ddpm",
    "DDPM U-Net, 1×28×28, batch 32",
    source=str(_PROGRAMS / "ddpm.net"),
    batch=32,
    inputs={"x": Field(("batch", 1, 28, 28)), "t": Field(("batch",), 400)},
    training={
        "noisy": Field(("batch", 1, 28, 28)),
        "time": Field(("batch",), 400),
        "noise": Field(("batch", 1, 28, 28)),
    },
    inference_batches=(1, 32),
)


def _on_cora(name: str, title: str, source: str) -> Case:
    """A network on a graph with as many nodes, features, edges and classes as Cora."""
    graph = {"x": Field((2708, 1433)), "edges": Field((2, 10556), 2708)}
    return Case(
        name,
        f"{title}, the size of Cora",
        source=source,
        batch=1,
        inputs=graph,
        training={**graph, "label": Field((2708,), 7)},
        settings={"drop": 0.0},
        sizes={"nodes": 2708, "e": 10556},
        inference_batches=(1,),
    )


GCN = _on_cora("gcn", "GCN", "std:GCN")
GAT = _on_cora("gat", "GAT", "std:GAT")


def _skip_gram(name: str, how: str, batches: tuple[int, ...]) -> Case:
    return Case(
        name,
        f"skip-gram{how}, 10,000 words, d 100, batch 512",
        source=str(_PROGRAMS / f"{name}.net"),
        batch=512,
        inputs={"word": Field(("batch",), 10_000)},
        training={
            "word": Field(("batch",), 10_000),
            "near": Field(("batch",), 10_000),
            "far": Field(("batch", 5), 10_000),
        },
        settings={"vocab": 10_000, "d": 100},
        inference_batches=batches,
    )


SKIP_GRAM = _skip_gram("skip_gram", "", (1, 512))
SKIP_GRAM_DESCENT = _skip_gram("skip_gram_descent", " by gradient descent", ())

CASES: tuple[Case, ...] = (
    *(MLP, LENET5, RESNET20, RESNET18, LSTM, SEQ2SEQ, TRANSFORMER, BERT),
    *(GPT, GPT6, VAE, DDPM, GCN, GAT, SKIP_GRAM, SKIP_GRAM_DESCENT),
)
"""Every model that is trained and run."""


def case_named(name: str) -> Case:
    """The case with this name. Raises KeyError."""
    return {case.name: case for case in CASES}[name]
