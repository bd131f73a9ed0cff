"""Writing: from the graph of a network back to a program of the language and its weights."""

from .program import Written, write_program

__all__ = ["Written", "write_program"]
