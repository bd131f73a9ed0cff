"""Deliberately wrong programs: each gives exactly one error, with this code, at this place, in exactly this text.

The programs are in `programs/*.md`. A section holds the code and the place, which are written by hand, the files, and
the text, which `pytest tests/errors --update-snapshots` writes: read the difference before you commit it. Lines of the
library are shown as line 1, so that the texts change with those lines and not with what stands above them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from netlang.codes import EXPLANATIONS

from .diagnosed import check, shown

FOLDER = Path(__file__).parent / "programs"

_SECTION = re.compile(r"^## (\w+)\n\n`([\w-]+)` at ([\w.]+):(\d+):(\d+)\n\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(net [\w.]+|text)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One wrong program: where it is told, the fault it must give, its files (the first is checked) and the text."""

    document: Path
    name: str
    code: str
    place: tuple[str, int, int]
    files: dict[str, str]
    text: str

    def __str__(self) -> str:
        return self.name


def cases() -> list[Case]:
    """Every program of every document."""
    found: list[Case] = []
    for document in sorted(FOLDER.glob("*.md")):
        for name, code, file, line, column, body in _SECTION.findall(document.read_text("utf-8")):
            blocks = dict(_BLOCK.findall(body))
            files = {kind.removeprefix("net "): text for kind, text in blocks.items() if kind != "text"}
            found.append(Case(document, name, code, (file, int(line), int(column)), files, blocks.get("text", "")))
    return found


CASES = cases()


def update(case: Case, text: str) -> None:
    """Writes the text of a case into its document."""
    document = case.document.read_text("utf-8")
    section = next(match for match in _SECTION.finditer(document) if match[1] == case.name)
    body = re.sub(r"\n?^```text\n.*?^```\n", "", section[6], flags=re.MULTILINE | re.DOTALL).rstrip("\n")
    told = f"{body}\n\n```text\n{text}```\n\n"
    document = document[: section.start(6)] + told + document[section.end() :]
    case.document.write_text(document.rstrip("\n") + "\n", "utf-8")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_program(case: Case, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in case.files.items():
        Path(name).write_text(text, "utf-8")
    found = check(next(iter(case.files)))
    errors = [diagnostic for diagnostic in found if diagnostic.severity == "error"]
    assert [error.code for error in errors] == [case.code]
    label = errors[0].primary
    assert label is not None
    assert (label.span.source.name, label.span.line, label.span.column) == case.place
    text = shown(found)
    if request.config.getoption("--update-snapshots"):
        update(case, text)
    else:
        assert text == case.text


def test_there_are_programs_of_every_kind() -> None:
    assert len(CASES) > 150
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.code for case in CASES} <= EXPLANATIONS.keys()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_titles_are_plain_sentences(case: Case) -> None:
    """One line, without a full stop, no longer than a reader takes in at once."""
    (title,) = re.findall(r"^error\[[\w-]+\]: (.*)$", case.text, re.MULTILINE)
    assert 10 < len(title) < 110
    assert not title.endswith(".")
    assert title[0].islower() or title[0] in "`[0123456789"
