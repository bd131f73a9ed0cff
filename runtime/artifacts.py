"""What compiling leaves: ONNX graphs, weights, and a manifest that says what every input and output is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from netlang.types import TensorType

from ..compiler import Network
from ..compiler.emit import External, emit, output_name
from ..compiler.ir import Graph, Input, Variable
from .bound_network import BoundNetwork, known_entry, main_entry
from .checkpoint import save_tensors, tensor_offsets
from .files import atomic_file, make_directory, require_text, write_json
from .runner import INLINE_LIMIT, weight_bytes
from .versions import versions

WEIGHTS = "weights.safetensors"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One graph to write: the file, the graph, whether its weights are inside, and what it is for."""

    file: str
    graph: Graph
    inference: bool
    meaning: str


def compile_network(
    network: BoundNetwork, directory: Path, *, entries: Iterable[str] | None = None, opset: int | None = None
) -> list[Path]:
    """Writes every graph of a network, its weights and the manifest; the paths written.

    `<entry>.onnx` for each entry (or those named) with the weights inside, or in the weights' file where they exceed
    1.5 GB; where the network trains, `train.onnx` and `eval.onnx`, and, where the step has no phases, `grad.onnx` and
    `apply.onnx`, whose variables are inputs; `weights.safetensors`; `manifest.json`. Every graph passes the ONNX
    checker before it takes its name.

    Raises DiagnosticError (`unknown-entry`, `opset-unsupported`, `disk-full`, `unwritable-file`).
    """
    known = network.entries if entries is None else [known_entry(network.network, entry) for entry in entries]
    artifacts = _artifacts(network.network, known)
    make_directory(directory)
    weights = dict(network.weights)
    paths = [directory / WEIGHTS]
    save_tensors(paths[0], weights)
    external = external_weights(WEIGHTS, weights)
    descriptions: dict[str, Any] = {}
    for artifact in artifacts:
        model = _model(artifact, weights, external, opset)
        paths.append(write_model(model, directory / artifact.file))
        descriptions[artifact.file] = _describe(artifact, model)
    paths.append(directory / MANIFEST)
    write_json(paths[-1], manifest(network.network, descriptions, weights=WEIGHTS))
    return paths


def export(network: BoundNetwork, path: Path, *, entry: str | None = None, opset: int | None = None) -> list[Path]:
    """Writes one entry as an ONNX model with its weights, `forward` where it is not named; the paths written.

    Weights above 1.5 GB go into a file beside it, `<name>.safetensors`. Raises DiagnosticError as `compile_network`.
    """
    name = known_entry(network.network, entry or main_entry(network.network))
    artifact = _inference(network.network, name, path.name)
    weights = {v.name: network.weights[v.name] for v in artifact.graph.variables}
    beside = path.with_suffix(".safetensors")
    written = [path]
    if weight_bytes(weights) > INLINE_LIMIT:
        make_directory(path.parent)
        save_tensors(beside, weights)
        written.append(beside)
    write_model(_model(artifact, weights, external_weights(beside.name, weights), opset), path)
    return written


def describe_export(network: BoundNetwork, path: Path, entry: str | None = None) -> dict[str, Any]:
    """The manifest of a model that `export` wrote."""
    artifact = _inference(network.network, entry or main_entry(network.network), path.name)
    model = onnx.load(str(path), load_external_data=False)
    return manifest(network.network, {path.name: _describe(artifact, model)})


def write_model(model: onnx.ModelProto, path: Path) -> Path:
    """Writes a model that passes the ONNX checker, atomically and always as the same bytes."""
    require_text(path)
    with atomic_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        onnx.checker.check_model(str(temporary))
    return path


def external_weights(file: str, weights: Mapping[str, np.ndarray]) -> dict[str, External]:
    """Where each weight lies in the safetensors file called `file`, as ONNX models refer to it."""
    offsets = tensor_offsets(weights)
    return {name: External(file, offsets[name], array.nbytes) for name, array in weights.items()}


def manifest(network: Network, files: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """What a program that uses the files has to know."""
    sources = {
        name: hashlib.sha256(source.text.encode()).hexdigest()
        for name, source in sorted(network.program.sources.items())
    }
    return {
        "format": 1,
        "model": network.name,
        "settings": dict(network.settings),
        "parameters": network.parameter_count,
        "versions": versions(),
        "sources": sources,
        **more,
        "files": dict(files),
    }


def _artifacts(network: Network, entries: Iterable[str]) -> list[Artifact]:
    found = [_inference(network, entry, f"{entry}.onnx") for entry in entries]
    if network.trains:
        found.append(Artifact("train.onnx", network.train_graph(), False, "one training step"))
        found += [] if network.phases else _halves(network)
        found.append(Artifact("eval.onnx", network.eval_graph(), False, "loss and reports in evaluation mode"))
    return found


def _halves(network: Network) -> list[Artifact]:
    """The step cut in two, which goes where it has one loss."""
    first, second = network.gradient_graph(), network.apply_graph()
    return [
        Artifact("grad.onnx", first, False, "the first half of a step: loss and gradients"),
        Artifact("apply.onnx", second, False, "the second half of a step: from gradients to weights"),
    ]


def _inference(network: Network, entry: str, file: str) -> Artifact:
    return Artifact(file, network.graph(entry), True, f"inference: the entry `{entry}`")


def _model(
    artifact: Artifact, weights: Mapping[str, np.ndarray], external: Mapping[str, External], opset: int | None
) -> onnx.ModelProto:
    if not artifact.inference:
        return emit(artifact.graph, opset=opset)
    used = {variable.name: weights[variable.name] for variable in artifact.graph.variables}
    if weight_bytes(used) <= INLINE_LIMIT:
        return emit(artifact.graph, weights=used, opset=opset)
    return emit(artifact.graph, external={name: external[name] for name in used}, opset=opset)


def _describe(artifact: Artifact, model: onnx.ModelProto) -> dict[str, Any]:
    graph = artifact.graph
    inputs = [_input(item) for item in graph.inputs]
    if not artifact.inference:
        inputs = [_variable(variable) for variable in graph.variables] + inputs
    outputs = [
        {
            "name": output_name(o.name, o.role),
            **_type(o.value.type),
            "role": o.role,
            "meaning": _MEANING[o.role](o.name),
        }
        for o in graph.outputs
    ]
    opset = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    requires = [str(demand.condition) for demand in graph.demands]
    return {"meaning": artifact.meaning, "opset": opset, "inputs": inputs, "requires": requires, "outputs": outputs}


def _input(item: Input) -> dict[str, Any]:
    meaning = item.doc or _SCALARS.get(item.role, "data")
    return {"name": item.name, **_type(item.value.type), "role": item.role, "meaning": meaning}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        **_type(variable.value.type),
        "role": variable.kind,
        "initial": str(variable.init),
        "meaning": _KINDS[variable.kind],
    }


def _type(type_: TensorType) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else str(size) for size in type_.shape]
    return {"type": str(type_), "dtype": type_.dtype, "shape": shape}


_KINDS = {
    "param": "parameter",
    "state": "running state",
    "optimizer": "state of the optimizer",
    "average": "mean of a parameter over the steps, for inference",
}

_SCALARS = {
    "step": "steps done before this one, from 0",
    "steps": "steps planned in all, for schedules",
    "seed": "seed of the random numbers in the graph; the same for all steps",
    "gradient": "gradient, from grad.onnx; the mean where there are several",
}

_MEANING = {
    "result": lambda name: "result",
    "loss": lambda name: "what is minimized, over this batch",
    "report": lambda name: "reported, over this batch",
    "gradient": lambda name: f"gradient of the loss with respect to {name}",
    "next": lambda name: f"new value of {name}",
}
