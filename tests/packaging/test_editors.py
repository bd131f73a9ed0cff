"""The grammar for editors, word by word against the scanner, by an interpreter of what TextMate does with its rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from netlang.parser import accepted_tokens
from netlang.source import Source
from netlang.tokens import KEYWORDS

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "editors" / "vscode"
FILES = [*sorted((ROOT / "stdlib").rglob("*.net")), *sorted((ROOT / "examples").rglob("*.net"))]
COLOURS = {"NUMBER": "constant.numeric", "STRING": "string.quoted"}
OF_KEYWORDS = ("keyword.", "storage.type", "constant.language")


@cache
def rules() -> list[tuple[re.Pattern[str], dict[int, str]]]:
    """The expressions of the grammar, and the scope of each group; 0 is all of it."""
    grammar = json.loads((EXTENSION / "syntaxes" / "netlang.tmLanguage.json").read_text("utf-8"))
    found = []
    for pattern in grammar["patterns"]:
        captures = {int(number): c["name"] for number, c in pattern.get("captures", {}).items() if "name" in c}
        found.append((re.compile(pattern["match"]), {0: pattern["name"]} if "name" in pattern else captures))
    return found


def coloured(line: str) -> Iterator[tuple[int, int, str]]:
    """From and to where in a line there is which scope."""
    place = 0
    while True:
        matches = [(match, scopes) for rule, scopes in rules() if (match := rule.search(line, place)) and match[0]]
        if not matches:
            return
        match, scopes = min(matches, key=lambda found: found[0].start())  # the first of those at one place
        for group, scope in scopes.items():
            yield match.start(group), match.end(group), scope
        place = match.end()


def scopes(text: str) -> dict[int, tuple[int, str]]:
    """The end and the scope of what begins at each place of a text."""
    found: dict[int, tuple[int, str]] = {}
    start = 0
    for line in text.splitlines(keepends=True):
        found |= {start + a: (start + b, scope) for a, b, scope in coloured(line.rstrip("\n"))}
        start += len(line)
    return found


def faults(text: str) -> list[str]:
    """Words that the grammar takes for something else than the scanner does."""
    found, wrong = scopes(text), []
    for token in accepted_tokens(Source("a.net", text)):
        end, scope = found.get(token.start_pos or 0, (0, "nothing"))
        if token.type in KEYWORDS:
            right = scope.startswith(OF_KEYWORDS) or (token.type == "layer" and scope.startswith("support.type"))
        elif token.type == "NAME":
            right = not scope.startswith(("keyword.", "constant.", "storage.type", "string"))
        elif token.type in COLOURS:
            right = scope.startswith(COLOURS[token.type])
        else:
            continue
        if not right or end != token.end_pos:
            line, column = Source("a.net", text).position(token.start_pos or 0)
            wrong.append(f"{line}:{column} {token} ({token.type}) is {scope}")
    return wrong


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_word_of_the_library_and_the_examples_is_right(file: Path) -> None:
    assert faults(file.read_text("utf-8")) == []


def test_words_in_other_places() -> None:
    text = """\
use std.layers: linear as dense
use "./in.net": fit

layer a(in: int = 3, lengths: f32[b, t] = none, state: int = 1)(x: f32[b, t]) -> f32[b, t] where in > 0 : "{in} #" {
  keep = x.T
  backward = scan e in x along t backward lengths lengths carry h = keep { next h = e\n keep h }
  y = f(state = 3, layer = 4, true) + in - lengths # in
  when training { y = 1e-3 + .5 + 2_000 + 3.T }
  report = y
  return training(report, y.loop)
}
"""
    assert faults(text) == []


def test_comments_and_strings_hide_what_is_in_them() -> None:
    found = scopes('x = "a # {b} \\" if" # for "it"\n## return\n')
    assert found[4] == (19, "string.quoted.double.netlang")
    assert found[20] == (30, "comment.line.number-sign.netlang")
    assert found[31] == (40, "comment.line.documentation.netlang")


def test_every_keyword_is_known() -> None:
    grammar = " ".join(rule.pattern for rule, _ in rules())
    assert [word for word in KEYWORDS if not re.search(rf"\b{word}\b", grammar)] == []


def test_the_extension_names_its_files() -> None:
    package = json.loads((EXTENSION / "package.json").read_text("utf-8"))
    (language,), (grammar,) = package["contributes"]["languages"], package["contributes"]["grammars"]
    assert language["extensions"] == [".net"]
    for file in (language["configuration"], grammar["path"]):
        json.loads((EXTENSION / file).read_text("utf-8"))
