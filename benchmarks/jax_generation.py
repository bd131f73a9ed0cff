"""The suite's models that draw images, in JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .jax_layers import Variables, attend, conv, group_norm, linear


def vae(p: Variables, z: jax.Array) -> jax.Array:
    """The decoder of a variational autoencoder, f32[batch, 20] -> f32[batch, 784]. Kingma & Welling 2014."""
    return jax.nn.sigmoid(_decoded(p, z))


def vae_loss(p: Variables, x: jax.Array, noise: jax.Array) -> jax.Array:
    """The bound on -log p(x)."""
    h = jax.nn.relu(linear(p, "encoder.linear", x, 400))
    mu, log_var = linear(p, "center", h, 20), linear(p, "log_variance", h, 20)
    logits = _decoded(p, mu + jnp.exp(log_var / 2) * noise)
    reconstruction = (jnp.maximum(logits, 0) - logits * x + jnp.log1p(jnp.exp(-jnp.abs(logits)))).sum()
    return (reconstruction + 0.5 * (mu * mu + jnp.exp(log_var) - log_var - 1).sum()) / len(x)


def _decoded(p: Variables, z: jax.Array) -> jax.Array:
    return linear(p, "decoder.linear_2", jax.nn.relu(linear(p, "decoder.linear", z, 400)), 784)


_NETWORK = "ddpm.network"
_WIDTHS = (32, 64, 64)


def ddpm(p: Variables, x: jax.Array, t: jax.Array) -> jax.Array:
    """The noise in images f32[b, 28, 28, 1] at times i32[b], by a U-Net. Ho et al. 2020."""
    time = linear(p, f"{_NETWORK}.dense.linear", _waves(t), 128)
    time = linear(p, f"{_NETWORK}.dense_2.linear", jax.nn.silu(time), 128)
    y = _conv(p, f"{_NETWORK}.convolution", x, 32)
    y, seen = _down(p, y, time)
    y = _time_block(p, f"{_NETWORK}.middle", y, time, 64)
    y = _pixel_attention(p, f"{_NETWORK}.middle_attention", y)
    y = _time_block(p, f"{_NETWORK}.middle_2", y, time, 64)
    y = _up(p, y, time, seen)
    return _conv(p, f"{_NETWORK}.convolution_2", jax.nn.silu(_normalized(p, f"{_NETWORK}.normalized", y)), 1)


def ddpm_loss(p: Variables, noisy: jax.Array, time: jax.Array, noise: jax.Array) -> jax.Array:
    """The mean square of what it does not see."""
    return jnp.square(ddpm(p, noisy, time) - noise).mean()


def _waves(t: jax.Array) -> jax.Array:
    angle = t[:, None] * 10_000.0 ** (-jnp.arange(16) / 15)
    return jnp.concatenate((jnp.sin(angle), jnp.cos(angle)), 1)


def _down(p: Variables, y: jax.Array, time: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
    """A block at each of three resolutions: the result, and what the way up sees again."""
    seen = [y]
    for level, width in enumerate(_WIDTHS):
        y = _time_block(p, f"{_NETWORK}.time_block.{level}.0", y, time, width)
        if level == 1:
            y = _pixel_attention(p, f"{_NETWORK}.pixel_attention.1.0", y)
        seen.append(y)
        if level < 2:
            name = f"{_NETWORK}.halved.{level}"
            padded = jnp.pad(y, ((0, 0), (0, 1), (0, 1), (0, 0)))
            y = conv(p, f"{name}.conv2d", padded, width, 3, stride=2) + p(f"{name}.bias", width)
            seen.append(y)
    return y, seen


def _up(p: Variables, y: jax.Array, time: jax.Array, seen: list[jax.Array]) -> jax.Array:
    for risen, width in enumerate(reversed(_WIDTHS)):
        for n in range(2):
            joined = jnp.concatenate((y, seen.pop()), -1)
            y = _time_block(p, f"{_NETWORK}.time_block_2.{risen}.{n}", joined, time, width)
            if risen == 1:
                y = _pixel_attention(p, f"{_NETWORK}.pixel_attention_2.1.{n}", y)
        if risen < 2:
            y = _conv(p, f"{_NETWORK}.doubled.{risen}.convolution", y.repeat(2, 1).repeat(2, 2), width)
    return y


def _time_block(p: Variables, name: str, x: jax.Array, time: jax.Array, out: int) -> jax.Array:
    """Two convolutions beside a skip connection, with the time added between them."""
    y = _conv(p, f"{name}.convolution", jax.nn.silu(_normalized(p, f"{name}.normalized", x)), out)
    y = y + linear(p, f"{name}.dense.linear", jax.nn.silu(time), out)[:, None, None]
    y = _conv(p, f"{name}.convolution_2", jax.nn.silu(_normalized(p, f"{name}.normalized_2", y)), out)
    return y + (x if x.shape[-1] == out else _conv(p, f"{name}.convolution_3", x, out, 1))


def _pixel_attention(p: Variables, name: str, x: jax.Array) -> jax.Array:
    """Attention of each pixel to all others, by one head."""
    b, h, w, c = x.shape
    pixels = _normalized(p, f"{name}.normalized", x).reshape(b, h * w, c)
    y = attend(*jnp.split(linear(p, f"{name}.dense.linear", pixels, 3 * c), 3, -1), heads=1)
    return x + linear(p, f"{name}.dense_2.linear", y, c).reshape(x.shape)


def _conv(p: Variables, name: str, x: jax.Array, out: int, kernel: int = 3) -> jax.Array:
    return conv(p, f"{name}.conv2d", x, out, kernel, pad=kernel // 2) + p(f"{name}.bias", out)


def _normalized(p: Variables, name: str, x: jax.Array) -> jax.Array:
    return group_norm(p, name, x, 8, 1e-6)
