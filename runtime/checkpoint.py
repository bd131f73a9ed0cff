"""Checkpoints: one safetensors file with every variable, and in its header what else a run needs to go on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from netlang.diagnostics import DiagnosticError, fail

from ..compiler.dtypes import dtype_name
from .files import Chunk, unreadable, write_atomically
from .records import from_json

_KEY = "netlang"
_FORMAT = 1
_MIN_BYTES = 10  # the length of the header, and an empty one


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training has come; with the variables, all that its next step depends on.

    step: steps done. seed: of initial values, order of the data, and random numbers in the graph. steps: planned in
    all. batch: rows of a full batch (with `step` it says epoch and position). digest: of the sources and settings that
    make the network. best: lowest validation loss so far, and best_step where it was. evaluated: step of the last
    evaluation.
    """

    step: int
    seed: int
    steps: int | None
    batch: int | None
    digest: str
    best: float | None = None
    best_step: int | None = None
    evaluated: int | None = None


def save_checkpoint(path: Path, variables: Mapping[str, np.ndarray], progress: Progress) -> None:
    """Writes a checkpoint, atomically. Raises DiagnosticError (`disk-full`, `unwritable-file`)."""
    save_tensors(path, variables, {"format": _FORMAT, **asdict(progress)})


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], Progress]:
    """Variables and progress of a checkpoint. Raises DiagnosticError (`bad-checkpoint`, `unreadable-file`)."""
    tensors, metadata = load_tensors(path)
    if metadata is None:
        raise _bad(path, "it holds weights, but no progress of a training")
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise _bad(path, "it was written by another version of netlang")
    try:
        progress = from_json(Progress, metadata)
    except ValueError as error:
        raise _bad(path, str(error)) from None
    if progress.step < 0:
        raise _bad(path, f"it is of step {progress.step}")
    return tensors, progress


def save_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None = None) -> None:
    """Writes a safetensors file, atomically; `metadata` must be what JSON can say. Raises DiagnosticError."""
    write_atomically(path, _serialised(tensors, metadata))


def load_tensors(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    """Arrays of a safetensors file and its metadata (some JSON), None where netlang did not write it.

    The header's sizes are compared with the file's before anything is read. Raises DiagnosticError
    (`bad-checkpoint`, `unreadable-file`).
    """
    try:
        if path.stat().st_size < _MIN_BYTES:
            raise _bad(path, "it is too short")
        with safe_open(path, framework="numpy") as file:
            texts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        return tensors, json.loads(texts[_KEY]) if _KEY in texts else None
    except OSError as error:
        raise unreadable(path, error) from None
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise _bad(path, str(error).removeprefix("Error while deserializing header: ")) from None


def tensor_offsets(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Where in the file that `save_tensors` writes each tensor begins, in bytes."""
    header, offsets = _header(tensors, metadata)
    return {name: len(header) + offset for name, offset in offsets.items()}


def _serialised(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None) -> Iterator[Chunk]:
    """The bytes of a safetensors file: length of the header, the header (JSON), the tensors one after another."""
    header, offsets = _header(tensors, metadata)
    yield header
    for name in offsets:
        array = np.asarray(tensors[name], order="C")
        yield array.reshape(-1).view(np.uint8).data


def _header(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None) -> tuple[bytes, dict[str, int]]:
    """The header with its length before it, and the offset of each tensor behind it, in the order of the file.

    Wider elements come first, so that each tensor is aligned for its type.
    """
    entries: dict[str, Any] = {} if metadata is None else {"__metadata__": {_KEY: json.dumps(metadata)}}
    offsets: dict[str, int] = {}
    offset = 0
    for name in sorted(tensors, key=lambda name: (-tensors[name].itemsize, name)):
        array = tensors[name]
        size = math.prod(array.shape) * array.itemsize
        offsets[name] = offset
        entries[name] = {
            "dtype": dtype_name(array.dtype).upper(),
            "shape": list(array.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, offsets


def _bad(path: Path, why: str) -> DiagnosticError:
    return fail(
        "bad-checkpoint",
        f"`{path}` is no checkpoint that can be used: {why}",
        help="a run keeps `best` and `last`: name the other by `--checkpoint`; `--resume` takes it if this one is gone",
    )
