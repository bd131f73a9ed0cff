"""Layers in plain JAX: functions of variables by netlang's names. Images are [batch, height, width, channels]."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

Arrays = dict[str, jax.Array]


class Variables(dict[str, jax.Array]):
    """What a model computes with during one trace, by name.

    A variable that is not there is made of zeros: so an abstract run of a model on nothing tells all names and shapes,
    as in Flax. `moved` are the running statistics behind a batch of training.
    """

    def __init__(self, values: Mapping[str, jax.Array], *, training: bool) -> None:
        super().__init__(values)
        self.training = training
        self.moved: Arrays = {}

    def __call__(self, name: str, *shape: int) -> jax.Array:
        """The variable of this name, f32 of this shape."""
        if name not in self:
            self[name] = jnp.zeros(shape)
        return self[name]


def linear(p: Variables, name: str, x: jax.Array, out: int, bias: bool = True) -> jax.Array:
    """f32[…, i] -> f32[…, out]."""
    y = x @ p(f"{name}.weight", out, x.shape[-1]).T
    return y + p(f"{name}.bias", out) if bias else y


def conv(p: Variables, name: str, x: jax.Array, out: int, kernel: int, stride: int = 1, pad: int = 0) -> jax.Array:
    """f32[b, h, w, i] -> f32[b, _, _, out], without bias."""
    weight = p(f"{name}.weight", kernel, kernel, x.shape[-1], out)
    pads = ((pad, pad), (pad, pad))
    return jax.lax.conv_general_dilated(x, weight, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def batch_norm(p: Variables, name: str, x: jax.Array) -> jax.Array:
    """f32[b, h, w, c], normalised by the batch in training, by running statistics otherwise. Ioffe & Szegedy 2015."""
    c = x.shape[-1]
    running = {part: p(f"{name}.running_{part}", c) for part in ("mean", "variance")}
    mean, variance = running["mean"], running["variance"]
    if p.training:
        mean = x.mean((0, 1, 2))
        variance = jnp.maximum(jnp.square(x).mean((0, 1, 2)) - jnp.square(mean), 0)  # in one pass, as in Flax
        count = x.size // c
        p.moved[f"{name}.running_mean"] = 0.9 * running["mean"] + 0.1 * mean
        p.moved[f"{name}.running_variance"] = 0.9 * running["variance"] + 0.1 * variance * (count / (count - 1))
    factor = jax.lax.rsqrt(variance + 1e-5) * p(f"{name}.scale", c)
    return (x - mean) * factor + p(f"{name}.shift", c)


def layer_norm(p: Variables, name: str, x: jax.Array, epsilon: float = 1e-5) -> jax.Array:
    """f32[…, d], normalised over the last axis. Ba et al. 2016."""
    d = x.shape[-1]
    center = x.mean(-1, keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(x - center).mean(-1, keepdims=True) + epsilon)
    return (x - center) * inverse * p(f"{name}.scale", d) + p(f"{name}.shift", d)


def group_norm(p: Variables, name: str, x: jax.Array, groups: int, epsilon: float) -> jax.Array:
    """f32[b, h, w, c], each group of channels normalised by itself. Wu & He 2018."""
    b, h, w, c = x.shape
    y = x.reshape(b, h, w, groups, c // groups)
    center = y.mean((1, 2, 4), keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(y - center).mean((1, 2, 4), keepdims=True) + epsilon)
    return ((y - center) * inverse).reshape(x.shape) * p(f"{name}.scale", c) + p(f"{name}.shift", c)


def attend(
    q: jax.Array, k: jax.Array, v: jax.Array, heads: int, seen: jax.Array | None = None, causal: bool = False
) -> jax.Array:
    """JAX's attention for [b, t, d] and [b, s, d]; `seen` [b, s] is false where no position may look."""
    q, k, v = (x.reshape(*x.shape[:2], heads, -1) for x in (q, k, v))
    mask = None if seen is None else seen[:, None, None]
    return jax.nn.dot_product_attention(q, k, v, mask=mask, is_causal=causal).reshape(*q.shape[:2], -1)


def self_attention(
    p: Variables, name: str, x: jax.Array, heads: int, seen: jax.Array | None = None, causal: bool = False
) -> jax.Array:
    """Multi-head attention within a sequence, f32[b, t, d]. Vaswani et al. 2017."""
    d = x.shape[-1]
    q, k, v = jnp.split(linear(p, f"{name}.linear", x, 3 * d), 3, -1)
    return linear(p, f"{name}.linear_2", attend(q, k, v, heads, seen, causal), d)


def cross_entropy(logits: jax.Array, target: jax.Array) -> jax.Array:
    """The mean over all targets."""
    return -_chosen(jax.nn.log_softmax(logits), target).mean()


def smoothed_cross_entropy(logits: jax.Array, target: jax.Array, smoothing: float, ignored: int) -> jax.Array:
    """The mean over all targets but those ignored; each is spread over all classes a little. Szegedy et al. 2015."""
    log_p = jax.nn.log_softmax(logits)
    losses = -(1 - smoothing) * _chosen(log_p, target) - smoothing * log_p.mean(-1)
    counts = target != ignored
    return (losses * counts).sum() / counts.sum()


def _chosen(log_p: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.take_along_axis(log_p, target[..., None], -1)[..., 0]
