"""JAX as the peer: the whole training step, loss to new parameters, in one function under `jax.jit`.

It wants a Python environment with `pip install jax`. Parameters are a dictionary by netlang's names, images and kernels
have their channels last, and the step donates its state, so that it is updated in place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

from .cases import Case
from .jax_layers import Arrays, Variables
from .jax_recipes import RECIPES


class State(NamedTuple):
    """What a step gets from the one before: parameters, running statistics, those of the optimizer, steps so far."""

    parameters: Arrays
    running: Arrays
    moments: tuple[Arrays, ...]
    count: jax.Array


class JaxSide:
    """One case in JAX. XLA takes as many threads as the process has cores."""

    def __init__(self, case: Case, threads: int) -> None:
        self._recipe = RECIPES[case.name]
        self._loss = self._recipe.loss(**case.settings)
        self._model = self._recipe.model(**case.settings)
        self._step = jax.jit(self._train, donate_argnums=0)
        self._forward = jax.jit(self._run)
        self._shapes = self._traced(self.place(case.training_batches(1)[0]))
        rng = np.random.default_rng(0)
        self._begin({name: 0.02 * rng.standard_normal(shape, np.float32) for name, shape in self._shapes.items()})

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Begins anew from netlang's weights. Raises ValueError where they are not those of this model."""
        own = {name: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array for name, array in weights.items()}
        given = {name: array.shape for name, array in own.items()}
        if given != self._shapes:
            raise ValueError(f"the models differ: {sorted(set(given.items()) ^ set(self._shapes.items()))[:6]}")
        self._begin(own)

    def place(self, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """The arrays on the device: images with their channels last, whole numbers in 32 bits, as JAX has them."""
        return {name: jnp.asarray(_placed(array)) for name, array in arrays.items()}

    def train_step(self, batch: Arrays) -> float:
        """One step; the loss before it."""
        self._state, loss, reports = self._step(self._state, batch)
        for report in reports:
            float(report)
        return float(loss)

    def infer(self, inputs: Arrays) -> np.ndarray:
        """The model's output."""
        result = np.asarray(self._forward({**self._state.parameters, **self._state.running}, inputs))
        return result.transpose(0, 3, 1, 2) if result.ndim == 4 else result

    def _traced(self, batch: Arrays) -> dict[str, tuple[int, ...]]:
        """The shapes of all variables, from an abstract run."""

        def made(batch: Arrays) -> Arrays:
            p = Variables({}, training=True)
            self._loss(p, **batch)
            return dict(p)

        return {name: found.shape for name, found in jax.eval_shape(made, batch).items()}

    def _begin(self, weights: Mapping[str, np.ndarray]) -> None:
        parameters = {name: jnp.array(array) for name, array in weights.items() if ".running_" not in name}
        running = {name: jnp.array(array) for name, array in weights.items() if ".running_" in name}
        self._state = State(parameters, running, self._recipe.optimizer.state(parameters), jnp.float32(0))

    def _run(self, variables: Arrays, inputs: Arrays) -> jax.Array:
        return self._model(Variables(variables, training=False), **inputs)

    def _train(self, state: State, batch: Arrays) -> tuple[State, jax.Array, list[jax.Array]]:
        def loss_of(parameters: Arrays) -> tuple[jax.Array, tuple[Arrays, jax.Array | None]]:
            p = Variables({**parameters, **state.running}, training=True)
            loss, logits = self._loss(p, **batch)
            return loss, (p.moved, logits)

        (loss, (moved, logits)), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.parameters)
        if self._recipe.clip is not None:
            norm = jnp.sqrt(sum(jnp.square(g).sum() for g in gradient.values()))
            factor = jnp.minimum(1.0, self._recipe.clip / (norm + 1e-6))
            gradient = {name: g * factor for name, g in gradient.items()}
        rate = self._recipe.rate(state.count)
        new, moments = self._recipe.optimizer.step(state.parameters, gradient, state.moments, rate, state.count)
        return State(new, moved, moments, state.count + 1), loss, self._reports(logits, batch)

    def _reports(self, logits: jax.Array | None, batch: Mapping[str, jax.Array]) -> list[Any]:
        """The share of targets among the first so many guesses."""
        if logits is None:
            return []
        target = batch[self._recipe.target][..., None] if self._recipe.accuracies else None
        guesses = [jax.lax.top_k(logits, count)[1] if count > 1 else logits.argmax(-1)[..., None]
                   for count in self._recipe.accuracies]  # fmt: skip
        return [(found == target).any(-1).mean() for found in guesses]


def _placed(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        return array.transpose(0, 2, 3, 1)
    return array.astype(np.int32) if array.dtype.kind == "i" else array
