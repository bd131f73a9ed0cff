"""Arguments and options that several commands share, and the readers of their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

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
DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="SOURCE",
        help="digits, mnist:DIR, npz:FILE, text:FILE, csv:FILE, images:DIR, or a path to guess from.",
    ),
]
LengthOption = Annotated[
    int | None, typer.Option("--length", min=1, help="Length of the windows of a text: what the model reads at once.")
]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Use only so many examples of the data.")]
BatchOption = Annotated[int, typer.Option("--batch", "-b", min=1, help="Examples in a batch.")]
DeviceOption = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where to compute.")]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, help="Threads to compute with; by default, one a core.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]
OpsetOption = Annotated[
    int | None, typer.Option("--opset", min=1, help="ONNX operator set; by default, the lowest that serves.")
]
DumpOption = Annotated[
    list[str] | None,
    typer.Option("--dump-after", metavar="PASS", help="Print the graph after a pass of the compiler. Repeatable."),
]
VerifyOption = Annotated[bool, typer.Option("--check", help="Verify the graph after every pass of the compiler.")]

Setting = int | float | bool | str


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
