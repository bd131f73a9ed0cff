"""Iteration, choice and blocks: forward and gradients of two orders against PyTorch, in the oracle and onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from netlang.compiler import control
from netlang.compiler.autodiff import gradients
from netlang.compiler.builder import Builder
from netlang.compiler.emit import emit
from netlang.compiler.interpret import evaluate
from netlang.compiler.ir import Graph, Value
from netlang.compiler.passes import run
from netlang.compiler.verify import verify

from netlang.diagnostics import DiagnosticError
from netlang.dims import symbol
from netlang.types import TensorType

STEPS = symbol("steps")
Build = Callable[..., Value]


@dataclass(frozen=True)
class Program:
    """A scalar function of tensors, for the compiler and for PyTorch. `shapes` are those of its arguments."""

    name: str
    build: Build
    torch: Callable[..., torch.Tensor]
    shapes: tuple[tuple[int, ...], ...]
    types: tuple[tuple[Any, ...], ...] = ()

    def __str__(self) -> str:
        return self.name

    def graph(self, order: int) -> Graph:
        """The function, its gradients, and those of the sum of their squares."""
        b = Builder(self.name)
        inputs = [b.input(f"x{i}", TensorType("f32", shape)) for i, shape in enumerate(self.types or self.shapes)]
        value = self.build(b, *inputs)
        results = [value]
        for _ in range(order):
            grads = gradients(b, value, inputs)
            results += grads
            value = _squares(b, grads)
        for i, result in enumerate(results):
            b.output(f"y{i}", result)
        return b.graph()

    def expected(self, order: int) -> list[np.ndarray]:
        tensors = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in self.feeds().values()]
        value = self.torch(*tensors)
        results = [value]
        for _ in range(order):
            grads = torch.autograd.grad(value, tensors, create_graph=True, materialize_grads=True)
            results += grads
            value = torch.stack([(g * g).sum() for g in grads]).sum()
        return [result.detach().numpy() for result in results]

    def feeds(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(7)
        return {f"x{i}": np.asarray(rng.standard_normal(s) / 2, np.float32) for i, s in enumerate(self.shapes)}


def _squares(b: Builder, values: Sequence[Value]) -> Value:
    terms = [b.sum(b.mul(value, value)) for value in values]
    total = terms[0]
    for term in terms[1:]:
        total = b.add(total, term)
    return total


# --- The programs --------------------------------------------------------------------------------------------------


def _cell(b: Builder, h: Value, x: Value, w: Value, u: Value) -> Value:
    return b.tanh(b.add(b.matmul(x, w), b.matmul(h, u)))


def _recurrent(reverse: bool = False, recompute: bool = False, stacked: bool = True) -> Build:
    def build(b: Builder, x: Value, w: Value, u: Value, h: Value) -> Value:
        body = b.inner("cell")
        state, step = body.input("h", h.type), body.input("x", TensorType("f32", x.type.shape[1:]))
        state = _cell(body, state, step, w, u)
        body.output("h", state)
        if stacked:
            body.output("y", state)
        finals, stacks = control.scan(b, body, [h], [x], reverse=reverse, recompute=recompute)
        total = b.sum(b.sin(finals[0]))
        return b.add(total, b.sum(b.mul(stacks[0], stacks[0]))) if stacked else total

    return build


def _recurrent_torch(reverse: bool = False, stacked: bool = True) -> Callable[..., torch.Tensor]:
    def function(x: Any, w: Any, u: Any, h: Any) -> torch.Tensor:
        states = []
        for i in reversed(range(len(x))) if reverse else range(len(x)):
            h = torch.tanh(x[i] @ w + h @ u)
            states.append(h)
        total = torch.sin(h).sum()
        return total + sum((state * state).sum() for state in states) if stacked else total

    return function


RECURRENT = ((5, 2, 3), (3, 4), (4, 4), (2, 4))
OPEN = ((STEPS, 2, 3), *RECURRENT[1:])


def _nested(b: Builder, x: Value, a: Value) -> Value:
    """A scan in a scan: the inner one runs over the columns of each row, and captures a carry of the outer one."""
    outer = b.inner("rows")
    total, row = outer.input("total", TensorType("f32")), outer.input("row", TensorType("f32", x.type.shape[1:]))
    inner = outer.inner("columns")
    state, item = inner.input("state", TensorType("f32")), inner.input("item", TensorType("f32"))
    state = inner.add(inner.mul(state, inner.sin(total)), inner.mul(item, a))
    inner.output("state", state)
    inner.output("kept", inner.tanh(state))
    finals, stacks = control.scan(outer, inner, [a], [row])
    outer.output("total", outer.add(finals[0], outer.mul(total, outer.sum(stacks[0]))))
    finals, _ = control.scan(b, outer, [b.sin(a)], [x])
    return finals[0]


def _nested_torch(x: Any, a: Any) -> torch.Tensor:
    total = torch.sin(a)
    for row in x:
        state, kept = a, 0
        for item in row:
            state = state * torch.sin(total) + item * a
            kept = kept + torch.tanh(state)
        total = state + total * kept
    return total


def _power(bound: int | None = 50, trips: bool = True, recompute: bool = False) -> Build:
    """x ← sin(a x) + x, until the sum of x is above 4, or 6 rounds are done."""

    def build(b: Builder, x: Value, a: Value) -> Value:
        body = b.inner("rounds")
        index, state = body.input("index", TensorType("i64")), body.input("state", x.type)
        state = body.add(body.sin(body.mul(state, a)), state)
        body.output("go_on", body.less(body.sum(state), 4.0))
        body.output("state", state)
        body.output("kept", body.mul(state, body.cast(index, dtype="f32")))
        rounds = b.constant(np.array(6)) if trips else None
        finals, stacks = control.loop(b, body, rounds, b.less(b.sum(x), 4.0), [x], bound=bound, recompute=recompute)
        return b.add(b.sum(b.mul(finals[0], finals[0])), b.sum(stacks[0]))

    return build


def _power_torch(x: Any, a: Any) -> torch.Tensor:
    kept: Any = 0
    for index in range(6):
        if x.sum() >= 4:
            break
        x = torch.sin(x * a) + x
        kept = kept + (x * index).sum()
    return (x * x).sum() + kept


def _choice(above: float) -> Build:
    def build(b: Builder, x: Value, a: Value) -> Value:
        then, otherwise = b.inner("then"), b.inner("otherwise")
        then.output("y", then.mul(then.sin(x), a))
        otherwise.output("y", otherwise.exp(x))
        (y,) = control.branch(b, b.greater(b.sum(x), above), then, otherwise)
        return b.sum(b.mul(y, y))

    return build


def _recomputed(b: Builder, x: Value, a: Value) -> Value:
    body = b.inner("block")
    y = body.sin(body.mul(x, a))
    body.output("y", body.mul(y, y))
    body.output("z", body.exp(y))
    y, z = control.block(b, body, recompute=True)
    return b.add(b.sum(y), b.sum(b.mul(z, x)))


def _recomputed_torch(x: Any, a: Any) -> torch.Tensor:
    y = torch.sin(x * a)
    return (y * y).sum() + (torch.exp(y) * x).sum()


def _choice_in_scan(b: Builder, x: Value, a: Value) -> Value:
    body = b.inner("steps")
    total, item = body.input("total", TensorType("f32")), body.input("item", TensorType("f32"))
    then, otherwise = body.inner("then"), body.inner("otherwise")
    then.output("y", then.mul(then.sin(item), total))
    otherwise.output("y", otherwise.sub(total, otherwise.mul(a, item)))
    (y,) = control.branch(body, body.greater(item, 0.0), then, otherwise)
    body.output("total", body.add(y, a))
    return control.scan(b, body, [a], [x])[0][0]


def _choice_in_scan_torch(x: Any, a: Any) -> torch.Tensor:
    total = a
    for item in x:
        total = (torch.sin(item) * total if item > 0 else total - a * item) + a
    return total


PROGRAMS = [
    Program("scan", _recurrent(), _recurrent_torch(), RECURRENT),
    Program("scan-open", _recurrent(), _recurrent_torch(), RECURRENT, OPEN),
    Program("scan-reverse", _recurrent(reverse=True), _recurrent_torch(reverse=True), RECURRENT, OPEN),
    Program("scan-recompute", _recurrent(recompute=True), _recurrent_torch(), RECURRENT),
    Program("scan-carries", _recurrent(stacked=False), _recurrent_torch(stacked=False), RECURRENT),
    Program("scan-one-step", _recurrent(), _recurrent_torch(), ((1, 2, 3), *RECURRENT[1:])),
    Program("scan-no-step", _recurrent(), _recurrent_torch(), ((0, 2, 3), *RECURRENT[1:]), OPEN),
    Program("scan-known-nothing", _recurrent(), _recurrent_torch(), ((0, 2, 3), *RECURRENT[1:])),
    Program("scan-in-scan", _nested, _nested_torch, ((3, 4), ())),
    Program("choice-in-scan", _choice_in_scan, _choice_in_scan_torch, ((6,), ())),
    Program("loop", _power(), _power_torch, ((3,), ())),
    Program("loop-recompute", _power(recompute=True), _power_torch, ((3,), ())),
    Program("branch-then", _choice(-9.0), lambda x, a: ((torch.sin(x) * a) ** 2).sum(), ((3,), (3,))),
    Program("branch-otherwise", _choice(9.0), lambda x, a: (torch.exp(x) ** 2).sum(), ((3,), (3,))),
    Program("block-recompute", _recomputed, _recomputed_torch, ((3, 2), (2,))),
]


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_agrees_with_pytorch(program: Program, order: int):
    graph = program.graph(order)
    verify(graph)
    simplified = run(graph, after=lambda name, result: verify(result))
    expected = program.expected(order)
    for found in (evaluate(graph, program.feeds(), "f64"), evaluate(simplified, program.feeds(), "f64")):
        for i, array in enumerate(expected):
            np.testing.assert_allclose(found[f"y{i}"], array, rtol=1e-9, atol=1e-9)
    for variant in (graph, simplified):
        for array, wanted in zip(_run_onnx(variant, program.feeds()), expected, strict=True):
            scale = max(1.0, float(np.abs(wanted).max(initial=0)))
            np.testing.assert_allclose(array / scale, wanted / scale, rtol=1e-4, atol=1e-5)


def test_a_loop_without_a_bound_has_no_gradient():
    program = Program("loop", _power(bound=None), _power_torch, ((3,), ()))
    np.testing.assert_allclose(_run_onnx(program.graph(0), program.feeds()), program.expected(0), rtol=1e-5)
    with pytest.raises(DiagnosticError) as refused:
        program.graph(1)
    assert refused.value.diagnostics[0].code == "unbounded-loop"


def test_its_own_gradient_replaces_that_of_a_block():
    """A straight-through estimator: rounding that passes the gradient on, times two to be seen."""
    b = Builder()
    x = b.input("x", TensorType("f32", (3,)))
    body = b.inner("round")
    body.output("y", body.round(x))
    gradient = b.inner("gradient")
    _, _, (g,) = control.gradient_inputs(gradient, body)
    gradient.output("x", gradient.mul(g, 2.0))
    (y,) = control.block(b, body, gradient=gradient)
    b.output("y", y)
    b.output("g", gradients(b, b.sum(b.mul(y, y)), [x])[0])
    found = _run_onnx(b.graph(), {"x": np.array([0.2, 1.7, -2.4], np.float32)})
    np.testing.assert_array_equal(found[0], [0, 2, -2])
    np.testing.assert_array_equal(found[1], [0, 8, -8])


def test_values_are_saved_once():
    """The gradient widens the iteration that is there; it does not repeat it."""
    graph = PROGRAMS[0].graph(2)
    scans = [node for node in graph.nodes if node.op == "scan_over"]
    assert sum("grad" not in node.attributes["body"].name for node in scans) == 1


def test_recomputing_keeps_less():
    def saved(program: Program) -> int:
        (first, *_) = [node for node in program.graph(1).nodes if node.op == "scan_over"]
        return len(first.outputs)

    by_name = {program.name: program for program in PROGRAMS}
    assert saved(by_name["scan-carries"]) > 1
    assert saved(by_name["scan-recompute"]) <= saved(by_name["scan"])


def _run_onnx(graph: Graph, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    model = emit(graph)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(result) for result in session.run(None, feeds)]
