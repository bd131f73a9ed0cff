"""How each model of the suite is trained in JAX: what the `train` block of the same model says in netlang."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from . import jax_generation, jax_graphs, jax_models, jax_sentences
from .cases import PLANNED_STEPS
from .jax_layers import Arrays, Variables, cross_entropy, smoothed_cross_entropy
from .jax_models import Model

Rate = Callable[[jax.Array], jax.Array]
"""From a step, counted from 0, to the learning rate."""

Loss = Callable[..., tuple[jax.Array, jax.Array | None]]
"""From variables and a batch by name to the loss, and the logits where accuracies are reported."""


@dataclass(frozen=True, slots=True)
class Adam:
    """Kingma & Ba 2014. `decay` pulls what has more than one axis to 0: with the gradient, or `decoupled` from it."""

    beta2: float = 0.999
    epsilon: float = 1e-8
    decay: float = 0.0
    decoupled: bool = False

    def state(self, p: Arrays) -> tuple[Arrays, ...]:
        """Both moments."""
        return jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p)

    def step(
        self, p: Arrays, gradient: Arrays, state: tuple[Arrays, ...], rate: jax.Array, count: jax.Array
    ) -> tuple[Arrays, tuple[Arrays, ...]]:
        """New parameters and moments."""
        if self.decay and not self.decoupled:
            gradient = _decayed(p, gradient, self.decay)
        first = {name: 0.9 * m + 0.1 * gradient[name] for name, m in state[0].items()}
        second = {name: self.beta2 * v + (1 - self.beta2) * jnp.square(gradient[name]) for name, v in state[1].items()}
        a, b = 1 - 0.9 ** (count + 1.0), 1 - self.beta2 ** (count + 1.0)
        new = {}
        for name, value in p.items():
            kept = value * (1 - rate * self.decay) if self.decoupled and value.ndim > 1 else value
            new[name] = kept - rate * (first[name] / a) / (jnp.sqrt(second[name] / b) + self.epsilon)
        return new, (first, second)


@dataclass(frozen=True, slots=True)
class Descent:
    """Gradient descent, with the momentum of Polyak 1964 or Nesterov 1983. `decay` pulls matrices and kernels to 0."""

    momentum: float = 0.0
    decay: float = 0.0
    nesterov: bool = False

    def state(self, p: Arrays) -> tuple[Arrays, ...]:
        """The velocities, where there is momentum."""
        return (jax.tree.map(jnp.zeros_like, p),) if self.momentum else ()

    def step(
        self, p: Arrays, gradient: Arrays, state: tuple[Arrays, ...], rate: jax.Array, count: jax.Array
    ) -> tuple[Arrays, tuple[Arrays, ...]]:
        """New parameters and velocities."""
        if self.decay:
            gradient = _decayed(p, gradient, self.decay)
        if not self.momentum:
            return {name: value - rate * gradient[name] for name, value in p.items()}, ()
        velocity = {name: self.momentum * v + gradient[name] for name, v in state[0].items()}
        moves = velocity
        if self.nesterov:
            moves = {name: gradient[name] + self.momentum * v for name, v in velocity.items()}
        return {name: value - rate * moves[name] for name, value in p.items()}, (velocity,)


def _decayed(p: Arrays, gradient: Arrays, decay: float) -> Arrays:
    return {name: g + decay * p[name] if g.ndim > 1 else g for name, g in gradient.items()}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model and how it is trained, both made from the settings of a case.

    `accuracies` are the numbers of guesses that each report of accuracy allows.
    """

    model: Callable[..., Model]
    loss: Callable[..., Loss]
    optimizer: Adam | Descent
    rate: Rate
    clip: float | None = None
    accuracies: tuple[int, ...] = ()
    target: str = "label"


def constant(rate: float) -> Rate:
    """The same at every step."""
    return lambda step: jnp.float32(rate)


def cosine(peak: float, warmup: int = 0, final: float = 0.0) -> Rate:
    """Linear warm-up, then half a cosine down to `final`. Loshchilov & Hutter 2016."""

    def rate(step: jax.Array) -> jax.Array:
        progress = jnp.clip((step - warmup) / max(PLANNED_STEPS - warmup, 1), 0, 1)
        fallen = final + 0.5 * (peak - final) * (1 + jnp.cos(math.pi * progress))
        return jnp.where(step < warmup, peak * (step + 1) / max(warmup, 1), fallen)

    return rate


def linear_decay(peak: float, warmup: int = 0) -> Rate:
    """Linear warm-up, then a line down to 0."""
    return lambda step: (
        peak * jnp.minimum((step + 1) / max(warmup, 1), (PLANNED_STEPS - step) / (PLANNED_STEPS - warmup))
    )


def transformer_rate(d: int, warmup: int) -> Rate:
    """Rises for `warmup` steps, then falls with the root of the step. Vaswani et al. 2017."""
    return lambda step: jnp.minimum((step + 1) ** -0.5, (step + 1) * warmup**-1.5) / math.sqrt(d)


def _plain(model: Model) -> Callable[..., Model]:
    """A model without sizes, where all are wanted: `drop` is 0 throughout."""
    return lambda **_: model


def _own(loss: Callable[..., Model]) -> Callable[..., Loss]:
    """A loss without logits to report on."""

    def made(**settings: Any) -> Loss:
        found = loss(**settings)
        return lambda p, **batch: (found(p, **batch), None)

    return made


def _classification(model: Callable[..., Model], target: str = "label") -> Callable[..., Loss]:
    """The cross entropy of one class for each row, or each token."""

    def made(**settings: Any) -> Loss:
        found = model(**settings)

        def loss(p: Variables, **batch: jax.Array) -> tuple[jax.Array, jax.Array]:
            answer = batch.pop(target)
            logits = found(p, **batch)
            return cross_entropy(logits, answer), logits

        return loss

    return made


def _translation(model: Callable[..., Model], smoothing: float) -> Callable[..., Loss]:
    """The cross entropy of each word of a sentence but the first, from those before it and the source."""

    def made(**settings: Any) -> Loss:
        found = model(**settings)

        def loss(p: Variables, source: jax.Array, target: jax.Array) -> tuple[jax.Array, None]:
            logits = found(p, source, target[:, :-1])
            return smoothed_cross_entropy(logits, target[:, 1:], smoothing, jax_sentences.PADDING), None

        return loss

    return made


def _classifier(model: Callable[..., Model], optimizer: Adam | Descent, rate: Rate, *accuracies: int) -> Recipe:
    return Recipe(model, _classification(model), optimizer, rate, accuracies=accuracies)


_MLP, _LENET5, _LSTM = _plain(jax_models.mlp), _plain(jax_models.lenet5), _plain(jax_sentences.lstm)
_RESNET20, _RESNET18 = _plain(jax_models.resnet20), _plain(jax_models.resnet18)
_GCN, _GAT = _plain(jax_graphs.gcn), _plain(jax_graphs.gat)

_GPT = Recipe(
    jax_models.gpt,
    _classification(jax_models.gpt, "target"),
    Adam(beta2=0.99, decay=0.1, decoupled=True),
    cosine(0.001, 100, 0.0001),
    clip=1.0,
)

RECIPES: dict[str, Recipe] = {
    "mlp": _classifier(_MLP, Adam(), constant(0.001)),
    "lenet5": _classifier(_LENET5, Adam(decay=0.01, decoupled=True), cosine(0.002), 1),
    "resnet20": _classifier(_RESNET20, Descent(0.9, 0.0001, nesterov=True), cosine(0.01), 1),
    "resnet18": _classifier(_RESNET18, Descent(0.9, 0.0001), cosine(0.001), 1, 5),
    "lstm": _classifier(_LSTM, Adam(), constant(0.001)),
    "seq2seq": Recipe(
        jax_sentences.seq2seq, _translation(jax_sentences.seq2seq, 0.0), Adam(), constant(0.001), clip=1.0
    ),
    "transformer": Recipe(
        jax_sentences.transformer,
        _translation(jax_sentences.transformer, 0.1),
        Adam(beta2=0.98, epsilon=1e-9),
        transformer_rate(256, 4000),
    ),
    "bert": Recipe(
        jax_sentences.bert,
        _own(jax_sentences.bert_loss),
        Adam(epsilon=1e-6, decay=0.01, decoupled=True),
        linear_decay(0.0001, warmup=100),
        clip=1.0,
    ),
    "gpt": _GPT,
    "gpt6": _GPT,
    "vae": Recipe(_plain(jax_generation.vae), _own(_plain(jax_generation.vae_loss)), Adam(), constant(0.001)),
    "ddpm": Recipe(
        _plain(jax_generation.ddpm), _own(_plain(jax_generation.ddpm_loss)), Adam(), cosine(0.0005, 200), clip=1.0
    ),
    "gcn": Recipe(_GCN, lambda **_: jax_graphs.gcn_loss, Adam(), constant(0.01), accuracies=(1,)),
    "gat": _classifier(_GAT, Adam(decay=5e-4), constant(0.005), 1),
    "skip_gram": Recipe(jax_sentences.skip_gram, _own(jax_sentences.skip_gram_loss), Adam(), constant(0.002)),
    "skip_gram_descent": Recipe(
        jax_sentences.skip_gram, _own(jax_sentences.skip_gram_loss), Descent(), linear_decay(12.8)
    ),
}
"""By the names of the cases."""
