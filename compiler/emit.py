"""From a graph to an ONNX model: names, types, sizes and initialisers; each operator's block says how it is lowered."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from netlang.diagnostics import fail
from netlang.source import BUILTIN
from netlang.types import TensorType

from .dtypes import numpy_dtype
from .emit_fusion import BiasedConvolution, Fusions, ScaledChannels, find_fusions
from .emit_sizes import SizeEmitter
from .ir import Constant, Graph, Node, Value, Variable
from .ops import OPS
from .ops.foreign import OpaqueType
from .passes.bodies import with_bodies
from .passes.expand import expand
from .shapes import static_shape

BASELINE_OPSET = 18
"""The operator set asked for where nothing in the graph needs a later one: the widest reach."""

LATEST_OPSET = min(26, onnx.defs.onnx_opset_version())
"""The latest that may be asked for: ONNX Runtime 1.31 refuses models of a later one."""

ONNX_DTYPES: dict[str, int] = {
    "f16": onnx.TensorProto.FLOAT16,
    "bf16": onnx.TensorProto.BFLOAT16,
    "f32": onnx.TensorProto.FLOAT,
    "f64": onnx.TensorProto.DOUBLE,
    "i8": onnx.TensorProto.INT8,
    "i16": onnx.TensorProto.INT16,
    "i32": onnx.TensorProto.INT32,
    "i64": onnx.TensorProto.INT64,
    "u8": onnx.TensorProto.UINT8,
    "u16": onnx.TensorProto.UINT16,
    "u32": onnx.TensorProto.UINT32,
    "u64": onnx.TensorProto.UINT64,
    "bool": onnx.TensorProto.BOOL,
    "string": onnx.TensorProto.STRING,
    "c64": onnx.TensorProto.COMPLEX64,
    "c128": onnx.TensorProto.COMPLEX128,
    "f8e4m3fn": onnx.TensorProto.FLOAT8E4M3FN,
    "f8e4m3fnuz": onnx.TensorProto.FLOAT8E4M3FNUZ,
    "f8e5m2": onnx.TensorProto.FLOAT8E5M2,
    "f8e5m2fnuz": onnx.TensorProto.FLOAT8E5M2FNUZ,
    "u4": 21,  # from here on by number: older packages of onnx have no names for them
    "i4": 22,
    "f4e2m1": 23,
    "f8e8m0": 24,
    "u2": 25,
    "i2": 26,
    "f6e2m3": 27,
    "f6e3m2": 28,
}


@dataclass(frozen=True, slots=True)
class External:
    """Where the bytes of a weight lie: a file beside the model, and the range of its little-endian elements."""

    location: str
    offset: int
    length: int


def emit(
    graph: Graph,
    *,
    weights: Mapping[str, np.ndarray] | None = None,
    external: Mapping[str, External] | None = None,
    opset: int | None = None,
    name: str | None = None,
) -> onnx.ModelProto:
    """The ONNX model of `graph`; equal graphs give equal bytes.

    Variables are inputs of the model, except that those in `weights` are initialisers with these values, and those in
    `external` initialisers whose values lie in other files. Outputs keep their names; the new value of a variable
    (role "next") is called `next.` and the variable's name. `opset` asks for an operator set higher than needed.

    Raises DiagnosticError (`opset-unsupported`) where `opset` is too low for the graph or unknown, and ValueError
    where a weight is not of its variable's type.
    """
    graph = with_bodies(expand, graph)
    emitter = Emitter(graph, _opset(graph, opset))
    emitter.variables(weights or {}, external or {})
    fusions = find_fusions(graph)
    for node in graph.nodes:
        emitter.lower_fused(fusions, node)
    return emitter.model(name or graph.name)


def output_name(name: str, role: str) -> str:
    """The name in the ONNX model of a graph's output."""
    return f"next.{name}" if role == "next" else name


class Emitter(SizeEmitter):
    """The ONNX graph under construction. Lowerings call `node`, `constant`, `sizes`, `size`, `reshape`, `onnx_dtype`.

    ONNX values are known by their names. A node is called by the scope and operator it comes from, with a number where
    that is not unique, and its results after it.
    """

    def __init__(self, graph: Graph, opset: int) -> None:
        super().__init__(graph.sources())
        self.opset = opset
        self._graph = graph
        self.imports: dict[str, int] = {}
        self._model = onnx.ModelProto(producer_name="netlang")
        self._proto = self._model.graph
        self._depth = [self._proto]  # the whole graph, and the bodies inside each other that are being made
        self._names: MutableMapping[Value, str] = {value: value.name for value in graph.sources()}
        self._taken = {value.name for value in graph.sources()}
        self._taken |= {output_name(output.name, output.role) for output in graph.outputs}
        self._counters: dict[str, int] = {}
        self._constants: dict[Constant, str] = {}
        self._known: dict[str, np.ndarray] = {}
        self._transposed: dict[str, tuple[int, ...]] = {}
        self._types: dict[TensorType, onnx.TypeProto] = {}
        self._label = ""
        self._line = ""

    def node(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node; returns the name of its result, or a tuple of names where `outputs` is above 1.

        An input that is "" is an optional one left out.
        """
        name = self.unique(self._label)
        results = [name] if outputs == 1 else [self.unique(f"{name}.{i}") for i in range(outputs)]
        proto = helper.make_node(op_type, inputs, results, name=name, doc_string=self._line or None, **attributes)
        self._proto.node.append(proto)
        if op_type == "Transpose":
            self._transposed[name] = tuple(attributes["perm"])
        return name if outputs == 1 else tuple(results)

    def constant(self, array: np.ndarray | np.generic) -> str:
        """The name of an initialiser with this content; equal ones are shared."""
        key = Constant(np.asarray(array))
        name = self._constants.get(key)
        if name is None:
            name = self._constants[key] = self.unique(_constant_name(key.array))
            self._known[name] = key.array
            self._depth[0].initializer.append(numpy_helper.from_array(key.array, name))
        return name

    def known(self, name: str) -> np.ndarray | None:
        """The content of a constant; None for any other value."""
        return self._known.get(name)

    def transposition(self, name: str) -> tuple[int, ...] | None:
        """The permutation of a Transpose that gives this; None for the result of anything else."""
        return self._transposed.get(name)

    def onnx_dtype(self, dtype: str) -> int:
        """ONNX's number for a dtype of the language."""
        return ONNX_DTYPES[dtype]

    def lower(self, node: Node) -> None:
        """Adds the ONNX nodes of one node of the graph; nothing for one without results."""
        if not node.outputs:
            return
        op = OPS[node.op]
        assert op.onnx is not None, f"{op.name} is expanded before graphs are emitted"
        self._begin(node)
        inputs = [self._names[value] for value in node.inputs]
        if isinstance(op.onnx, str):
            results = self.node(op.onnx, *inputs, outputs=len(node.outputs))
        else:
            results = op.onnx(self, node, *inputs)
        results = results if isinstance(results, tuple) else (results,)
        self._names.update(zip(node.outputs, results, strict=True))
        if op.determines:
            for value in node.outputs:
                self.determine(value, len(self._depth) - 1)

    def _begin(self, node: Node) -> None:
        """Names what is added from here on after a node, and its place in the source."""
        self._label = f"{node.scope}/{node.op}" if node.scope else node.op
        self._line = "" if node.loc is BUILTIN else f"{node.loc.source.name}:{node.loc.line}"

    def body(
        self, graph: Graph, captures: Sequence[str], unused: Sequence[tuple[int, TensorType]] = ()
    ) -> onnx.GraphProto:
        """A graph inside a node. Its last inputs are `captures`, names of the graph around; the others are its own.

        `unused` are inputs that ONNX passes and the graph does not take: their places and types.
        """
        label = self._label
        own = [item.value for item in graph.inputs[: len(graph.inputs) - len(captures)]]
        names = dict(zip((item.value for item in graph.inputs[len(own) :]), captures, strict=True))
        names |= {value: self.unique(f"{label}/{value.name or 'x'}") for value in own}
        with self.nested(graph.name) as proto:
            proto.input.extend(self._info(names[value], value.type) for value in own)
            for place, type_ in unused:
                proto.input.insert(place, self._info(self.unique(f"{label}/unused"), type_))
            self._names.update(names)
            for value in own:
                self.determine(value, len(self._depth) - 1)
            fusions = find_fusions(graph)
            for node in graph.nodes:
                self.lower_fused(fusions, node)
            results = [output.value for output in graph.outputs]
            self.give([self._names[value] for value in results], [value.type for value in results])
            self._value_info()
        return proto

    @contextmanager
    def nested(self, name: str) -> Iterator[onnx.GraphProto]:
        """Nodes added inside go to a graph of their own, for an attribute of a node; `give` says what it gives."""
        label, line = self._label, self._line
        proto = self._proto = onnx.GraphProto(name=self.unique(f"{label}/{name}"))
        outer, self._names = self._names, ChainMap({}, self._names)
        self._depth.append(proto)
        yield proto
        self.forget(len(self._depth) - 1)
        self._depth.pop()
        self._proto = self._depth[-1]
        self._names, self._label, self._line = outer, label, line

    def give(self, names: Sequence[str], types: Sequence[TensorType]) -> None:
        """The outputs of a nested graph: what it computes itself; anything else, or the same again, is copied."""
        computed = {result for node in self._proto.node for result in node.output}
        for name, type_ in zip(names, types, strict=True):
            given = name
            if name not in computed:
                given = self.unique(f"{name}/copy")
                self._proto.node.append(helper.make_node("Identity", [name], [given], name=given))
            computed.discard(given)
            self._proto.output.append(self._info(given, type_))

    @contextmanager
    def at_level(self, level: int) -> Iterator[None]:
        before, self._proto = self._proto, self._depth[level]
        try:
            yield
        finally:
            self._proto = before

    def name_of(self, value: Value) -> str:
        return self._names[value]

    def lower_fused(self, fusions: Fusions, node: Node) -> None:
        """Adds a node, or what it is fused with."""
        match fusions.completed.get(node):
            case BiasedConvolution() as fused:
                self._lower_biased(fused, node)
            case ScaledChannels() as fused:
                self._lower_scaled(fused, node)
            case None if node not in fusions.absorbed:
                self.lower(node)

    def _lower_biased(self, fused: BiasedConvolution, addition: Node) -> None:
        self.lower(fused.convolution)
        proto = self._proto.node[-1]
        assert proto.op_type == "Conv" and len(proto.input) == 2, "a convolution is lowered to one Conv"
        proto.input.append(self._names[fused.bias])
        self._names[addition.outputs[0]] = self._names[fused.convolution.outputs[0]]

    def _lower_scaled(self, fused: ScaledChannels, addition: Node) -> None:
        self._begin(addition)
        x = fused.x.type
        count = x.shape[1]
        assert isinstance(count, int), "only channels of a known number are fused"
        channels = (count,)
        scale, shift = (self.reshape(self._names[one], one.type.shape, channels) for one in (fused.scale, fused.shift))
        zeros, ones = (self.constant(np.full(channels, value, numpy_dtype(x.dtype))) for value in (0, 1))
        result = self.node("BatchNormalization", self._names[fused.x], scale, shift, zeros, ones, epsilon=0.0)
        if fused.added is not None:
            result = self.node("Add", self._names[fused.added], result)
        self._names[addition.outputs[0]] = result

    def variables(self, weights: Mapping[str, np.ndarray], external: Mapping[str, External]) -> None:
        """Makes initialisers of the variables whose values are given, and inputs of the graph of everything else."""
        for variable in self._graph.variables:
            if variable.name in external:
                self._proto.initializer.append(self._external(variable, external[variable.name]))
            elif variable.name in weights:
                self._proto.initializer.append(_initializer(variable, weights[variable.name]))
            else:
                self._proto.input.append(self._info(variable.name, variable.value.type))
        for item in self._graph.inputs:
            self._proto.input.append(self._info(item.name, item.value.type, item.doc))

    def model(self, name: str) -> onnx.ModelProto:
        """The finished model."""
        self._outputs()
        self._value_info()
        self._proto.name = name
        for domain, version in sorted({"": self.opset, **self.imports}.items()):
            self._model.opset_import.add(domain=domain, version=version)
        self._model.ir_version = helper.find_min_ir_version_for(self._model.opset_import, ignore_unknown=True)
        helper.set_model_props(self._model, dict(sorted(self._graph.metadata.items())))
        return self._model

    def _outputs(self) -> None:
        """Gives computed outputs their names; what is no node's own result, or an output already, is copied."""
        computed = {result for node in self._proto.node for result in node.output}
        renamed: dict[str, str] = {}
        copies: list[tuple[str, str]] = []
        for output in self._graph.outputs:
            wanted, found = output_name(output.name, output.role), self._names[output.value]
            if found in computed and found not in renamed:
                renamed[found] = wanted
            else:
                copies.append((found, wanted))
            self._proto.output.append(self._info(wanted, output.value.type))
        self._rename(renamed)
        for found, wanted in copies:
            proto = helper.make_node("Identity", [renamed.get(found, found)], [wanted], name=self.unique("output"))
            self._proto.node.append(proto)

    def _rename(self, names: dict[str, str]) -> None:
        _rename_in(self._proto, names)
        self._names = {value: names.get(name, name) for value, name in self._names.items()}

    def _value_info(self) -> None:
        """Types of the values that the nodes compute for each other, for the readers of the model."""
        outputs = {info.name for info in self._proto.output}
        between = {result for node in self._proto.node for result in node.output} - outputs
        for value, name in self._names.items():
            if name in between:
                between.remove(name)
                self._proto.value_info.append(self._info(name, value.type))

    def _info(self, name: str, type_: TensorType, doc: str = "") -> onnx.ValueInfoProto:
        proto = self._types.get(type_)
        if proto is None:
            proto = self._types[type_] = _type_proto(type_)
        return onnx.ValueInfoProto(name=name, type=proto, doc_string=doc)

    def _external(self, variable: Variable, place: External) -> onnx.TensorProto:
        type_ = variable.value.type
        tensor = onnx.TensorProto(name=variable.name, data_type=ONNX_DTYPES[type_.dtype], dims=static_shape(type_))
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, entry in (("location", place.location), ("offset", place.offset), ("length", place.length)):
            tensor.external_data.add(key=key, value=str(entry))
        return tensor

    def unique(self, stem: str) -> str:
        """`stem`, or `stem_1`, `stem_2` … where it is taken."""
        name = stem
        count = self._counters.get(stem, 0)
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._counters[stem] = count
        self._taken.add(name)
        return name


def _type_proto(type_: TensorType) -> onnx.TypeProto:
    if isinstance(type_, OpaqueType):
        return type_.proto
    shape = [size if isinstance(size, int) else str(size) for size in type_.shape]
    return helper.make_tensor_type_proto(ONNX_DTYPES[type_.dtype], shape)


def _since(node: Node) -> int:
    """The lowest operator set that has what the lowering of `node` uses."""
    return node.attributes["node"].baseline if node.op == "foreign" else OPS[node.op].since


def _rename_in(proto: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Other names for values, in the bodies of nodes too."""
    for node in proto.node:
        for field in (node.input, node.output):
            for i, name in enumerate(field):
                if name in names:
                    field[i] = names[name]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _rename_in(attribute.g, names)


def _all_nodes(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph, those of bodies too."""
    for node in graph.nodes:
        yield node
        for body in node.bodies:
            yield from _all_nodes(body)


def lowest_opset(graph: Graph) -> int:
    """The lowest operator set, from the baseline on, that has what the nodes of `graph` are lowered to."""
    return max((_since(node) for node in _all_nodes(graph)), default=0)


def _opset(graph: Graph, asked: int | None) -> int:
    needed = max(lowest_opset(graph), BASELINE_OPSET)
    for node in _all_nodes(graph):
        if node.op == "foreign" and node.attributes["node"].ceiling < max(needed, asked or 0):
            title = f"`{node.attributes['node'].node.op_type}` has another meaning in the operator set that is needed"
            raise fail("opset-unsupported", title, node.loc, expected=f"at most {node.attributes['node'].ceiling}")
    if asked is None:
        return needed
    if not needed <= asked <= LATEST_OPSET:
        operators = sorted({node.op for node in _all_nodes(graph) if _since(node) > asked})
        raise fail(
            "opset-unsupported",
            f"operator set {asked} cannot express the graph" if asked < needed else f"operator set {asked} is unknown",
            expected=f"{needed} to {LATEST_OPSET}",
            found=asked,
            notes=[f"a later one is needed for {', '.join(f'`{op}`' for op in operators)}"] if operators else (),
        )
    return asked


def _initializer(variable: Variable, array: np.ndarray) -> onnx.TensorProto:
    type_ = variable.value.type
    if array.dtype != numpy_dtype(type_.dtype) or array.shape != type_.shape:
        found = f"{array.dtype}{list(array.shape)}"
        raise ValueError(f"the weight `{variable.name}` must be {type_}, found {found}")
    return numpy_helper.from_array(array, variable.name)


def _constant_name(array: np.ndarray) -> str:
    """What a reader of the model would like to know about a constant: its value where short, else its shape."""
    if array.size <= 4 and array.ndim <= 1:
        return "constant/" + ("_".join(f"{item:g}" for item in np.atleast_1d(array).astype(float)) or "empty")
    return "constant/" + "x".join(map(str, array.shape))
