"""What an expression can be worth while compiling.

Besides tensors (`ir.Value`), sizes (`int`, `Dim`), `float`, `bool`, `str`, `None`, tuples and initialisers (`ir.Init`)
these are the things that can be called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from netlang import syntax
from netlang.diagnostics import fail
from netlang.dims import Dim
from netlang.records import record
from netlang.source import Span
from netlang.types import TensorType

from ..ir import Init, Value
from ..op import Op
from .naming import Instance


class Poison:
    """Stands for a value whose computation failed and was reported; whatever touches it is silently poisoned too."""

    def __repr__(self) -> str:
        return "<error>"


POISON = Poison()


class Lazy:
    """A value computed when its name is first used: an import, a module's constant, an input of a `train` block."""

    __slots__ = ("compute", "running")

    def __init__(self, compute: Callable[[], Any]) -> None:
        self.compute = compute
        self.running = False


class Environment:
    """Names and what they stand for, with an outer environment to fall back on."""

    __slots__ = ("names", "outer")

    def __init__(self, outer: Environment | None = None) -> None:
        self.names: dict[str, Any] = {}
        self.outer = outer

    def get(self, name: str) -> Any:
        """The value of `name`. Raises KeyError, and whatever computing it raises."""
        scope: Environment | None = self
        while scope is not None:
            if name in scope.names:
                value = scope.names[name]
                return scope._compute(name, value) if isinstance(value, Lazy) else value
            scope = scope.outer
        raise KeyError(name)

    def find(self, name: str) -> Any:
        """The value of `name`, or None where it has none."""
        try:
            return self.get(name)
        except KeyError:
            return None

    def _compute(self, name: str, lazy: Lazy) -> Any:
        if lazy.running:
            raise fail("recursion", f"`{name}` is defined in terms of itself")
        lazy.running = True
        try:
            self.names[name] = value = lazy.compute()
        except RecursionError:
            raise fail("recursion", f"`{name}` is at the end of too long a chain of constants") from None
        finally:
            lazy.running = False
        return value

    def set(self, name: str, value: Any) -> None:
        self.names[name] = value


@record
class Function:
    """A `fn` of the user or the library, or a `layer` or `model` that has not been created yet."""

    definition: syntax.Definition
    environment: Environment

    @property
    def name(self) -> str:
        return self.definition.name.name


@record
class OpFunction:
    """An operator of the table as a function of the language."""

    op: Op

    @property
    def name(self) -> str:
        return self.op.name


@record
class Intrinsic:
    """A function that only the compiler can compute: `implementation(elaborator, call) -> value`."""

    name: str
    implementation: Any


@record
class Partial:
    """A function with its compile-time arguments given, waiting for its tensors: `split(3)`."""

    function: Function | OpFunction
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        return self.function.name


@record
class Layer:
    """A created layer: its parameters live in `instance`; applying it twice shares them."""

    function: Function
    settings: dict[str, Any]
    instance: Instance

    @property
    def name(self) -> str:
        return self.function.name


@record
class Model:
    """A created model: its shared layers are in `environment`, its entries can be called."""

    function: Function
    settings: dict[str, Any]
    instance: Instance
    environment: Environment

    @property
    def name(self) -> str:
        return self.function.name


@record
class Entry:
    """One entry of a created model."""

    model: Model
    definition: syntax.Definition

    @property
    def name(self) -> str:
        return self.definition.name.name


@record
class Composition:
    """`f >> g`: the parts, where each was written, and the name that it was bound to, if any."""

    parts: tuple[Any, ...]
    spans: tuple[Span, ...]
    name: str | None


@record
class EdgeEnd:
    """`u` in the body of an `aggregate … over (u -> v)`: the source (row 0) or the target (row 1) of each edge."""

    name: str
    row: int
    edges: Any


@dataclass(frozen=True, slots=True)
class DType:
    """A dtype's name as a value: `f32(x)` casts."""

    name: str


@record
class Namespace:
    """`ops`: the operators by attribute, also where the library shadows their names."""

    name: str
    members: dict[str, Any] = field(default_factory=dict)


CALLABLE = (Function, OpFunction, Intrinsic, Partial, Layer, Model, Entry, Composition, DType)
Callee = Function | OpFunction | Intrinsic | Partial | Layer | Model | Entry | Composition | DType


def is_size(value: Any) -> bool:
    """Whether `value` is an int (not a bool) or a symbolic size."""
    return isinstance(value, int | Dim) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether `value` is a compile-time number, sizes included."""
    return isinstance(value, int | float | Dim) and not isinstance(value, bool)


def describe(value: Any) -> str:
    """What a value is, in the language's words, for messages."""
    match value:
        case Value(type=type_):
            return str(type_)
        case bool():
            return f"`{str(value).lower()}` (a bool)"
        case int() | float():
            return f"the number {value}"
        case Dim():
            return f"the size {value}"
        case str():
            return f'the string "{value}"'
        case None:
            return "`none`"
        case tuple():
            return f"a tuple of {len(value)}"
        case Init():
            return f"the initialiser {value}"
        case Function(definition=definition):
            return f"the {definition.kind} `{definition.name.name}`"
        case Layer() | Model():
            return f"the {value.function.definition.kind} `{value.name}`"
        case Entry():
            return f"the entry `{value.name}`"
        case OpFunction() | Intrinsic() | Partial():
            return f"the function `{value.name}`"
        case Composition():
            return "a composition of layers"
        case DType(name=name):
            return f"the dtype {name}"
        case EdgeEnd(name=name):
            return f"the node `{name}` of an edge"
    return type(value).__name__


def not_applied(value: Any) -> str | None:
    """A help text for what is no tensor and stands where one is wanted."""
    if isinstance(value, tuple):
        return "`tensor([0.5, 2])` makes a tensor of a list of numbers"
    return "apply it to a tensor first: `x |> f` or `f(x)`" if isinstance(value, CALLABLE) else None


def type_of(value: Any) -> TensorType | None:
    """The tensor type of a value, or None."""
    return value.type if isinstance(value, Value) else None
