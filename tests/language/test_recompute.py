"""`@recompute`: the same gradients from less memory."""

from __future__ import annotations

import numpy as np
from netlang.compiler.cost import peak_activation_bytes
from netlang.compiler.emit import emit
from netlang.compiler.initializers import materialise
from netlang.compiler.ir import Graph
from netlang.runtime.session import Device

from .harness import program

ROWS = 512
"""Enough of them for what is kept to outweigh the gradients of the parameters."""

BODY = """
use std.layers: linear, layer_norm

layer block(drop: float)(x: f32[b, d]) -> f32[b, d] {{
  return x |> residual(layer_norm() >> linear(4 * d) >> gelu >> linear(4 * d) >> tanh >> linear(d))
}}

model Deep(layers: int = 6)(x: f32[b, 16]) -> f32[b, 16] {{
  repeat layers {{
    {mark}x = x |> block(0.0)
  }}
  return x
}}

train Deep {{
  in y: f32[b, 16]
  minimize mse(forward(x), y)
  optimizer sgd(0.1)
}}
"""


def _gradients(mark: str) -> Graph:
    return program(BODY.format(mark=mark)).network("Deep").gradient_graph({"b": ROWS})


def test_gradients_are_equal_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    found = []
    for mark in ("", "@recompute "):
        graph = _gradients(mark)
        feeds = materialise(graph.variables, 1)
        feeds |= {name: np.asarray(array, np.float32) for name, array in _batch(rng).items()}
        rng = np.random.default_rng(0)
        found.append(Device(threads=1).session(emit(graph)).run(None, feeds))
    for kept, again in zip(*found, strict=True):
        np.testing.assert_array_equal(kept, again)


def _batch(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"x": rng.standard_normal((ROWS, 16)), "y": rng.standard_normal((ROWS, 16))}


def test_less_is_kept_at_a_time() -> None:
    kept, again = (peak_activation_bytes(_gradients(mark), {}) for mark in ("", "@recompute "))
    assert again < kept / 2
