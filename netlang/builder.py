"""From the parser's branches to the syntax tree: one method for each rule of `grammar.lark`.

Faults that the grammar cannot say (a target that is no name, an argument out of order) are collected in `faults`;
the tree that comes with them is not to be used. `messages` are the texts that `{…}` may interpolate into.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lark import Token

from netlang import syntax, tokens
from netlang.branches import Branch
from netlang.diagnostics import Diagnostic, Label
from netlang.source import Source, Span
from netlang.syntax import Argument, Block, Declaration, Expr, Name, Parameter, Statement, TypeExpr, TypeName

MAX_DEPTH = 200
"""Levels of a tree, so that whoever walks it may recurse."""

Parameters = tuple[Parameter, ...]


class Builder:
    """Builds the nodes of one source."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.faults: list[Diagnostic] = []
        self.messages: list[syntax.String] = []

    def build(self, root: Branch) -> Any:
        """What the rule of `root` makes; None, with a fault, where the tree is too deep."""
        order: list[Branch | Token | None] = []
        waiting: list[tuple[Branch | Token | None, int]] = [(root, 0)]
        while waiting:
            branch, depth = waiting.pop()
            order.append(branch)
            if isinstance(branch, Branch):
                if depth > MAX_DEPTH:
                    self._too_deep(self._span(branch))
                    return None
                waiting.extend([(child, depth + 1) for child in branch.children])
        built: list[Any] = []
        for branch in reversed(order):  # children come before their parent, in their order
            if isinstance(branch, Branch):
                first = len(built) - len(branch.children)
                children = built[first:]
                del built[first:]
                built.append(getattr(self, branch.name)(self._span(branch), *children))
            else:
                built.append(branch)
        return built[0]

    # --- Declarations ----------------------------------------------------------------------------------------------

    def module(self, span: Span, *declarations: Declaration) -> tuple[Declaration, ...]:
        return declarations

    def use(self, span: Span, module: tuple[str, bool], *names: syntax.UsedName) -> syntax.Use:
        return syntax.Use(*module, names, span=span)

    def library(self, span: Span, *parts: Token) -> tuple[str, bool]:
        return ".".join(parts), False

    def path(self, span: Span, literal: Token) -> tuple[str, bool]:
        return tokens.unescape(literal), True

    def used(self, span: Span, name: Token, alias: Token | None) -> syntax.UsedName:
        return syntax.UsedName(str(name), None if alias is None else str(alias), span=span)

    def constant(self, span: Span, name: Token, value: Expr) -> syntax.Const:
        return syntax.Const(self._name(name), value, self._doc(span), span=span)

    def fn(self, span: Span, *parts: Any) -> syntax.Definition:
        return replace(self._definition("fn", span, parts[:-1]), gradient=parts[-1])

    def custom_grad(self, span: Span, names: tuple[Name, ...], body: Block) -> syntax.CustomGradient:
        return syntax.CustomGradient(names, body, span=span)

    def layer(self, span: Span, *parts: Any) -> syntax.Definition:
        return self._definition("layer", span, parts)

    def model(self, span: Span, *parts: Any) -> syntax.Definition:
        return self._definition("model", span, parts)

    def entry(self, span: Span, name: Token, inputs: Parameters, *parts: Any) -> syntax.Definition:
        return self._definition("entry", span, (name, inputs, None, *parts))

    def signature(self, span: Span, *parts: Any) -> syntax.Definition:
        return self._definition("fn", span, (*parts, Block((), span=span)))

    def train(self, span: Span, model: Token, parameters: Parameters | None, body: Block) -> syntax.Train:
        return syntax.Train(self._name(model), parameters or (), body, self._doc(span), span=span)

    def pretrained(
        self,
        span: Span,
        models: tuple[Name, ...],
        files: tuple[syntax.String, ...] | None,
        rules: tuple[syntax.Rule, ...] | None,
    ) -> syntax.Pretrained:
        return syntax.Pretrained(models, files or (), rules or (), self._doc(span), span=span)

    def rules(self, span: Span, *rules: syntax.Rule) -> tuple[syntax.Rule, ...]:
        return rules

    def rule(
        self,
        span: Span,
        word: Token | None,
        sources: tuple[syntax.String, ...],
        targets: tuple[syntax.String, ...] | None,
    ) -> syntax.Rule:
        return syntax.Rule(None if word is None else self._name(word), sources, targets or (), span=span)

    def texts(self, span: Span, *literals: Token) -> tuple[syntax.String, ...]:
        return tuple(self.string(self._span(literal), literal) for literal in literals)

    def parameters(self, span: Span, *parameters: Parameter) -> Parameters:
        return parameters

    def parameter(self, span: Span, name: Token, type: TypeExpr, default: Expr | None) -> Parameter:
        return Parameter(str(name), type, default, span=span)

    def where(self, span: Span, *conditions: tuple[Span, Expr, syntax.String | None]) -> tuple[syntax.Where, ...]:
        return tuple(syntax.Where(condition, message, span=place) for place, condition, message in conditions)

    def condition(self, span: Span, condition: Expr, message: Token | None) -> tuple[Span, Expr, syntax.String | None]:
        if message is None:
            return span, condition, None
        self.messages.append(self.string(self._span(message), message))
        return span, condition, self.messages[-1]

    def _definition(self, kind: str, span: Span, parts: Sequence[Any]) -> syntax.Definition:
        name, first, second, result, where, body = parts
        entries: tuple[syntax.Definition, ...] = ()
        if not isinstance(body, Block):  # of a model
            place, members = body
            entries = tuple(member for member in members if isinstance(member, syntax.Definition))
            body = Block(tuple(member for member in members if not isinstance(member, syntax.Definition)), span=place)
        lists = tuple(parameters for parameters in (first, second) if parameters is not None)
        doc = self._doc(span)
        return syntax.Definition(kind, self._name(name), lists, result, where or (), body, doc, entries, span=span)

    def _doc(self, span: Span) -> str:
        """The `##` comment on the lines right above `span`, without its marks."""
        lines: list[str] = []
        number = span.line - 1
        while number >= 1 and (line := self.source.line(number).strip()).startswith("##"):
            lines.append(line[2:].removeprefix(" "))
            number -= 1
        return "\n".join(reversed(lines))

    # --- Types -----------------------------------------------------------------------------------------------------

    def named_type(self, span: Span, name: Token | str, dims: tuple[Any, ...] | None) -> TypeName:
        return TypeName(str(name), dims, span=span)

    def type_keyword(self, span: Span, word: Token) -> str:
        return str(word)

    def tuple_type(self, span: Span, *items: TypeExpr) -> syntax.TupleType:
        return syntax.TupleType(items, span=span)

    def dims(self, span: Span, *dims: Expr | syntax.Pack) -> tuple[Expr | syntax.Pack | syntax.Hole, ...]:
        return tuple(syntax.Hole(span=dim.span) if isinstance(dim, Name) and dim.name == "_" else dim for dim in dims)

    def pack(self, span: Span, name: Token) -> syntax.Pack:
        return syntax.Pack(str(name), span=span)

    # --- Statements ------------------------------------------------------------------------------------------------

    def block(self, span: Span, *statements: Statement) -> Block:
        return Block(statements, span=span)

    def model_body(self, span: Span, *members: Statement | syntax.Definition) -> tuple[Span, list[Any]]:
        return span, list(members)

    def bare(self, span: Span, value: Expr) -> syntax.ExpressionStatement:
        return syntax.ExpressionStatement(value, span=span)

    def assign(self, span: Span, target: Expr, value: Expr) -> syntax.Assign | syntax.SetNext:
        targets = target.items if isinstance(target, syntax.Tuple) else (target,)
        for item in targets:
            if not isinstance(item, Name | syntax.Next):
                self._bad_target(item)
        if any(isinstance(item, syntax.Next) for item in targets):
            known = (self._set(item) for item in targets if isinstance(item, Name | syntax.Next))
            return syntax.SetNext(tuple(known), value, span=span)
        return syntax.Assign(None, tuple(item for item in targets if isinstance(item, Name)), value, span=span)

    def _set(self, target: Name | syntax.Next) -> Name | syntax.Next:
        """A target of `next h, y = …`; the span of `next h` becomes that of the name."""
        start = target.span.end - len(target.name)
        return replace(target, span=Span(self.source, start, target.span.end))

    def let(self, span: Span, names: tuple[Name, ...], value: Expr) -> syntax.Assign:
        return syntax.Assign("let", names, value, span=span)

    def const(self, span: Span, names: tuple[Name, ...], value: Expr) -> syntax.Assign:
        return syntax.Assign("const", names, value, span=span)

    def names(self, span: Span, *names: Token) -> tuple[Name, ...]:
        return tuple(self._name(name) for name in names)

    def param(self, span: Span, declared: tuple[Name, TypeName, Expr]) -> syntax.Declare:
        return syntax.Declare("param", *declared, (), span=span)

    def state(self, span: Span, declared: tuple[Name, TypeName, Expr]) -> syntax.Declare:
        return syntax.Declare("state", *declared, (), span=span)

    def declared(self, span: Span, name: Token, type: TypeName, init: Expr) -> tuple[Name, TypeName, Expr]:
        return self._name(name), type, init

    def annotation(self, span: Span, name: Token) -> syntax.Annotation:
        return syntax.Annotation(str(name), span=Span(self.source, span.start, name.end_pos or span.end))

    def annotated(self, span: Span, *parts: Any) -> Any:
        *annotations, marked = parts
        if isinstance(marked, syntax.Declare):
            return replace(marked, annotations=tuple(annotations), span=span)
        for annotation in annotations:
            if annotation.name != "recompute":
                self._misplaced_annotation(annotation)
        if isinstance(marked, syntax.Definition):
            if marked.gradient is not None:
                self._marked_twice(annotations[0])
            return replace(marked, recompute=True, doc=self._doc(span), span=span)
        return syntax.Recompute(marked, span=span)

    def return_(self, span: Span, value: Expr) -> syntax.Return:
        return syntax.Return(value, span=span)

    def if_statement(self, span: Span, condition: Expr, then: Block, otherwise: Block | syntax.If | None) -> syntax.If:
        if isinstance(otherwise, syntax.If):
            otherwise = Block((otherwise,), span=otherwise.span)
        return syntax.If(condition, then, otherwise, span=span)

    def when(self, span: Span, then: Block, otherwise: Block | None) -> syntax.WhenTraining:
        return syntax.WhenTraining(then, otherwise, span=span)

    def repeat(self, span: Span, count: Expr, index: Token | None, body: Block) -> syntax.Repeat:
        return syntax.Repeat(count, None if index is None else self._name(index), body, span=span)

    def emit(self, span: Span, values: Expr) -> syntax.Emit:
        return syntax.Emit(values.items if isinstance(values, syntax.Tuple) else (values,), span=span)

    def keep(self, span: Span, names: tuple[Name, ...]) -> syntax.Keep:
        return syntax.Keep(names, span=span)

    def assert_(self, span: Span, condition: tuple[Span, Expr, syntax.String | None]) -> syntax.Assert:
        return syntax.Assert(condition[1], condition[2], span=span)

    def input(self, span: Span, name: Token, type: TypeName) -> syntax.Input:
        return syntax.Input(self._name(name), type, span=span)

    def minimize(self, span: Span, loss: Expr) -> syntax.Minimize:
        return syntax.Minimize(loss, span=span)

    def report(self, span: Span, *items: Argument) -> syntax.Report:
        return syntax.Report(items, span=span)

    def optimizer(self, span: Span, value: Expr) -> syntax.Optimizer:
        return syntax.Optimizer(value, span=span)

    def clip(self, span: Span, norm: Expr) -> syntax.Clip:
        return syntax.Clip(norm, span=span)

    def average(self, span: Span, value: Expr) -> syntax.Average:
        return syntax.Average(value, span=span)

    def fit(self, span: Span, name: Token, method: Token) -> syntax.Fit:
        return syntax.Fit(self._name(name), self._name(method), span=span)

    def augment(self, span: Span, body: Block) -> syntax.Augment:
        return syntax.Augment(body, span=span)

    def phase(
        self, span: Span, name: Token, targets: tuple[Expr, ...], repeats: Expr | None, body: Block
    ) -> syntax.Phase:
        return syntax.Phase(self._name(name), targets, repeats, body, span=span)

    def targets(self, span: Span, *targets: Expr) -> tuple[Expr, ...]:
        return targets

    # --- Expressions -----------------------------------------------------------------------------------------------

    def tuple(self, span: Span, *items: Expr) -> syntax.Tuple:
        return syntax.Tuple(items, span=span)

    def list(self, span: Span, *items: Expr) -> syntax.List:
        return syntax.List(items, span=span)

    def pipe(self, span: Span, value: Expr, function: Expr) -> syntax.Pipe:
        return syntax.Pipe(value, function, span=span)

    def compose(self, span: Span, first: Expr, second: Expr) -> syntax.Compose:
        return syntax.Compose(first, second, span=span)

    def binary(self, span: Span, left: Expr, operator: Token, right: Expr) -> syntax.Binary:
        return syntax.Binary(str(operator), left, right, self._span(operator), span=span)

    def negate(self, span: Span, operand: Expr) -> syntax.Unary:
        return syntax.Unary("not", operand, span=span)

    def minus(self, span: Span, operand: Expr) -> syntax.Unary:
        return syntax.Unary("-", operand, span=span)

    def call(self, span: Span, function: Expr, arguments: tuple[Argument, ...]) -> syntax.Call:
        named = None
        for argument in arguments:
            if argument.name is not None:
                named = argument
            elif named is not None:
                self._out_of_order(argument, named)
                break
        return syntax.Call(function, arguments, span=span)

    def pattern_call(
        self, span: Span, function: Expr, arguments: tuple[Argument, ...], *axes: tuple[syntax.Axis, ...]
    ) -> syntax.PatternCall:
        return syntax.PatternCall(function, arguments, axes[:-1], axes[-1], span=span)

    def axes(self, span: Span, *axes: syntax.Axis) -> tuple[syntax.Axis, ...]:
        return axes

    def axis(self, span: Span, name: Token) -> syntax.AxisName:
        return syntax.AxisName(str(name), span=span)

    def group(self, span: Span, *axes: syntax.Axis) -> syntax.Group:
        return syntax.Group(axes, span=span)

    def arguments(self, span: Span, *arguments: Argument) -> tuple[Argument, ...]:
        return arguments

    def argument(self, span: Span, value: Expr) -> Argument:
        return Argument(None, value, span=span)

    def named_argument(self, span: Span, name: Token, value: Expr) -> Argument:
        return Argument(str(name), value, span=span)

    def index(self, span: Span, value: Expr, *items: Expr | syntax.Slice | syntax.Edge) -> syntax.Index:
        return syntax.Index(value, items, span=span)

    def slice(self, span: Span, start: Expr | None, stop: Expr | None, step: Expr | None) -> syntax.Slice:
        return syntax.Slice(start, stop, step, span=span)

    def edge(self, span: Span, source: Token, target: Token) -> syntax.Edge:
        return syntax.Edge(self._name(source), self._name(target), span=span)

    def attribute(self, span: Span, value: Expr, name: Token) -> syntax.Attribute:
        return syntax.Attribute(value, str(name), self._span(name), span=span)

    def number(self, span: Span, literal: Token) -> syntax.Number:
        return syntax.Number(tokens.number(literal), span=span)

    def string(self, span: Span, literal: Token) -> syntax.String:
        return syntax.String(tokens.unescape(literal), span=span)

    def true(self, span: Span) -> syntax.Boolean:
        return syntax.Boolean(True, span=span)

    def false(self, span: Span) -> syntax.Boolean:
        return syntax.Boolean(False, span=span)

    def none(self, span: Span) -> syntax.NoneLiteral:
        return syntax.NoneLiteral(span=span)

    def name(self, span: Span, name: Token) -> Name:
        return Name(str(name), span=span)

    def next_value(self, span: Span, name: Token) -> syntax.Next:
        return syntax.Next(str(name), span=span)

    def conditional(
        self, span: Span, condition: Expr, then: Block, otherwise: Block | syntax.Conditional
    ) -> syntax.Conditional:
        if isinstance(otherwise, syntax.Conditional):
            statement = syntax.ExpressionStatement(otherwise, span=otherwise.span)
            otherwise = Block((statement,), span=otherwise.span)
        return syntax.Conditional(condition, _as_value(then), _as_value(otherwise), span=span)

    def heads(self, span: Span, count: Expr, *parts: Any) -> syntax.Heads:
        *sources, body = parts
        return syntax.Heads(count, tuple(self._name(source) for source in sources), _as_value(body), span=span)

    def aggregate(self, span: Span, reducer: Token, edge: syntax.Edge, edges: Expr, body: Block) -> syntax.Aggregate:
        return syntax.Aggregate(self._name(reducer), edge, edges, _as_value(body), span=span)

    def scan(
        self,
        span: Span,
        sequences: tuple[syntax.Sequence, ...],
        along: Expr,
        backward: Expr | None,
        lengths: Expr | None,
        carries: tuple[syntax.Carry, ...] | None,
        body: Block,
    ) -> syntax.Scan:
        return syntax.Scan(sequences, along, backward, lengths, carries or (), body, span=span)

    def sequences(self, span: Span, *sequences: syntax.Sequence) -> tuple[syntax.Sequence, ...]:
        return sequences

    def sequence(self, span: Span, name: Token, value: Expr) -> syntax.Sequence:
        return syntax.Sequence(self._name(name), value, span=span)

    def backward(self, span: Span, condition: Expr | None) -> Expr:
        return syntax.Boolean(True, span=span) if condition is None else condition

    def loop(
        self,
        span: Span,
        range: syntax.Range,
        condition: Expr | None,
        carries: tuple[syntax.Carry, ...] | None,
        body: Block,
    ) -> syntax.Loop:
        return syntax.Loop(range, condition, carries or (), body, span=span)

    def while_loop(
        self, span: Span, condition: Expr, carries: tuple[syntax.Carry, ...] | None, body: Block
    ) -> syntax.Loop:
        return syntax.Loop(None, condition, carries or (), body, span=span)

    def range(self, span: Span, name: Token, first: Expr, down: bool, last: Expr) -> syntax.Range:
        return syntax.Range(self._name(name), first, last, down, span=span)

    def to(self, span: Span, down: Token | None, to: Token) -> bool:
        return down is not None

    def while_(self, span: Span, condition: Expr) -> Expr:
        return condition

    def carries(self, span: Span, *carries: syntax.Carry) -> tuple[syntax.Carry, ...]:
        return carries

    def carry(self, span: Span, name: Token, value: Expr) -> syntax.Carry:
        return syntax.Carry(self._name(name), value, span=span)

    # --- Shared ----------------------------------------------------------------------------------------------------

    def _span(self, part: Branch | Token) -> Span:
        if isinstance(part, Token):
            return Span(self.source, part.start_pos or 0, part.end_pos or 0)
        return Span(self.source, part.start or 0, part.end or 0)

    def _name(self, token: Token) -> Name:
        return Name(str(token), span=self._span(token))

    def _bad_target(self, target: Expr) -> None:
        way_out = "only names can be assigned; to change a tensor, make a new one"
        if isinstance(target, syntax.Attribute) and isinstance(target.value, Name) and target.value.name == "self":
            way_out = f"a layer has no `self`: write `let {target.name} = …`, or `param {target.name}: … ~ …`"
        elif isinstance(target, syntax.Binary) and target.operator == "==":
            way_out = "a comparison stands in `if`, `where` or `assert`"
        fault = Diagnostic("invalid-target", "this cannot stand left of `=`", Label(target.span), help=way_out)
        self.faults.append(fault)

    def _misplaced_annotation(self, annotation: syntax.Annotation) -> None:
        title = f"there is no annotation `@{annotation.name}`"
        way_out = "annotations are @frozen, @no_decay, @recompute"
        if annotation.name in ("frozen", "no_decay"):
            title = f"`@{annotation.name}` stands before `param` or `state`"
            way_out = "before a layer, a `fn` or a statement there can be `@recompute`"
        self.faults.append(Diagnostic("unknown-attribute", title, Label(annotation.span), help=way_out))

    def _marked_twice(self, annotation: syntax.Annotation) -> None:
        title = "a `fn` with `custom_grad` keeps nothing that could be computed again"
        way_out = "take out `@recompute`: the gradient computes with the tensors of the `fn` alone"
        self.faults.append(Diagnostic("unknown-attribute", title, Label(annotation.span), help=way_out))

    def _out_of_order(self, argument: Argument, named: Argument) -> None:
        self.faults.append(
            Diagnostic(
                "positional-after-named",
                f"an argument without a name follows `{named.name} = …`",
                Label(argument.span, "has no name"),
                (Label(named.span, "named"),),
                help="write the arguments without names first, or name this one too",
            )
        )

    def _too_deep(self, span: Span) -> None:
        self.faults.append(
            Diagnostic(
                "nesting-too-deep",
                f"this is nested more than {MAX_DEPTH} levels deep",
                Label(span),
                help="name parts of it with assignments, or repeat with `repeat`",
            )
        )


def _as_value(block: Block) -> Block:
    """`block` with an `if … else …` at its end read as its value rather than as a statement."""
    last = block.statements[-1] if block.statements else None
    if not isinstance(last, syntax.If) or last.otherwise is None:
        return block
    value = syntax.Conditional(last.condition, _as_value(last.then), _as_value(last.otherwise), span=last.span)
    statement = syntax.ExpressionStatement(value, span=last.span)
    return Block((*block.statements[:-1], statement), span=block.span)
