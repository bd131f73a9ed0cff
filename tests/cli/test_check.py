"""`netlang check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import netlang

MISMATCH = "wrong.net:4:25: shape-mismatch: the two sides of `+` differ in their last dimension"


def test_a_good_file_says_nothing_on_standard_output(folder: Path) -> None:
    result = netlang("check", "good.net")
    assert (result.code, result.out, result.err) == (0, "", "1 file checked: no errors\n")


def test_an_error_is_shown_with_its_line(folder: Path) -> None:
    result = netlang("check", "good.net", "wrong.net")
    assert result.code == 1
    assert result.out.startswith("error[shape-mismatch]: the two sides of `+` differ in their last dimension\n")
    assert "4 |   return linear(2)(x) + linear(3)(x)" in result.out
    assert result.err == "2 files checked: 1 error\n"


def test_concise_is_one_line_an_error(folder: Path) -> None:
    result = netlang("check", "--format", "concise", "wrong.net")
    assert (result.code, result.out, result.err) == (1, MISMATCH + "\n", "")


@pytest.mark.parametrize("option", [("--json",), ("--format", "json")])
def test_json_is_a_list_with_stable_keys(folder: Path, option: tuple[str, ...]) -> None:
    result = netlang("check", *option, "wrong.net")
    (found,) = json.loads(result.out)
    assert result.code == 1
    assert {key: found[key] for key in ("code", "file", "line", "column", "message")} == {
        "code": "shape-mismatch",
        "file": "wrong.net",
        "line": 4,
        "column": 25,
        "message": "the two sides of `+` differ in their last dimension",
    }


def test_json_of_a_good_file_is_an_empty_list(folder: Path) -> None:
    result = netlang("check", "--json", "good.net")
    assert (result.code, json.loads(result.out)) == (0, [])


def test_an_error_that_several_files_share_is_shown_once(folder: Path) -> None:
    (folder / "broken.net").write_text("layer f()(x: f32[b]) -> f32[b] { return y }\n")
    for name in ("a", "b"):
        (folder / f"{name}.net").write_text('use "./broken.net": f\nmodel M(x: f32[b]) -> f32[b] { return f()(x) }\n')
    result = netlang("check", "--format", "concise", "a.net", "b.net", "broken.net")
    assert result.code == 1
    assert result.out == "broken.net:1:41: undefined-name: `y` is not defined\n"


def test_every_syntax_error_of_a_file_is_reported(folder: Path) -> None:
    (folder / "bad.net").write_text(
        "fn f(x: f32) { return }\n\nfn g(x f32) { return x }\n\nfn h(x: f32) -> f32 { return x +* x }\n"
    )
    result = netlang("check", "--format", "concise", "bad.net")
    assert result.code == 1
    assert [line.split(":")[1] for line in result.out.splitlines()] == ["1", "3", "5"]


def test_a_directory_stands_for_its_files_but_not_for_the_copies_in_runs(folder: Path) -> None:
    nested = folder / "models" / "small"
    nested.mkdir(parents=True)
    (nested / "line.net").write_text((folder / "good.net").read_text())
    copies = folder / "models" / "run" / "sources"
    copies.mkdir(parents=True)
    (copies.parent / "config.json").write_text("{}")
    (copies / "00-wrong.net").write_text((folder / "wrong.net").read_text())
    result = netlang("check", "models", "models/small/line.net")
    assert (result.code, result.err) == (0, "1 file checked: no errors\n")


def test_a_directory_without_sources_is_an_error(folder: Path) -> None:
    (folder / "empty").mkdir()
    result = netlang("check", "empty")
    assert result.code == 1
    assert "there is no `.net` file in the directory `empty`" in result.err


def test_a_missing_file_comes_with_its_neighbour(folder: Path) -> None:
    result = netlang("check", "godo.net")
    assert result.code == 1
    assert "error[unreadable-file]: there is no file `godo.net`" in result.out
    assert "did you mean `good.net`?" in result.out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0", "binary"),
        (b"model M(x: f32[b]) -> f32[b] {\n  return x # \xff\n}\n", "line 2 is not UTF-8 text"),
        (b"# x\n" * 600_000, "larger than the 2 MB"),
    ],
    ids=["binary", "latin-1", "huge"],
)
def test_what_is_no_source_text_is_refused(folder: Path, content: bytes, message: str) -> None:
    (folder / "odd.net").write_bytes(content)
    result = netlang("check", "odd.net")
    assert result.code == 1
    assert "error[unreadable-file]: cannot read `odd.net`" in result.out
    assert message in result.out


def test_a_model_of_the_library_is_checked(folder: Path) -> None:
    assert netlang("check", "std:MLP").code == 0
    result = netlang("check", "std:MPL")
    assert result.code == 1
    assert "did you mean `MLP`?" in result.out
