"""Training and inference from one text: `when training`, states and their next values."""

from __future__ import annotations

import numpy as np

from .harness import LAYERS, network, run

X = np.arange(12, dtype=np.float32).reshape(3, 4) - 5

RUNNING = """
layer centered(rate: float = 0.1)(x: f32[b, d]) -> f32[b, d] {
  state average: f32[d] ~ zeros()
  when training {
    next average = (1 - rate) * average + rate * mean(x, 0)
    return x - next average
  } else {
    return x - average
  }
}
model Net(x: f32[b, 4]) -> f32[b, 4] { return x |> centered(0.25) }
train Net {
  minimize mean(forward(x))
  optimizer sgd(0.1)
}
"""


def test_inference_reads_the_state() -> None:
    graph = network(RUNNING).elaborate()
    average = np.float32([1, 2, 3, 4])
    np.testing.assert_array_equal(run(graph, {"x": X, "centered.average": average})["output"], X - average)
    assert [output.role for output in graph.outputs] == ["result"]


def test_training_reads_and_writes_it() -> None:
    average = np.float32([1, 2, 3, 4])
    outputs = run(network(RUNNING).train_graph(), {"x": X, "centered.average": average})
    new = 0.75 * average + 0.25 * X.mean(0)
    np.testing.assert_allclose(outputs["centered.average"], new, rtol=1e-6)
    np.testing.assert_allclose(outputs["loss"], (X - new).mean(), rtol=1e-5)


def test_evaluation_is_inference() -> None:
    average = np.float32([1, 2, 3, 4])
    outputs = run(network(RUNNING).eval_graph(), {"x": X, "centered.average": average})
    assert list(outputs) == ["loss"]
    np.testing.assert_allclose(outputs["loss"], (X - average).mean(), rtol=1e-6)


def test_a_shared_layer_updates_its_state_once_more_each_time() -> None:
    text = """
    layer counted(x: f32[*s]) -> f32[*s] {
      state count: f32 ~ zeros()
      next count = count + 1
      return x * next count
    }
    model Net(x: f32[b, 4]) -> f32[b, 4] {
      param w: f32 ~ ones()
      let f = counted()
      return f(f(x)) * w
    }
    train Net {
      minimize mean(forward(x))
      optimizer sgd(0.1)
    }
    """
    outputs = run(network(text).train_graph(), {"x": X, "f.count": np.float32(3)})
    assert outputs["f.count"] == 5
    np.testing.assert_allclose(outputs["loss"], (X * 4 * 5).mean(), rtol=1e-6)


def test_dropout_is_there_only_in_training() -> None:
    text = (
        LAYERS
        + """
    model Net(x: f32[b, 4]) -> f32[b, 4] {
      param w: f32 ~ ones()
      return x * w |> dropout(0.5)
    }
    train Net {
      minimize sum(forward(x))
      optimizer sgd(0.1)
    }
    """
    )
    net = network(text)
    assert "seed" not in {item.role for item in net.elaborate().inputs}
    assert "seed" not in {item.role for item in net.eval_graph().inputs}
    assert {"seed", "step"} <= {item.role for item in net.train_graph().inputs}
