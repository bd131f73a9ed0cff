"""Files that are no programs, and settings that no line of a program is to blame for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from netlang.compiler import load_program
from netlang.runtime.loader import load, open_source

from netlang.diagnostics import DiagnosticError
from netlang.render import render

from .diagnosed import check

NET = """\
model Net(width: int = 8)(x: f32[batch, width]) -> f32[batch, width] where width % 2 == 0 {
  return x
}
"""


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shown(content: bytes) -> str:
    """What `netlang check` says about a file of these bytes."""
    Path("a.net").write_bytes(content)
    return render(check("a.net"))


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"# nothing yet\n", b"## Nothing yet.\n", b"\xef\xbb\xbf", b" \t\r\n"]
)
def test_an_empty_file_has_no_errors(content: bytes) -> None:
    assert shown(content) == ""


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf" + NET.encode(), NET.replace("\n", "\r\n").encode()])
def test_byte_order_marks_and_carriage_returns_do_no_harm(content: bytes) -> None:
    assert shown(content) == ""


def test_an_empty_file_has_no_model() -> None:
    Path("a.net").write_text("")
    with pytest.raises(DiagnosticError) as caught:
        load_program(open_source("a.net")[0], load).network()
    assert render(caught.value.diagnostics) == (
        "error[unknown-model]: `a.net` has no model\n"
        "  = help: a model is declared with `model NAME(…)(x: f32[…]) { … }`"
    )


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "unreadable-file"),
        (NET.encode("utf-16"), "unreadable-file"),
        (b"model Net(x: f32) { return x \xff }", "unreadable-file"),
        (b"model Net(x: f32) {\x00 return x }", "unreadable-file"),
        (b"PK\x03\x04", "invalid-character"),
        (b"const n = 1\x07\n", "invalid-character"),
        (b"# " + b"x" * 2_100_000, "unreadable-file"),
    ],
    ids=["image", "utf-16", "invalid utf-8", "nul", "archive", "bell", "too large"],
)
def test_what_is_no_text_is_refused(content: bytes, code: str) -> None:
    text = shown(content)
    assert text.startswith(f"error[{code}]: ")
    assert text.count("error[") == 1
    assert "\x00" not in text


def test_a_folder_is_no_file() -> None:
    Path("nets").mkdir()
    (fault,) = check("nets")
    assert fault.code == "unreadable-file"


def test_a_file_that_is_not_there() -> None:
    Path("lenet.net").write_text(NET)
    (fault,) = check("lenett.net")
    assert (fault.code, fault.help) == ("unreadable-file", "did you mean `lenet.net`?")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"widht": 6},
            "error[unknown-argument]: `Net` has no parameter `widht`\n  = help: did you mean `width`?",
        ),
        (
            {"width": "wide"},
            "error[type-mismatch]: `width` must be a whole number\n"
            " --> a.net:1:11\n"
            "1 | model Net(width: int = 8)(x: f32[batch, width]) -> f32[batch, width] where width % 2 == 0 {\n"
            "  |           -------------- declared here\n"
            "  = expected: int\n"
            '  = found:    the string "wide"',
        ),
        (
            {"width": 7},
            "error[assertion-failed]: `Net` needs width % 2 == 0\n"
            " --> a.net:1:7\n"
            "1 | model Net(width: int = 8)(x: f32[batch, width]) -> f32[batch, width] where width % 2 == 0 {\n"
            f"  |       ^^^{' ' * 66}-------------- required here\n"
            "  = `width` is 7",
        ),
    ],
    ids=["unknown", "type", "where"],
)  # fmt: skip
def test_settings(settings: dict[str, Any], text: str) -> None:
    Path("a.net").write_text(NET)
    with pytest.raises(DiagnosticError) as caught:
        load_program(open_source("a.net")[0], load).network(None, settings).elaborate()
    assert render(caught.value.diagnostics) == text


def test_settings_without_a_default() -> None:
    """All at once; those of the `train` block are given in the same way."""
    Path("a.net").write_text(
        "model Net(width: int)(x: f32[b, 2]) -> f32[b, width] { param w: f32[2, width] ~ zeros(); return x @ w }\n"
        "train Net(rate: float) { minimize sum(forward(x)); optimizer sgd(rate) }\n"
    )
    with pytest.raises(DiagnosticError) as caught:
        load_program(open_source("a.net")[0], load).network().elaborate()
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.title) == ("missing-argument", "`Net` needs `width` and `rate`")
    assert [label.span.line for label in (fault.primary, *fault.secondary) if label] == [1, 2]
    assert fault.help == (
        "give it on the command line, `--set width=… --set rate=…`, or in a program, `Net(width = …, rate = …)`"
    )


def test_a_fault_of_the_library_shows_at_the_users_line() -> None:
    """A setting from the command line that a model of the library cannot take."""
    Path("a.net").write_text(
        "use std.models.lenet: LeNet5\ntrain LeNet5 {\n  minimize sum(forward(image))\n  optimizer sgd(0.1)\n}\n"
    )
    network = load_program(open_source("a.net")[0], load).network(None, {"classes": 0.5})
    with pytest.raises(DiagnosticError) as caught:
        network.elaborate()
    (fault,) = caught.value.diagnostics
    assert fault.code == "type-mismatch"
    assert fault.title == "`classes` must be a whole number"
