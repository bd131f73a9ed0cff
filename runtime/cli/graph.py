"""`netlang graph`: the layers of a model and what flows between them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .click_classes import Command
from .options import (
    POSITIVE,
    dims_option,
    entry_option,
    file_argument,
    model_argument,
    set_option,
    settings,
    sizes,
)

EXAMPLES = """\
  netlang graph lenet5.net
  netlang graph std:ResNet18 --depth 2 -o resnet.svg
  netlang graph std:GPT2 --format dot | dot -Tpdf > gpt2.pdf"""

FORMATS = {".svg": "svg", ".dot": "dot", ".gv": "dot", ".txt": "text"}


@click.command(cls=Command, examples=EXAMPLES)
@file_argument
@model_argument
@set_option
@dims_option
@entry_option
@click.option("--depth", type=POSITIVE, default=1, metavar="N", help="How far to open layers that are made of others.")
@click.option(
    "--format",
    type=click.Choice(["text", "dot", "svg"]),
    help="text is a line for each layer; dot is for Graphviz; svg is a picture.",
)
@click.option("--out", "-o", type=Path, metavar="FILE", help="Write here; the suffix says the format.")
def command(
    file: str,
    model: str | None,
    set: tuple[str, ...],
    dims: tuple[str, ...],
    entry: str | None,
    depth: int,
    format: str | None,
    out: Path | None,
) -> None:
    """Show the layers of a model and what flows between them."""
    from ...compiler.diagram import diagram
    from .. import drawing
    from ..bound_network import known_entry, main_entry
    from ..files import write_atomically
    from ..job import open_network
    from .summary import assumed_sizes, shown_type

    style = format or _format_of(out)
    network = open_network(file, model, settings(set))
    graph = network.elaborate(known_entry(network, entry or main_entry(network)), sizes(dims))
    known = {**assumed_sizes(graph), **sizes(dims)}
    draw = {"text": drawing.text, "dot": drawing.dot, "svg": drawing.svg}[style]
    text = "\n".join(draw(diagram(graph, depth), lambda type_: str(shown_type(type_, known)))) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        write_atomically(out, [text.encode("utf-8")])


def _format_of(out: Path | None) -> str:
    if out is None:
        return "text"
    if out.suffix not in FORMATS:
        raise click.BadParameter(f"`{out}` should end in {', '.join(FORMATS)}", param_hint="--out")
    return FORMATS[out.suffix]
