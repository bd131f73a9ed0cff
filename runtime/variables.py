"""The variables of a network on a device: two sets of buffers, read from one and written into the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnxruntime as ort

from netlang.diagnostics import did_you_mean, fail
from netlang.types import TensorType

from ..compiler.dtypes import numpy_dtype
from ..compiler.ir import Variable
from ..compiler.shapes import static_shape
from .inputs import array_type
from .memory import aligned
from .session import Device


class VariableBuffers:
    """Every variable twice, as preallocated OrtValues; a step reads the current set and writes the next one.

    `replaced` names the variables that a step writes; the others need one buffer only, which both sets share.
    """

    def __init__(self, variables: Iterable[Variable], replaced: frozenset[str], device: Device) -> None:
        self.types = {variable.name: variable.value.type for variable in variables}
        self._current = 0
        first = {name: device.place(empty(type_)) for name, type_ in self.types.items()}
        second = {
            name: device.place(empty(type_)) if name in replaced else first[name] for name, type_ in self.types.items()
        }
        self._sets = (first, second)

    @property
    def turn(self) -> int:
        """Which of the two sets is current: 0 or 1."""
        return self._current

    def set(self, turn: int) -> Mapping[str, ort.OrtValue]:
        """One of the two sets of buffers."""
        return self._sets[turn]

    def current(self) -> Mapping[str, ort.OrtValue]:
        """The buffers that hold the present values."""
        return self._sets[self._current]

    def advance(self) -> None:
        """Makes what the last step wrote the present values."""
        self._current = 1 - self._current

    def read(self) -> dict[str, np.ndarray]:
        """Copies of the present values, by name."""
        return {name: np.array(value.numpy()) for name, value in self.current().items()}

    def write(self, values: Mapping[str, np.ndarray]) -> None:
        """Replaces the present values of the variables named. Raises DiagnosticError (`wrong-weights`)."""
        check_weights(self.types, values, complete=False)
        for name, array in values.items():
            self.current()[name].update_inplace(np.asarray(array, order="C"))


def place_all(values: Mapping[str, np.ndarray], device: Device) -> dict[str, ort.OrtValue]:
    """Variables on a device, to evaluate with."""
    return {name: device.place(array) for name, array in values.items()}


def empty(type_: TensorType) -> np.ndarray:
    """An array of zeros of a type without symbols."""
    return aligned(static_shape(type_), numpy_dtype(type_.dtype))


def check_weights(types: Mapping[str, TensorType], values: Mapping[str, np.ndarray], complete: bool = True) -> None:
    """Refuses weights that are unknown, of another type or, where they must be `complete`, missing.

    Raises DiagnosticError (`wrong-weights`).
    """
    for name, array in values.items():
        if name not in types:
            raise fail("wrong-weights", f"the network has no parameter `{name}`", help=did_you_mean(name, types))
        if array_type(array) != str(types[name]):
            title = f"the weight `{name}` does not fit the network"
            raise fail("wrong-weights", title, expected=types[name], found=array_type(array))
    missing = [name for name in types if name not in values]
    if complete and missing:
        raise fail("wrong-weights", f"there is no weight for `{missing[0]}`", notes=_and_others(missing))


def _and_others(missing: list[str]) -> list[str]:
    return [f"{len(missing)} parameters have none"] if len(missing) > 1 else []
