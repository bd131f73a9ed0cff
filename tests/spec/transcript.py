"""What a reader sees who runs a program: `forward(x = [1, 2]) -> [2, 4]`, line by line.

A line is a Python expression over what the program defines: its models (`Net(depth = 2).forward(…)`), the entries of
the model that it trains, or its last one, with default settings (`forward(…)`), `step(…)`, which trains that model by
one step, `steps(100, …)`, by several on the same batch, and `parameters`, the names and types of what it learns. An
array is a list, or `zeros(2, 3)`, `ones(2, 3)`, `iota(6)`. Behind `->` stands the result, numbers with four digits; a
type alone stands for any numbers of that type. What takes several lines is indented below.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from netlang.compiler.dtypes import dtype_name

import netlang as nl
from netlang.render import render

_COMMAND = re.compile(r"^(\S.*?)(?: ->(?: (.*))?)?\n((?: .*\n)*)", re.MULTILINE)
_TYPE = re.compile(r"[a-z]+\d*(\[[\d, ]*\])?")


def commands(transcript: str) -> Iterator[tuple[str, str]]:
    """Every line to run, and the result that is told."""
    for line, result, below in _COMMAND.findall(transcript):
        yield line, f"{result}\n{below}".strip("\n") if below else result


def told(line: str, result: str) -> str:
    """A line with its result, as a transcript has it."""
    if "\n" not in result:
        return f"{line} -> {result}\n"
    return f"{line} ->\n" + "".join(f"  {part}\n" if part else "\n" for part in result.splitlines())


class Session(Mapping[str, Any]):
    """The names that the lines of a transcript can use, and the state that they share."""

    def __init__(self, file: Path) -> None:
        self._models = nl.load(file)
        self._program = self._models.program
        self._network: nl.BoundNetwork | None = None
        self._trainer: nl.Trainer | None = None

    def run(self, line: str) -> str:
        """The result of a line, or the error, as text."""
        try:
            return _shown(eval(line, {"__builtins__": {}}, self))  # our own documents
        except nl.DiagnosticError as error:
            return render(error.diagnostics)

    def __getitem__(self, name: str) -> Any:
        if name in _VALUES:
            return _VALUES[name]
        if name in self._models:
            return lambda **settings: self._models[name](threads=1, **settings)
        return getattr(self, f"_{name}", None) or getattr(self.network, name)

    def __iter__(self) -> Iterator[str]:
        return iter(_VALUES)

    def __len__(self) -> int:
        return len(_VALUES)

    @property
    def network(self) -> nl.BoundNetwork:
        """The model that the file trains, or its last one."""
        if self._network is None:
            self._network = nl.BoundNetwork(self._program.network(), device=_ONE_THREAD)
        return self._network

    def _step(self, **arrays: Any) -> dict[str, float]:
        if self._trainer is None:
            self._trainer = nl.Trainer(self.network, threads=1)
        return self._trainer.step(**arrays)

    def _steps(self, count: int, **arrays: Any) -> dict[str, float]:
        return [self._step(**arrays) for _ in range(count)][-1]


def agrees(found: str, expected: str) -> bool:
    """Whether a result is what the document tells: the type where that is all it tells, numbers to four digits."""
    if found == expected or (_TYPE.fullmatch(expected) and _TYPE.match(found) and found.startswith(f"{expected} ")):
        return True
    try:
        mine, told = (ast.literal_eval(_as_python(text)) for text in (found, expected))
        return np.allclose(np.asarray(mine, float), np.asarray(told, float), rtol=1e-3, atol=1e-6)
    except (ValueError, SyntaxError):
        return False
