"""Operators on graphs: iteration, choice, and blocks that are differentiated in a way of their own.

`compiler.control` builds them, `compiler.control_gradient` differentiates them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from netlang.diagnostics import fail
from netlang.types import TensorType

from ..dtypes import numpy_dtype
from ..ir import Graph
from ..op import Op, S

if TYPE_CHECKING:
    from ..emit import Emitter
    from ..ir import Node


class Run(Protocol):
    """What the interpreter gives an operator on graphs."""

    def __call__(self, body: Graph, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs of a body, for the values of its inputs in order."""
        ...

    def empty(self, type_: TensorType) -> np.ndarray:
        """No rows of a type."""
        ...


Types = Sequence[TensorType]


def check(condition: bool, what: str) -> None:
    """Raises DiagnosticError where a body does not fit its node; the language finds such faults before."""
    if not condition:
        raise fail("type-mismatch", what)


def _gradient(name: str) -> Callable[..., Any]:
    """A rule of `compiler.control_gradient`, which needs the table that this module is part of."""

    def rule(*arguments: Any) -> Any:
        from .. import control_gradient

        return getattr(control_gradient, name)(*arguments)

    return rule


def _input_types(body: Graph) -> tuple[TensorType, ...]:
    return tuple(item.value.type for item in body.inputs)


def _output_types(body: Graph) -> tuple[TensorType, ...]:
    return tuple(output.value.type for output in body.outputs)


def _stacked(length: Any, types: Types) -> tuple[TensorType, ...]:
    return tuple(TensorType(type_.dtype, (length, *type_.shape)) for type_ in types)


# --- scan ----------------------------------------------------------------------------------------------------------


def _scan_types(types: Types, attrs: dict[str, Any]) -> tuple[TensorType, ...]:
    body, carries, sequences = attrs["body"], attrs["carries"], attrs["sequences"]
    moving = types[carries : carries + sequences]
    check(sequences > 0 and all(type_.rank for type_ in moving), "a scan runs along at least one sequence")
    lengths = {type_.shape[0] for type_ in moving}
    check(len(lengths) == 1, "the sequences of a scan are of one length")
    slices = tuple(TensorType(type_.dtype, type_.shape[1:]) for type_ in moving)
    expected = (*types[:carries], *slices, *types[carries + sequences :])
    check(_input_types(body) == expected, f"the body of a scan takes {_input_types(body)}, found {expected}")
    results = _output_types(body)
    check(results[:carries] == tuple(types[:carries]), "the carries of a scan keep their types")
    return (*results[:carries], *_stacked(moving[0].shape[0], results[carries:]))


def _scan_numpy(
    *arrays: np.ndarray, body: Graph, carries: int, sequences: int, reverse: bool, recompute: bool, run: Run
) -> tuple[np.ndarray, ...]:
    state = list(arrays[:carries])
    moving, captures = arrays[carries : carries + sequences], arrays[carries + sequences :]
    length = len(moving[0])
    emitted: list[list[np.ndarray]] = []
    for i in reversed(range(length)) if reverse else range(length):
        results = run(body, [*state, *(x[i] for x in moving), *captures])
        state = results[:carries]
        emitted.append(results[carries:])
    if reverse:
        emitted.reverse()
    return (*state, *_stack(emitted, body, carries, run))


def _stack(emitted: list[list[np.ndarray]], body: Graph, first: int, run: Run) -> list[np.ndarray]:
    """What the rounds emitted, one array for each output of the body from `first` on."""
    if emitted:
        return [np.stack(column) for column in zip(*emitted, strict=True)]
    return [run.empty(type_) for type_ in _output_types(body)[first:]]


def _scan_onnx(e: Emitter, node: Node, *inputs: str) -> Any:
    """A Scan; where it may be of nothing, which ONNX Runtime refuses to scan, behind a question."""
    carries = node.attributes["carries"]
    length = node.inputs[carries].type.shape[0]
    types = [value.type for value in node.outputs]
    if length == 0:
        return (*inputs[:carries], *(_no_rows(e, type_) for type_ in types[carries:]))
    if isinstance(length, int):
        return _scan_node(e, node, inputs)
    nothing = e.node("Equal", e.size(length), e.constant(np.array(0)))
    with e.nested("no_rounds") as then:
        e.give([*inputs[:carries], *(_no_rows(e, type_) for type_ in types[carries:])], types)
    with e.nested("rounds") as otherwise:
        results = _scan_node(e, node, _with_own_weights(e, node, inputs))
        e.give(results if isinstance(results, tuple) else [results], types)
    return e.node("If", nothing, outputs=len(types), then_branch=then, else_branch=otherwise)


def _with_own_weights(e: Emitter, node: Node, inputs: Sequence[str]) -> list[str]:
    """The inputs of a scan behind a question, with matrices among its captures that belong to the branch.

    ONNX Runtime lays weights out for its kernels once, but only those of the graph right around a body. It folds a
    reshape of a weight into a weight of the branch; a reshape of anything else costs nothing.
    """
    own = node.attributes["carries"] + node.attributes["sequences"]
    return [
        e.node("Reshape", name, e.sizes(value.type.shape)) if index >= own and _is_matrix(value.type) else name
        for index, (name, value) in enumerate(zip(inputs, node.inputs, strict=True))
    ]


def _is_matrix(type_: TensorType) -> bool:
    return type_.rank == 2 and type_.dtype == "f32" and all(isinstance(size, int) for size in type_.shape)


def _no_rows(e: Emitter, type_: TensorType) -> str:
    return e.node("Expand", e.constant(np.zeros((), numpy_dtype(type_.dtype))), e.sizes((0, *type_.shape[1:])))


def _scan_node(e: Emitter, node: Node, inputs: Sequence[str]) -> Any:
    attrs = node.attributes
    carries, sequences = attrs["carries"], attrs["sequences"]
    own = carries + sequences
    body = e.body(attrs["body"], inputs[own:])
    emitted = len(node.outputs) - carries
    directions = {}
    if attrs["reverse"]:
        directions["scan_input_directions"] = [1] * sequences
        if emitted:
            directions["scan_output_directions"] = [1] * emitted
    return e.node(
        "Scan",
        *inputs[:own],
        outputs=len(node.outputs),
        body=body,
        num_scan_inputs=sequences,
        **directions,
    )


# --- loop ----------------------------------------------------------------------------------------------------------


def _loop_types(types: Types, attrs: dict[str, Any]) -> tuple[TensorType, ...]:
    body, carries, count = attrs["body"], attrs["carries"], attrs["count"]
    check(types[:2] == [TensorType("i64"), TensorType("bool")], "a loop has a number of rounds and a condition")
    expected = (TensorType("i64"), *types[2:])
    check(_input_types(body) == expected, f"the body of a loop takes {_input_types(body)}, found {expected}")
    results = _output_types(body)
    check(results[0] == TensorType("bool"), "the body of a loop says whether to go on")
    check(results[1 : carries + 1] == tuple(types[2 : carries + 2]), "the carries of a loop keep their types")
    return (*results[1 : carries + 1], *_stacked(count, results[carries + 1 :]))


def _loop_numpy(
    trips: np.ndarray, go_on: np.ndarray, *arrays: np.ndarray, body: Graph, carries: int, count: Any, bound: Any,
    recompute: bool, run: Run,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    state, captures = list(arrays[:carries]), arrays[carries:]
    emitted: list[list[np.ndarray]] = []
    index = 0
    while index < trips and go_on:
        go_on, *results = run(body, [np.array(index), *state, *captures])
        state = results[:carries]
        emitted.append(results[carries:])
        index += 1
    return (*state, *_stack(emitted, body, carries + 1, run))


def _loop_onnx(e: Emitter, node: Node, trips: str, go_on: str, *inputs: str) -> Any:
    carries = node.attributes["carries"]
    body = e.body(node.attributes["body"], inputs[carries:], unused=((1, TensorType("bool")),))
    results = e.node("Loop", trips, go_on, *inputs[:carries], outputs=len(node.outputs), body=body)
    results = results if isinstance(results, tuple) else (results,)
    stacks = (_whole(e, name, y.type) for name, y in zip(results[carries:], node.outputs[carries:], strict=True))
    return (*results[:carries], *stacks)


def _whole(e: Emitter, name: str, type_: TensorType) -> str:
    """A stack in its own shape: after no rounds, ONNX Runtime takes every open size of it for 0."""
    inner = type_.shape[1:]
    if all(isinstance(size, int) for size in inner):
        return name
    rounds = e.node("Shape", name, start=0, end=1)
    return e.node("Reshape", name, e.node("Concat", rounds, e.sizes(inner), axis=0), allowzero=1)


# --- branch --------------------------------------------------------------------------------------------------------


def _branch_types(types: Types, attrs: dict[str, Any]) -> tuple[TensorType, ...]:
    then, otherwise = attrs["then"], attrs["otherwise"]
    check(types[0] == TensorType("bool"), "the condition of a choice is one truth value")
    for body in (then, otherwise):
        check(_input_types(body) == tuple(types[1:]), "both branches take what the node is given")
    check(_output_types(then) == _output_types(otherwise), "both branches give results of the same types")
    return _output_types(then)


def _branch_numpy(condition: np.ndarray, *arrays: np.ndarray, then: Graph, otherwise: Graph, run: Run) -> Any:
    return tuple(run(then if condition else otherwise, arrays))


def _branch_onnx(e: Emitter, node: Node, condition: str, *inputs: str) -> Any:
    then, otherwise = (e.body(node.attributes[name], inputs) for name in ("then", "otherwise"))
    return e.node("If", condition, outputs=len(node.outputs), then_branch=then, else_branch=otherwise)


# --- block and its helpers -----------------------------------------------------------------------------------------


def _block_types(types: Types, attrs: dict[str, Any]) -> tuple[TensorType, ...]:
    check(_input_types(attrs["body"]) == tuple(types), "a block takes what its body takes")
    return _output_types(attrs["body"])


def _block_numpy(*arrays: np.ndarray, body: Graph, gradient: Any, recompute: bool, run: Run) -> Any:
    return tuple(run(body, arrays))


def _barrier_onnx(e: Emitter, node: Node, x: str, after: str) -> str:
    """x reshaped to its own shape, plus zero times an element of `after`: free, and opaque to the runtime."""
    flat = e.node("Reshape", after, e.constant(np.array([-1])))
    first = e.node("Slice", flat, e.constant(np.zeros(1, np.int64)), e.constant(np.ones(1, np.int64)))
    zero = e.node("Mul", e.node("Cast", first, to=e.onnx_dtype("i64")), e.constant(np.array(0)))
    nothing = e.node("ReduceSum", zero, keepdims=0)
    return e.node("Reshape", x, e.node("Add", e.node("Shape", x), nothing), allowzero=1)


def _placeholder_onnx(e: Emitter, node: Node) -> str:
    zero = e.constant(np.zeros((), numpy_dtype(node.attributes["dtype"])))
    return e.node("Expand", zero, e.sizes(node.attributes["shape"]))


OPERATORS: tuple[Op, ...] = (
    Op(
        "scan_over(x: t[*s], body: graph, carries: int, sequences: int, reverse: bool = false, recompute: bool = false)"
        " -> (t[*s], t[*s])",
        doc="Runs `body` once for each element of the sequences along their first axis: it takes the carries, a slice "
        "of each sequence and the captures, and gives the next carries and what is to be stacked along a new first "
        "axis. The results are the last carries and the stacks. With `reverse` it runs from the last element to the "
        "first, and the stacks keep the order of the sequences. The gradient is a scan in the other direction over "
        "saved values, or, with `recompute`, over saved carries alone.",
        numpy=_scan_numpy,
        node_vjp=_gradient("scan"),
        types=_scan_types,
        onnx=_scan_onnx,
        variadic=True,
        foldable=False,
    ),
    Op(
        "loop_while(trips: i64, condition: bool[], x: t[*s], body: graph, carries: int, count: size, "
        "bound: int = none, recompute: bool = false) -> (t[*s], t[*s])",
        doc="Runs `body` while a condition holds, at most `trips` times: it takes the number of rounds done, the "
        "carries and the captures, and gives whether to go on, the next carries, and what is to be stacked; `count` is "
        "the number of rounds that were run. The gradient needs saved values of every round, so a bound of their "
        "number must be stated.",
        numpy=_loop_numpy,
        node_vjp=_gradient("loop"),
        determines=("count",),
        types=_loop_types,
        onnx=_loop_onnx,
        variadic=True,
        foldable=False,
    ),
    Op(
        "branch(condition: bool[], x: t[*s], then: graph, otherwise: graph) -> (t[*s], t[*s])",
        doc="What `then` makes of the inputs where the condition is true, else what `otherwise` makes of them. Only "
        "one of the two runs.",
        numpy=_branch_numpy,
        node_vjp=_gradient("branch"),
        types=_branch_types,
        onnx=_branch_onnx,
        variadic=True,
        foldable=False,
    ),
    Op(
        "block(x: t[*s], body: graph, gradient: graph = none, recompute: bool = false) -> (t[*s], t[*s])",
        doc="What `body` makes of the inputs. Its gradient is `gradient` of inputs, results and their gradients where "
        "that is given; with `recompute` it computes the body once more instead of keeping its values (Chen et al. "
        "2016).",
        numpy=_block_numpy,
        node_vjp=_gradient("block"),
        types=_block_types,
        variadic=True,
        foldable=False,
    ),
    Op(
        "barrier(x: t[*s], after: t1[*r]) -> t[*s]",
        doc="x, but not before `after` is there.",
        numpy=lambda x, after: x,
        vjp=lambda b, g, y, x, after: (g, None),
        onnx=_barrier_onnx,
        foldable=False,
        samples=(S((2, 3), (4,)), S((2, 3), np.array(3)), S((2, 3), np.zeros((0, 2), np.float32))),
    ),
    Op(
        "placeholder(shape: sizes, dtype: dtype = f32) -> dtype[*shape]",
        doc="Zeros that stand for any value: what is computed from them does not fold, and can be differentiated.",
        numpy=lambda shape, dtype: np.zeros(shape, numpy_dtype(dtype)),
        nondiff="it has no input to differentiate by",
        onnx=_placeholder_onnx,
        foldable=False,
        samples=(S(shape=(2, 3)),),
    ),
)
