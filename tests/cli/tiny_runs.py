"""Runs of library models on data of a few lines, trained for two steps: their answers are noise, but answers."""

from __future__ import annotations

import struct
from contextlib import chdir
from functools import cache
from pathlib import Path

import numpy as np

from .conftest import netlang

GERMAN = ["Ein Hund schläft .", "Zwei Hunde spielen im Park .", "Der Mann, der schläft .", "Ein Mann spielt ."]
ENGLISH = ["A dog sleeps .", "Two dogs play in the park .", "The man who sleeps .", "A man plays ."]
REVIEWS = ["good a moving film", "bad a long , dull film", "good funny and moving", "bad no film at all"]
STORY = "The king and the queen of the north sleep. The man and the dog play in the park of the king.\n" * 9

SMALL = ["--set", "d=8", "--set", "h=2", "--set", "layers=1"]
UNET = {"channels": 1, "side": 8, "c": 4, "levels": 2, "blocks": 1, "attend_at": 4, "groups": 2, "drop": 0}
SMALL_UNET = [word for name, value in UNET.items() for word in ("--set", f"{name}={value}")]
MODELS = {
    "translator": ["std:Transformer", "--data", "parallel:train.de,train.en", *SMALL, "--set", "ff=8"],
    "reader": ["std:LSTM", "--data", "sentences:reviews.txt", "--set", "d=8", "--set", "n=8"],
    "writer": ["std:GPT", "--data", "text:story.txt", "--length", "12", *SMALL, "--set", "context=24"],
    "words": ["std:SkipGram", "--data", "neighbours:story.txt", "--tokens", "words:lower", "--set", "d=8"],
    "nodes": ["std:GCN", "--data", "planetoid:graph", "--set", "hidden=4"],
    "images": ["std:LeNet5", "--data", "mnist:digits"],
    "diffusion": ["std:DDPM", "--data", "digits", "--limit", "20", *SMALL_UNET, "--set", "steps=2"],
}


def write_data(folder: Path) -> None:
    """The data that the models are trained on."""
    for name, lines in (("train.de", GERMAN), ("train.en", ENGLISH), ("reviews.txt", REVIEWS)):
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "story.txt").write_text(STORY)
    random = np.random.default_rng(0)
    (folder / "graph").mkdir()
    np.savez(
        folder / "graph" / "toy.npz",
        shape=np.array([30, 6]),
        x_row=np.repeat(np.arange(30), 2),
        x_col=random.integers(0, 6, 60),
        edges=random.integers(0, 30, (60, 2)),
        y=np.arange(30) % 3,
        train=np.arange(9),
        val=np.arange(9, 15),
        test=np.arange(15, 30),
    )
    (folder / "digits").mkdir()
    pixels, labels = random.integers(0, 256, (20, 28, 28), np.uint8), np.arange(20, dtype=np.uint8) % 10
    images = struct.pack(">HBB3I", 0, 8, 3, 20, 28, 28) + pixels.tobytes()
    (folder / "digits" / "train-images-idx3-ubyte").write_bytes(images)
    (folder / "digits" / "train-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 20) + labels.tobytes())
    (folder / "digit.pgm").write_bytes(b"P5\n28 28\n255\n" + pixels[0].tobytes())


@cache
def tiny_run(folder: Path, name: str) -> Path:
    """The run called `name` in a folder with the data, trained when it is first asked for."""
    with chdir(folder):
        result = netlang("train", *MODELS[name], "--steps", "2", "--batch", "4", "--out", name, "--threads", "1")
    assert result.code == 0, result.err
    return folder / name
