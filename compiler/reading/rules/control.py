"""Sub-graphs: If, Loop and Scan become choice and iteration; what these cannot express stays foreign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import onnx

from netlang.dims import Size
from netlang.types import TensorType

from ... import control
from ...builder import Builder
from ...ir import Value

if TYPE_CHECKING:
    from ..call import Call
    from ..reader import Reader
    from . import Rule

Values = tuple[Value, ...]


def _if(reader: Reader, call: Call) -> Sequence[Value | None]:
    condition = call.inputs[0]
    assert condition is not None
    known = reader.constant(condition)
    if known is not None and known.size == 1:
        return _inlined(reader, call.attributes["then_branch" if known.item() else "else_branch"])
    then, otherwise = (_branch(reader, call.attributes[name]) for name in ("then_branch", "else_branch"))
    if _types(then) != _types(otherwise) or not then.outputs:
        return reader.foreign(call)  # of a shape that only the run tells
    return control.branch(reader.b, _scalar(reader.b, condition), then, otherwise)


def _branch(reader: Reader, graph: onnx.GraphProto) -> Builder:
    body = reader.b.inner(graph.name or "branch")
    for i, value in enumerate(_read(reader.inner(body), graph, ())):
        body.output(f"y{i}", value)
    return body


def _inlined(reader: Reader, graph: onnx.GraphProto) -> Values:
    """The results of a sub-graph that certainly runs, once."""
    return _read(reader.inner(reader.b), graph, ())


def _read(inner: Reader, graph: onnx.GraphProto, inputs: Sequence[Value]) -> Values:
    """The results of a sub-graph for values of its inputs."""
    if len(graph.input) != len(inputs):
        raise inner.malformed(f"the sub-graph `{graph.name}` has {len(graph.input)} inputs; it is given {len(inputs)}")
    for info, value in zip(graph.input, inputs, strict=True):
        inner.bind(info.name, value)
    for tensor in graph.initializer:
        inner.bind(tensor.name, inner.initializer(tensor))
    inner.nodes(graph.node)
    return tuple(inner.value(info.name) for info in graph.output)


def _types(body: Builder) -> list[TensorType]:
    return [output.value.type for output in body.outputs]


def _scalar(b: Builder, value: Value) -> Value:
    """A tensor of one element as a scalar."""
    return value if value.type.rank == 0 else b.reshape(value, shape=())


def _loop(reader: Reader, call: Call) -> Sequence[Value | None]:
    b = reader.b
    trips, condition, *carries = (call.input(i) for i in range(len(call.inputs)))
    if any(value is None for value in carries):
        return reader.foreign(call)
    graph = call.attributes["body"]
    body = b.inner(graph.name or "loop")
    state = [value for value in carries if value is not None]
    index = body.input("index", TensorType("i64"))
    inner_state = [body.input(f"carry{i}", value.type) for i, value in enumerate(state)]
    go_on, *results = _read(reader.inner(body), graph, (index, body.constant(True), *inner_state))
    if [value.type for value in results[: len(state)]] != [value.type for value in state]:
        return reader.foreign(call)  # carries that grow
    forever = body.constant_value(go_on)
    count = reader.sizes(trips)
    if count and len(count) == 1 and condition_holds(reader, condition) and forever is not None and forever.all():
        return _counted(reader, call, state, count[0])
    body.output("go_on", _scalar(body, go_on))
    for i, value in enumerate(results):
        body.output(f"y{i}", value)
    bound = count[0] if count and isinstance(count[0], int) else None
    finals, stacked = control.loop(
        b,
        body,
        None if trips is None else _scalar(b, trips),
        None if condition is None else _scalar(b, condition),
        state,
        bound=bound,
    )
    return (*finals, *stacked)


def condition_holds(reader: Reader, condition: Value | None) -> bool:
    """Whether a loop certainly begins."""
    known = reader.constant(condition)
    return condition is None or (known is not None and bool(known.all()))


def _counted(reader: Reader, call: Call, state: Sequence[Value], count: Size) -> Values:
    """A loop whose number of rounds is known is a scan over the numbers of its rounds."""
    graph = call.attributes["body"]
    body = reader.b.inner(graph.name or "loop")
    inner_state = [body.input(f"carry{i}", value.type) for i, value in enumerate(state)]
    index = body.input("index", TensorType("i64"))
    _, *results = _read(reader.inner(body), graph, (index, body.constant(True), *inner_state))
    for i, value in enumerate(results):
        body.output(f"y{i}", value)
    finals, stacked = control.scan(reader.b, body, state, [reader.b.iota(count=count)])
    return (*finals, *stacked)


def _scan(reader: Reader, call: Call) -> Sequence[Value | None]:
    if call.version < 9:
        return _batched_scan(reader, call)
    if any(value is None for value in call.inputs):
        return reader.foreign(call)
    inputs = [value for value in call.inputs if value is not None]
    count = call.attributes["num_scan_inputs"]
    carries, sequences = inputs[: len(inputs) - count], inputs[len(inputs) - count :]
    axes = call.attribute("scan_input_axes") or [0] * count
    sequences = [_axis_first(reader.b, value, axis) for value, axis in zip(sequences, axes, strict=True)]
    return _scanned(reader, reader.b, call, carries, sequences)


def _scanned(
    reader: Reader, b: Builder, call: Call, carries: Sequence[Value], sequences: Sequence[Value]
) -> Sequence[Value | None]:
    """A scan along the first axes of `sequences`."""
    graph = call.attributes["body"]
    body = b.inner(graph.name or "scan")
    inner_carries = [body.input(f"carry{i}", value.type) for i, value in enumerate(carries)]
    slices = [body.input(f"x{i}", _slice_type(value.type)) for i, value in enumerate(sequences)]
    results = _read(reader.inner(body), graph, (*inner_carries, *slices))
    if [value.type for value in results[: len(carries)]] != [value.type for value in carries]:
        return reader.foreign(call)
    for i, value in enumerate(results):
        body.output(f"y{i}", value)
    emitted = len(results) - len(carries)
    inward = call.attribute("scan_input_directions") or call.attribute("directions") or [0] * len(sequences)
    outward = call.attribute("scan_output_directions") or [0] * emitted
    reverse = all(inward)
    turned = [x if bool(d) == reverse else _flipped(b, x) for x, d in zip(sequences, inward, strict=True)]
    finals, stacked = control.scan(b, body, carries, turned, reverse=reverse)
    stacked = [y if bool(d) == reverse else _flipped(b, y) for y, d in zip(stacked, outward, strict=True)]
    axes = call.attribute("scan_output_axes") or [0] * emitted
    return (*finals, *(_first_to_axis(b, y, axis) for y, axis in zip(stacked, axes, strict=True)))


def _batched_scan(reader: Reader, call: Call) -> Sequence[Value | None]:
    """The form of operator set 8: a scan for each element of a batch, along the axis after it."""
    lengths, *inputs = call.inputs
    if lengths is not None:
        raise reader.refuse(call, "lengths of its own for each element of the batch are not supported")
    values = [value for value in inputs if value is not None]
    first = len(values) - call.attributes["num_scan_inputs"]
    batch = reader.b.inner("batch")
    slices = [batch.input(f"x{i}", _slice_type(value.type)) for i, value in enumerate(values)]
    results = _scanned(reader.inner(batch), batch, call, slices[:first], slices[first:])
    for i, value in enumerate(results):
        assert value is not None
        batch.output(f"y{i}", value)
    return control.scan(reader.b, batch, (), values)[1]


def _slice_type(type_: TensorType) -> TensorType:
    return TensorType(type_.dtype, type_.shape[1:])


def _axis_first(b: Builder, x: Value, axis: int) -> Value:
    axis %= x.type.rank
    return b.transpose(x, perm=(axis, *(i for i in range(x.type.rank) if i != axis))) if axis else x


def _first_to_axis(b: Builder, x: Value, axis: int) -> Value:
    axis %= x.type.rank
    return b.transpose(x, perm=(*range(1, axis + 1), 0, *range(axis + 1, x.type.rank))) if axis else x


def _flipped(b: Builder, x: Value) -> Value:
    """`x` with its first axis the other way round."""
    last: Any = x.type.shape[0] - 1
    index = b.sub(b.dim(size=last), b.iota(count=x.type.shape[0]))
    return b.gather(x, index)


RULES: dict[str, Rule] = {"If": _if, "Loop": _loop, "Scan": _scan}
