"""What the documents show is what happens: their programs compile, their commands and scripts run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import netlang as nl
from netlang.formatter import format_source
from netlang.source import Source

from ..fenced import blocks, broken_links
from ..writing.torch_models import Encoder, randomised, scripted

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


PROGRAMS = [
    pytest.param(program, id=f"{document.name}-{number}")
    for document in DOCUMENTS
    for number, program in enumerate(blocks(document, "net"), start=1)
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_compiles_without_a_warning(program: str, tmp_path: Path) -> None:
    path = tmp_path / "program.net"
    path.write_text(program, encoding="utf-8")
    assert nl.check(path) == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_is_in_the_canonical_style(program: str) -> None:
    assert format_source(Source("program.net", program)) == program


def test_the_python_example_runs(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (script,) = [text for text in blocks(ROOT / "README.md", "python") if "import netlang" in text]
    short = script.replace("epochs=20", "steps=3")
    assert short != script
    result = subprocess.run([sys.executable, "-c", short], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "accuracy" in result.stdout


def test_the_python_example_of_importing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With words in place of images; what it freezes stays."""
    monkeypatch.chdir(tmp_path)
    words = np.random.default_rng(0).integers(0, 11, (4, 9))
    onnx.save(scripted(randomised(Encoder), torch.tensor(words)), "classifier.onnx")
    (script,) = blocks(ROOT / "docs" / "importing.md", "python")
    names = {"images": words, "labels": np.array([0, 2, 1, 2])}
    exec(script, names)
    assert names["logits"].shape == (4, 3)
    before, after = nl.from_onnx("classifier.onnx").parameters, names["net"].parameters
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {"words.weight", "head.weight", "head.bias"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_the_project_lead_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_generated_documents_are_up_to_date() -> None:
    result = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
