"""The compiler: from syntax to typed graphs to ONNX. It does no input or output."""

from .network import ModelParameter, Network, Program, load_program

__all__ = ["ModelParameter", "Network", "Program", "load_program"]
