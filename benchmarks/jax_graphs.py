"""The suite's networks on graphs in JAX: messages are gathered at the edges and added up at the nodes."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .jax_layers import Variables, cross_entropy, linear


def _looped(edges: jax.Array, nodes: int) -> jax.Array:
    """The edges, with one more from each node to itself."""
    own = jnp.arange(nodes)
    return jnp.concatenate((edges, jnp.stack((own, own))), 1)


def _gcn_layer(p: Variables, name: str, x: jax.Array, edges: jax.Array, out: int) -> jax.Array:
    """Kipf & Welling 2017: f32[nodes, i], i32[2, e] -> f32[nodes, out]."""
    u, v = edges
    h = x @ p(f"{name}.weight", out, x.shape[1]).T
    root = jax.lax.rsqrt(jnp.maximum(jnp.bincount(v, length=len(x)), 1).astype(jnp.float32))
    messages = h[u] * (root[u] * root[v])[:, None]
    return jax.ops.segment_sum(messages, v, len(x)) + p(f"{name}.bias", out)


def gcn(p: Variables, x: jax.Array, edges: jax.Array) -> jax.Array:
    """Two layers with ReLU between them: f32[nodes, 1433], i32[2, e] -> f32[nodes, 7]."""
    edges = _looped(edges, len(x))
    return _gcn_layer(p, "second", jax.nn.relu(_gcn_layer(p, "first", x, edges, 16)), edges, 7)


def gcn_loss(p: Variables, x: jax.Array, edges: jax.Array, label: jax.Array) -> tuple[jax.Array, jax.Array]:
    """With the weights of the first layer kept small; and the logits. Every node has a label here."""
    logits = gcn(p, x, edges)
    return cross_entropy(logits, label) + 2.5e-4 * jnp.square(p["first.weight"]).sum(), logits


def _gat_layer(p: Variables, name: str, x: jax.Array, edges: jax.Array, out: int, h: int) -> jax.Array:
    """Veličković et al. 2018: f32[nodes, i], i32[2, e] -> f32[nodes, h * out]."""
    (u, v), nodes = edges, len(x)
    z = linear(p, f"{name}.linear", x, h * out, bias=False).reshape(nodes, h, out)
    source, target = ((z * p(f"{name}.{end}", h, out)).sum(-1) for end in ("source", "target"))
    scores = jax.nn.leaky_relu(source[u] + target[v], 0.2)
    most = jax.ops.segment_max(jax.lax.stop_gradient(scores), v, nodes)
    raised = jnp.exp(scores - most[v])
    alpha = raised / jax.ops.segment_sum(raised, v, nodes)[v]
    summed = jax.ops.segment_sum(alpha[..., None] * z[u], v, nodes)
    return summed.reshape(nodes, h * out) + p(f"{name}.bias", h * out)


def gat(p: Variables, x: jax.Array, edges: jax.Array) -> jax.Array:
    """Eight heads of eight features, then one with the classes: f32[nodes, 1433], i32[2, e] -> f32[nodes, 7]."""
    edges = _looped(edges, len(x))
    return _gat_layer(p, "gat_2", jax.nn.elu(_gat_layer(p, "gat", x, edges, 8, 8)), edges, 7, 1)
