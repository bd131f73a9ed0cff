"""The reference of the language, `*.md`: every program compiles, every error and every result is the one shown.

A block `net` is a program, `net error` a wrong one, whose errors stand in the block `text` behind it; `net NAME.net` is
a file that the programs of the chapter may use, and `weights NAME.safetensors` the tensors of one, as `name: [1, 2]`;
`run` shows runs of the program before it, as `transcript.py` tells.
`pytest tests/spec --update-snapshots` writes the errors and results: read the difference before you commit it.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from netlang.formatter import format_source
from netlang.source import Source

from ..errors.diagnosed import check, shown
from ..fenced import Fence, broken_links, fences, replaced
from .transcript import Session, agrees, commands, told

FOLDER = Path(__file__).parent
CHAPTERS = sorted(FOLDER.glob("[0-9]*.md"))
MAIN = "example.net"
_KIND = re.compile(r"net( error| [\w/]+\.net)?|weights \w+\.safetensors|text|run|sh")


@dataclass(frozen=True)
class Example:
    """One program of a chapter: the block itself, the files before it, and the block that shows what comes of it."""

    chapter: Path
    program: Fence
    files: tuple[Fence, ...]
    shown: Fence | None

    @property
    def wrong(self) -> bool:
        """Whether the program is there for its errors."""
        return self.program.kind == "net error"

    def write(self) -> None:
        """Writes the files into the current folder."""
        for fence in self.files:
            kind, _, name = fence.kind.partition(" ")
            file = Path(name)
            file.parent.mkdir(exist_ok=True)
            if kind == "weights":
                save_file(_tensors(fence.text), file)
            else:
                file.write_text(fence.text, "utf-8")
        Path(MAIN).write_text(self.program.text, "utf-8")


def _tensors(text: str) -> dict[str, np.ndarray]:
    """The tensors that a block `weights` lists."""
    listed = (line.split(": ", 1) for line in text.splitlines())
    return {name: np.array(ast.literal_eval(values), np.float32) for name, values in listed}


def examples(chapter: Path) -> list[Example]:
    """Every program of a chapter."""
    found: list[Example] = []
    files: list[Fence] = []
    blocks = fences(chapter.read_text("utf-8"))
    for fence, following in zip(blocks, [*blocks[1:], None], strict=True):
        if fence.kind in ("net", "net error"):
            result = following if following and following.kind in ("text", "run") else None
            found.append(Example(chapter, fence, tuple(files), result))
        elif fence.kind.startswith(("net ", "weights ")):
            files.append(fence)
    return found


EXAMPLES = [
    pytest.param(example, id=f"{chapter.stem}-{number}")
    for chapter in CHAPTERS
    for number, example in enumerate(examples(chapter), start=1)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(
    example: Example, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example.write()
    found = check(MAIN)
    if not example.wrong:
        assert found == []
        assert format_source(Source(MAIN, example.program.text)) == example.program.text
    assert example.wrong == any(diagnostic.severity == "error" for diagnostic in found)
    if example.wrong or example.shown:
        assert example.shown is not None, "an error without its text"
        text = shown(found) if example.wrong else results(example.shown)
        if not request.config.getoption("--update-snapshots"):
            assert text == example.shown.text
        elif text != example.shown.text:
            _update(example, text)


def results(transcript: Fence) -> str:
    """The transcript as it comes out: the very text where it agrees, else with the results found."""
    session = Session(Path(MAIN))
    lines: list[str] = []
    for line, expected in commands(transcript.text):
        found = session.run(line)
        lines.append(told(line, expected if agrees(found, expected) else found))
    return "".join(lines)


def _update(example: Example, text: str) -> None:
    """Writes what a program gives into its chapter, which earlier updates may have changed."""
    (own,) = [other for other in examples(example.chapter) if other.program.text == example.program.text]
    assert own.shown is not None
    example.chapter.write_text(replaced(example.chapter.read_text("utf-8"), own.shown, text), "utf-8")


def test_every_block_is_tested() -> None:
    for chapter in CHAPTERS:
        kinds = {fence.kind for fence in fences(chapter.read_text("utf-8"))}
        assert all(map(_KIND.fullmatch, kinds)), chapter.name


def test_links_lead_somewhere() -> None:
    assert {page.name: broken_links(page) for page in FOLDER.glob("*.md") if broken_links(page)} == {}


def test_the_contents_list_every_chapter_by_its_title() -> None:
    contents = re.findall(r"^\d+\. \[(.+)\]\((.+)\)", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    assert contents == [(chapter.read_text("utf-8").splitlines()[0][2:], chapter.name) for chapter in CHAPTERS]
