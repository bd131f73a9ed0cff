"""The translators of the library as networks of torch.nn, for `translation.py` to compare with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

PADDING = 0
Settings = Mapping[str, Any]
Weights = Mapping[str, np.ndarray]


class TorchTransformer(nn.Module):
    """`std:Transformer` of torch.nn's layers. `settings` are those of the model and its `train` block."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings, layers = settings, range(settings["layers"])
        sizes = settings["d"], settings["h"], settings["ff"], settings["drop"]
        self.table = nn.Embedding(settings["vocab"], settings["d"])
        self.drop = nn.Dropout(settings["drop"])
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(*sizes, batch_first=True) for _ in layers)
        self.decoder = nn.ModuleList(nn.TransformerDecoderLayer(*sizes, batch_first=True) for _ in layers)

    def embedded(self, words: Tensor) -> Tensor:
        """Vectors of words, with sines and cosines of their positions added."""
        d = self.settings["d"]
        place = torch.arange(words.shape[1])[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
        waves = torch.stack([place.sin(), place.cos()], dim=-1).flatten(1)
        return self.drop(self.table(words) * math.sqrt(d) + waves)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits for the next word at each place of the target: i64[b, s], i64[b, t] -> f32[b, t, vocab]."""
        hidden, t = source == PADDING, target.shape[1]
        memory = self.embedded(source)
        for layer in self.encoder:
            memory = layer(memory, src_key_padding_mask=hidden)
        x = self.embedded(target)
        later = torch.ones(t, t).triu(1).bool()
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask=later, memory_key_padding_mask=hidden)
        return x @ self.table.weight.T

    def begin_with(self, weights: Weights) -> None:
        """Takes the weights of a `std:Transformer`."""
        self.load_state_dict(_tensors(_transformer_names(weights, self.settings["layers"])))

    def loss(self, source: Tensor, target: Tensor) -> Tensor:
        """What the `train` block minimizes."""
        return _loss(self, source, target, label_smoothing=0.1)

    def training_step(self) -> TorchStep:
        """What the `train` block does with a batch."""
        d, warmup = self.settings["d"], self.settings["warmup"]
        optimizer = torch.optim.Adam(self.parameters(), lr=d**-0.5, betas=(0.9, 0.98), eps=1e-9)
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min((n + 1) ** -0.5, (n + 1) * warmup**-1.5))
        return TorchStep(self, optimizer, rate)


class TorchSeq2Seq(nn.Module):
    """`std:Seq2Seq` of torch.nn's recurrences. `settings` are those of the model and its `train` block."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings, d, n = settings, settings["d"], settings["n"]
        self.source_words = nn.Embedding(settings["source_vocab"], d)
        self.target_words = nn.Embedding(settings["target_vocab"], d)
        self.encoder = nn.GRU(d, n, batch_first=True, bidirectional=True)
        self.first = nn.ModuleDict({"linear": nn.Linear(n, n)})
        self.key = nn.Linear(2 * n, n, bias=False)
        self.attend = nn.ModuleDict({"linear": nn.Linear(n, n), "linear_2": nn.Linear(n, 1, bias=False)})
        self.decoder = nn.GRUCell(d + 2 * n, n)
        self.readout = nn.Linear(d + 3 * n, settings["target_vocab"])
        self.drop = nn.Dropout(settings["drop"])

    def encoded(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """All states in both directions f32[b, s, 2 n], and the first state of the decoder f32[b, n]."""
        x, lengths = self.drop(self.source_words(source)), (source != PADDING).sum(1)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
        return memory, self.first["linear"](last[1]).tanh()

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits for the next word at each place of the target: i64[b, s], i64[b, t] -> f32[b, t, target_vocab]."""
        hidden = source == PADDING
        memory, h = self.encoded(source)
        keys, words = self.key(memory), self.drop(self.target_words(target))
        states, contexts = [], []
        for word in words.unbind(1):
            scores = self.attend["linear_2"]((self.attend["linear"](h)[:, None] + keys).tanh())[..., 0]
            weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
            contexts.append(torch.bmm(weights[:, None], memory)[:, 0])
            h = self.decoder(torch.cat((word, contexts[-1]), 1), h)
            states.append(h)
        return self.readout(self.drop(torch.cat((words, torch.stack(states, 1), torch.stack(contexts, 1)), -1)))

    def begin_with(self, weights: Weights) -> None:
        """Takes the weights of a `std:Seq2Seq`."""
        directions = {"ahead": "_l0", "back": "_l0_reverse"}
        found = {}
        for name, array in weights.items():
            layer, kind = name.split(".", 1)
            found[f"encoder.{kind}{directions[layer]}" if layer in directions else name] = array
        self.load_state_dict(_tensors(found))

    def loss(self, source: Tensor, target: Tensor) -> Tensor:
        """What the `train` block minimizes."""
        return _loss(self, source, target)

    def training_step(self) -> TorchStep:
        """What the `train` block does with a batch."""
        return TorchStep(self, torch.optim.Adam(self.parameters(), lr=self.settings["lr"]), clip=1.0)


TorchTranslator = TorchTransformer | TorchSeq2Seq


class TorchStep:
    """One step of training on a batch: the loss, from before the step."""

    def __init__(
        self,
        model: TorchTranslator,
        optimizer: torch.optim.Optimizer,
        rate: torch.optim.lr_scheduler.LRScheduler | None = None,
        clip: float | None = None,
    ) -> None:
        self._model, self._optimizer, self._rate, self._clip = model, optimizer, rate, clip

    def __call__(self, batch: Mapping[str, np.ndarray]) -> float:
        """`batch` has i64[b, s] `source` and i64[b, t] `target`."""
        loss = self._model.loss(torch.from_numpy(batch["source"]), torch.from_numpy(batch["target"]))
        self._optimizer.zero_grad()
        loss.backward()
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._clip)
        self._optimizer.step()
        if self._rate is not None:
            self._rate.step()
        return loss.item()


def _loss(model: TorchTranslator, source: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    logits, answer = model(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten()
    return functional.cross_entropy(logits, answer, label_smoothing=label_smoothing, ignore_index=PADDING)


def _tensors(weights: Weights) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in weights.items()}


ATTENTIONS = {
    "encoder": {"self_attention": "self_attn"},
    "decoder": {"self_attention": "self_attn", "source_attention": "multihead_attn"},
}
"""What the attentions of `std:Transformer` are called in torch.nn."""


def _transformer_names(weights: Weights, layers: int) -> dict[str, np.ndarray]:
    """The weights of a `std:Transformer` as torch.nn calls them."""
    found = {"table.weight": weights["table.weight"]}
    for side, attentions in ATTENTIONS.items():
        for i in range(layers):
            for ours, theirs in attentions.items():
                found |= _attention(weights, f"{side}.{ours}.{i}", f"{side}.{i}.{theirs}")
            found |= _feed_forward(weights, side, i, norms=len(attentions) + 1)
    return found


def _attention(weights: Weights, ours: str, theirs: str) -> dict[str, np.ndarray]:
    found = {}
    for kind in ("weight", "bias"):
        names = (f"{ours}.{linear}.{kind}" for linear in ("linear", "linear_2", "linear_3"))
        *inner, last = (weights[name] for name in names if name in weights)
        found |= {f"{theirs}.in_proj_{kind}": np.concatenate(inner), f"{theirs}.out_proj.{kind}": last}
    return found


def _feed_forward(weights: Weights, side: str, i: int, norms: int) -> dict[str, np.ndarray]:
    found = {}
    for kind, scale in (("weight", "scale"), ("bias", "shift")):
        for theirs, ours in (("linear1", "expand"), ("linear2", "contract")):
            found[f"{side}.{i}.{theirs}.{kind}"] = weights[f"{side}.feed_forward.{i}.{ours}.{kind}"]
        for norm, ours in zip(range(1, norms + 1), ("add_and_norm", "add_and_norm_2", "add_and_norm_3"), strict=False):
            found[f"{side}.{i}.norm{norm}.{kind}"] = weights[f"{side}.{ours}.{i}.layer_norm.{scale}"]
    return found
