"""`augment` blocks: in training alone, seeded by step and seed, in every engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from netlang.compiler import Network
from netlang.compiler.batching import why_mixed
from netlang.runtime.artifacts import compile_network
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.trainer import Trainer
from netlang.runtime.whole_engine import WholeEngine

from ..stdlib.harness import program

RNG = np.random.default_rng(3)
BATCH = {"image": RNG.random((12, 2, 6, 6), np.float32), "label": RNG.integers(0, 3, 12)}

TEXT = """
use std.layers: linear
use std.augment: random_crop, random_flip, cutout
model Net(image: f32[b, 2, 6, 6]) -> f32[b, 3] { return image |> flatten |> linear(3) }
train Net(crop: int = 2) {
  in label: i64[b]
  BLOCK
  logits = forward(image)
  minimize cross_entropy(logits, label)
  report accuracy(logits, label)
  optimizer sgd(0.1)
}
"""
BLOCK = "augment { image = image |> random_crop(crop) |> random_flip() |> cutout(2) }"


def network(block: str = BLOCK) -> Network:
    return program(TEXT.replace("BLOCK", block)).network()


def losses(network: Network, steps: int = 3, seed: int = 0, threads: int = 1) -> list[float]:
    trainer = Trainer(BoundNetwork(network), seed=seed, threads=threads)
    return [trainer.step(**BATCH)["loss"] for _ in range(steps)]


def test_evaluation_and_inference_see_data_as_it_is() -> None:
    plain, varied = network(""), network()
    assert str(varied.eval_graph()) == str(plain.eval_graph())
    assert str(varied.graph()) == str(plain.graph())
    assert losses(varied) != losses(plain)


def test_it_depends_on_the_seed_and_on_nothing_else() -> None:
    first = losses(network())
    assert first == losses(network())
    assert first != losses(network(), seed=1)


def test_each_step_draws_anew() -> None:
    """With a rate of 0, only the images change from step to step."""
    text = TEXT.replace("BLOCK", BLOCK).replace("sgd(0.1)", "sgd(0.0)")
    assert len(set(losses(program(text).network(), steps=4))) == 4


def test_parts_of_a_batch_are_varied_as_in_the_whole() -> None:
    varied = network()
    assert why_mixed(varied.loss_graph) is None
    trainer = Trainer(BoundNetwork(varied), seed=5, threads=2)
    whole = WholeEngine(varied, seed=5)
    for _ in range(3):
        assert trainer.step(**BATCH)["loss"] == pytest.approx(whole.step(BATCH)["loss"], rel=1e-5)


def test_a_resumed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    trainer = Trainer(BoundNetwork(network()), seed=2, threads=1)
    for _ in range(2):
        trainer.step(**BATCH)
    trainer.save(tmp_path / "run")
    expected = [trainer.step(**BATCH)["loss"] for _ in range(3)]
    restored = Trainer.restore(tmp_path / "run")
    assert [restored.step(**BATCH)["loss"] for _ in range(3)] == expected


@pytest.mark.parametrize(
    "block",
    [
        "if crop > 5 { augment { image = image |> random_crop(crop) } }",
        "augment { if crop > 5 { image = image |> random_crop(crop) } }",
    ],
)
def test_a_setting_can_turn_it_off(block: str) -> None:
    assert losses(network(block)) == losses(network(""))


def test_several_inputs_and_names_of_its_own() -> None:
    """Labels may be varied too, and a second block goes on from the first."""
    block = """
    augment {
      wrong = uniform(b) < 0.5
      label = select(wrong, 0, label)
      repeat 2 { image = image |> random_flip() }
    }
    augment { image = image |> cutout(2) }
    """
    assert len(set(losses(network(block)))) == 3


@pytest.mark.parametrize("own", [0, 1])
def test_in_a_phase_it_is_for_that_phase_alone(own: int) -> None:
    text = """
    use std.layers: linear
    use std.augment: random_noise
    model Net() {
      let first = linear(1)
      let second = linear(1)
      entry forward(x: f32[b, 4]) -> f32[b, 1] { return first(x) + second(x) }
    }
    train Net {
      phase a updates first { BLOCK0 minimize mse(forward(x), ones(b, 1)); report size = mean(x); optimizer sgd(0.0) }
      phase c updates second { BLOCK1 minimize mse(forward(x), ones(b, 1)); report size = mean(x); optimizer sgd(0.0) }
    }
    """
    x = RNG.standard_normal((8, 4)).astype(np.float32)
    for phase in (0, 1):
        text = text.replace(f"BLOCK{phase}", "augment { x = x |> random_noise(1.0) };" if phase == own else "")
    found = Trainer(BoundNetwork(program(text).network()), threads=1).step(x=x)
    sizes = [found["a.size"], found["c.size"]]
    assert sizes[1 - own] == pytest.approx(float(x.mean()), abs=1e-6)
    assert abs(sizes[own] - float(x.mean())) > 1e-3


def test_it_is_part_of_the_step_that_is_compiled(tmp_path: Path) -> None:
    """`train.onnx` needs nothing outside it."""
    files = {path.name for path in compile_network(BoundNetwork(network()), tmp_path)}
    assert {"train.onnx", "grad.onnx", "eval.onnx", "forward.onnx"} <= files
