"""`refusals.md`: wrong data and wrong inputs, each with the exact text that a user sees.

The text stands in a block of its own behind the command; `pytest --update-snapshots` writes it.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from .conftest import netlang
from .tiny_runs import MODELS, tiny_run

DOCUMENT = Path(__file__).with_name("refusals.md")
SECTION = re.compile(r"^## (\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
SECTIONS = {found[1]: found[2] for found in SECTION.finditer(DOCUMENT.read_text("utf-8"))}


@pytest.fixture
def place(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the data of the tiny runs."""
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(section: str, tiny: Path) -> str:
    """What the command of a section says, with the files of the section in the working directory."""
    blocks = BLOCK.findall(section)
    command = next(shlex.split(text)[1:] for kind, _, text in blocks if kind == "run")
    for name in set(command) & set(MODELS):
        shutil.copytree(tiny_run(tiny, name), name, dirs_exist_ok=True)
    for kind, name, text in blocks:
        if kind == "file":
            Path(name).write_text(text, "utf-8")
    result = netlang(*command)
    assert result.code == 1, result.err
    assert result.out == ""
    return result.err


@pytest.mark.parametrize("name", SECTIONS)
def test_refusals(name: str, place: Path, tiny: Path, request: pytest.FixtureRequest) -> None:
    found = said(SECTIONS[name], tiny)
    assert not (place / "runs").exists()
    if request.config.getoption("--update-snapshots"):
        _write(name, found)
        return
    expected = next((text for kind, _, text in BLOCK.findall(SECTIONS[name]) if kind == "text"), None)
    assert found == expected


def _write(name: str, text: str) -> None:
    kept = re.sub(r"^```text\n(?:.*\n)*?```\n*", "", SECTIONS[name], flags=re.MULTILINE).rstrip("\n")
    document = DOCUMENT.read_text("utf-8")
    last = name == list(SECTIONS)[-1]
    section = f"{kept}\n\n```text\n{text}```\n" + ("" if last else "\n")
    DOCUMENT.write_text(document.replace(f"## {name}\n{SECTIONS[name]}", f"## {name}\n{section}"), "utf-8")
