"""Arguments and options that several commands share, and the readers of their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .click_classes import Argument, WholeNumber

if TYPE_CHECKING:
    from ..run_config import RunConfig
    from ..session import Device

POSITIVE, NOT_NEGATIVE = WholeNumber(min=1), WholeNumber(min=0)

file_argument = click.argument("file", cls=Argument, help="A `.net` file, or `std:NAME` for a model of the library.")
files_argument = click.argument(
    "files",
    cls=Argument,
    nargs=-1,
    required=True,
    metavar="FILE",
    help="`.net` files, directories of them, or `std:NAME`.",
)
model_argument = click.argument(
    "model", cls=Argument, required=False, help="Which model of the file; by default its last."
)
run_argument = click.argument("run", cls=Argument, type=Path, help="A directory that `netlang train` wrote.")
set_option = click.option(
    "--set", "-s", multiple=True, metavar="NAME=VALUE", help="Give a setting of the model a value. Repeatable."
)
dims_option = click.option(
    "--dims", multiple=True, metavar="NAME=SIZE", help="Fix an open dimension, such as batch=32. Repeatable."
)
entry_option = click.option(
    "--entry", metavar="ENTRY", help="Which entry of the model; by default `forward`, or the first."
)
length_option = click.option(
    "--length",
    type=POSITIVE,
    metavar="N",
    help="Tokens of a window of a text, which the model reads at once; or of a sentence.",
)
limit_option = click.option("--limit", type=POSITIVE, metavar="N", help="Use only so many examples of the data.")
device_option = click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), help="Where to compute; by default as in the training."
)
threads_option = click.option(
    "--threads", type=POSITIVE, metavar="N", help="Threads to compute with; by default, one a core."
)
checkpoint_option = click.option(
    "--checkpoint",
    type=click.Choice(["best", "last"]),
    help="Which weights; by default the best where validation data chose them.",
)
json_option = click.option("--json", is_flag=True, help="Print one JSON document, for scripts.")
opset_option = click.option(
    "--opset", type=POSITIVE, metavar="N", help="ONNX operator set; by default, the lowest that serves."
)
weights_option = click.option(
    "--weights",
    type=Path,
    metavar="FILE",
    help="Begin with these weights: a .safetensors file, names as here or as `pretrained` says.",
)

Setting = int | float | bool | str


def chosen_device(config: RunConfig, device: str | None, threads: int | None) -> Device:
    """The device of the options, or else that of the training. Raises DiagnosticError (`no-device`)."""
    from ..session import Device

    return Device(device or config.device, threads or config.threads)


def settings(pairs: Sequence[str]) -> dict[str, Setting]:
    """`["classes=10", "bias=false"]` as `{"classes": 10, "bias": False}`. Raises click.BadParameter."""
    return {name: _setting(text) for name, text in _pairs(pairs, "--set", "classes=10")}


def sizes(pairs: Sequence[str]) -> dict[str, int]:
    """`["t=64"]` as `{"t": 64}`. Raises click.BadParameter."""
    result: dict[str, int] = {}
    for name, text in _pairs(pairs, "--dims", "batch=32"):
        if not text.isdecimal() or int(text) == 0:
            raise click.BadParameter(f"`{name}` needs a whole number above 0, found `{text}`", param_hint="--dims")
        result[name] = int(text)
    return result


def _pairs(pairs: Sequence[str], option: str, example: str) -> list[tuple[str, str]]:
    result: list[tuple[str, str]] = []
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name.isidentifier() and equals and value):
            raise click.BadParameter(f"expected NAME=VALUE such as `{example}`, found `{pair}`", param_hint=option)
        if name in dict(result):
            raise click.BadParameter(f"`{name}` is given twice", param_hint=option)
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
