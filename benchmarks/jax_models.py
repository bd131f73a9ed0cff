"""The suite's models of images, and its decoder, in JAX."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from .jax_layers import Variables, batch_norm, conv, layer_norm, linear, self_attention

Model = Callable[..., jax.Array]
"""From variables and the inputs by name to the output."""


def mlp(p: Variables, image: jax.Array) -> jax.Array:
    """784-512-512-10 with ReLU: f32[batch, 784] -> f32[batch, 10]."""
    for name in ("linear.0", "linear.1"):
        image = jax.nn.relu(linear(p, name, image, 512))
    return linear(p, "linear_2", image, 10)


def lenet5(p: Variables, image: jax.Array) -> jax.Array:
    """LeCun et al. 1998, with a dense output: f32[batch, 32, 32, 1] -> f32[batch, 10]."""
    x = _halved(_tanh_conv(p, "conv2d", image, 6))
    x = _halved(_tanh_conv(p, "conv2d_2", x, 16))
    x = _tanh_conv(p, "conv2d_3", x, 120).reshape(len(image), -1)
    return linear(p, "linear_2", jnp.tanh(linear(p, "linear", x, 84)), 10)


def _tanh_conv(p: Variables, name: str, x: jax.Array, out: int) -> jax.Array:
    return jnp.tanh(conv(p, name, x, out, 5) + p(f"{name}.bias", out))


def _halved(x: jax.Array) -> jax.Array:
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def resnet20(p: Variables, image: jax.Array) -> jax.Array:
    """He et al. 2015 for small images, f32[batch, h, w, 3] -> f32[batch, 10]: three stages of three blocks."""
    x = jax.nn.relu(_conv_norm(p, "", image, 16, 3, 1))
    x = _stage(p, "stage", x, 16, 3, 1)
    x = _stage(p, "stage_2", x, 32, 3, 2)
    x = _stage(p, "stage_3", x, 64, 3, 2)
    return linear(p, "linear", x.mean((1, 2)), 10)


def resnet18(p: Variables, image: jax.Array) -> jax.Array:
    """He et al. 2015, f32[batch, 224, 224, 3] -> f32[batch, 1000]: four stages of two blocks."""
    x = jax.nn.relu(_conv_norm(p, "", image, 64, 7, 2))
    pads = ((0, 0), (1, 1), (1, 1), (0, 0))
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pads)
    x = _stage(p, "stage", x, 64, 2, 1)
    for n, width in enumerate((128, 256, 512), 2):
        x = _stage(p, f"stage_{n}", x, width, 2, 2)
    return linear(p, "linear", x.mean((1, 2)), 1000)


def _stage(p: Variables, name: str, x: jax.Array, out: int, blocks: int, stride: int) -> jax.Array:
    for n in range(blocks):
        x = _basic_block(p, f"{name}.basic_block.{n}", x, out, 1 if n else stride)
    return x


def _basic_block(p: Variables, name: str, x: jax.Array, out: int, stride: int) -> jax.Array:
    y = jax.nn.relu(_conv_norm(p, f"{name}.body.", x, out, 3, stride))
    y = _conv_norm(p, f"{name}.body.", y, out, 3, 1, "_2")
    if stride != 1 or x.shape[-1] != out:
        x = _conv_norm(p, f"{name}.skip.", x, out, 1, stride)
    return jax.nn.relu(y + x)


def _conv_norm(
    p: Variables, prefix: str, x: jax.Array, out: int, kernel: int, stride: int, number: str = ""
) -> jax.Array:
    y = conv(p, f"{prefix}convolution{number}.conv2d", x, out, kernel, stride, kernel // 2)
    return batch_norm(p, f"{prefix}batch_norm{number}", y)


def gpt(vocab: int, d: int, layers: int, h: int, context: int) -> Model:
    """A causal decoder; the output table is the input table. Radford et al. 2019."""

    def model(p: Variables, tokens: jax.Array) -> jax.Array:
        table = p("tokens_table.weight", vocab, d)
        x = table[tokens] + p("learned_positions.weight", context, d)[: tokens.shape[1]]
        for block in (f"gpt_block.{i}" for i in range(layers)):
            y = layer_norm(p, f"{block}.layer_norm", x)
            x = x + self_attention(p, f"{block}.attention", y, h, causal=True)
            y = linear(p, f"{block}.expand", layer_norm(p, f"{block}.layer_norm_2", x), 4 * d)
            x = x + linear(p, f"{block}.contract", jax.nn.gelu(y, approximate=False), d)
        return layer_norm(p, "layer_norm", x) @ table.T

    return model
