"""What an operator is. One `Op` block says everything about one operator; `compiler.ops` lists them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from netlang import syntax
from netlang.dims import Size
from netlang.records import record
from netlang.types import (
    Bindings,
    DimPattern,
    HolePattern,
    PackPattern,
    TensorType,
    TypePattern,
    require_extent,
    unify_all,
    unknown,
)

REQUIRED: Any = object()
"""Default of an attribute that a call must give."""


@record
class TensorParameter:
    """A tensor that an operator takes, and what its type must look like."""

    name: str
    pattern: TypePattern


@record
class AttributeParameter:
    """`type` is one of `ATTRIBUTE_TYPES`."""

    name: str
    type: str
    default: Any = REQUIRED


@record
class Signature:
    """`name(x: f[*s], axis: int = -1) -> f[*s]`, taken apart."""

    name: str
    tensors: tuple[TensorParameter, ...]
    attributes: tuple[AttributeParameter, ...]
    results: tuple[TypePattern, ...]

    @classmethod
    def parse(cls, text: str) -> Signature:
        from netlang.parser import parse_signature

        definition = parse_signature(text)
        tensors: list[TensorParameter] = []
        attributes: list[AttributeParameter] = []
        for parameter in definition.parameters[0]:
            type_ = parameter.type
            assert isinstance(type_, syntax.TypeName)
            if type_.dims is None and type_.name in ATTRIBUTE_TYPES:  # `flag: bool`, but `mask: bool[*s]`
                default = REQUIRED if parameter.default is None else _literal(parameter.default)
                attributes.append(AttributeParameter(parameter.name, type_.name, default))
            else:
                tensors.append(TensorParameter(parameter.name, _pattern(type_)))
        result = definition.result
        items = result.items if isinstance(result, syntax.TupleType) else (result,)
        return cls(
            definition.name.name,
            tuple(tensors),
            tuple(attributes),
            tuple(_pattern(item) for item in items if isinstance(item, syntax.TypeName)),
        )


ATTRIBUTE_TYPES = ("int", "float", "bool", "str", "dtype", "size", "ints", "sizes", "constant", "graph")
"""Types of attributes. `size` may be symbolic; `constant` is an `ir.Constant`, `graph` an `ir.Graph` or None."""


@record
class Sample:
    """One use of an operator that every test of it runs: forward against `numpy`, gradient against differences.

    `inputs` are shapes (filled with normal numbers) or arrays (used as they are); `attrs` the attributes; `torch` a
    function of tensors and attributes that computes the same with PyTorch; `positive` draws inputs above 0.1.
    """

    inputs: tuple[Any, ...]
    attrs: dict[str, Any]
    torch: Callable[..., Any] | None = None
    positive: bool = False
    differentiable: bool = True


def S(*inputs: Any, torch: Callable[..., Any] | None = None, positive: bool = False, differentiable: bool = True,
      **attrs: Any) -> Sample:  # fmt: skip
    """Shorthand for a `Sample`."""
    return Sample(inputs, attrs, torch, positive, differentiable)


@record
class BadSample:
    """A use that must be refused with the diagnostic `code`. `inputs` are shapes, arrays or TensorTypes."""

    inputs: tuple[Any, ...]
    attrs: dict[str, Any]
    code: str


def Bad(*inputs: Any, code: str, **attrs: Any) -> BadSample:
    """Shorthand for a `BadSample`."""
    return BadSample(inputs, attrs, code)


@dataclass(frozen=True)
class Op:
    """One operator.

    signature: name, tensor parameters, attributes with defaults, result types; read by the unifier of the language.
    doc: what it computes, and its conventions at edges.
    numpy: meaning, `numpy(*arrays, **attrs)`; returns an array, or a tuple where there are several results. Works in
        every float dtype; used to fold constants and as the float64 oracle of the tests. A composite may leave it out:
        it means what its body means. An operator on graphs also gets `run`, which runs one of them on arrays.
    vjp: gradient, `vjp(b, g, y, *inputs, **attrs)`: from `g`, the gradient of the result `y` (tuples where there are
        several results; an unused result has gradient None), the gradients of the inputs (None where there is none),
        written with builder calls. Gradients broader than their input are summed to its shape by the driver.
    nondiff: why there is no gradient: the derivative is zero or undefined.
    body: definition of a composite, `body(b, *inputs, **attrs)`, written with builder calls of other operators. Its
        gradient is that of the body. Exactly one of `vjp`, `node_vjp`, `nondiff` and `body` is given.
    node_vjp: gradient of an operator on graphs, `node_vjp(b, node, gradients of the results, wanted)`: for each input,
        in its shape, the gradient where it is wanted and there is one.
    determines: attributes that hold symbols whose values are known only from the shape of the result.
    types: types of the results where inputs of several dtypes make a signature too weak, `types(types, attrs)`.
    shape: result type where the signature cannot say it, `shape(*types, **attrs)`; raises DiagnosticError.
    variadic: the last tensor parameter takes one or more tensors.
    splits: the number of results depends on the attributes.
    onnx: name of the ONNX operator with the same inputs and attributes-free call, or `onnx(e, node, *names)`, which
        emits nodes through the emitter and returns the result's name (a tuple where there are several). A composite
        without it is always expanded; one that has it, where the graph holds gradients.
    since: the lowest ONNX operator set that has what the lowering uses.
    foldable: whether an application to constants may be computed while compiling.
    samples: uses that the tests run, and uses that must be refused.
    """

    text: str
    doc: str
    numpy: Callable[..., Any] | None = None
    onnx: str | Callable[..., Any] | None = None
    vjp: Callable[..., Any] | None = None
    nondiff: str | None = None
    body: Callable[..., Any] | None = None
    node_vjp: Callable[..., Any] | None = None
    determines: tuple[str, ...] = ()
    types: Callable[[Sequence[TensorType], dict[str, Any]], tuple[TensorType, ...]] | None = None
    shape: Callable[..., TensorType | tuple[TensorType, ...]] | None = None
    variadic: bool = False
    splits: bool = False
    since: int = 18
    foldable: bool = True
    samples: tuple[Sample | BadSample, ...] = ()

    @cached_property
    def name(self) -> str:
        return self.text.partition("(")[0]

    @property
    def multiple(self) -> bool:
        """Whether a call gives a tuple, even of one result."""
        return len(self.signature.results) != 1 or self.splits

    @cached_property
    def signature(self) -> Signature:
        return Signature.parse(self.text)

    def infer(self, types: Sequence[TensorType], attrs: dict[str, Any]) -> tuple[TensorType, ...]:
        """Types of the results. Raises Mismatch (with the argument's name as note) or DiagnosticError."""
        results = self._infer(types, attrs)
        for result in results:
            require_extent(result)
        return results

    def _infer(self, types: Sequence[TensorType], attrs: dict[str, Any]) -> tuple[TensorType, ...]:
        if self.types is not None:
            return self.types(types, attrs)
        signature = self.signature
        given = _given(signature.attributes, attrs)
        tensors = signature.tensors
        if self.variadic:
            *first, last = tensors
            tensors = (*first, *(_with_own_packs(last, i) for i in range(len(types) - len(first))))
        patterns = [_filled(tensor.pattern, given) for tensor in tensors]
        bindings = unify_all(patterns, types, [tensor.name for tensor in tensors])
        if self.shape is not None:
            result = self.shape(*types, **attrs)
            return result if isinstance(result, tuple) else (result,)
        return tuple(bindings.resolve(_filled(pattern, given)) for pattern in signature.results)


def _given(attributes: Sequence[AttributeParameter], values: dict[str, Any]) -> Bindings:
    """What the attributes say about the names in a signature: `count: size` of `i64[count]`, `dtype` of `dtype[*s]`."""
    given = Bindings()
    for attribute in attributes:
        value = values[attribute.name]
        if attribute.type in ("int", "size"):
            given.sizes[attribute.name] = value
        elif attribute.type in ("ints", "sizes") and value is not None:
            given.packs[attribute.name] = value
        elif attribute.type == "dtype" and value is not None:
            given.dtypes[attribute.name] = value
    return given


def _filled(pattern: TypePattern, given: Bindings) -> TypePattern:
    """`pattern` with what is given in place of its name."""
    dims: list[DimPattern] = []
    for dim in pattern.dims:
        if isinstance(dim, PackPattern):
            dims.extend(given.packs.get(dim.name, (dim,)))
        else:
            dims.append(dim if isinstance(dim, HolePattern) else given.partly(dim))
    return TypePattern(given.dtypes.get(pattern.dtype, pattern.dtype), tuple(dims))


def _with_own_packs(tensor: TensorParameter, index: int) -> TensorParameter:
    """One of the tensors of a variadic parameter: they share a dtype, and `Op.shape` relates their shapes."""
    dims = (PackPattern(f"{dim.name}{index}") if isinstance(dim, PackPattern) else dim for dim in tensor.pattern.dims)
    return TensorParameter(tensor.name, TypePattern(tensor.pattern.dtype, tuple(dims)))


def _pattern(type_: syntax.TypeName) -> TypePattern:
    return TypePattern(type_.name, tuple(_dim(dim) for dim in type_.dims or ()))


def _dim(dim: syntax.Expr | syntax.Pack | syntax.Hole) -> DimPattern:
    match dim:
        case syntax.Pack(name=name):
            return PackPattern(name)
        case syntax.Hole():
            return HolePattern()
        case syntax.Number(value=int(value)):
            return value
        case syntax.Name(name=name):
            return unknown(name)
        case syntax.Binary(operator=operator, left=left, right=right):
            return _arithmetic(operator, _size(left), _size(right))
    raise ValueError(f"not a dimension of an operator signature: {dim}")


def _size(expr: syntax.Expr) -> Size:
    size = _dim(expr)
    assert not isinstance(size, PackPattern | HolePattern)
    return size


def _arithmetic(operator: str, left: Size, right: Size) -> Size:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    raise ValueError(f"operator `{operator}` in an operator signature")


def _literal(expr: syntax.Expr) -> Any:
    match expr:
        case syntax.Number(value=value) | syntax.String(value=value) | syntax.Boolean(value=value):
            return value
        case syntax.Unary(operator="-", operand=syntax.Number(value=value)):
            return -value
        case syntax.NoneLiteral():
            return None
        case syntax.Name(name=name):  # a dtype
            return name
        case syntax.Tuple(items=items) | syntax.List(items=items):
            return tuple(_literal(item) for item in items if not isinstance(item, syntax.Pack))
    raise ValueError(f"not a literal default: {expr}")
