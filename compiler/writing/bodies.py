"""The text of one body: its statements, the names in it, and what its weights are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..ir import Value
from .control import constant_text, write_control
from .definitions import Definition, determined
from .expressions import INFIX, PIPE, POSTFIX, PREFIX, Text, call, infix, listed, pipe, prefix
from .foreign import foreign_text
from .names import Names
from .numbers import tensor_text, value_text
from .operators import ELEMENTWISE, arguments, constant_like, function_name, index, is_index, is_turned
from .scopes import identifier, stem, without_number
from .steps import (
    CALL,
    FUNCTION,
    LAYER,
    OPERATOR,
    REPEAT,
    VARIABLE,
    Body,
    Carried,
    Facts,
    Place,
    Step,
    is_uniform,
    placed,
)

MAX_BULK = 5
"""Applications in one expression, chains not counted; what is larger is cut by giving its parts names."""
MAX_CHAIN = 30
"""Applications one after the other in one statement."""
LONG_CHAIN = 3
"""A chain of so many functions is written as a pipeline even inside a calculation."""


class BodyWriter:
    """Writes the statements of one body, in order.

    A result that is used once is written where it is used; other results get names. `layout` tells after `write` what
    each step that owns weights is called in the tree of parameters; in a repeat, in its first round.
    """

    def __init__(self, definition: Definition, inputs: Sequence[str], facts: Facts, names: Names,
                 hidden: frozenset[str], keep_inputs: bool) -> None:  # fmt: skip
        self._definition = definition
        self._facts = facts
        self._names = names
        self._hidden = hidden
        self._lines: list[str] = []
        self._named: dict[Value, str] = dict(zip(definition.body.inputs, inputs, strict=True))
        self._fixed = set(self._named) if keep_inputs else set()  # values whose names cannot be given to others
        self._pending: dict[Value, tuple[Place, Step]] = {}
        self._bulk: dict[Value, int] = {}
        self._depth: dict[Value, int] = {}
        self._remaining = Counter(x for _, step in placed(definition.body.steps) for x in step.inputs)
        self._remaining.update(definition.body.outputs)
        self._lets: dict[Place, str] = {}
        self._told = self._sizes_told()
        self._touched: list[Value] = []
        self.layout: dict[Place, str] = {}
        self.library: set[str] = set()

    def write(self) -> list[str]:
        """The lines of the body, the last of which returns."""
        body = self._definition.body
        self._create(list(enumerate(body.steps)))
        for place, step in enumerate(body.steps):
            self._step(place, step)
        if len(body.outputs) > 1:  # pipelines beside each other are hard to tell apart
            for value in body.outputs:
                waiting = self._pending.get(value)
                self._name_pending(value if waiting is not None and len(waiting[1].inputs) == 1 else None)
        results = ", ".join(self._render(value, PIPE).text for value in body.outputs)
        return [*self._lines, f"return {results}"]

    # --- Statements --------------------------------------------------------------------------------------------------

    def _create(self, steps: Sequence[tuple[Place, Step]]) -> None:
        """`let` lines for the layers that their author named."""
        for place, step in steps:
            if step.kind not in (LAYER, CALL) or not self._names.is_free(step.hint) or self._is_function(step):
                continue
            if without_number(step.hint) == self._callee(step):
                continue
            self._create_one(place, step, self._names.member(step.hint))

    def _create_one(self, place: Place, step: Step, name: str) -> None:
        self.layout[place] = self._names.layer(name)
        self._lines.append(f"let {name} = {self._creation(place, step)}")
        self._lets[place] = name

    def _step(self, place: Place, step: Step) -> None:
        if step.kind == VARIABLE:
            self._declare(place, step)
        elif step.kind == REPEAT:
            assert isinstance(place, int)
            self._repeat(place, step)
        elif step.callee == "embedding" and self._remaining[step.owned["weight"].value]:
            self._tie(place, step)
        else:
            self._cut(step)
            if step.bodies:
                write_control(self, place, step)
                self._tell_sizes(place, step)
                return
            (value, *others) = step.outputs
            self._bulk[value] = self._bulk_of(step)
            depth = self._depth[value] = 1 + max((self._depth[x] for x in step.inputs if x in self._pending), default=0)
            if not others and self._remaining[value] == 1 and place not in self._told and depth < MAX_CHAIN:
                self._pending[value] = place, step
            else:
                self._assign(place, step)
                self._tell_sizes(place, step)

    def _sizes_told(self) -> dict[Place, dict[str, Any]]:
        """For each step that determines sizes which are used elsewhere: the names of these, and the sizes."""
        texts = self._definition.texts
        inner = [*determined(self._definition.body)]
        used = {word for address, text in texts.items() if address[:2] not in inner for word in _WORD.findall(text)}
        steps = dict(placed(self._definition.body.steps))
        told: dict[Place, dict[str, Any]] = {}
        for place, name in inner:
            value = steps[place].settings[name]
            for i, size in enumerate(value if isinstance(value, tuple) else (value,)):
                text = texts[(place, name, i) if isinstance(value, tuple) else (place, name)]
                if text in used:
                    told.setdefault(place, {})[text] = size
        return told

    def _tell_sizes(self, place: Place, step: Step) -> None:
        """`count = sizes(x)[0]`: gives names to the sizes that a step has determined."""
        for name, size in self._told.get(place, {}).items():
            value = next(x for x in step.outputs if size in x.type.shape)
            self._lines.append(f"{name} = sizes({self._named[value]})[{value.type.shape.index(size)}]")

    def _tie(self, place: Place, step: Step) -> None:
        """An embedding whose weight is used elsewhere, too: it gets a name, and is applied before that."""
        if place not in self._lets:
            self._create_one(place, step, self._names.member("table"))
        self._assign(place, step)
        weight = step.owned["weight"].value
        self._named[weight] = f"{self._lets[place]}.weight"
        self._fixed.add(weight)

    def _declare(self, place: Place, step: Step) -> None:
        """`param weight: f32[out, i] ~ …`, or a state that nothing changes."""
        (value,) = step.outputs
        name = self._names.member(weight_stem(value, self._definition.body) if step.callee == "param" else "table")
        dims = [self._number(place, "shape", axis) for axis in range(value.type.rank)]
        type_ = value.type.dtype + (listed(dims) if dims else "")
        self._lines.append(f"{step.callee} {name}: {type_} ~ {_initial(step)}")
        self.layout[place] = self._names.layer(name)
        self._named[value] = name
        self._fixed.add(value)

    def _assign(self, place: Place, step: Step) -> None:
        """Gives the results of a step names."""
        text = self._written(place, step)
        if len(step.outputs) == 1:
            self._bind(step.outputs[0], text, step)
            return
        stems = ("q", "k", "v") if step.callee == "split" and len(step.outputs) == 3 else ()
        targets: list[str] = []
        for i, value in enumerate(step.outputs):
            used = self._remaining[value] > 0
            name = self._names.fresh(*stems[i : i + 1]) if used else self._names.numbered("_rest")
            self._named[value] = name
            targets.append(name)
        self._lines.append(f"{', '.join(targets)} = {text}")

    def _written(self, place: Place, step: Step) -> str:
        self._touched = []
        return self._expression(place, step, PIPE).text

    def _bind(self, value: Value, text: str, step: Step) -> None:
        """`x = text`, with the name of a value that is not needed any more where there is one."""
        name = self._reusable(value, any_rank=step.callee in _MOVES) or self._names.fresh(step.hint[:1])
        self._lines.append(f"{name} = {text}")
        self._named[value] = name

    def _reusable(self, value: Value, any_rank: bool) -> str | None:
        for old in self._touched:
            same = old.type.dtype == value.type.dtype and (any_rank or old.type.rank == value.type.rank)
            if same and not self._remaining[old] and old not in self._fixed:
                return self._named[old]
        return None

    def _name_pending(self, value: Value | None) -> None:
        """Gives a value that waits for its use a name now."""
        if value is not None and value in self._pending:
            place, step = self._pending.pop(value)
            self._bind(value, self._written(place, step), step)

    def _cut(self, step: Step) -> None:
        """Names operands of a step until what is left makes one readable expression."""
        if step.callee in _POSTFIX and step.inputs[0] in self._pending:
            _, inner = self._pending[step.inputs[0]]
            self._name_pending(step.inputs[0] if inner.kind in (LAYER, CALL) else None)
        waiting = [x for x in dict.fromkeys(step.inputs) if x in self._pending]
        if len(step.inputs) == 1:
            return
        for x in waiting:
            self._name_pending(self._moved(x))
        waiting = [x for x in waiting if x in self._pending]
        while sum(self._bulk[x] for x in waiting) > MAX_BULK:
            largest = max(waiting, key=lambda x: self._bulk[x])
            waiting.remove(largest)
            self._name_pending(largest)

    def _moved(self, value: Value) -> Value | None:
        """What is moved about more than once (reshaped, transposed) in a pending operand."""
        while value in self._pending and is_turned(self._pending[value][1]):
            (value,) = self._pending[value][1].inputs
        chain: list[Step] = []
        at = value
        while at in self._pending and self._pending[at][1].callee in _MOVES:
            chain.append(self._pending[at][1])
            at = chain[-1].inputs[0]
        return value if len(chain) > 1 else None

    def _bulk_of(self, step: Step) -> int:
        waiting = [self._bulk[x] for x in step.inputs if x in self._pending]
        return max([1, *waiting]) if len(step.inputs) == 1 else 1 + sum(waiting)

    # --- What `control` needs ----------------------------------------------------------------------------------------

    def bind(self, value: Value, name: str) -> None:
        """Lets a name of the text stand for a value."""
        self._named[value] = name

    def fresh(self, *stems: str) -> str:
        """A name not used before."""
        return self._names.fresh(*stems)

    def lines(self, lines: Sequence[str]) -> None:
        """Adds lines to what is being written."""
        self._lines += lines

    @contextmanager
    def block(self) -> Iterator[list[str]]:
        """What is written inside goes into lines of its own."""
        outer, self._lines = self._lines, []
        yield self._lines
        self._lines = outer

    def constant(self, value: Value) -> Any:
        """The content of a constant scalar, or None."""
        array = self._facts.literal(value)
        return None if array is None or array.ndim else array.item()

    def is_used(self, value: Value) -> bool:
        """Whether a value is used further on."""
        return self._remaining[value] > 0

    def operand(self, place: Place, step: Step, i: int) -> str:
        """An input of a step."""
        return self._operand(place, step, i).text

    def inner(self, place: tuple[Place, str], body: Body) -> Iterator[str]:
        """Writes the steps of an inner body and then, one at a time, its results; `lines` has what was written before.

        Names from outside keep their meaning inside and after.
        """
        uses = Counter(x for step in body.steps for x in step.inputs)
        uses.update(body.outputs)
        for value in uses:
            self._name_pending(value)
        self._remaining.update(uses)
        fixed = self._fixed
        self._fixed = fixed | set(self._named)
        for i, step in enumerate(body.steps):
            self._step((*place, i), step)
        for value in body.outputs:
            array = self._facts.literal(value)
            yield self._render(value, PIPE).text if array is None else constant_text(value, array)
        self._fixed = fixed

    # --- Repeats -----------------------------------------------------------------------------------------------------

    def _repeat(self, place: int, step: Step) -> None:
        steps = [((place, j), part) for j, part in enumerate(step.rounds[0])]
        inside = Counter(x for _, part in steps for x in part.inputs)
        for value in inside:
            self._name_pending(value)
        carried = {c: self._carry(c, inside) for c in step.carried}
        initial = {c.initial for c in step.carried}
        fixed = self._fixed
        self._fixed = fixed | {value for value in self._named if value not in initial}
        outer, self._lines = self._lines, []
        self._names.begin_repeat()
        for c in step.carried:
            self._remaining[c.results[0]] += 1
        self._create([(at, part) for at, part in steps if self._is_named_alike(step, at[-1])])
        for inner_place, part in steps:
            self._step(inner_place, part)
        self._carry_on(carried)
        self._names.end_repeat()
        inner, self._lines = self._lines, outer
        self._lines += [f"repeat {len(step.rounds)} {{", *(f"  {line}" for line in inner), "}"]
        self._fixed = fixed
        for c, name in carried.items():
            self._named[c.results[-1]] = name

    def _is_named_alike(self, repeat: Step, j: int) -> bool:
        """Whether the author called a step the same in every round."""
        return len({steps[j].hint for steps in repeat.rounds}) == 1

    def _carry(self, carried: Carried, inside: Counter[Value]) -> str:
        """The name that a carried value has in all rounds: its own where nothing else needs that."""
        value = carried.initial
        name = self._named.get(value)
        if name is not None and value not in self._fixed and self._remaining[value] == inside[value]:
            return name
        self._remaining[value] += 1
        text = self._render(value, PIPE).text
        name = self._names.fresh()
        self._lines.append(f"{name} = {text}")
        self._named[value] = name
        return name

    def _carry_on(self, carried: dict[Carried, str]) -> None:
        """The lines at the end of a round that give carried values their names."""
        targets: list[str] = []
        texts: list[str] = []
        for c, name in carried.items():
            value = c.results[0]
            if self._named.get(value) != name:
                targets.append(name)
                texts.append(self._render(value, PIPE).text)
        if targets:
            self._lines.append(f"{', '.join(targets)} = {', '.join(texts)}")

    # --- Expressions -------------------------------------------------------------------------------------------------

    def _render(self, value: Value, context: int) -> Text:
        """A value where it is used: its name, or the expression that waits for this use."""
        self._remaining[value] -= 1
        if value in self._named:
            self._touched.append(value)
            return Text(self._named[value])
        place, step = self._pending.pop(value)
        return self._expression(place, step, context)

    def _expression(self, place: Place, step: Step, context: int) -> Text:
        if step.kind == OPERATOR:
            return self._operator(place, step, context)
        if len(step.inputs) == 1 and (context == PIPE or self._is_long(place, step)):
            left = self._render(step.inputs[0], PIPE)
            return pipe(left, self._layer(place, step, piped=True))
        function = self._layer(place, step, piped=False)
        return call(function, [self._render(x, POSTFIX).text for x in step.inputs])

    def _is_long(self, place: Place, step: Step) -> bool:
        """Whether so many functions are applied one after the other up to this step that a pipeline reads better."""
        length = 0.0
        while len(step.inputs) == 1:
            created = step.kind in (LAYER, CALL) and place not in self._lets and not self._is_function(step)
            length += 1.5 if created else 1
            if step.inputs[0] not in self._pending:
                break
            place, step = self._pending[step.inputs[0]]
        return length >= LONG_CHAIN

    def _layer(self, place: Place, step: Step, piped: bool) -> str:
        """What is applied: a layer that has a name, or one that is created here."""
        if place in self._lets:
            return self._lets[place]
        text = self._creation(place, step)
        if not self._is_function(step):
            self.layout[place] = self._names.layer(self._callee(step))
        return text

    def _creation(self, place: Place, step: Step) -> str:
        """`linear(64, bias = false)`."""
        callee = self._callee(step)
        if step.kind in (LAYER, FUNCTION):
            self.library.add(callee)
        leading = _POSITIONAL.get(callee, 0) if step.kind == LAYER else len(step.settings)
        items: list[str] = []
        for i, name in enumerate(step.settings):
            text = self._setting(place, name, step.settings[name])
            items.append(text if i < leading else f"{name} = {text}")
        return callee if self._is_function(step) and not items else f"{callee}({', '.join(items)})"

    def _callee(self, step: Step) -> str:
        return step.definition.name if step.definition is not None else step.callee

    def _is_function(self, step: Step) -> bool:
        return step.kind == FUNCTION or (step.definition is not None and step.definition.keyword == "fn")

    def _operator(self, place: Place, step: Step, context: int) -> Text:
        inputs = step.inputs
        if step.callee in INFIX and len(inputs) == 2:
            left = self._operand(place, step, 0)
            return infix(step.callee, left, self._operand(place, step, 1))
        if step.callee in PREFIX:
            return prefix(step.callee, self._operand(place, step, 0))
        if is_turned(step):
            x = self._operand(place, step, 0)
            return Text(f"{x.inside(POSTFIX)}.T", POSTFIX)
        if is_index(step):
            x = self._operand(place, step, 0)
            return index(x, step, lambda name, i: self._number(place, name, i))
        if step.callee == "gather" and (self._is_row(step) or not step.settings):
            return self._row(place, step)
        if step.callee == "cast":
            return call(step.settings["dtype"], [self._operand(place, step, 0).text])
        if step.callee == "foreign":
            operands = [self._operand(place, step, i).text for i in range(len(inputs))]
            return foreign_text(step, operands, lambda i, size: self._setting(place, "sizes", size, i))
        return self._application(place, step, context)

    def _is_row(self, step: Step) -> bool:
        """Whether a gather takes one row at a place that is known: `x[:, -1]`."""
        position = self._facts.literal(step.inputs[1])
        return position is not None and not position.ndim and step.settings.get("axis", 0) >= 0

    def _row(self, place: Place, step: Step) -> Text:
        table = self._operand(place, step, 0)
        row = self._number(place, "constant", 1) if self._is_row(step) else self._operand(place, step, 1).text
        before = ":, " * step.settings.get("axis", 0)
        return Text(f"{table.inside(POSTFIX)}[{before}{row}]", POSTFIX)

    def _application(self, place: Place, step: Step, context: int) -> Text:
        name = function_name(step, self._hidden)
        settings = arguments(step, self._hidden, lambda key: self._setting(place, key, step.settings[key]))
        single = len(step.inputs) == 1 and self._facts.literal(step.inputs[0]) is None
        if single and (context == PIPE or self._is_long(place, step)):
            left = self._render(step.inputs[0], PIPE)
            if left.precedence == PIPE or settings or self._is_applied(left):
                return pipe(left, f"{name}({', '.join(settings)})" if settings else name)
            return call(name, [left.text, *settings])
        operands = [self._operand(place, step, i).text for i in range(len(step.inputs))]
        return call(name, [*operands, *settings])

    def _is_applied(self, text: Text) -> bool:
        """Whether a text is itself a call, so that another around it reads better as a pipeline."""
        return text.precedence == POSTFIX and text.text.endswith(")")

    def _operand(self, place: Place, step: Step, i: int) -> Text:
        value = step.inputs[i]
        array = self._facts.literal(value)
        if array is None:
            return self._render(value, POSTFIX)
        if not is_uniform(array):
            return Text(tensor_text(array, value.type.dtype), POSTFIX)
        flag = array.dtype == bool
        number = value_text(bool(array.reshape(-1)[0])) if flag else self._number(place, "constant", i)
        like = constant_like(step, [self._facts.literal(x) is not None for x in step.inputs])
        dtype = value.type.dtype
        explicit = step.callee == "foreign" or bool(step.bodies)
        if flag and (like is not None or explicit):
            number = f"bool({number})"
        rank = max(x.type.rank for x in step.inputs if x is not value) if len(step.inputs) > 1 else 0
        if explicit and not array.ndim:
            return Text(number) if flag else call(dtype, [number])
        if (step.callee in ELEMENTWISE and array.ndim <= rank) or not array.ndim:
            if like is None and dtype == "f32":
                return Text(number if re.search(r"[.e]|inf", number) else f"{number}.0")
            return Text(number) if dtype in ("bool", like) else call(dtype, [number])
        if flag:  # `full` takes numbers
            return call("bool", [call("full", [listed([str(n) for n in array.shape]), str(int(array.flat[0]))]).text])
        sizes = [self._number(place, "constant", i, axis) for axis in range(array.ndim)]
        more = [] if dtype == "f32" else [f"dtype = {dtype}"]
        return call("full", [listed(sizes), number, *more])

    # --- Numbers -----------------------------------------------------------------------------------------------------

    def _number(self, place: Place, name: str, *rest: int) -> str:
        return self._definition.texts[(place, name, *rest)]

    def _setting(self, place: Place, name: str, value: Any, *rest: int) -> str:
        if isinstance(value, tuple):
            items = [self._setting(place, name, item, *rest, i) for i, item in enumerate(value)]
            return items[0] if len(items) == 1 and not rest and name in _SINGLE else listed(items)
        if value is None or isinstance(value, bool | str):
            return value_text(value)
        return self._number(place, name, *rest)


def weight_stem(value: Value, body: Body) -> str:
    """What a parameter is called: the last part of its name, or the one before where that says more."""
    *scopes, last = value.name.split(".")
    parent = stem(".".join(scopes))
    generic = last in _GENERIC and parent and parent not in body.names
    return (parent if generic else identifier(last)) or "weight"


_WORD = re.compile(r"\w+")
_GENERIC = frozenset({"weight", "bias", "scale", "shift", "gamma", "beta"})  # names that say nothing alone
_MOVES = frozenset({"reshape", "transpose"})
_POSTFIX = frozenset({"gather", "slice"})  # what is written behind its operand
_SINGLE = frozenset({"axis"})  # lists that one number stands for
_POSITIONAL = {
    "linear": 1, "conv1d": 2, "conv2d": 2, "max_pool1d": 1, "max_pool2d": 1, "avg_pool1d": 1, "avg_pool2d": 1,
    "embedding": 2, "lstm": 1, "gru": 1,
}  # fmt: skip


def _initial(step: Step) -> str:
    """How a weight begins where nobody loads it."""
    rank = step.outputs[0].type.rank
    return "kaiming_uniform()" if step.callee == "param" and rank >= 2 else "zeros()"
