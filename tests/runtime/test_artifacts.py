"""What compiling and exporting leave: files that others can run with onnxruntime and NumPy alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from netlang.compiler import Network
from netlang.runtime import artifacts, runner
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.engines import make_engine
from safetensors.numpy import load_file

import netlang as nl
from netlang.diagnostics import DiagnosticError

BATCH = {
    "image": np.random.default_rng(0).random((12, 1, 8, 8), np.float32),
    "label": np.arange(12) % 10,
}


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def scalars(names: list[str], step: int) -> dict[str, np.ndarray]:
    values = {"step": step, "steps": 10, "seed": 3}
    return {name: np.array(values[name]) for name in names if name in values}


def test_a_plain_runtime_trains_with_the_files_as_our_engine_does(
    classifier: Callable[..., BoundNetwork], tmp_path: Path
) -> None:
    """The loop that the manifest describes, without netlang."""
    net = classifier()
    nl.compile(net, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    train = manifest["files"]["train.onnx"]
    weights = load_file(tmp_path / "weights.safetensors")
    variables = {}
    for item in train["inputs"]:
        if item["role"] in ("param", "state"):
            variables[item["name"]] = weights[item["name"]]
        elif item["role"] == "optimizer":
            assert item["initial"] == "zeros()"
            variables[item["name"]] = np.zeros(item["shape"], np.float32)
    step_session = session(tmp_path / "train.onnx")
    names = [item.name for item in step_session.get_inputs()]
    assert names == [item["name"] for item in train["inputs"]]
    outputs = [item["name"] for item in train["outputs"]]
    engine = make_engine(net.network, seed=3, steps=10)
    engine.load(weights)
    for step in range(5):
        feeds = {**variables, **BATCH, **scalars(names, step)}
        found = dict(zip(outputs, step_session.run(outputs, feeds), strict=True))
        variables = {name: found[f"next.{name}"] for name in variables}
        assert float(found["loss"]) == pytest.approx(engine.step(BATCH)["loss"], rel=1e-5)
    for name, array in engine.variables().items():
        np.testing.assert_allclose(variables[name], array, rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_step_in_two_halves_is_the_step(classifier: Callable[..., BoundNetwork], tmp_path: Path) -> None:
    net = classifier()
    nl.compile(net, tmp_path)
    engine = make_engine(net.network, seed=3, steps=10)
    before = engine.variables()
    loss = engine.step(BATCH)["loss"]
    grad, apply = session(tmp_path / "grad.onnx"), session(tmp_path / "apply.onnx")

    def run(part: onnxruntime.InferenceSession, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [item.name for item in part.get_inputs()]
        feeds = {name: values[name] for name in names if name in values} | scalars(names, 0)
        results = [item.name for item in part.get_outputs()]
        return dict(zip(results, part.run(results, feeds), strict=True))

    first = run(grad, {**before, **BATCH})
    assert float(first["loss"]) == pytest.approx(loss, rel=1e-6)
    gradients = {name: array for name, array in first.items() if name.startswith("grad.")}
    assert set(gradients) == {f"grad.{name}" for name in net.parameters}
    second = run(apply, {**before, **gradients})
    for name, array in engine.variables().items():
        np.testing.assert_allclose(second[f"next.{name}"], array, rtol=1e-5, atol=1e-7, err_msg=name)


def test_eval_and_forward_give_what_the_api_gives(classifier: Callable[..., BoundNetwork], tmp_path: Path) -> None:
    net = classifier()
    nl.compile(net, tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    (logits,) = session(tmp_path / "forward.onnx").run(None, {"image": BATCH["image"]})
    np.testing.assert_allclose(logits, net.forward(BATCH["image"]), rtol=1e-5, atol=1e-6)
    evaluation = session(tmp_path / "eval.onnx")
    names = [item.name for item in evaluation.get_inputs()]
    values = {**weights, **BATCH}
    results = evaluation.run(["accuracy"], {name: values[name] for name in names})
    assert float(results[0]) == pytest.approx((logits.argmax(1) == BATCH["label"]).mean())


def test_every_file_passes_the_full_checker_and_is_described(
    classifier: Callable[..., BoundNetwork], tmp_path: Path
) -> None:
    paths = nl.compile(classifier(), tmp_path)
    assert sorted(path.name for path in paths) == sorted(path.name for path in tmp_path.iterdir())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["model"] == "Classifier"
    assert manifest["settings"] == {"classes": 10, "hidden": 16, "lr": 0.01}
    assert manifest["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert set(manifest["files"]) == {path.name for path in paths if path.suffix == ".onnx"}
    for name, about in manifest["files"].items():
        model = onnx.load(str(tmp_path / name))
        onnx.checker.check_model(model, full_check=True)
        assert [item.name for item in model.graph.input] == [item["name"] for item in about["inputs"]]
        assert [item.name for item in model.graph.output] == [item["name"] for item in about["outputs"]]
        assert about["opset"] == model.opset_import[0].version
        assert all(item["meaning"] for item in (*about["inputs"], *about["outputs"]))
    image = manifest["files"]["forward.onnx"]["inputs"][0]
    assert image == {
        "name": "image",
        "type": "f32[batch, 1, 8, 8]",
        "dtype": "f32",
        "shape": ["batch", 1, 8, 8],
        "role": "data",
        "meaning": "data",
    }


def test_what_the_program_requires_of_open_sizes_is_described(tmp_path: Path) -> None:
    (tmp_path / "a.net").write_text("model M(x: f32[b, t]) -> f32[b, t] where t <= 4, t % 2 == 0 { return 2 * x }")
    nl.compile(nl.load(tmp_path / "a.net")["M"](), tmp_path / "build")
    manifest = json.loads((tmp_path / "build" / "manifest.json").read_text())
    assert manifest["files"]["forward.onnx"]["requires"] == ["t <= 4", "t - 2*(t // 2) == 0"]


def test_compiling_again_gives_the_same_bytes(classifier: Callable[..., BoundNetwork], tmp_path: Path) -> None:
    first = nl.compile(classifier(), tmp_path / "a")
    second = nl.compile(classifier(), tmp_path / "b")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_large_weights_stay_outside_the_model(
    classifier: Callable[..., BoundNetwork], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = classifier()
    expected = net.forward(BATCH["image"])
    monkeypatch.setattr(artifacts, "INLINE_LIMIT", 100)
    monkeypatch.setattr(runner, "INLINE_LIMIT", 100)
    nl.compile(net, tmp_path)
    assert (tmp_path / "forward.onnx").stat().st_size < 4000
    (logits,) = session(tmp_path / "forward.onnx").run(None, {"image": BATCH["image"]})
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(classifier().forward(BATCH["image"]), expected, rtol=1e-5, atol=1e-6)
    written = artifacts.export(net, tmp_path / "out" / "model.onnx")
    assert [path.name for path in written] == ["model.onnx", "model.safetensors"]
    (logits,) = session(written[0]).run(None, {"image": BATCH["image"]})
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_a_model_with_several_entries(build: Callable[..., Network], tmp_path: Path) -> None:
    net = BoundNetwork(
        build("""
    model Scale(n: int = 3) {
      param w: f32[n] ~ normal(1.0)
      entry encode(x: f32[b, n]) -> f32[b, n] { return x * w }
      entry both(x: f32[b, n]) -> (f32[b, n], f32[b, n]) { return x * w, x + w }
    }
    """)
    )
    names = [path.name for path in nl.compile(net, tmp_path)]
    assert names == ["weights.safetensors", "encode.onnx", "both.onnx", "manifest.json"]
    x = np.ones((2, 3), np.float32)
    product, total = net.both(x=x)
    np.testing.assert_allclose(product, np.tile(net.parameters["w"], (2, 1)))
    np.testing.assert_allclose(total, np.tile(net.parameters["w"] + 1, (2, 1)), rtol=1e-6)
    with pytest.raises(DiagnosticError, match="no entry `enocde`"):
        artifacts.export(net, tmp_path / "m.onnx", entry="enocde")
    with pytest.raises(AttributeError):
        net.enocde(x)
    with pytest.raises(DiagnosticError, match="takes 1 input"):
        net.encode(x, x)


def test_an_operator_set_that_is_too_old(classifier: Callable[..., BoundNetwork], tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError, match="opset-unsupported"):
        nl.compile(classifier(), tmp_path, opset=7)
    nl.compile(classifier(), tmp_path, opset=21)
    assert onnx.load(str(tmp_path / "train.onnx")).opset_import[0].version == 21


def test_importing_the_package_is_quick_and_brings_no_numpy() -> None:
    program = "import sys, netlang; print(sorted({'numpy', 'onnx', 'onnxruntime', 'lark'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_public_names_are_there() -> None:
    for name in dir(nl):
        assert getattr(nl, name) is not None
    assert nl.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute `lode`"):
        nl.lode  # noqa: B018


def test_the_python_api_on_a_file(tmp_path: Path) -> None:
    path = tmp_path / "line.net"
    path.write_text("model Line(i: int = 3)(x: f32[b, i]) -> f32[b, 1] {\n  param w: f32[i, 1] ~ ones()\n"
                    "  return x @ w\n}\n")  # fmt: skip
    assert nl.check(path) == []
    models = nl.load(path)
    assert list(models) == ["Line"]
    net = models["Line"](i=2)
    np.testing.assert_array_equal(net.forward([[1, 2]]), [[3]])
    assert repr(net) == "<Line(i = 2): 2 parameters, forward>"
    with pytest.raises(KeyError):
        models["Lime"]
    path.write_text("model Line()(x: f32[b, 3]) -> f32[b, 1] { return y }\n")
    assert [diagnostic.code for diagnostic in nl.check(path)] == ["undefined-name"]
    assert nl.format_source("fn  f( x : f32 ) ->f32{return x}").startswith("fn f(x: f32) -> f32 {")
