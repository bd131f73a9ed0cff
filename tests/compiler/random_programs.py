"""Random programs of nested iterations, choices and blocks, written twice: with control flow, and unrolled.

The unrolled form repeats a body in place of iterating it, computes both sides of a choice, and leaves a loop by
selecting; so it needs nothing of what is tested, and its gradients are those of straight code.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from netlang.compiler import control
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.ir import Graph, Value
from netlang.compiler.shapes import static_shape

from netlang.dims import Size, symbol
from netlang.types import TensorType

FLOAT = "f64"  # constants fold in it too, so that the two forms agree exactly
STEPS = symbol("steps")
SIZES = {"steps": 3}
BOUND = 3
DEPTH = 3

TYPES = {
    "number": TensorType(FLOAT),
    "vector": TensorType(FLOAT, (3,)),
    "matrix": TensorType(FLOAT, (2, 3)),
    "square": TensorType(FLOAT, (3, 3)),
    "integer": TensorType("i64"),
    "truth": TensorType("bool"),
}
FLOATS = ("number", "vector", "matrix", "square")

INPUTS: dict[str, tuple[str, Size | None]] = {
    "number": ("number", None),
    "vector": ("vector", None),
    "matrix": ("matrix", None),
    "square": ("square", None),
    "vectors": ("vector", STEPS),
    "matrices": ("matrix", STEPS),
    "numbers": ("number", 2),
}


@dataclass(frozen=True)
class Item:
    """A value of a program, or where `length` is given a sequence of them.

    `value` of an unrolled sequence is a list of pairs: whether the element is there (None: always), and the element.
    """

    kind: str
    value: Any
    length: Any = None


Scope = list[Item]


@dataclass(frozen=True)
class Program:
    """The program of one seed. `rolled`: with control flow."""

    seed: int
    rolled: bool

    def graph(self, order: int) -> Graph:
        """Its loss, the gradients by all inputs, and with order 2 those of the sum of their squares."""
        b = Builder(f"random_{self.seed}")
        inputs = [
            b.input(name, TensorType(FLOAT, TYPES[kind].shape if length is None else (length, *TYPES[kind].shape)))
            for name, (kind, length) in INPUTS.items()
        ]
        loss = self._loss(b, inputs)
        results = [loss]
        for _ in range(order):
            found = gradients(b, loss, inputs)
            results += found
            loss = _total(b, [b.sum(b.mul(g, g)) for g in found])
        for i, result in enumerate(results):
            b.output(f"y{i}", result)
        return b.graph()

    def feeds(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        feeds = {}
        for name, (kind, length) in INPUTS.items():
            rows = () if length is None else (length if isinstance(length, int) else SIZES["steps"],)
            feeds[name] = np.asarray(rng.standard_normal((*rows, *static_shape(TYPES[kind]))) / 2, np.float64)
        return feeds

    def _loss(self, b: Builder, inputs: Sequence[Value]) -> Value:
        scope: Scope = []
        for (kind, length), value in zip(INPUTS.values(), inputs, strict=True):
            if length is not None and not self.rolled:
                rows = length if isinstance(length, int) else SIZES["steps"]
                scope.append(Item(kind, [(None, _row(b, value, i)) for i in range(rows)], length))
            else:
                scope.append(Item(kind, value, length))
        scope += [Item("integer", b.constant(1)), Item("truth", b.greater(inputs[0], 0.0))]
        writer = _Writer(self.rolled, random.Random(self.seed))
        given = len(scope)
        scope = writer.body(b, scope, 0)
        terms = []
        for i, item in enumerate(scope[given:][-8:]):
            if item.kind not in FLOATS:
                continue
            if item.length is not None:
                terms.append(b.mul(writer.sum_of(b, item), 0.1 + 0.05 * i))
            else:
                terms.append(b.mul(b.sum(item.value), 0.3 + 0.1 * i))
        return _total(b, [*terms, b.mul(b.sum(inputs[1]), 0.5)])


def _total(b: Builder, values: Sequence[Value]) -> Value:
    total = values[0]
    for value in values[1:]:
        total = b.add(total, value)
    return total


def _row(b: Builder, x: Value, i: int) -> Value:
    return b.gather(x, b.constant(np.array(i)))


class _Writer:
    """Writes statements. Choices depend on the seed and on kinds alone, so both forms make the same."""

    def __init__(self, rolled: bool, rng: random.Random) -> None:
        self.rolled, self.rng = rolled, rng

    def body(self, b: Builder, scope: Scope, depth: int) -> Scope:
        scope = list(scope)
        for _ in range(self.rng.randint(2, 4) if depth else 6):
            if depth < DEPTH and self.rng.random() < (0.6, 0.4, 0.25)[depth]:
                nest = self.rng.choice((self.scan, self.scan, self.loop, self.branch, self.block))
                scope += nest(b, scope, depth + 1)
            else:
                scope += self.rng.choice(STATEMENTS)(self, b, scope)
        return scope

    def pick(self, scope: Scope, kind: str) -> Value:
        """A value of a kind; the latest ones are likelier."""
        values = [item.value for item in scope if item.kind == kind and item.length is None]
        return values[max(self.rng.randrange(len(values)), self.rng.randrange(len(values)))]

    def sequence(self, scope: Scope, length: Any = None, kinds: Sequence[str] = tuple(TYPES)) -> Item:
        found = [item for item in scope if item.length is not None and length in (None, item.length)]
        return self.rng.choice([item for item in found if item.kind in kinds])

    def kinds(self, least: int, most: int, among: Sequence[str] = tuple(TYPES)) -> list[str]:
        return [self.rng.choice(among) for _ in range(self.rng.randint(least, most))]

    def again(self, seed: int) -> _Writer:
        """A writer of one body: it makes the same choices each time."""
        return _Writer(self.rolled, random.Random(seed))

    def sum_of(self, b: Builder, item: Item) -> Value:
        """The sum of all elements of a sequence, after a function of each."""
        if self.rolled:
            return b.sum(b.sin(item.value))
        terms = [b.sum(b.sin(value)) for _, value in item.value]
        shown = [there for there, _ in item.value]
        return _total(b, [t if m is None else b.select(m, t, 0.0) for m, t in zip(shown, terms, strict=True)])

    def initial(self, b: Builder, scope: Scope, kind: str) -> Value:
        if self.rng.random() < 0.25:
            return b.constant(np.ones(static_shape(TYPES[kind])), TYPES[kind].dtype)
        return self.pick(scope, kind)

    # --- Iterations ---

    def scan(self, b: Builder, scope: Scope, depth: int) -> Scope:
        carries = self.kinds(0, 3)
        emitted = self.kinds(0 if carries else 1, 3)
        initial = [self.initial(b, scope, kind) for kind in carries]
        first = self.sequence(scope)
        sequences = [first, *(self.sequence(scope, first.length) for _ in range(self.rng.randint(0, 2)))]
        flags = {"reverse": self.rng.random() < 0.4, "recompute": self.rng.random() < 0.3}
        seed = self.rng.randrange(1 << 30)
        if self.rolled:
            return self._rolled_scan(b, scope, depth, seed, carries, initial, sequences, emitted, flags)
        count = len(first.value)
        stacks: list[list[Any]] = [[None] * count for _ in emitted]
        for i in reversed(range(count)) if flags["reverse"] else range(count):
            there = first.value[i][0]
            slices = [item.value[i][1] for item in sequences]
            state, results = self._round(b, scope, depth, seed, carries, initial, sequences, slices, emitted)
            initial = [_kept(b, there, new, old) for new, old in zip(state, initial, strict=True)]
            for stack, result in zip(stacks, results, strict=True):
                stack[i] = (there, result)
        return _items(carries, initial) + [Item(k, s, first.length) for k, s in zip(emitted, stacks, strict=True)]

    def _rolled_scan(
        self, b: Builder, scope: Scope, depth: int, seed: int, carries: list[str], initial: list[Value],
        sequences: list[Item], emitted: list[str], flags: dict[str, bool],
    ) -> Scope:  # fmt: skip
        body = b.inner("scan")
        state = [body.input(f"c{i}", TYPES[kind]) for i, kind in enumerate(carries)]
        slices = [body.input(f"s{i}", TYPES[item.kind]) for i, item in enumerate(sequences)]
        state, results = self._round(body, scope, depth, seed, carries, state, sequences, slices, emitted)
        for i, value in enumerate((*state, *results)):
            body.output(f"y{i}", value)
        finals, stacks = control.scan(b, body, initial, [item.value for item in sequences], **flags)
        length = sequences[0].length
        return _items(carries, finals) + [Item(k, s, length) for k, s in zip(emitted, stacks, strict=True)]

    def _round(
        self, b: Builder, scope: Scope, depth: int, seed: int, carries: list[str], state: list[Value],
        sequences: list[Item], slices: list[Value], emitted: list[str],
    ) -> tuple[list[Value], list[Value]]:  # fmt: skip
        writer = self.again(seed)
        inner = [*scope, *_items(carries, state), *_items([item.kind for item in sequences], slices)]
        inner = writer.body(b, inner, depth)
        return [writer.pick(inner, kind) for kind in carries], [writer.pick(inner, kind) for kind in emitted]

    def loop(self, b: Builder, scope: Scope, depth: int) -> Scope:
        carries, emitted = self.kinds(1, 3), self.kinds(0, 2)
        initial = [self.initial(b, scope, kind) for kind in carries]
        trips = self.rng.choice((None, 1, 2, BOUND))
        condition = self.pick(scope, "truth") if self.rng.random() < 0.3 else None
        recompute, seed = self.rng.random() < 0.3, self.rng.randrange(1 << 30)
        if self.rolled:
            return self._rolled_loop(b, scope, depth, seed, carries, initial, emitted, trips, condition, recompute)
        length = object()  # a size of its own
        active = b.constant(True) if condition is None else condition
        stacks: list[list[Any]] = [[] for _ in emitted]
        for i in range(BOUND if trips is None else trips):
            go_on, state, results = self._turn(
                b, scope, depth, seed, b.constant(np.array(i)), carries, initial, emitted
            )
            initial = [_kept(b, active, new, old) for new, old in zip(state, initial, strict=True)]
            for stack, result in zip(stacks, results, strict=True):
                stack.append((active, result))
            active = b.logical_and(active, go_on)
        return _items(carries, initial) + [Item(k, s, length) for k, s in zip(emitted, stacks, strict=True)]

    def _rolled_loop(
        self, b: Builder, scope: Scope, depth: int, seed: int, carries: list[str], initial: list[Value],
        emitted: list[str], trips: int | None, condition: Value | None, recompute: bool,
    ) -> Scope:  # fmt: skip
        body = b.inner("loop")
        index = body.input("index", TYPES["integer"])
        state = [body.input(f"c{i}", TYPES[kind]) for i, kind in enumerate(carries)]
        go_on, state, results = self._turn(body, scope, depth, seed, index, carries, state, emitted)
        for i, value in enumerate((go_on, *state, *results)):
            body.output(f"y{i}", value)
        rounds = None if trips is None else b.constant(np.array(trips))
        finals, stacks = control.loop(b, body, rounds, condition, initial, bound=BOUND, recompute=recompute)
        length = object() if not stacks else stacks[0].type.shape[0]
        return _items(carries, finals) + [Item(k, s, length) for k, s in zip(emitted, stacks, strict=True)]

    def _turn(
        self, b: Builder, scope: Scope, depth: int, seed: int, index: Value, carries: list[str], state: list[Value],
        emitted: list[str],
    ) -> tuple[Value, list[Value], list[Value]]:  # fmt: skip
        writer = self.again(seed)
        inner = writer.body(b, [*scope, Item("integer", index), *_items(carries, state)], depth)
        go_on = writer.pick(inner, "truth") if writer.rng.random() < 0.7 else b.constant(True)
        return go_on, [writer.pick(inner, k) for k in carries], [writer.pick(inner, k) for k in emitted]

    # --- Choices and blocks ---

    def branch(self, b: Builder, scope: Scope, depth: int) -> Scope:
        kinds, condition = self.kinds(1, 3), self.pick(scope, "truth")
        sides = [self.rng.randrange(1 << 30) for _ in range(2)]
        if self.rolled:
            bodies = [self._side(b.inner("side"), scope, depth, seed, kinds) for seed in sides]
            return _items(kinds, control.branch(b, condition, *bodies))
        then, otherwise = (self._outputs(b, scope, depth, seed, kinds) for seed in sides)
        return _items(kinds, [_kept(b, condition, x, y) for x, y in zip(then, otherwise, strict=True)])

    def block(self, b: Builder, scope: Scope, depth: int) -> Scope:
        kinds, recompute, seed = self.kinds(1, 2), self.rng.random() < 0.6, self.rng.randrange(1 << 30)
        if self.rolled:
            return _items(kinds, control.block(b, self._side(b.inner("block"), scope, depth, seed, kinds),
                                               recompute=recompute))  # fmt: skip
        return _items(kinds, self._outputs(b, scope, depth, seed, kinds))

    def _side(self, b: Builder, scope: Scope, depth: int, seed: int, kinds: list[str]) -> Builder:
        for i, value in enumerate(self._outputs(b, scope, depth, seed, kinds)):
            b.output(f"y{i}", value)
        return b

    def _outputs(self, b: Builder, scope: Scope, depth: int, seed: int, kinds: list[str]) -> list[Value]:
        writer = self.again(seed)
        inner = writer.body(b, scope, depth)
        return [writer.pick(inner, kind) for kind in kinds]


def _items(kinds: Sequence[str], values: Sequence[Value]) -> Scope:
    return [Item(kind, value) for kind, value in zip(kinds, values, strict=True)]


def _kept(b: Builder, condition: Value | None, new: Value, old: Value) -> Value:
    return new if condition is None or new is old else b.select(condition, new, old)


# --- Straight statements: what they give stays small, so that no program blows up ------------------------------------

Statement = Callable[[_Writer, Builder, Scope], Scope]


def _same_kind(make: Callable[..., Value], operands: int = 1) -> Statement:
    def statement(writer: _Writer, b: Builder, scope: Scope) -> Scope:
        kind = writer.rng.choice(FLOATS)
        return [Item(kind, make(b, *(writer.pick(scope, kind) for _ in range(operands))))]

    return statement


def _of(kind: str, operands: str, make: Callable[..., Value]) -> Statement:
    """A value of `kind` from operands of the kinds listed."""

    def statement(writer: _Writer, b: Builder, scope: Scope) -> Scope:
        return [Item(kind, make(b, *(writer.pick(scope, operand) for operand in operands.split())))]

    return statement


def _mapped(writer: _Writer, b: Builder, scope: Scope) -> Scope:
    item = writer.sequence(scope, kinds=FLOATS)
    if writer.rolled:
        return [replace(item, value=b.tanh(item.value))]
    return [replace(item, value=[(there, b.tanh(value)) for there, value in item.value])]


def _summed(writer: _Writer, b: Builder, scope: Scope) -> Scope:
    return [Item("number", b.mul(writer.sum_of(b, writer.sequence(scope, kinds=FLOATS)), 0.2))]


def _positive_sum(b: Builder, x: Value) -> Value:
    """The sum of the positive elements, found by their places: a size that the node determines."""
    count = b.fresh("nonzero")
    places = b.nonzero(b.greater(x, 0.0), count=count)
    ones = b.full(shape=(count,), value=0.5, dtype=FLOAT)
    return b.mul(b.sum(b.mul(b.gather(x, b.reshape(places, shape=(count,))), ones)), 0.5)


def _lstm(b: Builder, x: Value, square: Value, vector: Value, number: Value) -> Value:
    weight = b.reshape(b.concat(square, b.reshape(vector, shape=(1, 3)), axis=0), shape=(1, 4, 3))
    state = b.reshape(number, shape=(1, 1, 1))
    recurrent, bias = (b.full(shape=s, value=0.3, dtype=FLOAT) for s in ((1, 4, 1), (1, 8)))
    y, _, c = b.lstm(b.reshape(x, shape=(2, 1, 3)), weight, recurrent, bias, state, state)
    return b.mul(b.add(b.sum(y), b.sum(c)), 0.5)


def _group_norm(b: Builder, x: Value, scale: Value) -> Value:
    pair = b.expand(b.reshape(scale, shape=(1,)), shape=(2,))
    return b.mul(b.reshape(b.group_norm(b.reshape(x, shape=(1, 2, 3)), pair, pair, groups=1), shape=(2, 3)), 0.3)


def _shifted(b: Builder, x: Value, y: Value) -> Value:
    return b.slice(b.concat(x, y, axis=0), starts=(1,), stops=(4,), axes=(0,), steps=(1,))


def _moved(b: Builder, x: Value) -> Value:
    return b.transpose(b.reshape(x, shape=(3, 2)), perm=(1, 0))


STATEMENTS: tuple[Statement, ...] = (
    _same_kind(lambda b, x: b.tanh(x)),
    _same_kind(lambda b, x: b.mul(b.softplus(x), 0.3)),
    _same_kind(lambda b, x: b.sin(b.add(x, 0.3))),
    _same_kind(lambda b, x, y: b.mul(x, y), 2),
    _same_kind(lambda b, x, y: b.mul(b.add(x, y), 0.5), 2),
    _same_kind(lambda b, x, y: b.mul(b.sub(x, b.stop_gradient(y)), 0.5), 2),
    _of("vector", "vector number", lambda b, x, y: b.mul(x, y)),
    _of("matrix", "matrix vector", lambda b, x, y: b.mul(b.add(x, y), 0.5)),
    _of("matrix", "matrix square", lambda b, x, y: b.tanh(b.matmul(x, y))),
    _of("matrix", "matrix square vector", lambda b, x, y, z: b.tanh(b.add(b.matmul(x, y), z))),
    _of("square", "matrix matrix", lambda b, x, y: b.mul(b.matmul(b.t(x), y), 0.3)),
    _of("vector", "matrix", lambda b, x: b.mul(b.sum(x, axis=(0,)), 0.5)),
    _of("vector", "square", lambda b, x: b.mul(b.logsumexp(x, axis=(1,)), 0.5)),
    _of("number", "vector", lambda b, x: b.mul(b.sum(x), 0.3)),
    _of("vector", "vector", lambda b, x: b.softmax(x)),
    _of("vector", "vector vector", _shifted),
    _of("matrix", "matrix", _moved),
    _of("matrix", "matrix number", _group_norm),
    _of("number", "matrix", lambda b, x: b.mul(b.cross_entropy(x, b.constant(np.array([2, 0]))), 0.3)),
    _of("number", "matrix square vector number", _lstm),
    _of("number", "vector", _positive_sum),
    _of("number", "vector", lambda b, x: b.mul(b.sum(b.sin(b.masked_select(x, b.less(x, 0.2)))), 0.5)),
    _of("number", "integer", lambda b, x: b.sin(b.cast(x, dtype=FLOAT))),
    _of("vector", "matrix integer", lambda b, x, y: b.gather(x, b.mod(y, 2))),
    _of("vector", "truth vector vector", lambda b, c, x, y: b.select(c, x, y)),
    _of("integer", "integer", lambda b, x: b.add(x, 1)),
    _of("integer", "integer integer", lambda b, x, y: b.mod(b.add(x, y), 7)),
    _of("truth", "number number", lambda b, x, y: b.less(x, y)),
    _of("truth", "truth integer", lambda b, x, y: b.logical_or(b.logical_not(x), b.greater(y, 2))),
    _of("number", "", lambda b: b.constant(np.array(0.7, np.float64))),
    _of("vector", "", lambda b: b.constant(np.array([0.1, -0.2, 0.3], np.float64))),
    _mapped,
    _summed,
)  # fmt: skip
