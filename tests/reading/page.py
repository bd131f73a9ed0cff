"""Writes how each operator of ONNX is read: `python -W ignore -m tests.reading.page > docs/onnx.md`.

An operator "differentiates" where the reader makes of one of its backend tests, with integer inputs as constants, what
has a gradient by a float input; it is "kept" where every reading keeps the node as it is.
"""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
from netlang.compiler.ir import Graph, Node
from netlang.compiler.ops import OPS
from netlang.compiler.reading import read_model
from netlang.compiler.reading.rules import RULES
from onnx import defs
from onnx.backend.test.case.test_case import TestCase

from netlang.diagnostics import DiagnosticError
from netlang.types import FLOATS

from .backend import KINDS, cases, outcome

ELSEWHERE = ("GlobalLpPool", "MaxRoiPool", "STFT", "Trilu")
"""Operators without a backend test of floats that the runtime can run; tests/ops has gradients of them."""

DIFFERENTIABLE = defs.OpSchema.DifferentiationCategory.Differentiable


def marked(name: str) -> bool:
    """Whether the specification marks an operator differentiable, in any of its versions."""
    versions = [schema for schema in defs.get_all_schemas_with_history() if (schema.domain, schema.name) == ("", name)]
    return any(item.differentiation_category == DIFFERENTIABLE for schema in versions for item in schema.inputs)


def nodes(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        yield node
        for body in node.bodies:
            yield from nodes(body)


def as_used(case: TestCase) -> onnx.ModelProto:
    """The model with its integer inputs (axes, sizes, positions) as constants, as they are in networks."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs = case.data_sets[0][0] if case.data_sets else []
    for info, value in list(zip(model.graph.input, inputs, strict=False)):
        if isinstance(value, np.ndarray | np.generic) and np.asarray(value).dtype.kind in "iu":
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), info.name))
            model.graph.input.remove(info)
    return model


def reading(case: TestCase) -> tuple[bool, bool] | None:
    """Whether a foreign node is among what is read, and whether a result differentiates by a float input."""
    try:
        graph = read_model(as_used(case)).graph
    except DiagnosticError:
        return None
    reached = {item.value for item in graph.inputs if item.value.type.dtype in ("f32", "f64")}
    for node in graph.nodes:
        if OPS[node.op].nondiff is None and any(x in reached for x in node.inputs):
            reached.update(y for y in node.outputs if y.type.dtype in FLOATS)
    return any(node.op == "foreign" for node in nodes(graph)), any(output.value in reached for output in graph.outputs)


def main() -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    foreign: dict[str, list[bool]] = defaultdict(list)
    smooth: dict[str, bool] = defaultdict(bool, dict.fromkeys(ELSEWHERE, True))
    for case in cases():
        operators = {node.op_type for node in case.model.graph.node}
        result = outcome(case)
        about = case.model.graph.node[-1].op_type if case.model.graph.node else ""
        counts[about][result.kind] += 1
        found = reading(case)
        if found is not None and len(operators) == 1:
            foreign[about].append(found[0])
            smooth[about] |= found[1]
    _print(counts, foreign, smooth)


def _print(counts: dict[str, Counter[str]], foreign: dict[str, list[bool]], smooth: dict[str, bool]) -> None:
    total = sum(counts.values(), Counter())
    names = sorted({schema.name for schema in defs.get_all_schemas() if not schema.domain})
    wanted = [name for name in names if marked(name)]
    print("# Operators of ONNX\n")
    print("<!-- Written by `python -W ignore -m tests.reading.page`: change the code, not this page. -->\n")
    print(_wrapped(
        f"How the reader takes the {len(names)} operators of ONNX (package {onnx.__version__}, operator sets 7 to "
        f"{onnx.defs.onnx_opset_version()}), and how the package's own backend tests go: each model is read, emitted "
        f"again, checked, and run by onnxruntime {onnxruntime.__version__} on the CPU. Of {sum(total.values())} cases "
        + ", ".join(f"{total[kind]} {kind}" for kind in KINDS)
        + ". Unsupported: the runtime does not give the expected results for the original model either. The "
        f"specification marks {len(wanted)} operators differentiable; {sum(smooth[name] for name in wanted)} of them "
        f"differentiate here, and {sum(smooth[name] for name in names if name not in wanted)} others."))  # fmt: skip
    print("\n| operator | read as | marked differentiable | differentiates | passed | failed | refused | unsupported |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        tested = "".join(f" {counts[name][kind] or ''} |" for kind in KINDS)
        print(f"| {name} | {_how(name, foreign)} | {_yes(name in wanted)} | {_yes(smooth[name])} |{tested}")
    print()


def _how(name: str, foreign: dict[str, list[bool]]) -> str:
    if foreign[name] and all(foreign[name]):
        return "kept"
    if any(foreign[name]):
        return "operators of the table; kept in uses that these cannot express"
    return "operators of the table" if foreign[name] or name in RULES else "kept"


def _yes(condition: bool) -> str:
    return "yes" if condition else ""


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 118))


if __name__ == "__main__":
    main()
