"""The suite's models of sentences in PyTorch, as a careful user would write them: fused attention, fused recurrences.

Modules carry the names that netlang gives the same layers, so that weights cross over by name.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PADDING = 0


class LSTM(nn.Module):
    """Sequences of vectors, classified by the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.linear = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """f32[batch, t, 128] -> f32[batch, 10]."""
        return self.linear(self.lstm(x)[0][:, -1])


class AdditiveAttention(nn.Module):
    """The mean over a memory, weighted by how well its keys agree with a state. Bahdanau et al. 2015."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n, n)
        self.linear_2 = nn.Linear(n, 1, bias=False)

    def forward(self, h: Tensor, memory: Tensor, keys: Tensor, hidden: Tensor) -> Tensor:
        """h [b, n], memory [b, s, m], keys [b, s, n], hidden [b, s] -> [b, m]."""
        scores = self.linear_2((self.linear(h)[:, None] + keys).tanh())[..., 0]
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        return torch.bmm(weights[:, None], memory)[:, 0]


class Seq2Seq(nn.Module):
    """A translator of gated recurrent units with attention. Bahdanau et al. 2015."""

    def __init__(self, source_vocab: int, target_vocab: int, d: int, n: int) -> None:
        super().__init__()
        self.source_words = nn.Embedding(source_vocab, d)
        self.target_words = nn.Embedding(target_vocab, d)
        self.ahead = nn.GRU(d, n, batch_first=True)
        self.back = nn.GRU(d, n, batch_first=True)
        self.first = nn.ModuleDict({"linear": nn.Linear(n, n)})
        self.key = nn.Linear(2 * n, n, bias=False)
        self.attend = AdditiveAttention(n)
        self.decoder = nn.GRUCell(d + 2 * n, n)
        self.readout = nn.Linear(d + 3 * n, target_vocab)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """i64[batch, s], i64[batch, t] -> f32[batch, t, target_vocab]; all sources are of full length."""
        x = self.source_words(source)
        back = self.back(x.flip(1))[0].flip(1)
        memory = torch.cat((self.ahead(x)[0], back), -1)
        h = self.first["linear"](back[:, 0]).tanh()
        keys, hidden = self.key(memory), source == PADDING
        words = self.target_words(target)
        states, contexts = [], []
        for word in words.unbind(1):
            contexts.append(self.attend(h, memory, keys, hidden))
            h = self.decoder(torch.cat((word, contexts[-1]), 1), h)
            states.append(h)
        return self.readout(torch.cat((words, torch.stack(states, 1), torch.stack(contexts, 1)), -1))


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, seen: Tensor | None = None, causal: bool = False) -> Tensor:
    """PyTorch's fused attention for [b, t, d] and [b, s, d]; `seen` [b, s] is false where no position may look."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    mask = None if seen is None else seen[:, None, None]
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal).transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head attention within a sequence."""

    def __init__(self, d: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.linear = nn.Linear(d, 3 * d)
        self.linear_2 = nn.Linear(d, d)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """f32[b, t, d] -> f32[b, t, d]."""
        return self.linear_2(attend(*self.linear(x).chunk(3, -1), self.heads, seen, self.causal))


class SourceAttention(nn.Module):
    """Multi-head attention of one sequence to another."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear = nn.Linear(d, d)
        self.linear_2 = nn.Linear(d, 2 * d)
        self.linear_3 = nn.Linear(d, d)

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        """f32[b, t, d], f32[b, s, d], bool[b, s] -> f32[b, t, d]."""
        return self.linear_3(attend(self.linear(x), *self.linear_2(memory).chunk(2, -1), self.heads, seen))


class FeedForward(nn.Module):
    """Two linear maps, applied to each position."""

    def __init__(self, d: int, ff: int) -> None:
        super().__init__()
        self.expand = nn.Linear(d, ff)
        self.contract = nn.Linear(ff, d)

    def forward(self, x: Tensor) -> Tensor:
        """f32[b, t, d] -> f32[b, t, d]."""
        return self.contract(F.relu(self.expand(x)))


class AddAndNorm(nn.Module):
    """The sum of two tensors, normalised."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(d)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """f32[b, t, d] twice -> f32[b, t, d]."""
        return self.layer_norm(x + y)


class Encoder(nn.Module):
    """Attention within the source, then two linear maps, in each layer."""

    def __init__(self, d: int, layers: int, h: int, ff: int) -> None:
        super().__init__()
        self.self_attention = nn.ModuleList(SelfAttention(d, h) for _ in range(layers))
        self.add_and_norm = nn.ModuleList(AddAndNorm(d) for _ in range(layers))
        self.feed_forward = nn.ModuleList(FeedForward(d, ff) for _ in range(layers))
        self.add_and_norm_2 = nn.ModuleList(AddAndNorm(d) for _ in range(layers))

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """f32[b, s, d], bool[b, s] -> f32[b, s, d]."""
        layers = zip(self.self_attention, self.add_and_norm, self.feed_forward, self.add_and_norm_2, strict=True)
        for attention, norm, forward, norm_2 in layers:
            x = norm(x, attention(x, seen))
            x = norm_2(x, forward(x))
        return x


class Decoder(nn.Module):
    """Attention within the target, then to the source, then two linear maps, in each layer."""

    def __init__(self, d: int, layers: int, h: int, ff: int) -> None:
        super().__init__()
        self.self_attention = nn.ModuleList(SelfAttention(d, h, causal=True) for _ in range(layers))
        self.add_and_norm = nn.ModuleList(AddAndNorm(d) for _ in range(layers))
        self.source_attention = nn.ModuleList(SourceAttention(d, h) for _ in range(layers))
        self.add_and_norm_2 = nn.ModuleList(AddAndNorm(d) for _ in range(layers))
        self.feed_forward = nn.ModuleList(FeedForward(d, ff) for _ in range(layers))
        self.add_and_norm_3 = nn.ModuleList(AddAndNorm(d) for _ in range(layers))

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        """f32[b, t, d], f32[b, s, d], bool[b, s] -> f32[b, t, d]."""
        for i, attention in enumerate(self.self_attention):
            x = self.add_and_norm[i](x, attention(x))
            x = self.add_and_norm_2[i](x, self.source_attention[i](x, memory, seen))
            x = self.add_and_norm_3[i](x, self.feed_forward[i](x))
        return x


class Transformer(nn.Module):
    """One table for both languages and the output; sines and cosines as positions. Vaswani et al. 2017."""

    def __init__(self, vocab: int, d: int, layers: int, h: int, ff: int, drop: float) -> None:
        super().__init__()
        assert drop == 0, "nothing is dropped out here"
        self.table = nn.Embedding(vocab, d)
        self.encoder = Encoder(d, layers, h, ff)
        self.decoder = Decoder(d, layers, h, ff)
        self.register_buffer("positions", _positions(64, d), persistent=False)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """i64[batch, s], i64[batch, t] -> f32[batch, t, vocab]."""
        seen = source != PADDING
        memory = self.encoder(self._embedded(source), seen)
        return F.linear(self.decoder(self._embedded(target), memory, seen), self.table.weight)

    def _embedded(self, words: Tensor) -> Tensor:
        return self.table(words) * math.sqrt(self.table.embedding_dim) + self.positions[: words.shape[1]]


def _positions(count: int, d: int) -> Tensor:
    angle = torch.arange(count)[:, None] / 10_000.0 ** (torch.arange(d // 2) * (2 / d))
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(1)


class BERTLayer(nn.Module):
    """Attention in both directions, then two linear maps; each sum is normalised."""

    def __init__(self, d: int, h: int) -> None:
        super().__init__()
        self.self_attention = SelfAttention(d, h)
        self.layer_norm = nn.LayerNorm(d, eps=1e-12)
        self.dense = nn.Linear(d, 4 * d)
        self.dense_2 = nn.Linear(4 * d, d)
        self.layer_norm_2 = nn.LayerNorm(d, eps=1e-12)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """f32[b, t, d], bool[b, t] -> f32[b, t, d]."""
        x = self.layer_norm(x + self.self_attention(x, seen))
        return self.layer_norm_2(x + self.dense_2(F.gelu(self.dense(x))))


class BERTEncoder(nn.Module):
    """A vector for each token in its context, and one for the row as a whole."""

    def __init__(self, d: int, layers: int, h: int, context: int) -> None:
        super().__init__()
        self.sentences = nn.Embedding(2, d)
        self.learned_positions = nn.Embedding(context, d)
        self.layer_norm = nn.LayerNorm(d, eps=1e-12)
        self.bert_layer = nn.ModuleList(BERTLayer(d, h) for _ in range(layers))
        self.pool = nn.ModuleDict({"dense": nn.Linear(d, d)})

    def forward(self, x: Tensor, segments: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """f32[b, t, d], i64[b, t], bool[b, t] -> f32[b, t, d], f32[b, d]."""
        x = self.layer_norm(x + self.sentences(segments) + self.learned_positions.weight[: x.shape[1]])
        for layer in self.bert_layer:
            x = layer(x, seen)
        return x, self.pool["dense"](x[:, 0]).tanh()


class Guess(nn.Module):
    """Logits for the word at each place, from the table that words are looked up in."""

    def __init__(self, vocab: int, d: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(vocab))
        self.dense = nn.Linear(d, d)
        self.layer_norm = nn.LayerNorm(d, eps=1e-12)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        """f32[n, d], f32[vocab, d] -> f32[n, vocab]."""
        return F.linear(self.layer_norm(F.gelu(self.dense(x))), table, self.bias)


class BERT(nn.Module):
    """The encoder with what it is trained on. Devlin et al. 2018."""

    def __init__(self, d: int, layers: int, h: int, context: int, drop: float, vocab: int = 30522) -> None:
        super().__init__()
        assert drop == 0, "nothing is dropped out here"
        self.words = nn.Embedding(vocab, d)
        self.encoder = BERTEncoder(d, layers, h, context)
        self.guess = Guess(vocab, d)
        self.follows = nn.Linear(d, 2)

    def forward(self, tokens: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        """i64[batch, t] twice -> f32[batch, t, d], f32[batch, d]."""
        return self.encoder(self.words(tokens), segments, tokens != PADDING)

    def loss(self, tokens: Tensor, segments: Tensor, random_next: Tensor, place: Tensor, word: Tensor) -> Tensor:
        """That of the words at `place` in the batch, and that of the second sentences."""
        context, whole = self(tokens, segments)
        logits = self.guess(context.flatten(0, 1)[place], self.words.weight)
        return F.cross_entropy(logits, word) + F.cross_entropy(self.follows(whole), random_next)


class SkipGram(nn.Module):
    """Word vectors, trained by negative sampling. Mikolov et al. 2013. `sparse` gradients are rows, for plain SGD."""

    def __init__(self, vocab: int, d: int, *, sparse: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding(vocab, d, sparse=sparse)
        self.contexts = nn.Embedding(vocab, d, sparse=sparse)

    def forward(self, word: Tensor) -> Tensor:
        """i64[batch] -> f32[batch, d]."""
        return self.words(word)

    def loss(self, word: Tensor, near: Tensor, far: Tensor) -> Tensor:
        """How hard `near` is to tell from the words of `far`, [batch, negatives], by `word`."""
        vector = self.words(word)
        agreement = (vector * self.contexts(near)).sum(-1)
        mistaken = torch.bmm(self.contexts(far), vector[..., None])[..., 0]
        other = far != near[:, None]
        return -(F.logsigmoid(agreement) + (F.logsigmoid(-mistaken) * other).sum(-1)).mean()
