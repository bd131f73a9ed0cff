"""The `netlang` command. `main` is its entry point; each command is a file of this package.

Exit status: 0 done, 1 a fault of the program, its data or the machine (explained by a diagnostic), 2 a usage error,
70 a fault of netlang itself, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (default: the process's own) and returns its exit status."""
    with failures.reported(arguments) as status:
        from .application import app

        status.code = app(arguments, prog_name="netlang", standalone_mode=False) or 0
    return status.code
