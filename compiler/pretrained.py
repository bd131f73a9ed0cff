"""Weights under foreign names: which tensors of a file make which weights of a network.

Nothing is read here. The runtime says what a file has, by name and type; what comes back says how each weight is made
of it. The rules of a `pretrained` declaration are carried out one after the other, each on what those before have made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netlang import syntax
from netlang.diagnostics import Diagnostic, DiagnosticError, Label, did_you_mean, fail
from netlang.pretrained import filled, matched
from netlang.source import Source
from netlang.types import FLOATS, TensorType

from .elaborate.modules import LoadedModule
from .ir import Variable
from .stored import Joined, Part, Reshaped, Stored, Tensor, Transposed

SHOWN = 5
"""How many names a message lists."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """Where the weights of a model come from. files: paths as written in `source`; none where `--weights` names one."""

    model: syntax.Name
    files: tuple[syntax.String, ...]
    rules: tuple[syntax.Rule, ...]

    @property
    def source(self) -> Source:
        """The file that the declaration is in, to which `files` are relative."""
        return self.model.span.source


def pretrained_of(module: LoadedModule, model: str) -> Pretrained | None:
    """What a file, and those that it has the model from, say of its weights: the rules of all, its own first."""
    found = list(_declared(module, model))
    while model in module.imports:
        module, model = module.imports[model]
        found.extend(_declared(module, model))
    if not found:
        return None
    name, first = found[0]
    rules = tuple(rule for _, declaration in found for rule in declaration.rules)
    return Pretrained(name, first.files, rules)


def _declared(module: LoadedModule, model: str) -> Iterator[tuple[syntax.Name, syntax.Pretrained]]:
    for declaration in module.syntax.declarations:
        if isinstance(declaration, syntax.Pretrained):
            yield from ((name, declaration) for name in declaration.models if name.name == model)


@dataclass(frozen=True, slots=True)
class Filled:
    """How each weight is made, and which begin as the model says."""

    weights: Mapping[str, Tensor]
    new: tuple[str, ...]


def fill(plan: Pretrained, stored: Mapping[str, TensorType], variables: Iterable[Variable], file: str) -> Filled:
    """Makes every variable of a network from what `file` has, or says what is wrong, all of it.

    Raises DiagnosticError: `doubly-filled-weights`, `incomplete-weights`, `wrong-weights`.
    """
    own = {variable.name: variable for variable in variables}
    state = _State(file, {name: Stored(name, type_) for name, type_ in stored.items()}, own)
    for rule in plan.rules:
        state.carry_out(rule)
    return _Filling(plan, state, own).result()


@dataclass
class _State:
    """What the rules have made so far, by name, and the rule that gave each its name; and what is to be made."""

    file: str
    tensors: dict[str, Tensor]
    variables: Mapping[str, Variable]
    named_by: dict[str, syntax.Rule] = field(default_factory=dict)
    new: list[syntax.String] = field(default_factory=list)
    idle: list[syntax.String] = field(default_factory=list)  # patterns that nothing matched

    def carry_out(self, rule: syntax.Rule) -> None:
        """Carries out one rule. Raises DiagnosticError."""
        match rule.word.name if rule.word is not None else None:
            case "new":
                self.new.extend(rule.sources)
            case "ignore":
                for name, _ in self._matches(rule.sources):
                    del self.tensors[name]
            case "transpose":
                for name, _ in self._matches(rule.sources):
                    self.tensors[name] = self._transposed(name, rule)
            case "reshape":
                for name, _ in self._matches(rule.sources):
                    self.tensors[name] = Reshaped(self.tensors[name])
            case _:
                self._rename(rule)

    def _matches(self, patterns: Sequence[syntax.String]) -> list[tuple[str, tuple[str, ...]]]:
        found: dict[str, tuple[str, ...]] = {}
        for pattern in patterns:
            stars = {name: texts for name in self.tensors if (texts := matched(pattern.value, name)) is not None}
            if not stars:
                self.idle.append(pattern)
            found |= stars
        return list(found.items())

    def _transposed(self, name: str, rule: syntax.Rule) -> Tensor:
        tensor = self.tensors[name]
        if tensor.type.rank < 2:
            raise fail("wrong-weights", f"`{name}` has fewer than two axes to swap", rule.span, str(tensor.type))
        return Transposed(tensor)

    def _rename(self, rule: syntax.Rule) -> None:
        """Renames, joins or splits. Names are taken away before they are given, so that two can be exchanged."""
        made: list[tuple[str, Tensor]] = []
        matches = self._matches(rule.sources[:1])
        for _, stars in matches:
            names = [filled(source.value, stars) for source in rule.sources]
            made.extend(self._parts(rule, names, [filled(target.value, stars) for target in rule.targets]))
        for name, tensor in made:
            if name in self.tensors:
                raise self._taken(rule, name, tensor)
            self.tensors[name], self.named_by[name] = tensor, rule

    def _parts(self, rule: syntax.Rule, names: list[str], targets: list[str]) -> Iterator[tuple[str, Tensor]]:
        if len(set(names)) < len(names):
            raise fail("bad-rule", f"this rule joins `{names[0]}` with itself", rule.span)
        for name in names:
            if name not in self.tensors:
                raise fail("incomplete-weights", f"`{self.file}` has no `{name}` to join with `{names[0]}`", rule.span,
                           help=did_you_mean(name, self.tensors))  # fmt: skip
        tensors = [self.tensors.pop(name) for name in names]
        tensor = tensors[0] if len(tensors) == 1 else Joined(tuple(tensors))
        self._check_joined(rule, names, tensors)
        if len(targets) == 1:
            yield targets[0], tensor
            return
        start = 0
        for target, length in zip(targets, self._lengths(rule, names[0], tensor.type, targets), strict=True):
            yield target, Part(tensor, start, length)
            start += length

    def _lengths(self, rule: syntax.Rule, name: str, whole: TensorType, targets: list[str]) -> list[int]:
        """Rows of the parts of a tensor: those of the weights that they fill, or else equally many for each."""
        rows = whole.shape[0] if whole.rank else 0
        shapes = [self.variables[target].value.type.shape for target in targets if target in self.variables]
        own = [shape[0] for shape in shapes if shape and isinstance(shape[0], int)]
        if len(own) == len(targets) and sum(own) == rows:
            return own
        count = len(targets)
        if not isinstance(rows, int) or not rows or rows % count:
            raise fail("wrong-weights", f"`{name}` cannot be split into {count} along its first axis", rule.span,
                       str(whole), notes=_rows(targets, own))  # fmt: skip
        return [rows // count] * count

    def _check_joined(self, rule: syntax.Rule, names: list[str], tensors: list[Tensor]) -> None:
        first = tensors[0].type
        for name, tensor in zip(names, tensors, strict=True):
            if len(tensors) > 1 and (tensor.type.rank < 1 or tensor.type.shape[1:] != first.shape[1:]):
                raise fail("wrong-weights", f"`{name}` cannot be joined with `{names[0]}` along the first axis",
                           rule.span, expected=first, found=tensor.type)  # fmt: skip

    def _taken(self, rule: syntax.Rule, name: str, tensor: Tensor) -> DiagnosticError:
        """The error for a name that two tensors get."""
        earlier = self.named_by.get(name)
        secondary = [] if earlier is None or earlier is rule else [Label(earlier.span, "named here before")]
        origins = (_origins(self.tensors[name]), _origins(tensor))
        return fail("doubly-filled-weights", f"two tensors of `{self.file}` are both called `{name}`", rule.span,
                    secondary=secondary, notes=[f"one is {origins[0]}, the other {origins[1]}"],
                    help="rename or `ignore` one of them, before this rule")  # fmt: skip


@dataclass
class _Filling:
    """Compares what the rules have made with what the network has."""

    plan: Pretrained
    state: _State
    variables: Mapping[str, Variable]
    faults: list[Diagnostic] = field(default_factory=list)

    def result(self) -> Filled:
        new = self._new()
        tensors = {name: tensor for name, tensor in self.state.tensors.items() if name not in new}
        self._check_names(tensors, new)
        weights = {name: self._fitted(tensors[name], v) for name, v in self.variables.items() if name in tensors}
        if self.faults:
            raise DiagnosticError(*self.faults)
        return Filled(weights, tuple(name for name in self.variables if name in new))

    def _new(self) -> set[str]:
        found: set[str] = set()
        for pattern in self.state.new:
            names = [name for name in self.variables if matched(pattern.value, name) is not None]
            found.update(names)
            if not names:
                way_out = (
                    did_you_mean(pattern.value, self.variables)
                    or f"its weights are {_listed(map(_quoted, self.variables))}"
                )
                title = f"`{self.plan.model.name}` has no weight `{pattern.value}`"
                self.faults.append(Diagnostic("bad-rule", title, Label(pattern.span), help=way_out))
        return found

    def _check_names(self, tensors: Mapping[str, Tensor], new: set[str]) -> None:
        missing = [name for name in self.variables if name not in tensors and name not in new]
        left = [name for name in tensors if name not in self.variables]
        if not missing and not left:
            return
        model, file = self.plan.model, self.state.file
        title = f"`{file}` leaves {len(missing)} of the {len(self.variables)} weights of `{model.name}` unfilled"
        if not missing:
            title = f"`{file}` has {_count(len(left), 'tensor')} that `{model.name}` has no place for"
        notes = [f"without a value: {_listed(map(_quoted, missing))}"] if missing else []
        notes += [f"left over in the file: {_listed(map(self._renamed, left))}"] if left else []
        idle = [_quoted(pattern.value) for pattern in self.state.idle]
        notes += [f"patterns that match nothing: {_listed(idle)}"] if idle else []
        self.faults.append(
            Diagnostic(
                "incomplete-weights", title, Label(model.span), notes=tuple(notes), help=self._way_out(missing, left)
            )
        )

    def _way_out(self, missing: Sequence[str], left: Sequence[str]) -> str:
        if not left:
            return f'`new "{missing[0]}"` begins with the values that the model gives it'
        for name in left if missing else ():
            type_, kind = self.state.tensors[name].type, name.rpartition(".")[2]
            alike = [other for other in missing if self.variables[other].value.type.shape == type_.shape]
            if alike:
                meant = next((other for other in alike if other.rpartition(".")[2] == kind), alike[0])
                return f'a rule `"{name}" -> "{meant}"` renames; `ignore` leaves out, and `new` begins afresh'
        return f'`ignore "{left[0]}"` leaves it out'

    def _renamed(self, name: str) -> str:
        origins = _origins(self.state.tensors[name])
        return f"`{name}`" if origins == f"`{name}`" else f"`{name}`, which is {origins} there"

    def _fitted(self, tensor: Tensor, variable: Variable) -> Tensor:
        """The tensor with the type of the weight; floats are converted, other differences are faults."""
        wanted = variable.value.type
        if isinstance(tensor, Reshaped):
            tensor = tensor.to(wanted.shape)
        if tensor.type.shape != wanted.shape or not _converts(tensor.type.dtype, wanted.dtype):
            self.faults.append(self._mismatch(tensor, variable))
        return tensor

    def _mismatch(self, tensor: Tensor, variable: Variable) -> Diagnostic:
        wanted, found = variable.value.type, tensor.type
        rule = self.state.named_by.get(variable.name)
        swapped = found.rank > 1 and (*found.shape[:-2], found.shape[-1], found.shape[-2]) == wanted.shape
        help_ = f'`new "{variable.name}"` begins with the values that the model gives it'
        return Diagnostic(
            "wrong-weights",
            f"{_origins(tensor)} of `{self.state.file}` does not fit `{variable.name}`",
            Label((rule or self.plan.model).span, str(found)),
            (Label(variable.loc, "declared here"),),
            expected=str(wanted),
            found=str(found),
            help=f'`transpose "{variable.name}"` at the end swaps the axes' if swapped else help_,
        )


def _rows(targets: Sequence[str], lengths: Sequence[int]) -> list[str]:
    """A note on the rows of the weights that a tensor is split into, where all of them are known."""
    if len(lengths) < len(targets):
        return []
    listed = ", ".join(f"`{target}` {length}" for target, length in zip(targets, lengths, strict=True))
    return [f"of its rows, {listed}: {sum(lengths)} in all"]


def _converts(found: str, wanted: str) -> bool:
    return found == wanted or (found in FLOATS and wanted in FLOATS)


def _origins(tensor: Tensor) -> str:
    """The names in the file of what a tensor is made of."""
    names = [_quoted(name) for name in tensor.sources()]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _quoted(name: str) -> str:
    return f"`{name}`"


def _listed(texts: Iterable[str]) -> str:
    found = list(texts)
    more = len(found) - SHOWN
    return ", ".join(found[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
