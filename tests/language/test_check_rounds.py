"""`check` passes over the rounds of a `repeat` that are as those before, and finds what it finds without that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netlang.compiler.elaborate import graphs

from netlang.diagnostics import DiagnosticError

from .harness import network, program

NET = "use std.layers: linear\nmodel Net(x: f32[b, 4]) -> f32[b, 4] {{ {} ; return x }}"
TRAIN = """
train Net {{
  in y: f32[b, 4]
  {}
}}
"""
UPDATE = "minimize mse(forward(x), y); optimizer adam(0.1)"


def nodes(text: str, sketch: bool) -> tuple[int, int]:
    """How many nodes the forward graph and the training step have."""
    blueprint = network(text).blueprint
    blueprint = replace(blueprint, sketch=sketch)
    return len(graphs.forward_graph(blueprint, "forward", {}).nodes), len(graphs.train_graph(blueprint, {}).nodes)


def test_rounds_that_change_nothing_are_elaborated_twice() -> None:
    body = "repeat COUNT as i { let inner = linear(4); _unread = if rank(x) > 2 { i } else { none }; x = inner(x) }"
    text = NET.format(body) + TRAIN.format(UPDATE)
    two, many = (text.replace("COUNT", str(count)) for count in (2, 60))
    assert nodes(many, sketch=True)[0] == nodes(two, sketch=False)[0]
    forward, step = nodes(many, sketch=False)
    assert forward > 20 * nodes(many, sketch=True)[0]
    assert step > 20 * nodes(many, sketch=True)[1]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("repeat 5 as i { assert i < 3; x = linear(4)(x) }", "assertion-failed"),
        ("repeat 5 as i { j = i; x = linear(if j < 3 { 4 } else { 5 })(x) }; x = x + ones(4)", "shape-mismatch"),
        ("n = 4; repeat 5 { x = linear(4)(x); n = n - 1 }; x = x + sum(ones(n))", "bad-value"),
        ("all = []; repeat 5 { all = [*all, x] }; x = concat(all) |> linear(4); x = x + ones(5)", "shape-mismatch"),
        ("k = tensor([0]); repeat 5 { x = linear(4)(x); k = k + 1 }; x = x + ones(3)[k]", "bad-index"),
    ],
)
def test_faults_of_later_rounds_are_found(body: str, code: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        program(NET.format(body)).network().elaborate()
    found = program(NET.format(body)).check()
    assert [d.code for d in found] == [d.code for d in caught.value.diagnostics]
    assert code in {d.code for d in found}


def test_rounds_that_are_passed_over_are_counted() -> None:
    text = NET.format("repeat 1000 { repeat 1000 { x = linear(4)(x) } }")
    assert [d.code for d in program(text).check()] == ["network-too-large"]


def test_phases_may_name_any_round() -> None:
    update = 'phase last updates "linear.7.*" { minimize mse(forward(x), y); optimizer adam(0.1) }'
    text = NET.format("repeat 8 { x = linear(4)(x) }") + TRAIN.format(update)
    assert program(text).check() == []
    (fault,) = program(text.replace("linear.7", "linear.8")).check()
    assert fault.code == "no-parameters"


def test_a_fault_of_the_optimizer_shows_for_whichever_parameter_has_it() -> None:
    own = "layer own()(parameter: f32[n], gradient: f32[n]) -> f32[n] { return parameter - gradient }\n"
    text = own + NET.format("x = linear(4, bias = false)(x + linear(4)(x))") + TRAIN.format(UPDATE)
    (fault,) = program(text.replace("adam(0.1)", "own()")).check()
    assert fault.code == "rank-mismatch"
