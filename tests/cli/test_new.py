"""`netlang new`: what it makes is right as it stands, and trains."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from netlang.runtime.project import model_name

from .conftest import netlang

FILES = [".gitignore", "README.md", "blocks.net", "model.net", "project.net"]


def test_a_project_is_right_from_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = netlang("new", "my-birds")
    assert result.code == 0, result.err
    assert sorted(path.name for path in (folder / "my-birds").iterdir()) == sorted(FILES)
    assert sorted(result.out.split()) == sorted(f"my-birds/{name}" for name in FILES)
    assert all(not re.search("NAME|PROJECT", path.read_text()) for path in (folder / "my-birds").iterdir())
    monkeypatch.chdir(folder / "my-birds")
    assert netlang("check", ".").err == "3 files checked: no errors\n"
    assert netlang("fmt", "--check", ".").code == 0


def test_the_commands_of_the_readme_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those for which there are data; pictures are drawn here."""
    from PIL import Image

    netlang("new", "birds")
    monkeypatch.chdir(folder / "birds")
    Image.new("L", (20, 30)).save("picture.png")
    (first, own) = re.findall("```sh\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    for line in first.splitlines():
        words = shlex.split(line, comments=True)
        more = ["--steps", "3"] if words[1] == "train" else []
        result = netlang(*words[1:], *more)
        assert result.code == 0, (line, result.err)
    for kind in ("jay", "owl", "wren"):
        (Path("pictures") / kind).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (12, 9), 10 * number).save(Path("pictures") / kind / f"{number}.png")
    result = netlang(*shlex.split(own)[1:], "--steps", "3")
    assert result.code == 0, result.err


@pytest.mark.parametrize(
    ("project", "model"),
    [("birds", "Birds"), ("my-net", "MyNet"), ("a_b c", "ABC"), ("net2", "Net2"), ("über", "Über")],
)
def test_the_model_is_called_after_the_project(project: str, model: str) -> None:
    assert model_name(project) == model


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("2fast", "error[bad-value]: no model can be called after `2fast`"),
        ("...", "error[bad-value]"),
        ("full", "error[unwritable-file]: `full` holds files already"),
        ("good.net", "error[unwritable-file]: `good.net` holds files already"),
    ],
)
def test_what_cannot_be_a_project(folder: Path, name: str, words: str) -> None:
    (folder / "full").mkdir()
    (folder / "full" / "x").touch()
    result = netlang("new", name)
    assert (result.code, words in result.err) == (1, True), result.err
