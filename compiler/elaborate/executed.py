"""What a check has executed so far, so that it does not execute again what can only show the same faults."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from netlang import syntax
from netlang.dims import Dim

from ..ir import Value
from .context import Context, Frame, is_library
from .patterns import split_parameters
from .values import Environment, Function, OpFunction

Use = tuple[Any, ...]
"""A layer or function with all that its faults can depend on; see `use_of`."""

_ANY_SIZE = "any size"


class Executed:
    """What a check has executed of a program.

    uses: those of layers and functions, by any model. kinds: of the nodes that were differentiated.
    asked: how many `when training` of the user's own this model has executed. Where there is none, inference and
    evaluation have the faults that training has: layers of the library give results of the same types in each.
    """

    def __init__(self) -> None:
        self.uses: set[Use] = set()
        self.kinds: set[Hashable] = set()
        self.asked = 0
        self._entries: set[Use] = set()

    def begin(self) -> None:
        """Begins another model."""
        self.asked = 0
        self._entries = set()

    def ask(self, statement: syntax.WhenTraining) -> None:
        """Notes that a `when training` is executed."""
        self.asked += not is_library(statement.span)

    def add(self, context: Context, frame: Frame, given: Environment, asked: int) -> None:
        """Notes that a body was executed. given: settings, tensors and sizes; asked: what was asked before."""
        definition = frame.definitions[0]
        assert isinstance(definition, syntax.Definition)
        if frame.kind == "entry":
            if _is_like_inference(context, frame, given):
                self._entries.add(_inputs_of(definition, given.names))
        elif not context.generic and not is_library(definition.span) and (context.training or self.asked == asked):
            self.uses.add(use_of(definition, given.names))

    def has_entry(self, definition: syntax.Definition, given: Mapping[str, Any]) -> bool:
        """Whether an entry was executed on such inputs, and does the same in each mode."""
        return not self.asked and _inputs_of(definition, given) in self._entries


def _is_like_inference(context: Context, frame: Frame, given: Environment) -> bool:
    """Whether an entry is of the model itself, computes from what only a run knows, and returns what a graph gives."""
    returned = frame.returned if isinstance(frame.returned, tuple) else (frame.returned,)
    is_own = frame.instance is not None and not frame.instance.path
    tensors = (value for value in given.names.values() if isinstance(value, Value))
    return is_own and all(isinstance(x, Value) for x in returned) and not any(map(context.is_constant, tensors))


def use_of(definition: syntax.Definition, given: Mapping[str, Any]) -> Use:
    """A use of a layer or function: its settings, and the element types and numbers of dimensions of its tensors.

    Sizes are left out, for they do not decide on the faults that `generic` finds. What a size decides there holds for
    all of them.
    """
    settings, tensors = split_parameters(definition)
    numbers = [_setting(parameter, given[parameter.name]) for parameter in settings]
    return (definition.span, *numbers, *(_kind(given.get(parameter.name)) for parameter in tensors))


def _setting(parameter: syntax.Parameter, value: Any) -> Any:
    is_open = isinstance(value, Dim) and value.sole is not None
    is_size = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return _ANY_SIZE if parameter.default is None and (is_open or is_size) else _described(value)


def _kind(tensor: Any) -> Any:
    return (tensor.type.dtype, tensor.type.rank) if isinstance(tensor, Value) else tensor


def _inputs_of(definition: syntax.Definition, given: Mapping[str, Any]) -> Use:
    """An entry with what it is given."""
    everything = (parameter for group in definition.parameters for parameter in group)
    return (definition.span, *(_described(given.get(parameter.name)) for parameter in everything))


def _described(value: Any) -> Any:
    """Equal for values of which the same can be said while compiling; the types keep 1, 1.0 and True apart."""
    match value:
        case Value(type=type_):
            return type_
        case Function(definition=definition):
            return definition.span
        case OpFunction(op=op):
            return op.name
        case tuple():
            return tuple(map(_described, value))
    return (type(value), value)
