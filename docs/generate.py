"""Writes the pages that the program itself knows best: errors, commands, operators, the library, and words for editors.

python docs/generate.py            write them
python docs/generate.py --check    exit with 1 if one is not up to date
"""

from __future__ import annotations

import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
from highlighting import grammar
from netlang.compiler.documentation import LANGUAGE, Documented
from netlang.compiler.ops import OPS
from netlang.runtime.cli.application import COMMANDS
from netlang.runtime.cli.click_classes import Argument
from netlang.runtime.cli.ops import facts
from netlang.runtime.documentation import import_line, library

from netlang.codes import EXPLANATIONS

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Written by docs/generate.py: change the source, not this page. -->"


def errors() -> Iterator[str]:
    """The page of the error codes."""
    yield f"# Error codes\n\n{NOTE}\n"
    yield "`netlang explain CODE` shows the same in the terminal.\n"
    for code, about in sorted(EXPLANATIONS.items()):
        yield f"## {code}\n\n{about.meaning} {about.why}\n"
        yield f"Wrong:\n\n```\n{about.wrong}\n```\n\nRight:\n\n```\n{about.right}\n```\n"


def command_line() -> Iterator[str]:
    """The page of the commands."""
    yield f"# The command line\n\n{NOTE}\n"
    yield "Exit status: 0 done; 1 an error in the program, its data or the machine, which is explained; 2 a usage"
    yield "error; 70 a fault of netlang itself; 130 stopped with Ctrl-C.\n"
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2].rstrip("_")
        yield f"## netlang {name}\n\n{inspect.cleandoc(module.command.help or '')}\n"
        yield f"```sh\n{textwrap.dedent(module.EXAMPLES)}\n```\n"
        yield "| | |\n|---|---|"
        for parameter in parameters(module.command):
            yield "| {} | {} |".format(*(text.replace("|", "\\|") for text in parameter))
        yield ""


def parameters(command: click.Command) -> Iterator[tuple[str, str]]:
    """How each argument and option of a command is written, and what it means."""
    for parameter in command.params:
        if isinstance(parameter, Argument):
            yield f"`{parameter.human_readable_name}`", parameter.meaning
        elif isinstance(parameter, click.Option):
            value = f" {parameter.metavar}" if parameter.metavar else ""
            yield f"`{', '.join(parameter.opts)}{value}`", str(parameter.help)


def operators() -> Iterator[str]:
    """The page of the operators."""
    rows = [facts(op) for op in sorted(OPS.values(), key=lambda op: op.name)]
    differentiable = [row for row in rows if row["gradient"]]
    yield f"# Operators\n\n{NOTE}\n"
    yield "`netlang ops NAME` shows one in full, `netlang ops --json` this table. How ONNX's operators are read is in"
    yield "[onnx.md](onnx.md).\n"
    yield f"{len(rows)} operators: {len(differentiable)} differentiate, all of them twice and more; the others are"
    yield "constant between steps, or have no input to differentiate by. A composite is defined by others, and"
    yield "differentiates as they do; ONNX's own operator is used for it where a graph holds no gradients.\n"
    yield "Tested: results in onnxruntime on the CPU, in the dtypes listed, against NumPy; gradients in f32 there"
    yield "against PyTorch, and of both orders in f64 against finite differences (`tests/ops`). On CUDA nothing was run"
    yield "yet.\n"
    yield "| operator | | dtypes tested on CPU | gradient | second order | CUDA |\n|---|---|---|---|---|---|"
    for row in rows:
        op = OPS[row["name"]]
        kind = "composite" if op.body else "primitive"
        gradient = "yes" if row["gradient"] else f"none: {op.nondiff}"
        second = "yes" if row["second_order"] else ""
        yield f"| `{op.name}` | {kind} | {', '.join(row['dtypes'])} | {gradient} | {second} | not tested |"
    yield ""


def standard_library() -> Iterator[str]:
    """The page of the library."""
    yield f"# The library\n\n{NOTE}\n"
    yield "`netlang doc NAME` shows the same in the terminal, with what each definition uses, and reads your own files."
    yield "What is marked * is known in every file; the rest is brought by `use`, the models also as `std:NAME` on the"
    yield "command line. Operators have a [page of their own](operators.md).\n"
    for module in library():
        if module.name != LANGUAGE:
            yield f"## {module.name}\n\n{module.doc}\n"
            for thing in module.definitions:
                yield from definition(thing)


def definition(thing: Documented) -> Iterator[str]:
    """One definition of the library; for a model, also its entries and its training."""
    yield f"### {thing.name}{'' if import_line(thing) else ' *'}\n\n```\n{thing.signature}\n```\n\n{thing.doc}\n"
    for part in thing.entries:
        inputs = ", ".join(f"{parameter.name}: {parameter.type}" for parameter in part.inputs)
        needs = f"; a step needs `{inputs}`" if part.kind == "train" and inputs else ""
        yield f"- `{' '.join(part.signature.split())}`{needs}" + (f": {' '.join(part.doc.split())}" if part.doc else "")
    if thing.entries:
        yield ""


def textmate() -> Iterator[str]:
    """The grammar for editors."""
    yield json.dumps(grammar(), indent=2, ensure_ascii=False) + "\n"


PAGES = {
    "docs/errors.md": errors,
    "docs/command-line.md": command_line,
    "docs/operators.md": operators,
    "docs/library.md": standard_library,
    "editors/vscode/syntaxes/netlang.tmLanguage.json": textmate,
}


def run(check: bool) -> int:
    """Writes the pages, or compares them with what would be written; the exit status."""
    stale = 0
    for name, page in PAGES.items():
        path, text = ROOT / name, "\n".join(page())
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if check:
            print(f"{name} is not up to date: run `python docs/generate.py`")
            stale = 1
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return stale


if __name__ == "__main__":
    sys.exit(run(check="--check" in sys.argv[1:]))
