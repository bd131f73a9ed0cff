"""Weights that a network begins with: drawn, or from files, under our names or under those that others gave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.syntax import String
from netlang.types import FLOATS, TensorType

from ..compiler import Network
from ..compiler.dtypes import numpy_dtype
from ..compiler.initializers import materialise
from ..compiler.ir import Variable
from ..compiler.pretrained import Pretrained, fill
from .weight_files import WeightFile


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


def first_weights(network: Network, seed: int) -> dict[str, np.ndarray]:
    """The weights that a network begins with: those that its `pretrained` names a file for, or else drawn ones.

    Raises DiagnosticError where there is such a file and it cannot be used, as `initial_weights`.
    """
    plan = network.pretrained
    if plan is None or not plan.files:
        return materialise(network.variables, seed)
    return _pretrained(network, plan, [_named(plan, file) for file in plan.files], seed).arrays


def initial_weights(network: Network, path: Path, seed: int) -> InitialWeights:
    """The weights of `network` from a safetensors file; what that does not have is drawn from `seed`.

    Where the file has other names than the network and there is a `pretrained` declaration, its rules say which is
    which, and every weight must be filled. Otherwise all that fit by name and shape are taken. Raises DiagnosticError:
    `wrong-weights` where nothing in the file fits, `bad-weights`, `unreadable-file`, `incomplete-weights`, ….
    """
    file = WeightFile(path)
    own = [v for v in network.variables if v.name in file.types]
    if network.pretrained is not None and len(own) < len(network.variables):
        return _pretrained(network, network.pretrained, [file], seed)
    fitting = {v.name: _as(v.value.type, file.read(v.name)) for v in own if _fits(file.types[v.name], v.value.type)}
    if not fitting:
        title = f"no weight of `{path}` is one of `{network.name}`"
        wanted = {variable.name: variable.value.type for variable in network.variables}
        raise fail("wrong-weights", title, expected=_first_of(wanted), found=_first_of(file.types))
    return _completed(network, fitting, path, seed)


def _fits(stored: TensorType, own: TensorType) -> bool:
    """Whether a tensor of a file can be a weight; floats are converted, as by the rules of `pretrained`."""
    return stored.shape == own.shape and (stored.dtype == own.dtype or {stored.dtype, own.dtype} <= set(FLOATS))


def _first_of(types: Mapping[str, TensorType], count: int = 3) -> str:
    shown = ", ".join(f"{name}: {type_}" for name, type_ in list(types.items())[:count])
    return shown + (", …" if len(types) > count else "") or "nothing"


def _named(plan: Pretrained, file: String) -> WeightFile:
    """A file that a declaration names, relative to its own. Faults of it are shown at its name."""
    try:
        return WeightFile(Path(plan.source.name).parent / file.value)
    except DiagnosticError as error:
        raise DiagnosticError(*(replace(d, primary=Label(file.span)) for d in error.diagnostics)) from None


def _pretrained(network: Network, plan: Pretrained, files: Sequence[WeightFile], seed: int) -> InitialWeights:
    """The weights that the rules of a `pretrained` declaration make of the files."""
    holders: dict[str, WeightFile] = {}
    for file in files:
        for name in file.types:
            if name in holders:
                title = f"`{name}` is in `{holders[name].path}` and in `{file.path}`"
                raise fail("doubly-filled-weights", title, plan.model.span)
            holders[name] = file
    stored = {name: file.types[name] for name, file in holders.items()}
    filled = fill(plan, stored, network.variables, str(files[0].path))
    types = {variable.name: variable.value.type for variable in network.variables}
    arrays = {
        name: _as(types[name], tensor.array(lambda name: holders[name].read(name)))
        for name, tensor in filled.weights.items()
    }
    return _completed(network, arrays, files[0].path, seed)


def _as(type_: TensorType, array: np.ndarray) -> np.ndarray:
    """The array in memory, in the type of the weight that it fills."""
    return np.array(array, numpy_dtype(type_.dtype), order="C")


def _completed(network: Network, given: Mapping[str, np.ndarray], path: Path, seed: int) -> InitialWeights:
    new: list[Variable] = [variable for variable in network.variables if variable.name not in given]
    drawn = materialise(new, seed)
    arrays = {v.name: drawn[v.name] if v.name in drawn else given[v.name] for v in network.variables}
    return InitialWeights(arrays, path, tuple(variable.name for variable in new))
