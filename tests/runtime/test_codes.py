"""Every code that the runtime raises is explained."""

from __future__ import annotations

import ast
from pathlib import Path

import netlang.runtime

from netlang.codes import EXPLANATIONS

RUNTIME = Path(netlang.runtime.__file__).parent


def codes(path: Path) -> set[str]:
    """The first argument of every call of `fail` in a file."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "fail"
        and isinstance(node.args[0], ast.Constant)
    }


def test_every_code_of_the_runtime_is_explained() -> None:
    found = {code: path.name for path in RUNTIME.rglob("*.py") for code in codes(path)}
    assert len(found) > 20
    assert {code: name for code, name in found.items() if code not in EXPLANATIONS} == {}
