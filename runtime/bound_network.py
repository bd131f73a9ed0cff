"""A network with weights: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from netlang.diagnostics import did_you_mean, fail

from ..compiler import Network
from ..compiler.ir import Graph
from .initial_weights import first_weights
from .runner import Runner
from .session import Device
from .variables import check_weights

Result = np.ndarray | tuple[np.ndarray, ...]
Refresh = Callable[[], Mapping[str, np.ndarray] | None]


def _nothing() -> None:
    """What follows nobody."""


class BoundNetwork:
    """A network, with all its settings and with weights.

    Every entry is a method: `net.forward(image)` takes arrays in the order of the entry's inputs, or by their names,
    and gives an array, or a tuple where the entry has several results. Sessions are made at the first call, and again
    when the weights have changed. `given_weights` are those that were given or assigned, None where there are none.
    """

    def __init__(
        self,
        network: Network,
        weights: Mapping[str, np.ndarray] | None = None,
        *,
        seed: int = 0,
        device: Device | None = None,
    ) -> None:
        """Without `weights`, parameters and states begin as the program says: from the file that its `pretrained`
        names, read when they are first needed, or else with their initial values for `seed`.

        Raises DiagnosticError (`wrong-weights`) where weights are missing or of another type.
        """
        self.network = network
        self.device = device or Device()
        self.given_weights: Mapping[str, np.ndarray] | None = None
        self._seed = seed
        self._weights: Mapping[str, np.ndarray] | None = None
        self._graphs: dict[str, Graph] = {}
        self._runners: dict[str, Runner] = {}
        self._refresh: Refresh = _nothing
        if weights is not None:
            self.weights = weights

    @property
    def name(self) -> str:
        """The model's name."""
        return self.network.name

    @property
    def settings(self) -> dict[str, Any]:
        """Every parameter of the model and its `train` block, with its value."""
        return dict(self.network.settings)

    @property
    def entries(self) -> tuple[str, ...]:
        """Names of the entries, each of which is a method."""
        return tuple(self.network.entries)

    @property
    def parameter_count(self) -> int:
        """The number of trained numbers."""
        return self.network.parameter_count

    @property
    def chosen_weights(self) -> Mapping[str, np.ndarray] | None:
        """The weights to begin a training with where they are not drawn: given ones, or those of a file."""
        plan = self.network.pretrained
        return self.weights if self.given_weights is None and plan is not None and plan.files else self.given_weights

    @property
    def weights(self) -> Mapping[str, np.ndarray]:
        """Parameters and states by dotted name, for reading.

        Assign a complete mapping to replace them; the network then no longer follows a trainer.
        """
        changed = self._refresh()
        if changed is not None:
            self._keep(changed)
        if self._weights is None:
            self._weights = first_weights(self.network, self._seed)
        return self._weights

    @weights.setter
    def weights(self, values: Mapping[str, np.ndarray]) -> None:
        self._refresh = _nothing
        self._keep(values)
        self.given_weights = self._weights

    def _keep(self, values: Mapping[str, np.ndarray]) -> None:
        check_weights({v.name: v.value.type for v in self.network.variables}, values)
        self._weights = {v.name: np.asarray(values[v.name]) for v in self.network.variables}
        self._runners.clear()

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """Parameters by dotted name, without the states."""
        return {v.name: self.weights[v.name] for v in self.network.variables if v.kind == "param"}

    def follow(self, refresh: Refresh) -> None:
        """From now on the weights are what `refresh()` gives whenever it is not None: a trainer's, as they change."""
        self._refresh = refresh

    def __getstate__(self) -> dict[str, Any]:
        """A copy, or what another process gets, has the weights of now and follows nobody; its sessions are its own."""
        own: dict[str, Any] = {"_graphs": {}, "_runners": {}, "_refresh": _nothing}
        if self._refresh is not _nothing:
            own |= dict.fromkeys(("_weights", "given_weights"), self.weights)
        return vars(self) | own

    def run(self, entry: str, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The results of an entry, by name, for inputs by name.

        Raises DiagnosticError (`unknown-entry`, `missing-input`, `wrong-input`, …).
        """
        runner = self._runner(entry)
        return dict(zip(runner.results, runner(arrays), strict=True))

    def __call__(self, *arrays: Any, **named: Any) -> Result:
        """The results of `forward`, or of the first entry where there is none of that name."""
        return self._call(main_entry(self.network), *arrays, **named)

    def __getattr__(self, name: str) -> Callable[..., Result]:
        if name.startswith("_") or name not in self.network.entries:
            raise AttributeError(f"{type(self).__name__} has no attribute `{name}`")

        return partial(self._call, name)

    def _call(self, entry: str, /, *arrays: Any, **named: Any) -> Result:
        runner = self._runner(entry)
        if arrays:
            named |= _by_position(entry, runner.inputs, arrays, named)
        results = runner(named)
        return results[0] if len(results) == 1 else tuple(results)

    def _runner(self, entry: str) -> Runner:
        """What runs an entry with the present weights."""
        changed = self._refresh()
        if changed is not None:
            self._keep(changed)
        runner = self._runners.get(entry)
        if runner is None:
            runner = self._runners[entry] = Runner(self._graph(entry), self.weights, self.device)
        return runner

    def _graph(self, entry: str) -> Graph:
        """The inference graph of an entry, elaborated once."""
        if entry not in self._graphs:
            self._graphs[entry] = self.network.graph(known_entry(self.network, entry))
        return self._graphs[entry]

    def __repr__(self) -> str:
        settings = ", ".join(f"{key} = {value!r}" for key, value in self.network.settings.items())
        return f"<{self.name}({settings}): {self.parameter_count:,} parameters, {', '.join(self.entries)}>"


def main_entry(network: Network) -> str:
    """The entry that is meant where none is named: `forward`, or else the first."""
    return "forward" if "forward" in network.entries else network.entries[0]


def known_entry(network: Network, entry: str) -> str:
    """The name of an entry that the network has. Raises DiagnosticError (`unknown-entry`)."""
    if entry not in network.entries:
        known = ", ".join(f"`{name}`" for name in network.entries)
        help = did_you_mean(entry, network.entries) or f"it has {known}"
        raise fail("unknown-entry", f"`{network.name}` has no entry `{entry}`", help=help)
    return entry


def _by_position(entry: str, names: Sequence[str], arrays: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays given by position, by the names of the inputs that come first."""
    if len(arrays) > len(names):
        title = f"`{entry}` takes {len(names)} input{'s' * (len(names) != 1)}"
        raise fail("wrong-input", title, expected=", ".join(names), found=f"{len(arrays)} arrays")
    given = dict(zip(names, arrays, strict=False))
    twice = next((name for name in named if name in given), None)
    if twice is not None:
        title = f"`{entry}` is given `{twice}` twice: by its name, and by its place"
        raise fail("wrong-input", title, expected=", ".join(names))
    return given
