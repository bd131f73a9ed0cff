"""`netlang ops`: the table of the operators, as the compiler and its tests use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netlang.diagnostics import DiagnosticError, did_you_mean, fail

from .click_classes import Argument, Command
from .options import json_option
from .terminal import console, count, print_json, wrapped

if TYPE_CHECKING:
    from ...compiler.op import Op, Sample

EXAMPLES = """\
  netlang ops              every operator, one a line
  netlang ops matmul       signature, meaning and gradient of one
  netlang ops --json"""


@click.command(cls=Command, examples=EXAMPLES)
@click.argument("name", cls=Argument, required=False, metavar="OPERATOR", help="Show this one in full.")
@json_option
def command(name: str | None, json: bool) -> None:
    """List the operators and what each can do."""
    from ...compiler.ops import OPS

    if name is not None and name not in OPS:
        raise fail("undefined-name", f"there is no operator `{name}`", help=did_you_mean(name, OPS))
    chosen = [OPS[name]] if name else sorted(OPS.values(), key=lambda op: op.name)
    if json:
        print_json([facts(op) for op in chosen])
    elif name:
        _print_one(chosen[0])
    else:
        _print_table(chosen)


ON_GRAPHS = ("f32",)
"""Dtypes in which operators on graphs, which have no samples, are tested."""


def facts(op: Op) -> dict[str, Any]:
    """What is there for one operator. `gradient` is false where the derivative is zero or undefined everywhere.

    dtypes: those in which its results are tested, in onnxruntime on the CPU. Gradients are tested in f32 there, and in
    f64 against finite differences.
    """
    return {
        "name": op.name,
        "forward": True,
        "gradient": op.nondiff is None,
        "second_order": op.node_vjp is not None or (op.nondiff is None and differentiates_twice(op)),
        "tested": bool(tested_dtypes(op)),
        "dtypes": tested_dtypes(op),
        "devices": ["cpu"],
    }


def tested_dtypes(op: Op) -> list[str]:
    """The dtypes in which the tests of the table run this operator."""
    import numpy as np

    from ...compiler.dtypes import dtype_name
    from ...compiler.op import Sample
    from ..kernels import MISSING

    if op.node_vjp is not None:
        return list(ON_GRAPHS)
    found: dict[str, None] = {}
    for sample in op.samples:
        if isinstance(sample, Sample):
            for parameter, item in zip(op.signature.tensors, sample.inputs, strict=False):
                dtype = dtype_name(item.dtype) if isinstance(item, np.ndarray) else "f32"
                others = {"f32": ("f64", "f16"), "i64": ("i32",)}.get(dtype, ())
                narrow = parameter.pattern.dtype == dtype  # the signature admits this one alone
                found.update(dict.fromkeys((dtype, *(() if narrow else others))))
            if not sample.inputs:
                found["f32" if op.name != "random_bits" else "i32"] = None
    return [dtype for dtype in found if op.name not in MISSING.get(dtype, ())]


def differentiates_twice(op: Op) -> bool:
    """Whether the gradient of each kind of use that the tests know has a gradient again."""
    from ...compiler.op import Sample

    uses = [sample for sample in op.samples if isinstance(sample, Sample) and sample.differentiable]
    try:
        for use in uses:
            _differentiate_twice(op, use)
    except DiagnosticError:
        return False
    return bool(uses)


def _differentiate_twice(op: Op, use: Sample) -> None:
    """Builds the second gradient of one use. Raises DiagnosticError (`no-gradient`)."""
    import numpy as np

    from netlang.types import FLOATS, TensorType

    from ...compiler.autodiff import gradients
    from ...compiler.builder import Builder
    from ...compiler.dtypes import dtype_name

    b = Builder()
    arrays = [x if isinstance(x, np.ndarray) else np.zeros(x, np.float32) for x in use.inputs]
    values = [b.input(f"x{i}", TensorType(dtype_name(x.dtype), x.shape)) for i, x in enumerate(arrays)]
    result = getattr(b, op.name)(*values, **use.attrs)
    first = result[0] if op.multiple else result
    smooth = [value for value in values if value.type.dtype in FLOATS] if first.type.dtype in FLOATS else []
    for gradient in gradients(b, first, smooth) if smooth else ():
        gradients(b, gradient, smooth)


def _print_table(operators: list[Op]) -> None:
    from rich.table import Table

    table = Table("operator", "gradient", "second", "tested in", box=None, pad_edge=False, header_style="bold")
    for op in operators:
        known = facts(op)
        gradient = "yes" if known["gradient"] else f"none: {op.nondiff}"
        table.add_row(op.name, gradient, "yes" if known["second_order"] else "", " ".join(known["dtypes"]))
    console().print(table)
    print(f"\n{count(len(operators), 'operator')}")


def _print_one(op: Op) -> None:
    known = facts(op)
    print(f"{op.text}\n\n{wrapped(op.doc)}\n")
    if known["gradient"]:
        print(f"gradient: yes; of the gradient: {'yes' if known['second_order'] else 'no'}")
    else:
        print(f"gradient: none: {op.nondiff}")
    print(f"tests: {count(len(op.samples), 'use')}; needs ONNX operator set {op.since} or later")
