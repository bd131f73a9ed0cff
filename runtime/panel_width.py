"""Whether this ONNX Runtime multiplies matrices in panels, and how wide these are."""

from __future__ import annotations

from functools import cache

import numpy as np

from netlang.types import TensorType

from ..compiler.builder import Builder
from ..compiler.emit import emit
from ..compiler.passes.panels import LEAST, in_panels
from .channel_blocks import block_size
from .session import Device

MEASURED = 16
"""The width for which panels are known to gain: that of AVX-512. Blocks of 8, those of AVX, were not at hand."""


@cache
def panel_width() -> int:
    """The columns of a panel: as many channels as a block of images has; 0 where that is not `MEASURED`, or the kernels
    give other products."""
    width = block_size()
    return width if width == MEASURED and _multiplies(width) else 0


def _multiplies(width: int) -> bool:
    """Whether a product with a bias and a gradient of weights come out right, in every layout that the pass uses."""
    rng = np.random.default_rng(0)
    side = 3 * LEAST
    shapes = {"x": (side, side), "y": (side, side + width), "z": (side, side + width), "bias": (side + width,)}
    feeds = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    b = Builder("probe")
    x, y, z, bias = (b.input(name, TensorType("f32", shape), "data") for name, shape in shapes.items())
    b.output("made", b.add(b.matmul(x, y), bias))
    b.output("first", b.matmul(b.transpose(x, perm=(1, 0)), z))
    b.output("second", b.matmul(b.transpose(z, perm=(1, 0)), x))
    try:
        found = Device("cpu", 1).session(emit(in_panels(b.graph(), width))).run(None, feeds)
    except Exception:  # of a class of its own for each fault, in another module in each version
        return False
    expected = (feeds["x"] @ feeds["y"] + feeds["bias"], feeds["x"].T @ feeds["z"], feeds["z"].T @ feeds["x"])
    return all(
        np.allclose(np.asarray(result), product, rtol=1e-3, atol=1e-3)
        for result, product in zip(found, expected, strict=True)
    )
