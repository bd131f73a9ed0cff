"""Every case is the same model, trained the same way, in netlang and its peers: what is compared is comparable."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.cases import CASES, GCN, LSTM, MLP, RESNET20, Case
from benchmarks.conductor import AGREEMENT, CHECKED_STEPS, Disagreement, agree
from benchmarks.frameworks import JAX, NETLANG, ORT_TRAINING, TORCH, TORCH_ONNX, Framework
from benchmarks.netlang_side import NetlangSide

LARGE = ("resnet18", "bert", "gpt6")
"""Cases that take long: the suite compares them itself whenever it measures them."""


def small(case: Case) -> Case:
    """A case with a small batch: whether two computations agree does not depend on it."""
    return replace(case, batch=2)


@pytest.fixture(params=[MLP, RESNET20], ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return small(request.param)


def compare_sides(case: Case, peer: Framework) -> None:
    """Fails where a peer's outputs or losses are not netlang's."""
    ours, theirs = NetlangSide(case, 1), peer.make(case, 1)
    theirs.load(ours.weights())
    sides = {NETLANG.name: ours, peer.name: theirs}
    if peer.infers:
        inputs = case.inference_inputs(3)
        agree("outputs", {name: side.infer(side.place(inputs)) for name, side in sides.items()})
    if peer.trains:
        batches = case.training_batches(CHECKED_STEPS)
        losses = {
            name: np.array([side.train_step(side.place(batch)) for batch in batches]) for name, side in sides.items()
        }
        agree("losses", losses)
        assert losses["netlang"][0] != losses["netlang"][1]


@pytest.mark.parametrize("case", [small(case) for case in CASES if case.name not in LARGE], ids=lambda case: case.name)
def test_losses_and_outputs_agree(case: Case) -> None:
    compare_sides(case, TORCH)


def test_outputs_of_the_export_agree() -> None:
    compare_sides(small(MLP), TORCH_ONNX)


@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed here: benchmarks take it from elsewhere")
@pytest.mark.parametrize("case", [MLP, RESNET20, LSTM, GCN], ids=lambda case: case.name)
def test_jax_agrees(case: Case) -> None:
    compare_sides(small(case), JAX)


@pytest.mark.skipif(find_spec("onnxruntime.training") is None, reason="onnxruntime-training is not installed here")
@pytest.mark.parametrize("case", [MLP, LSTM], ids=lambda case: case.name)
def test_onnxruntime_training_agrees(case: Case) -> None:
    compare_sides(small(case), ORT_TRAINING)


def test_a_round_begins_anew(case: Case) -> None:
    ours = NetlangSide(case, 1)
    batch = ours.place(case.training_batches(1)[0])
    first = [ours.train_step(batch) for _ in range(2)]
    ours.load(ours.weights())
    assert [ours.train_step(batch) for _ in range(2)] == first


def test_difference_is_refused() -> None:
    reference = np.array([2.0, 1.0])
    agree("losses", {"a": reference, "b": reference + AGREEMENT})
    with pytest.raises(Disagreement, match=r"the losses of a and b differ by 0\.00015"):
        agree("the losses", {"a": reference, "b": reference + 3 * AGREEMENT})
    with pytest.raises(Disagreement, match="inf"):
        agree("the losses", {"a": reference, "b": reference[:1]})
    with pytest.raises(Disagreement, match="nan"):
        agree("the losses", {"a": reference, "b": reference * np.nan})
