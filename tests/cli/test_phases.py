"""A training in phases from the command line: what is shown, logged, written and resumed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from .conftest import netlang

GAN = ("std:GAN", "--set", "latent=4", "--set", "hidden=8", "--set", "pixels=64")
LOSSES = ["loss", "discriminate.loss", "generate.loss"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_loss_of_each_phase_is_shown_and_logged() -> None:
    result = netlang("train", *GAN, "--data", "digits", "--steps", "20", "--out", "run")
    assert result.code == 0, result.err
    assert all(f" {name} " in result.err for name in LOSSES)
    records = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    for record in records:
        assert set(LOSSES) <= record.keys()
        parts = record["discriminate.loss"] + record["generate.loss"]
        assert record["loss"] == pytest.approx(parts, rel=1e-5)
    assert records[0]["kind"] == "train"
    evaluated = json.loads(netlang("eval", "run", "--json").out)
    assert set(LOSSES) <= evaluated.keys()


def test_a_resumed_training_is_the_uninterrupted_one() -> None:
    train = ("train", *GAN, "--data", "digits", "--batch", "32")
    assert netlang(*train, "--steps", "12", "--out", "whole").code == 0
    assert netlang(*train, "--steps", "5", "--out", "parts").code == 0
    assert netlang("train", "--resume", "parts", "--steps", "12").code == 0
    whole, parts = (load_file(f"{run}/checkpoints/last.safetensors") for run in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, parts[name], err_msg=name)


def test_compiling_leaves_the_whole_step_alone() -> None:
    assert netlang("compile", *GAN, "-o", "build").code == 0
    assert {path.name for path in Path("build").glob("*.onnx")} == {
        "generate.onnx",
        "judge.onnx",
        "sample.onnx",
        "train.onnx",
        "eval.onnx",
    }
