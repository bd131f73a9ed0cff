"""The syntax tree. Every node carries the span of the text it came from; nothing here knows what a name means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from netlang.records import record
from netlang.source import Source, Span


@record
class Node:
    """A part of a program, and the text that it was written as."""

    span: Span = field(kw_only=True)


# --- Expressions ---------------------------------------------------------------------------------------------------


@record
class Number(Node):
    """`64`, `1e-3`."""

    value: int | float


@record
class String(Node):
    """`"…"`, without its quotes and escapes."""

    value: str


@record
class Boolean(Node):
    """`true`, `false`."""

    value: bool


@record
class NoneLiteral(Node):
    """`none`."""


@record
class Name(Node):
    """`x`."""

    name: str


@record
class Next(Node):
    """`next h`: the new value of a state or a carry, read after `next h = …` set it."""

    name: str


@record
class Attribute(Node):
    """`table.weight`, `x.T`."""

    value: Expr
    name: str
    name_span: Span


@record
class Argument(Node):
    """One argument of a call or item of a `report`: positional where `name` is None."""

    name: str | None
    value: Expr


@record
class Call(Node):
    """`f(x, n = 2)`."""

    function: Expr
    arguments: tuple[Argument, ...]


@record
class AxisName(Node):
    """`b` in an axis pattern."""

    name: str


@record
class Group(Node):
    """`(h k)` in an axis pattern: one axis made of several, the last of which varies fastest."""

    items: tuple[Axis, ...]


@record
class PatternCall(Node):
    """`rearrange(x: b t (h k) -> b h t k)`, `einsum(x, w: b i, o i -> b o)`: a call that names axes."""

    function: Expr
    arguments: tuple[Argument, ...]
    inputs: tuple[tuple[Axis, ...], ...]  # the axes of each argument
    output: tuple[Axis, ...]


@record
class Slice(Node):
    """`2:`, `:n`, `::2` in brackets."""

    start: Expr | None
    stop: Expr | None
    step: Expr | None


@record
class Edge(Node):
    """`u -> v`: the names that an `aggregate` gives to the two ends of an edge; in brackets, the edge itself."""

    source: Name
    target: Name


@record
class Index(Node):
    """`x[i, 2:, :]`, `alpha[u -> v]`."""

    value: Expr
    items: tuple[Expr | Slice | Edge, ...]


@record
class Unary(Node):
    """`-x`, `not c`."""

    operator: str  # "-", "not"
    operand: Expr


@record
class Binary(Node):
    """Arithmetic, comparison and logic: + - * / // % ** @ == != < <= > >= and or."""

    operator: str
    left: Expr
    right: Expr
    operator_span: Span


@record
class Pipe(Node):
    """`x |> f`: applies `f` to `x`."""

    value: Expr
    function: Expr


@record
class Compose(Node):
    """`f >> g`: a layer that applies `f`, then `g`."""

    first: Expr
    second: Expr


@record
class Conditional(Node):
    """`if c { a } else { b }` as a value."""

    condition: Expr
    then: Block
    otherwise: Block


@record
class Heads(Node):
    """`heads h over q, k, v { … }`."""

    count: Expr
    sources: tuple[Name, ...]
    body: Block


@record
class Aggregate(Node):
    """`aggregate sum over (u -> v) in edges { … }`."""

    reducer: Name  # sum, mean, max, min or softmax
    edge: Edge
    edges: Expr
    body: Block


@record
class Sequence(Node):
    """`x_t in x`: a tensor of which a `scan` takes one element after the other."""

    name: Name
    value: Expr


@record
class Carry(Node):
    """`h = zeros(b, n)`: what a round hands to the next one, with its value before the first."""

    name: Name
    value: Expr


@record
class Scan(Node):
    """`scan x_t in x along t backward if c lengths n carry h = … { … }`."""

    sequences: tuple[Sequence, ...]
    along: Expr
    backward: Expr | None  # whether it runs from the end
    lengths: Expr | None
    carries: tuple[Carry, ...]
    body: Block


@record
class Range(Node):
    """`i from a to b` or `i from a down to b`; both ends are included."""

    name: Name
    first: Expr
    last: Expr
    down: bool


@record
class Loop(Node):
    """`loop i from a to b while c carry x = … { … }`; at least one of the range and the condition is there."""

    range: Range | None
    condition: Expr | None
    carries: tuple[Carry, ...]
    body: Block


@record
class Tuple(Node):
    """`a, b` or `(a, b)`."""

    items: tuple[Expr, ...]


@record
class List(Node):
    """`[a, b]`; `*s` in it stands for the sizes of a pack."""

    items: tuple[Expr | Pack, ...]


Expr = (
    Number | String | Boolean | NoneLiteral | Name | Next | Attribute | Call | Index | Unary | Binary | Pipe | Compose
    | Conditional | Heads | Aggregate | Scan | Loop | Tuple | List | PatternCall
)  # fmt: skip


# --- Types ---------------------------------------------------------------------------------------------------------


@record
class Pack(Node):
    """`*s` in a type: any number of dimensions."""

    name: str


Axis = AxisName | Number | Pack | Group


@record
class Hole(Node):
    """`_` in a type: a dimension to be inferred."""


@record
class TypeName(Node):
    """`f32[b, 4*d]`, `f32` (a scalar), `int`, `layer`: a name, with dimensions where brackets were written."""

    name: str
    dims: tuple[Expr | Pack | Hole, ...] | None


@record
class TupleType(Node):
    """`(f32[b, d], f32[b, d])`."""

    items: tuple[TypeExpr, ...]


TypeExpr = TypeName | TupleType


# --- Statements ----------------------------------------------------------------------------------------------------


@record
class Annotation(Node):
    """`@frozen`, `@no_decay`, `@recompute`: stands before what it marks."""

    name: str


@record
class Block(Node):
    """`{ … }`. As a value, a block is worth its last statement, which must be an expression."""

    statements: tuple[Statement, ...]


@record
class Assign(Node):
    """`x = …`, `q, k, v = …`; `let` names the layers it binds and cannot be rebound; `const` is computed now."""

    keyword: str | None  # None, "let" or "const"
    targets: tuple[Name, ...]
    value: Expr


@record
class Declare(Node):
    """`param weight: f32[out, i] ~ init` or `state mean: f32[c] ~ zeros()`."""

    keyword: str  # "param" or "state"
    name: Name
    type: TypeName
    init: Expr
    annotations: tuple[Annotation, ...]


@record
class SetNext(Node):
    """`next mean = …` of a state or a carry; `next h, next c = …` of several; `next h, y = …` binds a name too."""

    targets: tuple[Next | Name, ...]
    value: Expr


@record
class Emit(Node):
    """`emit h, a`: what a round of a `scan` or `loop` adds to its results."""

    values: tuple[Expr, ...]


@record
class Keep(Node):
    """`keep h, c`: the carries whose last values are results too."""

    names: tuple[Name, ...]


@record
class Recompute(Node):
    """`@recompute` before a statement: what it computes on the way is not kept for the gradient but computed again."""

    statement: Statement


@record
class Return(Node):
    """`return …`."""

    value: Expr


@record
class If(Node):
    """`if c { … } else { … }` as a statement."""

    condition: Expr
    then: Block
    otherwise: Block | None


@record
class WhenTraining(Node):
    """`when training { … } else { … }`."""

    then: Block
    otherwise: Block | None


@record
class Repeat(Node):
    """`repeat n as i { … }`: unrolled while compiling."""

    count: Expr
    index: Name | None
    body: Block


@record
class Assert(Node):
    """`assert c : "…"`."""

    condition: Expr
    message: String | None


@record
class ExpressionStatement(Node):
    """An expression where a statement stands."""

    value: Expr


@record
class Input(Node):
    """`in label: i64[batch]`: data that a training step takes beside the model's own inputs."""

    name: Name
    type: TypeName


@record
class Minimize(Node):
    """`minimize loss`."""

    loss: Expr


@record
class Report(Node):
    """`report accuracy(…), name = …`."""

    items: tuple[Argument, ...]


@record
class Optimizer(Node):
    """`optimizer adam(…)`."""

    value: Expr


@record
class Clip(Node):
    """`clip 1.0`: scales all gradients together so that their joint L2 norm is at most this."""

    norm: Expr


@record
class Average(Node):
    """`average ema(0.999)`: the mean of the parameters over the steps that inference computes with."""

    value: Expr


@record
class Fit(Node):
    """`fit image: resize` or `fit image: pad`: how data of another size is brought to an input's size."""

    name: Name
    method: Name


@record
class Augment(Node):
    """`augment { image = … }`: how training varies its inputs by chance."""

    body: Block


@record
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


@record
class UsedName(Node):
    """`conv2d as conv` in a `use`."""

    name: str
    alias: str | None


@record
class Use(Node):
    """`use std.layers: linear, conv2d as conv` or `use "./blocks.net": stem`."""

    module: str  # "std.layers", or the path as written
    is_path: bool
    names: tuple[UsedName, ...]


@record
class Parameter(Node):
    """`out: int`, `x: f32[*s, i]`: compile-time or tensor, told apart by the type."""

    name: str
    type: TypeExpr
    default: Expr | None


@record
class Where(Node):
    """`where d % h == 0 : "{h} heads must divide d = {d}"`."""

    condition: Expr
    message: String | None


@record
class CustomGradient(Node):
    """`custom_grad(g) { … }` behind a `fn`: from the gradients of its results to those of its tensors."""

    names: tuple[Name, ...]
    body: Block


@record
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


@record
class Train(Node):
    """`train LeNet5(beta: float = 1.0) { … }`."""

    model: Name
    parameters: tuple[Parameter, ...]
    body: Block
    doc: str


@record
class Rule(Node):
    """One line of `pretrained`: `"h.*" -> "gpt_block.*"`, or `ignore "*.mask"` with a word before the patterns."""

    word: Name | None
    sources: tuple[String, ...]
    targets: tuple[String, ...]  # empty where there is no `->`


@record
class Pretrained(Node):
    """`pretrained GPT2 "gpt2.safetensors" { … }`: where the weights of models come from, and what they are called."""

    models: tuple[Name, ...]
    files: tuple[String, ...]
    rules: tuple[Rule, ...]
    doc: str


@record
class Const(Node):
    """`const base = 10000` at the top of a file."""

    name: Name
    value: Expr
    doc: str


Declaration = Use | Const | Definition | Train | Pretrained


@record
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


def walk(root: Node | Module) -> Iterator[Node]:
    """Every node below `root`, itself included, in the order of the source."""
    waiting: list[Node] = list(reversed(root.declarations)) if isinstance(root, Module) else [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(children(node)))


def children(node: Node) -> list[Node]:
    """The nodes in the fields of a node, or in tuples there, in the order of the source."""
    found: list[Node] = []
    parts: list[object] = [getattr(node, name) for name in reversed(node.__match_args__)]  # all fields but `span`
    while parts:
        part = parts.pop()
        if isinstance(part, Node):
            found.append(part)
        elif isinstance(part, tuple):
            parts.extend(reversed(part))
    return found
