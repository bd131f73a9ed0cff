"""`rearrange` and `einsum` with named axes, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ..stdlib.harness import CHECKED, Runner, assert_near, program, run_inputs, variables
from .harness import network, result

RNG = np.random.default_rng(6)
X = RNG.standard_normal((2, 5, 12)).astype(np.float32)
W = RNG.standard_normal((2, 12, 3)).astype(np.float32)

NET = "model Net(h: int = 4)(x: f32[b, t, 12], w: f32[b, 12, o]) -> f32[*r] {{ return {} + 0 * sum(w) + 0 * sum(x) }}"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rearrange(x: b t d -> d b t)", X.transpose(2, 0, 1)),
        ("rearrange(x: b t (h k) -> b h t k)", X.reshape(2, 5, 4, 3).transpose(0, 2, 1, 3)),
        ("rearrange(x: b t (k h) -> b h t k)", X.reshape(2, 5, 3, 4).transpose(0, 3, 1, 2)),
        ("rearrange(x: b t d -> (b t) d)", X.reshape(10, 12)),
        ("rearrange(x: b t (h k) -> (h b) (t k))", X.reshape(2, 5, 4, 3).transpose(2, 0, 1, 3).reshape(8, 15)),
        ("rearrange(x: b t d -> b 1 t 1 d)", X[:, None, :, None]),
        ("rearrange(rearrange(x: b t d -> b 1 t d): b 1 t d -> t b d)", X.transpose(1, 0, 2)),
        ("rearrange(x: *s d -> d *s)", X.transpose(2, 0, 1)),
        ("rearrange(x: batch *rest -> (*rest) batch)", X.reshape(2, 60).T),
        ("rearrange(x: b t (h 1 k) -> b t h k)", X.reshape(2, 5, 4, 3)),
        ("(x |> rearrange(: b t d -> b d t) |> relu)", np.maximum(X.transpose(0, 2, 1), 0)),
        ("einsum(x, w: b t d, b d o -> b t o)", np.einsum("btd,bdo->bto", X, W)),
        ("einsum(x, w: b t d, b d o -> o)", np.einsum("btd,bdo->o", X, W)),
        ("einsum(x: b t d -> )", X.sum()),
        ("einsum(x: b t d -> t)", X.sum((0, 2))),
        ("einsum(x, x: batch time size, batch other size -> batch time other)", np.einsum("btd,bsd->bts", X, X)),
        ("einsum(x, w: *s d, b d o -> *s o)", None),
        ("einsum(x, w, w: b t d, b d o, b e o -> b t e)", np.einsum("btd,bdo,beo->bte", X, W, W)),
    ],
)
def test_against_numpy(expression: str, expected: np.ndarray | None) -> None:
    if expected is None:  # the pack has the batch, which is another axis of w
        expected = np.einsum("btd,cdo->bto", X, W)
    net = program(NET.format(expression)).network()
    (found,) = Runner(net.graph(**CHECKED))({"x": X, "w": W}).values()
    assert_near(found, expected.astype(np.float32), 1e-5, expression)


def test_sizes_that_stay_open() -> None:
    text = (
        "model Net(h: int = 3)(x: f32[b, t, 12]) -> f32[b*t, h, 12 / h] { return rearrange(x: b t (h k) -> (b t) h k) }"
    )
    assert [str(o.value.type) for o in network(text).elaborate().outputs] == ["f32[b*t, 3, 4]"]


def test_heads_written_with_patterns() -> None:
    """Attention in the words of the paper, against `heads`."""
    head = "model Net(h: int = 3)(q: f32[b, t, 6], k: f32[b, t, 6], v: f32[b, t, 6]) -> f32[b, t, 6] {"
    heads = f"{head} return heads h over q, k, v {{ softmax(q @ k.T / sqrt(6 / h)) @ v }} }}"
    named = f"""{head}
      a = rearrange(q: b t (h w) -> b h t w)
      s = rearrange(k: b s (h w) -> b h s w)
      weights = softmax(einsum(a, s: b h q w, b h m w -> b h q m) / sqrt(6 / h))
      y = einsum(weights, rearrange(v: b s (h w) -> b h s w): b h q m, b h m w -> b h q w)
      return rearrange(y: b h q w -> b q (h w))
    }}"""
    q, k, v = (RNG.standard_normal((2, 4, 6)).astype(np.float32) for _ in range(3))
    assert_near(result(named, q=q, k=k, v=v), result(heads, q=q, k=k, v=v), 1e-5)


def test_gradients() -> None:
    text = """
    model Net(h: int = 2)(x: f32[b, 6]) -> f32[b, h] {
      param w: f32[h, 3] ~ normal(0.5)
      return einsum(rearrange(x: b (h k) -> b k h), w: b k h, h k -> b h)
    }
    train Net { in y: f32[b, h]; minimize mse(forward(x), y); optimizer sgd(0.1) }
    """
    net = network(text)
    x, y = RNG.standard_normal((4, 6)).astype(np.float32), RNG.standard_normal((4, 2)).astype(np.float32)
    values = variables(net)
    found = Runner(net.gradient_graph(**CHECKED))({"x": x, "y": y, **values, **run_inputs()})
    w = torch.tensor(values["w"], requires_grad=True)
    output = torch.einsum("bhk,hk->bh", torch.tensor(x).reshape(4, 2, 3), w)
    torch.nn.functional.mse_loss(output, torch.tensor(y)).backward()
    assert w.grad is not None
    assert_near(found["grad.w"], w.grad, 1e-5)
