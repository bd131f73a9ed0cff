"""`netlang explain`: what an error code means, why it is one, and how to mend it."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = "  netlang explain shape-mismatch\n  netlang explain                 every code, one a line"


def command(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="The word in brackets after `error`; without it, all.")
    ] = None,
) -> None:
    """Explain an error code."""
    from netlang.codes import EXPLANATIONS
    from netlang.diagnostics import did_you_mean, fail
