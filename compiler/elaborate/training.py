"""The `train` block: what it declares, and the training step that follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from netlang import syntax
from netlang.diagnostics import DiagnosticError, Label, fail
from netlang.source import BUILTIN, Span
from netlang.types import TensorType

from ..autodiff import gradients
from ..ir import Value, Variable
from ..ops import OPS
from .arguments import Arguments
from .averaging import Average, new_averages
from .context import Context, Frame, is_library
from .gradient_faults import check_gradients
from .naming import Instance
from .numbers import scalar
from .patterns import split_parameters
from .values import CALLABLE, Environment, Function, Layer, Model, describe, is_number


@dataclass
class TrainPlan:
    """What a `train` block has declared so far, or a phase of one, which has a name.

    updates: whether phases update their parameters, rather than only say what they minimize. states: the next values
    of the optimizers' states, of phases; averaged: the parameters whose mean is kept, and the phase that does.
    Of a phase, current: the values that parameters have got in this step; repetition: the number of the update among
    those of this step, from 0, and how many these are; started: how many nodes there were when it began.
    """

    inputs: dict[str, Value] = field(default_factory=dict)
    loss: Value | None = None
    loss_span: Span = BUILTIN
    loss_failed: bool = False
    reports: dict[str, Value] = field(default_factory=dict)
    optimizer: syntax.Expr | None = None
    optimizer_environment: Environment | None = None
    clip: float | None = None
    average: Average | None = None
    fits: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    model: Model | None = None
    updates: bool = True
    phases: dict[str, TrainPlan] = field(default_factory=dict)
    states: dict[str, Value] = field(default_factory=dict)
    averaged: dict[str, TrainPlan] = field(default_factory=dict)
    first_goal: syntax.Statement | None = None  # a loss, an optimizer, … that stands in no phase
    instances: dict[str, Instance] = field(default_factory=dict)  # where the optimizer keeps its states
    averages: dict[str, Value] = field(default_factory=dict)  # the means as they are now
    current: dict[str, Value] = field(default_factory=dict)
    repetition: tuple[int, int] = (0, 1)
    started: int = 0

    @property
    def word(self) -> str:
        """How messages call it."""
        return "`train` block" if self.name is None else "phase"

    def value(self, variable: Variable) -> Value:
        """What a parameter is now."""
        return self.current.get(variable.name, variable.value)

    def begin(self) -> None:
        """Forgets what the statements of a phase said, before they are executed again."""
        self.loss = self.optimizer = self.clip = self.average = None
        self.reports.clear()

    def input(self, context: Context, name: str, type_: TensorType, span: Span) -> Value:
        """The graph input called `name`. Raises duplicate-name where it exists with another type."""
        value = self.inputs.get(name)
        if value is None:
            value = self.inputs[name] = context.builder.root.input(name, type_, loc=span)
            context.origins[value] = span
        elif value.type != type_:
            raise fail("duplicate-name", f"the input `{name}` is declared with another type", span,
                       expected=value.type, found=type_)  # fmt: skip
        return value

    def report(self, context: Context, item: syntax.Argument, value: Any) -> None:
        """Adds a reported number under its own or its expression's name."""
        name = item.name or _name_of(item.value)
        if name is None:
            named = item.value.value if isinstance(item.value, syntax.String) else "name"
            raise fail("missing-argument", "give this report a name", item.span, help=f"`report {named} = …`")
        if name == "loss" or name in self.reports:
            raise fail("duplicate-name", f"`{name}` is reported twice", item.span,
                       help="the loss is always reported" if name == "loss" else None)  # fmt: skip
        if is_number(value):
            value = scalar(context, value, "f32", item.span)
        if not isinstance(value, Value) or value.type.rank:
            help = f"apply it: `{name}(…)`" if isinstance(value, CALLABLE) else "`mean(…)` makes one number"
            raise fail("type-mismatch", "a report is one number", item.span, describe(value), help=help)
        self.reports[name] = context.builder.cast(value, dtype="f32")


def plan_of(context: Context, statement: syntax.Statement) -> TrainPlan:
    """The plan of the `train` block that is running. Raises where the statement stands elsewhere."""
    plan = context.frame.train
    if plan is None:
        word = statement.span.text.split(None, 1)[0]
        raise fail("not-callable", f"`{word}` belongs into a `train` block", statement.span)
    if context.regions:
        word = statement.span.text.split(None, 1)[0]
        raise fail("misplaced-statement", f"`{word}` cannot stand in {context.regions[-1].place}",
                   statement.span, help="compute the value there, and use it behind")  # fmt: skip
    return plan


def _name_of(expr: syntax.Expr) -> str | None:
    match expr:
        case syntax.Name(name=name) | syntax.Attribute(name=name):
            return name
        case syntax.Call(function=function):
            return _name_of(function)
        case syntax.Pipe(function=function):
            return _name_of(function)
    return None


def pending_states(instance: Instance) -> Iterator[tuple[Value, Value]]:
    """States that the body of a layer, or one inside it, has set: (the state, its next value)."""
    for key, value in instance.pending.items():
        yield instance.variables[key], value
    for child in instance.children.values():
        yield from pending_states(child)


def clip_gradients(context: Context, grads: list[Value], norm: float) -> list[Value]:
    """Gradients scaled together so that their joint L2 norm is at most `norm` (Pascanu et al. 2013)."""
    b = context.builder
    squares = [b.sum(b.mul(g, g)) for g in grads]
    total = squares[0]
    for square in squares[1:]:
        total = b.add(total, square)
    scale = b.minimum(b.div(norm, b.add(b.sqrt(total), 1e-6)), 1.0)
    return [b.mul(g, scale) for g in grads]


def parameter_gradients(
    context: Context, plan: TrainPlan, trained: list[Variable] | None = None, share: float = 1.0
) -> tuple[list[Variable], list[Value]]:
    """The parameters to train, by default all that can be, and the gradients of a share of the loss by them."""
    assert plan.loss is not None
    if trained is None:
        trained = [v for v in context.builder.variables if v.kind == "param" and v.trainable]
        if not trained and not context.states:
            raise _nothing_to_train(context, plan)
    values = [plan.value(variable) for variable in trained]
    _check_gradient(context, plan, set(values))
    b, loss = context.builder, plan.loss
    if context.executed is not None:  # to the optimizer, gradients are what the parameters are: of the same types
        check_gradients(b, loss, values, context.executed.kinds)
        return trained, values
    return trained, gradients(b, loss, values, None if share == 1 else b.constant(share, loss.type.dtype))


def _nothing_to_train(context: Context, plan: TrainPlan) -> DiagnosticError:
    """The error for a step that changes nothing."""
    params = [variable for variable in context.builder.variables if variable.kind == "param"]
    shown = [Label(v.loc, f"`{v.name}` is frozen") for v in params[:1] if not is_library(v.loc)]
    return fail(
        "no-parameters",
        "there is nothing to train: all parameters are frozen" if params else "this model has no parameters to train",
        plan.loss_span,
        secondary=shown,
        help="take `@frozen` or `--freeze` away from what is to be trained"
        if params
        else "layers such as `linear(…)` have parameters, and `param scale: f32 ~ ones()` declares one",
    )


def _check_gradient(context: Context, plan: TrainPlan, trained: set[Value]) -> None:
    """Raises no-gradient where nothing of the loss reaches a parameter."""
    assert plan.loss is not None
    waiting, seen = [plan.loss], set(trained)
    blocked: list[Label] = []
    while waiting:
        value = waiting.pop()
        if value in trained:
            return
        producer = context.builder.producer(value) if value not in seen else None
        seen.add(value)
        if producer is not None and OPS[producer.op].nondiff is None:
            waiting.extend(producer.inputs)
        elif producer is not None and producer.inputs:
            blocked.append(Label(producer.loc, f"`{producer.op}` lets no gradient through"))
    if trained:
        of_phase = f"the loss of the phase `{plan.name}` depends on nothing that it updates, in a way with a gradient"
        secondary = [label for label in blocked[:1] if label.span != plan.loss_span and label.span is not BUILTIN]
        raise fail(
            "no-gradient",
            of_phase if plan.name else "the loss depends on no parameter in a way that has a gradient",
            plan.loss_span,
            secondary=secondary,
            help="minimize a smooth loss, such as `cross_entropy`, and `report` the rest",
        )


def update(context: Context, plan: TrainPlan, trained: list[Variable], grads: list[Value]) -> list[tuple[str, Value]]:
    """One step: the new value of every trained parameter, of every state of the optimizer, and of the averages."""
    if plan.clip is not None and grads:
        grads = clip_gradients(context, grads, plan.clip)
    return apply_optimizer(context, plan, trained, grads)


def apply_optimizer(
    context: Context, plan: TrainPlan, trained: list[Variable], grads: list[Value]
) -> list[tuple[str, Value]]:
    """`update` without clipping."""
    layer = _optimizer(context, plan)
    b = context.builder
    step = b.cast(context.run_input("step"), dtype="f32")
    settings = _with_rates(context, plan, layer, step)
    before, count = plan.repetition
    number = b.add(step if count == 1 else b.mul(step, float(count)), before + 1.0)
    results: list[tuple[str, Value]] = []
    states: list[tuple[str, Value]] = []
    if context.sketch:
        by_rank = context.executed is not None and is_library(layer.function.definition.span)
        trained, grads = _one_of_each_type(trained, grads, by_rank)
    for variable, grad in zip(trained, grads, strict=True):
        path = optimizer_path(variable.name, plan.name)
        instance = plan.instances.setdefault(path, Instance(path, "optimizer"))
        own = settings if variable.decay or "weight_decay" not in settings else {**settings, "weight_decay": 0.0}
        new = _apply(context, plan, Layer(layer.function, own, instance), variable, grad, number)
        results.append((variable.name, new))
        states.extend((state.name, value) for state, value in pending_states(instance))
    if plan.average is not None:
        new = [value for _, value in results]
        states += new_averages(context, plan.average, plan.averages, trained, new, number)
    return results + states


def _one_of_each_type(trained: list[Variable], grads: list[Value], by_rank: bool) -> tuple[list[Variable], list[Value]]:
    """The first parameter of each type, and its gradient: to an optimizer the others are the same.

    by_rank: whether those of one dtype and rank are, as to optimizers of the library, which take any sizes.
    """
    found: dict[tuple[Any, ...], tuple[Variable, Value]] = {}
    for variable, grad in zip(trained, grads, strict=True):
        type_ = variable.value.type
        kind = (type_.dtype, type_.rank if by_rank else type_.shape, variable.decay)
        found.setdefault(kind, (variable, grad))
    return [variable for variable, _ in found.values()], [grad for _, grad in found.values()]


def optimizer_path(parameter: str, phase: str | None = None) -> str:
    """Where the optimizer's states of a parameter are named."""
    return f"optimizer.{parameter}" if phase is None else f"optimizer.{phase}.{parameter}"


def _optimizer(context: Context, plan: TrainPlan) -> Layer:
    from .expressions import evaluate

    assert plan.optimizer is not None and plan.optimizer_environment is not None
    expr = plan.optimizer
    frame = Frame("optimizer", "optimizer", Instance("optimizer", "optimizer"))
    context.frames.append(frame)
    try:
        layer = evaluate(context, expr, plan.optimizer_environment)
    finally:
        context.frames.pop()
    if isinstance(layer, Function) and layer.definition.kind == "layer":
        raise fail("not-callable", f"`{layer.name}` is a layer that has not been created", expr.span,
                   help=f"write `optimizer {layer.name}(…)`, with its settings in the parentheses")  # fmt: skip
    if not isinstance(layer, Layer):
        raise fail("type-mismatch", "this is not an optimizer", expr.span, describe(layer),
                   help="optimizers are sgd(…), adam(…), adamw(…), rmsprop(…), or a layer of your own")  # fmt: skip
    return layer


def _with_rates(context: Context, plan: TrainPlan, layer: Layer, step: Value) -> dict[str, Any]:
    """The optimizer's settings, with every schedule replaced by its value at this step."""
    from .calls import call

    settings = dict(layer.settings)
    for parameter in split_parameters(layer.function.definition)[0]:
        value = settings[parameter.name]
        if (
            isinstance(parameter.type, syntax.TypeName)
            and parameter.type.name == "schedule"
            and isinstance(value, CALLABLE)
        ):
            steps = context.builder.cast(context.run_input("steps"), dtype="f32")
            assert plan.optimizer is not None
            span = plan.optimizer.span
            given = [(step, span), (steps, span)][: _tensor_count(value)]
            settings[parameter.name] = call(context, value, Arguments(span, given))
    return settings


def _tensor_count(function: Any) -> int:
    inner = getattr(function, "function", function)
    definition = getattr(inner, "definition", None)
    return len(split_parameters(definition)[1]) if definition is not None else 1


def _apply(context: Context, plan: TrainPlan, layer: Layer, variable: Variable, grad: Value, number: Value) -> Value:
    from .calls import call

    assert plan.optimizer is not None
    span = plan.optimizer.span
    tensors = split_parameters(layer.function.definition)[1]
    given = [(plan.value(variable), span), (grad, span), (number, span)][: len(tensors)]
    with context.builder.at(variable.loc, layer.instance.path):
        result = call(context, layer, Arguments(span, given))
    if not isinstance(result, Value):
        context.finish()
        raise fail("wrong-result", f"the optimizer `{layer.name}` must return the new parameter", span)
    return result
