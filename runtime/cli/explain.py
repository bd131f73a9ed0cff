"""`netlang explain`: what an error code means, why it is one, and how to mend it."""

from __future__ import annotations

import click

from .click_classes import Argument, Command
from .terminal import wrapped

EXAMPLES = """\
  netlang explain shape-mismatch
  netlang explain                    every code, one a line"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument(
    "code", cls=Argument, required=False, help="The word in brackets after `error`; without it, all are listed."
)
def command(code: str | None) -> None:
    """Explain an error code. An example shows the fault, another the remedy."""
    from netlang.codes import EXPLANATIONS, explain

    if code is not None:
        lines = explain(code).split("\n")
        print("\n".join(line if line.startswith(" ") else wrapped(line) for line in lines))  # examples stay as they are
        return
    width = max(map(len, EXPLANATIONS))
    for name, about in sorted(EXPLANATIONS.items()):
        print(f"{name:{width}}  {about.meaning}")
