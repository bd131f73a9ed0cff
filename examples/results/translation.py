"""Trains `std:Transformer` and the same network of torch.nn on Multi30k, on the same batches, and compares them.

pip install sacrebleu
python examples/results/translation.py multi30k --steps 500 --out runs/multi30k

German to English, 3 + 3 layers, d 256, 8 heads, ff 512, one vocabulary of 8,000 words. Both begin with the same
weights; dropout is of each one's own. Perplexity is that of the words of the 1,000 test sentences of 2016; BLEU is that
of the exported `translate`, which searches by itself, with `--beam` lines.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from netlang.runtime.data import TrainingFeed, match
from netlang.runtime.data.vocabulary import Vocabulary
from pictures import COLOURS, panels, save
from torch import nn
from torch.nn import functional

import netlang as nl

SIZES: dict[str, Any] = {"vocab": 8000, "d": 256, "layers": 3, "h": 8, "ff": 512, "drop": 0.1, "warmup": 1500}
SMOOTHING, PADDING = 0.1, 0
Batch = dict[str, np.ndarray]


class TorchTransformer(nn.Module):
    """`std:Transformer` of torch.nn's layers."""

    def __init__(self) -> None:
        super().__init__()
        d, settings = SIZES["d"], (SIZES["d"], SIZES["h"], SIZES["ff"], SIZES["drop"])
        self.table = nn.Embedding(SIZES["vocab"], d)
        self.drop = nn.Dropout(SIZES["drop"])
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(*settings, batch_first=True) for _ in range(SIZES["layers"])
        )
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(*settings, batch_first=True) for _ in range(SIZES["layers"])
        )

    def embedded(self, words: torch.Tensor) -> torch.Tensor:
        """Vectors of words, with sines and cosines of their positions added."""
        d = SIZES["d"]
        place = torch.arange(words.shape[1])[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
        waves = torch.stack([place.sin(), place.cos()], dim=-1).flatten(1)
        return self.drop(self.table(words) * math.sqrt(d) + waves)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits for the next word at each place of the target."""
        hidden, t = source == PADDING, target.shape[1]
        memory = self.embedded(source)
        for layer in self.encoder:
            memory = layer(memory, src_key_padding_mask=hidden)
        x = self.embedded(target)
        later = torch.ones(t, t).triu(1).bool()
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask=later, memory_key_padding_mask=hidden)
        return x @ self.table.weight.T


ATTENTIONS = {
    "encoder": {"self_attention": "self_attn"},
    "decoder": {"self_attention": "self_attn", "source_attention": "multihead_attn"},
}
"""What our attentions are called in torch.nn."""


def torch_weights(weights: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The weights of a `std:Transformer` as `TorchTransformer` calls them."""
    found = {"table.weight": weights["table.weight"]}
    for side, attentions in ATTENTIONS.items():
        for i in range(SIZES["layers"]):
            for ours, theirs in attentions.items():
                found |= _attention(weights, f"{side}.{ours}.{i}", f"{side}.{i}.{theirs}")
            found |= _feed_forward(weights, side, i, norms=len(attentions) + 1)
    return {name: torch.from_numpy(array.copy()) for name, array in found.items()}


def _attention(weights: Mapping[str, np.ndarray], ours: str, theirs: str) -> dict[str, np.ndarray]:
    found = {}
    for kind in ("weight", "bias"):
        names = (f"{ours}.{linear}.{kind}" for linear in ("linear", "linear_2", "linear_3"))
        *inner, last = (weights[name] for name in names if name in weights)
        found |= {f"{theirs}.in_proj_{kind}": np.concatenate(inner), f"{theirs}.out_proj.{kind}": last}
    return found


def _feed_forward(weights: Mapping[str, np.ndarray], side: str, i: int, norms: int) -> dict[str, np.ndarray]:
    found = {}
    for kind, scale in (("weight", "scale"), ("bias", "shift")):
        for theirs, ours in (("linear1", "expand"), ("linear2", "contract")):
            found[f"{side}.{i}.{theirs}.{kind}"] = weights[f"{side}.feed_forward.{i}.{ours}.{kind}"]
        for norm, ours in zip(range(1, norms + 1), ("add_and_norm", "add_and_norm_2", "add_and_norm_3"), strict=False):
            found[f"{side}.{i}.norm{norm}.{kind}"] = weights[f"{side}.{ours}.{i}.layer_norm.{scale}"]
    return found


def torch_losses(model: TorchTransformer, feed: TrainingFeed, steps: int) -> list[float]:
    """Trains as `std:Transformer` is trained; the loss of each step."""
    warmup = SIZES["warmup"]
    optimizer = torch.optim.Adam(model.parameters(), lr=SIZES["d"] ** -0.5, betas=(0.9, 0.98), eps=1e-9)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min((n + 1) ** -0.5, (n + 1) * warmup**-1.5))
    losses = []
    for step in range(steps):
        source, target = (torch.from_numpy(array) for array in feed.batch(step).values())
        logits = model(source, target[:, :-1]).flatten(0, 1)
        answer = target[:, 1:].flatten()
        loss = functional.cross_entropy(logits, answer, label_smoothing=SMOOTHING, ignore_index=PADDING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        losses.append(loss.item())
    return losses


def netlang_losses(trainer: nl.Trainer, feed: TrainingFeed, steps: int) -> list[float]:
    """The loss of each step."""
    return [trainer.step(**feed.batch(step))["loss"] for step in range(steps)]


def perplexity(logits_of: Callable[[np.ndarray, np.ndarray], np.ndarray], batches: list[Batch]) -> float:
    """Of each word and each end of the sentences, given the words before it."""
    total, count = 0.0, 0
    for batch in batches:
        logits = torch.from_numpy(logits_of(batch["source"], batch["target"][:, :-1])).flatten(0, 1)
        answer = torch.from_numpy(batch["target"][:, 1:]).flatten()
        total += functional.cross_entropy(logits, answer, ignore_index=PADDING, reduction="sum").item()
        count += int((answer != PADDING).sum())
    return math.exp(total / count)


def bleu(network: nl.BoundNetwork, batches: list[Batch], vocabulary: Vocabulary) -> tuple[float, list[str]]:
    """Of the translations of the test sentences, as sacrebleu counts it; and the translations."""
    from sacrebleu import corpus_bleu

    found, expected = [], []
    for batch in batches:
        found += [vocabulary.decode(row[1:]) for row in np.asarray(network.translate(batch["source"]))]
        expected += [vocabulary.decode(row) for row in batch["target"]]
    return corpus_bleu(found, [expected]).score, found


def draw(losses: Mapping[str, list[float]], path: Path) -> None:
    figure, (panel,) = panels()
    for (name, values), colour in zip(losses.items(), COLOURS, strict=False):
        smooth = np.convolve(values, np.ones(10) / 10, "valid")
        panel.plot(range(10, len(values) + 1), smooth, color=colour, label=name, linewidth=1)
    panel.set_title("loss on Multi30k, mean of 10 steps", loc="left", fontsize=11)
    panel.set_xlabel("step")
    panel.legend(frameon=False)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--part", type=int, default=1, help="translate only one of so many batches of the test")
    parser.add_argument("--out", type=Path, help="where to keep the run")
    parser.add_argument("--picture", type=Path, default=Path("translation.png"))
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)

    spec = f"parallel:{options.data}/train.de.gz,{options.data}/train.en.gz"
    dataset = nl.open_data(spec, tokens=f"words:{SIZES['vocab']}")
    network = nl.load("std:Transformer")["Transformer"](seed=options.seed, threads=1, beam=options.beam, **SIZES)
    peer = TorchTransformer()
    peer.load_state_dict(torch_weights(network.weights))
    data = match(dataset, network.network)
    rows = np.argsort(data.splits["test"].take(data.splits["test"].sequence())["source"].astype(bool).sum(1))
    test = [data.splits["test"].take(part) for part in np.array_split(rows, 20)]
    feed = TrainingFeed(data.splits["train"], options.batch, options.seed)

    trainer = nl.Trainer(network, seed=options.seed, threads=1, steps=options.steps)
    losses, started = {}, time.perf_counter()
    losses["netlang"] = netlang_losses(trainer, feed, options.steps)
    print(
        f"netlang: {perplexity(network.forward, test):.2f} perplexity, {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    started = time.perf_counter()
    losses["PyTorch"] = torch_losses(peer, feed, options.steps)
    peer.eval()
    with torch.no_grad():
        found = perplexity(lambda *given: peer(*map(torch.from_numpy, given)).numpy(), test)
    print(f"PyTorch: {found:.2f} perplexity, {time.perf_counter() - started:.0f} s", flush=True)
    draw(losses, options.picture)
    score, sentences = bleu(network, test[:: options.part], dataset.vocabularies["target"])
    print(f"netlang: BLEU {score:.1f} of {len(sentences)} sentences; the first: {' '.join(sentences[:5])}")
    if options.out:
        trainer.save(options.out)


if __name__ == "__main__":
    main()
