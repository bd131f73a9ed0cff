"""What is said about names: those that mean nothing, mean two things, or are never used."""

from __future__ import annotations

from collections.abc import Iterable

from netlang import habits, syntax
from netlang.diagnostics import Diagnostic, Label, did_you_mean
from netlang.placement import NEW_VALUE
from netlang.scopes import Binding, Scope
from netlang.source import Span
from netlang.syntax import Definition, Name

_UNUSED = {  # kinds of names that should be used -> what to do about one that is not
    "import": "take it out of the `use`",
    "name": "take it out, or call it `_{name}`",
    "let": "take it out, or call it `_{name}`",
    "const": "take it out, or call it `_{name}`",
    "param": "it would be stored, and never trained",
    "state": "it would be stored, and never change",
    "input": "data that nothing uses need not be given",
    "index": "leave out `as {name}`",
    "element": "call it `_{name}`",
}


_OF_TRAINING = {  # names that a `train` block reads and has not -> where they come from
    "loss": "name it: `loss = …; minimize loss`",
    **dict.fromkeys(
        ("weight", "bias", "weights"), "a parameter is read from its layer: `let f = linear(4)`, then `f.weight`"
    ),
}


class NameFaults:
    """Collects in `found` what a walk over a module comes upon. `builtins` need no import."""

    def __init__(self, builtins: frozenset[str]) -> None:
        self.builtins = builtins
        self.found: list[Diagnostic] = []
        self.scopes = [Scope()]  # of the module, and of all that is in it
        self.attributes: set[str] = set()  # names read as `x.name`
        self.kind = ""  # of the definition around the walk: fn, layer, model, entry or train
        self.lenient = False  # inside the `train` block of a model from another file
        self.of_iterations: dict[str, Span] = {}  # carries of the `scan`s and `loop`s that the walk has left
        self.iteration = ""  # the word of the `scan` or `loop` around the walk
        self.of_phases: dict[str, Span] = {}  # names that the phases of the `train` block have bound so far

    def _use(self, name: str, scope: Scope) -> bool:
        """Marks a name as used; whether it means anything."""
        binding = scope.find(name)
        if binding is not None:
            binding.used = True
        return binding is not None or name in self.builtins or self.lenient

    def _undefined(self, name: str, span: Span, scope: Scope, otherwise: str | None = None) -> None:
        """A name that means nothing; `otherwise` is the help where no name is near."""
        later = scope.bound_later(name)
        if later is not None and later.start > span.start:
            title = f"`{name}` is used before it is defined"
            self._fault("undefined-name", title, span, (Label(later, "defined here"),))
            return
        title = f"`{name}` is not defined"
        elsewhere = self._known_elsewhere(name)
        if elsewhere is not None:
            label, way_out = elsewhere
            self._fault("undefined-name", title, span, (label,), help=way_out)
            return
        way_out = self._meant(name, scope) or otherwise or self._declared_where(name)
        self._fault("undefined-name", title, span, help=way_out)
        for meant in scope.names():
            if way_out is not None and f"`{meant}`" in way_out:
                self._use(meant, scope)  # and is not reported as unused on top

    def _known_elsewhere(self, name: str) -> tuple[Label, str] | None:
        """Where another phase, or the body of a `scan` or `loop`, has bound the name, and how it comes out of there."""
        if self.kind == "train" and name in self.of_phases:
            way_out = "what a phase binds is its own; bind it before the phases, or compute it again"
            return Label(self.of_phases[name], "bound in a phase"), way_out
        if name in self.of_iterations:
            way_out = f"`keep {name}` in the body makes its last value a result"
            return Label(self.of_iterations[name], "known in the body"), way_out
        return None

    def _meant(self, name: str, scope: Scope) -> str | None:
        if self.kind == "train" and name in _OF_TRAINING:
            return _OF_TRAINING[name]
        near = None if len(name) == 1 else did_you_mean(name, {*scope.names(), *self.builtins})
        return habits.NAMES.get(name) or near

    def _declared_where(self, name: str) -> str | None:
        if not self.kind:
            return "a `const` of a file sees no settings; one in a model does"
        return f"an input of training is declared with its type: `in {name}: f32[…]`" if self.kind == "train" else None

    def _undefined_function(self, function: Name, scope: Scope) -> None:
        """What is called or piped into, and means nothing."""
        way_out = f"`netlang doc` lists what there is; `fn {function.name}(…) -> … {{ … }}` defines what there is not"
        self._undefined(function.name, function.span, scope, way_out)

    def _undefined_dimension(self, name: str, span: Span, scope: Scope) -> None:
        """A dimension of a result that no input has: functions of like names are not meant."""
        sizes = [known for known in scope.names() if known not in self.builtins]
        near = None if len(name) == 1 else did_you_mean(name, sizes)
        way_out = near or "`_` stands for a dimension that has no name"
        self._fault("undefined-name", f"`{name}` is not defined", span, help=way_out)

    def _duplicate(self, code: str, title: str, name: Name, first: Binding, help: str | None = None) -> None:
        first.used = True  # one fault is enough
        self._fault(code, title, name.span, (Label(first.span, "first here"),), help)

    def _unused_result(self, statement: syntax.ExpressionStatement) -> None:
        way_out = NEW_VALUE if self.kind == "augment" else "give it a name, or `return` it"
        if isinstance(statement.value, syntax.Binary) and statement.value.operator == "==":
            way_out = "`=` assigns; `assert` states what must hold"
        elif isinstance(statement.value, syntax.Call) and isinstance(statement.value.function, syntax.Attribute):
            name = statement.value.function.name
            way_out = habits.ATTRIBUTES.get(name) or habits.LISTS.get(name) or way_out
        elif isinstance(statement.value, syntax.Scan | syntax.Loop):
            way_out = "outside of the body nothing changes: `y = …` takes what it is worth, which is its carries"
        self._fault("unused-result", "the result of this expression is not used", statement.span, help=way_out)

    def _report_unused(self, declarations: Iterable[syntax.Declaration]) -> None:
        has_code = any(isinstance(d, Definition | syntax.Train | syntax.Const) for d in declarations)
        for scope in self.scopes:
            for name, binding in scope.bindings.items():
                passed_on = binding.kind == "import" and not has_code  # a file of imports exports them
                if binding.kind not in _UNUSED or binding.used or name.startswith("_") or passed_on:
                    continue
                if binding.kind == "let" and name in self.attributes:
                    continue
                what = {"import": "imported and", "param": "a parameter that is", "state": "a state that is"}
                title = f"`{name}` is {what.get(binding.kind, '')} never used".replace("  ", " ")
                self._warn("unused-name", title, binding.span, help=_UNUSED[binding.kind].format(name=name))

    def _fault(
        self, code: str, title: str, span: Span, secondary: tuple[Label, ...] = (), help: str | None = None
    ) -> None:
        self.found.append(Diagnostic(code, title, Label(span), secondary, help=help))

    def _warn(self, code: str, title: str, span: Span, related: Span | None = None, help: str | None = None) -> None:
        secondary = () if related is None else (Label(related),)
        self.found.append(Diagnostic(code, title, Label(span), secondary, help=help, severity="warning"))
