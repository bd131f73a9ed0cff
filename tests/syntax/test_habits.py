"""What is said in place of the names of Python and PyTorch names things that are there."""

from __future__ import annotations

import re

import pytest
from netlang.compiler.elaborate.modules import builtin_names
from netlang.compiler.initializers import INITIALIZERS
from netlang.runtime.loader import read_source

from netlang import habits
from netlang.parser import parse
from netlang.tokens import KEYWORDS

_TABLES = (habits.NAMES, habits.ATTRIBUTES, habits.LISTS, habits.INITIALIZERS)
HELPS = sorted({text for table in _TABLES for text in table.values()})


def declared(module: str) -> set[str]:
    """The names of the definitions of a module of the library."""
    return {d.name.name for d in parse(read_source(module)).declarations if hasattr(d, "name")}


WITHOUT_USE = ("functions", "losses", "metrics", "optimizers", "schedules")
KNOWN = {
    *builtin_names(), *INITIALIZERS, *KEYWORDS, "lr", "i64", "report",
    *(name for part in WITHOUT_USE for name in declared(f"std.{part}")),
}  # fmt: skip


@pytest.mark.parametrize("text", HELPS)
def test_modules_have_what_is_promised(text: str) -> None:
    for module, names in re.findall(r"use (std\.\w+): ([\w, ]+)", text):
        assert set(names.split(", ")) <= declared(module)


@pytest.mark.parametrize("text", HELPS)
def test_functions_that_are_offered_exist(text: str) -> None:
    code = " ".join(re.findall(r"`([^`]*)`", re.sub(r"`use [^`]*`", "", text)))
    brought = {name for names in re.findall(r"`use [\w.]+: ([^`]*)`", text) for name in names.split(", ")}
    assert set(re.findall(r"\b([a-z_0-9]+)\(", code)) <= KNOWN | brought


def test_no_name_of_the_language_is_among_the_habits() -> None:
    assert not habits.NAMES.keys() & builtin_names()
