"""The scripts of `examples/results`: what they compare with is the same network, and their data are what they say."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
import torch

import netlang as nl

FOLDER = Path(__file__).parents[2] / "examples" / "results"


@pytest.fixture(scope="module", autouse=True)
def scripts_import_each_other() -> Iterator[None]:
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def script(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_the_transformers_are_the_same(monkeypatch: pytest.MonkeyPatch):
    translation = script("translation")
    sizes = {"vocab": 20, "d": 16, "layers": 1, "h": 4, "ff": 24, "drop": 0.0, "warmup": 10}
    monkeypatch.setattr(translation, "SIZES", sizes)
    network = nl.load("std:Transformer")["Transformer"](seed=0, **sizes)
    peer = translation.TorchTransformer()
    peer.load_state_dict(translation.torch_weights(network.weights))
    batch = {"source": np.array([[5, 6, 7, 2], [8, 2, 0, 0]]), "target": np.array([[1, 9, 10, 2], [1, 11, 12, 2]])}
    feed = Repeated(batch)
    found = translation.netlang_losses(nl.Trainer(network, steps=3), feed, 3)
    np.testing.assert_allclose(found, translation.torch_losses(peer, feed, 3), rtol=1e-4)


class Repeated:
    """One batch again and again."""

    def __init__(self, batch: dict[str, np.ndarray]) -> None:
        self._batch = batch

    def batch(self, step: int) -> dict[str, np.ndarray]:
        return self._batch


def test_perplexity_of_a_guess_is_the_number_of_words():
    target = np.array([[1, 4, 2], [1, 2, 0]])
    batches = [{"source": target, "target": target}]
    guess = np.zeros((2, 2, 7), np.float32)
    assert script("translation").perplexity(lambda *_: guess, batches) == pytest.approx(7)


def test_the_autoencoders_are_the_same():
    network = nl.load("std:VAE")["VAE"](seed=0)
    peer = script("vae").TorchVAE()
    peer.begin_with(network.weights)
    rng = np.random.default_rng(0)
    x, z = rng.random((3, 784), np.float32), rng.standard_normal((3, 20)).astype(np.float32)
    hidden = peer.encoder(torch.from_numpy(x))
    expected = peer.center(hidden), peer.log_variance(hidden), peer.decoder(torch.from_numpy(z)).sigmoid()
    for found, wanted in zip((*network.encode(x), network.decode(z)), expected, strict=True):
        np.testing.assert_allclose(found, wanted.detach(), rtol=1e-4, atol=1e-5)


def test_the_corners_of_the_grid_are_the_images():
    network = nl.load("std:VAE")["VAE"](seed=0)
    images = np.random.default_rng(0).random((4, 784), np.float32)
    grid = script("vae").grid(network, images).reshape(10, 10, 784)
    means, _ = network.encode(images)
    found = np.stack([grid[0, 0], grid[0, -1], grid[-1, 0], grid[-1, -1]])
    np.testing.assert_allclose(found, network.decode(means), atol=1e-6)


def test_what_is_written_goes_on_from_half_a_context():
    def count_on(prompt: np.ndarray, count: int, seed: int) -> np.ndarray:
        assert prompt.shape[1] + count <= 8
        calls.append(prompt.shape[1])
        return np.arange(prompt[0, 0], prompt[0, 0] + prompt.shape[1] + count)[None]

    calls: list[int] = []
    assert script("shakespeare").written(count_on, [5, 6], count=13, context=8, seed=0) == list(range(5, 20))
    assert calls == [2, 4, 4]


def test_pairs_of_words_are_within_the_window():
    words = script("word_vectors")
    word, near = words.pairs(np.arange(40), np.random.default_rng(0))
    assert set(np.abs(word - near)) == set(range(1, words.WINDOW + 1))
    assert len(word) == pytest.approx(40 * (words.WINDOW + 1), rel=0.3)


def test_the_rows_of_bert():
    bert = script("bert")
    words = {f"{letter}{n}": 4 + n for letter in "a" for n in range(90)}
    parts = bert.pieces([[*words, "rare"], ["a1"] * 10], words)
    assert [len(part) for part in parts] == [3]
    made = bert.batch(parts, np.random.default_rng(0), size=50)
    first, second = made["tokens"][:, 1 : 1 + bert.PIECE], made["tokens"][:, bert.PIECE + 2 : -1]
    follows = (second[:, 0] == first[:, -1] + 1) & (np.diff(second, axis=1) == 1).all(1)
    assert follows[made["random_next"] == 0].all()
    assert not follows[made["random_next"] == 1].all()
    assert (made["tokens"][:, [0, bert.PIECE + 1, -1]] == [bert.CLS, bert.SEP, bert.SEP]).all()
    assert made["segments"].sum(1).tolist() == [bert.PIECE + 1] * 50


def test_reviews_of_similar_length_are_read_together():
    reviews = script("movie_reviews")
    sentences = [(n % 2, ["good", "bad", f"only{n}"] * (1 + n % 9)) for n in range(120)]
    words = reviews.vocabulary(sentences)
    assert {"good", "bad"} < set(words)
    assert min(words.values()) == 2
    found = reviews.batches(sentences, words)
    assert sum(len(batch["label"]) for batch in found) == 120
    assert all(batch["tokens"].shape[1] % 8 == 0 for batch in found)
    seen = sum((batch["tokens"] != reviews.PADDING).sum() for batch in found)
    assert seen == sum(len(words) for _, words in sentences)


def test_a_judge_is_sure_of_what_it_knows(tmp_path: Path):
    """The LeNet says the same of the images of an exported sampler as of images that are given to it."""
    judge = script("judge")
    sampler, lenet = nl.load("std:GAN")["GAN"](seed=0), nl.load("std:LeNet5")["LeNet5"](seed=0)
    for network, folder in ((sampler, "gan"), (lenet, "lenet")):
        nl.compile(network, tmp_path / folder)
    images = judge.draw(judge.session(tmp_path / "gan" / "sample.onnx", 1), count=6, portion=3)
    assert images.shape == (6, 28, 28)
    expected = np.concatenate([sampler.sample(3, seed) for seed in (0, 1)]).reshape(-1, 28, 28)
    np.testing.assert_allclose(images, expected, atol=1e-6)
    found = judge.probabilities(onnxruntime.InferenceSession(tmp_path / "lenet" / "forward.onnx"), images)
    logits = lenet.forward(np.pad(images, [(0, 0), (2, 2), (2, 2)])[:, None])
    np.testing.assert_allclose(found, torch.tensor(logits).softmax(-1), atol=1e-6)


def test_a_sheet_has_a_place_for_each_image(tmp_path: Path):
    from PIL import Image

    script("pictures").save_sheet(np.zeros((20, 28, 28), np.float32), tmp_path / "sheet.png", columns=5)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (5 * 30, 4 * 30)
