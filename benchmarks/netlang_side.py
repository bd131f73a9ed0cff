"""netlang as a user gets it: the runtime's own trainer and network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from netlang.runtime.bound_network import BoundNetwork
from netlang.runtime.job import open_network
from netlang.runtime.session import Device
from netlang.runtime.trainer import Trainer

from .cases import PLANNED_STEPS, Case


class NetlangSide:
    """One case in netlang."""

    def __init__(self, case: Case, threads: int) -> None:
        self._device = Device(threads=threads)
        self._network = open_network(case.source, case.model, case.settings)
        self._trainer = Trainer(BoundNetwork(self._network), threads=threads, steps=PLANNED_STEPS)
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
        """The model's output in inference mode."""
        result = self._inference.forward(**inputs)
        assert isinstance(result, np.ndarray)
        return result
