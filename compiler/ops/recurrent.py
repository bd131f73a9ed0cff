"""LSTM, GRU and simple recurrent networks: one cell each, and one driver for directions and lengths.

The products with the inputs are one product for all steps, before the scan; a step multiplies the state only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.dims import Size
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..op import Bad, Op, S
from .common import bad_value, shape_mismatch
from .reference import torch

if TYPE_CHECKING:
    from ..builder import Builder
    from ..emit import Emitter
    from ..ir import Node, Value

Activation = Callable[["Builder", "Value"], "Value"]
Step = Callable[["Builder", "Value", "Sequence[Value]"], "tuple[Value, ...]"]
"""`step(b, x, states)`: the next states, of which the first is the output, from one step of the projected inputs."""


def sigmoid(b: Builder, x: Value) -> Value:
    """The sigmoid, as an activation."""
    return b.sigmoid(x)


def tanh(b: Builder, x: Value) -> Value:
    """The hyperbolic tangent, as an activation."""
    return b.tanh(x)


def relu(b: Builder, x: Value) -> Value:
    """max(x, 0), as an activation."""
    return b.relu(x)


@dataclass(frozen=True)
class Options:
    """How a cell computes.

    activations: of the gates, of the candidate, and of the result, as many as the cell has.
    clip: bound of what goes into them, where there is one.
    coupled: the forget gate of an LSTM is 1 - its input gate.
    reset_after: the reset gate of a GRU multiplies the product with the state instead of the state (as in PyTorch).
    """

    activations: tuple[Activation, ...]
    clip: float | None = None
    coupled: bool = False
    reset_after: bool = False

    def activated(self, b: Builder, index: int, x: Value) -> Value:
        """The activation at `index`, of the clipped x."""
        clipped = x if self.clip is None else b.clip(x, low=-self.clip, high=self.clip)
        return self.activations[index](b, clipped)


@dataclass(frozen=True)
class Side:
    """One direction: whether it runs from the end, how its cell computes, and its weights.

    inputs [gates · n, i], state [gates · n, n]: what multiplies them. bias [2 · gates · n]: of both, side by side.
    peepholes [3 · n]: from the cell to the gates i, o and f of an LSTM.
    """

    reverse: bool
    options: Options
    inputs: Value
    state: Value
    bias: Value
    peepholes: Value | None = None


Cell = Callable[["Builder", Side], "tuple[Value, Step]"]
"""`cell(b, side)`: the bias of the projected inputs, and the step."""


# --- cells ---------------------------------------------------------------------------------------------------------


def lstm_cell(b: Builder, side: Side) -> tuple[Value, Step]:
    """Gates i, o, f and the candidate c (Hochreiter and Schmidhuber 1997; peepholes: Gers and Schmidhuber 2000)."""
    options, weights = side.options, b.t(side.state)
    peepholes = None if side.peepholes is None else b.split(side.peepholes, parts=3)

    def gate(body: Builder, x: Value, cell: Value, index: int) -> Value:
        if peepholes is not None:
            x = body.add(x, body.mul(peepholes[index], cell))
        return options.activated(body, 0, x)

    def step(body: Builder, x: Value, states: Sequence[Value]) -> tuple[Value, ...]:
        h, cell = states
        i, o, f, candidate = body.split(body.add(x, body.matmul(h, weights)), parts=4)
        i = gate(body, i, cell, 0)
        f = body.sub(1.0, i) if options.coupled else gate(body, f, cell, 2)
        cell = body.add(body.mul(f, cell), body.mul(i, options.activated(body, 1, candidate)))
        o = gate(body, o, cell, 1)
        return body.mul(o, options.activations[2](body, cell)), cell

    return b.add(*b.split(side.bias, parts=2)), step


def gru_cell(b: Builder, side: Side) -> tuple[Value, Step]:
    """Gates z (update) and r (reset), and the candidate (Cho et al. 2014)."""
    options, weights = side.options, b.t(side.state)
    own, of_state = (b.split(bias, parts=3) for bias in b.split(side.bias, parts=2))
    biases = [b.add(left, right) for left, right in zip(own, of_state, strict=True)]
    if options.reset_after:
        biases[2] = own[2]
    gate_weights, last_weights = _columns(b, weights, 0, 2), _columns(b, weights, 2, 3)

    def gates(body: Builder, inputs: Sequence[Value], products: Sequence[Value]) -> list[Value]:
        pairs = zip(inputs, products, strict=True)
        return [options.activated(body, 0, body.add(gate, product)) for gate, product in pairs]

    def step(body: Builder, x: Value, states: Sequence[Value]) -> tuple[Value, ...]:
        (h,) = states
        *inputs, last = body.split(x, parts=3)
        if options.reset_after:
            *products, product = body.split(body.matmul(h, weights), parts=3)
            update, reset = gates(body, inputs, products)
            product = body.mul(reset, body.add(product, of_state[2]))
        else:
            update, reset = gates(body, inputs, body.split(body.matmul(h, gate_weights), parts=2))
            product = body.matmul(body.mul(reset, h), last_weights)
        new = options.activated(body, 1, body.add(last, product))
        return (body.add(new, body.mul(update, body.sub(h, new))),)

    return b.concat(*biases), step


def _columns(b: Builder, weights: Value, first: int, last: int) -> Value:
    """The columns of some of the three gates."""
    width = weights.type.shape[0]
    return b.slice(weights, starts=first * width, stops=last * width, axes=1, steps=1)


def simple_cell(b: Builder, side: Side) -> tuple[Value, Step]:
    """An activation of the sum of the products with the input and the state (Elman 1990)."""
    weights = b.t(side.state)

    def step(body: Builder, x: Value, states: Sequence[Value]) -> tuple[Value, ...]:
        return (side.options.activated(body, 0, body.add(x, body.matmul(states[0], weights))),)

    return b.add(*b.split(side.bias, parts=2)), step


# --- driver --------------------------------------------------------------------------------------------------------


def recurrent(
    b: Builder,
    cell: Cell,
    x: Value,
    directions: Sequence[Side],
    states: Sequence[Value],
    lengths: Value | None = None,
) -> tuple[Value, ...]:
    """Runs a cell over x [t, b, i]: its outputs [t, d, b, n], and its last states [d, b, n].

    directions: one or two, d in all.
    states: the first states, [d, b, n] each.
    lengths: of the sequences, i[b]. Past its length, a sequence keeps its states and gives zeros.
    """
    live = None if lengths is None else _live(b, lengths, x.type.shape[0])
    runs = [
        _one_way(b, cell, x, side, [unstacked(b, state, index) for state in states], live)
        for index, side in enumerate(directions)
    ]
    ys, *finals = zip(*runs, strict=True)
    return _joined(b, ys, axis=1), *(_joined(b, values, axis=0) for values in finals)


def _one_way(
    b: Builder, cell: Cell, x: Value, side: Side, states: Sequence[Value], live: Value | None
) -> tuple[Value, ...]:
    """The outputs [t, b, n] and the last states [b, n] of one direction."""
    from ..control import scan  # which knows the table of operators

    bias, step = cell(b, side)
    projected = b.add(b.matmul(x, b.t(side.inputs)), bias)
    body = b.inner("step")
    before = [body.input(f"state_{i}", state.type) for i, state in enumerate(states)]
    after = step(body, _slice(body, "x", projected), before)
    output = after[0]
    if live is not None:
        here = _slice(body, "live", live)
        output = body.select(here, output, body.constant(0.0, output.type.dtype))
        after = [body.select(here, new, old) for new, old in zip(after, before, strict=True)]
    for index, value in enumerate((*after, output)):
        body.output(f"y{index}", value)
    sequences = [projected] if live is None else [projected, live]
    finals, (y,) = scan(b, body, states, sequences, reverse=side.reverse)
    return y, *finals


def _slice(body: Builder, name: str, sequence: Value) -> Value:
    """The input of a body for one step of a sequence."""
    return body.input(name, TensorType(sequence.type.dtype, sequence.type.shape[1:]))


def _live(b: Builder, lengths: Value, steps: Size) -> Value:
    """Which steps of which sequences exist: bool[t, b, 1]."""
    count = b.reshape(b.cast(lengths, dtype="i64"), shape=(*lengths.type.shape, 1))
    return b.less(b.reshape(b.iota(count=steps), shape=(steps, 1, 1)), count)


def unstacked(b: Builder, x: Value, index: int) -> Value:
    """The part of x [d, …] for one direction."""
    part = b.slice(x, starts=index, stops=index + 1, axes=0, steps=1)
    return b.reshape(part, shape=x.type.shape[1:])


def _joined(b: Builder, values: Sequence[Value], axis: int) -> Value:
    """Values stacked along a new axis."""
    shape = values[0].type.shape
    rows = [b.reshape(value, shape=(*shape[:axis], 1, *shape[axis:])) for value in values]
    return rows[0] if len(rows) == 1 else b.concat(*rows, axis=axis)


# --- operators -----------------------------------------------------------------------------------------------------

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""For each direction that is run, whether it runs from the end."""


def sides(
    b: Builder, direction: str, options: Sequence[Options], *weights: Value, peepholes: Value | None = None
) -> list[Side]:
    """The directions of ONNX's `direction`, with their parts of the weights w, r, bias [d, …]."""
    found: list[Side] = []
    for index, reverse in enumerate(DIRECTIONS[direction]):
        inputs, state, bias = (unstacked(b, value, index) for value in weights)
        extra = None if peepholes is None else unstacked(b, peepholes, index)
        found.append(Side(reverse, options[index], inputs, state, bias, extra))
    return found


def _lstm(
    b: Builder, x: Value, w: Value, r: Value, bias: Value, h: Value, c: Value, *lengths: Value, direction: str
) -> tuple[Value, ...]:
    options = [Options((sigmoid, tanh, tanh))] * 2
    return recurrent(b, lstm_cell, x, sides(b, direction, options, w, r, bias), (h, c), *lengths)


def _gru(
    b: Builder, x: Value, w: Value, r: Value, bias: Value, h: Value, *lengths: Value, direction: str, reset_after: bool
) -> tuple[Value, ...]:
    options = [Options((sigmoid, tanh), reset_after=reset_after)] * 2
    return recurrent(b, gru_cell, x, sides(b, direction, options, w, r, bias), (h,), *lengths)


def _rnn(
    b: Builder, x: Value, w: Value, r: Value, bias: Value, h: Value, direction: str, activation: str
) -> tuple[Value, ...]:
    options = [Options((relu if activation == "relu" else tanh,))] * 2
    return recurrent(b, simple_cell, x, sides(b, direction, options, w, r, bias), (h,))


def _shape(
    x: TensorType, w: TensorType, r: TensorType, bias: TensorType, *others: TensorType, direction: str,
    activation: str = "tanh", reset_after: bool = True,
) -> tuple[TensorType, ...]:  # fmt: skip
    if direction not in DIRECTIONS:
        raise bad_value("no such direction", '"forward", "reverse" or "bidirectional"', f'"{direction}"')
    if activation not in ("tanh", "relu"):
        raise bad_value("no such activation", '"tanh" or "relu"', f'"{activation}"')
    if w.shape[0] != len(DIRECTIONS[direction]):
        raise shape_mismatch("one set of weights for each direction", len(DIRECTIONS[direction]), w.shape[0])
    states = [type_ for type_ in others if type_.rank == 3]
    return TensorType(x.dtype, (x.shape[0], *states[0].shape)), *states


def _onnx(op_type: str) -> Callable[..., Any]:
    """The operator; where there may be nothing to run over, by which ONNX Runtime's kernels end, behind a question."""

    def lower(e: Emitter, node: Node, *inputs: str) -> Sequence[str]:
        count = len(node.outputs) - 1
        states, lengths = inputs[4 : 4 + count], inputs[4 + count :]
        steps, rows = node.inputs[0].type.shape[:2]
        types = [value.type for value in node.outputs]
        if 0 in (steps, rows):
            return _of_nothing(e, types[0]), *states
        if isinstance(steps, int) and isinstance(rows, int):
            return _kernel(e, op_type, node, inputs[:4], states, lengths)
        nothing = e.node("Equal", e.size(steps * rows), e.constant(np.array(0)))
        with e.nested("nothing") as then:
            e.give([_of_nothing(e, types[0]), *states], types)
        with e.nested("rounds") as otherwise:
            e.give(_kernel(e, op_type, node, inputs[:4], states, lengths), types)
        return e.node("If", nothing, outputs=len(types), then_branch=then, else_branch=otherwise)

    return lower


def _of_nothing(e: Emitter, type_: TensorType) -> str:
    return e.node("Expand", e.constant(np.zeros((), numpy_dtype(type_.dtype))), e.sizes(type_.shape))


def _kernel(
    e: Emitter, op_type: str, node: Node, weights: Sequence[str], states: Sequence[str], lengths: Sequence[str]
) -> tuple[str, ...]:
    attributes = node.attributes
    known: dict[str, Any] = {"direction": attributes["direction"], "hidden_size": node.inputs[2].type.shape[-1]}
    if op_type == "GRU":
        known["linear_before_reset"] = int(attributes["reset_after"])
    if op_type == "RNN":
        known["activations"] = [attributes["activation"].capitalize()] * len(DIRECTIONS[attributes["direction"]])
    counts = _counts(e, node, *lengths) if lengths else ""
    output, *last = e.node(op_type, *weights, counts, *states, outputs=len(node.outputs), **known)
    if lengths:
        some = e.node("Greater", e.node("Unsqueeze", counts, e.constant(np.array([1]))), e.constant(np.int32(0)))
        last = [e.node("Where", some, after, before) for after, before in zip(last, states, strict=True)]
    return output, *last


def _counts(e: Emitter, node: Node, lengths: str) -> str:
    """The lengths as the kernel takes them: i32, none above the number of steps."""
    longest = e.size(node.inputs[0].type.shape[0])
    within = e.node("Clip", lengths, e.constant(np.array(0)), longest)
    return e.node("Cast", within, to=e.onnx_dtype("i32"))


def _torch(name: str, order: tuple[int, ...]) -> Any:
    """PyTorch's module with these weights; `order` names for each of its gates the one of ONNX."""

    def run(
        x: Any, w: Any, r: Any, bias: Any, *states: Any, direction: str = "forward", reset_after: bool = True
    ) -> Any:
        size, count = r.shape[-1], w.shape[0]
        module = getattr(torch.nn, name)(x.shape[-1], size, bidirectional=count == 2)
        values = {}
        for index in range(count):
            gates = [torch.cat([part.split(size)[i] for i in order])
                     for part in (w[index], r[index], *bias[index].chunk(2))]  # fmt: skip
            names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            values |= {key + "_reverse" * index: gate for key, gate in zip(names, gates, strict=True)}
        states = states if len(states) == 2 else states[0]
        flipped = x.flip(0) if direction == "reverse" else x
        y, last = torch.func.functional_call(module, values, (flipped, states))
        y = y.flip(0) if direction == "reverse" else y
        return y.unflatten(-1, (count, size)).transpose(1, 2), *(last if isinstance(last, tuple) else (last,))

    return run


_LSTM = (0, 2, 3, 1)
_GRU = (1, 0, 2)

_LENGTHS = np.array([6, 0, 2])
_RAGGED = (
    "`{}` of sequences that have lengths: past its length, which is at most t, a sequence keeps its states and gives "
    "zeros; backward, each runs from its own end."
)

OPERATORS: tuple[Op, ...] = (
    Op(
        "lstm(x: f[t, b, i], w: f[d, 4*n, i], r: f[d, 4*n, n], bias: f[d, 8*n], h: f[d, b, n], c: f[d, b, n], "
        'direction: str = "forward") -> (f[t, d, b, n], f[d, b, n], f[d, b, n])',
        doc="Long short-term memory along the first axis (Hochreiter and Schmidhuber 1997): the outputs, the last of "
        "them, the last cell. `d` is 2 where the direction is bidirectional, else 1. Gates come as i, o, f, c; "
        "biases are those of the inputs, then those of the state.",
        body=_lstm,
        shape=_shape,
        onnx=_onnx("LSTM"),
        samples=(
            S((3, 2, 4), (1, 20, 4), (1, 20, 5), (1, 40), (1, 2, 5), (1, 2, 5), torch=_torch("LSTM", _LSTM)),
            S((3, 2, 4), (1, 8, 4), (1, 8, 2), (1, 16), (1, 2, 2), (1, 2, 2), direction="reverse"),
            S(
                (4, 1, 2),
                (2, 12, 2),
                (2, 12, 3),
                (2, 24),
                (2, 1, 3),
                (2, 1, 3),
                direction="bidirectional",
                torch=_torch("LSTM", _LSTM),
            ),
            Bad((3, 2, 4), (1, 20, 4), (1, 20, 4), (1, 40), (1, 2, 5), (1, 2, 5), code="shape-mismatch"),
            Bad((3, 2, 4), (2, 20, 4), (2, 20, 5), (2, 40), (2, 2, 5), (2, 2, 5), code="shape-mismatch"),
            Bad((3, 2, 4), (1, 8, 4), (1, 8, 2), (1, 16), (1, 2, 2), (1, 2, 2), direction="up", code="bad-value"),
        ),
    ),
    Op(
        "gru(x: f[t, b, i], w: f[d, 3*n, i], r: f[d, 3*n, n], bias: f[d, 6*n], h: f[d, b, n], "
        'direction: str = "forward", reset_after: bool = false) -> (f[t, d, b, n], f[d, b, n])',
        doc="Gated recurrent units along the first axis (Cho et al. 2014): the outputs, and the last of them. Gates "
        "come as z, r, h; biases are those of the inputs, then those of the state. `reset_after` applies the reset "
        "gate after the product with the state, as PyTorch does.",
        body=_gru,
        shape=_shape,
        onnx=_onnx("GRU"),
        samples=(
            S((3, 2, 4), (1, 15, 4), (1, 15, 5), (1, 30), (1, 2, 5), reset_after=True, torch=_torch("GRU", _GRU)),
            S(
                (3, 2, 4),
                (2, 6, 4),
                (2, 6, 2),
                (2, 12),
                (2, 2, 2),
                direction="bidirectional",
                reset_after=True,
                torch=_torch("GRU", _GRU),
            ),
            S((4, 1, 2), (1, 9, 2), (1, 9, 3), (1, 18), (1, 1, 3), direction="reverse"),
            Bad((3, 2, 4), (1, 15, 4), (1, 15, 5), (1, 15), (1, 2, 5), code="shape-mismatch"),
        ),
    ),
    Op(
        "rnn(x: f[t, b, i], w: f[d, n, i], r: f[d, n, n], bias: f[d, 2*n], h: f[d, b, n], "
        'direction: str = "forward", activation: str = "tanh") -> (f[t, d, b, n], f[d, b, n])',
        doc='h = activation(W x + R h + biases) along the first axis (Elman 1990), with "tanh" or "relu": the outputs, '
        "and the last of them.",
        body=_rnn,
        shape=_shape,
        onnx=_onnx("RNN"),
        samples=(
            S((3, 2, 4), (1, 5, 4), (1, 5, 5), (1, 10), (1, 2, 5), torch=_torch("RNN", (0,))),
            S((3, 2, 4), (2, 3, 4), (2, 3, 3), (2, 6), (2, 2, 3), direction="bidirectional", torch=_torch("RNN", (0,))),
            S((3, 2, 4), (1, 3, 4), (1, 3, 3), (1, 6), (1, 2, 3), activation="relu", direction="reverse"),
            Bad((3, 2, 4), (1, 5, 4), (1, 5, 5), (1, 10), (1, 2, 5), activation="gelu", code="bad-value"),
        ),
    ),
    Op(
        "ragged_lstm(x: f[t, b, i], w: f[d, 4*n, i], r: f[d, 4*n, n], bias: f[d, 8*n], h: f[d, b, n], c: f[d, b, n], "
        'lengths: i64[b], direction: str = "forward") -> (f[t, d, b, n], f[d, b, n], f[d, b, n])',
        doc=_RAGGED.format("lstm"),
        body=_lstm,
        shape=_shape,
        onnx=_onnx("LSTM"),
        samples=(
            S((3, 2, 4), (1, 20, 4), (1, 20, 5), (1, 40), (1, 2, 5), (1, 2, 5), np.array([2, 3])),
            S((4, 3, 2), (2, 12, 2), (2, 12, 3), (2, 24), (2, 3, 3), (2, 3, 3), _LENGTHS, direction="bidirectional"),
            Bad((3, 2, 4), (1, 20, 4), (1, 20, 5), (1, 40), (1, 2, 5), (1, 2, 5), _LENGTHS, code="shape-mismatch"),
        ),
    ),
    Op(
        "ragged_gru(x: f[t, b, i], w: f[d, 3*n, i], r: f[d, 3*n, n], bias: f[d, 6*n], h: f[d, b, n], lengths: i64[b], "
        'direction: str = "forward", reset_after: bool = false) -> (f[t, d, b, n], f[d, b, n])',
        doc=_RAGGED.format("gru"),
        body=_gru,
        shape=_shape,
        onnx=_onnx("GRU"),
        samples=(
            S((4, 3, 2), (1, 9, 2), (1, 9, 3), (1, 18), (1, 3, 3), _LENGTHS, direction="reverse", reset_after=True),
            S((4, 3, 2), (2, 9, 2), (2, 9, 3), (2, 18), (2, 3, 3), _LENGTHS, direction="bidirectional"),
        ),
    ),
)
