"""Everything that is wrong with a model, found by elaborating its graphs for their faults alone."""

from __future__ import annotations

from dataclasses import replace

from netlang import syntax
from netlang.diagnostics import Diagnostic, DiagnosticError

from . import graphs
from .executed import Executed
from .generic import CERTAIN, any_setting, is_certain
from .graphs import Blueprint
from .patterns import setting_type


def check_model(blueprint: Blueprint, executed: Executed) -> list[Diagnostic]:
    """The faults of a model. Where settings have no default and nobody gave them, those that it has for any of them.

    executed: what the check of the program has executed so far, to which this model adds.
    """
    executed.begin()
    try:
        needed = [p for _, p in graphs.parameters(blueprint) if p.default is None and p.name not in blueprint.settings]
    except DiagnosticError as error:
        return list(error.diagnostics)
    blueprint = replace(_sketched(blueprint), executed=executed)
    if not needed:
        return _faults(blueprint)
    settings = {**blueprint.settings, **{parameter.name: any_setting(parameter) for parameter in needed}}
    found = _faults(replace(blueprint, settings=settings, generic=True))
    has_any_layer = any(setting_type(parameter) == "layer" for parameter in needed)
    certain = CERTAIN if has_any_layer else CERTAIN | {"rank-mismatch"}
    return [fault for fault in found if is_certain(fault, certain)]


def _sketched(blueprint: Blueprint) -> Blueprint:
    """The blueprint for who wants faults alone. Phases name parameters, all of which must then be there."""
    statements = blueprint.train.body.statements if blueprint.train is not None else ()
    return replace(blueprint, sketch=not any(isinstance(statement, syntax.Phase) for statement in statements))


def _faults(blueprint: Blueprint) -> list[Diagnostic]:
    """What is wrong with the first graph that cannot be made: of an entry, of training, of evaluation.

    Training is tried first, as far as faults go: the other graphs repeat most of it, and are left out then.
    """
    executed = blueprint.executed
    assert executed is not None
    can_train = blueprint.train is not None and _can_train(blueprint)
    try:
        for entry in graphs.entries(blueprint):
            if not (can_train and graphs.is_executed(blueprint, entry)):
                graphs.forward_graph(blueprint, entry, {})
        if blueprint.train is not None and not can_train:
            graphs.train_graph(replace(blueprint, executed=None), {})
        if blueprint.train is not None and (executed.asked or not can_train):
            graphs.eval_graph(blueprint, {})
    except DiagnosticError as error:
        return list(error.diagnostics)
    return []


def _can_train(blueprint: Blueprint) -> bool:
    try:
        graphs.train_graph(blueprint, {})
    except DiagnosticError:
        return False
    return True
