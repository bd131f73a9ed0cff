"""What the samples compare with: PyTorch, imported by the first test that calls it and by nothing else."""

from __future__ import annotations

from functools import reduce
from importlib import import_module
from typing import Any, cast


class _Function:
    """A function of PyTorch by its dotted name, looked up when it is called."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> _Function:
        return _Function(f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module, *path = self._name.split(".")
        return reduce(getattr, path, cast(Any, import_module(module)))(*args, **kwargs)


torch = _Function("torch")
