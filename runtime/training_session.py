"""Sessions of training steps, which keep much of the forward pass for the backward one; and of evaluations."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort

from ..compiler.cost import peak_activation_bytes
from ..compiler.emit import emit
from ..compiler.ir import Graph
from .session import Device

PLANNED_BYTES = 1 << 24
"""Most memory of a step that is planned, which spares LeNet's step 5 % of its time. Larger ones would take a third more
memory for it, and spare 0 to 3 %."""


def training_session(graph: Graph, device: Device, **options: Any) -> ort.InferenceSession:
    """A session for a graph of a training step; `options` are further ones of `Device.session`.

    It keeps to the order of the graph: the runtime's own computes early what is needed late, and what `@recompute`
    marks first of all.
    """
    return device.session(emit(graph), in_order=True, plans_memory=_is_small(graph), **options)


def _is_small(graph: Graph) -> bool:
    try:
        return peak_activation_bytes(graph, {}) <= PLANNED_BYTES
    except ValueError:  # of open sizes
        return False
