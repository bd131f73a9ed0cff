"""`netlang explain`: what an error code means, why it is one, and how to mend it."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = """\
  netlang explain shape-mismatch
  netlang explain                    every code, one a line"""


def command(
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="The word in brackets after `error`; without it, all are listed."),
    ] = None,
) -> None:
    """Explain an error code. An example shows the fault, another the remedy."""
    from netlang.codes import EXPLANATIONS, explain

    if code is not None:
        print(explain(code))
        return
    width = max(map(len, EXPLANATIONS))
    for name, about in sorted(EXPLANATIONS.items()):
        print(f"{name:{width}}  {about.meaning}")
