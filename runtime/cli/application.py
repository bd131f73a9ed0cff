"""The commands of `netlang`, and the options that stand before them."""

from __future__ import annotations

from typing import Annotated

import typer

from . import check, compile, doc, eval, explain, export, fmt, graph, import_, new, ops, run, summary, train

COMMANDS = (new, check, fmt, summary, graph, compile, train, eval, run, export, import_, doc, explain, ops)
"""One module a command, in the order of the help: `command` does the work, `EXAMPLES` closes its help."""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExample:\n  netlang train examples/digits.net",
)


@app.callback()
def netlang(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: wanted and _print_versions(),
            is_eager=True,
            help="Show the version, onnxruntime's, and the providers it has here.",
        ),
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", envvar="NETLANG_TRACEBACK", help="Show where an internal error happened.")
    ] = False,
) -> None:
    """Neural networks in one readable file: check it, train it, export it to ONNX."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def _print_versions() -> None:
    from importlib.metadata import version

    import onnxruntime

    print(f"netlang {version('netlang')}")
    print(f"onnxruntime {onnxruntime.__version__}: {', '.join(onnxruntime.get_available_providers())}")
    raise typer.Exit


for module in COMMANDS:
    name = module.__name__.rpartition(".")[2].rstrip("_")
    app.command(name, epilog=f"\b\nExamples:\n{module.EXAMPLES}")(module.command)
