"""Names: what is defined where, checked over a whole file without evaluating anything.

A definition has one scope; the branches of an `if` share it, so a name that either binds is bound after both. A block
that is a value has a scope of its own. A `train` block sees what its model binds: settings, layers, entries, and the
inputs of `forward` with their dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from netlang import syntax
from netlang.diagnostics import Diagnostic, Label, did_you_mean
from netlang.name_faults import NameFaults
from netlang.parser import parse_template
from netlang.placement import beside_entries, misplaced, not_in_augment
from netlang.pretrained import check_pretrained
from netlang.scopes import Binding, Scope
from netlang.source import Span
from netlang.syntax import Definition, Expr, Module, Name, Node, Parameter, Statement, Use

Exports = Callable[[Use], frozenset[str] | None]


def check_names(module: Module, builtins: frozenset[str], exports: Exports) -> list[Diagnostic]:
    """Faults and warnings about the names of a file, in the order of the source.

    `builtins` need no import. `exports` gives the names that a module offers, or None where that is checked elsewhere.
    """
    checker = _Checker(module, builtins)
    checker.check(exports)
    return sorted(checker.found, key=lambda fault: fault.primary.span.start if fault.primary else 0)


class _Checker(NameFaults):
    """Walks a module."""

    def __init__(self, module: Module, builtins: frozenset[str]) -> None:
        super().__init__(builtins)
        self.module = module
        self.top = self.scopes[0]
        self.models: dict[str, Scope] = {}  # what `train` blocks see

    def check(self, exports: Exports) -> None:
        declarations = self.module.declarations
        for declaration in declarations:
            self._declare(declaration, exports)
        for declaration in declarations:
            if isinstance(declaration, syntax.Const):
                self._expression(declaration.value, self.top)
            elif isinstance(declaration, Definition):
                self._definition(declaration, self.top)
        trains: dict[str, Binding] = {}
        for declaration in declarations:
            if isinstance(declaration, syntax.Train):
                model = declaration.model
                if model.name in trains:
                    self._duplicate(
                        "duplicate-name", f"`{model.name}` has two `train` blocks", model, trains[model.name]
                    )
                trains.setdefault(model.name, Binding("train", model.span))
                self._train(declaration)
        self._pretrained()
        self._report_unused(self.module.declarations)

    # --- Declarations ------------------------------------------------------------------------------------------------

    def _declare(self, declaration: syntax.Declaration, exports: Exports) -> None:
        if isinstance(declaration, Use):
            offered = exports(declaration)
            for used in declaration.names:
                if offered is not None and used.name not in offered:
                    title = f"`{declaration.module}` has no `{used.name}`"
                    self._fault("undefined-name", title, used.span, help=did_you_mean(used.name, offered))
                self._bind_new(self.top, Name(used.alias or used.name, span=used.span), "import")
        elif isinstance(declaration, syntax.Const):
            self._bind_new(self.top, declaration.name, "constant")
        elif isinstance(declaration, Definition):
            self._bind_new(self.top, declaration.name, "definition")

    def _bind_new(self, scope: Scope, name: Name, kind: str) -> None:
        """Binds a name that must not be bound yet."""
        existing = scope.own(name.name)
        if existing is not None:
            again = kind == existing.kind == "import"
            title = f"`{name.name}` is imported twice" if again else f"`{name.name}` is defined twice"
            code = "duplicate-parameter" if kind == existing.kind == "parameter" else "duplicate-name"
            way_out = None
            if "import" in (kind, existing.kind):
                way_out = f"take one of them out, or give the import another name: `{name.name} as …`"
            self._duplicate(code, title, name, existing, way_out)
        scope.bind(name.name, kind, name.span)

    def _definition(self, definition: Definition, outer: Scope) -> None:
        scope = self._new_scope(outer, definition.body)
        self.of_iterations = {}
        previous, self.kind = self.kind, definition.kind
        self._parameters([p for group in definition.parameters for p in group], scope)
        self._result(definition.result, scope)
        for where in definition.where:
            self._expression(where.condition, scope)
            self._message(where.message, scope)
        if definition.gradient is not None:  # it sees the parameters, not what the body binds
            self._bound_block(definition.gradient.names, definition.gradient.body, scope)
        if definition.kind == "model":
            self._model(definition, scope)
        else:
            self._block(definition.body, scope)
        self.kind = previous

    def _bound_block(
        self,
        names: Iterable[Name],
        block: syntax.Block,
        outer: Scope,
        kind: str = "parameter",
        has_value: bool = False,
    ) -> None:
        """A block with a scope of its own, which begins with `names`."""
        scope = self._new_scope(outer, block)
        for name in names:
            scope.bind(name.name, kind, name.span)
        self._block(block, scope, has_value)

    def _model(self, definition: Definition, scope: Scope) -> None:
        """A model's body and entries. What its `train` block sees is kept in `models`."""
        if not definition.entries:
            seen = self._new_scope(scope.outer)
            for name in scope.visible:
                seen.bind(name, "parameter", scope.bindings[name].span)
            seen.bind("forward", "entry", definition.name.span)
            self.models[definition.name.name] = seen
            self._block(definition.body, scope)
            return
        self.found += beside_entries(definition)
        for entry in definition.entries:
            self._bind_new(scope, entry.name, "entry")
        self._block(definition.body, scope)
        seen = self.models[definition.name.name] = self._new_scope(scope)
        for entry in definition.entries:
            self._definition(entry, scope)
            if entry.name.name == "forward":
                inputs = [p for group in entry.parameters for p in group]
                for parameter in inputs:
                    seen.bind(parameter.name, "parameter", parameter.span)
                self._dimensions(inputs, seen)

    def _pretrained(self) -> None:
        seen: dict[str, Binding] = {}
        for declaration in self.module.declarations:
            if isinstance(declaration, syntax.Pretrained):
                for model in declaration.models:
                    self._pretrained_model(model)
                    if model.name in seen:
                        title = f"`{model.name}` has two `pretrained` declarations"
                        self._duplicate("duplicate-name", title, model, seen[model.name])
                    seen.setdefault(model.name, Binding("pretrained", model.span))
                self.found.extend(check_pretrained(declaration))

    def _pretrained_model(self, model: Name) -> None:
        binding = self.top.find(model.name)
        if binding is not None:
            binding.used = True
        if binding is None or (binding.kind != "import" and model.name not in self.models):
            known = ", ".join(f"`{name}`" for name in self.models)
            way_out = did_you_mean(model.name, self.models) or (f"there is {known}" if known else None)
            self._fault("unknown-model", f"there is no model `{model.name}`", model.span, help=way_out)

    def _train(self, train: syntax.Train) -> None:
        model = self.top.find(train.model.name)
        if model is not None:
            model.used = True
        self.kind = "train"
        self.lenient = train.model.name not in self.models
        scope = self._new_scope(self.models.get(train.model.name, self.top), train.body)
        self._parameters(train.parameters, scope)
        self._block(train.body, scope)
        self.lenient = False

    def _parameters(self, parameters: Iterable[Parameter], scope: Scope) -> None:
        parameters = list(parameters)
        for parameter in parameters:
            place = Span(parameter.span.source, parameter.span.start, parameter.span.start + len(parameter.name))
            self._bind_new(scope, Name(parameter.name, span=place), "parameter")
        self._dimensions(parameters, scope)
        for parameter in parameters:
            if parameter.default is not None:
                is_init = isinstance(parameter.type, syntax.TypeName) and parameter.type.name == "init"
                (self._initializer if is_init else self._expression)(parameter.default, scope)

    def _dimensions(self, parameters: Iterable[Parameter], scope: Scope) -> None:
        """Binds the dimensions that the types of tensor parameters name first."""
        for parameter in parameters:
            for name in _dimension_names(parameter.type):
                binding = scope.find(name.name)
                if binding is None or binding.kind in ("import", "definition", "entry"):
                    scope.bind(name.name, "dimension", name.span)
                else:
                    binding.used = True

    def _result(self, result: syntax.TypeExpr | None, scope: Scope) -> None:
        for name in _dimension_names(result):
            if isinstance(name, syntax.Pack):
                continue  # stands for whatever there is
            if not self._use(name.name, scope):
                self._undefined_dimension(name.name, name.span, scope)

    # --- Statements --------------------------------------------------------------------------------------------------

    def _new_scope(self, outer: Scope | None, body: syntax.Block | None = None) -> Scope:
        scope = Scope(outer)
        self.scopes.append(scope)
        for node in syntax.walk(body) if body is not None else ():
            for name in syntax.bound_names(node):
                scope.later.setdefault(name.name, name.span)
        return scope

    def _block(self, block: syntax.Block, scope: Scope, has_value: bool = False) -> None:
        returned: Statement | None = None
        states: dict[str, Span] = {}  # set by `next` so far
        for i, marked in enumerate(block.statements):
            statement = marked.statement if isinstance(marked, syntax.Recompute) else marked
            if returned is not None:
                self._warn("unreachable-code", "nothing after a `return` is executed", statement.span, returned.span)
                break
            if isinstance(statement, syntax.ExpressionStatement):
                faults = len(self.found)
                self._expression(statement.value, scope)
                if len(self.found) == faults and not (has_value and i == len(block.statements) - 1):
                    self._unused_result(statement)
            else:
                self._statement(statement, scope)
            self._set_once(statement, states, scope)
            returned = statement if _returns(statement) else None

    def _statement(self, statement: Statement, scope: Scope) -> None:
        fault = misplaced(statement, self.kind, self.iteration)
        self.found += [fault] if fault else []
        match statement:
            case syntax.Assign(keyword, targets, value):
                self._expression(value, scope)
                for target in targets:
                    self._assign(target, keyword or "name", scope)
            case syntax.Declare(keyword, name, type_, init):
                for dim in type_.dims or ():
                    self._expression(dim, scope)
                self._initializer(init, scope)
                self._assign(name, keyword, scope)
            case syntax.SetNext(targets, value):
                self._expression(value, scope)
                for target in targets:
                    if isinstance(target, Name):
                        self._assign(target, "name", scope)
                    else:
                        self._next(target.name, target.span, scope)
            case syntax.Keep(names):
                for name in names:
                    self._expression(name, scope)
            case syntax.If(condition, then, otherwise):
                self._expression(condition, scope)
                self._branches(then, otherwise, scope)
            case syntax.WhenTraining(then, otherwise):
                self._branches(then, otherwise, scope)
            case syntax.Repeat(count, index, body):
                self._expression(count, scope)
                if index is not None:
                    self._assign(index, "index", scope)
                self._block(body, scope)
            case syntax.Assert(condition, message):
                self._expression(condition, scope)
                self._message(message, scope)
            case syntax.Input(name, type_):
                self._dimensions([Parameter(name.name, type_, None, span=statement.span)], scope)
                self._assign(name, "input", scope)
            case syntax.Fit(name):
                self._expression(name, scope)
            case syntax.Augment(body):
                self._augment(body, scope)
            case syntax.Phase(_, targets, repeats, body):
                for target in targets:
                    self._updated(target, scope)
                if repeats is not None:
                    self._expression(repeats, scope)
                own = self._new_scope(scope, body)
                self._block(body, own)
                self.of_phases |= {name: own.bindings[name].span for name in own.visible}
            case _:
                for child in syntax.children(statement):
                    self._expression(child, scope)

    def _updated(self, target: Expr, scope: Scope) -> None:
        """What a phase updates."""
        if isinstance(target, Name) and not self._use(target.name, scope):
            pattern = f'`updates "{target.name}.*"`'
            way_out = f"layers of a model with entries are known here; of others, a pattern names parameters: {pattern}"
            self._undefined(target.name, target.span, scope, way_out)
        elif not isinstance(target, Name):
            self._expression(target, scope)

    def _augment(self, body: syntax.Block, outer: Scope) -> None:
        """The body of `augment`: an assignment to an input gives that a new value, other names are the body's own."""
        self.found += not_in_augment(body)
        scope = self._new_scope(outer, body)
        previous, self.kind = self.kind, "augment"
        self._block(body, scope)
        self.kind = previous
        for name in scope.visible:
            if outer.find(name) is not None:
                scope.bindings[name].used = True

    def _branches(self, then: syntax.Block, otherwise: syntax.Block | None, scope: Scope) -> None:
        """Both branches from the same start; what either binds is bound afterwards."""
        before = set(scope.visible)
        self._block(then, scope)
        bound, scope.visible = scope.visible, before
        if otherwise is not None:
            self._block(otherwise, scope)
        scope.visible = scope.visible | bound

    def _assign(self, name: Name, kind: str, scope: Scope) -> None:
        existing = scope.own(name.name)
        if existing is not None:
            stored = ("param", "state")
            if kind in stored and existing.kind in stored:
                self._duplicate("duplicate-parameter", f"`{name.name}` is declared twice", name, existing)
            elif existing.kind == "state" and kind == "name":
                self._hides_state(name, existing)
            elif existing.kind in ("let", "const", "entry"):
                title = f"`{name.name}` is bound by `{existing.kind}` and stays what it is"
                free = "a name bound by `=` alone can get a new value" if existing.kind != "entry" else None
                self._duplicate("duplicate-name", title, name, existing, free)
            elif kind in ("let", "const", "input"):
                self._duplicate("duplicate-name", f"`{name.name}` has a meaning already", name, existing)
        scope.bind(name.name, kind, name.span)

    def _set_once(self, statement: Statement, states: dict[str, Span], scope: Scope) -> None:
        """Notes which states a statement of a block sets; a second time is a fault."""
        targets = statement.targets if isinstance(statement, syntax.SetNext) else ()
        for target in targets:
            binding = scope.find(target.name)
            if isinstance(target, syntax.Next) and binding is not None and binding.kind == "state":
                if target.name in states:
                    secondary = (Label(states[target.name], "first here"),)
                    way_out = f"`next {target.name}` on the right reads what was set; compute with names until then"
                    title = f"`next {target.name}` is set twice"
                    self._fault("duplicate-name", title, target.span, secondary, way_out)
                states[target.name] = target.span

    def _hides_state(self, name: Name, state: Binding) -> None:
        title = f"`=` does not set the state `{name.name}`"
        way_out = f"`next {name.name} = …` is its value in the next step; a name for this one is another name"
        self._fault("unset-state", title, name.span, (Label(state.span, "declared here"),), help=way_out)

    def _next(self, name: str, span: Span, scope: Scope) -> None:
        """`next name`, set or read: of a carry or a state."""
        binding = scope.find(name)
        if binding is None or binding.kind not in ("state", "carry"):
            if self.iteration:
                title = f"`next {name}` needs a carry called `{name}`"
                way_out = f"add it to the head: `carry {name} = …`"
            else:
                title = f"`next {name}` needs a state called `{name}`"
                way_out = f"declare it: `state {name}: f32[…] ~ zeros()`"
            self._fault("unset-state", title, span, help=way_out)
        else:
            binding.used = True

    # --- Expressions -------------------------------------------------------------------------------------------------

    def _expression(self, node: Node, scope: Scope) -> None:
        match node:
            case Name(name) | syntax.Pack(name):
                if not self._use(name, scope):
                    self._undefined(name, node.span, scope)
            case syntax.Call(Name(name) as function, arguments) if not self._use(name, scope):
                self._undefined_function(function, scope)
                for argument in arguments:
                    self._expression(argument, scope)
            case syntax.Pipe(value, Name(name) as function) if not self._use(name, scope):
                self._expression(value, scope)
                self._undefined_function(function, scope)
            case syntax.Next(name):
                self._next(name, node.span, scope)
            case syntax.Conditional(condition, then, otherwise):
                self._expression(condition, scope)
                self._block(then, self._new_scope(scope), has_value=True)
                self._block(otherwise, self._new_scope(scope), has_value=True)
            case syntax.PatternCall(function, arguments, inputs, output):
                self._expression(function, scope)
                for argument in arguments:
                    self._expression(argument, scope)
                for axis in (axis for axes in (*inputs, output) for part in axes for axis in syntax.walk(part)):
                    if isinstance(axis, syntax.AxisName | syntax.Pack):
                        self._use(axis.name, scope)
            case syntax.Heads(count, sources, body):
                self._expression(count, scope)
                for source in sources:
                    self._expression(source, scope)
                self._bound_block(sources, body, scope, has_value=True)
            case syntax.Aggregate(_, edge, edges, body):
                self._expression(edges, scope)
                if edge.source.name == edge.target.name:
                    title = f"both ends of the edges are called `{edge.source.name}`"
                    self._fault("duplicate-name", title, edge.target.span, help="write `(u -> v)`")
                self._bound_block((edge.source, edge.target), body, scope, has_value=True)
            case syntax.Edge(source, target):
                if [end for end in (source, target) if not self._use(end.name, scope)]:
                    title = f"`{source.name} -> {target.name}` names no edge here"
                    way_out = "an edge is read in the body of an `aggregate … over (u -> v) in edges { … }`"
                    self._fault("undefined-name", title, node.span, help=way_out)
            case syntax.Scan(sequences, along, backward, lengths, carries, body):
                self._along(along, scope)
                for child in (*(s.value for s in sequences), backward, lengths, *(c.value for c in carries)):
                    if child is not None:
                        self._expression(child, scope)
                self._iteration("scan", [s.name for s in sequences], "element", carries, None, body, scope)
            case syntax.Loop(range_, condition, carries, body):
                ends = (range_.first, range_.last) if range_ is not None else ()
                for child in (*ends, *(c.value for c in carries)):
                    self._expression(child, scope)
                numbers = [range_.name] if range_ is not None else []  # must be named, and need not be used
                self._iteration("loop", numbers, "parameter", carries, condition, body, scope)
            case _:
                if isinstance(node, syntax.Attribute):
                    self.attributes.add(node.name)
                for child in syntax.children(node):
                    self._expression(child, scope)

    def _along(self, along: Expr, scope: Scope) -> None:
        """The dimension of a `scan`."""
        if isinstance(along, Name) and not self._use(along.name, scope):
            way_out = "`along` takes a dimension of the sequences, such as `t` of `x: f32[b, t, d]`"
            self._fault("undefined-name", f"`{along.name}` is not defined", along.span, help=way_out)
        elif not isinstance(along, Name):
            self._expression(along, scope)

    def _iteration(
        self,
        word: str,
        elements: Iterable[Name],
        kind: str,
        carries: Iterable[syntax.Carry],
        condition: Expr | None,
        body: syntax.Block,
        outer: Scope,
    ) -> None:
        """The body of a `scan` or `loop`, and the condition, which sees what the body begins with."""
        scope = self._new_scope(outer, body)
        for carry in carries:
            self._bind_new(scope, carry.name, "carry")
        for element in elements:
            self._bind_new(scope, element, kind)
        if condition is not None:
            self._expression(condition, scope)
        around, self.iteration = self.iteration, word
        self._block(body, scope)
        self.iteration = around
        self.of_iterations |= {carry.name.name: carry.name.span for carry in carries}

    def _initializer(self, expr: Expr, scope: Scope) -> None:
        """What stands after `~`: initializers have names of their own, which the compiler knows."""
        if isinstance(expr, Name):
            self._use(expr.name, scope)
        elif isinstance(expr, syntax.Call) and isinstance(expr.function, Name):
            for argument in expr.arguments:
                self._expression(argument, scope)
        else:
            self._expression(expr, scope)

    def _message(self, message: syntax.String | None, scope: Scope) -> None:
        for part in parse_template(message) if message is not None else ():
            if not isinstance(part, str):
                self._expression(part, scope)


def _dimension_names(type_: syntax.TypeExpr | None) -> Iterator[Name | syntax.Pack]:
    """The names in the dimensions of a type, functions such as `min` left out."""
    waiting: list[Node] = [] if type_ is None else [type_]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, Name | syntax.Pack):
            yield node
        elif isinstance(node, syntax.Call):
            waiting = [*node.arguments, *waiting]
        else:
            waiting = [*syntax.children(node), *waiting]


def _returns(statement: Statement) -> bool:
    """Whether nothing after the statement can be reached."""
    if isinstance(statement, syntax.Recompute):
        statement = statement.statement
    if isinstance(statement, syntax.If | syntax.WhenTraining) and statement.otherwise is not None:
        return all(
            bool(block.statements) and _returns(block.statements[-1]) for block in (statement.then, statement.otherwise)
        )
    return isinstance(statement, syntax.Return)
