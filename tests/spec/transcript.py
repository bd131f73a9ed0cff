"""What a reader sees who runs a program: `forward(x = [1, 2]) -> [2, 4]`, line by line.

A line is a Python expression over what the program defines: its models (`Net(depth = 2).forward(…)`), the entries of
the model that it trains, or its last one, with default settings (`forward(…)`); `parameters`, what that model learns;
`step(…)`, which trains it by one step, and `steps(100, …)`, by several on one batch. An array is written as a list, or
`zeros(2, 3)`, `ones(2, 3)`, `iota(6)`. Behind `->` stands the result, or the error: numbers with four digits, and of
larger arrays the type alone. What takes several lines is indented below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from netlang.runtime.inputs import array_type
from netlang.runtime.session import Device

import netlang as nl

from ..errors.diagnosed import shown

_COMMAND = re.compile(r"^(\S.*?)(?: ->(?: (.*))?)?\n((?: .*\n|\n(?= ))*)", re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]\d+)?(?![\w.])")
_LARGE = 12  # elements above which an array is shown as its type
_ONE_THREAD = Device("cpu", 1)


def commands(transcript: str) -> Iterator[tuple[str, str]]:
    """Every line to run, and the result that is told."""
    for line, result, below in _COMMAND.findall(transcript):
        yield line, re.sub(r"^  ", "", below, flags=re.MULTILINE).rstrip("\n") if below else result


def told(line: str, result: str) -> str:
    """A line with its result, as a transcript has it."""
    if "\n" not in result:
        return f"{line} -> {result}\n"
    return f"{line} ->\n" + "".join(f"  {part}".rstrip() + "\n" for part in result.splitlines())


def agrees(found: str, expected: str) -> bool:
    """Whether two results are the same text, but for numbers that differ in the last of four digits."""
    if _NUMBER.sub("#", found) != _NUMBER.sub("#", expected):
        return False
    mine, theirs = ([float(number) for number in _NUMBER.findall(text)] for text in (found, expected))
    return np.allclose(mine, theirs, rtol=1e-3, atol=1e-6)


class Session(Mapping[str, Any]):
    """The names that the lines of a transcript can use, and the state that they share."""

    def __init__(self, file: Path) -> None:
        self._models = nl.load(file)
        self._names: dict[str, Any] = {
            "true": True,
            "false": False,
            "zeros": _filled(0.0),
            "ones": _filled(1.0),
            "iota": np.arange,
            "step": self._step,
            "steps": self._steps,
            **{name: _created(model) for name, model in self._models.items()},
        }
        self._network: nl.BoundNetwork | None = None
        self._trainer: nl.Trainer | None = None

    def run(self, line: str) -> str:
        """The result of a line as text, or the error."""
        try:
            return _shown(eval(line, {"__builtins__": {}}, self))  # the lines of our own documents
        except nl.DiagnosticError as error:
            return shown(list(error.diagnostics)).rstrip("\n")

    def __getitem__(self, name: str) -> Any:
        return self._names[name] if name in self._names else getattr(self._default(), name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _default(self) -> nl.BoundNetwork:
        """The model that the file trains, or its last one."""
        if self._network is None:
            self._network = nl.BoundNetwork(self._models.program.network(), device=_ONE_THREAD)
        return self._network

    def _step(self, **arrays: Any) -> dict[str, float]:
        if self._trainer is None:
            self._trainer = nl.Trainer(self._default(), threads=1)
        return self._trainer.step(**arrays)

    def _steps(self, count: int, **arrays: Any) -> dict[str, float]:
        return [self._step(**arrays) for _ in range(count)][-1]


def _filled(value: float) -> Callable[..., np.ndarray]:
    return lambda *shape: np.full(shape, value, np.float32)


def _created(model: Any) -> Callable[..., nl.BoundNetwork]:
    return lambda **settings: model(threads=1, **settings)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):
        return _metrics(value) if all(isinstance(item, float) for item in value.values()) else _variables(value)
    array = np.asarray(value)
    return array_type(array) if array.size > _LARGE else _elements(array.tolist())


def _metrics(values: dict[str, float]) -> str:
    return ", ".join(f"{name} = {value:.4g}" for name, value in values.items()) or "none"


def _variables(values: dict[str, np.ndarray]) -> str:
    return "\n".join(f"{name}: {array_type(array)}" for name, array in values.items())


def _elements(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_elements, value))}]"
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value + 0.0:.4g}"
        if isinstance(value, float)
        else str(value)
    )
