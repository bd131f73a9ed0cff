"""Statements that stand where the definition or block around them has no use for them."""

from __future__ import annotations

from collections.abc import Iterator

from netlang import syntax
from netlang.diagnostics import Diagnostic, Label

STATELESS = {"fn": "a `fn`", "train": "a `train`", "augment": "`augment`"}
NEW_VALUE = "give an input a new value: `image = image |> …`"
_RETURNS_NOTHING = {  # what returns nothing -> what to do in place of it
    "an `augment`": NEW_VALUE,
    "a `train` block": "`report` shows numbers, `minimize` the loss",
}
_NOT_IN_AUGMENT = (
    syntax.Input, syntax.Minimize, syntax.Report, syntax.Optimizer, syntax.Clip, syntax.Average, syntax.Fit,
    syntax.Phase, syntax.Augment, syntax.WhenTraining,
)  # fmt: skip


def misplaced(statement: syntax.Statement, kind: str, iteration: str) -> Diagnostic | None:
    """The fault of a statement in a definition of this kind (fn, layer, model, entry, train, augment).

    `iteration`: the word of the `scan` or `loop` around it, or "".
    """
    match statement:
        case syntax.SetNext() if iteration:
            return None
        case syntax.Declare() | syntax.SetNext() if kind in STATELESS:
            word = statement.keyword if isinstance(statement, syntax.Declare) else "next"
            title = f"`{word}` cannot stand in {STATELESS[kind]}, which has no parameters or states"
            return _fault(statement, title, "make it a `layer`" if kind == "fn" else "put it into the model")
        case syntax.Emit() | syntax.Keep() if not iteration:
            word = "emit" if isinstance(statement, syntax.Emit) else "keep"
            title = f"`{word}` stands in the body of a `scan` or a `loop`"
            return _fault(statement, title, "`return` gives the result of a definition")
        case syntax.Return() if iteration:
            way_out = f"`emit` adds to the results of each round; what the `{iteration}` is worth can be returned"
            return _fault(statement, f"the body of a `{iteration}` returns nothing", way_out)
        case syntax.Return() if kind in ("augment", "train"):
            block = "an `augment`" if kind == "augment" else "a `train` block"
            return _fault(statement, f"{block} returns nothing", _RETURNS_NOTHING[block])
    return None


def not_in_augment(body: syntax.Block) -> Iterator[Diagnostic]:
    """Statements of `train` that cannot stand in an `augment`."""
    for statement in (node for node in syntax.walk(body) if isinstance(node, _NOT_IN_AUGMENT)):
        word = statement.span.text.split(None, 1)[0]
        way_out = "in there, inputs get new values; put it behind the block"
        yield _fault(statement, f"`{word}` cannot stand in `augment`", way_out)


def beside_entries(definition: syntax.Definition) -> Iterator[Diagnostic]:
    """Inputs and results of a model that has entries."""
    for parameter in (p for group in definition.parameters for p in group):
        if isinstance(parameter.type, syntax.TypeName) and parameter.type.dims is not None:
            title = f"`{definition.name.name}` has entries, which have the inputs"
            way_out = f"move `{parameter.span.text}` into the parentheses of the entries that take it"
            entry = Label(definition.entries[0].name.span, "an entry")
            yield Diagnostic("misplaced-statement", title, Label(parameter.span), (entry,), help=way_out)
    for statement in definition.body.statements:
        if isinstance(statement, syntax.Return):
            yield _fault(statement, "a model with entries returns nothing itself", "its entries have the results")


def _fault(statement: syntax.Node, title: str, help: str) -> Diagnostic:
    return Diagnostic("misplaced-statement", title, Label(statement.span), help=help)
