"""`netlang new`: a project to begin with."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .click_classes import Argument, Command

EXAMPLES = """\
  netlang new birds
  netlang train birds/model.net"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument(
    "folder", cls=Argument, type=Path, metavar="NAME", help="The project's folder; its model is called after it."
)
def command(folder: Path) -> None:
    """Begin a project with a network that trains at once.

    It has a model, a file of layers that it uses, and a README with the next steps.
    """
    from ..project import new_project

    for path in new_project(folder):
        print(path)
    print(f"next: cd {folder}, then netlang train model.net", file=sys.stderr)
