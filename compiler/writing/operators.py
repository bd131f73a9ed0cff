"""Applications of operators as the language writes them: infix, indexed, called or piped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from netlang.types import TensorType

from ..op import REQUIRED
from ..ops import OPS
from ..ops.common import swaps_last
from .expressions import POSTFIX, Text
from .steps import Step

Written = Callable[[str, Any], str]
"""`written(name, value)`: the text of a setting of the step at hand."""

LIBRARY_TWINS = frozenset({"softmax", "log_softmax"})
"""Functions of the library that do the same as the operator they hide, with the same keywords."""

ELEMENTWISE = frozenset({
    "add", "sub", "mul", "div", "pow", "maximum", "minimum", "mod", "floor_divide", "equal", "not_equal", "less",
    "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "select",
})  # fmt: skip
"""Operators whose operands broadcast: a constant of equal elements is written as a number."""


def function_name(step: Step, hidden: frozenset[str]) -> str:
    """What an operator is called where the library's names in `hidden` are visible."""
    name = step.callee
    if is_flatten(step):
        return "flatten"
    if name not in hidden or (name in LIBRARY_TWINS and step.outputs[0].type.dtype == "f32"):
        return name
    return f"ops.{name}"


def is_flatten(step: Step) -> bool:
    """Whether a reshape makes one of all dimensions but the first."""
    if step.callee != "reshape" or step.outputs[0].type.rank != 2:
        return False
    before, after = step.inputs[0].type, step.outputs[0].type
    return before.rank > 2 and before.dtype == "f32" and before.shape[0] == after.shape[0]


def is_turned(step: Step) -> bool:
    """Whether a transpose swaps the last two axes: `x.T`."""
    return step.callee == "transpose" and swaps_last(tuple(step.settings["perm"]))


def arguments(step: Step, hidden: frozenset[str], written: Callable[[str], str]) -> list[str]:
    """The attributes of an operator, by position where that is clear: `[b, t]`, `axis = 1`."""
    if is_flatten(step):
        return []
    signature = OPS[step.callee].signature
    keyword_only = step.callee in LIBRARY_TWINS and not function_name(step, hidden).startswith("ops.")
    items: list[str] = []
    for place, attribute in enumerate(signature.attributes):
        if attribute.name not in step.settings or attribute.name in OPS[step.callee].determines:
            continue
        value = step.settings[attribute.name]
        text = value if attribute.type == "dtype" else written(attribute.name)
        first = place == 0 and not keyword_only and (attribute.default is REQUIRED or attribute.name == "axis")
        items.append(text if first else f"{attribute.name} = {text}")
    return items


def is_index(step: Step) -> bool:
    """Whether a slice can be written as `x[1:, :4]`."""
    return step.callee == "slice" and all(isinstance(s, int) and s > 0 for s in step.settings["steps"])


def index(x: Text, step: Step, written: Callable[[str, int], str]) -> Text:
    """`x[1:, 0:t:2]`."""
    type_: TensorType = step.inputs[0].type
    items = [":"] * type_.rank
    for i, written_axis in enumerate(step.settings["axes"]):
        axis = written_axis % type_.rank
        start = "" if step.settings["starts"][i] == 0 else written("starts", i)
        stop = "" if step.settings["stops"][i] == type_.shape[axis] else written("stops", i)
        by = step.settings["steps"][i]
        items[axis] = f"{start}:{stop}" + (f":{by}" if by != 1 else "")
    while len(items) > 1 and items[-1] == ":":
        items.pop()
    return Text(f"{x.inside(POSTFIX)}[{', '.join(items)}]", POSTFIX)


def constant_like(step: Step, literals: Sequence[bool]) -> str | None:
    """The dtype that numbers among the operands of a step take: that of its first tensor that is no truth value."""
    for value, literal in zip(step.inputs, literals, strict=True):
        if not literal and value.type.dtype != "bool":
            return value.type.dtype
    return None
