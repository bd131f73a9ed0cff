"""Names for what comes from ONNX models: numbers without bound."""

from __future__ import annotations

import math
from typing import Any

FOREIGN_NAMES: dict[str, Any] = {"infinity": math.inf}
"""Built-in names that imported programs use."""
