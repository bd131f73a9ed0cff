"""Runs on text: their vocabularies go with them, and what comes out is text again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from .conftest import netlang
from .tiny_runs import MODELS, tiny_run


@pytest.fixture
def place(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the data of the tiny runs."""
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_vocabulary_is_plain_json(tiny: Path) -> None:
    saved = json.loads((tiny_run(tiny, "translator") / "vocabulary.json").read_text("utf-8"))
    assert list(saved) == ["source", "target"]
    source, target = saved["source"], saved["target"]
    assert source["tokens"] == target["tokens"]
    assert source["tokens"][:5] == ["<padding>", "<begin>", "<end>", "<unknown>", "."]
    assert (source["after"], target["before"], target["after"]) == (["<end>"], ["<begin>"], ["<end>"])
    config = json.loads((tiny_run(tiny, "translator") / "config.json").read_text("utf-8"))
    assert config["settings"]["vocab"] == len(source["tokens"])


def test_results_are_text_and_also_numbers(tiny: Path) -> None:
    run = tiny_run(tiny, "writer")
    given = ["generate", "-i", "prompt=The", "-i", "count=5", "-i", "temperature=0", "-i", "seed=0"]
    printed = netlang("run", str(run), *given)
    found = json.loads(netlang("run", str(run), *given, "--json").out)
    (name, *_), tokens = found, json.loads((run / "vocabulary.json").read_text())["tokens"]["tokens"]
    assert found[f"{name}.text"] == ["".join(tokens[i] for i in found[name][0])]
    assert printed.out == found[f"{name}.text"][0] + "\n"
    assert printed.out.startswith("The")


def test_files_of_lines_are_run_line_by_line(tiny: Path, folder: Path) -> None:
    run = str(tiny_run(tiny, "translator"))
    lines = ["Ein Hund schläft .", "Der Mann", "Zwei Hunde spielen im Park ."]
    Path("a.de").write_text("\n".join(lines * 12) + "\n", "utf-8")  # more than are run at once
    printed = netlang("run", run, "translate", "-i", "source=lines:a.de")
    assert printed.code == 0, printed.err
    found = printed.out.splitlines()
    assert found == found[:3] * 12
    alone = netlang("run", run, "translate", "-i", f"source={lines[1]}").out.split()
    assert found[1].split()[: len(alone)] == alone  # filling up changes how long an answer may be, and no word
    scores = netlang("run", str(tiny_run(tiny, "reader")), "-i", "tokens=lines:a.de", "--out", "scores.npy")
    assert scores.code == 0, scores.err
    assert np.load("scores.npy").shape == (36, 2)


def test_lines_without_a_token_to_fill_them_up(tiny: Path, folder: Path) -> None:
    rest = ["-i", "count=2", "-i", "temperature=0", "-i", "seed=0"]
    run = str(tiny_run(tiny, "writer"))
    Path("even.txt").write_text("The\nman\n")
    assert len(netlang("run", run, "generate", "-i", "prompt=lines:even.txt", *rest).out) >= 12
    Path("odd.txt").write_text("The\nking\n")
    result = netlang("run", run, "generate", "-i", "prompt=lines:odd.txt", *rest)
    assert result.code == 1
    assert "the lines of `odd.txt` have different lengths" in result.err


def test_numbers_and_files_are_taken_as_before(tiny: Path, folder: Path) -> None:
    run = str(tiny_run(tiny, "reader"))
    spelled = netlang("run", run, "-i", "tokens=text:a film", "--json")
    tokens = json.loads((Path(run) / "vocabulary.json").read_text())["tokens"]["tokens"]
    numbers = [[tokens.index("a"), tokens.index("film")]]
    np.save("tokens.npy", numbers)
    for value in ("a film", json.dumps(numbers), "tokens.npy"):
        assert netlang("run", run, "-i", f"tokens={value}", "--json").out == spelled.out


def test_unknown_words_are_told(tiny: Path) -> None:
    result = netlang("run", str(tiny_run(tiny, "reader")), "-i", "tokens=a grand film, grand!")
    assert result.err == "not in the vocabulary: `grand`, `!`\n"
    assert result.code == 0
    assert result.out.splitlines()[-1] in ("most likely: good", "most likely: bad")


def test_a_prompt_too_long_says_both_numbers(tiny: Path) -> None:
    given = ["-i", "prompt=The king and the que", "-i", "count=9", "-i", "temperature=0", "-i", "seed=0"]
    result = netlang("run", str(tiny_run(tiny, "writer")), "generate", *given)
    assert result.code == 1
    assert "20 tokens and 9 more exceed the context of 24" in result.err


def test_windows_longer_than_the_context_leave_no_run(place: Path) -> None:
    result = netlang("train", *MODELS["writer"], "--length", "40", "--steps", "1", "--out", "long")
    assert result.code == 1
    assert result.err.startswith("error[assertion-failed]: 40 tokens exceed the context of 24\n")
    assert not Path("long").exists()


def test_a_resumed_run_is_the_same_as_one_that_was_not_stopped(place: Path) -> None:
    options = ["--tokens", "words:30", "--batch", "2", "--threads", "1"]
    assert netlang("train", *MODELS["reader"], *options, "--steps", "5", "--out", "whole").code == 0
    assert netlang("train", *MODELS["reader"], *options, "--steps", "3", "--out", "parts").code == 0
    assert netlang("train", "--resume", "parts", "--steps", "5").code == 0
    whole, parts = (load_file(Path(run, "checkpoints", "last.safetensors")) for run in ("whole", "parts"))
    assert set(whole) == set(parts)
    for name, array in whole.items():
        np.testing.assert_array_equal(array, parts[name], name)


def test_other_data_is_read_with_the_vocabulary_of_the_run(tiny: Path, place: Path) -> None:
    shutil.copytree(tiny_run(tiny, "reader"), "reader", dirs_exist_ok=True)
    lines = Path("reviews.txt").read_text().splitlines()
    Path("some.txt").write_text("\n".join(reversed(lines[:2])) + "\n")  # alone it would number its words otherwise
    Path("rest.txt").write_text("\n".join(lines[2:]) + "\n")
    losses = [
        json.loads(netlang("eval", "reader", "--data", f"sentences:{name}.txt", "--json").out)["loss"]
        for name in ("some", "rest", "reviews")
    ]
    assert (losses[0] + losses[1]) / 2 == pytest.approx(losses[2], rel=1e-5)


def test_a_vocabulary_of_another_run_can_be_used(tiny: Path, place: Path) -> None:
    shutil.copytree(tiny_run(tiny, "writer"), "writer", dirs_exist_ok=True)
    Path("short.txt").write_text("king and queen\n" * 20)
    command = ["train", *MODELS["writer"], "--data", "text:short.txt", "--tokens", "writer/vocabulary.json"]
    result = netlang(*command, "--steps", "1", "--out", "second")
    assert result.code == 0, result.err
    assert Path("second/vocabulary.json").read_bytes() == Path("writer/vocabulary.json").read_bytes()


CLASSES = """
use std.layers: linear

model Kinds(classes: int = 9)(x: f32[batch, 2]) -> f32[batch, classes] {
  return x |> linear(classes)
}
train Kinds {
  in kind: i64[batch]
  minimize cross_entropy(forward(x), kind)
  optimizer sgd(0.5)
}
"""


def test_classes_have_the_names_of_the_data(folder: Path) -> None:
    Path("kinds.net").write_text(CLASSES)
    Path("kinds.csv").write_text("a,b,kind\n" + "1,0,round\n0,1,flat\n" * 10)
    result = netlang("train", "kinds.net", "--data", "csv:kinds.csv", "--epochs", "50", "--batch", "4", "--out", "r")
    assert result.code == 0, result.err
    assert "classes = 2, as the data has it" in result.err
    assert netlang("run", "r", "-i", "x=[[1, 0], [0, 1]]").out.endswith("most likely: round, flat\n")
    Path("rounds.csv").write_text("a,b,kind\n1,0,round\n")  # alone it would call `round` 0
    loss = json.loads(netlang("eval", "r", "--data", "csv:rounds.csv", "--json").out)["loss"]
    assert loss < 0.3
