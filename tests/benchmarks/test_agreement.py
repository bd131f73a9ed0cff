"""Every case is the same model, trained the same way, in netlang and in PyTorch: what is compared is comparable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cases import CASES, MLP, RESNET20, Case
from benchmarks.conductor import AGREEMENT, CHECKED_STEPS, Disagreement, agree
from benchmarks.frameworks import NETLANG, TORCH
from benchmarks.netlang_side import NetlangSide

LARGE = ("resnet18", "bert", "gpt6")
"""Cases that take long: the suite compares them itself whenever it measures them."""


def small(case: Case) -> Case:
    """A case with a small batch: whether two computations agree does not depend on it."""
    return replace(case, batch=2)


@pytest.fixture(params=[MLP, RESNET20], ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return small(request.param)


@pytest.mark.parametrize("case", [small(case) for case in CASES if case.name not in LARGE], ids=lambda case: case.name)
def test_losses_and_outputs_agree(case: Case) -> None:
    ours, theirs = NetlangSide(case, 1), TORCH.make(case, 1)
    theirs.load(ours.weights())
    inputs = case.inference_inputs(3)
    agree("outputs", {"netlang": ours.infer(ours.place(inputs)), "torch": theirs.infer(theirs.place(inputs))})
    batches = case.training_batches(CHECKED_STEPS)
    losses = {
        framework.name: np.array([side.train_step(side.place(batch)) for batch in batches])
        for framework, side in ((NETLANG, ours), (TORCH, theirs))
    }
    agree("losses", losses)
    assert losses["netlang"][0] != losses["netlang"][1]


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
