"""`netlang eval`, `run` and `export`: what is done with a trained network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from .conftest import fill, netlang

X = np.array([[0.5, -1.0], [2.0, 0.25]], np.float32)


def weights(run: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(run / "checkpoints" / "last.safetensors")


def by_hand(run: Path, x: np.ndarray) -> np.ndarray:
    """What `good.net` computes, in NumPy."""
    w = weights(run)
    hidden = np.tanh(x @ w["linear.weight"].T + w["linear.bias"])
    return hidden @ w["linear_2.weight"].T + w["linear_2.bias"]


@pytest.fixture
def data(run: Path, folder: Path) -> Path:
    """A working directory with the run in it, so that `netlang eval` finds the data by its relative name."""
    shutil.copytree(run, folder / "run")
    return folder


def test_eval_is_exact_over_a_last_partial_batch(run: Path, data: Path) -> None:
    with np.load("line.npz") as arrays:
        x, y = arrays["x_test"], arrays["y_test"]
    error = by_hand(run, x) - y
    result = netlang("eval", "run", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert list(found) == ["loss", "mae"]
    np.testing.assert_allclose([found["loss"], found["mae"]], [np.mean(error**2), np.mean(np.abs(error))], rtol=1e-5)


def test_eval_takes_other_data_and_another_split(run: Path, data: Path) -> None:
    np.savez("other.npz", x=X, y=by_hand(run, X))
    result = netlang("eval", "run", "--data", "npz:other.npz")
    assert result.out == "train  loss 0.0000  mae 0.0000\n" or "e-" in result.out
    result = netlang("eval", "run", "--split", "train")
    assert result.out.startswith("train  loss ")
    result = netlang("eval", "run", "--split", "validation")
    assert result.code == 1
    assert "has no split `validation`" in result.err


@pytest.mark.parametrize("form", ["npy", "npz", "npz with one array", "json"])
def test_run_reads_inputs_of_every_form(run: Path, folder: Path, form: str) -> None:
    np.save("x.npy", X)
    np.savez("x.npz", x=X, other=X[:1])
    np.savez("one.npz", anything=X)
    value = {"npy": "x.npy", "npz": "x.npz", "npz with one array": "one.npz", "json": json.dumps(X.tolist())}[form]
    result = netlang("run", str(run), "forward", "--input", f"x={value}", "--json")
    assert result.code == 0, result.err
    (found,) = json.loads(result.out).values()
    np.testing.assert_allclose(found, by_hand(run, X), rtol=1e-5)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_run_writes_its_results(run: Path, folder: Path, suffix: str) -> None:
    np.save("x.npy", X)
    result = netlang("run", str(run), "--input", "x=x.npy", "--out", f"y.{suffix}")
    assert result.code == 0, result.err
    assert result.out.startswith("output: f32[2, 1]\n[[")
    loaded = np.load(f"y.{suffix}")
    array = loaded if suffix == "npy" else loaded["output"]
    np.testing.assert_allclose(array, by_hand(run, X), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["forward"], "missing-input", "`x`"),
        (["forwrad", "--input", "x=[[1, 2]]"], "unknown-entry", "did you mean `forward`?"),
        (["--input", "X=[[1, 2]]"], "wrong-input", "there is no input `X`"),
        (["--input", "x=[[1, 2, 3]]"], "wrong-input", "f32[batch, 2]"),
        (["--input", "x=[[1, 2], [3]]"], "wrong-input", "`x`"),
        (["--input", "x=absent.npy"], "unreadable-file", "absent.npy"),
        (["--input", "x=absent"], "wrong-input", "`absent` is nothing that the input `x` can be"),
        (["--input", "x=text:hello"], "wrong-input", "not trained on text"),
        (["--input", "x=two.npz"], "missing-input", "`two.npz` has no array `x`"),
        (["--input", "x=broken.npy"], "bad-data", "broken.npy"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_run_explains_a_wrong_input(run: Path, folder: Path, arguments: list[str], code: str, message: str) -> None:
    np.savez("two.npz", a=X, b=X)
    (folder / "broken.npy").write_bytes(b"\x93NUMPY\x01\x00")
    result = netlang("run", str(run), *arguments)
    assert result.code == 1, result.out
    assert result.err.startswith(f"error[{code}]")
    assert message in result.err


def test_export_writes_a_model_that_onnxruntime_runs_by_itself(run: Path, folder: Path) -> None:
    result = netlang("export", str(run), "-o", "line.onnx")
    assert (result.code, result.out) == (0, "line.onnx\n"), result.err
    onnx.checker.check_model("line.onnx", full_check=True)
    session = onnxruntime.InferenceSession("line.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": X})
    np.testing.assert_allclose(found, by_hand(run, X), rtol=1e-5)


def test_export_takes_an_operator_set(run: Path, folder: Path) -> None:
    assert netlang("export", str(run), "-o", "line.onnx", "--opset", "21").code == 0
    versions = {item.domain: item.version for item in onnx.load("line.onnx").opset_import}
    assert versions[""] == 21
    result = netlang("export", str(run), "-o", "line.onnx", "--opset", "9")
    assert result.code == 1
    assert "error[opset-unsupported]" in result.err


@pytest.mark.parametrize("command", [["eval"], ["run"], ["export", "-o", "x.onnx"]], ids=lambda command: command[0])
def test_what_is_no_run_is_refused(folder: Path, command: list[str]) -> None:
    name, *rest = command
    result = netlang(name, "nowhere", *rest)
    assert result.code == 1
    assert "error[no-run]: `nowhere` is no directory of a run" in result.err


def test_a_model_of_a_run_is_not_the_run(run: Path, folder: Path) -> None:
    result = netlang("run", str(run / "model.onnx"))
    assert (result.code, f"it is part of the run `{run}`" in result.err) == (1, True)
    result = netlang("summary", str(run / "model.onnx"))
    assert (result.code, f"`netlang import {run / 'model.onnx'} -o DIR`" in result.err) == (1, True)


@pytest.mark.parametrize("damage", ["truncated", "emptied", "foreign", "missing"])
def test_a_damaged_checkpoint_is_explained(run: Path, folder: Path, damage: str) -> None:
    shutil.copytree(run, "run")
    path = Path("run/checkpoints/last.safetensors")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-8])
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "missing":
        path.unlink()
    else:
        fill(folder)
        assert netlang("train", "good.net", "--data", "npz:line.npz", "--set", "hidden=2", "--steps", "1").code == 0
        shutil.copy("runs/Line-1/checkpoints/last.safetensors", path)
    result = netlang("run", "run", "--checkpoint", "last", "--input", "x=[[1, 2]]")
    assert result.code == 1
    code = {"missing": "no-checkpoint", "foreign": "foreign-run"}.get(damage, "bad-checkpoint")
    assert result.err.startswith(f"error[{code}]")


CHARACTERS = """\
use std.layers: linear, embedding

model Characters(vocab: int)(tokens: i64[batch, t]) -> f32[batch, t, vocab] {
  return tokens |> embedding(vocab, 4) |> linear(vocab)
}

train Characters {
  in target: i64[batch, t]
  minimize cross_entropy(forward(tokens), target)
  optimizer sgd(0.1)
}
"""

PIXELS = """\
use std.layers: linear

model Pixels(image: f32[batch, 1, 8, 8]) -> f32[batch, 10] {
  return image |> flatten |> linear(10)
}

train Pixels {
  in label: i64[batch]
  fit image: resize
  minimize cross_entropy(forward(image), label)
  optimizer sgd(0.1)
}
"""


def test_run_reads_text_by_the_alphabet_of_the_training(folder: Path) -> None:
    (folder / "characters.net").write_text(CHARACTERS)
    (folder / "story.txt").write_text("abc cab bac " * 40)
    command = ["train", "characters.net", "--data", "text:story.txt", "--length", "8", "--steps", "2", "--out", "r"]
    assert netlang(*command).code == 0
    spelled = netlang("run", "r", "--input", "tokens=text:cab", "--json")
    assert spelled.code == 0, spelled.err
    (found,) = json.loads(spelled.out).values()
    assert np.shape(found) == (1, 3, 4)
    assert json.loads(netlang("run", "r", "--input", "tokens=[[3, 1, 2]]", "--json").out) == json.loads(spelled.out)
    result = netlang("run", "r", "--input", "tokens=text:cabd")
    assert result.code == 1
    assert "the character 'd' is not among the 4 of the training text" in result.err


def test_run_brings_a_picture_to_the_size_that_the_file_asks_for(folder: Path) -> None:
    from PIL import Image

    (folder / "pixels.net").write_text(PIXELS)
    assert netlang("train", "pixels.net", "--steps", "2", "--out", "r").code == 0
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(pixels).save("small.png")
    Image.fromarray(np.repeat(np.repeat(pixels, 3, 0), 3, 1)).save("large.png")
    w = weights(Path("r"))
    expected = (pixels.reshape(1, 64) / np.float32(255)) @ w["linear.weight"].T + w["linear.bias"]
    for name in ("small.png", "large.png"):  # the middle of three equal pixels is the pixel
        result = netlang("run", "r", "--input", f"image={name}", "--json")
        assert result.code == 0, result.err
        found = json.loads(result.out)
        np.testing.assert_allclose(found["output"], expected, rtol=1e-4, atol=1e-5)
        assert found["output.text"] == [str(expected.argmax())]


def test_a_picture_of_another_size_is_never_fitted_silently(folder: Path) -> None:
    from PIL import Image

    (folder / "pixels.net").write_text(PIXELS.replace("  fit image: resize\n", ""))
    assert netlang("train", "pixels.net", "--steps", "2", "--out", "r").code == 0
    Image.fromarray(np.zeros((9, 9), np.uint8)).save("odd.png")
    result = netlang("run", "r", "--input", "image=odd.png")
    assert result.code == 1
    assert "error[wrong-input]" in result.err
    assert "f32[batch, 1, 8, 8]" in result.err
