"""`netlang import`, and what can be done with what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from safetensors.numpy import load_file

from .conftest import netlang

TRAIN = """
train Lines {
  in y: f32[batch, 1]
  minimize mse(forward(x), y)
  report mae(forward(x), y)
  optimizer sgd(0.01)
}
"""


@pytest.fixture
def model(folder: Path) -> Path:
    """`lines.onnx`: the network of `good.net`."""
    assert netlang("compile", "good.net", "-o", "build").code == 0
    return (folder / "build" / "forward.onnx").rename(folder / "lines.onnx")


def results(path: str, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def test_writes_a_program_and_its_weights(model: Path) -> None:
    result = netlang("import", model.name, "-o", "lines")
    assert result.code == 0, result.err
    assert result.out.splitlines() == [
        "Lines: 17 parameters",
        "layers: 2 linear",
        "lines/lines.net",
        "lines/weights.safetensors",
    ]
    assert (
        (model.parent / "lines" / "lines.net").read_text()
        == """\
use std.layers: linear

model Lines(x: f32[batch, 2]) -> f32[batch, 1] {
  return x |> linear(4) |> tanh |> linear(1)
}
"""
    )
    assert sorted(load_file("lines/weights.safetensors")) == [
        "linear.bias", "linear.weight", "linear_2.bias", "linear_2.weight"
    ]  # fmt: skip


def test_compiled_again_it_computes_the_same(model: Path) -> None:
    assert netlang("import", model.name, "-o", "lines").code == 0
    again = netlang("compile", "lines/lines.net", "--weights", "lines/weights.safetensors", "-o", "again")
    assert again.code == 0 and not again.err, again.err
    x = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    np.testing.assert_array_equal(results("again/forward.onnx", x), results(model.name, x))


def test_it_runs_with_its_weights(model: Path) -> None:
    assert netlang("import", model.name, "-o", "lines").code == 0
    given = ["--weights", "lines/weights.safetensors", "--input", "x=[[1, 2], [3, -1]]", "--json"]
    result = netlang("run", "lines/lines.net", *given)
    assert result.code == 0, result.err
    expected = results(model.name, np.array([[1, 2], [3, -1]], np.float32))
    np.testing.assert_allclose(json.loads(result.out)["output"], expected, rtol=1e-6)


def test_other_commands_take_the_program(model: Path) -> None:
    assert netlang("import", model.name, "-o", "lines", "--name", "Line").code == 0
    assert netlang("check", "lines/Line.net").code == 0
    assert netlang("fmt", "--check", "lines/Line.net").code == 0
    assert json.loads(netlang("summary", "lines/Line.net", "--json").out)["parameters"] == 17


def test_training_begins_with_the_weights(model: Path) -> None:
    assert netlang("import", model.name, "-o", "lines").code == 0
    source = Path("lines/lines.net")
    source.write_text(source.read_text() + TRAIN)
    given = ["--data", "npz:line.npz", "--epochs", "1", "--batch", "32"]
    weights = ["--weights", "lines/weights.safetensors"]
    trained = netlang("train", str(source), *given, *weights, "--out", "run", "--json")
    assert trained.code == 0, trained.err
    assert "4 of 4 weights are from lines/weights.safetensors" in trained.err
    fresh = netlang("train", str(source), *given, "--out", "fresh", "--seed", "1", "--json")
    assert json.loads(trained.out)["metrics"] != json.loads(fresh.out)["metrics"]
    begun, moved = load_file("lines/weights.safetensors"), load_file("run/checkpoints/last.safetensors")
    assert 0 < np.abs(moved["linear.weight"] - begun["linear.weight"]).max() < 0.1


def imported_with_another_head(model: Path) -> Path:
    """The program of a model, whose last layer has three results in place of one."""
    assert netlang("import", model.name, "-o", "lines").code == 0
    source = Path("lines/lines.net")
    source.write_text(source.read_text().replace("linear(1)", "linear(3)").replace("batch, 1]", "batch, 3]"))
    return source


def test_parts_that_were_replaced_begin_anew(model: Path) -> None:
    source = imported_with_another_head(model)
    result = netlang("compile", str(source), "--weights", "lines/weights.safetensors", "-o", "again")
    assert result.code == 0
    assert "2 of 4 weights are from lines/weights.safetensors; new ones: linear_2.weight, linear_2.bias" in result.err
    kept, given = load_file("again/weights.safetensors"), load_file("lines/weights.safetensors")
    np.testing.assert_array_equal(kept["linear.weight"], given["linear.weight"])
    assert kept["linear_2.weight"].shape == (3, 4)


def test_a_run_with_weights_that_are_not_there_is_refused(model: Path) -> None:
    source = imported_with_another_head(model)
    result = netlang("run", str(source), "--weights", "lines/weights.safetensors", "--input", "x=[[1, 2]]")
    assert result.code == 1
    assert "`lines/weights.safetensors` has nothing that could be the weight `linear_2.weight`" in result.err
    assert "that is so for 2 of 4 weights" in result.err


def test_weights_in_another_width_are_converted(model: Path) -> None:
    from safetensors.numpy import save_file

    assert netlang("import", model.name, "-o", "lines").code == 0
    halves = {name: array.astype(np.float16) for name, array in load_file("lines/weights.safetensors").items()}
    save_file(halves, "halves.safetensors")
    result = netlang("compile", "lines/lines.net", "--weights", "halves.safetensors", "-o", "again")
    assert (result.code, result.err) == (0, "")
    for name, array in load_file("again/weights.safetensors").items():
        np.testing.assert_array_equal(array, halves[name].astype(np.float32))


def test_weights_of_another_network_are_refused(model: Path) -> None:
    np.savez("other.npz", a=np.zeros(3))
    from safetensors.numpy import save_file

    save_file({"other.weight": np.zeros((2, 2), np.float32)}, "other.safetensors")
    result = netlang("compile", "good.net", "--weights", "other.safetensors", "-o", "again")
    assert result.code == 1
    assert "error[wrong-weights]: no weight of `other.safetensors` is one of `Line`" in result.err
    assert "found:    other.weight: f32[2, 2]" in result.err


def test_operators_without_a_name_here_are_kept(folder: Path) -> None:
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 4])
    node = helper.make_node("Normalizer", ["x"], ["y"], domain="ai.onnx.ml", norm="L2")
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 1)]
    graph = helper.make_graph([node], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), "unit.onnx")
    result = netlang("import", "unit.onnx", "-o", "unit")
    assert result.code == 0, result.err
    assert "kept as they are, without gradients: ai.onnx.ml:Normalizer" in result.out
    line = 'onnx.Normalizer(x, norm = "L2", types = [[f32, n, 4]], opset = 1, domain = "ai.onnx.ml")'
    assert line in Path("unit/unit.net").read_text()
    assert netlang("compile", "unit/unit.net", "-o", "again").code == 0
    x_value = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    np.testing.assert_array_equal(results("again/forward.onnx", x_value), results("unit.onnx", x_value))


@pytest.mark.parametrize("content", [b"", b"\x08", b"no model at all", bytes(range(256))])
def test_what_is_no_model_is_refused(folder: Path, content: bytes) -> None:
    (folder / "bad.onnx").write_bytes(content)
    result = netlang("import", "bad.onnx", "-o", "bad")
    assert result.code == 1
    assert "error[onnx-" in result.err and "Traceback" not in result.err
    assert not (folder / "bad").exists()


def test_a_missing_file_is_told(folder: Path) -> None:
    result = netlang("import", "none.onnx", "-o", "none")
    assert result.code == 1 and "error[unreadable-file]" in result.err
