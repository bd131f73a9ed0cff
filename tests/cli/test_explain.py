"""`netlang explain`, and that no code is without an explanation."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from netlang.codes import EXPLANATIONS

from .conftest import netlang

ROOT = Path(__file__).parents[2]
RAISING = ("fail", "Diagnostic")


def test_explains_a_code_with_an_example() -> None:
    result = netlang("explain", "shape-mismatch")
    assert result.code == 0
    about = EXPLANATIONS["shape-mismatch"]
    for part in ("shape-mismatch\n", about.wrong, about.right):
        assert part in result.out
    for prose in (about.meaning, about.why):
        assert prose in result.out.replace("\n", " ")


@pytest.mark.parametrize("arguments", [("explain", "shape-mismatch"), ("doc",), ("doc", "residual"), ("ops", "max")])
def test_prose_ends_where_the_terminal_does(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    wide = netlang(*arguments).out
    monkeypatch.setenv("COLUMNS", "75")
    narrow = netlang(*arguments).out
    assert max(map(len, wide.splitlines())) > 75 >= max(map(len, narrow.splitlines()))
    assert narrow.split() == wide.split()


def test_an_unknown_code_comes_with_the_nearest() -> None:
    result = netlang("explain", "shap-mismatch")
    assert result.code == 1
    assert "did you mean `shape-mismatch`?" in result.err


def test_without_a_code_lists_all() -> None:
    result = netlang("explain")
    assert [line.split()[0] for line in result.out.splitlines()] == sorted(EXPLANATIONS)


def raised_codes() -> list[tuple[str, str]]:
    """Every code that the sources pass as a literal to `fail` or `Diagnostic`, with the place."""
    found = []
    for folder in ("netlang", "compiler", "runtime"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISING):
                    continue
                code = node.args[0] if node.args else None
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    found.append((code.value, f"{path.relative_to(ROOT)}:{node.lineno}"))
    return found


def test_every_code_that_is_raised_is_explained() -> None:
    places = dict(raised_codes())
    assert len(places) > 50
    assert {code: place for code, place in places.items() if code not in EXPLANATIONS} == {}


@pytest.mark.parametrize("code", sorted(EXPLANATIONS))
def test_an_explanation_is_complete(code: str) -> None:
    about = EXPLANATIONS[code]
    assert about.meaning.endswith((".", ".)"))
    assert about.why.endswith(".")
    assert about.wrong != about.right
