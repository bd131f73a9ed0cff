"""Reads a whole model: its weights become parameters, its nodes those of a graph."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import numpy_helper

from netlang.dims import Size, symbol

from ..builder import Builder
from ..emit import BASELINE_OPSET, LATEST_OPSET, lowest_opset
from ..ir import Graph
from ..passes.dead import dead
from .checks import check_model, function_key, nested, opset_versions, parse
from .listing import Listing
from .names import NameTable, dotted
from .onnx_types import tensor_type
from .reader import Model, Reader
from .tied import TiedWeights
from .weights import External, dense, no_external

CONSTANT_LIMIT = 1 << 28
"""How many bytes of constants may be made while reading, beyond what the model holds itself."""


@dataclass(frozen=True)
class Reading:
    """A model as a graph, and the content of the graph's variables by their names."""

    graph: Graph
    weights: dict[str, np.ndarray]


def read_model(model: onnx.ModelProto | bytes, *, name: str | None = None, external: External = no_external) -> Reading:
    """The graph of an ONNX model, or of a serialised one, of operator set 7 or later.

    Initialisers of floats become parameters (running statistics: states), others constants. Inputs keep their names
    and those of their open dimensions. `external` reads the weights that lie outside the model.

    Raises DiagnosticError where the model cannot be read: `onnx-malformed`, `onnx-unsupported`, `onnx-dynamic`,
    `onnx-external` or `onnx-too-large`.
    """
    proto = parse(model) if isinstance(model, bytes) else model
    check_model(proto)
    title = name or dotted(proto.graph.name) or "model"
    stated = opset_versions(proto.opset_import).get("", BASELINE_OPSET)
    target = min(max(stated, BASELINE_OPSET), LATEST_OPSET)
    reading = _ModelReader(proto, title, external, target).read()
    needed = lowest_opset(reading.graph)
    if target < needed <= LATEST_OPSET:  # foreign nodes must be those of the operator set that the others need
        return _ModelReader(proto, title, external, needed).read()
    return reading


class _ModelReader:
    """The reading of one model's main graph."""

    def __init__(self, proto: onnx.ModelProto, name: str, external: External, target: int) -> None:
        self._proto = proto.graph
        self._symbols: dict[str, Size] = {}
        self._symbol_names = NameTable()
        self._copies: set[str] = set()
        self._b = Builder(name)
        functions = {function_key(function): function for function in proto.functions}
        opsets = opset_versions(proto.opset_import)
        model = Model(target, external, functions, CONSTANT_LIMIT + proto.ByteSize())
        self.reader = Reader(self._b, model, opsets, declared=_declared(proto.graph))

    def read(self) -> Reading:
        """The whole graph."""
        self.inputs()
        self.initializers()
        listing = Listing(f"{self._b.name}.onnx", self._proto.node)
        self.reader.nodes(self._proto.node, listing, without=self._copies)
        self.outputs()
        return self.finish()

    def inputs(self) -> None:
        """Makes the inputs of the model inputs of the graph; those with an initial value are weights."""
        initialized = {tensor.name for tensor in self._proto.initializer}
        for info in self._proto.input:
            if info.name not in initialized:
                self._input(info)

    def _input(self, info: onnx.ValueInfoProto) -> None:
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param and dim.dim_param not in self._symbols:
                self._symbols[dim.dim_param] = self._symbol(dim.dim_param)
        type_ = tensor_type(info.type, self._symbols, lambda: self._symbol(f"{info.name}_size"))
        if type_ is None:
            raise self.reader.malformed(f"the rank of the input `{info.name}` is not stated")
        self.reader.bind(
            info.name, self._b.input(self.reader.model.names.unique(info.name), type_, doc=info.doc_string)
        )

    def _symbol(self, name: str) -> Size:
        return symbol(self._symbol_names.unique(name.replace(".", "_")).replace(".", "_"))

    def initializers(self) -> None:
        """Makes variables of the weights, and constants of everything else that the model holds."""
        tensors = [*self._proto.initializer, *map(self._dense, self._proto.sparse_initializer)]
        copies = _copies(self._proto)
        self._copies.update(tensor.name for tensor in copies)
        tensors += copies
        users = _first_users(self._proto)
        tied = TiedWeights(self.reader)
        for tensor in sorted(tensors, key=lambda tensor: "." not in tensor.name):  # a module's own weights first
            value = tied.find(tensor)
            if value is None:
                value = self.reader.initializer(tensor, users.get(tensor.name, (None, 0)))
                tied.add(value)
            self.reader.bind(tensor.name, value)

    def _dense(self, sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
        return numpy_helper.from_array(dense(sparse, self.reader.model.external), sparse.values.name)

    def outputs(self) -> None:
        """Makes the outputs of the model outputs of the graph."""
        for info in self._proto.output:
            value = self.reader.value(info.name)
            self._b.output(self.reader.model.names.unique(info.name), value)

    def finish(self) -> Reading:
        """The graph, without what no output needs."""
        graph = dead(self._b.graph())
        used = {value for node in graph.nodes for value in node.inputs} | {output.value for output in graph.outputs}
        variables = tuple(variable for variable in graph.variables if variable.value in used)
        weights = {variable.name: self.reader.model.weights[variable.value] for variable in variables}
        return Reading(replace(graph, variables=variables), weights)


def _declared(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    """The types that a graph and those inside it state for what their nodes compute, where they agree about a name."""
    found: dict[str, onnx.TypeProto] = {}
    clashes: set[str] = set()
    for one in nested(graph):
        for info in (*one.value_info, *one.output):
            if found.setdefault(info.name, info.type) != info.type:
                clashes.add(info.name)
    return {name: type_ for name, type_ in found.items() if name not in clashes}


def _first_users(graph: onnx.GraphProto) -> dict[str, tuple[onnx.NodeProto | None, int]]:
    """For each value the first node that reads it, and at which input."""
    users: dict[str, tuple[onnx.NodeProto | None, int]] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            users.setdefault(name, (node, index))
    return users


def _copies(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """The weights that a graph stores once because they were equal when it was exported, as ones or zeros are.

    PyTorch then writes `layers.1.norm.weight = Identity(layers.0.norm.weight)`; in training they go ways of their own.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer if tensor.dims and _names_weight(tensor.name)}
    copies: list[onnx.TensorProto] = []
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in tensors and _names_weight(node.output[0]):
            copies.append(onnx.TensorProto())
            copies[-1].CopyFrom(tensors[node.input[0]])
            copies[-1].name = node.output[0]
    return copies


def _names_weight(name: str) -> bool:
    """Whether a name is one that PyTorch gives a weight: that of a module's, or one for a folded weight."""
    return name.startswith("onnx::") or ("." in name and "/" not in name)
