"""Ten-fold accuracy of `std:LSTM`, `std:GRU` or `std:SimpleRNN` on the sentences of the movie reviews.

python examples/results/movie_reviews.py movie-reviews/rt-polarity.all --model LSTM --picture docs/pictures/reviews.png

Each tenth is tested once, by a network trained on the other nine: on nine tenths of these, while the last tenth says
after which epoch to stop, as Kim 2014 did. Words that come only once in the training are one word, `unknown`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from netlang.runtime.evaluate import Evaluator
from pictures import COLOURS, panels, save

import netlang as nl

FOLDS, EPOCHS, BATCH = 10, 4, 50
PADDING, UNKNOWN = 0, 1

Sentences = list[tuple[int, list[str]]]
Batches = list[dict[str, np.ndarray]]


def read(path: Path) -> Sentences:
    """Labels and words, in an order of chance."""
    lines = path.read_text("latin-1").split("\n")
    sentences = [(int(line[0]), line[2:].split()) for line in lines if line]
    return [sentences[row] for row in np.random.default_rng(0).permutation(len(sentences))]


def vocabulary(sentences: Sentences) -> dict[str, int]:
    """Numbers from 2 for all words that come twice."""
    counts = Counter(word for _, words in sentences for word in words)
    return {word: number + 2 for number, word in enumerate(word for word in counts if counts[word] > 1)}


def batches(sentences: Sentences, words: dict[str, int]) -> Batches:
    """Batches of sentences of about one length, filled up with `PADDING` to a multiple of 8: few shapes to compile."""
    made = []
    rows = sorted(sentences, key=lambda row: len(row[1]))
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        tokens = np.full((len(part), -(-len(part[-1][1]) // 8) * 8), PADDING)
        for row, (_, sentence) in zip(tokens, part, strict=True):
            row[: len(sentence)] = [words.get(word, UNKNOWN) for word in sentence]
        made.append({"tokens": tokens, "label": np.array([label for label, _ in part])})
    return made


def tested(model: str, train: Sentences, held: Sentences, test: Sentences, seed: int) -> tuple[float, list[float]]:
    """The accuracy on `test` at the epoch that is best on `held`; and that on `held` after each epoch."""
    words = vocabulary(train)
    network = nl.load(f"std:{model}")[model](vocab=len(words) + 2)
    trainer = nl.Trainer(network, seed=seed, threads=1)
    evaluator = Evaluator(network.network, trainer.engine.device)
    lessons, held_batches, test_batches = (batches(part, words) for part in (train, held, test))
    rng = np.random.default_rng(seed)
    curve, result = [], 0.0
    for _ in range(EPOCHS):
        for number in rng.permutation(len(lessons)):
            trainer.step(**lessons[number])
        accuracy = evaluator.run(trainer.engine.current(), held_batches)["accuracy"]
        if accuracy > max(curve, default=0):
            result = evaluator.run(trainer.engine.current(), test_batches)["accuracy"]
        curve.append(accuracy)
    return result, curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", choices=("LSTM", "GRU", "SimpleRNN"), default="LSTM")
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many of the ten to do")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    sentences = read(options.data)
    figure, (panel,) = panels()
    accuracies = []
    for fold in range(options.folds):
        rest = [row for number, row in enumerate(sentences) if number % FOLDS != fold]
        held = len(rest) // FOLDS
        result, curve = tested(options.model, rest[held:], rest[:held], sentences[fold::FOLDS], seed=fold)
        accuracies.append(result)
        panel.plot(range(1, EPOCHS + 1), curve, color=COLOURS[0], linewidth=1, alpha=0.6)
        print(f"fold {fold}: {result:.1%}; held out: {', '.join(f'{value:.3f}' for value in curve)}", flush=True)
    print(f"mean {np.mean(accuracies):.2%}, standard deviation {np.std(accuracies):.2%}")
    panel.set_title(f"{options.model}: accuracy on the held-out tenth of each fold", loc="left", fontsize=11)
    panel.set_xlabel("epoch")
    if options.picture:
        save(figure, options.picture)


if __name__ == "__main__":
    main()
