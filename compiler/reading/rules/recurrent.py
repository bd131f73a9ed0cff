"""Reads LSTM, GRU and RNN: as one operator where they are plain, else as a scan of the same cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from netlang.types import TensorType

from ...ops.recurrent import (
    DIRECTIONS,
    Activation,
    Cell,
    Options,
    gru_cell,
    lstm_cell,
    recurrent,
    sides,
    simple_cell,
)

if TYPE_CHECKING:
    from ...builder import Builder
    from ...ir import Value
    from ..call import Call
    from ..reader import Reader


@dataclass(frozen=True)
class Kind:
    """A recurrent operator: its name in the table, cell, number of gates, activations, number of states."""

    op: str
    cell: Cell
    gates: int
    activations: tuple[str, ...]
    states: int


LSTM = Kind("lstm", lstm_cell, 4, ("sigmoid", "tanh", "tanh"), 2)
GRU = Kind("gru", gru_cell, 3, ("sigmoid", "tanh"), 1)
RNN = Kind("rnn", simple_cell, 1, ("tanh",), 1)


def read(kind: Kind, reader: Reader, call: Call) -> Sequence[Value | None]:
    """LSTM-7 to -22, GRU-7 to -22, RNN-7 to -22."""
    b = reader.b
    batch_first = bool(call.attribute("layout", 0))
    _check(reader, kind, call)
    operands = _operands(reader, kind, call, batch_first)
    attrs, lengths = _plain(reader, kind, call), _lengths(reader, call)
    if attrs is None or (lengths is not None and kind is RNN):
        results = _in_full(reader, kind, call, operands)
    elif lengths is None:
        results = getattr(b, kind.op)(*operands, **attrs)
    else:
        results = getattr(b, f"ragged_{kind.op}")(*operands, b.cast(lengths, dtype="i64"), **attrs)
    if not batch_first:
        return results
    y, *last = results
    return b.transpose(y, perm=(2, 0, 1, 3)), *(b.transpose(state, perm=(1, 0, 2)) for state in last)


def _check(reader: Reader, kind: Kind, call: Call) -> None:
    """Refuses directions and activations that ONNX does not have."""
    direction = call.attribute("direction", "forward")
    if direction not in DIRECTIONS:
        raise reader.refuse(call, f"there is no direction `{direction}`")
    names = _activation_names(kind, call)
    if len(names) < len(kind.activations) * len(DIRECTIONS[direction]):
        raise reader.refuse(call, "it needs more activations")
    for name in names:
        if name not in _PARAMETERS:
            raise reader.refuse(call, f"there is no activation `{name}`")


def _operands(reader: Reader, kind: Kind, call: Call, batch_first: bool) -> list[Value]:
    """The inputs, the weights, the bias and the first states, with zeros for what is left out; time comes first."""
    b = reader.b
    x, w, r, bias = (call.input(index) for index in range(4))
    assert x is not None and w is not None and r is not None
    if batch_first:
        x = b.transpose(x, perm=(1, 0, 2))
    directions, size = w.type.shape[0], r.type.shape[2]
    bias = _or_zeros(b, bias, TensorType(x.type.dtype, (directions, 2 * kind.gates * size)))
    states = [call.input(5 + index) for index in range(kind.states)]
    if batch_first:
        states = [None if state is None else b.transpose(state, perm=(1, 0, 2)) for state in states]
    first = TensorType(x.type.dtype, (directions, x.type.shape[1], size))
    return [x, w, r, bias, *(_or_zeros(b, state, first) for state in states)]


def _or_zeros(b: Builder, value: Value | None, type_: TensorType) -> Value:
    return b.full(shape=type_.shape, value=0.0, dtype=type_.dtype) if value is None else value


def _plain(reader: Reader, kind: Kind, call: Call) -> dict[str, Any] | None:
    """The attributes of the operator of the table, or None for a use that it does not have."""
    names, direction = _activation_names(kind, call), call.attribute("direction", "forward")
    unusual = {"clip", "activation_alpha", "activation_beta"} & call.attributes.keys() or call.attribute("input_forget")
    given = call.inputs[0]
    assert given is not None
    if unusual or call.input(7) is not None or given.type.dtype != "f32":
        return None
    attrs: dict[str, Any] = {"direction": direction}
    if kind is RNN and set(names) == {"relu"}:
        return attrs | {"activation": "relu"}
    if kind is GRU:
        attrs["reset_after"] = bool(call.attribute("linear_before_reset", 0))
    return attrs if names == kind.activations * len(DIRECTIONS[direction]) else None


def _in_full(reader: Reader, kind: Kind, call: Call, operands: Sequence[Value]) -> Sequence[Value]:
    """The cell's scan, with all that ONNX can ask of it."""
    b = reader.b
    x, w, r, bias, *states = operands
    activations, count = _activations(kind, call), len(kind.activations)
    direction = call.attribute("direction", "forward")
    options = [
        Options(
            activations[index * count : (index + 1) * count],
            clip=call.attribute("clip"),
            coupled=bool(call.attribute("input_forget", 0)),
            reset_after=bool(call.attribute("linear_before_reset", 0)),
        )
        for index in range(len(DIRECTIONS[direction]))
    ]
    directions = sides(b, direction, options, w, r, bias, peepholes=call.input(7))
    return recurrent(b, kind.cell, x, directions, states, _lengths(reader, call))


def _lengths(reader: Reader, call: Call) -> Value | None:
    """The lengths of the sequences, unless all are known to be as long as they can be."""
    lengths, x = call.input(4), call.input(0)
    known = reader.constant(lengths)
    assert x is not None
    full = x.type.shape[1 if call.attribute("layout", 0) else 0]
    return None if known is not None and bool(np.all(known == full)) else lengths


# --- activations ---------------------------------------------------------------------------------------------------


def _affine(b: Builder, x: Value, alpha: float, beta: float) -> Value:
    return b.add(b.mul(x, alpha), beta)


def _scaled_tanh(b: Builder, x: Value, alpha: float, beta: float) -> Value:
    return b.mul(b.tanh(b.mul(x, beta)), alpha)


_PARAMETERS: dict[str, tuple[Any, tuple[float, ...]]] = {
    "affine": (_affine, (1.0, 0.0)),
    "elu": (lambda b, x, alpha: b.elu(x, alpha=alpha), (1.0,)),
    "hardsigmoid": (lambda b, x, alpha, beta: b.hardsigmoid(x, alpha=alpha, beta=beta), (0.2, 0.5)),
    "leakyrelu": (lambda b, x, alpha: b.leaky_relu(x, slope=alpha), (0.01,)),
    "relu": (lambda b, x: b.relu(x), ()),
    "scaledtanh": (_scaled_tanh, (1.0, 1.0)),
    "sigmoid": (lambda b, x: b.sigmoid(x), ()),
    "softplus": (lambda b, x: b.softplus(x), ()),
    "softsign": (lambda b, x: b.softsign(x), ()),
    "tanh": (lambda b, x: b.tanh(x), ()),
    "thresholdedrelu": (lambda b, x, alpha: b.thresholded_relu(x, alpha=alpha), (1.0,)),
}
"""Each activation with the defaults of its alpha and beta, as many as it has."""


def _activation_names(kind: Kind, call: Call) -> tuple[str, ...]:
    """The activations of all directions, in lower case."""
    count = len(DIRECTIONS[call.attribute("direction", "forward")])
    given = call.attribute("activations")
    return tuple(name.lower() for name in given)[: len(kind.activations) * count] if given else kind.activations * count


def _activations(kind: Kind, call: Call) -> tuple[Activation, ...]:
    """The activations of all directions; those that have an alpha or a beta take the next one that the node states."""
    stated = iter(call.attribute("activation_alpha", ())), iter(call.attribute("activation_beta", ()))
    return tuple(_activation(name, stated) for name in _activation_names(kind, call))


def _activation(name: str, stated: Sequence[Iterator[float]]) -> Activation:
    function, defaults = _PARAMETERS[name]
    numbers = [next(values, default) for values, default in zip(stated, defaults, strict=False)]

    def activation(b: Builder, x: Value) -> Value:
        return function(b, x, *numbers)

    return activation


RULES = {"LSTM": partial(read, LSTM), "GRU": partial(read, GRU), "RNN": partial(read, RNN)}
