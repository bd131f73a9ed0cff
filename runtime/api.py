"""The public Python functions; `import netlang as nl` hands them on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from netlang import formatter
from netlang.diagnostics import Diagnostic, DiagnosticError
from netlang.source import Source

from ..compiler import Program
from .artifacts import compile_network
from .bound_network import BoundNetwork
from .loader import open_program
from .run_directory import trained_network
from .session import Device
from .trainer import Trainer


class Models(Mapping[str, "Model"]):
    """The models of a file, by name."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __getitem__(self, name: str) -> Model:
        if name not in self.program.models:
            raise KeyError(f"`{self.program.source.name}` has no model `{name}`; it has {', '.join(self)}")
        return Model(self.program, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.program.models)

    def __len__(self) -> int:
        return len(self.program.models)

    def __repr__(self) -> str:
        return f"<{self.program.source.name}: {', '.join(self)}>"


class Model:
    """A model whose settings are open: call it with them."""

    def __init__(self, program: Program, name: str) -> None:
        self.program = program
        self.name = name

    def __call__(
        self, *, seed: int = 0, device: str = "cpu", threads: int | None = None, **settings: Any
    ) -> BoundNetwork:
        """The network with these settings (of the model and its `train` block) and initial weights for `seed`.

        Raises DiagnosticError (`unknown-argument`, `missing-argument`, `type-mismatch`, …).
        """
        network = self.program.network(self.name, settings)
        network.check_settings()
        return BoundNetwork(network, seed=seed, device=Device(device, threads))

    def __repr__(self) -> str:
        parameters = self.program.parameters(self.name).values()
        return f"<model {self.name}({', '.join(f'{p.name}: {p.type}' for p in parameters)})>"


def load(file: str | Path) -> Models:
    """The models of a `.net` file, or of the library file that `std:NAME` is in: `load("lenet5.net")["LeNet5"]`.

    Raises DiagnosticError with everything that is wrong with the file.
    """
    return Models(open_program(str(file))[0])


def load_run(directory: str | Path, checkpoint: str | None = None, device: str = "cpu") -> BoundNetwork:
    """The trained network of a run directory: the best checkpoint where validation data chose one, else the last.

    Raises DiagnosticError.
    """
    return trained_network(Path(directory), checkpoint, Device(device))


def save(trainer: Trainer, directory: str | Path) -> None:
    """Writes a trainer as a run directory, for `Trainer.restore`, `load_run` and the command line."""
    trainer.save(directory)


def compile(network: BoundNetwork, directory: str | Path, *, opset: int | None = None) -> list[Path]:
    """Writes the ONNX graphs, weights and manifest of a network with its present weights; the paths written."""
    return compile_network(network, Path(directory), opset=opset)


def check(file: str | Path) -> list[Diagnostic]:
    """Everything that is wrong with a `.net` file, errors and warnings; an empty list where nothing is."""
    try:
        program, _ = open_program(str(file))
        return program.check()
    except DiagnosticError as error:
        return list(error.diagnostics)


def format_source(text: str) -> str:
    """Source text in the canonical style. Raises DiagnosticError where it does not parse."""
    return formatter.format_source(Source("<text>", text))
