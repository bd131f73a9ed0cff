"""`netlang fmt`."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from .conftest import netlang

UGLY = "model   M( x:f32[b] )->f32[b]{\n # why\n return x+1\n}\n"
PRETTY = "model M(x: f32[b]) -> f32[b] {\n  # why\n  return x + 1\n}\n"


@pytest.fixture
def ugly(folder: Path) -> Path:
    path = folder / "ugly.net"
    path.write_text(UGLY)
    return path


def test_rewrites_what_is_not_canonical(ugly: Path) -> None:
    result = netlang("fmt", "ugly.net", "good.net")
    assert (result.code, result.out) == (0, "reformatted ugly.net\n")
    assert result.err == "1 file reformatted, 1 file formatted\n"
    assert ugly.read_text() == PRETTY


def test_twice_changes_nothing(ugly: Path) -> None:
    netlang("fmt", "ugly.net")
    before = ugly.stat().st_mtime_ns
    result = netlang("fmt", "ugly.net")
    assert (result.code, result.out, result.err) == (0, "", "1 file already formatted\n")
    assert ugly.stat().st_mtime_ns == before


def test_check_names_the_files_and_writes_nothing(ugly: Path) -> None:
    result = netlang("fmt", "--check", "ugly.net", "good.net")
    assert (result.code, result.out) == (1, "would reformat ugly.net\n")
    assert result.err == "1 file would be reformatted, 1 file formatted\n"
    assert ugly.read_text() == UGLY
    assert netlang("fmt", "--check", "good.net").code == 0


def test_diff_shows_the_change_and_writes_nothing(ugly: Path) -> None:
    result = netlang("fmt", "--diff", "ugly.net")
    assert result.code == 1
    assert result.out.splitlines() == [
        "--- ugly.net",
        "+++ ugly.net (formatted)",
        "@@ -1,4 +1,4 @@",
        *(f"-{line}" for line in UGLY.splitlines()[:3]),
        *(f"+{line}" for line in PRETTY.splitlines()[:3]),
        " }",
    ]
    assert ugly.read_text() == UGLY
    assert netlang("fmt", "--diff", "good.net") == type(result)(0, "", "")


def test_standard_input_goes_to_standard_output(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(UGLY.encode())))
    result = netlang("fmt", "-")
    assert (result.code, result.out, result.err) == (0, PRETTY, "")


def test_a_file_that_does_not_parse_is_left_alone(folder: Path) -> None:
    (folder / "bad.net").write_text("model {\n")
    result = netlang("fmt", "bad.net", "good.net")
    assert result.code == 1
    assert "--> bad.net:1:7" in result.err
    assert (folder / "bad.net").read_text() == "model {\n"


def test_the_library_is_not_rewritten(folder: Path) -> None:
    result = netlang("fmt", "std:MLP")
    assert result.code == 1
    assert "belongs to the library" in result.err


def test_standard_input_stands_alone(folder: Path) -> None:
    result = netlang("fmt", "-", "good.net")
    assert result.code == 2
    assert result.err == "netlang: Invalid value for FILE: `-` stands alone\n"
