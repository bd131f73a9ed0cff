"""Elaborates one graph of a network: inference, evaluation, training step, gradients, or their application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, did_you_mean, fail
from netlang.dims import symbol
from netlang.source import Span
from netlang.types import TensorType

from ..builder import Builder
from ..ir import Graph, Init, Value, Variable
from .arguments import Arguments
from .averaging import average_path
from .calls import call, create_model, entry_of
from .context import Abandoned, Context, Frame, Reported
from .entries import declare_inputs, declare_outputs
from .executed import Executed
from .modules import LoadedModule, Modules
from .naming import Counter, Instance
from .patterns import closed_type, dim_names, split_parameters
from .phases import where_split
from .settings import checked_setting, default_setting
from .training import TrainPlan, apply_optimizer, parameter_gradients, pending_states, update
from .values import Entry, Environment, Function, Lazy, Model


@dataclass(frozen=True)
class Blueprint:
    """A model with everything that decides its graphs: where it is defined, its settings, its `train` block.

    frozen: patterns of the names of parameters that are not trained, such as `encoder.*`.
    sketch: whether only faults are wanted. The graphs then lack what is once more as it was before: rounds of a
        `repeat`, updates of parameters.
    generic: whether some settings stand for any, so that what cannot be decided is passed over.
    executed: where a check notes what its graphs have executed. A training step then has no gradients, but the faults
        that they have.
    """

    modules: Modules
    module: LoadedModule
    model: str
    train: syntax.Train | None
    settings: Mapping[str, Any]
    frozen: tuple[str, ...] = ()
    sketch: bool = False
    generic: bool = False
    executed: Executed | None = None

    @property
    def span(self) -> Span:
        """Where faults are shown that no line of the program causes."""
        if self.train is not None:
            return self.train.model.span
        for definition in self.module.definitions():
            if definition.name.name == self.model:
                return definition.name.span
        return self.module.syntax.declarations[0].span


def parameters(blueprint: Blueprint) -> list[tuple[syntax.Definition | None, syntax.Parameter]]:
    """The compile-time parameters of a model and of its `train` block."""
    function = find_model(Context(Builder()), blueprint)
    model = [(function.definition, parameter) for parameter in split_parameters(function.definition)[0]]
    train = [(None, parameter) for parameter in (blueprint.train.parameters if blueprint.train else ())]
    return [*model, *train]


def find_model(context: Context, blueprint: Blueprint) -> Function:
    """The model's definition, which may be imported. Raises unknown-model."""
    environment = blueprint.modules.environment(context, blueprint.module)
    try:
        found = environment.get(blueprint.model)
    except KeyError:
        found = None
    if isinstance(found, Function) and found.definition.kind == "model":
        return found
    known = [d.name.name for d in blueprint.module.definitions() if d.kind == "model"]
    declarations = blueprint.module.syntax.declarations
    named = [name for d in declarations if isinstance(d, syntax.Pretrained) for name in d.models]
    places = [blueprint.train.model] if blueprint.train else [n for n in named if n.name == blueprint.model]
    span = places[0].span if places else None
    raise fail("unknown-model", f"there is no model `{blueprint.model}`", span,
               help=did_you_mean(blueprint.model, known) or f"models are {', '.join(known) or 'none'}")  # fmt: skip


def forward_graph(blueprint: Blueprint, entry: str, dims: Mapping[str, int]) -> Graph:
    """Inference: one entry of the model."""
    context = _context(blueprint, entry, dims)
    with _faults(context):
        target, arguments = _begun(context, blueprint, entry)
        result = call(context, target, arguments)
        context.finish()
        declare_outputs(context, target, result)
    return _finished(context, blueprint)


def _begun(context: Context, blueprint: Blueprint, entry: str) -> tuple[Entry, Arguments]:
    """An entry, and the inputs that the graph has for it."""
    model = _create(context, blueprint)
    target = entry_of(model, entry, blueprint.span)
    arguments = declare_inputs(context, target, blueprint.span)
    context.finish()
    return target, arguments


def is_executed(blueprint: Blueprint, entry: str) -> bool:
    """Whether an entry can only show the faults that other graphs of a check have shown."""
    context = _context(blueprint, entry, {})
    with _faults(context):
        target, arguments = _begun(context, blueprint, entry)
    given = {name: value for name, (value, _) in arguments.keywords.items()}
    return blueprint.executed is not None and blueprint.executed.has_entry(target.definition, given)


def eval_graph(blueprint: Blueprint, dims: Mapping[str, int]) -> Graph:
    """Loss and reports, with layers as in inference."""
    context, _, plan = _run_train(blueprint, dims, "eval", training=False)
    assert plan.loss is not None
    _losses(context, plan)
    return _finished(context, blueprint)


def train_graph(blueprint: Blueprint, dims: Mapping[str, int]) -> Graph:
    """The complete training step: new parameters and states, the loss and the reports."""
    context, model, plan = _run_train(blueprint, dims, "train", training=True, updates=True)
    with _faults(context):
        updates = list(plan.states.items()) if plan.phases else _updates(context, blueprint, plan)
        _losses(context, plan)
        context.finish()
        _next_states(context, model)
        for name, value in updates:
            context.builder.output(name, value, "next")
    return _finished(context, blueprint)


def _updates(context: Context, blueprint: Blueprint, plan: TrainPlan) -> list[tuple[str, Value]]:
    """The update of a step that has one."""
    _require_optimizer(blueprint, plan)
    trained, grads = parameter_gradients(context, plan)
    return update(context, plan, trained, grads)


def gradient_graph(
    blueprint: Blueprint, dims: Mapping[str, int], row_sites: frozenset[int] = frozenset(), share: float = 1.0
) -> Graph:
    """The first half of a step: loss, reports, gradients of the trained parameters, new states.

    For a part of a batch, `row_sites` (of `batching.row_sites`) are the random draws that go on from row to row, and
    `share` is what the mean loss of the part counts in that of the batch: so much are the gradients of its loss.
    """
    context, model, plan = _run_train(blueprint, dims, "grad", training=True, row_sites=row_sites)
    with _faults(context):
        _require_one_loss(blueprint, plan, "the gradient of a step")
        trained, grads = parameter_gradients(context, plan, share=share)
        _losses(context, plan)
        _next_states(context, model)
        for variable, grad in zip(trained, grads, strict=True):
            context.builder.output(f"grad.{variable.name}", grad, "gradient")
    return _finished(context, blueprint)


def apply_graph(blueprint: Blueprint) -> Graph:
    """The second half of a step: from gradients to new parameters and optimizer states."""
    first, _, plan = _run_train(blueprint, {}, "grad", training=True)
    context = Context(Builder("apply"), training=True)
    b = context.builder
    with _faults(context):
        _require_one_loss(blueprint, plan, "the update of a step")
        _require_optimizer(blueprint, plan)
        trained = [v for v in first.builder.variables if v.kind == "param" and v.trainable]
        grads = []
        for variable in trained:
            b.variable(
                variable.name, variable.value.type, "param", variable.init, decay=variable.decay, loc=variable.loc
            )
            grads.append(b.input(f"grad.{variable.name}", variable.value.type, "gradient"))
        for name, value in update(context, plan, list(b.variables), grads):
            b.output(name, value, "next")
    return _finished(context, blueprint)


@dataclass(frozen=True)
class FlatStep:
    """The optimizer over one flat vector that holds all parameters of a group, for updates in place and in cache.

    combine: from the gradients of the parts of a batch (`grad.0`, …, f32[n]) and `scale` to their scaled sum `grad`
        and the sum of its squares; only where gradients are clipped.
    apply: by whether weights decay, from `grad.0`, … and `scale` to the new `flat` and optimizer states.
    """

    combine: Graph | None
    apply: Mapping[bool, Graph]
    clip: float | None


FLAT = "flat"
"""Name of the one parameter of a flat optimizer step."""


def flat_step(blueprint: Blueprint, plan: TrainPlan, parts: int) -> FlatStep:
    """The second half of a step where gradients come as `parts` flat vectors; `plan` is of `train_plan`."""
    _require_one_loss(blueprint, plan, "an update in place")
    _require_optimizer(blueprint, plan)
    clips = plan.clip is not None
    count = 1 if clips else parts
    # Each of the two graphs has optimizer states of its own.
    own = {decay: replace(plan, instances={}, averages={}) for decay in (True, False)}
    apply = {decay: _flat_apply(blueprint, plan, count, decay) for decay, plan in own.items()}
    return FlatStep(_flat_combine(parts) if clips else None, apply, plan.clip)


def _flat_gradient(b: Builder, parts: int) -> Value:
    type_ = TensorType("f32", (symbol("n"),))
    total = b.input("grad.0", type_, "gradient")
    for part in range(1, parts):
        total = b.add(total, b.input(f"grad.{part}", type_, "gradient"))
    return b.mul(total, b.input("scale", TensorType("f32"), "scale"))


def _flat_combine(parts: int) -> Graph:
    b = Builder("combine")
    grad = _flat_gradient(b, parts)
    b.output("grad", grad)
    b.output("squares", b.sum(b.mul(grad, grad)))
    return b.graph()


def _flat_apply(blueprint: Blueprint, plan: TrainPlan, parts: int, decay: bool) -> Graph:
    context = Context(Builder("apply"), training=True)
    b = context.builder
    with _faults(context):
        b.variable(FLAT, TensorType("f32", (symbol("n"),)), "param", Init("zeros"), decay=decay)
        context.generic = True  # the length of the vector stays open
        for name, value in apply_optimizer(context, plan, list(b.variables), [_flat_gradient(b, parts)]):
            b.output(name, value, "next")
    return _finished(context, blueprint)


def loss_graph(blueprint: Blueprint) -> Graph:
    """Loss and reports as training computes them, without gradients: what `batching` judges."""
    context, model, plan = _run_train(blueprint, {}, "loss", training=True)
    _losses(context, plan)
    _next_states(context, model)
    return _finished(context, blueprint)


def averages(plan: TrainPlan, variables: Iterable[Variable]) -> dict[str, str]:
    """The parameters of which training keeps a mean over the steps, and the variable that holds it."""
    names = list(plan.averaged)
    if plan.average is not None:
        names = [v.name for v in variables if v.kind == "param" and v.trainable]
    return {name: average_path(name) for name in names}


def train_plan(blueprint: Blueprint) -> TrainPlan:
    """What the `train` block declares."""
    return _run_train(blueprint, {}, "train", training=True)[2]


def _context(blueprint: Blueprint, name: str, dims: Mapping[str, int], **mode: Any) -> Context:
    """A new elaboration, of the graph called `name`."""
    own = {name: getattr(blueprint, name) for name in ("frozen", "sketch", "generic", "executed")}
    return Context(Builder(name), dims=dims, **own, **mode)


class _faults:
    """Raises at its end everything that was recorded inside, together with the fault that ended it."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, DiagnosticError):
            self._context.record(error)
            self._context.finish()
        if kind is None or isinstance(error, Reported | Abandoned):
            self._context.finish()


def _create(context: Context, blueprint: Blueprint) -> Model:
    function = find_model(context, blueprint)
    instance = Instance("", "model")
    names = Counter()
    context.frames.append(Frame("model", function.name, instance, names))
    settings = _settings(context, function, blueprint)  # whose defaults may create layers
    return create_model(context, function, settings, instance, blueprint.span, names)


def _settings(context: Context, function: Function, blueprint: Blueprint) -> dict[str, Any]:
    declared = [*split_parameters(function.definition)[0], *(blueprint.train.parameters if blueprint.train else ())]
    names = [parameter.name for parameter in declared]
    for name in blueprint.settings:
        if name not in names:
            raise fail("unknown-argument", f"`{function.name}` has no parameter `{name}`", None,
                       help=did_you_mean(name, names) or f"it has {', '.join(names) or 'none'}")  # fmt: skip
    _require_settings(function, declared, blueprint)
    environment = Environment(function.environment)
    for parameter in split_parameters(function.definition)[0]:
        _set(context, function.definition, parameter, blueprint, environment)
    return environment.names


def _require_settings(function: Function, declared: Sequence[syntax.Parameter], blueprint: Blueprint) -> None:
    """Raises missing-argument for all settings at once that have no default, and of which nobody says what they are."""
    needed = [p for p in declared if p.default is None and p.name not in blueprint.settings]
    if not needed:
        return
    names = " and ".join(f"`{parameter.name}`" for parameter in needed)
    options = " ".join(f"--set {parameter.name}=…" for parameter in needed)
    keywords = ", ".join(f"{parameter.name} = …" for parameter in needed)
    way_out = f"give it on the command line, `{options}`, or in a program, `{function.name}({keywords})`"
    first, *others = (Label(parameter.span, "this has no default") for parameter in needed)
    raise fail("missing-argument", f"`{function.name}` needs {names}", first.span, first.text, secondary=others,
               help=way_out)  # fmt: skip


def _set(
    context: Context,
    definition: syntax.Definition,
    parameter: syntax.Parameter,
    blueprint: Blueprint,
    environment: Environment,
) -> None:
    if parameter.name in blueprint.settings:
        value = checked_setting(parameter, blueprint.settings[parameter.name], None)
    else:
        value = default_setting(context, definition, parameter, environment, parameter.span)
    environment.set(parameter.name, value)


def _run_train(
    blueprint: Blueprint,
    dims: Mapping[str, int],
    name: str,
    *,
    training: bool,
    updates: bool = False,
    row_sites: frozenset[int] = frozenset(),
) -> tuple[Context, Model, TrainPlan]:
    """Executes the `train` block of a model; phases update their parameters where `updates` says so."""
    from .statements import execute_all

    context = _context(blueprint, name, dims, training=training, row_sites=row_sites)
    plan = TrainPlan(updates=updates)
    with _faults(context):
        train = blueprint.train
        if train is None:
            raise fail("no-loss", f"`{blueprint.model}` has no `train` block", blueprint.span,
                       help=f"add `train {blueprint.model} {{ … }}` with a loss to minimize")  # fmt: skip
        model = plan.model = _create(context, blueprint)
        context.finish()
        environment = Environment(model.environment)
        for parameter in train.parameters:
            _set(context, model.function.definition, parameter, blueprint, environment)
        _offer_inputs(context, model, plan, environment)
        frame = Frame("train", blueprint.model, definitions=(train,), environment=environment, train=plan)
        with context.call(Label(train.model.span), frame):
            execute_all(context, train.body.statements, environment)
        context.finish()
        if plan.loss is None:
            computed = isinstance(environment.names.get("loss"), Value)
            example = "`minimize loss`" if computed else "`minimize cross_entropy(forward(image), label)`, for example"
            raise fail("no-loss", "this `train` block has nothing to minimize", train.model.span, help=example)
        _order_inputs(context, model)
    return context, model, plan


def _order_inputs(context: Context, model: Model) -> None:
    """The model's own inputs first, as it declares them; then those of the `train` block; then seed and step."""
    forward = model.environment.names.get("forward")
    own = [p.name for p in split_parameters(forward.definition)[1]] if isinstance(forward, Entry) else []
    place = {name: index for index, name in enumerate(own)}
    context.builder.inputs.sort(key=lambda i: (i.role != "data", place.get(i.name, len(own))))


def _offer_inputs(context: Context, model: Model, plan: TrainPlan, environment: Environment) -> None:
    """The inputs of `forward` are inputs of the `train` block where it names them; so are their open sizes."""
    forward = model.environment.names.get("forward")
    if not isinstance(forward, Entry):
        return
    for parameter in split_parameters(forward.definition)[1]:
        for name in dim_names(parameter.type):
            if name not in model.environment.names:
                environment.set(name, context.size(name))
        environment.set(parameter.name, Lazy(partial(_offered, context, parameter, plan, environment)))


def _offered(context: Context, parameter: syntax.Parameter, plan: TrainPlan, environment: Environment) -> Value:
    assert isinstance(parameter.type, syntax.TypeName)
    type_ = closed_type(context, parameter.type, environment)
    return plan.input(context, parameter.name, type_, parameter.span)


def _require_optimizer(blueprint: Blueprint, plan: TrainPlan) -> None:
    if plan.optimizer is None:
        raise fail("no-optimizer", "this `train` block has no optimizer", blueprint.span,
                   help="`optimizer adam(1e-3)`, for example")  # fmt: skip


def _require_one_loss(blueprint: Blueprint, plan: TrainPlan, what: str) -> None:
    if plan.phases:
        raise where_split(plan, blueprint.span, what)


def _losses(context: Context, plan: TrainPlan) -> None:
    assert plan.loss is not None
    context.builder.output("loss", plan.loss, "loss")
    for name, value in plan.reports.items():
        context.builder.output(name, value, "report")


def _next_states(context: Context, model: Model) -> None:
    for state, value in pending_states(model.instance):
        context.builder.output(state.name, value, "next")


def _finished(context: Context, blueprint: Blueprint) -> Graph:
    context.finish()
    return context.builder.graph(model=blueprint.model, source=blueprint.module.source.name)


def settings(blueprint: Blueprint) -> dict[str, Any]:
    """The settings of a model and its `train` block that are numbers, truth values or strings."""
    context = Context(Builder())
    function = find_model(context, blueprint)
    context.frames.append(Frame("model", function.name, Instance("", "model")))
    found = _settings(context, function, blueprint)
    if blueprint.train is not None:
        environment = Environment(function.environment)
        environment.names.update(found)
        for parameter in blueprint.train.parameters:
            _set(context, function.definition, parameter, blueprint, environment)
        found = environment.names
    return {name: value for name, value in found.items() if isinstance(value, int | float | str)}


def entries(blueprint: Blueprint) -> tuple[str, ...]:
    """Names of a model's entries."""
    definition = find_model(Context(Builder()), blueprint).definition
    return tuple(entry.name.name for entry in definition.entries) or ("forward",)
