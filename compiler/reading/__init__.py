"""From an ONNX model to a graph: `read_model` runs one rule for each node; what no rule says stays a foreign node."""

from __future__ import annotations

from .model import Reading, read_model
from .reader import Reader

__all__ = ["Reader", "Reading", "read_model"]
