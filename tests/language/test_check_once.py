"""`check` executes once what several graphs share, and finds what executing all of it finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from netlang.compiler.elaborate import generic, graphs
from netlang.runtime.loader import library_modules, read_source

from netlang import syntax
from netlang.parser import parse

from .harness import network, program

NET = """use std.layers: linear, dropout, batch_norm
{layers}
model Net(x: f32[b, 4]) -> f32[b, 4] {{ {body} }}
train Net {{ in y: f32[b, 4]; minimize {loss}; optimizer {optimizer} }}
"""
PLAIN = "return linear(4)(x)"


def source(body: str = PLAIN, layers: str = "", loss: str = "mse(forward(x), y)", optimizer: str = "adam(0.1)") -> str:
    return NET.format(body=body, layers=layers, loss=loss, optimizer=optimizer)


def codes(text: str) -> list[str]:
    return [fault.code for fault in program(text).check() if fault.severity == "error"]


# --- What is left out ------------------------------------------------------------------------------------------------


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, *names: str) -> list[str]:
    """The names of the functions of a module that are called from now on."""
    called: list[str] = []

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any) -> Any:
            called.append(name)
            return function(*arguments)

        return count

    for name in names:
        monkeypatch.setattr(owner, name, counting(name, getattr(owner, name)))
    return called


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (source(), ["train"]),
        (source("return x |> batch_norm() |> dropout(0.5) |> linear(4)"), ["train"]),
        (source(loss="mse(forward(x + 1), y)"), ["train"]),
        (source("x = linear(4)(x); when training { x = x * 2 }; return x"), ["train", "forward", "eval"]),
        (source(loss="mse(forward(x[:3]), y[:3])"), ["train", "forward"]),  # not of what it declares
        (source(loss="mse(linear(4)(x), y)"), ["train", "forward", "train"]),  # with a fault, in the order of the text
        ("model Net(x: f32[b, 4]) -> f32[b, 4] { return relu(x) }", ["forward"]),
    ],
)
def test_graphs_that_repeat_what_training_did(monkeypatch: pytest.MonkeyPatch, text: str, expected: list[str]) -> None:
    made = counted(monkeypatch, graphs, "train_graph", "forward_graph", "eval_graph")
    program(text).check()
    assert made == [f"{name}_graph" for name in expected]


CHOICE = "layer own(c: int, wide: bool = true)(x: f32[*s, n]) -> f32[*s, c] {{ return x |> linear(c) {} }}"


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ("own(4)(x)", 0),
        ("own(4, wide = true)(x)", 0),
        ("own(4, wide = false)(x)", 1),  # the other branch is yet to be seen
        ("reshape(own(4)(reshape(x, [b, 1, 4])), [b, 4])", 1),  # so is a tensor with two dimensions
        ("x", 1),
    ],
)
def test_layers_of_which_the_model_has_a_use(monkeypatch: pytest.MonkeyPatch, use: str, expected: int) -> None:
    text = source(f"return linear(4)({use})", CHOICE.format(""))
    called = counted(monkeypatch, generic, "call")
    assert codes(text) == []
    assert len(called) == expected


# --- What is found ---------------------------------------------------------------------------------------------------

WRONG = "x = x + ones(5)"
IF = "layer own({})(x: f32[*s]) -> f32[*s] {{ if {} {{ return linear(4)(x, x) }}; return x }}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        # in one mode only
        (source(f"when training {{ x = x * 2 }} else {{ {WRONG} }}; {PLAIN}"), "shape-mismatch"),
        (source(f"when training {{ {WRONG} }}; {PLAIN}"), "shape-mismatch"),
        (source("when training { x = linear(4)(x) } else { x = x }; return x"), None),
        (source("y = linear(4)(x); when training { return y } else { return linear(5)(x) }"), "wrong-result"),
        (
            source(
                loss="mse(forward(x), y) + own(y)",
                layers=f"fn own(x: f32[b, 4]) -> f32 {{ when training {{ "
                f"return sum(x) }} else {{ {WRONG}; return sum(x) }} }}",
            ),
            "shape-mismatch",
        ),
        # of inputs that training does not have
        (
            source(
                "x = x + param_of()(x); return linear(4)(x)",
                loss="mse(forward(x[:3]), y[:3])",
                layers="layer param_of()(x: f32[b, n]) -> f32[n] { param w: f32[b] ~ zeros(); return sum(w) * x[0] }",
            ),
            "not-compile-time",
        ),
        (source("const k = x * 2; return linear(4)(k)", loss="mse(forward(ones(3, 4)), y[:3])"), "not-compile-time"),
        # of gradients and of updates
        (
            source("return linear(4)(loop while sum(h) > 1 carry h = linear(4)(x) { next h = h * 0.5 })"),
            "unbounded-loop",
        ),
        (source("return linear(4)(det(x.T @ linear(4)(x)) * x)"), None),
        (source("return linear(4)(det(linear(4)(x) @ x.T) * x)"), "no-gradient"),
        (
            source(optimizer="own()", layers="layer own()(p: f32[4, 5], g: f32[4, 5]) -> f32[4, 5] { return p - g }"),
            "shape-mismatch",
        ),
        # of other uses of a layer than those of the model
        (source("return own(false)(linear(4)(x))", IF.format("a: bool = true", "a")), "unknown-argument"),
        (source("return own(0.1)(linear(4)(x))", IF.format("a: float", "a > 0.4")), "unknown-argument"),
        (source("return own(-1)(linear(4)(x))", IF.format("a: int", "a >= 0")), "unknown-argument"),
        (source("return own()(linear(4)(x))", IF.format("", "rank(x) == 1")), "unknown-argument"),
        (source(PLAIN, IF.format("a: int", "a >= 0")), "unknown-argument"),
        (source("return own(1)(linear(4)(x))", IF.format("a: int", "a > 4")), None),  # nor is that known of any size
    ],
)
def test_faults_of_what_would_be_left_out(text: str, code: str | None) -> None:
    assert codes(text) == ([code] if code is not None else [])


# --- Why that is so --------------------------------------------------------------------------------------------------

MODED = {
    "batch_norm": [
        ("batch_norm()", "f32[b, 3]"),
        ("batch_norm()", "f32[b, 3, t]"),
        ("batch_norm()", "f32[b, 3, 5, t]"),
    ],
    "dropout": [("dropout(0.5)", "f32[b, 3]"), ("dropout(0.5)", "f32[]"), ("dropout(0.0)", "f32[t, b, 3]")],
}
"""Layers of the library with a `when training`: uses of each, and the type of what they are given and give."""


def test_layers_of_the_library_keep_their_types_in_each_mode() -> None:
    definitions = [d for name in library_modules() for d in parse(read_source(name)).declarations]
    assert set(MODED) == {
        definition.name.name
        for definition in definitions
        if isinstance(definition, syntax.Definition | syntax.Train)
        and any(isinstance(node, syntax.WhenTraining) for node in syntax.walk(definition))
    }
    for layer, type_ in (use for uses in MODED.values() for use in uses):
        model = f"model Net(x: {type_}) -> {type_} {{ param w: f32 ~ ones(); return x * w |> {layer} }}"
        net = network(
            f"use std.layers: batch_norm, dropout\n{model}\ntrain Net {{ minimize sum(forward(x)); optimizer sgd() }}"
        )
        net.elaborate()
        net.train_graph()
        net.eval_graph()
