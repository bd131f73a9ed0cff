"""`netlang import`: from an ONNX model to a readable program and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .click_classes import Argument, Command
from .terminal import count

if TYPE_CHECKING:
    from ..imported import Imported

EXAMPLES = """\
  netlang import resnet18.onnx -o resnet/
  netlang compile resnet/resnet18.net --weights resnet/weights.safetensors -o build/
  netlang import model.onnx --name Encoder -o encoder/"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("model", cls=Argument, type=Path, help="An ONNX model, of operator set 7 or later.")
@click.option("--out", "-o", type=Path, required=True, metavar="DIR", help="Where to write; made where there is none.")
@click.option("--name", metavar="NAME", help="Name of the model and the file; by default that of the ONNX file.")
def command(model: Path, out: Path, name: str | None) -> None:
    """Write an ONNX model as a readable program.

    Its weights go into a file beside it. Layers are named after the model's own scopes, and equal blocks are written
    once.
    """
    from ..imported import import_model, write_import

    imported = import_model(model, name)
    source, weights = write_import(imported, out)
    print(f"{imported.written.model}: {count(imported.parameter_count, 'parameter')}")
    for line in _findings(imported):
        print(line)
    print(source)
    print(weights)


def _findings(imported: Imported) -> list[str]:
    """What was recognised, a line each."""
    written = imported.written
    layers = ", ".join(f"{number} {layer}" for layer, number in written.layers.items())
    lines = [f"layers: {layers}"] if layers else []
    if written.repeats:
        lines.append(f"repeated blocks: {', '.join(f'{rounds} rounds' for rounds in written.repeats)}")
    if written.foreign:
        lines.append(f"kept as they are, without gradients: {', '.join(written.foreign)}")
    return lines
