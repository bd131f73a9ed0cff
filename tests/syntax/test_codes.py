"""The table of codes: complete, in order, and its examples do what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netlang.codes import EXPLANATIONS, explain
from netlang.diagnostics import DiagnosticError
from netlang.names import check_names
from netlang.parser import parse
from netlang.source import Source

ROOT = Path(__file__).parents[2]
BUILTINS = frozenset({"abs", "sum", "zeros"})
FOUND_HERE = [  # by the parser and the check of names; the others need the compiler or the runtime
    "duplicate-name", "duplicate-parameter", "invalid-character", "invalid-escape", "invalid-message", "invalid-number",
    "invalid-target", "misplaced-statement", "missing-else", "positional-after-named", "reserved-word", "syntax-error",
    "unclosed-bracket", "undefined-name", "unopened-bracket", "unreachable-code", "unset-state", "unterminated-string",
    "unused-name", "unused-result",
]  # fmt: skip


def codes(text: str) -> set[str]:
    try:
        return {fault.code for fault in check_names(parse(Source("a.net", text)), BUILTINS, lambda use: None)}
    except DiagnosticError as error:
        return {fault.code for fault in error.diagnostics}


def test_every_code_in_use_is_explained() -> None:
    files = [path for folder in ("netlang", "compiler", "runtime") for path in (ROOT / folder).rglob("*.py")]
    pattern = re.compile(
        r'(?:fail|Diagnostic|_fault|_warn|_duplicate)\(\s*"([a-z]+(?:-[a-z]+)+)"|code="([a-z]+-[a-z-]+)"'
    )
    used = {a or b for path in files for a, b in pattern.findall(path.read_text("utf-8"))}
    assert len(used) > 30
    assert used - EXPLANATIONS.keys() == set()


def test_codes_are_in_order() -> None:
    assert list(EXPLANATIONS) == sorted(EXPLANATIONS)


@pytest.mark.parametrize("code", EXPLANATIONS)
def test_explanations_say_everything(code: str) -> None:
    about = EXPLANATIONS[code]
    for sentence in (about.meaning, about.why):
        assert sentence.rstrip(")").endswith(".")
    assert about.wrong != about.right
    assert explain(code).startswith(f"{code}\n\n{about.meaning}")


@pytest.mark.parametrize("code", FOUND_HERE)
def test_examples_do_what_they_say(code: str) -> None:
    assert code in codes(EXPLANATIONS[code].wrong)
    assert codes(EXPLANATIONS[code].right) - {"undefined-name"} == set()


def test_a_code_that_does_not_exist() -> None:
    with pytest.raises(DiagnosticError) as error:
        explain("shape-mismach")
    (fault,) = error.value.diagnostics
    assert (fault.code, fault.help) == ("unknown-code", "did you mean `shape-mismatch`?")
