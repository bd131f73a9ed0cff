"""The commands of `netlang`, and the options that stand before them."""

from __future__ import annotations

import click

from . import check, compile, doc, eval, explain, export, fmt, graph, import_, new, ops, run, summary, train
from .click_classes import Group

COMMANDS = (new, check, fmt, summary, graph, compile, train, eval, run, export, import_, doc, explain, ops)
"""One module a command, in the order of the help: `command` does the work, `EXAMPLES` closes its help."""


def _print_versions(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import version

    import onnxruntime

    print(f"netlang {version('netlang')}")
    print(f"onnxruntime {onnxruntime.__version__}: {', '.join(onnxruntime.get_available_providers())}")
    context.exit()


@click.group(
    cls=Group,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
    epilog="\b\nExample:\n  netlang train examples/digits.net",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_versions,
    help="Show the version, onnxruntime's, and the providers it has here.",
)
@click.option(
    "--traceback",
    is_flag=True,
    expose_value=False,  # `failures` looks for it, even where the command line cannot be read
    envvar="NETLANG_TRACEBACK",
    show_envvar=True,
    help="Show where an internal error happened.",
)
@click.pass_context
def app(context: click.Context) -> None:
    """Neural networks in one readable file: check it, train it, export it to ONNX."""
    if context.invoked_subcommand is None:
        print(context.get_help())


for module in COMMANDS:
    app.add_command(module.command, module.__name__.rpartition(".")[2].rstrip("_"))
