"""Uses of layers and functions of the library, each with what PyTorch computes for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .harness import Parameters, Scope

Reference = Callable[[Tensor, Parameters], Tensor]


@dataclass(frozen=True, eq=False)
class Case:
    """`expression` is of a parameter `x` of `shape`, and of the inputs in `data`; `torch` computes the same.

    `torch` reads the parameters of layers by name, and updates running statistics in place.
    """

    expression: str
    shape: tuple[int, ...]
    torch: Callable[..., Tensor]
    data: dict[str, np.ndarray] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.expression} of {list(self.shape)}"


def linear(x: Tensor, p: Parameters | Scope, name: str = "linear") -> Tensor:
    scope = p.at(name)
    return functional.linear(x, scope["weight"], scope.get("bias"))


def conv(x: Tensor, p: Parameters | Scope, name: str, **options: Any) -> Tensor:
    scope = p.at(name)
    function = functional.conv1d if x.ndim == 3 else functional.conv2d
    return function(x, scope["weight"], scope.get("bias"), **options)


def conv_transpose(x: Tensor, p: Parameters, **options: Any) -> Tensor:
    scope = p.at("conv_transpose2d")
    return functional.conv_transpose2d(x, scope["weight"], scope.get("bias"), **options)


def batch_norm(x: Tensor, p: Parameters | Scope, name: str = "batch_norm", **options: Any) -> Tensor:
    s = p.at(name)
    statistics = s["running_mean"], s["running_variance"]
    return functional.batch_norm(x, *statistics, s["scale"], s["shift"], p.training, **options)


def layer_norm(x: Tensor, p: Parameters | Scope, name: str = "layer_norm", eps: float = 1e-5) -> Tensor:
    s = p.at(name)
    return functional.layer_norm(x, x.shape[-1:], s["scale"], s.get("shift"), eps)


def attention(x: Tensor, p: Parameters | Scope, h: int, causal: bool, name: str = "attention") -> Tensor:
    b, t, d = x.shape
    s = p.at(name)
    q, k, v = (part.view(b, t, h, d // h).transpose(1, 2) for part in linear(x, s).chunk(3, -1))
    y = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return linear(y.transpose(1, 2).reshape(b, t, d), s, "linear_2")


def sinusoidal(x: Tensor, p: Parameters) -> Tensor:
    """As the paper has it: one position and one dimension at a time."""
    _, t, d = x.shape
    table = torch.zeros(t, d)
    for position in range(t):
        for i in range(d):
            angle = position / 10000 ** (2 * (i // 2) / d)
            table[position, i] = math.sin(angle) if i % 2 == 0 else math.cos(angle)
    return x + table


def multi_head_attention(x: Tensor, p: Parameters) -> Tensor:
    """The module of PyTorch itself, with our weights."""
    module = torch.nn.MultiheadAttention(x.shape[-1], 2, batch_first=True)
    first, second = p.at("attention.linear"), p.at("attention.linear_2")
    weights = {
        "in_proj_weight": first["weight"],
        "in_proj_bias": first["bias"],
        "out_proj.weight": second["weight"],
        "out_proj.bias": second["bias"],
    }
    return torch.func.functional_call(module, weights, (x, x, x), {"need_weights": False})[0]


INDEX = {"index": np.array([[0, 4, 4], [6, 0, 1]])}
MASK = {"mask": np.array([[True, False, True, True], [False, True, False, False], [True, True, True, True]])}

LAYERS: tuple[Case, ...] = (
    Case("linear(5)(x)", (3, 4), linear),
    Case("linear(5)(x)", (2, 3, 4), linear),
    Case("linear(5, bias = false)(x)", (2, 1, 3, 4), linear),
    Case("x |> conv1d(4, 3)", (2, 3, 8), lambda x, p: conv(x, p, "conv1d")),
    Case(
        "x |> conv1d(4, 3, stride = 2, pad = 2, bias = false)",
        (2, 3, 9),
        lambda x, p: conv(x, p, "conv1d", stride=2, padding=2),
    ),
    Case(
        "x |> conv1d(6, 2, dilation = 3, groups = 2)",
        (2, 4, 8),
        lambda x, p: conv(x, p, "conv1d", dilation=3, groups=2),
    ),
    Case("x |> conv2d(4, 3)", (2, 3, 5, 6), lambda x, p: conv(x, p, "conv2d")),
    Case("x |> conv2d(4, 1, bias = false)", (2, 3, 5, 6), lambda x, p: conv(x, p, "conv2d")),
    Case(
        "x |> conv2d(4, 3, stride = 2, pad = 1)", (2, 3, 6, 7), lambda x, p: conv(x, p, "conv2d", stride=2, padding=1)
    ),
    Case("x |> conv2d(4, 1, stride = 2)", (2, 3, 6, 7), lambda x, p: conv(x, p, "conv2d", stride=2)),
    Case(
        "x |> conv2d(2, 2, stride = 3, pad = 1, dilation = 2)",
        (2, 3, 8, 7),
        lambda x, p: conv(x, p, "conv2d", stride=3, padding=1, dilation=2),
    ),
    Case(
        "x |> conv2d(6, 3, pad = 1, groups = 2)", (2, 4, 5, 5), lambda x, p: conv(x, p, "conv2d", padding=1, groups=2)
    ),
    Case(
        "x |> conv2d(4, 3, pad = 1, groups = 4)", (2, 4, 5, 5), lambda x, p: conv(x, p, "conv2d", padding=1, groups=4)
    ),
    Case("x |> conv_transpose2d(4, 3)", (2, 3, 4, 5), conv_transpose),
    Case("x |> conv_transpose2d(2, 2, bias = false)", (2, 3, 4, 3), conv_transpose),
    Case(
        "x |> conv_transpose2d(2, 4, stride = 2, pad = 1)",
        (2, 3, 4, 3),
        lambda x, p: conv_transpose(x, p, stride=2, padding=1),
    ),
    Case("x |> max_pool1d(2)", (2, 3, 7), lambda x, p: functional.max_pool1d(x, 2)),
    Case("x |> max_pool1d(3, stride = 2, pad = 1)", (2, 3, 7), lambda x, p: functional.max_pool1d(x, 3, 2, 1)),
    Case("x |> max_pool2d(2)", (2, 3, 6, 5), lambda x, p: functional.max_pool2d(x, 2)),
    Case("x |> max_pool2d(2)", (2, 3, 6, 4), lambda x, p: functional.max_pool2d(x, 2)),
    Case("x |> max_pool2d(3, stride = 2, pad = 1)", (2, 3, 6, 5), lambda x, p: functional.max_pool2d(x, 3, 2, 1)),
    Case("x |> avg_pool1d(2)", (2, 3, 7), lambda x, p: functional.avg_pool1d(x, 2)),
    Case("x |> avg_pool1d(3, stride = 2, pad = 1)", (2, 3, 7), lambda x, p: functional.avg_pool1d(x, 3, 2, 1)),
    Case("x |> avg_pool2d(2)", (2, 3, 6, 4), lambda x, p: functional.avg_pool2d(x, 2)),
    Case("x |> avg_pool2d(3, stride = 2, pad = 1)", (2, 3, 6, 5), lambda x, p: functional.avg_pool2d(x, 3, 2, 1)),
    Case("x |> global_avg_pool", (2, 3, 4, 5), lambda x, p: x.mean((2, 3))),
    Case("x |> global_avg_pool", (2, 3, 4), lambda x, p: x.mean(2)),
    Case("x |> global_max_pool", (2, 3, 4, 5), lambda x, p: x.amax((2, 3))),
    Case("x |> batch_norm()", (6, 3), batch_norm),
    Case("x |> batch_norm()", (4, 3, 5), batch_norm),
    Case(
        "x |> batch_norm(momentum = 0.3, eps = 1e-2)",
        (4, 3, 2, 3),
        lambda x, p: batch_norm(x, p, momentum=0.3, eps=1e-2),
    ),
    Case("x |> layer_norm()", (3, 5), layer_norm),
    Case("x |> layer_norm(eps = 1e-2)", (2, 3, 5), lambda x, p: layer_norm(x, p, eps=1e-2)),
    Case("x |> layer_norm(bias = false)", (2, 3, 5), layer_norm),
    Case(
        "x + embedding(7, 4)(index)",
        (2, 3, 4),
        lambda x, p, index: x + functional.embedding(index, p["embedding.weight"]),
        INDEX,
    ),
    Case("x |> learned_positions(6)", (2, 4, 3), lambda x, p: x + p["learned_positions.weight"][:4]),
    Case("x |> sinusoidal_positions", (2, 5, 6), sinusoidal),
    Case("x |> attention(2)", (2, 5, 6), lambda x, p: attention(x, p, 2, False)),
    Case("x |> attention(2)", (2, 4, 6), multi_head_attention),
    Case("x |> attention(3, causal = true)", (2, 5, 6), lambda x, p: attention(x, p, 3, True)),
    Case("x |> residual(linear(4) >> tanh)", (3, 4), lambda x, p: x + linear(x, p).tanh()),
    Case("x |> residual(linear(5), skip = linear(5))", (3, 4), lambda x, p: linear(x, p) + linear(x, p, "linear_2")),
)

FUNCTIONS: tuple[Case, ...] = (
    Case("flatten(x)", (2, 3, 4), lambda x, p: x.flatten(1)),
    Case("relu(x)", (3, 4), lambda x, p: x.relu()),
    Case("sigmoid(4 * x)", (3, 4), lambda x, p: (4 * x).sigmoid()),
    Case("tanh(x)", (3, 4), lambda x, p: x.tanh()),
    Case("gelu(x)", (3, 4), lambda x, p: functional.gelu(x)),
    Case("gelu_tanh(2 * x)", (3, 4), lambda x, p: functional.gelu(2 * x, approximate="tanh")),
    Case("silu(x)", (3, 4), lambda x, p: functional.silu(x)),
    Case("softplus(8 * x)", (3, 4), lambda x, p: functional.softplus(8 * x)),
    Case("leaky_relu(x)", (3, 4), lambda x, p: functional.leaky_relu(x)),
    Case("leaky_relu(x, slope = 0.2)", (3, 4), lambda x, p: functional.leaky_relu(x, 0.2)),
    Case("softmax(3 * x)", (3, 4), lambda x, p: (3 * x).softmax(-1)),
    Case("softmax(x, axis = 1)", (2, 3, 4), lambda x, p: x.softmax(1)),
    Case("softmax(x, mask = mask)", (2, 3, 4), lambda x, p, mask: x.masked_fill(~mask, -math.inf).softmax(-1), MASK),
    Case("log_softmax(3 * x)", (3, 4), lambda x, p: (3 * x).log_softmax(-1)),
    Case("log_softmax(x, axis = 0)", (3, 4), lambda x, p: x.log_softmax(0)),
    Case("select(lower_triangle(4), x, 0)", (4, 4), lambda x, p: x.tril()),
)

TARGET = {"target": np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)}
TRUTH = {"target": np.array([[0, 1, 1, 0], [1, 0, 0, 1], [0.25, 0.5, 1, 0]], np.float32)}
CLASSES = {"target": np.array([0, 3, 1, 3, 2])}
SOME = {"target": np.array([[0, -100, 3], [2, 1, -100]])}
NONE = {"target": np.full((2, 3), -100)}


def cross_entropy(x: Tensor, p: Parameters, target: Tensor, **options: Any) -> Tensor:
    return functional.cross_entropy(x.flatten(0, -2), target.flatten(), **options)


def bce(x: Tensor, p: Parameters, target: Tensor, **options: Any) -> Tensor:
    return functional.binary_cross_entropy_with_logits(x, target.broadcast_to(x.shape), **options)


LOSSES: tuple[Case, ...] = (
    Case("mse(x, target)", (3, 4), lambda x, p, target: functional.mse_loss(x, target), TARGET),
    Case(
        "mse(x, target, reduce = sum)",
        (3, 4),
        lambda x, p, target: functional.mse_loss(x, target, reduction="sum"),
        TARGET,
    ),
    Case("mse(x, target, reduce = identity)", (3, 4), lambda x, p, target: (x - target) ** 2, TARGET),
    Case("mae(x, target)", (3, 4), lambda x, p, target: functional.l1_loss(x, target), TARGET),
    Case("cross_entropy(5 * x, target)", (5, 4), lambda x, p, target: cross_entropy(5 * x, p, target), CLASSES),
    Case(
        "cross_entropy(x, target, label_smoothing = 0.1)",
        (5, 4),
        lambda x, p, target: cross_entropy(x, p, target, label_smoothing=0.1),
        CLASSES,
    ),
    Case("cross_entropy(x, target, ignore_index = -100)", (2, 3, 4), cross_entropy, SOME),
    Case(
        "cross_entropy(x, target, label_smoothing = 0.3, ignore_index = -100)",
        (2, 3, 4),
        lambda x, p, target: cross_entropy(x, p, target, label_smoothing=0.3),
        SOME,
    ),
    Case("cross_entropy(x, target, ignore_index = -100)", (2, 3, 4), lambda x, p, target: 0 * x.sum(), NONE),
    Case(
        "cross_entropy(x, target, ignore_index = 3)",
        (5, 4),
        lambda x, p, target: cross_entropy(x, p, target, ignore_index=3),
        CLASSES,
    ),
    Case(
        "cross_entropy(x, target, reduce = sum)",
        (5, 4),
        lambda x, p, target: cross_entropy(x, p, target, reduction="sum"),
        CLASSES,
    ),
    Case(
        "cross_entropy(x, target, ignore_index = -100, reduce = identity)",
        (2, 3, 4),
        lambda x, p, target: cross_entropy(x, p, target, reduction="none").view(2, 3),
        SOME,
    ),
    Case(
        "cross_entropy(x, target, label_smoothing = 0.2, ignore_index = -100, reduce = sum)",
        (2, 3, 4),
        lambda x, p, target: cross_entropy(x, p, target, reduction="sum", label_smoothing=0.2),
        SOME,
    ),
    Case("bce_with_logits(9 * x, target)", (3, 4), lambda x, p, target: bce(9 * x, p, target), TRUTH),
    Case(
        "bce_with_logits(x, target, reduce = sum)",
        (3, 4),
        lambda x, p, target: bce(x, p, target, reduction="sum"),
        TRUTH,
    ),
    Case("bce_with_logits(x, 1)", (3, 4), lambda x, p: bce(x, p, torch.ones(()))),
)
