"""Names of layers and their parameters, which checkpoints, ONNX nodes and error texts share."""

from __future__ import annotations

import pytest

from .harness import LAYERS, names

CASES: dict[str, tuple[str, list[str]]] = {
    "layers created inline are counted": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          return x |> linear(4, bias = false) |> linear(4, bias = false) |> linear(4, bias = false)
        }""",
        ["linear.weight", "linear_2.weight", "linear_3.weight"],
    ),
    "each kind has its own count": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          return x |> linear(4, bias = false) |> layer_norm(bias = false) |> linear(4, bias = false)
        }""",
        ["linear.weight", "layer_norm.scale", "linear_2.weight"],
    ),
    "let gives its own name": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          let head = linear(4, bias = false)
          return x |> linear(4, bias = false) |> head
        }""",
        ["linear.weight", "head.weight"],
    ),
    "so does an assignment": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          head = linear(4, bias = false)
          return x |> head
        }""",
        ["head.weight"],
    ),
    "a layer that a setting of the model creates comes first": (
        """
        model Net(body: layer = linear(4, bias = false))(x: f32[b, 4]) -> f32[b, 4] {
          return x |> linear(4, bias = false) |> body |> body
        }""",
        ["linear_2.weight", "linear.weight"],
    ),
    "also where the model has entries": (
        """
        model Net(body: layer = linear(4, bias = false)) {
          let head = linear(4, bias = false)
          entry forward(x: f32[b, 4]) -> f32[b, 4] {
            return x |> body |> linear(4, bias = false) |> head
          }
        }""",
        ["linear.weight", "linear_2.weight", "head.weight"],
    ),
    "a shared layer has its parameters once": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          let f = linear(4)
          return f(x) + f(f(x))
        }""",
        ["f.weight", "f.bias"],
    ),
    "a name that looks counted is not given again": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          let linear_2 = linear(4, bias = false)
          return x |> linear_2 |> linear(4, bias = false) |> linear(4, bias = false)
        }""",
        ["linear_2.weight", "linear.weight", "linear_3.weight"],
    ),
    "layers within layers": (
        """
        layer block(d: int)(x: f32[b, i]) -> f32[b, d] {
          let expand = linear(2 * d, bias = false)
          return x |> expand |> linear(d, bias = false)
        }
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          return x |> block(4) |> block(4)
        }""",
        ["block.expand.weight", "block.linear.weight", "block_2.expand.weight", "block_2.linear.weight"],
    ),
    "a layer applied twice shares what it creates inside": (
        """
        layer block(x: f32[b, d]) -> f32[b, d] {
          return x |> linear(d, bias = false) |> linear(d, bias = false)
        }
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          let f = block()
          return x |> f |> f
        }""",
        ["f.linear.weight", "f.linear_2.weight"],
    ),
    "a function adds nothing to the names": (
        """
        fn twice(f: layer, x: f32[*s]) -> f32[*s] { return f(f(x)) }
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          return twice(linear(4, bias = false), x)
        }""",
        ["linear.weight"],
    ),
    "layers given to a layer belong to where they are created": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          return x |> residual(linear(4, bias = false) >> relu >> linear(4, bias = false))
        }""",
        ["linear.weight", "linear_2.weight"],
    ),
    "a layer may create what it is given": (
        """
        layer tower(make: layer)(x: f32[b, d]) -> f32[b, d] {
          let first = make(d, bias = false)
          return x |> first |> make(d, bias = false)
        }
        model Net(x: f32[b, 4]) -> f32[b, 4] { return x |> tower(linear) }""",
        ["tower.first.weight", "tower.linear.weight"],
    ),
    "a composition has the name that it is bound to": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          body = linear(8, bias = false) >> relu >> linear(4, bias = false)
          return x |> body |> linear(4, bias = false)
        }""",
        ["body.linear.weight", "body.linear_2.weight", "linear.weight"],
    ),
    "a composition of named layers": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          let first = linear(8, bias = false)
          let second = linear(4, bias = false)
          body = first >> relu >> second
          return x |> body
        }""",
        ["first.weight", "second.weight"],
    ),
    "the branch that is taken has the name": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          skip = if false { identity } else { linear(8, bias = false) >> linear(4, bias = false) }
          head = if true { linear(4, bias = false) } else { linear(5, bias = false) }
          return x |> skip |> head
        }""",
        ["skip.linear.weight", "skip.linear_2.weight", "head.weight"],
    ),
    "repeat numbers its iterations": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          repeat 2 { x = x |> linear(4, bias = false) |> relu |> linear(4, bias = false) }
          return x |> linear(4, bias = false)
        }""",
        ["linear.0.weight", "linear_2.0.weight", "linear.1.weight", "linear_2.1.weight", "linear_3.weight"],
    ),
    "let in a repeat": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          repeat 2 {
            let f = linear(4, bias = false)
            x = x |> f |> f
          }
          return x
        }""",
        ["f.0.weight", "f.1.weight"],
    ),
    "repeat within repeat": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          repeat 2 { repeat 2 { x = x |> linear(4, bias = false) } }
          return x
        }""",
        ["linear.0.0.weight", "linear.0.1.weight", "linear.1.0.weight", "linear.1.1.weight"],
    ),
    "one repeat after another": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          repeat 1 { x = x |> linear(4, bias = false) }
          repeat 1 { x = x |> linear(4, bias = false) }
          return x
        }""",
        ["linear.0.weight", "linear_2.0.weight"],
    ),
    "a branch in a repeat does not shift the names": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          repeat 3 as i {
            if i == 1 { x = x |> layer_norm(bias = false) }
            x = x |> linear(4, bias = false)
          }
          return x
        }""",
        ["linear.0.weight", "layer_norm.1.scale", "linear.1.weight", "linear.2.weight"],
    ),
    "heads have no names of their own": (
        """
        model Net(x: f32[b, t, 4]) -> f32[b, t, 4] {
          q, k, v = x |> linear(12, bias = false) |> split(3)
          y = heads 2 over q, k, v { softmax(q @ k.T) @ v |> linear(2, bias = false) }
          return y
        }""",
        ["linear.weight", "linear_2.weight"],
    ),
    "entries share what the model creates": (
        """
        model Net {
          let f = linear(4, bias = false)
          entry forward(x: f32[b, 4]) -> f32[b, 4] { return f(x) |> linear(4, bias = false) }
          entry encode(x: f32[b, 4]) -> f32[b, 4] { return f(x) |> linear(4, bias = false) }
        }""",
        ["f.weight", "linear.weight", "encode.linear.weight"],
    ),
    "a model within a model": (
        """
        model Inner(d: int) {
          let f = linear(d, bias = false)
          entry forward(x: f32[b, d]) -> f32[b, d] { return x |> f |> linear(d, bias = false) }
        }
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          let inner = Inner(4)
          return x |> inner |> inner.forward |> inner.f
        }""",
        ["inner.f.weight", "inner.linear.weight"],
    ),
    "states stand beside parameters": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] { return x |> batch_norm() }""",
        ["batch_norm.scale", "batch_norm.shift", "batch_norm.running_mean", "batch_norm.running_variance"],
    ),
    "a model's own parameters": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] {
          param offset: f32[4] ~ zeros()
          return x + offset
        }""",
        ["offset"],
    ),
    "parameters that only some settings have": (
        """
        model Net(bias: bool = false)(x: f32[b, 4]) -> f32[b, 4] { return x |> linear(4, bias = bias) }""",
        ["linear.weight"],
    ),
    "states of the optimizer follow the parameters": (
        """
        model Net(x: f32[b, 4]) -> f32[b, 4] { return x |> linear(4, bias = false) }
        train Net {
          minimize mean(forward(x))
          optimizer sgd(0.1, momentum = 0.9)
        }""",
        ["linear.weight"],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_names(text: str, expected: list[str]) -> None:
    assert names(LAYERS + text) == expected
