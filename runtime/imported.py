"""ONNX models as programs of the language: what `netlang import` and `from_onnx` do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from netlang.source import Source

from ..compiler import Program, load_program
from ..compiler.elaborate.modules import Modules
from ..compiler.reading import Reading, read_model
from ..compiler.writing import Written, write_program
from .bound_network import BoundNetwork
from .checkpoint import save_tensors
from .files import write_atomically
from .loader import load
from .onnx_files import load_onnx
from .session import Device


@dataclass(frozen=True, slots=True)
class Imported:
    """A program made from an ONNX model, which compiles. `title` is what the model is called: for its files."""

    title: str
    written: Written
    program: Program

    @property
    def parameter_count(self) -> int:
        """The number of trained numbers."""
        return self.program.network(self.written.model).parameter_count


def import_model(model: onnx.ModelProto | bytes | str | Path, name: str | None = None) -> Imported:
    """The program of an ONNX model: a model itself, its bytes, or the path of a file.

    `name` is for the program's model; by default it is that of the file or the graph. Raises DiagnosticError
    (`onnx-malformed`, `onnx-unsupported`, `onnx-dynamic`, …).
    """
    title = name or _title(model)
    reading = _read(model, title)
    written = write_program(reading.graph, reading.weights, title, Modules(load).prelude_names())
    return Imported(title, written, load_program(Source(f"{title}.net", written.text), load))


def from_onnx(
    model: onnx.ModelProto | bytes | str | Path,
    *,
    train: str | None = None,
    freeze: Iterable[str] = (),
    name: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> BoundNetwork:
    """An ONNX model as a network with its weights: call it with arrays, take its gradients, train it.

    `train` is the body of a `train` block, as in a `.net` file, for a `Trainer`: it computes a loss from `forward(…)`
    of the model's inputs. Parameters whose names match a pattern of `freeze` (`encoder.*`) are not trained. Raises
    DiagnosticError, as `import_model`.

    >>> net = nl.from_onnx("model.onnx")
    >>> net(x)
    """
    imported = import_model(model, name)
    program, written = imported.program, imported.written
    if train is not None:
        text = f"{written.text}\ntrain {written.model} {{\n{train}\n}}\n"
        program = load_program(Source(program.source.name, text), load)
    return BoundNetwork(program.network(written.model, frozen=freeze), written.weights, device=Device(device, threads))


def write_import(imported: Imported, directory: Path) -> tuple[Path, Path]:
    """Writes `<title>.net` and `weights.safetensors`; their paths. Raises DiagnosticError (`unwritable-file`, …)."""
    source, weights = directory / f"{imported.title}.net", directory / "weights.safetensors"
    write_atomically(source, [imported.written.text.encode()])
    save_tensors(weights, imported.written.weights)
    return source, weights


def _read(model: onnx.ModelProto | bytes | str | Path, title: str) -> Reading:
    if not isinstance(model, str | Path):
        return read_model(model, name=title)
    proto, external = load_onnx(Path(model))
    return read_model(proto, name=title, external=external)


def _title(model: Any) -> str:
    if isinstance(model, str | Path):
        return Path(model).stem
    return (model.graph.name if isinstance(model, onnx.ModelProto) else "") or "model"
