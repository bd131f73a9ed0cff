"""Reads nodes one after the other into a builder: by the operator's rule, by its definition, or as a foreign node."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from netlang.diagnostics import DiagnosticError, fail
from netlang.dims import Size, symbols
from netlang.types import DTYPES as LANGUAGE_DTYPES
from netlang.types import FLOATS, Mismatch, TensorType

from ..builder import Builder
from ..dtypes import numpy_dtype
from ..ir import Init, Value
from .call import Call, normal_domain
from .checks import DEPTH_LIMIT, FunctionKey, called_function, opset_versions, too_deep
from .foreign import keep
from .functions import body_nodes, definition
from .listing import Listing
from .names import NameTable, is_made_up, scope_of, weight_name
from .onnx_types import DTYPES
from .rules import RULES
from .sizes import SizeTracker
from .weights import External, content

NODE_LIMIT = 200_000
"""How many nodes are read, those of functions at each of their uses: a small file can describe very many."""

STATISTICS = {("BatchNormalization", 3), ("BatchNormalization", 4)}
"""Inputs of operators that are running statistics, not trained."""

SCATTERED = {(op, index) for op in ("ScatterElements", "ScatterND") for index in (0, 2)}
"""Inputs of operators that are what sums at positions begin with, and what is added up there."""

FAULTS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
    onnx.checker.ValidationError,
)  # fmt: skip
"""What is raised where a call is not well formed."""

MISMATCHES = ("bad-axis", "bad-value", "rank-mismatch", "shape-mismatch", "type-mismatch")
"""Codes of what operators say about inputs and attributes that do not fit."""


@dataclass
class Model:
    """What the readers of one model share.

    target: the operator set in which foreign nodes are kept. names: those of inputs, variables and outputs. external:
    reads weights outside the model. constant_limit: how many bytes of constants may still be made. weights: content of
    the variables. elements: sequences whose elements are known. nodes: how many have been read.
    """

    target: int
    external: External
    functions: Mapping[FunctionKey, onnx.FunctionProto]
    constant_limit: int
    names: NameTable = field(default_factory=NameTable)
    weights: dict[Value, np.ndarray] = field(default_factory=dict)
    elements: dict[Value, tuple[Value, ...]] = field(default_factory=dict)
    sizes: SizeTracker = field(default_factory=SizeTracker)
    nodes: int = 0
    _looked_at: int = 0

    def count(self, b: Builder) -> None:
        """Counts a node that is read, and the constants that were made.

        Raises DiagnosticError (`onnx-too-large`) where there are too many nodes, or the constants take too much memory.
        """
        for node in b.root.nodes[self._looked_at :]:
            if node.op == "constant":
                self.constant_limit -= node.attributes["value"].array.nbytes
        self._looked_at = len(b.root.nodes)
        if self.constant_limit < 0:
            raise fail("onnx-too-large", "the constants of the model expand to more than the limit", b.loc)
        self.nodes += 1
        if self.nodes > NODE_LIMIT:
            raise fail("onnx-too-large", f"the model expands to more than {NODE_LIMIT} nodes", b.loc)


class Reader:
    """Reads nodes into `b`. Names that it does not know belong to the reader around it, that of an outer graph.

    A rule gets the reader and a `Call` and returns the results: a value, or one for each output of the node (None for
    one that is not asked for). Rules build with `reader.b`, and ask `constant` and `sizes` what is known already.
    """

    def __init__(
        self,
        b: Builder,
        model: Model,
        opsets: Mapping[str, int],
        outer: Reader | None = None,
        depth: int = 0,
        declared: Mapping[str, onnx.TypeProto] | None = None,
    ) -> None:
        """`declared`: the types that the model states for the values of this graph and those around."""
        self.b = b
        self.model = model
        self.opsets = opsets
        self.outer = outer
        self.depth = depth
        self.declared = declared or {}
        self._values: dict[str, Value] = {}

    def constant(self, value: Value | None) -> np.ndarray | None:
        """The content of `value` where it is known while compiling; weights are known."""
        if value is None:
            return None
        known = self.b.constant_value(value)
        if known is None:
            known = self.model.weights.get(value)
        if known is None:
            sizes = self.model.sizes.of(self.b, value)
            if sizes is not None and all(isinstance(size, int) for size in sizes.flat):
                known = sizes.astype(numpy_dtype(value.type.dtype))
        return known

    def sizes(self, value: Value | None) -> tuple[Size, ...] | None:
        """The numbers in an integer scalar or vector where they are known as sizes, open ones included."""
        if value is None or value.type.rank > 1:
            return None
        known = self.model.sizes.of(self.b, value)
        return None if known is None else tuple(known.flat)

    def require_constant(self, call: Call, index: int) -> np.ndarray:
        """The content of the input at `index`. Raises DiagnosticError (`onnx-dynamic`) where it is not known."""
        known = self.constant(call.input(index))
        if known is None:
            raise self.dynamic(call, index)
        return known

    def require_sizes(self, call: Call, index: int) -> tuple[Size, ...]:
        """The sizes in the input at `index`. Raises DiagnosticError (`onnx-dynamic`) where they are not known."""
        known = self.sizes(call.input(index))
        if known is None:
            raise self.dynamic(call, index)
        return known

    def sequence(self, elements: Sequence[Value]) -> Value:
        """The sequence of one or more elements: a foreign value whose elements `elements` knows."""
        (value,) = self.run("SequenceConstruct", elements)
        assert value is not None
        self.model.elements[value] = tuple(elements)
        return value

    def elements(self, value: Value | None) -> tuple[Value, ...] | None:
        """The elements of a sequence where they are known while compiling."""
        return None if value is None else self.model.elements.get(value)

    def foreign(self, call: Call, ranks: Sequence[int] = ()) -> tuple[Value | None, ...]:
        """Keeps the node as it is, forward only; its results have the types that ONNX infers.

        `ranks` of the first results are used where ONNX does not know them.

        Raises DiagnosticError: `onnx-unsupported` for an operator that ONNX does not have, `onnx-malformed` where ONNX
        does not accept the inputs, `onnx-dynamic` where not even the rank of a result can be told.
        """
        return keep(self, call, ranks)

    def refuse(self, call: Call, text: str) -> DiagnosticError:
        """The error about a use of an operator that the language cannot express."""
        return fail("onnx-unsupported", f"{call} cannot be read: {text}", self.b.loc)

    def malformed(self, text: str) -> DiagnosticError:
        """The error about a model that breaks the rules of ONNX."""
        return fail("onnx-malformed", text, self.b.loc)

    def dynamic(self, call: Call, index: int) -> DiagnosticError:
        """The error about an input that would have to be known while compiling."""
        name = call.node.input[index] if index < len(call.node.input) else ""
        return fail(
            "onnx-dynamic",
            f"input {index} (`{name}`) of {call} is known only at run time",
            self.b.loc,
            expected="an initialiser, or sizes of inputs",
            found="a computed tensor",
        )

    def run(self, op_type: str, inputs: Sequence[Value | None], **attributes: Any) -> tuple[Value | None, ...]:
        """The result of an operator of ONNX's that the model does not name, kept foreign."""
        names = ["" if value is None else f"x{i}" for i, value in enumerate(inputs)]
        node = onnx.helper.make_node(op_type, names, ["y"], **attributes)
        target = self.model.target
        return self.inner(self.b, {"": target}).foreign(Call(node, target, tuple(inputs)))

    def literal(self, tensor: onnx.TensorProto) -> Value:
        """A tensor known while compiling."""
        dtype = DTYPES.get(tensor.data_type)
        if dtype in LANGUAGE_DTYPES:
            return self.b.constant(content(tensor, self.model.external), dtype)
        (value,) = self.run("Constant", (), value=tensor)
        assert value is not None
        return value

    def initializer(self, tensor: onnx.TensorProto, user: tuple[onnx.NodeProto | None, int] = (None, 0)) -> Value:
        """A variable for a weight, a tensor of floats; a constant for any other tensor that the model holds.

        `user` is the node that reads it first, and the index of that input: running statistics are states.
        """
        dtype = DTYPES[tensor.data_type]
        node, index = user
        is_number = math.prod(tensor.dims) == 1 and (not tensor.dims or is_made_up(tensor.name))
        if dtype not in FLOATS or is_number or self._is_filler(tensor, node, index):
            return self.literal(tensor)
        type_ = TensorType(dtype, tuple(tensor.dims))
        kind = "state" if node is not None and (node.op_type, index) in STATISTICS else "param"
        name = self.model.names.unique(weight_name(tensor.name, node, index))
        value = self.b.variable(name, type_, kind, Init("zeros"))
        self.model.weights[value] = content(tensor, self.model.external)
        return value

    def _is_filler(self, tensor: onnx.TensorProto, node: onnx.NodeProto | None, index: int) -> bool:
        """Whether a tensor is the zeros or ones that an author wrote for sums to begin with, or to count by, and that
        PyTorch's exporter has computed: no module's, and all of one number."""
        if node is None or (node.op_type, index) not in SCATTERED or "." in tensor.name:
            return False
        array = content(tensor, self.model.external)
        return array.size > 0 and bool((array == array.flat[0]).all())

    def inner(self, b: Builder, opsets: Mapping[str, int] | None = None) -> Reader:
        """A reader for a sub-graph, which sees the values of this graph; with `opsets`, for a function, which does not.

        Raises DiagnosticError (`onnx-too-large`) where they nest too deeply.
        """
        if self.depth >= DEPTH_LIMIT:
            raise too_deep()
        if opsets is None:
            return Reader(b, self.model, self.opsets, self, self.depth + 1, self.declared)
        return Reader(b, self.model, opsets, None, self.depth + 1)

    def bind(self, name: str, value: Value) -> None:
        """Gives `value` its name in the model."""
        if name in self._values:
            raise self.malformed(f"two values are called `{name}`")
        self._values[name] = value

    def find(self, name: str) -> Value | None:
        """The value called `name` in this graph or one around it."""
        value = self._values.get(name)
        return value if value is not None or self.outer is None else self.outer.find(name)

    def value(self, name: str) -> Value:
        """The value called `name`. Raises DiagnosticError (`onnx-malformed`) where there is none."""
        value = self.find(name)
        if value is None:
            raise self.malformed(f"nothing computes `{name}`")
        return value

    def nodes(
        self, nodes: Iterable[onnx.NodeProto], listing: Listing | None = None, without: Collection[str] = ()
    ) -> None:
        """Reads nodes in their order, but those with a result in `without`; with a listing, each remembers its line."""
        for index, node in enumerate(nodes):
            if any(name in without for name in node.output):
                continue
            loc = listing.span(index) if listing else self.b.loc
            with self.b.at(loc, scope_of(node) or self.b.scope):
                self._node(node)

    def results(self, call: Call) -> tuple[Value | None, ...]:
        """The results of a call: by its rule, by its definition as a function, or foreign."""
        function = self.model.functions.get(called_function(call.node))
        if function is not None:
            return self._expand(call, function)
        rule = RULES.get(f"{call.domain}:{call.op_type}" if call.domain else call.op_type)
        try:
            results = None if rule is None else rule(self, call)
            if results is not None:
                return (results,) if isinstance(results, Value) else tuple(results)
            expansion = definition(call, self.opsets)
            if expansion is not None:
                return self._expand(call, expansion)
        except Mismatch:
            pass  # of types that the language keeps apart, or sizes it cannot prove equal: ONNX may know better
        except DiagnosticError as error:
            if error.diagnostics[0].code not in MISMATCHES:
                raise
        return self.foreign(call)

    def _node(self, node: onnx.NodeProto) -> None:
        self.model.count(self.b)
        version = self.opsets.get(normal_domain(node.domain))
        if version is None:
            raise self.malformed(f"the model does not import the operator domain `{node.domain}` of `{node.op_type}`")
        call = Call(node, version, tuple(self.value(name) if name else None for name in node.input))
        try:
            results = self.results(call)
        except FAULTS as error:  # rules trust that calls are well formed; what the checks cannot see of it shows here
            raise self.malformed(f"{call} cannot be called so: {type(error).__name__}: {error}") from error
        for index, name in enumerate(node.output):
            if name:
                value = results[index] if index < len(results) else None
                if value is None:
                    raise self.refuse(call, f"its result {index} (`{name}`) is asked for")
                self.bind(name, self._as_declared(name, value))

    def _as_declared(self, name: str, value: Value) -> Value:
        """`value`, with those sizes that only the run tells as the model states them."""
        declared = self.declared.get(name)
        unsure = [any("#" in symbol for symbol in symbols(size)) for size in value.type.shape]
        if declared is None or not any(unsure) or value.type.dtype not in LANGUAGE_DTYPES:
            return value
        stated = [dim.dim_value for dim in declared.tensor_type.shape.dim]
        if len(stated) != value.type.rank:
            return value
        triples = zip(value.type.shape, stated, unsure, strict=True)
        shape = tuple(known if known and doubt else size for size, known, doubt in triples)
        return value if shape == value.type.shape else self.b.reshape(value, shape=shape)

    def _expand(self, call: Call, function: onnx.FunctionProto) -> tuple[Value | None, ...]:
        """The results of a function, its nodes read in place of the call."""
        inner = self.inner(self.b, opset_versions(function.opset_import))
        for name, value in zip(function.input, call.inputs, strict=False):
            if value is not None:
                inner.bind(name, value)
        inner.nodes(body_nodes(function, call))
        return tuple(inner.find(name) for name in function.output)
