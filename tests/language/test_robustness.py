"""Whatever is written: `check` ends soon, with diagnostics that point into the user's file, and never with a traceback.

A longer search: `python -m pytest tests/language/test_robustness.py` with other ranges of seeds.
"""

from __future__ import annotations

import re
import time
from random import Random

import pytest
from netlang.compiler import load_program
from netlang.runtime.loader import load

from netlang.codes import EXPLANATIONS
from netlang.diagnostics import Diagnostic, DiagnosticError
from netlang.render import render
from netlang.source import Source

from .mutations import corpus, expression, mutate, program_of

LIMIT = 5.0
"""Seconds of the processor that a check may take; it takes some hundredths of one."""

INTERNALS = re.compile(r"Poison|<error>|<class|object at 0x|Dim\(|<builtin>|TensorType\(|Traceback")


def check(text: str) -> list[Diagnostic]:
    try:
        return load_program(Source("mutant.net", text), load).check()
    except DiagnosticError as error:
        return list(error.diagnostics)


def judge(text: str) -> None:
    """Fails where the check of a program raises, takes long, or says something that a user cannot use."""
    start = time.process_time()
    found = check(text)
    assert time.process_time() - start < LIMIT
    assert len(found) == len({(d.code, d.title, str(d.primary and d.primary.span)) for d in found})
    for diagnostic in found:
        assert diagnostic.code in EXPLANATIONS
        assert diagnostic.primary is not None
        assert diagnostic.primary.span.source.name == "mutant.net"
    assert not INTERNALS.search(render(found))


@pytest.mark.parametrize("block", range(10))
def test_mutants(block: int) -> None:
    programs = corpus()
    for seed in range(20 * block, 20 * (block + 1)):
        random = Random(seed)
        text = mutate(random.choice(programs), random)
        try:
            judge(text)
        except Exception as error:
            raise AssertionError(f"seed {seed}:\n{text}") from error


@pytest.mark.parametrize("block", range(10))
def test_expressions(block: int) -> None:
    for seed in range(20 * block, 20 * (block + 1)):
        random = Random(seed)
        text = program_of(expression(random, random.choice((1, 2, 2, 3))))
        try:
            judge(text)
        except Exception as error:
            raise AssertionError(f"seed {seed}:\n{text}") from error


GROWING = {
    "nested repeats": "repeat 10000 { repeat 10000 { repeat 10000 { } } }",
    "a composition that doubles": "f = relu >> neg\n repeat 99 { f = f >> f }\n x = f(x)",
    "a list that doubles": "l = [1, 2]\n repeat 99 { l = [*l, *l] }\n x = x * rank(l)",
    "a number that squares": "n = 3\n repeat 99 { n = n * n }\n x = x * n",
    "a large power": "x = x * 99999999 ** 99999999",
    "a fraction that grows": "n = 1.5\n repeat 99 { n = n * n }\n x = x * n",
    "a size that grows": "n = b\n repeat 999 { n = n * (b + d + 1) }\n x = x * n",
    "many parts": "y = split(full([4000000000], 0), 4000000000)\n x = x + y[0]",
    "layers around layers": "g = relu\n repeat 300 { g = around(g) }\n x = g(x)",
    "a long chain before a constant": "y = x\n repeat 3000 { y = y + 1 }\n const c = sum(y)\n x = x * c",
}


@pytest.mark.parametrize("body", GROWING.values(), ids=GROWING.keys())
def test_what_grows_without_bound_is_stopped(body: str) -> None:
    around = "layer around(f: layer)(x: f32[*s]) -> f32[*s] { return f(x) }\n"
    text = f"{around}model M(x: f32[b, d]) -> f32[b, d] {{\n {body}\n return x\n}}"
    judge(text)
    errors = [diagnostic for diagnostic in check(text) if diagnostic.severity == "error"]
    assert [error.code for error in errors] in (
        ["network-too-large"], ["bad-value"], ["recursion"], ["not-compile-time"]
    )  # fmt: skip
