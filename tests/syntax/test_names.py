"""Names: each fault with its code and place, and programs in which every name is in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlang.diagnostics import Diagnostic
from netlang.names import check_names
from netlang.parser import parse
from netlang.render import render
from netlang.source import Source
from netlang.syntax import Use

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.net"))
BUILTINS = frozenset({
    "f32", "i64", "ops", "abs", "accuracy", "adam", "bce_with_logits", "cosine", "cross_entropy", "exp", "flatten",
    "gelu", "identity", "kaiming_uniform", "lower_triangle", "mean", "mse", "normal", "normal_like", "relu", "residual",
    "sigmoid", "softmax", "split", "sqrt", "sum", "tanh", "uniform", "zeros",
})  # fmt: skip


def nothing_known(use: Use) -> None:
    return None


def faults(text: str) -> list[Diagnostic]:
    return check_names(parse(Source("a.net", text)), BUILTINS, nothing_known)


def body(statements: str, kind: str = "layer") -> str:
    return f"{kind} f(n: int)(x: f32[b, d]) -> f32[b, d] {{\n{statements}\n}}"


def found(text: str) -> list[tuple[str, str, int]]:
    """Code, text of the place, and line of each fault."""
    return [(d.code, d.primary.span.text, d.primary.span.line) for d in faults(text) if d.primary]


# --- In order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_programs_in_order(path: Path) -> None:
    module = parse(Source(path.name, path.read_text("utf-8")))
    assert render(check_names(module, BUILTINS, nothing_known)) == ""


@pytest.mark.parametrize(
    "text",
    [
        body("if n > 1 { y = x } else { y = -x }\nreturn y"),
        body("if n > 1 { y = x }\nreturn y"),
        body("when training { y = x } else { y = -x }\nreturn y"),
        body("repeat n as i { x = x + i }\nreturn x"),
        body("if n > 1 { let g = exp } else { let g = abs }\nreturn g(x)"),
        body("if n > 1 { param w: f32[d] ~ zeros() } else { param w: f32[b] ~ zeros() }\nreturn x * sum(w)"),
        body("param n: f32[n, d] ~ zeros()\nreturn x @ n"),
        body("state m: f32[d] ~ zeros()\nnext m = x\nreturn next m + m"),
        body("state m: f32[d] ~ zeros()\nnext m = x\nreturn x"),
        body("y = if n > 1 { z = x; z } else { z = -x; z }\nz = y\nreturn z"),
        body("y, _z = split(x, 2)\nreturn y"),
        body("return heads n over x { x * b }"),
        body('assert d > n : "{d} is not above {n}"\nreturn x'),
        body("param w: f32[n] ~ anything()\nreturn x * sum(w)"),
        body("y = later(x)\nreturn y") + "\nfn later(x: f32[*s]) -> f32[*s] { return [*s, 1] }",
        "fn f(x: f32[2 * k, *s], m: int = k) -> f32[*r] where k > 1 { return x }",
        "fn f(x: f32[min(k, 3), _]) -> f32[k] { return x }",
        "fn f(x: f32[sum]) -> f32[sum] { return x }",
        "const width = 3\nfn f(x: f32[width]) -> f32[width] { return x }",
        "layer f(i: init = zeros())(x: f32) -> f32 { param w: f32 ~ i\nreturn x * w }",
        "model M(n: int)(x: f32[b, n]) { return x }\n"
        "train M(k: int = 1) { in y: f32[b, n, m]; minimize sum(x - y) + k * m }",
        "model M { let g = exp; entry a(x: f32) { return g(x) }\nentry c(y: f32) { return a(y) } }\n"
        "train M { in y: f32; minimize a(c(g(y))) }",
        "model M { let g = exp; entry forward(x: f32[b]) { return x } }\n"
        "train M { fit x: pad; minimize sum(g(x)) / b }",
        "use std.models: LeNet5\ntrain LeNet5 { in label: i64[batch]; minimize sum(forward(image) - label) }",
        body("y = scan e in x along d carry h = n { next h = h + e; emit next h; keep h }\nreturn y"),
        body("y = loop i from 1 to n while h < i carry h = n { next h = h + 1 }\nreturn y", "fn"),
        body("return loop i from 1 to n carry h = x { next h = scan e in h along d { emit e } }"),
        body("state m: f32 ~ zeros()\nnext m = scan e in x along d carry h = m { next h = h + sum(e) }\nreturn x"),
        body("@recompute y = x\n@recompute\nrepeat n { y = -y }\n@recompute return y"),
        "fn f(x: f32[b], n: int) -> f32[b] { y = -x; return y } custom_grad(g) { z = g * x * n * b; return z }",
        "use std.layers: linear\nuse std.losses: mse as loss",
        "model M { let table = exp\nentry forward(x: f32) { return x } }\nfn f(m: layer) -> f32 { return m.table }",
    ],
)
def test_in_order(text: str) -> None:
    assert render(faults(text)) == ""


# --- Faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (body("return y"), [("undefined-name", "y", 2)]),
        (body("return f32(y) + ops.exp(z).w"), [("undefined-name", "y", 2), ("undefined-name", "z", 2)]),
        (body("y = z\nz = x\nreturn y + z"), [("undefined-name", "z", 2)]),
        (body("y = if n > 1 { z = x; z } else { x }\nreturn z + y"), [("undefined-name", "z", 3)]),
        (body("y = heads n over x { k = x; k }\nreturn k + y"), [("undefined-name", "k", 3)]),
        (body("param w: f32[k] ~ zeros()\nreturn x * sum(w)"), [("undefined-name", "k", 2)]),
        (body('assert n > 1 : "{m}"\nreturn x'), [("undefined-name", "m", 2)]),
        (body("return [*s, 1] + x"), [("undefined-name", "*s", 2)]),
        ("fn f(x: f32[b]) -> f32[c] { return x }", [("undefined-name", "c", 1)]),
        ("fn f(x: f32[b]) where c > 1 { return x }", [("undefined-name", "c", 1)]),
        ("fn f(x: f32, n: int = m) { return x }", [("undefined-name", "m", 1)]),
        ("const a = c", [("undefined-name", "c", 1)]),
        ("fn f(x: f32) { return x }\nfn f(y: f32) { return y }", [("duplicate-name", "f", 2)]),
        ("const f = 1\nfn f(y: f32) { return y }", [("duplicate-name", "f", 2)]),
        ("use a: f\nfn f(y: f32) { return y }", [("duplicate-name", "f", 2)]),
        ("use a: f\nuse b: g as f", [("duplicate-name", "g as f", 2)]),
        ("layer f(x: int)(x: f32) { return x }", [("duplicate-parameter", "x", 1)]),
        (body("param w: f32 ~ zeros()\nparam w: f32 ~ zeros()\nreturn x * w"), [("duplicate-parameter", "w", 3)]),
        (body("param w: f32 ~ zeros()\nstate w: f32 ~ zeros()\nreturn x * w"), [("duplicate-parameter", "w", 3)]),
        (body("let g = exp\ng = abs\nreturn g(x)"), [("duplicate-name", "g", 3)]),
        (body("const g = 1\nlet g = 2\nreturn g * x"), [("duplicate-name", "g", 3)]),
        (body("g = 1\nlet g = 2\nreturn g * x"), [("duplicate-name", "g", 3)]),
        (body("let x = exp\nreturn x(n)"), [("duplicate-name", "x", 2)]),
        ("model M { entry a(x: f32) { return x }\nentry a(y: f32) { return y } }", [("duplicate-name", "a", 2)]),
        ("model M { let a = exp\nentry a(x: f32) { return x }\n}", [("duplicate-name", "a", 1)]),
        ("model M(x: f32) { return x }\ntrain M { minimize x }\ntrain M { minimize x }", [("duplicate-name", "M", 3)]),
        (body("return scan e in x along d carry h = x { y = e; next h = h + y }\ny"), [("unreachable-code", "y", 3)]),
        (body("z = scan e in x along d carry h = x { y = e; next h = y }\nreturn y + z"), [("undefined-name", "y", 3)]),
        (body("return scan e in x along d carry h = e { next h = e }"), [("undefined-name", "e", 2)]),
        (body("return scan e in x along q carry h = x { next h = e }"), [("undefined-name", "q", 2)]),
        (body("return scan e in x along d carry e = x { next e = e }"), [("duplicate-name", "e", 2)]),
        (body("return scan e in x along d carry h = x { next h = h }"), [("unused-name", "e", 2)]),
        (body("return loop while h > k carry h = n { k = h; next h = k }"), [("undefined-name", "k", 2)]),
        (body("return scan e in x along d carry h = x { next k = e }"), [("unset-state", "k", 2)]),
        (body("return scan e in x along d carry h = x { return e }"), [("misplaced-statement", "return e", 2)]),
        (body("emit x\nreturn x"), [("misplaced-statement", "emit x", 2)]),
        (body("keep x\nreturn x"), [("misplaced-statement", "keep x", 2)]),
        ("fn f(x: f32) -> f32 { y = -x; return y } custom_grad(g) { return g * y }", [("undefined-name", "y", 1)]),
        (body("x + 1\nreturn x"), [("unused-result", "x + 1", 2)]),
        (body("x == 1\nreturn x"), [("unused-result", "x == 1", 2)]),
        (body("y = if n > 1 { x; x } else { x }\nreturn y"), [("unused-result", "x", 2)]),
        (body("if n > 1 { x }\nreturn x"), [("unused-result", "x", 2)]),
        (body("return x\ny = x\nreturn y"), [("unreachable-code", "y = x", 3)]),
        (body("if n > 1 { return x } else { return -x }\nreturn x"), [("unreachable-code", "return x", 3)]),
        (body("next m = x\nreturn x"), [("unset-state", "m", 2)]),
        (body("param m: f32 ~ zeros()\nnext m = x\nreturn x * m"), [("unset-state", "m", 3)]),
        (body("return next m"), [("unset-state", "next m", 2)]),
        (body("param w: f32 ~ zeros()\nreturn x * w", "fn"), [("misplaced-statement", "param w: f32 ~ zeros()", 2)]),
        ("model M(x: f32) { return x }\ntrain M { return x }", [("misplaced-statement", "return x", 2)]),
        (body("y = x\nreturn x"), [("unused-name", "y", 2)]),
        (body("y, z = split(x, 2)\nreturn y"), [("unused-name", "z", 2)]),
        (body("let g = exp\nreturn x"), [("unused-name", "g", 2)]),
        (body("repeat n as i { x = x + 1 }\nreturn x"), [("unused-name", "i", 2)]),
        (body("param w: f32 ~ zeros()\nstate m: f32 ~ zeros()\nreturn x"),
         [("unused-name", "w", 2), ("unused-name", "m", 3)]),
        ("use a: f, g as h, i\nconst c = i", [("unused-name", "f", 1), ("unused-name", "g as h", 1)]),
        ("model M { let g = exp; entry a(x: f32) { return x } }", [("unused-name", "g", 1)]),
        ("model M(x: f32) { return x }\ntrain M { in y: f32; minimize x }", [("unused-name", "y", 2)]),
    ],
)  # fmt: skip
def test_faults(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert found(text) == expected


def test_what_is_only_unused_is_a_warning() -> None:
    text = body("y = x\nreturn x\nz = x") + "\nfn g(x: f32) { return q }"
    assert {d.code: d.severity for d in faults(text)} == {
        "unused-name": "warning", "unreachable-code": "warning", "undefined-name": "error",
    }  # fmt: skip


def test_what_modules_export() -> None:
    module = parse(Source("a.net", "use std.layers: linaer, conv2d\nuse other: anything"))
    offered = {"std.layers": frozenset({"linear", "conv2d"})}
    (fault,) = check_names(module, BUILTINS, lambda use: offered.get(use.module))
    assert (
        render([fault])
        == """\
error[undefined-name]: `std.layers` has no `linaer`
 --> a.net:1:17
1 | use std.layers: linaer, conv2d
  |                 ^^^^^^
  = help: did you mean `linear`?"""
    )


# --- Texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ("hidden = x\nreturn hiden", "error[undefined-name]: `hiden` is not defined\n --> a.net:3:8\n3 | return hiden\n"
         "  |        ^^^^^\n  = help: did you mean `hidden`?"),
        ("return simgoid(x)", "error[undefined-name]: `simgoid` is not defined\n --> a.net:2:8\n2 | return simgoid(x)\n"
         "  |        ^^^^^^^\n  = help: did you mean `sigmoid`?"),
        ("return None", "error[undefined-name]: `None` is not defined\n --> a.net:2:8\n2 | return None\n"
         "  |        ^^^^\n  = help: write `none`"),
        ("return qqq(x)",
         "error[undefined-name]: `qqq` is not defined\n --> a.net:2:8\n2 | return qqq(x)\n  |        ^^^\n"
         "  = help: `netlang doc` lists what there is; `fn qqq(…) -> … { … }` defines what there is not"),
        ("y = z\nz = x\nreturn y",
         "error[undefined-name]: `z` is used before it is defined\n --> a.net:2:5\n2 | y = z\n"
         "  |     ^\n ::: a.net:3:1\n3 | z = x\n  | - defined here"),
        ("let g = exp\ng = abs\nreturn g(x)",
         "error[duplicate-name]: `g` is bound by `let` and stays what it is\n --> a.net:3:1\n3 | g = abs\n  | ^\n"
         " ::: a.net:2:5\n2 | let g = exp\n  |     - first here\n"
         "  = help: a name bound by `=` alone can get a new value"),
        ("x = x - 1\nx == 2\nreturn x",
         "error[unused-result]: the result of this expression is not used\n --> a.net:3:1\n3 | x == 2\n  | ^^^^^^\n"
         "  = help: `=` assigns; `assert` states what must hold"),
        ("return next m", "error[unset-state]: `next m` needs a state called `m`\n --> a.net:2:8\n2 | return next m\n"
         "  |        ^^^^^^\n  = help: declare it: `state m: f32[…] ~ zeros()`"),
        ("y = x\nreturn x", "warning[unused-name]: `y` is never used\n --> a.net:2:1\n2 | y = x\n  | ^\n"
         "  = help: take it out, or call it `_y`"),
    ],
)  # fmt: skip
def test_texts(statements: str, expected: str) -> None:
    assert render([fault for fault in faults(body(statements)) if "`z` is never" not in fault.title]) == expected
