"""Rendering: the exact text of snippets, one-line and JSON output, and text that a terminal could choke on."""

from __future__ import annotations

import json

import pytest

from netlang.diagnostics import Diagnostic, DiagnosticError, Label, fail
from netlang.render import render
from netlang.source import BUILTIN, Source, Span

GPT = Source("gpt.net", "\n" * 2 + "model GPT(d: int = 768) {\n" + "\n" * 10 + "  y = embedded + skip\n")
LIBRARY = Source("std/layers.net", "layer linear(out: int)(x: f32[*s, i]) -> f32[*s, out] {\n", library=True)


def at(source: Source, text: str, occurrence: int = 0) -> Span:
    start = -1
    for _ in range(occurrence + 1):
        start = source.text.index(text, start + 1)
    return Span(source, start, start + len(text))


MISMATCH = Diagnostic(
    "shape-mismatch",
    "the two sides of `+` differ in their last dimension",
    Label(at(GPT, "embedded"), "f32[b, t, 768]"),
    (Label(at(GPT, "skip"), "f32[b, t, 512]"),),
    notes=("768 is `d`, from `d: int = 768` (gpt.net:3:11)",),
    help="`linear(d)` makes both 768",
)


def test_labels_of_one_line_share_its_snippet() -> None:
    assert render([MISMATCH]) == (
        "error[shape-mismatch]: the two sides of `+` differ in their last dimension\n"
        "  --> gpt.net:14:7\n"
        "14 |   y = embedded + skip\n"
        "   |       ^^^^^^^^   ---- f32[b, t, 512]\n"
        "   |       f32[b, t, 768]\n"
        "   = 768 is `d`, from `d: int = 768` (gpt.net:3:11)\n"
        "   = help: `linear(d)` makes both 768"
    )


def test_other_lines_and_files_have_their_own_snippets() -> None:
    diagnostic = Diagnostic(
        "rank-mismatch",
        "too many dimensions",
        Label(at(GPT, "skip"), "here"),
        (
            Label(at(GPT, "d: int = 768"), "d"),
            Label(at(LIBRARY, "x: f32[*s, i]"), "declared here"),
            Label(BUILTIN, "no"),
        ),
        expected="f32[*s, i]",
        found="f32",
        trace=(Label(at(GPT, "embedded"), "`gpt_block`"), Label(at(LIBRARY, "linear"), "`linear`")),
        severity="warning",
    )
    assert render([diagnostic, diagnostic]).split("\n\n")[1] == (
        "warning[rank-mismatch]: too many dimensions\n"
        "  --> gpt.net:14:18\n"
        "14 |   y = embedded + skip\n"
        "   |                  ^^^^ here\n"
        "  ::: gpt.net:3:11\n"
        " 3 | model GPT(d: int = 768) {\n"
        "   |           ------------ d\n"
        "  ::: std/layers.net:1:24\n"
        " 1 | layer linear(out: int)(x: f32[*s, i]) -> f32[*s, out] {\n"
        "   |                        ------------- declared here\n"
        "   = expected: f32[*s, i]\n"
        "   = found:    f32\n"
        "   = while calling `gpt_block` (gpt.net:14:7)\n"
        "   = while calling `linear` (std/layers.net:1:7)"
    )


def test_overlapping_labels_get_rows_of_their_own() -> None:
    source = Source("a.net", "y = f(x) + 1\n")
    diagnostic = Diagnostic(
        "type-mismatch",
        "t",
        Label(at(source, "f(x) + 1"), "all"),
        (Label(at(source, "x"), "x"), Label(at(source, "1"), "1")),
    )
    assert render([diagnostic]) == (
        "error[type-mismatch]: t\n"
        " --> a.net:1:5\n"
        "1 | y = f(x) + 1\n"
        "  |     ^^^^^^^^ all\n"
        "  |       -    - 1\n"
        "  |       x"
    )


def test_spans_of_no_width_and_of_several_lines() -> None:
    source = Source("a.net", "y = [\n  1,\n]")
    points = Diagnostic("syntax-error", "t", Label(Span(source, 12, 12)))
    assert render([points]).splitlines()[2:] == ["3 | ]", "  |  ^"]
    spans = Diagnostic("syntax-error", "t", Label(Span(source, 4, 12), "the list"))
    assert render([spans]).splitlines()[2:] == ["1 | y = [", "  |     ^ the list"]


def test_columns_count_tabs_and_wide_characters_as_they_are_shown() -> None:
    source = Source("a.net", '\tx = "漢字e\u0301" + y\r\n')
    assert render([Diagnostic("c", "t", Label(at(source, "y")))]).splitlines()[2:] == [
        '1 |     x = "漢字e\u0301" + y',
        "  | " + " " * 18 + "^",
    ]


def test_a_long_line_is_shown_around_the_place() -> None:
    source = Source("a.net", "x = " + "1 + " * 500 + "y" + " + 2" * 500)
    snippet = render([Diagnostic("c", "t", Label(at(source, "y"), "here"))]).splitlines()[2:]
    assert len(snippet[0]) < 170
    assert snippet[0].startswith("1 | …")
    assert snippet[0].endswith("…")
    assert snippet[0][snippet[1].index("^")] == "y"


def test_nothing_that_drives_a_terminal_gets_through() -> None:
    source = Source("a.net", "x = \x1b[31m\u202e\x07")
    text = render([Diagnostic("c", "t\x1b[2J", Label(Span(source, 4, 5), "l\x1b"), notes=("n\x00",), help="h\x7f")])
    assert not any(ord(char) < 32 and char != "\n" for char in text)
    assert "\u202e" not in text
    assert "\x7f" not in text


def test_a_name_as_long_as_a_file_is_cut() -> None:
    name = "y" * 1_000_000
    source = Source("a.net", f"x = {name}")
    text = render([Diagnostic("c", f"`{name}` is not defined", Label(at(source, name)))])
    assert text.startswith("error[c]: `yyy")
    assert len(text) < 3000


def test_long_notes_and_traces() -> None:
    frames = tuple(Label(at(GPT, "skip"), f"`f{i}`") for i in range(20))
    lines = render([Diagnostic("c", "t", None, notes=("one\ntwo",), help="three\nfour", trace=frames)]).splitlines()
    assert lines[:5] == ["error[c]: t", "  = one", "    two", "  = help: three", "          four"]
    assert len(lines) == 5 + 9
    assert lines[9] == "  = … 12 more calls"


def test_without_a_place() -> None:
    assert render([Diagnostic("unreadable-file", "cannot read `a.net`", help="is it there?")]) == (
        "error[unreadable-file]: cannot read `a.net`\n  = help: is it there?"
    )


def test_concise() -> None:
    other = Diagnostic("unreadable-file", "cannot read")
    assert render([MISMATCH, other], "concise") == (
        "gpt.net:14:7: shape-mismatch: the two sides of `+` differ in their last dimension\n"
        "unreadable-file: cannot read"
    )


def test_json() -> None:
    first, second = json.loads(render([MISMATCH, Diagnostic("c", "t", severity="warning")], "json"))
    assert first == {
        "code": "shape-mismatch",
        "severity": "error",
        "file": "gpt.net",
        "line": 14,
        "column": 7,
        "end_line": 14,
        "end_column": 15,
        "message": "the two sides of `+` differ in their last dimension",
        "label": "f32[b, t, 768]",
        "expected": None,
        "found": None,
        "notes": ["768 is `d`, from `d: int = 768` (gpt.net:3:11)"],
        "help": "`linear(d)` makes both 768",
        "related": [
            {"file": "gpt.net", "line": 14, "column": 18, "end_line": 14, "end_column": 22, "text": "f32[b, t, 512]"}
        ],
        "trace": [],
    }
    assert (second["file"], second["line"], second["severity"]) == (None, None, "warning")


def test_colour() -> None:
    text = render([MISMATCH], color=True)
    assert "\x1b[1;31merror[shape-mismatch]\x1b[0m: " in text
    assert "\x1b[1;31m^^^^^^^^\x1b[0m   \x1b[36m----\x1b[0m \x1b[36mf32[b, t, 512]\x1b[0m" in text
    plain = text
    for code in ("1;31", "1;33", "1", "34", "36", "32", "0"):
        plain = plain.replace(f"\x1b[{code}m", "")
    assert plain == render([MISMATCH])


def test_none_and_unknown_style() -> None:
    assert render([]) == ""
    assert render([], "json") == "[]"
    with pytest.raises(ValueError, match="style must be text, concise or json"):
        render([], "html")


def test_a_fault_raised_deep_inside_collects_its_calls() -> None:
    with pytest.raises(DiagnosticError) as error:
        raise (
            fail("c", "t", at(GPT, "skip"))
            .within(Label(at(GPT, "embedded"), "`inner`"))
            .within(Label(at(GPT, "model"), "`outer`"))
        )
    assert render(error.value.diagnostics).splitlines()[-2:] == [
        "   = while calling `outer` (gpt.net:3:1)",
        "   = while calling `inner` (gpt.net:14:7)",
    ]
