"""Weights that a network begins with, from a file: all of them, or those of the parts that it has in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netlang.diagnostics import fail

from ..compiler import Network
from ..compiler.initializers import materialise
from .checkpoint import load_tensors
from .inputs import array_type


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """A complete set of weights. `new` are those that the file does not have, in these types; they are drawn."""

    arrays: dict[str, np.ndarray]
    path: Path
    new: tuple[str, ...]

    @property
    def note(self) -> str:
        """A line about them."""
        known = len(self.arrays) - len(self.new)
        rest = f"; new ones: {', '.join(self.new[:5])}{', …' if len(self.new) > 5 else ''}" if self.new else ""
        return f"{known:,} of {len(self.arrays):,} weights are from {self.path}{rest}"


def initial_weights(network: Network, path: Path, seed: int) -> InitialWeights:
    """The weights of `network`: by name from a safetensors file, and where that has none that fits, drawn from `seed`.

    Raises DiagnosticError: `wrong-weights` where nothing in the file fits, `bad-checkpoint`, `unreadable-file`.
    """
    given = load_tensors(path)[0]
    fitting = {v.name for v in network.variables if v.name in given and array_type(given[v.name]) == str(v.value.type)}
    if not fitting:
        names = [v.name for v in network.variables]
        raise fail("wrong-weights", f"no weight of `{path}` is one of `{network.name}`", expected=", ".join(names[:3]),
                   found=", ".join(list(given)[:3]))  # fmt: skip
    new = [variable for variable in network.variables if variable.name not in fitting]
    drawn = materialise(new, seed)
    arrays = {v.name: given[v.name] if v.name in fitting else drawn[v.name] for v in network.variables}
    return InitialWeights(arrays, path, tuple(variable.name for variable in new))
