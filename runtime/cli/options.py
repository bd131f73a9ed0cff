"""Arguments and options that several commands share, and the readers of their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ..run_config import RunConfig
    from ..session import Device

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="A `.net` file, or `std:NAME` for a model of the library.")
]
FilesArgument = Annotated[
    list[str], typer.Argument(metavar="FILE", help="`.net` files, directories of them, or `std:NAME`.")
]
ModelArgument = Annotated[
    str | None, typer.Argument(metavar="MODEL", help="Which model of the file; by default its last.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A directory that `netlang train` wrote.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="Give a parameter of the model a value. Repeatable."),
]
DimsOption = Annotated[
    list[str] | None,
    typer.Option("--dims", metavar="NAME=SIZE", help="Fix an open dimension, such as batch=32. Repeatable."),
]
EntryOption = Annotated[
    str | None,
    typer.Option("--entry", help="Which entry of the model; by default `forward`, or the first."),
]
LengthOption = Annotated[
    int | None,
    typer.Option(
        "--length", min=1, help="Tokens of a window of a text, which the model reads at once; or of a sentence."
    ),
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Use only so many examples of the data.")]
DeviceOption = Annotated[
    Literal["cpu", "cuda"] | None, typer.Option("--device", help="Where to compute; by default as in the training.")
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads to compute with; by default, one a core.")
]
CheckpointOption = Annotated[
    Literal["best", "last"] | None,
    typer.Option("--checkpoint", help="Which weights; by default the best where validation data chose them."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]
OpsetOption = Annotated[
    int | None, typer.Option("--opset", min=1, help="ONNX operator set; by default, the lowest that serves.")
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Begin with these weights: a .safetensors file, names as here or as `pretrained` says.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of the initial weights.")]

Setting = int | float | bool | str


def chosen_device(config: RunConfig, device: str | None, threads: int | None) -> Device:
    """The device of the options, or else that of the training. Raises DiagnosticError (`no-device`)."""
    from ..session import Device

    return Device(device or config.device, threads or config.threads)


def settings(pairs: Sequence[str] | None) -> dict[str, Setting]:
    """`["classes=10", "bias=false"]` as `{"classes": 10, "bias": False}`. Raises typer.BadParameter."""
    return {name: _setting(text) for name, text in _pairs(pairs, "--set", "classes=10")}


def sizes(pairs: Sequence[str] | None) -> dict[str, int]:
    """`["t=64"]` as `{"t": 64}`. Raises typer.BadParameter."""
    result: dict[str, int] = {}
    for name, text in _pairs(pairs, "--dims", "batch=32"):
        if not text.isdecimal() or int(text) == 0:
            raise typer.BadParameter(f"`{name}` needs a whole number above 0, found `{text}`", param_hint="--dims")
        result[name] = int(text)
    return result


def _pairs(pairs: Sequence[str] | None, option: str, example: str) -> list[tuple[str, str]]:
    result: list[tuple[str, str]] = []
    for pair in pairs or ():
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name.isidentifier() and equals and value):
            raise typer.BadParameter(f"expected NAME=VALUE such as `{example}`, found `{pair}`", param_hint=option)
        if name in dict(result):
            raise typer.BadParameter(f"`{name}` is given twice", param_hint=option)
        result.append((name, value))
    return result


def _setting(text: str) -> Setting:
    """A number where `text` reads as one, a truth value for `true` and `false`, else the text itself."""
    if text in ("true", "false"):
        return text == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
