"""The models of the library in PyTorch: functions of the same parameters, by the same names."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from .cases import attention, batch_norm, conv, layer_norm, linear
from .harness import Parameters, Scope


def linear_regression(p: Parameters, x: Tensor) -> Tensor:
    return linear(x, p)


def perceptron(p: Parameters, x: Tensor) -> Tensor:
    return linear(x, p)


def mlp(p: Parameters, x: Tensor, layers: int = 2) -> Tensor:
    for i in range(layers):
        x = linear(x, p, f"linear.{i}").tanh()
    return linear(x, p, "linear_2")


def lenet5(p: Parameters, image: Tensor) -> Tensor:
    x = functional.avg_pool2d(conv(image, p, "conv2d").tanh(), 2)
    x = functional.avg_pool2d(conv(x, p, "conv2d_2").tanh(), 2)
    x = conv(x, p, "conv2d_3").tanh().flatten(1)
    return linear(linear(x, p).tanh(), p, "linear_2")


def _convolution(x: Tensor, p: Parameters | Scope, name: str, stride: int, padding: int) -> Tensor:
    return conv(x, p.at(name), "conv2d", stride=stride, padding=padding)


def _basic_block(x: Tensor, p: Scope, stride: int) -> Tensor:
    y = batch_norm(_convolution(x, p, "body.convolution", stride, 1), p, "body.batch_norm").relu()
    y = batch_norm(_convolution(y, p, "body.convolution_2", 1, 1), p, "body.batch_norm_2")
    if "skip" in p:
        x = batch_norm(_convolution(x, p, "skip.convolution", stride, 0), p, "skip.batch_norm")
    return (x + y).relu()


def _stages(x: Tensor, p: Parameters, stages: int, blocks: int) -> Tensor:
    for n in range(stages):
        for i in range(blocks):
            name = f"stage_{n + 1}" if n else "stage"
            x = _basic_block(x, p.at(f"{name}.basic_block.{i}"), stride=2 if n and not i else 1)
    return linear(x.mean((2, 3)), p)


def resnet18(p: Parameters, image: Tensor) -> Tensor:
    x = batch_norm(_convolution(image, p, "convolution", 2, 3), p).relu()
    return _stages(functional.max_pool2d(x, 3, 2, 1), p, stages=4, blocks=2)


def resnet20(p: Parameters, image: Tensor) -> Tensor:
    x = batch_norm(_convolution(image, p, "convolution", 1, 1), p).relu()
    return _stages(x, p, stages=3, blocks=3)


def gpt(p: Parameters | Scope, tokens: Tensor, layers: int = 2, h: int = 2, approximate: str = "none") -> Tensor:
    table = p.at("tokens_table")["weight"]
    x = functional.embedding(tokens, table) + p.at("learned_positions")["weight"][: tokens.shape[1]]
    for i in range(layers):
        block = p.at(f"gpt_block.{i}")
        x = x + attention(layer_norm(x, block), block, h, causal=True)
        y = functional.gelu(linear(layer_norm(x, block, "layer_norm_2"), block, "expand"), approximate=approximate)
        x = x + linear(y, block, "contract")
    return layer_norm(x, p) @ table.T


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, -2), target.flatten())


def yes_or_no(logits: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, target.float())


def accuracy(logits: Tensor, target: Tensor) -> Tensor:
    return (logits.argmax(-1) == target).float().mean()


def top_5_accuracy(logits: Tensor, target: Tensor) -> Tensor:
    return (logits.topk(5).indices == target[:, None]).any(-1).float().mean()


def binary_accuracy(logits: Tensor, target: Tensor) -> Tensor:
    return ((logits > 0) == (target == 1)).float().mean()


def mae(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).abs().mean()
