"""`python -m netlang` is the command `netlang`."""

from __future__ import annotations

import sys

from netlang.runtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
