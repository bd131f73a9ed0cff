"""Lets a trained GPT write more than its context holds, with the exported `generate` graph.

netlang export runs/shakespeare --entry generate -o generate.onnx
python examples/results/shakespeare.py generate.onnx runs/shakespeare/vocabulary.json "ROMEO:" 400

The graph is run again and again: it reads the last half of a context, and writes another half. Nothing but onnxruntime
and NumPy is needed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

Writer = Callable[[np.ndarray, int, int], np.ndarray]
"""From tokens i64[1, t], how many more, and a seed to i64[1, t + count]."""


def writer(path: Path, temperature: float) -> Writer:
    """What the graph in `path` writes."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def write(prompt: np.ndarray, count: int, seed: int) -> np.ndarray:
        feeds = {"prompt": prompt, "count": np.array(count), "seed": np.array(seed)}
        return np.asarray(session.run(None, {**feeds, "temperature": np.array(temperature, np.float32)})[0])

    return write


def written(write: Writer, prompt: list[int], count: int, context: int, seed: int) -> list[int]:
    """`prompt` and `count` tokens more, of which each sees at least half a context of those before it, if there is."""
    tokens = np.array([prompt])
    while (missing := len(prompt) + count - tokens.shape[1]) > 0:
        read = tokens[:, -(context // 2) :]
        more = min(missing, context - read.shape[1])
        tokens = np.concatenate([tokens, write(read, more, seed)[:, read.shape[1] :]], 1)
        seed += 1
    return tokens[0].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("vocabulary", type=Path)
    parser.add_argument("prompt")
    parser.add_argument("count", type=int)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    characters = json.loads(options.vocabulary.read_text("utf-8"))["tokens"]["tokens"]
    prompt = [characters.index(character) for character in options.prompt]
    write = writer(options.model, options.temperature)
    tokens = written(write, prompt, options.count, options.context, options.seed)
    print("".join(characters[token] for token in tokens))


if __name__ == "__main__":
    main()
