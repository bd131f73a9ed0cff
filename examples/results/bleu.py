"""Translates the 1,000 test sentences of Multi30k with a trained translator of the library, and counts BLEU.

pip install sacrebleu
python examples/results/bleu.py runs/multi30k/seed-0/netlang-2400 multi30k --beams 1 4

A run of `translation.py`, or of `netlang train std:Transformer --data parallel:…`. The search is in the graph, with
each number of lines of `--beams` (a `Seq2Seq` has one line). The sentences are compared with those of the file, capital
letters and words that the vocabulary lacks included.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from netlang.runtime.data.lines import read_lines
from netlang.runtime.data.vocabulary import Vocabulary
from netlang.runtime.run_directory import RunDirectory

import netlang as nl

BATCH = 50


def with_beam(trained: nl.BoundNetwork, beam: int) -> nl.BoundNetwork:
    """The same weights, and a search that keeps `beam` lines."""
    settings = trained.settings | ({"beam": beam} if "beam" in trained.settings else {})
    network = nl.load(f"std:{trained.name}")[trained.name](threads=1, **settings)
    network.weights = trained.weights
    return network


def translated(network: nl.BoundNetwork, texts: list[str], source: Vocabulary, target: Vocabulary) -> list[str]:
    """The translation of each text; those of similar length are translated together."""
    rows = source.encode_all(texts)
    order = np.argsort([len(row) for row in rows], kind="stable")
    found = [""] * len(rows)
    for some in np.array_split(order, -(-len(rows) // BATCH)):
        batch = np.zeros((len(some), max(len(rows[i]) for i in some)), np.int64)
        for place, i in enumerate(some):
            batch[place, : len(rows[i])] = rows[i]
        for i, words in zip(some, np.asarray(network.translate(batch)), strict=True):
            found[i] = target.decode(words)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, help="the folder with test_2016_flickr.de.gz and test_2016_flickr.en.gz")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--show", type=int, nargs="*", default=[0, 1, 2], help="numbers of sentences to show")
    options = parser.parse_args()
    from sacrebleu.metrics.bleu import BLEU

    columns = RunDirectory.open(options.run).vocabularies()
    texts, expected = (read_lines(options.data / f"test_2016_flickr.{side}.gz").texts for side in ("de", "en"))
    trained = nl.load_run(options.run)
    for beam in options.beams if "beam" in trained.settings else [1]:
        started = time.process_time()
        found = translated(with_beam(trained, beam), texts, columns["source"], columns["target"])
        seconds = time.process_time() - started
        score = BLEU().corpus_score(found, [expected]).score
        lower = BLEU(lowercase=True).corpus_score(found, [expected]).score
        print(f"beam {beam}: BLEU {score:.2f}, without capitals {lower:.2f}, {seconds:.0f} processor seconds")
        for i in options.show:
            print(f"  {texts[i]}\n  = {expected[i]}\n  > {found[i]}")


if __name__ == "__main__":
    main()
