"""The suite's models of sentences in JAX; what recurs runs under `lax.scan`."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from .jax_layers import Arrays, Variables, attend, cross_entropy, layer_norm, linear, self_attention
from .jax_models import Model

PADDING = 0


def lstm(p: Variables, x: jax.Array) -> jax.Array:
    """Sequences f32[batch, t, 128], classified by the last state, f32[batch, 10]. Hochreiter & Schmidhuber 1997."""
    w = _recurrent(p, "lstm", 4, 128, 128)
    gates = x @ w["weight_ih"].T + (w["bias_ih"] + w["bias_hh"])

    def step(state: tuple[jax.Array, jax.Array], gate: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        h, c = state
        i, f, g, o = jnp.split(gate + h @ w["weight_hh"].T, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((len(x), 128))
    (h, _), _ = jax.lax.scan(step, (zeros, zeros), gates.swapaxes(0, 1))
    return linear(p, "linear", h, 10)


def _recurrent(p: Variables, name: str, gates: int, i: int, n: int) -> Arrays:
    """The weights of a recurrent layer from i to n features."""
    width = gates * n
    shapes = {"weight_ih": (width, i), "weight_hh": (width, n), "bias_ih": (width,), "bias_hh": (width,)}
    return {part: p(f"{name}.{part}", *shape) for part, shape in shapes.items()}


def _gru_cell(w: Arrays, gates: jax.Array, h: jax.Array) -> jax.Array:
    """The next state from what the gates get of the input. Cho et al. 2014."""
    reset, update, candidate = jnp.split(gates, 3, -1)
    reset_h, update_h, candidate_h = jnp.split(h @ w["weight_hh"].T + w["bias_hh"], 3, -1)
    z = jax.nn.sigmoid(update + update_h)
    return (1 - z) * jnp.tanh(candidate + jax.nn.sigmoid(reset + reset_h) * candidate_h) + z * h


def _gru(w: Arrays, x: jax.Array, reverse: bool = False) -> jax.Array:
    """All states, f32[b, t, i] -> f32[b, t, n]."""

    def step(h: jax.Array, gates: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = _gru_cell(w, gates, h)
        return h, h

    gates = (x @ w["weight_ih"].T + w["bias_ih"]).swapaxes(0, 1)
    first = jnp.zeros((len(x), w["weight_hh"].shape[1]))
    return jax.lax.scan(step, first, gates, reverse=reverse)[1].swapaxes(0, 1)


def seq2seq(source_vocab: int, target_vocab: int, d: int, n: int) -> Model:
    """A translator of gated recurrent units with attention; sources have their full length. Bahdanau et al. 2015."""

    def model(p: Variables, source: jax.Array, target: jax.Array) -> jax.Array:
        x = p("source_words.weight", source_vocab, d)[source]
        back = _gru(_recurrent(p, "back", 3, d, n), x, reverse=True)
        memory = jnp.concatenate((_gru(_recurrent(p, "ahead", 3, d, n), x), back), -1)
        first = jnp.tanh(linear(p, "first.linear", back[:, 0], n))
        words = p("target_words.weight", target_vocab, d)[target]
        states, contexts = _decoded(p, words, memory, source != PADDING, first)
        return linear(p, "readout", jnp.concatenate((words, states, contexts), -1), target_vocab)

    return model


def _decoded(
    p: Variables, words: jax.Array, memory: jax.Array, seen: jax.Array, first: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The states of the decoder and what it looks at, from [b, t, d], [b, s, m], [b, s] and the first state [b, n]."""
    n, m, d = first.shape[-1], memory.shape[-1], words.shape[-1]
    keys = linear(p, "key", memory, n, bias=False)
    attention = [p("attend.linear.weight", n, n), p("attend.linear.bias", n), p("attend.linear_2.weight", 1, n)]
    cell = _recurrent(p, "decoder", 3, d + m, n)

    def step(h: jax.Array, word: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        query = h @ attention[0].T + attention[1]
        scores = (jnp.tanh(query[:, None] + keys) @ attention[2].T)[..., 0]
        weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf))
        context = jnp.einsum("bs,bsm->bm", weights, memory)
        gates = jnp.concatenate((word, context), -1) @ cell["weight_ih"].T + cell["bias_ih"]
        h = _gru_cell(cell, gates, h)
        return h, (h, context)

    states, contexts = jax.lax.scan(step, first, words.swapaxes(0, 1))[1]
    return states.swapaxes(0, 1), contexts.swapaxes(0, 1)


def transformer(vocab: int, d: int, layers: int, h: int, ff: int, drop: float) -> Model:
    """One table for both languages and the output; sines and cosines as positions. Vaswani et al. 2017."""
    assert drop == 0, "nothing is dropped out here"

    def model(p: Variables, source: jax.Array, target: jax.Array) -> jax.Array:
        table, seen = p("table.weight", vocab, d), source != PADDING
        memory, x = (table[words] * math.sqrt(d) + _positions(words.shape[1], d) for words in (source, target))
        for n in range(layers):
            memory = _norm(p, "encoder", n, memory + self_attention(p, f"encoder.self_attention.{n}", memory, h, seen))
            memory = _norm(p, "encoder", n, memory + _feed_forward(p, f"encoder.feed_forward.{n}", memory, ff), "_2")
        for n in range(layers):
            x = _norm(p, "decoder", n, x + self_attention(p, f"decoder.self_attention.{n}", x, h, causal=True))
            x = _norm(p, "decoder", n, x + _source_attention(p, n, x, memory, h, seen), "_2")
            x = _norm(p, "decoder", n, x + _feed_forward(p, f"decoder.feed_forward.{n}", x, ff), "_3")
        return x @ table.T

    return model


def _positions(count: int, d: int) -> jax.Array:
    angle = jnp.arange(count)[:, None] / 10_000.0 ** (jnp.arange(d // 2) * (2 / d))
    return jnp.stack((jnp.sin(angle), jnp.cos(angle)), -1).reshape(count, d)


def _norm(p: Variables, side: str, n: int, x: jax.Array, number: str = "") -> jax.Array:
    return layer_norm(p, f"{side}.add_and_norm{number}.{n}.layer_norm", x)


def _feed_forward(p: Variables, name: str, x: jax.Array, ff: int) -> jax.Array:
    return linear(p, f"{name}.contract", jax.nn.relu(linear(p, f"{name}.expand", x, ff)), x.shape[-1])


def _source_attention(p: Variables, n: int, x: jax.Array, memory: jax.Array, heads: int, seen: jax.Array) -> jax.Array:
    name, d = f"decoder.source_attention.{n}", x.shape[-1]
    keys, values = jnp.split(linear(p, f"{name}.linear_2", memory, 2 * d), 2, -1)
    return linear(p, f"{name}.linear_3", attend(linear(p, f"{name}.linear", x, d), keys, values, heads, seen), d)


def bert(d: int, layers: int, h: int, context: int, drop: float, vocab: int = 30522) -> Model:
    """A vector for each token i32[batch, t] in its context, f32[batch, t, d]. Devlin et al. 2018."""
    assert drop == 0, "nothing is dropped out here"

    def model(p: Variables, tokens: jax.Array, segments: jax.Array) -> jax.Array:
        positions = p("encoder.learned_positions.weight", context, d)[: tokens.shape[1]]
        x = p("words.weight", vocab, d)[tokens] + p("encoder.sentences.weight", 2, d)[segments] + positions
        x = layer_norm(p, "encoder.layer_norm", x, 1e-12)
        for layer in (f"encoder.bert_layer.{n}" for n in range(layers)):
            attended = self_attention(p, f"{layer}.self_attention", x, h, tokens != PADDING)
            x = layer_norm(p, f"{layer}.layer_norm", x + attended, 1e-12)
            y = jax.nn.gelu(linear(p, f"{layer}.dense.linear", x, 4 * d), approximate=False)
            x = layer_norm(p, f"{layer}.layer_norm_2", x + linear(p, f"{layer}.dense_2.linear", y, d), 1e-12)
        return x

    return model


def bert_loss(**settings: int) -> Model:
    """That of the words at `place` in the batch, and that of the second sentences."""
    encode, d = bert(**settings), settings["d"]

    def loss(
        p: Variables, tokens: jax.Array, segments: jax.Array, random_next: jax.Array, place: jax.Array, word: jax.Array
    ) -> jax.Array:
        x = encode(p, tokens, segments)
        whole = jnp.tanh(linear(p, "encoder.pool.dense.linear", x[:, 0], d))
        y = jax.nn.gelu(linear(p, "guess.dense.linear", x.reshape(-1, d)[place], d), approximate=False)
        table = p["words.weight"]
        logits = layer_norm(p, "guess.layer_norm", y, 1e-12) @ table.T + p("guess.bias", len(table))
        return cross_entropy(logits, word) + cross_entropy(linear(p, "follows.linear", whole, 2), random_next)

    return loss


def skip_gram(vocab: int, d: int) -> Model:
    """Word vectors, i32[batch] -> f32[batch, d]. Mikolov et al. 2013."""
    return lambda p, word: p("words.weight", vocab, d)[word]


def skip_gram_loss(vocab: int, d: int) -> Model:
    """How hard `near` is to tell from the words of `far`, [batch, negatives], by `word`."""

    def loss(p: Variables, word: jax.Array, near: jax.Array, far: jax.Array) -> jax.Array:
        vector, contexts = p("words.weight", vocab, d)[word], p("contexts.weight", vocab, d)
        agreement = (vector * contexts[near]).sum(-1)
        mistaken = jnp.einsum("bnd,bd->bn", contexts[far], vector)
        other = far != near[:, None]
        return -(jax.nn.log_sigmoid(agreement) + (jax.nn.log_sigmoid(-mistaken) * other).sum(-1)).mean()

    return loss
