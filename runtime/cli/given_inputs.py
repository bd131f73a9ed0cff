"""The inputs of `netlang run`: files of arrays, pictures, text, and numbers written on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from netlang.diagnostics import DiagnosticError, did_you_mean, fail
from netlang.types import TensorType

from ..data.fitting import Fit
from ..data.images import SUFFIXES, read_image
from ..data.lines import read_lines
from ..data.numpy_files import read_npy, read_npz
from ..data.ragged import Sequences
from ..data.vocabulary import MARK_SETTINGS, Vocabulary
from ..data.written import vocabulary_of

TEXT, LINES = "text:", "lines:"
_SHOWN = 60


def read_inputs(
    pairs: Sequence[str],
    types: Mapping[str, TensorType],
    fits: Mapping[str, str],
    vocabularies: Mapping[str, Vocabulary],
) -> dict[str, Any]:
    """The arrays that `NAME=VALUE` pairs stand for, for inputs of these types.

    `fits` says how pictures are brought to size, `vocabularies` what the numbers of text and classes stand for. Raises
    DiagnosticError for what cannot be read, click.BadParameter for what is no pair.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value:
            raise click.BadParameter(f"expected NAME=VALUE such as `x=a.npy`, found `{pair}`", param_hint="--input")
        if name not in types:
            help = did_you_mean(name, types) or f"the inputs are {', '.join(f'`{other}`' for other in types)}"
            raise fail("wrong-input", f"there is no input `{name}`", help=help)
        if name in found:
            raise click.BadParameter(f"`{name}` is given twice", param_hint="--input")
        found[name] = _read(name, value, types[name], fits.get(name), vocabulary_of(name, types[name], vocabularies))
    return found


def _read(name: str, value: str, type_: TensorType, fit: str | None, vocabulary: Vocabulary | None) -> Any:
    if value.startswith(TEXT):
        return _tokens(name, value.removeprefix(TEXT), type_, vocabulary)
    if value.startswith(LINES):
        return _lines(name, Path(value.removeprefix(LINES)).expanduser(), type_, vocabulary)
    path = Path(value).expanduser()
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return read_npy(path)
    if suffix == ".npz":
        return _member(name, path)
    if suffix in SUFFIXES:
        return _picture(path, type_, fit)
    if vocabulary is not None and type_.rank > 0 and not value.startswith("["):
        return _tokens(name, value, type_, vocabulary)
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        if vocabulary is not None:
            return _tokens(name, value, type_, vocabulary)
        raise fail(
            "wrong-input",
            f"`{value if len(value) <= _SHOWN else f'{value[:_SHOWN]}…'}` is nothing that the input `{name}` can be",
            help=f"a file (.npy, .npz, a picture), `{TEXT}…`, `{LINES}FILE`, or numbers such as 3 or [[1, 2.5]]",
        ) from None


def _tokens(name: str, text: str, type_: TensorType, vocabulary: Vocabulary | None) -> Any:
    """A text as a batch of one row of tokens; the name of a class, or one word, where rows are single numbers."""
    if vocabulary is None:
        raise _no_text(name)
    if type_.rank == 1:
        return np.array([vocabulary.number(text)])
    numbers = vocabulary.encode(text)
    unknown = vocabulary.unknown(text)
    if unknown and vocabulary.marked:
        print(f"not in the vocabulary: {', '.join(f'`{each}`' for each in unknown)}", file=sys.stderr)
    return numbers.astype(np.int64)[None]


def _lines(name: str, path: Path, type_: TensorType, vocabulary: Vocabulary | None) -> np.ndarray:
    """The lines of a text file as rows of tokens, filled up with padding; or each a class or word."""
    if vocabulary is None:
        raise _no_text(name)
    texts = read_lines(path).texts
    if not texts:
        raise fail("bad-data", f"`{path}` has no lines")
    if type_.rank == 1:
        return np.array([vocabulary.number(text) for text in texts])
    rows = Sequences(vocabulary.encode_all(texts), len(vocabulary))
    longest = int(rows.lengths.max())
    if not vocabulary.marked and rows.lengths.min() < longest:
        title = f"the lines of `{path}` have different lengths, and the vocabulary has no token to fill them up with"
        raise fail("wrong-input", title, found=f"{rows.lengths.min()} to {longest} tokens")
    return rows.padded(np.arange(len(texts)), longest, MARK_SETTINGS["padding"])


def _no_text(name: str) -> DiagnosticError:
    help = "give the input as numbers or as a `.npy` file"
    return fail("wrong-input", f"`{name}` cannot be text: the run was not trained on text", help=help)


def _member(name: str, path: Path) -> Any:
    arrays = read_npz(path)
    if name in arrays:
        return arrays[name]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    found = ", ".join(f"`{key}`" for key in arrays)
    raise fail("missing-input", f"`{path}` has no array `{name}`", found=found, help="name the array as the input")


def _picture(path: Path, type_: TensorType, fit: str | None) -> Any:
    """One picture as a batch of one, brought to the size that the input takes if the file says how."""
    if type_.rank != 4:
        raise fail("wrong-input", f"`{path}` is a picture", expected=type_)
    channels, height, width = type_.shape[1:]
    image = read_image(path, channels if isinstance(channels, int) else None)[None]
    if isinstance(height, int) and isinstance(width, int) and image.shape[2:] != (height, width) and fit is not None:
        return Fit(fit, (height, width))(image)
    return image
