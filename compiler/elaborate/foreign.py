"""Names that programs made from ONNX models need: numbers without bound, and sizes that only the run tells."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from netlang.diagnostics import fail
from netlang.dims import Size

from ..ir import Value
from .context import Context
from .values import Intrinsic, describe

if TYPE_CHECKING:
    from .calls import Arguments


def sizes(context: Context, arguments: Arguments) -> tuple[Size, ...]:
    """`sizes(x)`: the sizes of the dimensions of a tensor, as a list."""
    if len(arguments.positional) == 1 and not arguments.keywords:
        value, span = arguments.positional[0]
        if isinstance(value, Value):
            return value.type.shape
        raise fail("not-a-tensor", "`sizes` takes a tensor", span, describe(value))
    raise fail("missing-argument", "`sizes` takes one tensor", arguments.span)


FOREIGN_NAMES: dict[str, Any] = {"infinity": math.inf, "sizes": Intrinsic("sizes", sizes)}
"""Built-in names that such programs use."""
