"""`augment { image = … }`: how training varies its inputs by chance. Evaluation and inference see them as they are.

What stands in it is ordinary code, run inside the training graph, so that it is seeded like all random numbers. It may
change an input only in a way that evaluation can do without: by chance, and to the same type.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netlang import syntax
from netlang.diagnostics import Label, fail
from netlang.source import Span

from ..ir import Node, Value
from .context import Context, is_library
from .patterns import split_parameters
from .training import TrainPlan, plan_of
from .values import POISON, Entry, Environment, Poison, describe


def augment(context: Context, statement: syntax.Augment, environment: Environment) -> None:
    """Gives inputs of the `train` block new values, in training; other names that the block binds are its own."""
    from .statements import execute_all

    plan = plan_of(context, statement)
    targets = [name for node in syntax.walk(statement.body) for name in syntax.bound_names(node)]
    inputs = {name.name: name.span for name in targets if _is_input(plan, name.name, environment)}
    if not inputs:
        raise fail("misplaced-statement", "this `augment` changes no input", _word(statement.span),
                   help=f"give an input a new value: {_examples(plan)}")  # fmt: skip
    if not context.training:
        return
    earlier = context.nodes()[plan.started :]
    inner = Environment(environment)
    execute_all(context, statement.body.statements, inner)
    for name, span in inputs.items():
        before, after = environment.get(name), inner.names.get(name, POISON)
        if not isinstance(after, Poison):
            _check_order(context, name, before, earlier, span)
            _check_type(name, before, after, span)
            _check_chance(context, name, before, after, span)
            environment.set(name, after)


def _is_input(plan: TrainPlan, name: str, environment: Environment) -> bool:
    """Whether a name is that of an input; those of `forward` become inputs when they are first looked at."""
    try:
        value = environment.get(name)
    except KeyError:
        return False
    return isinstance(value, Value) and name in plan.inputs


def _word(span: Span) -> Span:
    return Span(span.source, span.start, span.start + len("augment"))


def _examples(plan: TrainPlan) -> str:
    forward = plan.model.environment.names.get("forward") if plan.model is not None else None
    own = [p.name for p in split_parameters(forward.definition)[1]] if isinstance(forward, Entry) else []
    return " or ".join(f"`{name} = …`" for name in dict.fromkeys([*own, *plan.inputs]))


def _check_order(context: Context, name: str, before: Value, earlier: Iterable[Node], span: Span) -> None:
    """Raises misplaced-statement where something was computed from the input as it was."""
    use = next((node for node in earlier if before in node.inputs), None)
    if use is not None:
        calls = (made.span for made in context.made.values() if before in made.tensors and not is_library(made.span))
        place = next(calls, use.loc)
        raise fail("misplaced-statement", f"`{name}` was used before it is augmented", span, "changed here",
                   secondary=[Label(place, "used here, unchanged")],
                   help="put the `augment` block in front of what uses its inputs")  # fmt: skip


def _check_type(name: str, before: Value, after: Any, span: Span) -> None:
    """Raises type-mismatch where training would see other types than evaluation."""
    if not isinstance(after, Value) or after.type != before.type:
        raise fail("type-mismatch", f"`augment` gives `{name}` another type", span, describe(after),
                   expected=before.type, found=describe(after),
                   help="evaluation sees it unchanged, so what changes types belongs in the model")  # fmt: skip


def _check_chance(context: Context, name: str, before: Value, after: Value, span: Span) -> None:
    """Raises misplaced-statement where nothing random is between the input and its new value."""
    waiting, seen = [after], {before, after}
    while waiting:
        producer = context.builder.producer(waiting.pop())
        if producer is None:
            continue
        if _draws(producer):
            return
        waiting.extend(x for x in producer.inputs if x not in seen)
        seen.update(producer.inputs)
    raise fail("misplaced-statement", f"nothing of this change of `{name}` is random", span,
               help="what inference needs too, such as `normalize`, belongs in the model; `augment` is for training "
               "alone")  # fmt: skip


def _draws(node: Node) -> bool:
    """Whether a node, or a body in it, draws random numbers."""
    return node.op == "random_bits" or any(_draws(inner) for body in node.bodies for inner in body.nodes)
