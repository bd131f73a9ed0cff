"""`netlang export`: a trained network as one ONNX file."""

from __future__ import annotations

from pathlib import Path

import click

from .click_classes import Command
from .options import checkpoint_option, entry_option, opset_option, run_argument

EXAMPLES = """\
  netlang export runs/LeNet5-1 -o lenet5.onnx
  netlang export runs/VAE-1 --entry decode --opset 21 -o decoder.onnx"""


@click.command(cls=Command, examples=EXAMPLES)
@run_argument
@click.option("--out", "-o", type=Path, required=True, metavar="FILE", help="The .onnx file to write.")
@entry_option
@checkpoint_option
@opset_option
def command(run: Path, out: Path, entry: str | None, checkpoint: str | None, opset: int | None) -> None:
    """Write a trained network as one ONNX file.

    onnxruntime runs it by itself.
    """
    from ..artifacts import export
    from ..run_directory import RunDirectory

    if out.suffix != ".onnx":
        raise click.BadParameter(f"`{out}` should end in .onnx", param_hint="--out")
    network = RunDirectory.open(run).trained(checkpoint)
    for path in export(network, out, entry=entry, opset=opset):
        print(path)
