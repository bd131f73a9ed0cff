"""netlang as a user gets it: the runtime's own trainer and network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from netlang.compiler import Network
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.job import open_network
from netlang.runtime.session import Device
from netlang.runtime.trainer import Trainer

from .cases import PLANNED_STEPS, Case


class NetlangSide:
    """One case in netlang."""

    def __init__(self, case: Case, threads: int) -> None:
        self._device = Device(threads=threads)
        self._entry = case.entry
        self._network = open_network(case.source, case.model, case.set)
        self._trainer = Trainer(BoundNetwork(self._network), threads=threads, steps=PLANNED_STEPS)
        self._trainer.engine.load(_begun(self._network, self._trainer.variables()))
        self._initial = self._trainer.variables()
        self._inference = BoundNetwork(self._network, self.weights(), device=self._device)

    def weights(self) -> dict[str, np.ndarray]:
        """The initial parameters and states."""
        return {variable.name: self._initial[variable.name] for variable in self._network.variables}

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Begins anew from these weights, with the optimizer as it was at first."""
        self._trainer.engine.load({**self._initial, **weights})
        self._trainer.engine.step_count = 0

    def place(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """netlang takes arrays as they are."""
        return arrays

    def train_step(self, batch: Mapping[str, np.ndarray]) -> float:
        """One step; the loss before it."""
        return self._trainer.step(**batch)["loss"]

    def infer(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The first output of the entry in inference mode."""
        result = getattr(self._inference, self._entry)(**inputs)
        return result[0] if isinstance(result, tuple) else result


def _begun(network: Network, variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values for the matrices that begin at 0: behind zeros, what is computed could not be compared."""
    rng = np.random.default_rng(3)
    matrices = {v.name: variables[v.name] for v in network.variables if v.value.type.rank > 1}
    return {
        name: (0.02 * rng.standard_normal(array.shape)).astype(np.float32)
        for name, array in matrices.items()
        if not array.any()
    }
