"""Programs and networks: what the runtime asks the compiler for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

from netlang import syntax
from netlang.diagnostics import Diagnostic, DiagnosticError, did_you_mean, fail
from netlang.source import Source

from .elaborate import graphs
from .elaborate.checking import check_model
from .elaborate.executed import Executed
from .elaborate.generic import check_layers
from .elaborate.graphs import Blueprint, FlatStep
from .elaborate.modules import LoadedModule, Loader, Modules
from .elaborate.training import TrainPlan
from .ir import Graph, Variable
from .op import REQUIRED

if TYPE_CHECKING:
    from .pretrained import Pretrained


@dataclass(frozen=True, slots=True)
class ModelParameter:
    """A compile-time parameter of a model or of its `train` block; `default` is REQUIRED or the text of the default."""

    name: str
    type: str
    default: Any


class Program:
    """One parsed file with everything it imports."""

    def __init__(self, modules: Modules, module: LoadedModule) -> None:
        self._modules = modules
        self._module = module

    @property
    def source(self) -> Source:
        return self._module.source

    @property
    def sources(self) -> dict[str, Source]:
        """Every file used so far, by name."""
        return self._modules.sources

    @property
    def warnings(self) -> list[Diagnostic]:
        return self._modules.warnings

    @property
    def models(self) -> tuple[str, ...]:
        """Models that this file defines, trains, or names the weights of."""
        names: list[str] = []
        for declaration in self._module.syntax.declarations:
            if isinstance(declaration, syntax.Definition) and declaration.kind == "model":
                names.append(declaration.name.name)
            elif isinstance(declaration, syntax.Train):
                names.append(declaration.model.name)
            elif isinstance(declaration, syntax.Pretrained):
                names.extend(model.name for model in declaration.models)
        return tuple(dict.fromkeys(names))

    def parameters(self, model: str | None = None) -> dict[str, ModelParameter]:
        """The settings that a model and its `train` block take."""
        return {
            parameter.name: ModelParameter(
                parameter.name,
                parameter.type.span.text,
                REQUIRED if parameter.default is None else parameter.default.span.text,
            )
            for _, parameter in graphs.parameters(self._blueprint(model, {}))
        }

    def network(
        self, model: str | None = None, settings: Mapping[str, Any] | None = None, frozen: Iterable[str] = ()
    ) -> Network:
        """A model with its settings. Without a name: the model that the file trains, or its only or last one.

        Parameters whose names match a pattern of `frozen` (`encoder.*`) are not trained. Raises DiagnosticError.
        """
        network = Network(self, replace(self._blueprint(model, settings or {}), frozen=tuple(frozen)))
        network.check_frozen()
        return network

    def pretrained(self, model: str) -> Pretrained | None:
        """Where the weights of a model come from, if a file says it. Imported when asked: a check never does."""
        from .pretrained import pretrained_of

        return pretrained_of(self._module, model)

    def check(self) -> list[Diagnostic]:
        """Everything that is wrong with the file: models with their defaults, layers as far as they can be decided."""
        found: dict[tuple[Any, ...], Diagnostic] = {}
        executed = Executed()
        for name in self.models:
            for diagnostic in self._check_model(name, executed):
                found.setdefault((diagnostic.code, diagnostic.title, diagnostic.primary), diagnostic)
        if not found:
            for diagnostic in check_layers(self._modules, self._module, executed.uses):
                found.setdefault((diagnostic.code, diagnostic.title, diagnostic.primary), diagnostic)
        return [*found.values(), *self.warnings]

    def _check_model(self, name: str, executed: Executed) -> list[Diagnostic]:
        try:
            return check_model(self._blueprint(name, {}), executed)
        except DiagnosticError as error:
            return list(error.diagnostics)

    def _blueprint(self, model: str | None, settings: Mapping[str, Any]) -> Blueprint:
        name = model or self._default_model()
        if name not in self.models and name not in self._module.imports:
            raise fail("unknown-model", f"`{self.source.name}` has no model `{name}`", None,
                       help=did_you_mean(name, self.models) or f"its models are {', '.join(self.models)}")  # fmt: skip
        module, original = self._module, name
        train = module.train_of(name)
        while train is None and original in module.imports:
            module, original = module.imports[original]
            train = module.train_of(original)
        return Blueprint(self._modules, self._module, name, train, dict(settings))

    def _default_model(self) -> str:
        if not self.models:
            raise fail("unknown-model", f"`{self.source.name}` has no model", None,
                       help="a model is declared with `model NAME(…)(x: f32[…]) { … }`")  # fmt: skip
        trained = [name for name in self.models if self._module.train_of(name) is not None]
        return (trained or list(self.models))[-1]


class Network:
    """A model with its settings: the source of every graph."""

    def __init__(self, program: Program, blueprint: Blueprint) -> None:
        self.program = program
        self.blueprint = blueprint
        self._flat_steps: dict[int, FlatStep] = {}

    def __reduce__(self) -> tuple[type[Network], tuple[Program, Blueprint]]:
        """Copied and pickled without its graphs, which hold the functions of operators: they are built again."""
        return Network, (self.program, self.blueprint)

    @property
    def name(self) -> str:
        return self.blueprint.model

    @property
    def source(self) -> Source:
        return self.program.source

    @property
    def trains(self) -> bool:
        """Whether there is a `train` block."""
        return self.blueprint.train is not None

    @cached_property
    def pretrained(self) -> Pretrained | None:
        """Where its weights come from, if a file says it; otherwise they are drawn."""
        return self.program.pretrained(self.name)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting that is a number, a truth value or a string, defaults included."""
        return graphs.settings(self.blueprint)

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """Names of the entries."""
        return graphs.entries(self.blueprint)

    @cached_property
    def fits(self) -> dict[str, str]:
        """How inputs are brought to size, by name: "resize" or "pad"."""
        return self._plan.fits if self.trains else {}

    @cached_property
    def phases(self) -> tuple[str, ...]:
        """Names of the phases of a step; none where it minimizes one loss."""
        return tuple(self._plan.phases) if self.trains else ()

    @cached_property
    def averages(self) -> Mapping[str, str]:
        """The parameters of which training keeps a mean over the steps, and the variable of that mean."""
        return graphs.averages(self._plan, self._loss.variables) if self.trains else {}

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """Parameters and states of all entries and of training, in the order of the source."""
        found: dict[str, Variable] = {}
        sources = [self.elaborate(entry) for entry in self.entries]
        if self.trains:
            sources.append(self._loss)
        for graph in sources:
            for variable in graph.variables:
                found.setdefault(variable.name, variable)
        return tuple(found.values())

    def check_settings(self) -> None:
        """Raises DiagnosticError for settings that the model does not have, lacks, or has of another type."""
        graphs.settings(self.blueprint)

    def check_frozen(self) -> None:
        """Raises DiagnosticError (`bad-value`) for a pattern of frozen parameters that none has."""
        for pattern in self.blueprint.frozen:
            names = [variable.name for variable in self.variables]
            if not any(fnmatchcase(name, pattern) for name in names):
                help = did_you_mean(pattern, names) or f"its first ones are {', '.join(names[:3])}"
                raise fail("bad-value", f"`{self.name}` has no parameter `{pattern}` to freeze", help=help)

    @property
    def parameter_count(self) -> int:
        """Number of trained numbers."""
        total = 0
        for variable in self.variables:
            if variable.kind == "param":
                count = 1
                for size in variable.value.type.shape:
                    assert isinstance(size, int)
                    count *= size
                total += count
        return total

    def elaborate(self, entry: str = "forward", dims: Mapping[str, int] | None = None) -> Graph:
        """An entry's graph as elaborated, before any pass."""
        return graphs.forward_graph(self.blueprint, entry, dims or {})

    def graph(self, entry: str = "forward", dims: Mapping[str, int] | None = None, **options: Any) -> Graph:
        """Inference. `dims` fixes sizes by name; options go to `passes.run`."""
        return _simplified(self.elaborate(entry, dims), **options)

    def train_graph(self, dims: Mapping[str, int] | None = None, **options: Any) -> Graph:
        """The complete training step."""
        return _simplified(graphs.train_graph(self.blueprint, dims or {}), **options)

    def gradient_graph(
        self,
        dims: Mapping[str, int] | None = None,
        row_sites: frozenset[int] = frozenset(),
        share: float = 1.0,
        **options: Any,
    ) -> Graph:
        """The first half of the step: loss and gradients; of a part of a batch where `row_sites` are given, whose loss
        counts so much: the gradients of the parts add up to that of the batch.

        Raises DiagnosticError (`several-phases`) where the step has several losses, as do the other halves.
        """
        return _simplified(graphs.gradient_graph(self.blueprint, dims or {}, row_sites, share), **options)

    def apply_graph(self, **options: Any) -> Graph:
        """The second half of the step: from gradients to new parameters."""
        return _simplified(graphs.apply_graph(self.blueprint), **options)

    @cached_property
    def loss_graph(self) -> Graph:
        """Loss, reports and new states as training computes them, with open sizes: what `batching` judges."""
        return _simplified(self._loss)

    @cached_property
    def _loss(self) -> Graph:
        return graphs.loss_graph(self.blueprint)

    @cached_property
    def _plan(self) -> TrainPlan:
        return graphs.train_plan(self.blueprint)

    def flat_step(self, parts: int) -> FlatStep:
        """The second half of the step over flat vectors, from the gradients of `parts` parts of a batch."""
        if parts not in self._flat_steps:
            flat = graphs.flat_step(self.blueprint, self._plan, parts)
            combine = None if flat.combine is None else _simplified(flat.combine)
            apply = {decay: _simplified(graph) for decay, graph in flat.apply.items()}
            self._flat_steps[parts] = FlatStep(combine, apply, flat.clip)
        return self._flat_steps[parts]

    def eval_graph(self, dims: Mapping[str, int] | None = None, **options: Any) -> Graph:
        """Loss and reports, with layers as in inference."""
        return _simplified(graphs.eval_graph(self.blueprint, dims or {}), **options)


def _simplified(graph: Graph, **options: Any) -> Graph:
    """`passes.run`. Its module is imported when something is first compiled: a check simplifies nothing."""
    from . import passes

    return passes.run(graph, **options)


def load_program(source: Source, loader: Loader) -> Program:
    """Parses a file and its imports and checks their names. Raises DiagnosticError with everything found."""
    modules = Modules(loader)
    return Program(modules, modules.load(source))
