"""`netlang export`: a trained network as one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import CheckpointOption, EntryOption, OpsetOption, RunArgument

EXAMPLES = """\
  netlang export runs/LeNet5-1 -o lenet5.onnx
  netlang export runs/VAE-1 --entry decode --opset 21 -o decoder.onnx"""


def command(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The .onnx file to write.")],
    entry: EntryOption = None,
    checkpoint: CheckpointOption = None,
    opset: OpsetOption = None,
) -> None:
    """Write a trained network as one ONNX file. onnxruntime runs it by itself."""
    from ..artifacts import export
    from ..run_directory import RunDirectory

    if out.suffix != ".onnx":
        raise typer.BadParameter(f"`{out}` should end in .onnx", param_hint="--out")
    network = RunDirectory.open(run).trained(checkpoint)
    for path in export(network, out, entry=entry, opset=opset):
        print(path)
