"""The syntax tree. Every node carries the span of the text it came from; nothing here knows what a name means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from netlang.source import Source, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    span: Span


# --- Expressions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number(Node):
    value: int | float


@dataclass(frozen=True, slots=True)
class String(Node):
    value: str


@dataclass(frozen=True, slots=True)
class Boolean(Node):
    value: bool


@dataclass(frozen=True, slots=True)
class NoneLiteral(Node):
    pass


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Next(Node):
    """`next h`: the new value of a state or a carry, read after `next h = …` set it."""

    name: str


@dataclass(frozen=True, slots=True)
class Attribute(Node):
    """`table.weight`, `x.T`."""

    value: Expr
    name: str
    name_span: Span


@dataclass(frozen=True, slots=True)
class Argument(Node):
    """One argument of a call or item of a `report`: positional where `name` is None."""

    name: str | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Call(Node):
    function: Expr
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class AxisName(Node):
    """`b` in an axis pattern."""

    name: str


@dataclass(frozen=True, slots=True)
class Group(Node):
    """`(h k)` in an axis pattern: one axis made of several, the last of which varies fastest."""

    items: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class PatternCall(Node):
    """`rearrange(x: b t (h k) -> b h t k)`, `einsum(x, w: b i, o i -> b o)`: a call that names axes."""

    function: Expr
    arguments: tuple[Argument, ...]
    inputs: tuple[tuple[Axis, ...], ...]  # the axes of each argument
    output: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Slice(Node):
    start: Expr | None
    stop: Expr | None
    step: Expr | None


@dataclass(frozen=True, slots=True)
class Edge(Node):
    """`u -> v`: the names that an `aggregate` gives to the two ends of an edge; in brackets, the edge itself."""

    source: Name
    target: Name


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`x[i, 2:, :]`, `alpha[u -> v]`."""

    value: Expr
    items: tuple[Expr | Slice | Edge, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    operator: str  # "-", "not"
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Arithmetic, comparison and logic: + - * / // % ** @ == != < <= > >= and or."""

    operator: str
    left: Expr
    right: Expr
    operator_span: Span


@dataclass(frozen=True, slots=True)
class Pipe(Node):
    """`x |> f`: applies `f` to `x`."""

    value: Expr
    function: Expr


@dataclass(frozen=True, slots=True)
class Compose(Node):
    """`f >> g`: a layer that applies `f`, then `g`."""

    first: Expr
    second: Expr


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """`if c { a } else { b }` as a value."""

    condition: Expr
    then: Block
    otherwise: Block


@dataclass(frozen=True, slots=True)
class Heads(Node):
    """`heads h over q, k, v { … }`."""

    count: Expr
    sources: tuple[Name, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    """`aggregate sum over (u -> v) in edges { … }`."""

    reducer: Name  # sum, mean, max, min or softmax
    edge: Edge
    edges: Expr
    body: Block


@dataclass(frozen=True, slots=True)
class Sequence(Node):
    """`x_t in x`: a tensor of which a `scan` takes one element after the other."""

    name: Name
    value: Expr


@dataclass(frozen=True, slots=True)
class Carry(Node):
    """`h = zeros(b, n)`: what a round hands to the next one, with its value before the first."""

    name: Name
    value: Expr


@dataclass(frozen=True, slots=True)
class Scan(Node):
    """`scan x_t in x along t backward if c lengths n carry h = … { … }`."""

    sequences: tuple[Sequence, ...]
    along: Expr
    backward: Expr | None  # whether it runs from the end
    lengths: Expr | None
    carries: tuple[Carry, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Range(Node):
    """`i from a to b` or `i from a down to b`; both ends are included."""

    name: Name
    first: Expr
    last: Expr
    down: bool


@dataclass(frozen=True, slots=True)
class Loop(Node):
    """`loop i from a to b while c carry x = … { … }`; at least one of the range and the condition is there."""

    range: Range | None
    condition: Expr | None
    carries: tuple[Carry, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Tuple(Node):
    """`a, b` or `(a, b)`."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class List(Node):
    """`[a, b]`; `*s` in it stands for the sizes of a pack."""

    items: tuple[Expr | Pack, ...]


Expr = (
    Number | String | Boolean | NoneLiteral | Name | Next | Attribute | Call | Index | Unary | Binary | Pipe | Compose
    | Conditional | Heads | Aggregate | Scan | Loop | Tuple | List | PatternCall
)  # fmt: skip


# --- Types ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pack(Node):
    """`*s` in a type: any number of dimensions."""

    name: str


Axis = AxisName | Number | Pack | Group


@dataclass(frozen=True, slots=True)
class Hole(Node):
    """`_` in a type: a dimension to be inferred."""


@dataclass(frozen=True, slots=True)
class TypeName(Node):
    """`f32[b, 4*d]`, `f32` (a scalar), `int`, `layer`: a name, with dimensions where brackets were written."""

    name: str
    dims: tuple[Expr | Pack | Hole, ...] | None


@dataclass(frozen=True, slots=True)
class TupleType(Node):
    """`(f32[b, d], f32[b, d])`."""

    items: tuple[TypeExpr, ...]


TypeExpr = TypeName | TupleType


# --- Statements ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Annotation(Node):
    """`@frozen`, `@no_decay`, `@recompute`: stands before what it marks."""

    name: str


@dataclass(frozen=True, slots=True)
class Block(Node):
    """`{ … }`. As a value, a block is worth its last statement, which must be an expression."""

    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Assign(Node):
    """`x = …`, `q, k, v = …`; `let` names the layers it binds and cannot be rebound; `const` is computed now."""

    keyword: str | None  # None, "let" or "const"
    targets: tuple[Name, ...]
    value: Expr


@dataclass(frozen=True, slots=True)
class Declare(Node):
    """`param weight: f32[out, i] ~ init` or `state mean: f32[c] ~ zeros()`."""

    keyword: str  # "param" or "state"
    name: Name
    type: TypeName
    init: Expr
    annotations: tuple[Annotation, ...]


@dataclass(frozen=True, slots=True)
class SetNext(Node):
    """`next mean = …` of a state or a carry; `next h, next c = …` of several; `next h, y = …` binds a name too."""

    targets: tuple[Next | Name, ...]
    value: Expr


@dataclass(frozen=True, slots=True)
class Emit(Node):
    """`emit h, a`: what a round of a `scan` or `loop` adds to its results."""

    values: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Keep(Node):
    """`keep h, c`: the carries whose last values are results too."""

    names: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Recompute(Node):
    """`@recompute` before a statement: what it computes on the way is not kept for the gradient but computed again."""

    statement: Statement


@dataclass(frozen=True, slots=True)
class Return(Node):
    value: Expr


@dataclass(frozen=True, slots=True)
class If(Node):
    condition: Expr
    then: Block
    otherwise: Block | None


@dataclass(frozen=True, slots=True)
class WhenTraining(Node):
    """`when training { … } else { … }`."""

    then: Block
    otherwise: Block | None


@dataclass(frozen=True, slots=True)
class Repeat(Node):
    """`repeat n as i { … }`: unrolled while compiling."""

    count: Expr
    index: Name | None
    body: Block


@dataclass(frozen=True, slots=True)
class Assert(Node):
    condition: Expr
    message: String | None


@dataclass(frozen=True, slots=True)
class ExpressionStatement(Node):
    value: Expr


@dataclass(frozen=True, slots=True)
class Input(Node):
    """`in label: i64[batch]`: data that a training step takes beside the model's own inputs."""

    name: Name
    type: TypeName


@dataclass(frozen=True, slots=True)
class Minimize(Node):
    loss: Expr


@dataclass(frozen=True, slots=True)
class Report(Node):
    items: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Optimizer(Node):
    value: Expr


@dataclass(frozen=True, slots=True)
class Clip(Node):
    """`clip 1.0`: scales all gradients together so that their joint L2 norm is at most this."""

    norm: Expr


@dataclass(frozen=True, slots=True)
class Average(Node):
    """`average ema(0.999)`: the mean of the parameters over the steps that inference computes with."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Fit(Node):
    """`fit image: resize` or `fit image: pad`: how data of another size is brought to an input's size."""

    name: Name
    method: Name


@dataclass(frozen=True, slots=True)
class Augment(Node):
    """`augment { image = … }`: how training varies its inputs by chance."""

    body: Block


@dataclass(frozen=True, slots=True)
class Phase(Node):
    """`phase NAME updates A, B.weight, "encoder.*" repeats n { … }`: one update of some parameters."""

    name: Name
    targets: tuple[Expr, ...]
    repeats: Expr | None
    body: Block


Statement = (
    Assign | Declare | SetNext | Emit | Keep | Recompute | Return | If | WhenTraining | Repeat | Assert
    | ExpressionStatement | Input | Minimize | Report | Optimizer | Clip | Average | Fit | Augment | Phase
)  # fmt: skip


# --- Declarations --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UsedName(Node):
    name: str
    alias: str | None


@dataclass(frozen=True, slots=True)
class Use(Node):
    """`use std.layers: linear, conv2d as conv` or `use "./blocks.net": stem`."""

    module: str  # "std.layers", or the path as written
    is_path: bool
    names: tuple[UsedName, ...]


@dataclass(frozen=True, slots=True)
class Parameter(Node):
    """`out: int`, `x: f32[*s, i]`: compile-time or tensor, told apart by the type."""

    name: str
    type: TypeExpr
    default: Expr | None


@dataclass(frozen=True, slots=True)
class Where(Node):
    """`where d % h == 0 : "{h} heads must divide d = {d}"`."""

    condition: Expr
    message: String | None


@dataclass(frozen=True, slots=True)
class CustomGradient(Node):
    """`custom_grad(g) { … }` behind a `fn`: from the gradients of its results to those of its tensors."""

    names: tuple[Name, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Definition(Node):
    """A `fn`, `layer`, `model` or `entry`. A model whose `parameters` end with a tensor list is its own `forward`."""

    kind: str  # "fn", "layer", "model", "entry"
    name: Name
    parameters: tuple[tuple[Parameter, ...], ...]  # one or two parenthesised lists
    result: TypeExpr | None
    where: tuple[Where, ...]
    body: Block
    doc: str  # the `##` comment above, without its marks
    entries: tuple[Definition, ...] = ()  # of a model; its `body` holds the other statements
    gradient: CustomGradient | None = None  # of a `fn`
    recompute: bool = False  # marked with `@recompute`


@dataclass(frozen=True, slots=True)
class Train(Node):
    """`train LeNet5(beta: float = 1.0) { … }`."""

    model: Name
    parameters: tuple[Parameter, ...]
    body: Block
    doc: str


@dataclass(frozen=True, slots=True)
class Rule(Node):
    """One line of `pretrained`: `"h.*" -> "gpt_block.*"`, or `ignore "*.mask"` with a word before the patterns."""

    word: Name | None
    sources: tuple[String, ...]
    targets: tuple[String, ...]  # empty where there is no `->`


@dataclass(frozen=True, slots=True)
class Pretrained(Node):
    """`pretrained GPT2 "gpt2.safetensors" { … }`: where the weights of models come from, and what they are called."""

    models: tuple[Name, ...]
    files: tuple[String, ...]
    rules: tuple[Rule, ...]
    doc: str


@dataclass(frozen=True, slots=True)
class Const(Node):
    """`const base = 10000` at the top of a file."""

    name: Name
    value: Expr
    doc: str


Declaration = Use | Const | Definition | Train | Pretrained


@dataclass(frozen=True, slots=True)
class Module:
    """One parsed file."""

    source: Source
    doc: str
    declarations: tuple[Declaration, ...]


def bound_names(node: Node) -> tuple[Name, ...]:
    """The names that an assignment binds; none for what is no assignment."""
    if isinstance(node, Assign):
        return node.targets
    return tuple(t for t in node.targets if isinstance(t, Name)) if isinstance(node, SetNext) else ()


def walk(node: Node | Module) -> Iterator[Node]:
    """Every node below `node`, itself included, in the order of the source."""
    if isinstance(node, Node):
        yield node
    for field in fields(node):
        value = getattr(node, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Node):
                yield from walk(item)
            elif isinstance(item, tuple):
                for inner in item:
                    yield from walk(inner)
