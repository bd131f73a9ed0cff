"""The training engine: right numbers, buffers that stay where they are, and nothing kept of a bad step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from netlang.compiler import Network
from netlang.runtime import whole_engine
from netlang.runtime.engine import SPECIALISED_LIMIT, Engine
from netlang.runtime.engines import make_engine
from netlang.runtime.evaluate import Evaluator
from netlang.runtime.flat_engine import FlatEngine
from netlang.runtime.session import Device
from netlang.runtime.whole_engine import WholeEngine

from netlang.diagnostics import Diagnostic, DiagnosticError

torch = pytest.importorskip("torch")

Line = Callable[..., Network]
Make = Callable[..., Engine]


@pytest.fixture(params=[WholeEngine, FlatEngine], ids=["whole", "flat"])
def make(request: pytest.FixtureRequest) -> Make:
    """Either engine: what a user sees of them is the same."""
    return request.param


def data(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)).astype(np.float32)
    return {"x": x, "y": (x @ np.array([[1.0], [-2.0], [0.5]], np.float32) + 0.3).astype(np.float32)}


def refused(call: Callable[[], Any]) -> Diagnostic:
    with pytest.raises(DiagnosticError) as caught:
        call()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("sgd(lr)", lambda p: torch.optim.SGD(p, 0.1)),
        ("sgd(lr, momentum = 0.9)", lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
        ("adam(lr)", lambda p: torch.optim.Adam(p, 0.1)),
        ("adamw(lr, weight_decay = 0.1)", lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.1)),
    ],
)
def test_fifty_steps_are_pytorchs(make: Make, line: Line, ours: str, theirs: Callable[[Any], Any]) -> None:
    engine = make(line(ours), seed=1)
    start = engine.variables()
    weight = torch.tensor(start["weight"], requires_grad=True)
    bias = torch.tensor(start["bias"], requires_grad=True)
    optimizer = theirs([weight, bias])
    for step in range(50):
        batch = data(16, seed=step)
        found = engine.step(batch)
        optimizer.zero_grad()
        out = torch.tensor(batch["x"]) @ weight.T + bias
        error = out - torch.tensor(batch["y"])
        loss = (error * error).mean()
        loss.backward()
        optimizer.step()
        assert found["loss"] == pytest.approx(loss.item(), rel=1e-5, abs=1e-7)
        assert found["mae"] == pytest.approx(error.abs().mean().item(), rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(engine.variables()["weight"], weight.detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(engine.variables()["bias"], bias.detach().numpy(), rtol=1e-5)


def test_variables_stay_in_two_sets_of_buffers_that_take_turns(line: Line) -> None:
    engine = WholeEngine(line("adam(lr)"))

    def addresses(turn: int) -> dict[str, int]:
        return {name: value.data_ptr() for name, value in engine.buffers.set(turn).items()}

    sets = addresses(0), addresses(1)
    assert all(sets[0][name] != sets[1][name] for name in sets[0])
    for step in range(6):
        before = {name: value.numpy().copy() for name, value in engine.buffers.current().items()}
        engine.step(data(8 if step % 3 else 5, step))
        assert engine.buffers.turn == (step + 1) % 2
        assert (addresses(0), addresses(1)) == sets  # nothing was allocated anew
        old, new = engine.buffers.set(1 - engine.buffers.turn), engine.buffers.current()
        for name, array in before.items():
            np.testing.assert_array_equal(old[name].numpy(), array)  # what was read was not written
            assert not np.array_equal(new[name].numpy(), array)


def test_a_frozen_parameter_has_one_buffer_and_its_value(build: Callable[..., Network]) -> None:
    text = """
    model Line()(x: f32[batch, 3]) -> f32[batch, 1] {
      param weight: f32[1, 3] ~ normal(0.1)
      @frozen param bias: f32[1] ~ ones()
      return x @ weight.T + bias
    }
    train Line { in y: f32[batch, 1]; minimize mse(forward(x), y); optimizer sgd(0.1) }
    """
    engine = WholeEngine(build(text))
    assert engine.buffers.set(0)["bias"].data_ptr() == engine.buffers.set(1)["bias"].data_ptr()
    for step in range(3):
        engine.step(data(4, step))
    np.testing.assert_array_equal(engine.variables()["bias"], [1])


def test_batches_of_different_sizes_advance_the_same_variables(make: Make, line: Line) -> None:
    engine = make(line("sgd(lr)"))
    weights = engine.variables()
    w, b = weights["weight"].astype(np.float64), weights["bias"].astype(np.float64)
    for step, rows in enumerate((8, 3, 8, 1, 3)):
        batch = data(rows, step)
        engine.step(batch)
        error = batch["x"].astype(np.float64) @ w.T + b - batch["y"]
        w = w - 0.1 * 2 * error.T @ batch["x"] / rows
        b = b - 0.1 * 2 * error.mean(0)
    np.testing.assert_allclose(engine.variables()["weight"], w, rtol=1e-5)
    np.testing.assert_allclose(engine.variables()["bias"], b, rtol=1e-5)


def test_after_many_shapes_of_batch_one_open_step_serves(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    original = WholeEngine._compile
    monkeypatch.setattr(WholeEngine, "_compile", lambda self, graph: made.append(graph) or original(self, graph))
    engine, reference = WholeEngine(line("sgd(lr)")), WholeEngine(line("sgd(lr)"))
    for step in range(20):
        engine.step(data(step + 1, step))
    assert len(made) == SPECIALISED_LIMIT + 1
    monkeypatch.setattr(whole_engine, "SPECIALISED_LIMIT", 100)
    for step in range(20):
        reference.step(data(step + 1, step))
    np.testing.assert_allclose(engine.variables()["weight"], reference.variables()["weight"], rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_changes_nothing(make: Make, line: Line, bad: float) -> None:
    engine = make(line("adam(lr)"))
    for step in range(3):
        engine.step(data(4, step))
    before = engine.variables()
    poisoned = data(4, 3)
    poisoned["x"][0, 0] = bad
    diagnostic = refused(lambda: engine.step(poisoned))
    assert diagnostic.code == "not-finite"
    assert "at step 3" in diagnostic.title
    assert engine.step_count == 3
    for name, array in engine.variables().items():
        np.testing.assert_array_equal(array, before[name])
    engine.step(data(4, 3))  # and it goes on
    assert engine.step_count == 4


def test_a_divergence_is_seen_before_it_is_saved(make: Make, line: Line) -> None:
    engine = make(line("sgd(1e30)"))
    engine.step(data(4))
    assert engine.diverged() is None
    with pytest.raises(DiagnosticError, match="not-finite"):
        for step in range(10):
            engine.step(data(4, step))
    engine.load({"bias": np.array([np.nan], np.float32)})
    assert engine.diverged() == "bias"


@pytest.mark.parametrize(
    ("change", "code", "expected", "found"),
    [
        ({"x": np.zeros((4, 2), np.float32)}, "wrong-input", "f32[batch, 3]", "f32[4, 2]"),
        ({"x": np.zeros((4, 3, 1), np.float32)}, "wrong-input", "f32[batch, 3]", "f32[4, 3, 1]"),
        ({"x": np.zeros((4, 3), np.uint8)}, "wrong-input", "f32[batch, 3]", "u8[4, 3]"),
        ({"x": np.zeros((5, 3), np.float32)}, "wrong-input", "f32[batch, 1]", "f32[4, 1]"),
        ({"x": np.zeros((4, 3), complex)}, "wrong-input", "f32[batch, 3]", "c128[4, 3]"),
        ({"x": [[1.0], [2.0, 3.0]]}, "wrong-input", "f32[batch, 3]", None),
        ({"x": None}, "missing-input", "x: f32[batch, 3]", "y"),
        ({"z": np.zeros(3)}, "wrong-input", None, None),
    ],
)
def test_what_does_not_fit_is_refused(
    make: Make, line: Line, change: dict[str, Any], code: str, expected: str | None, found: str | None
) -> None:
    arrays = {**data(4), **change}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    diagnostic = refused(lambda: make(line()).step(arrays))
    assert (diagnostic.code, diagnostic.expected, diagnostic.found) == (code, expected, found)


def test_numbers_of_the_same_kind_are_converted(make: Make, line: Line) -> None:
    batch = data(4)
    wide = {name: array.astype(np.float64) for name, array in batch.items()}
    assert make(line()).step(wide) == make(line()).step(batch)
    transposed = {**batch, "x": np.asfortranarray(batch["x"])}
    assert make(line()).step(transposed) == make(line()).step(batch)
    listed = {"x": [[1, 2, 3], [4, 5, 6.5]], "y": [[1], [2]]}
    assert make(line()).step(listed)["loss"] > 0


def test_labels_beyond_the_classes_are_named(make: Make, classifier: Callable[..., Any]) -> None:
    engine = make(classifier(classes=3).network, steps=10)
    batch = {"image": np.zeros((2, 1, 8, 8), np.float32), "label": np.array([0, 3])}
    diagnostic = refused(lambda: engine.step(batch))
    assert diagnostic.code == "index-out-of-range"
    assert diagnostic.title == "`label` holds 3"
    assert diagnostic.expected == "0 to 2, since the network counts 3"
    assert refused(lambda: engine.step({**batch, "label": np.array([-1, 0])})).title == "`label` holds -1"


def test_a_schedule_needs_to_know_the_number_of_steps(make: Make, classifier: Callable[..., Any]) -> None:
    engine = make(classifier().network)
    batch = {"image": np.zeros((2, 1, 8, 8), np.float32), "label": np.array([0, 3])}
    assert refused(lambda: engine.step(batch)).code == "unplanned-steps"


def test_the_same_seed_gives_the_same_bits_and_another_gives_others(make: Make, classifier: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    batch = {"image": rng.random((32, 1, 8, 8), np.float32), "label": rng.integers(0, 10, 32)}

    def train(seed: int) -> dict[str, np.ndarray]:
        engine = make(classifier().network, seed=seed, steps=20)
        for _ in range(10):
            engine.step(batch)
        return engine.variables()

    first, second, other = train(0), train(0), train(1)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert not np.array_equal(first["linear.weight"], other["linear.weight"])


def test_weights_that_do_not_fit_are_refused(make: Make, line: Line) -> None:
    engine = make(line())
    assert refused(lambda: engine.load({"weigth": np.zeros(3)})).help == "did you mean `weight`?"
    wrong = refused(lambda: engine.load({"weight": np.zeros((1, 4), np.float32)}))
    assert (wrong.code, wrong.expected, wrong.found) == ("wrong-weights", "f32[1, 3]", "f32[1, 4]")


def test_a_network_without_a_train_block(build: Callable[..., Network]) -> None:
    network = build("model M()(x: f32[b, 2]) -> f32[b, 2] { return relu(x) }")
    assert refused(lambda: make_engine(network)).code == "no-loss"


def test_evaluation_is_the_mean_over_rows_whatever_the_batches(make: Make, line: Line) -> None:
    network = line()
    engine = make(network)
    whole = data(23)
    weights = engine.variables()
    error = whole["x"] @ weights["weight"].T.astype(np.float64) + weights["bias"] - whole["y"]
    for size in (1, 4, 7, 23, 50):
        parts = [{name: array[i : i + size] for name, array in whole.items()} for i in range(0, 23, size)]
        found = Evaluator(network).run(engine.current(), parts)
        assert found["loss"] == pytest.approx(float(np.mean(error**2)), rel=1e-6)
        assert found["mae"] == pytest.approx(float(np.mean(np.abs(error))), rel=1e-6)


def test_evaluation_is_without_dropout(classifier: Callable[..., Any]) -> None:
    net = classifier()
    engine = WholeEngine(net.network, steps=10)
    rng = np.random.default_rng(0)
    batch = {"image": rng.random((20, 1, 8, 8), np.float32), "label": rng.integers(0, 10, 20)}
    net.weights = {name: array for name, array in engine.variables().items() if name in net.weights}
    logits = net.forward(batch["image"]).astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    found = Evaluator(net.network).run(engine.current(), [batch])
    assert found["loss"] == pytest.approx(-log_p[np.arange(20), batch["label"]].mean(), rel=1e-5)
    assert found["accuracy"] == pytest.approx((logits.argmax(1) == batch["label"]).mean())


def test_devices_that_are_not_there() -> None:
    assert refused(lambda: Device("tpu")).help == "one of cpu, cuda"
    assert refused(lambda: Device(threads=0)).code == "bad-value"
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        diagnostic = refused(lambda: Device("cuda"))
        assert diagnostic.code == "no-device"
        assert "onnxruntime-gpu" in (diagnostic.help or "")


@pytest.mark.cuda
def test_cuda_gives_the_cpus_numbers(classifier: Callable[..., Any]) -> None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime has no CUDA provider here")
    rng = np.random.default_rng(0)
    batch = {"image": rng.random((32, 1, 8, 8), np.float32), "label": rng.integers(0, 10, 32)}
    results = {}
    for name in ("cpu", "cuda"):
        engine = make_engine(classifier().network, Device(name), steps=20)
        losses = [engine.step(batch)["loss"] for _ in range(10)]
        results[name] = losses, engine.variables()
    np.testing.assert_allclose(results["cuda"][0], results["cpu"][0], rtol=1e-4)
    for name, array in results["cpu"][1].items():
        np.testing.assert_allclose(results["cuda"][1][name], array, rtol=1e-3, atol=1e-5)
