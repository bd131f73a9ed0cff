"""`netlang run`: one entry of a trained network, on inputs from files or the command line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netlang.diagnostics import fail

from .click_classes import Argument, Command
from .options import checkpoint_option, chosen_device, device_option, json_option, run_argument, threads_option
from .terminal import print_json

if TYPE_CHECKING:
    import numpy as np

    from netlang.types import TensorType

    from ...compiler.ir import Graph
    from ..bound_network import BoundNetwork
    from ..data.vocabulary import Vocabulary

EXAMPLES = """\
  netlang run runs/LeNet5-1 forward --input image=seven.png
  netlang run runs/LeNet5-1 --input image=images.npy --out logits.npy
  netlang run runs/Transformer-1 translate --input source="Ein Hund schläft."
  netlang run runs/Transformer-1 translate --input source=lines:test.de > test.en
  netlang run runs/GPT-1 generate -i prompt=ROMEO: -i count=200 -i temperature=0.8 -i seed=0
  netlang run runs/MLP-1 --input 'x=[[0, 1], [1, 1]]' --json
  netlang run model/model.net --weights model/weights.safetensors --input x=rows.npy"""


_SHOWN_ROWS = 20
_LINES_AT_ONCE = 32


@click.command(cls=Command, examples=EXAMPLES)
@run_argument
@click.argument("entry", cls=Argument, required=False, help="Which entry; by default `forward`, or the first.")
@click.option(
    "--input",
    "-i",
    multiple=True,
    metavar="NAME=VALUE",
    help="A .npy or .npz file, a picture, text, lines:FILE, or numbers as JSON. One for each input.",
)
@click.option("--out", "-o", type=Path, metavar="FILE", help="Write the results to this .npy or .npz file.")
@checkpoint_option
@click.option("--weights", type=Path, metavar="FILE", help="RUN is a `.net` file: run it with these weights.")
@device_option
@threads_option
@json_option
def command(
    run: Path,
    entry: str | None,
    input: tuple[str, ...],
    out: Path | None,
    checkpoint: str | None,
    weights: Path | None,
    device: str | None,
    threads: int | None,
    json: bool,
) -> None:
    """Run one entry of a trained network.

    Results that are text, where the run was trained on text, are printed as such.
    """
    from ..bound_network import known_entry, main_entry
    from ..data.written import written
    from .given_inputs import LINES, read_inputs

    _check_out(out)
    vocabularies: dict[str, Vocabulary] = {}
    missing: tuple[str, ...] = ()
    if weights is not None:
        network, missing = _with_weights(str(run), weights, device, threads)
    else:
        network, vocabularies = _trained(run, checkpoint, device, threads)
    name = known_entry(network.network, entry or main_entry(network.network))
    graph = network.network.graph(name)
    _check_complete(graph, missing, weights)
    types = {item.name: item.value.type for item in graph.inputs if item.role == "data"}
    arrays = read_inputs(input, types, network.network.fits, vocabularies)
    lines = next((pair.partition("=")[0] for pair in input if f"={LINES}" in pair), None)
    results = network.run(name, arrays) if lines is None else _by_lines(network, name, arrays, types, lines)
    if out is not None:
        _write(out, results)
    texts = {key: written(array, vocabularies) for key, array in results.items()}
    if json:
        meant = {f"{key}.text": text for key, text in texts.items() if text is not None}
        print_json({**{key: array.tolist() for key, array in results.items()}, **meant})
    else:
        for key, array in results.items():
            _print(key, array, texts[key])


def _by_lines(
    network: BoundNetwork, entry: str, arrays: Mapping[str, Any], types: Mapping[str, TensorType], lines: str
) -> dict[str, np.ndarray]:
    """The results for a few lines of the input `lines` at a time: a file may have more than fit into memory at once."""
    import numpy as np

    rows = types[lines].shape[0]
    along = [name for name, type_ in types.items() if name in arrays and type_.rank and type_.shape[0] == rows]
    parts = []
    for start in range(0, len(arrays[lines]), _LINES_AT_ONCE):
        some = {name: arrays[name][start : start + _LINES_AT_ONCE] for name in along}
        parts.append(network.run(entry, {**arrays, **some}))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _trained(
    run: Path, checkpoint: str | None, device: str | None, threads: int | None
) -> tuple[BoundNetwork, dict[str, Vocabulary]]:
    """The network of a run, and what the numbers of its data stand for."""
    from ..run_directory import RunDirectory

    directory = RunDirectory.open(run)
    network = directory.trained(checkpoint, chosen_device(directory.config, device, threads))
    return network, directory.vocabularies()


def _with_weights(
    file: str, weights: Path, device: str | None, threads: int | None
) -> tuple[BoundNetwork, tuple[str, ...]]:
    """The last model of a file, with weights of another, and the names of those that it does not have."""
    from ..bound_network import BoundNetwork
    from ..initial_weights import initial_weights
    from ..job import open_network
    from ..session import Device

    network = open_network(file)
    found = initial_weights(network, weights, seed=0)
    return BoundNetwork(network, found.arrays, device=Device(device or "cpu", threads)), found.new


def _check_complete(graph: Graph, missing: Collection[str], weights: Path | None) -> None:
    """Refuses to run a graph with weights that were drawn. Raises DiagnosticError (`wrong-weights`)."""
    drawn = [variable for variable in graph.variables if variable.name in missing]
    if drawn:
        title = f"`{weights}` has nothing that could be the weight `{drawn[0].name}`"
        notes = [f"that is so for {len(drawn)} of {len(graph.variables)} weights"]
        raise fail("wrong-weights", title, expected=drawn[0].value.type, notes=notes)


def _check_out(out: Path | None) -> None:
    if out is not None and out.suffix not in (".npy", ".npz"):
        raise click.BadParameter(f"`{out}` should end in .npy or .npz", param_hint="--out")


def _print(name: str, array: np.ndarray, text: list[str] | None) -> None:
    """Prints a result: the text that it is, or else its type, its numbers, and the classes that they choose."""
    import numpy as np

    from ..inputs import array_type

    if text is not None and array.dtype.kind == "i":
        print("\n".join(text))
        return
    print(f"{name}: {array_type(array)}")
    print(np.array2string(array, precision=4, suppress_small=True, threshold=64, edgeitems=4, max_line_width=100))
    if text is not None:
        shown = text if len(text) <= _SHOWN_ROWS else [*text[:_SHOWN_ROWS], "…"]
        print(f"most likely: {', '.join(shown)}")


def _write(path: Path, results: dict[str, np.ndarray]) -> None:
    """Saves the results, atomically: one array as `.npy`, or all by name as `.npz`."""
    import io
    import zipfile

    import numpy as np

    from ..files import write_atomically

    buffer = io.BytesIO()
    if path.suffix == ".npz":
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, array in results.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array)
    elif len(results) == 1:
        np.save(buffer, next(iter(results.values())))
    else:
        raise fail("bad-value", f"a .npy file holds one array, and there are {len(results)} results", help="use .npz")
    write_atomically(path, [buffer.getbuffer()])
