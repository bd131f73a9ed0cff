"""Trains a small `std:BERT` on Wikipedia, and shows how the loss of the hidden words falls.

pip install gensim
python examples/results/bert.py wiki --steps 2000 --picture docs/pictures/bert.png

2 layers, d 128, 2 heads, ff 512; the 4,000 most frequent words, of which texts consist when the others are taken out.
Each row is two pieces of 30 words, of which the second follows the first, or comes from anywhere, equally often. The
last article of ten is for testing. A guess by the frequency of words alone is the loss to compare with.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from netlang.runtime.evaluate import Evaluator
from pictures import COLOURS, panels, save
from wikipedia import articles

import netlang as nl

WORDS, PIECE, BATCH = 4000, 30, 32
PADDING, CLS, SEP, MASK = range(4)
SIZES = {"d": 128, "layers": 2, "h": 2, "ff": 512, "context": 2 * PIECE + 3}
MARKS = {"padding": PADDING, "cls": CLS, "sep": SEP, "mask": MASK}


def pieces(texts: list[list[str]], words: dict[str, int]) -> list[np.ndarray]:
    """Each text as rows of `PIECE` words, i64[n, PIECE]; short texts are left out."""
    numbers = [np.array([words[word] for word in text if word in words], np.int64) for text in texts]
    return [row[: len(row) // PIECE * PIECE].reshape(-1, PIECE) for row in numbers if len(row) >= 2 * PIECE]


def batch(parts: list[np.ndarray], rng: np.random.Generator, size: int = BATCH) -> dict[str, np.ndarray]:
    """Rows of two pieces: what `train BERT` takes."""
    weights = np.array([len(part) - 1 for part in parts])
    texts = rng.choice(len(parts), size, p=weights / weights.sum())
    places = [rng.integers(len(parts[text]) - 1) for text in texts]
    first = np.array([parts[text][place] for text, place in zip(texts, places, strict=True)])
    second = np.array([parts[text][place + 1] for text, place in zip(texts, places, strict=True)])
    random_next = rng.integers(0, 2, size)
    others = rng.choice(len(parts), size, p=weights / weights.sum())
    drawn = np.array([parts[text][rng.integers(len(parts[text]))] for text in others])
    second = np.where(random_next[:, None] == 1, drawn, second)
    mark = np.ones((size, 1), np.int64)
    tokens = np.concatenate([CLS * mark, first, SEP * mark, second, SEP * mark], axis=1)
    segments = np.broadcast_to(np.arange(tokens.shape[1]) >= PIECE + 2, tokens.shape).astype(np.int64)
    return {"tokens": tokens, "segments": segments, "random_next": random_next}


def frequency_loss(train: list[np.ndarray], test: list[np.ndarray]) -> float:
    """The loss of a guess by how often each word is there."""
    counts = np.bincount(np.concatenate(train).ravel(), minlength=WORDS + len(MARKS))[len(MARKS) :] + 1
    return float(-np.log(counts / counts.sum())[np.concatenate(test).ravel() - len(MARKS)].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--picture", type=Path, default=Path("bert.png"))
    options = parser.parse_args()
    texts = articles(options.data)
    counts = Counter(word for text in texts for word in text)
    words = {word: number for number, (word, _) in enumerate(counts.most_common(WORDS), len(MARKS))}
    parts = pieces(texts, words)
    test, train = parts[9::10], [part for number, part in enumerate(parts) if number % 10 != 9]
    rng = np.random.default_rng(0)
    held = [batch(test, rng) for _ in range(20)]
    baseline = frequency_loss(train, test)

    network = nl.load("std:BERT")["BERT"](vocab=WORDS + len(MARKS), **SIZES, **MARKS, lr=0.001, warmup=200)
    trainer = nl.Trainer(network, seed=0, threads=1, steps=options.steps)
    evaluator = Evaluator(network.network, trainer.engine.device)
    curve = []
    for step in range(options.steps + 1):
        if step % max(1, options.steps // 10) == 0:
            curve.append((step, evaluator.run(trainer.engine.current(), held)))
            print(f"step {step}:", {name: round(value, 3) for name, value in curve[-1][1].items()}, flush=True)
        trainer.step(**batch(train, rng))
    print(f"by frequency alone: {baseline:.3f}")

    figure, (panel,) = panels()
    for name, colour in zip(("word_loss", "sentence_loss"), COLOURS, strict=False):
        panel.plot([step for step, _ in curve], [found[name] for _, found in curve], color=colour, label=name)
    panel.axhline(baseline, color="#6c757d", linestyle="--", linewidth=1, label="words by frequency")
    panel.set_title("BERT on held-out Wikipedia", loc="left", fontsize=11)
    panel.set_xlabel("step")
    panel.legend(frameon=False)
    save(figure, options.picture)


if __name__ == "__main__":
    main()
