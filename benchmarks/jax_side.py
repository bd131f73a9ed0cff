"""JAX as the peer: the whole training step, loss to new parameters, in one function under `jax.jit`.

It wants a Python environment with `pip install jax`. Parameters are a dictionary by netlang's names; the step donates
its state, so that it is updated in place.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

from .cases import PLANNED_STEPS, Case

Arrays = dict[str, jax.Array]
Model = Callable[[Arrays, jax.Array], jax.Array]
"""From parameters and the one input to logits."""


def linear(p: Arrays, name: str, x: jax.Array) -> jax.Array:
    """f32[…, i] -> f32[…, out]."""
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def mlp(p: Arrays, image: jax.Array) -> jax.Array:
    """784-512-512-10 with ReLU."""
    for name in ("linear.0", "linear.1"):
        image = jax.nn.relu(linear(p, name, image))
    return linear(p, "linear_2", image)


def _conv(p: Arrays, name: str, x: jax.Array) -> jax.Array:
    y = jax.lax.conv_general_dilated(x, p[f"{name}.weight"], (1, 1), "VALID")
    return jnp.tanh(y + p[f"{name}.bias"][:, None, None])


def _halved(x: jax.Array) -> jax.Array:
    b, c, h, w = x.shape
    return x.reshape(b, c, h // 2, 2, w // 2, 2).mean((3, 5))


def lenet5(p: Arrays, image: jax.Array) -> jax.Array:
    """LeCun et al. 1998, with a dense output."""
    x = _halved(_conv(p, "conv2d", image))
    x = _halved(_conv(p, "conv2d_2", x))
    x = _conv(p, "conv2d_3", x).reshape(len(image), -1)
    return linear(p, "linear_2", jnp.tanh(linear(p, "linear", x)))


def _layer_norm(p: Arrays, name: str, x: jax.Array) -> jax.Array:
    center = x.mean(-1, keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(x - center).mean(-1, keepdims=True) + 1e-5)
    return (x - center) * inverse * p[f"{name}.scale"] + p[f"{name}.shift"]


def _attention(p: Arrays, name: str, x: jax.Array, heads: int) -> jax.Array:
    b, t, d = x.shape
    q, k, v = (y.reshape(b, t, heads, d // heads) for y in jnp.split(linear(p, f"{name}.linear", x), 3, -1))
    return linear(p, f"{name}.linear_2", jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(b, t, d))


def gpt(layers: int, h: int, **_: Any) -> Model:
    """A causal decoder; the output table is the input table. Radford et al. 2019."""

    def model(p: Arrays, tokens: jax.Array) -> jax.Array:
        table = p["tokens_table.weight"]
        x = table[tokens] + p["learned_positions.weight"][: tokens.shape[1]]
        for i in range(layers):
            block = f"gpt_block.{i}"
            x = x + _attention(p, f"{block}.attention", _layer_norm(p, f"{block}.layer_norm", x), h)
            y = linear(p, f"{block}.expand", _layer_norm(p, f"{block}.layer_norm_2", x))
            x = x + linear(p, f"{block}.contract", jax.nn.gelu(y, approximate=False))
        return _layer_norm(p, "layer_norm", x) @ table.T

    return model


Shapes = dict[str, tuple[int, ...]]


def _linear(name: str, i: int, out: int) -> Shapes:
    return {f"{name}.weight": (out, i), f"{name}.bias": (out,)}


def _norm(name: str, d: int) -> Shapes:
    return {f"{name}.scale": (d,), f"{name}.shift": (d,)}


def _mlp_shapes() -> Shapes:
    return _linear("linear.0", 784, 512) | _linear("linear.1", 512, 512) | _linear("linear_2", 512, 10)


def _lenet5_shapes() -> Shapes:
    kernels = {"conv2d": (6, 1, 5, 5), "conv2d_2": (16, 6, 5, 5), "conv2d_3": (120, 16, 5, 5)}
    convolutions = {f"{name}.weight": shape for name, shape in kernels.items()}
    convolutions |= {f"{name}.bias": shape[:1] for name, shape in kernels.items()}
    return convolutions | _linear("linear", 120, 84) | _linear("linear_2", 84, 10)


def _gpt_shapes(vocab: int, d: int, layers: int, h: int, context: int) -> Shapes:
    found: Shapes = {"tokens_table.weight": (vocab, d), "learned_positions.weight": (context, d)}
    for block in (f"gpt_block.{i}" for i in range(layers)):
        found |= _norm(f"{block}.layer_norm", d) | _norm(f"{block}.layer_norm_2", d)
        found |= _linear(f"{block}.attention.linear", d, 3 * d) | _linear(f"{block}.attention.linear_2", d, d)
        found |= _linear(f"{block}.expand", d, 4 * d) | _linear(f"{block}.contract", 4 * d, d)
    return found | _norm("layer_norm", d)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model with the shapes of its parameters, and its AdamW, which decays what has more than one axis.

    `rate` is the learning rate at a step, counted from 0.
    """

    model: Callable[..., Model]
    shapes: Callable[..., Shapes]
    rate: Callable[[jax.Array], jax.Array]
    beta2: float = 0.999
    weight_decay: float = 0.0
    clip: float | None = None
    accuracy: bool = False


def _cosine(peak: float, warmup: int = 0, final: float = 0.0) -> Callable[[jax.Array], jax.Array]:
    def rate(step: jax.Array) -> jax.Array:
        progress = jnp.clip((step - warmup) / max(PLANNED_STEPS - warmup, 1), 0, 1)
        fallen = final + 0.5 * (peak - final) * (1 + jnp.cos(math.pi * progress))
        return jnp.where(step < warmup, peak * (step + 1) / max(warmup, 1), fallen)

    return rate


_GPT = Recipe(gpt, _gpt_shapes, _cosine(0.001, 100, 0.0001), beta2=0.99, weight_decay=0.1, clip=1.0)

RECIPES: dict[str, Recipe] = {
    "mlp": Recipe(lambda: mlp, _mlp_shapes, lambda step: jnp.float32(0.001)),
    "lenet5": Recipe(lambda: lenet5, _lenet5_shapes, _cosine(0.002), weight_decay=0.01, accuracy=True),
    "gpt": _GPT,
    "gpt6": _GPT,
}
"""By the names of the cases."""


class JaxSide:
    """One case in JAX. XLA takes as many threads as the process has cores."""

    def __init__(self, case: Case, threads: int) -> None:
        self._recipe = RECIPES[case.name]
        self._model = self._recipe.model(**case.settings)
        self._step = jax.jit(self._train, donate_argnums=(0, 1))
        self._forward = jax.jit(self._model)
        rng = np.random.default_rng(0)
        shapes = self._recipe.shapes(**case.settings)
        self.load({name: 0.02 * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()})

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Begins anew from netlang's weights."""
        self._parameters: Arrays = {name: jnp.array(array) for name, array in weights.items()}
        zeros = {name: jnp.zeros_like(array) for name, array in self._parameters.items()}
        self._state = (zeros, {name: jnp.zeros_like(array) for name, array in zeros.items()})
        self._count = 0

    def place(self, arrays: Mapping[str, np.ndarray]) -> tuple[jax.Array, ...]:
        """The arrays on the device, whole numbers in 32 bits, as JAX has them."""
        narrow = (array.astype(np.int32) if array.dtype.kind == "i" else array for array in arrays.values())
        return tuple(map(jnp.asarray, narrow))

    def train_step(self, batch: tuple[jax.Array, ...]) -> float:
        """One step; the loss before it."""
        results = self._step(self._parameters, self._state, self._count, *batch)
        self._parameters, self._state, (loss, *reports) = results
        self._count += 1
        for report in reports:
            float(report)
        return float(loss)

    def infer(self, inputs: tuple[jax.Array, ...]) -> np.ndarray:
        """The model's output."""
        return np.asarray(self._forward(self._parameters, *inputs))

    def _train(self, p: Arrays, state: tuple[Arrays, Arrays], count: int, x: jax.Array, target: jax.Array) -> Any:
        def loss_of(p: Arrays) -> tuple[jax.Array, jax.Array]:
            logits = self._model(p, x)
            chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), target[..., None], -1)
            return -chosen.mean(), logits

        (loss, logits), gradient = jax.value_and_grad(loss_of, has_aux=True)(p)
        p, state = self._updated(p, gradient, state, count)
        accuracy = [(logits.argmax(-1) == target).mean()] if self._recipe.accuracy else []
        return p, state, (loss, *accuracy)

    def _updated(
        self, p: Arrays, gradient: Arrays, state: tuple[Arrays, Arrays], count: int
    ) -> tuple[Arrays, tuple[Arrays, Arrays]]:
        """AdamW, Loshchilov & Hutter 2017, behind the clipping of the gradient's norm."""
        recipe, beta1, beta2 = self._recipe, 0.9, self._recipe.beta2
        if recipe.clip is not None:
            norm = jnp.sqrt(sum(jnp.square(g).sum() for g in gradient.values()))
            gradient = {name: g * jnp.minimum(1.0, recipe.clip / (norm + 1e-6)) for name, g in gradient.items()}
        rate = recipe.rate(jnp.float32(count))
        first = {name: beta1 * m + (1 - beta1) * gradient[name] for name, m in state[0].items()}
        second = {name: beta2 * v + (1 - beta2) * jnp.square(gradient[name]) for name, v in state[1].items()}
        a, b = 1 - beta1 ** (count + 1.0), 1 - beta2 ** (count + 1.0)
        new = {}
        for name, value in p.items():
            kept = value * (1 - rate * recipe.weight_decay) if value.ndim > 1 else value
            new[name] = kept - rate * (first[name] / a) / (jnp.sqrt(second[name] / b) + 1e-8)
        return new, (first, second)
