"""Draws 1,000 digits with an exported `sample` graph, and lets a trained LeNet-5 say what they are.

python examples/results/judge.py sample.onnx lenet5.onnx --picture docs/pictures/dcgan.png
python examples/results/judge.py mnist/t10k-images-idx3-ubyte.gz lenet5.onnx     # real digits, to compare with

Nothing but onnxruntime and NumPy makes the figures. The share of digits that the LeNet gives more than 0.9 of its
probability is printed, and how many it finds of each class.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import onnxruntime
from pictures import save_sheet

CONFIDENT = 0.9


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def draw(sampler: onnxruntime.InferenceSession, count: int, portion: int) -> np.ndarray:
    """Images f32[count, 28, 28], `portion` in each run of the graph, each run with a seed of its own."""
    sizes = [min(portion, count - first) for first in range(0, count, portion)]
    parts = [sampler.run(None, {"n": np.array(n), "seed": np.array(seed)})[0] for seed, n in enumerate(sizes)]
    return np.concatenate([np.asarray(part) for part in parts]).reshape(-1, 28, 28)


def written(path: Path) -> np.ndarray:
    """The images of a file of MNIST, f32[count, 28, 28]."""
    pixels = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16)
    return np.divide(pixels.reshape(-1, 28, 28), 255, dtype=np.float32)


def probabilities(judge: onnxruntime.InferenceSession, images: np.ndarray) -> np.ndarray:
    """f32[n, 10], of images that are padded to the 32×32 pixels of LeNet-5."""
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2)])[:, None]
    logits = np.asarray(judge.run(None, {"image": padded})[0])
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sampler", type=Path, help="the graph that draws, or a file of images of MNIST")
    parser.add_argument("judge", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--portion", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    if options.sampler.suffix == ".gz":
        images = written(options.sampler)
    else:
        images = draw(session(options.sampler, options.threads), options.count, options.portion)
    answers = probabilities(session(options.judge, options.threads), images)
    sure = answers.max(1) > CONFIDENT
    found = np.bincount(answers.argmax(1)[sure], minlength=10)
    print(f"{sure.mean():.1%} of {len(images)} digits are given more than {CONFIDENT} of the probability")
    print("of each class:", ", ".join(f"{digit}: {number}" for digit, number in enumerate(found)))
    if options.picture:
        save_sheet(images[:100], options.picture, columns=min(10, len(images)))


if __name__ == "__main__":
    main()
