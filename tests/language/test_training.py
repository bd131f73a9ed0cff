"""The `train` block: its parameters, inputs, reports and settings, and optimizers and schedules of the user's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from netlang.compiler import Network

from netlang.diagnostics import DiagnosticError

from .harness import LAYERS, network, program, run

X = np.float32([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25]])
Y = np.float32([[1.0], [0.0], [2.0]])
W = np.float32([[0.5, -0.25]])


def model(train: str, definitions: str = "") -> str:
    """A linear model without bias, f32[b, 2] to f32[b, 1], with a `train` block."""
    return f"""{LAYERS}{definitions}
    model Net(x: f32[b, 2]) -> f32[b, 1] {{ return x |> linear(1, bias = false) }}
    train Net{train}
    """


def step(net: Network, **feeds: Any) -> dict[str, np.ndarray]:
    """One training step of that model, from the weights W."""
    graph = net.train_graph()
    given: dict[str, Any] = {"x": X, "y": Y, "step": 0, "steps": 10, "linear.weight": W, **feeds}
    names = {value.name for value in graph.sources()}
    return run(graph, {name: value for name, value in given.items() if name in names})


def gradient(scale: float = 1.0) -> np.ndarray:
    """Of the mean squared error."""
    error = X @ W.T - Y
    return scale * 2 * error.T @ X / error.size


def test_the_training_step_descends() -> None:
    outputs = step(network(model("{\n in y: f32[b, 1]\n minimize mse(forward(x), y)\n optimizer sgd(0.1)\n}")))
    np.testing.assert_allclose(outputs["loss"], ((X @ W.T - Y) ** 2).mean(), rtol=1e-6)
    np.testing.assert_allclose(outputs["linear.weight"], W - 0.1 * gradient(), rtol=1e-5)


def test_parameters_of_the_train_block() -> None:
    text = model("(rate: float = 0.1, scale: float = 1.0) {\n in y: f32[b, 1]\n minimize scale * mse(forward(x), y)\n"
                 " optimizer sgd(rate)\n}")  # fmt: skip
    assert list(program(text).parameters()) == ["rate", "scale"]
    net = network(text, rate=0.5, scale=3.0)
    assert net.settings == {"rate": 0.5, "scale": 3.0}
    np.testing.assert_allclose(step(net)["linear.weight"], W - 0.5 * gradient(3.0), rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "code"),
    [({"rat": 0.5}, "unknown-argument"), ({"rate": "fast"}, "type-mismatch"), ({}, "missing-argument")],
)
def test_wrong_settings(settings: dict[str, Any], code: str) -> None:
    text = model("(rate: float) {\n in y: f32[b, 1]\n minimize mse(forward(x), y)\n optimizer sgd(rate)\n}")
    with pytest.raises(DiagnosticError) as caught:
        network(text, **settings).train_graph()
    assert [fault.code for fault in caught.value.diagnostics] == [code]


def test_reports_have_names() -> None:
    text = model("""{
      in y: f32[b, 1]
      prediction = forward(x)
      minimize mse(prediction, y)
      largest = max(prediction)
      report mae(prediction, y), largest, twice = 2 * largest, 1 |> neg
      optimizer sgd(0.1)
    }""")
    outputs = run(network(text).eval_graph(), {"x": X, "y": Y, "linear.weight": W})
    assert list(outputs) == ["loss", "mae", "largest", "twice", "neg"]
    prediction = X @ W.T
    np.testing.assert_allclose(outputs["mae"], abs(prediction - Y).mean(), rtol=1e-6)
    np.testing.assert_allclose(outputs["twice"], 2 * prediction.max(), rtol=1e-6)
    assert outputs["neg"] == -1


def test_fits_are_remembered() -> None:
    text = model(
        "{\n in y: f32[b, 1]\n fit x: resize\n fit y: pad\n minimize mse(forward(x), y)\n optimizer sgd(0.1)\n}"
    )
    assert network(text).fits == {"x": "resize", "y": "pad"}


@pytest.mark.parametrize("norm", [0.5, 100.0])
def test_clip_scales_all_gradients_together(norm: float) -> None:
    text = model(f"{{\n in y: f32[b, 1]\n minimize mse(forward(x), y)\n clip {norm}\n optimizer sgd(1)\n}}")
    g = gradient()
    factor = min(norm / np.linalg.norm(g), 1)
    np.testing.assert_allclose(step(network(text))["linear.weight"], W - factor * g, rtol=1e-4)


def test_only_the_inputs_that_are_used_are_inputs() -> None:
    text = model("{\n in y: f32[b, 1]\n in w: f32[b]\n minimize mse(forward(x), y)\n optimizer sgd(0.1)\n}")
    inputs = network(text).eval_graph().inputs
    assert [item.name for item in inputs if item.role == "data"][:2] == ["x", "y"]


def test_an_optimizer_of_the_users_own() -> None:
    own = """
    ## Sign descent with a decaying memory of the gradient.
    layer lion(lr: schedule, beta: float = 0.9)(parameter: f32[*s], gradient: f32[*s]) -> f32[*s] {
      state memory: f32[*s] ~ zeros()
      next memory = beta * memory + (1 - beta) * gradient
      return parameter - lr * sign(next memory)
    }
    """
    net = network(model("{\n in y: f32[b, 1]\n minimize mse(forward(x), y)\n optimizer lion(0.1)\n}", own))
    memory = np.float32([[1.0, -1.0]])
    outputs = step(net, **{"optimizer.linear.weight.memory": memory})
    new = 0.9 * memory + 0.1 * gradient()
    np.testing.assert_allclose(outputs["optimizer.linear.weight.memory"], new, rtol=1e-5)
    np.testing.assert_allclose(outputs["linear.weight"], W - 0.1 * np.sign(new), rtol=1e-5)


def test_an_optimizer_may_read_the_step_from_one() -> None:
    own = """
    layer slowing(lr: schedule)(parameter: f32[*s], gradient: f32[*s], step: f32) -> f32[*s] {
      return parameter - lr / step * gradient
    }
    """
    net = network(model("{\n in y: f32[b, 1]\n minimize mse(forward(x), y)\n optimizer slowing(1)\n}", own))
    np.testing.assert_allclose(step(net, step=3)["linear.weight"], W - gradient() / 4, rtol=1e-5)


@pytest.mark.parametrize(
    ("definition", "rate", "expected"),
    [
        ("fn halving(step: f32) -> f32 { return 0.5 ** step }", "halving", 0.5**3),
        (
            "fn falling(peak: float)(step: f32, steps: f32) -> f32 { return peak * (1 - step / steps) }",
            "falling(2)",
            1.4,
        ),
        ("fn constant_rate(step: f32) -> f32 { return 0.25 }", "constant_rate", 0.25),
        ("", "lr = 0.25", 0.25),
        ("", "if 1 > 2 { 1 } else { 0.5 }", 0.5),
    ],
)
def test_a_schedule_of_the_users_own(definition: str, rate: str, expected: float) -> None:
    net = network(model(f"{{\n in y: f32[b, 1]\n minimize mse(forward(x), y)\n optimizer sgd({rate})\n}}", definition))
    np.testing.assert_allclose(step(net, step=3)["linear.weight"], W - expected * gradient(), rtol=1e-5)


def test_frozen_parameters_stay() -> None:
    text = """
    model Net(x: f32[b, 2]) -> f32[b, 2] {
      @frozen
      param fixed: f32[2] ~ ones()
      param free: f32[2] ~ ones()
      return x * fixed * free
    }
    train Net {
      minimize mean(forward(x))
      optimizer sgd(0.1)
    }
    """
    outputs = step(network(text))
    assert "free" in outputs
    assert "fixed" not in outputs


def test_weight_decay_spares_what_is_marked() -> None:
    text = """
    model Net(x: f32[b, 2]) -> f32[b, 2] {
      param plain: f32[2] ~ ones()
      @no_decay param spared: f32[2] ~ ones()
      return x * plain + x * spared
    }
    train Net {
      minimize sum(0 * forward(x))
      optimizer sgd(0.1, weight_decay = 0.5)
    }
    """
    outputs = step(network(text))
    np.testing.assert_allclose(outputs["plain"], [0.95, 0.95], rtol=1e-6)
    np.testing.assert_allclose(outputs["spared"], [1, 1])


def test_a_train_block_for_a_model_of_the_library() -> None:
    text = """
    use std.models.perceptron: Perceptron
    train Perceptron(rate: float = 0.1) {
      in y: f32[batch, 1]
      minimize mse(forward(x), y)
      optimizer sgd(rate)
    }
    """
    loaded = program(text)
    assert loaded.models == ("Perceptron",)
    assert list(loaded.parameters("Perceptron")) == ["features", "rate"]
    outputs = step(loaded.network(settings={"rate": 1.0}), **{"linear.bias": np.zeros(1, np.float32)})
    np.testing.assert_allclose(outputs["linear.weight"], W - gradient(), rtol=1e-5)


def test_entries_lets_and_parameters_are_seen_from_the_train_block() -> None:
    text = (
        LAYERS
        + """
    model Auto(d: int = 2) {
      let code = linear(d, bias = false)
      entry encode(x: f32[b, 2]) -> f32[b, d] { return code(x) }
      entry forward(x: f32[b, 2]) -> f32[b, 2] { return encode(x) @ code.weight }
    }
    train Auto {
      minimize mse(forward(x), x) + 0.1 * mean(abs(encode(x))) + 0.1 * sum(code.weight ** 2) / d
      optimizer sgd(0.1)
    }
    """
    )
    w = np.float32([[0.5, 0.25], [-1.0, 0.75]])
    code = X @ w.T
    expected = ((code @ w - X) ** 2).mean() + 0.1 * abs(code).mean() + 0.1 * (w**2).sum() / 2
    outputs = run(network(text).eval_graph(), {"x": X, "code.weight": w})
    np.testing.assert_allclose(outputs["loss"], expected, rtol=1e-5)
