"""Trains `std:SkipGram` or `std:CBOW`, and gensim's, on the same text at the same settings, and compares their vectors.

pip install gensim
python examples/results/word_vectors.py wiki --picture docs/pictures/word_vectors.png
python examples/results/word_vectors.py wiki --model CBOW

The text is the articles of the dump as gensim reads them. Both have 100 dimensions, windows of up to 5 words, drawn
anew for each word, 5 negative words, no word that comes less than 5 times, and frequent words left out as Mikolov et
al. 2013 do; gensim takes a step of gradient descent for each pair of words (CBOW: for each word), we one of Adam for
each 4,096 (CBOW: 1,024), or with `--descent` of gradient descent for each 512. Judged by Spearman's rank correlation of
the cosines with what people say of the pairs of WordSim-353 (Finkelstein et al. 2001) and RG-65 (Rubenstein &
Goodenough 1965), and by words of the text in a second of processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pictures import COLOURS, panels, principal_axes, save
from wikipedia import articles

import netlang as nl

if TYPE_CHECKING:
    from gensim.models import Word2Vec

WIDTH, WINDOW, NEGATIVES, RAREST, SAMPLE = 100, 5, 5, 5, 1e-3
RATE = 0.003
PAIR_RATE, PAIRS = 0.1, 512
"""Of gradient descent: the rate for each pair of a batch, and how many there are; Adam's are in `METHODS`."""

LISTS = {"WordSim-353": "EN-WS-353-ALL.txt", "RG-65": "EN-RG-65.txt"}
SHOWN = (
    "one two three four five seven monday tuesday january march france germany england spain italy london paris "
    "king queen prince emperor music film album physics chemistry mathematics biology river sea ocean lake"
)


def kept_words(
    texts: list[list[str]], words: dict[str, int], counts: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """The numbers of the words of each text, without rare ones, and without a part of the frequent ones."""
    share = counts / counts.sum() / SAMPLE
    chance = np.minimum((np.sqrt(share) + 1) / share, 1)
    for text in texts:
        numbers = np.array([words[word] for word in text if word in words], np.int64)
        yield numbers[rng.random(len(numbers)) < chance[numbers]]


Rows = dict[str, np.ndarray]
"""Examples: the columns of a batch, or of many."""


def pairs(numbers: np.ndarray, rng: np.random.Generator) -> list[Rows]:
    """Each word with those near it, within a distance that is drawn for it."""
    reach = rng.integers(1, WINDOW + 1, len(numbers))
    found = []
    for gap in range(1, WINDOW + 1):
        ahead, behind = reach[:-gap] >= gap, reach[gap:] >= gap
        found.append((numbers[:-gap][ahead], numbers[gap:][ahead]))
        found.append((numbers[gap:][behind], numbers[:-gap][behind]))
    word, near = (np.concatenate([pair[side] for pair in found]) for side in (0, 1))
    return [{"word": word, "near": near}]


def surroundings(numbers: np.ndarray, rng: np.random.Generator) -> list[Rows]:
    """Each word with all within a distance that is drawn for it, apart by the distance; not those near an end."""
    reach = rng.integers(1, WINDOW + 1, len(numbers))
    found = []
    for distance in range(1, WINDOW + 1):
        places = np.flatnonzero(reach == distance)
        places = places[(places >= distance) & (places < len(numbers) - distance)]
        offsets = [offset for offset in range(-distance, distance + 1) if offset]
        found.append({"word": numbers[places], "around": numbers[places[:, None] + offsets]})
    return found


@dataclass(frozen=True, slots=True)
class Method:
    """How one of the two models is trained: its examples, of which each kind has batches of its own."""

    skip_gram: bool
    examples: Callable[[np.ndarray, np.random.Generator], list[Rows]]
    batch: int


METHODS = {"SkipGram": Method(True, pairs, 4096), "CBOW": Method(False, surroundings, 1024)}


def batches(made: list[list[Rows]], size: int, rng: np.random.Generator) -> list[Rows]:
    """The examples of all texts in batches of `size`, the kinds taking turns; of each kind, the rest is left out."""
    found = []
    for kind in zip(*made, strict=True):
        rows = {name: np.concatenate([text[name] for text in kind]) for name in kind[0]}
        count = len(rows["word"])
        chosen = rng.permutation(count)[: count // size * size].reshape(-1, size)
        parts = [{name: column[choice] for name, column in rows.items()} for choice in chosen]
        found += [(n / len(parts), part) for n, part in enumerate(parts)]
    return [part for _, part in sorted(found, key=lambda each: each[0])]


def train(model: str, texts: list[list[str]], peer: Word2Vec, epochs: int, descent: bool = False) -> np.ndarray:
    """Our vectors, in the order of the peer's words, which is that of their frequency."""
    words, method = peer.wv.key_to_index, METHODS[model]
    counts = np.array([peer.wv.get_vecattr(word, "count") for word in words])
    rng = np.random.default_rng(0)
    size = PAIRS if descent else method.batch
    rate = {"descent": True, "lr": PAIR_RATE * size} if descent else {"lr": RATE}
    network = nl.load(f"std:{model}")[model](vocab=len(words), d=WIDTH, negatives=NEGATIVES, **rate)
    trainer = None
    for epoch in range(epochs):
        made = [method.examples(numbers, rng) for numbers in kept_words(texts, words, counts, rng)]
        feeds = batches(made, size, rng)
        trainer = trainer or nl.Trainer(network, seed=0, threads=1, steps=epochs * len(feeds))
        losses = [trainer.step(**feed)["loss"] for feed in feeds]
        print(f"epoch {epoch + 1}: {len(feeds)} steps, loss {np.mean(losses):.3f}", flush=True)
    return network.weights["words.weight"]


def agreement(vectors: np.ndarray, words: dict[str, int], path: Path) -> str:
    """The rank correlation with a list of pairs, of those whose words are there."""
    from scipy.stats import spearmanr

    rows = [line.split() for line in path.read_text().lower().splitlines()]
    rows = [(words[one], words[other], float(score)) for one, other, score in rows if one in words and other in words]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = [unit[one] @ unit[other] for one, other, _ in rows]
    return f"{spearmanr(cosines, [score for *_, score in rows])[0]:.3f} ({len(rows)} pairs)"


def draw(vectors: np.ndarray, words: dict[str, int], path: Path) -> None:
    shown = [word for word in SHOWN.split() if word in words]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    places = principal_axes(unit[[words[word] for word in shown]])
    figure, (panel,) = panels(width=7, height=5)
    panel.scatter(*places.T, s=8, color=COLOURS[1])
    for word, (x, y) in zip(shown, places, strict=True):
        panel.annotate(word, (x, y), xytext=(3, 2), textcoords="offset points", fontsize=8)
    panel.set_title("words by the two directions in which these vectors differ most", loc="left", fontsize=11)
    save(figure, path)


def main() -> None:
    from gensim.models import Word2Vec

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with the dump and the lists of pairs")
    parser.add_argument("--model", choices=METHODS, default="SkipGram")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--descent", action="store_true", help="plain gradient descent in place of Adam")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    texts = articles(options.data)
    total = options.epochs * sum(len(text) for text in texts)
    print(f"{total // options.epochs:,} words of text, {options.epochs} epochs", flush=True)

    sizes = {"vector_size": WIDTH, "window": WINDOW, "negative": NEGATIVES, "min_count": RAREST, "sample": SAMPLE}
    peer = Word2Vec(**sizes, sg=METHODS[options.model].skip_gram, workers=1, seed=1)
    peer.build_vocab(texts)
    found = {}
    started = time.process_time()
    peer.train(texts, total_examples=len(texts), epochs=options.epochs)
    found["gensim"] = peer.wv.vectors, time.process_time() - started
    started = time.process_time()
    ours = train(options.model, texts, peer, options.epochs, options.descent)
    found["netlang"] = ours, time.process_time() - started
    for name, (vectors, seconds) in found.items():
        scores = (f"{title} {agreement(vectors, peer.wv.key_to_index, options.data / LISTS[title])}" for title in LISTS)
        print(f"{name}: {', '.join(scores)}, {total / seconds:,.0f} words a second of processor time")
    if options.picture:
        draw(ours, peer.wv.key_to_index, options.picture)


if __name__ == "__main__":
    main()
