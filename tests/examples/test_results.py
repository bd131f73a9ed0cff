"""The scripts of `examples/results`: what they compare with is the same network, and their data are what they say."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
import torch

import netlang as nl

from .counted_training import counted

FOLDER = Path(__file__).parents[2] / "examples" / "results"


@pytest.fixture(scope="module", autouse=True)
def scripts_import_each_other() -> Iterator[None]:
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def script(name: str) -> ModuleType:
    return importlib.import_module(name)


SMALL_TRANSLATORS = {
    "Transformer": {"vocab": 20, "d": 16, "layers": 1, "h": 4, "ff": 24, "drop": 0.0, "warmup": 10},
    "Seq2Seq": {"source_vocab": 20, "target_vocab": 20, "d": 6, "n": 8, "drop": 0.0, "lr": 0.01},
}


@pytest.mark.parametrize("model", SMALL_TRANSLATORS)
def test_the_translators_are_the_same(model: str):
    settings = SMALL_TRANSLATORS[model]
    network = nl.load(f"std:{model}")[model](seed=0, threads=1, **settings)
    peer = script("translation").LESSONS[model].peer(settings)
    peer.begin_with(network.weights)
    batch = {"source": np.array([[5, 6, 7, 2], [8, 2, 0, 0]]), "target": np.array([[1, 9, 10, 2], [1, 11, 2, 0]])}
    trainer, training_step = nl.Trainer(network, seed=0, threads=1, steps=3), peer.training_step()
    found = [trainer.step(**batch)["loss"] for _ in range(3)]
    np.testing.assert_allclose(found, [training_step(batch) for _ in range(3)], rtol=1e-4)


def test_trainings_side_by_side(tmp_path: Path):
    """Both sides of `translation.py` on sentences of its own, from the files to what they keep."""
    for split, count in (("train", 40), ("val", 4), ("test", 25)):
        for side, word in (("de", "Hund"), ("en", "dog")):
            lines = "".join(f"{word} {word} {n % 3} .\n" for n in range(count))
            (tmp_path / f"{split}.{side}.gz").write_bytes(gzip.compress(lines.encode()))
    translation, told = script("translation"), []
    options = translation.Options(tmp_path, "Seq2Seq", batch=8, seed=0, test_every=2, out=tmp_path)
    for name in translation.SIDES:
        translation.work(name, 3, told.append, options)
    ours, theirs = told[:3], told[3:]
    assert [(report.name, report.step) for report in theirs] == [("PyTorch", 1), ("PyTorch", 2), ("PyTorch", 3)]
    assert [report.tested is None for report in ours] == [True, False, False]
    assert ours[0].loss == pytest.approx(theirs[0].loss, rel=0.01), "but for dropout, the same"
    assert ours[2].tested == pytest.approx(theirs[2].tested, rel=0.05)
    kept = nl.load_run(tmp_path / "netlang-3")
    assert kept.translate(np.array([[5, 6, 2]])).shape == (1, 53)
    assert (tmp_path / "torch-3.safetensors").stat().st_size > 1000


def test_side_by_side_gathers_what_each_tells(capsys: pytest.CaptureFixture[str]):
    module = script("side_by_side")
    courses = module.side_by_side(counted, ["one", "two"], 3, 10.0)
    assert courses["one"].losses == [10.0, 11.0, 12.0]
    assert courses["two"].tested == {3: 12.0}
    assert "two: step 3, loss 12.000, tested 12.000, 0 s" in capsys.readouterr().out


def test_side_by_side_ends_both_where_one_fails():
    with pytest.raises(SystemExit, match="two ended early"):
        script("side_by_side").side_by_side(counted, ["one", "two"], 3, None)


def test_seeds_that_are_there_are_read_and_averaged(tmp_path: Path):
    translation = script("translation")
    for seed, perplexities in enumerate(((16.0, 17.0), (18.0, 17.5))):
        sides = dict(zip(translation.SIDES, perplexities, strict=True))
        told = {name: {"losses": [9.0, 8.0], "tested": {"2": tested}, "seconds": 3.0} for name, tested in sides.items()}
        (tmp_path / f"seed-{seed}").mkdir()
        (tmp_path / f"seed-{seed}" / "courses.json").write_text(json.dumps(told))
    options = [translation.Options(tmp_path, "Seq2Seq", 8, seed, 2, tmp_path / f"seed-{seed}") for seed in range(3)]
    ours, theirs = translation.report([translation.trained(2, each) for each in options[:2]])
    assert ours.startswith("netlang: perplexity 17.000 ± 1.414, 2 seeds (16.000, 18.000) after 2 steps of 1.500")
    assert theirs.startswith("PyTorch: perplexity 17.250 ± 0.354, 2 seeds")
    (tmp_path / "seed-2").mkdir()
    with pytest.raises(SystemExit, match="holds a training that was cut off"):
        translation.trained(2, options[2])


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
    (found,) = words.pairs(np.arange(40), np.random.default_rng(0))
    assert set(np.abs(found["word"] - found["near"])) == set(range(1, words.WINDOW + 1))
    assert len(found["word"]) == pytest.approx(40 * (words.WINDOW + 1), rel=0.3)


def test_surroundings_are_the_window_without_its_word():
    words = script("word_vectors")
    found = words.surroundings(np.arange(40), np.random.default_rng(0))
    for distance, rows in enumerate(found, start=1):
        gaps = rows["around"] - rows["word"][:, None]
        assert (gaps == [gap for gap in range(-distance, distance + 1) if gap]).all()
    assert 40 - 2 * words.WINDOW <= sum(len(rows["word"]) for rows in found) <= 38


def test_a_batch_has_examples_of_one_kind():
    words = script("word_vectors")
    rng = np.random.default_rng(0)
    made = [words.surroundings(np.arange(start, start + 200), rng) for start in (0, 500)]
    found = words.batches(made, 8, rng)
    seen = np.concatenate([batch["word"] for batch in found])
    assert len(seen) == len(set(seen)) > 300
    assert {batch["around"].shape for batch in found} == {(8, 2 * distance) for distance in range(1, words.WINDOW + 1)}


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
