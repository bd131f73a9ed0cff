"""`netlang compile`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from .conftest import netlang

GRAPHS = ["forward.onnx", "train.onnx", "grad.onnx", "apply.onnx", "eval.onnx"]


def test_writes_every_graph_and_says_which(folder: Path) -> None:
    result = netlang("compile", "good.net", "-o", "build")
    assert result.code == 0, result.err
    names = [*GRAPHS, "weights.safetensors", "manifest.json"]
    assert sorted(result.out.splitlines()) == sorted(f"build/{name}" for name in names)
    for name in GRAPHS:
        onnx.checker.check_model(f"build/{name}", full_check=True)
    files = json.loads((folder / "build" / "manifest.json").read_text())["files"]
    assert sorted(files) == sorted(GRAPHS)


def test_the_training_step_learns_with_nothing_but_onnxruntime(folder: Path) -> None:
    assert netlang("compile", "good.net", "-o", "build").code == 0
    from safetensors.numpy import load_file

    session = onnxruntime.InferenceSession("build/train.onnx", providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    outputs = [item.name for item in session.get_outputs()]
    values = dict(load_file("build/weights.safetensors"))
    with np.load("line.npz") as arrays:
        batch = {"x": arrays["x"], "y": arrays["y"]}
    losses = []
    for step in range(50):
        fed = {"step": np.array(step), "steps": np.array(50), "seed": np.array(0)} | batch | values
        results = dict(zip(outputs, session.run(None, {name: fed[name] for name in names}), strict=True))
        losses.append(float(results["loss"]))
        values |= {name.removeprefix("next."): array for name, array in results.items() if name.startswith("next.")}
    assert losses[-1] < losses[0] / 5


def test_the_same_source_gives_the_same_bytes(folder: Path) -> None:
    for name in ("a", "b"):
        assert netlang("compile", "good.net", "--out", name).code == 0
    for path in sorted((folder / "a").iterdir()):
        assert path.read_bytes() == (folder / "b" / path.name).read_bytes(), path.name


def test_seed_and_settings_reach_the_weights(folder: Path) -> None:
    from safetensors.numpy import load_file

    for seed in ("0", "1"):
        assert netlang("compile", "good.net", "-o", seed, "--seed", seed, "--set", "hidden=3").code == 0
    first, second = (load_file(f"{seed}/weights.safetensors") for seed in ("0", "1"))
    assert first["linear.weight"].shape == (3, 2)
    assert (first["linear.weight"] != second["linear.weight"]).all()


def test_without_a_directory_the_model_names_it(folder: Path) -> None:
    assert netlang("compile", "good.net").code == 0
    assert (folder / "build" / "Line" / "train.onnx").exists()


def test_the_graph_can_be_read_after_a_pass(folder: Path) -> None:
    result = netlang("compile", "good.net", "--dump-after", "dead", "--check")
    assert result.code == 0, result.err
    for name in ("forward", "train", "grad", "apply", "eval"):
        assert f"# {name} after dead\n" in result.out
    assert "tanh(" in result.out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["wrong.net"], "shape-mismatch"),
        (["good.net", "--entry", "decode"], "unknown-entry"),
        (["good.net", "--opset", "9"], "opset-unsupported"),
        (["good.net", "--set", "hidden=x"], ""),
        (["good.net", "-o", "good.net/build"], "unwritable-file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_explained(folder: Path, arguments: list[str], code: str) -> None:
    result = netlang("compile", *arguments)
    assert result.code == 1, result.out
    assert result.err.startswith(f"error[{code}")
