"""Reads ONNX's preview of training: optimizer steps as arithmetic, and gradients of what was read before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...autodiff import gradients
from ...control import free_values, inline, needed_nodes
from ...ir import Graph, Input, Output

if TYPE_CHECKING:
    from ...builder import Builder
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader

DOMAIN = "ai.onnx.preview.training"

Update = Callable[["Builder", "Call", "Sequence[Value]"], "Sequence[Value]"]
"""`update(b, call, values)`: from rate, step, variable, gradient and state, the new variable and state."""


def _for_each(update: Update, states: int) -> Callable[[Reader, Call], Sequence[Value]]:
    """The rule of an optimizer: its inputs are rate and step, then all variables, all gradients, all of each state."""

    def rule(reader: Reader, call: Call) -> Sequence[Value]:
        rate, step, *rest = (value for value in call.inputs if value is not None)
        count, left = divmod(len(rest), 2 + states)
        if left:
            raise reader.refuse(call, "it needs a gradient and a state for each variable")
        results: list[Sequence[Value]] = []
        for index in range(count):
            own = rest[index::count]
            dtype = own[0].type.dtype
            results.append(update(reader.b, call, [reader.b.cast(rate, dtype=dtype), step, *own]))
        return [value for group in zip(*results, strict=True) for value in group]

    return rule


def _regularized(b: Builder, call: Call, x: Value, g: Value) -> Value:
    """The gradient with that of 0.5 · norm_coefficient · ‖x‖² added."""
    coefficient = call.attribute("norm_coefficient", 0.0)
    return b.add(g, b.mul(x, coefficient)) if coefficient else g


def _adam(b: Builder, call: Call, values: Sequence[Value]) -> Sequence[Value]:
    """Kingma and Ba 2015; decoupled decay: Loshchilov and Hutter 2019."""
    rate, step, x, g, mean, square = values
    alpha, beta = call.attribute("alpha", 0.9), call.attribute("beta", 0.999)
    g = _regularized(b, call, x, g)
    mean = b.add(b.mul(mean, alpha), b.mul(g, 1 - alpha))
    square = b.add(b.mul(square, beta), b.mul(b.mul(g, g), 1 - beta))
    time = b.cast(step, dtype=rate.type.dtype)
    corrected = b.div(b.mul(rate, b.sqrt(b.sub(1.0, b.pow(beta, time)))), b.sub(1.0, b.pow(alpha, time)))
    rate = b.select(b.greater(step, 0), corrected, rate)
    x = b.sub(x, b.div(b.mul(mean, rate), b.add(b.sqrt(square), call.attribute("epsilon", 1e-6))))
    decay = call.attribute("norm_coefficient_post", 0.0)
    return b.mul(x, 1 - decay) if decay else x, mean, square


def _adagrad(b: Builder, call: Call, values: Sequence[Value]) -> Sequence[Value]:
    """Duchi et al. 2011."""
    rate, step, x, g, square = values
    g = _regularized(b, call, x, g)
    time = b.cast(step, dtype=rate.type.dtype)
    rate = b.div(rate, b.add(b.mul(time, call.attribute("decay_factor", 0.0)), 1.0))
    square = b.add(square, b.mul(g, g))
    move = b.div(b.mul(g, rate), b.add(b.sqrt(square), call.attribute("epsilon", 1e-6)))
    return b.sub(x, move), square


def _momentum(b: Builder, call: Call, values: Sequence[Value]) -> Sequence[Value]:
    """Polyak 1964; with the mode "nesterov", Nesterov 1983."""
    rate, step, x, g, velocity = values
    alpha = call.attribute("alpha")
    g = _regularized(b, call, x, g)
    dtype = x.type.dtype
    share = b.select(b.greater(step, 0), b.constant(call.attribute("beta"), dtype), b.constant(1.0, dtype))
    velocity = b.add(b.mul(velocity, alpha), b.mul(g, share))
    direction = b.add(g, b.mul(velocity, alpha)) if call.attribute("mode") == "nesterov" else velocity
    return b.sub(x, b.mul(direction, rate)), velocity


def gradient(reader: Reader, call: Call) -> Sequence[Value | None]:
    """Gradient-1: of the tensor named `y` by those named `xs`, as a function of them and of those named `zs`, at the
    values that the node gets for them."""
    b = reader.b
    xs = call.attribute("xs", [])
    named = [reader.value(name) for name in (*xs, *call.attribute("zs", []))]
    if len(named) != len(call.inputs) or None in call.inputs:
        raise reader.refuse(call, f"it names {len(named)} variables and has {len(call.inputs)} inputs")
    # Copies, so that what the variables are computed from, perhaps one from the other, has no part in the gradient.
    copies = [b.reshape(value, shape=value.type.shape) for value in call.inputs if value is not None]
    result = reader.value(call.attribute("y"))
    if not any(result in node.outputs for node in b.nodes):
        raise reader.refuse(call, "no node before it in its graph computes its `y`")
    found = gradients(b, _function_of(b, result, named, copies), copies[: len(xs)])
    return [value if call.asks(index) else None for index, value in enumerate(found)]


def _function_of(b: Builder, y: Value, variables: Sequence[Value], values: Sequence[Value]) -> Value:
    """`y` computed from other values of its variables."""
    nodes = needed_nodes([node for node in b.nodes if not set(node.outputs) & set(variables)], [y])
    others = free_values(nodes, [y], variables)
    inputs = tuple(map(Input, (*variables, *others)))
    graph = Graph("function", inputs, (), tuple(nodes), (Output("y", y),))
    return inline(b, graph, (*values, *others)).results[0]


RULES = {
    f"{DOMAIN}:Adam": _for_each(_adam, 2),
    f"{DOMAIN}:Adagrad": _for_each(_adagrad, 1),
    f"{DOMAIN}:Momentum": _for_each(_momentum, 1),
    f"{DOMAIN}:Gradient": gradient,
}
