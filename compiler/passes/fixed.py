"""Makes constants of inputs whose values are known before any run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..dtypes import numpy_dtype
from ..ir import Constant, Graph, Node
from .algebra import algebra
from .dead import dead


def fixed(graph: Graph, values: Mapping[str, float]) -> Graph:
    """`graph` without the inputs named in `values`, which are these numbers, and simplified as this allows."""
    given = [item for item in graph.inputs if item.name in values]
    constants = [
        Node(
            "constant",
            (),
            (("value", Constant(np.array(values[i.name], numpy_dtype(i.value.type.dtype)))),),
            (i.value,),
        )
        for i in given
    ]
    inputs = tuple(item for item in graph.inputs if item.name not in values)
    return dead(algebra(replace(graph, inputs=inputs, nodes=(*constants, *graph.nodes))))
