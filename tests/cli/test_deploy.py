"""The scripts of examples/deploy: the exported model with onnxruntime and NumPy alone says what `netlang run` says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from .conftest import netlang
from .tiny_runs import tiny_run

SCRIPTS = Path(__file__).parents[2] / "examples" / "deploy"
WITHOUT_NETLANG = (
    "import runpy, sys; sys.modules['netlang'] = None; del sys.argv[0]; runpy.run_path(sys.argv[0], None, '__main__')"
)

Script = Callable[..., str]


@pytest.fixture
def script(tiny: Path, folder: Path) -> Script:
    """`script("translate", "translator", …)`: what a script prints for the exported model of a run."""

    def call(name: str, run: str, *arguments: str, entry: str = "forward") -> str:
        directory = tiny_run(tiny, run)
        exported = netlang("export", str(directory), "--entry", entry, "-o", "model.onnx")
        assert exported.code == 0, exported.err
        given = [argument.format(run=directory, data=tiny) for argument in arguments]
        command = [sys.executable, "-c", WITHOUT_NETLANG, str(SCRIPTS / f"{name}.py"), "model.onnx", *given]
        return subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout

    return call


def said(tiny: Path, run: str, *arguments: str) -> str:
    """What `netlang run` prints."""
    result = netlang("run", str(tiny_run(tiny, run)), *arguments)
    assert result.code == 0, result.err
    return result.out


def test_scripts_are_short_and_need_nothing_else() -> None:
    found = {path.name: path.read_text("utf-8") for path in SCRIPTS.glob("*.py")}
    assert len(found) >= 7
    for name, text in found.items():
        assert len(text.splitlines()) <= 30, name
        imported = {
            line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))
        }
        assert imported <= {*sys.stdlib_module_names, "numpy", "onnxruntime"}, name


def test_translate(script: Script, tiny: Path) -> None:
    sentence = "Der Hund, xyz schläft."
    found = script("translate", "translator", "{run}/vocabulary.json", sentence, entry="translate")
    assert found == said(tiny, "translator", "translate", "-i", f"source={sentence}")


def test_generate_text(script: Script, tiny: Path) -> None:
    found = script("generate_text", "writer", "{run}/vocabulary.json", "The king", "9", entry="generate")
    given = ["-i", "prompt=The king", "-i", "count=9", "-i", "temperature=0.8", "-i", "seed=0"]
    assert found == said(tiny, "writer", "generate", *given)
    assert len(found.rstrip("\n")) in range(15, 18)  # a line end at the end is as good as another character


def test_classify_text(script: Script, tiny: Path) -> None:
    sentence = "a film, xyz and funny"
    found = script("classify_text", "reader", "{run}/vocabulary.json", sentence)
    name = said(tiny, "reader", "-i", f"tokens={sentence}").splitlines()[-1].removeprefix("most likely: ")
    assert name in ("good", "bad")
    assert found.split(",")[0] == name


def test_nearest_words(script: Script, tiny: Path) -> None:
    found = script("nearest_words", "words", "{run}/vocabulary.json", "king", entry="similar")
    assert found.split() == said(tiny, "words", "similar", "-i", "word=king").split()
    assert len(set(found.split())) == 10


def test_label_nodes(script: Script, tiny: Path) -> None:
    found = script("label_nodes", "nodes", "{data}/graph/toy.npz")
    result = netlang("eval", str(tiny_run(tiny, "nodes")), "--data", f"planetoid:{tiny / 'graph'}", "--json")
    assert result.code == 0, result.err
    lines = [line.split() for line in found.splitlines()]
    assert [int(node) for node, _ in lines] == list(range(15, 30))
    right = np.mean([int(label) == int(node) % 3 for node, label in lines])
    assert f'"accuracy": {right:.4f}'[:-1] in result.out


def test_classify_image(script: Script, tiny: Path) -> None:
    found = script("classify_image", "images", "{data}/digit.pgm")
    result = said(tiny, "images", "-i", f"image={tiny / 'digit.pgm'}", "--out", "logits.npy")
    assert "f32[1, 10]" in result
    assert int(found.split(",")[0]) == np.load("logits.npy").argmax()


def test_draw_digits(script: Script, tiny: Path) -> None:
    script("draw_digits", "diffusion", "digits.pgm", entry="sample")
    said(tiny, "diffusion", "sample", "-i", "n=64", "-i", "seed=0", "--out", "digits.npy")
    sheet = Path("digits.pgm").read_bytes()
    assert sheet.startswith(b"P5 64 64 255\n")
    drawn = np.frombuffer(sheet[-64 * 64 :], np.uint8).reshape(8, 8, 8, 8).swapaxes(1, 2).reshape(64, 1, 8, 8)
    np.testing.assert_allclose(drawn, 255 * np.load("digits.npy"), atol=1)
    assert drawn.std() > 10
