"""Programs of several files on the command line: from any directory, and from the copies that a run keeps."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from .conftest import fill, netlang

FILES = {
    "project.net": "## A project.\n",
    "nets/line.net": """\
use blocks: hidden
use "../blocks/parts.net": wide

model Line(width: int = wide)(x: f32[batch, 2]) -> f32[batch, 1] {
  return x |> hidden(width)
}

train Line {
  in y: f32[batch, 1]
  minimize mse(forward(x), y)
  optimizer sgd(0.1)
}
""",
    "blocks/index.net": "use blocks.parts: hidden\n",
    "blocks/parts.net": """\
use std.layers: linear

const wide = 4

layer hidden(width: int)(x: f32[b, i]) -> f32[b, 1] {
  return x |> linear(width) |> tanh |> linear(1)
}
""",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three files, data beside it, and the working directory in it."""
    root = tmp_path / "project"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "elsewhere" / "deep").mkdir(parents=True)
    fill(tmp_path)
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize(("place", "absolute"), [(".", False), ("nets", True), ("elsewhere/deep", False)])
def test_every_command_works_from_everywhere(
    project: Path, place: str, absolute: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / place)
    file = str(project / "nets" / "line.net")
    name = file if absolute else os.path.relpath(file)
    for command in (("check", name), ("fmt", "--check", name), ("compile", name, "-o", "out")):
        result = netlang(*command)
        assert result.code == 0, result.err
    assert (project / place / "out" / "train.onnx").exists()
    assert json.loads(netlang("summary", name, "--json").out)["parameters"] == 2 * 4 + 4 + 4 + 1


def test_check_takes_the_whole_folder(project: Path) -> None:
    result = netlang("check", ".")
    assert (result.code, result.err) == (0, "4 files checked: no errors\n")


@pytest.mark.parametrize("place", ["nets", "elsewhere/deep"])
def test_a_run_goes_on_without_the_files(project: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = f"npz:{project.parent / 'line.npz'}"
    monkeypatch.chdir(project / place)
    name = os.path.relpath(project / "nets" / "line.net")
    result = netlang("train", name, "--data", data, "--steps", "3", "--out", str(project.parent / "run"))
    assert result.code == 0, result.err
    before = netlang("run", str(project.parent / "run"), "--input", "x=[[1, 2]]", "--json")
    monkeypatch.chdir(project.parent)
    shutil.rmtree(project)
    assert len(list(Path("run/sources").glob("*.net"))) > len(FILES)
    assert netlang("run", "run", "--input", "x=[[1, 2]]", "--json") == before
    for command in (
        ("eval", "run"),
        ("export", "run", "-o", "again.onnx"),
        ("train", "--resume", "run", "--steps", "6"),
    ):
        result = netlang(*command)
        assert result.code == 0, (command, result.err)


def test_an_error_in_a_package_is_told_once(project: Path) -> None:
    (project / "blocks" / "parts.net").write_text("layer hidden(\n")
    result = netlang("check", "--format", "concise", ".")
    assert (result.code, result.out) == (
        1,
        "blocks/parts.net:1:14: unclosed-bracket: `(` is not closed before end of file\n",
    )
