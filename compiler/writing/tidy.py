"""Takes out what exporters leave behind: reshapes to the same shape, factors of one, casts to the same type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..builder import Builder
from ..ir import Graph, Node, Value
from ..op import Op
from ..passes.algebra_arithmetic import add_zero, divide_by_one, multiply_by_one, subtract_zero
from ..passes.algebra_common import Results, Rule
from ..passes.algebra_shape import (
    concat_of_one,
    empty_pad,
    expanded_number,
    reshape_of_reshape,
    same_shape,
    whole_slice,
)
from ..passes.dead import dead
from ..passes.rebuild import rebuild


def same_dtype(b: Builder, x: Value, dtype: str) -> Results | None:
    """A cast to the type that there is already."""
    return x if x.type.dtype == dtype else None


def transpose_again(b: Builder, x: Value, perm: tuple[int, ...]) -> Results | None:
    """No transposition, or two that are one."""
    if perm == tuple(range(len(perm))):
        return x
    inner = b.producer(x)
    if inner is None or inner.op != "transpose":
        return None
    first = inner.attributes["perm"]
    return b.transpose(inner.inputs[0], perm=tuple(first[axis] for axis in perm))


RULES: dict[str, tuple[Rule, ...]] = {
    "add": (add_zero,),
    "cast": (same_dtype,),
    "concat": (concat_of_one,),
    "div": (divide_by_one,),
    "expand": (same_shape, expanded_number),
    "mul": (multiply_by_one,),
    "pad": (empty_pad,),
    "reshape": (same_shape, reshape_of_reshape),
    "slice": (whole_slice,),
    "sub": (subtract_zero,),
    "transpose": (transpose_again,),
}
"""Rules that change no bit of a result, but for the sign of zeros."""


_MADE = re.compile(r"(.*\.)?(val_\d+|onnx\W.*|_?Constant.*)")  # what exporters call numbers of their own


def tidy(graph: Graph, weights: Mapping[str, np.ndarray]) -> Graph:
    """`graph` without what has no effect; single numbers that an exporter stored as weights are constants."""
    found = {v.value: weights[v.name] for v in graph.variables if _MADE.fullmatch(v.name) and weights[v.name].size == 1}

    def settle(b: Builder, node: Node, inputs: tuple[Value, ...]) -> Results | None:
        if not any(x in found for x in inputs):
            return None
        return b.apply(node.op, [b.constant(found[x]) if x in found else x for x in inputs], node.attributes)

    return dead(rebuild(graph, settle, _Tidier(graph.name)))


class _Tidier(Builder):
    """A builder that leaves out each application that does nothing."""

    def _emit(self, name: str, inputs: tuple[Value, ...], attrs: dict[str, Any], op: Op) -> tuple[Value, ...]:
        for rule in RULES.get(name, ()):
            result = rule(self, *inputs, **attrs)
            if result is not None:
                return result if isinstance(result, tuple) else (result,)
        return super()._emit(name, inputs, attrs, op)
