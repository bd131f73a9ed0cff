"""The parser: how each construct becomes a tree, where lines end, which words are names, what hostile text gives."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from netlang import syntax
from netlang.diagnostics import DiagnosticError
from netlang.parser import parse, parse_expression, parse_signature, parse_template
from netlang.source import Source

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.net"))


def tree(text: str) -> syntax.Module:
    return parse(Source("a.net", text))


def body(statements: str) -> tuple[syntax.Statement, ...]:
    (definition,) = tree(f"fn f(x: f32) -> f32 {{\n{statements}\n}}").declarations
    assert isinstance(definition, syntax.Definition)
    return definition.body.statements


def show(node: object) -> str:
    """An expression or type with every operation in brackets of its own."""
    match node:
        case syntax.Number(value) | syntax.Boolean(value):
            return str(value)
        case syntax.String(value):
            return repr(value)
        case syntax.NoneLiteral() | None:
            return "none"
        case syntax.Name(name):
            return name
        case syntax.Next(name):
            return f"next {name}"
        case syntax.Hole():
            return "_"
        case syntax.Pack(name):
            return f"*{name}"
        case syntax.Unary(operator, operand):
            return f"({operator} {show(operand)})"
        case syntax.Binary(operator, left, right):
            return f"({show(left)} {operator} {show(right)})"
        case syntax.Pipe(left, right):
            return f"({show(left)} |> {show(right)})"
        case syntax.Compose(left, right):
            return f"({show(left)} >> {show(right)})"
        case syntax.Attribute(value, name):
            return f"{show(value)}.{name}"
        case syntax.Call(function, arguments):
            return f"{show(function)}({', '.join(map(show, arguments))})"
        case syntax.PatternCall(function, arguments, inputs, output):
            sides = (", ".join(" ".join(map(show, axes)) for axes in side) for side in (inputs, (output,)))
            return f"{show(function)}({', '.join(map(show, arguments))}: {' -> '.join(sides)})"
        case syntax.AxisName(name):
            return name
        case syntax.Group(items):
            return f"({' '.join(map(show, items))})"
        case syntax.Argument(name, value):
            return show(value) if name is None else f"{name}={show(value)}"
        case syntax.Index(value, items):
            return f"{show(value)}[{', '.join(map(show, items))}]"
        case syntax.Slice(start, stop, step):
            return ":".join("" if part is None else show(part) for part in (start, stop, step))
        case syntax.Tuple(items):
            return f"({', '.join(map(show, items))},)"
        case syntax.List(items):
            return f"[{', '.join(map(show, items))}]"
        case syntax.Conditional(condition, then, otherwise):
            return f"if {show(condition)} {show(then)} else {show(otherwise)}"
        case syntax.Heads(count, sources, inner):
            return f"heads {show(count)} over {', '.join(map(show, sources))} {show(inner)}"
        case syntax.Block(statements):
            return f"{{{'; '.join(map(show, statements))}}}"
        case syntax.ExpressionStatement(value):
            return show(value)
        case syntax.TypeName(name, dims):
            return name if dims is None else f"{name}[{', '.join(map(show, dims))}]"
        case syntax.TupleType(items):
            return f"({', '.join(map(show, items))})"
    raise AssertionError(node)


def expression(text: str) -> str:
    return show(parse_expression(Source("a.net", text), text, 0))


# --- Expressions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("a - b - c", "((a - b) - c)"),
        ("a / b // c % d @ e * f", "(((((a / b) // c) % d) @ e) * f)"),
        ("-a ** 2", "(- (a ** 2))"),
        ("a ** -b", "(a ** (- b))"),
        ("rearrange(x + y: b t (h k) -> b *s 1)", "rearrange((x + y): b t (h k) -> b *s 1)"),
        ("f.g(x, y: b i, o i ->)", "f.g(x, y: b i, o i -> )"),
        ("x |> rearrange(: b t\n-> t b)", "(x |> rearrange(: b t -> t b))"),
        ("einsum(x: a ->) * 2", "(einsum(x: a -> ) * 2)"),
        ("a ** b ** c", "(a ** (b ** c))"),
        ("- - a", "(- (- a))"),
        ("-a * b", "((- a) * b)"),
        ("a + b == c - d", "((a + b) == (c - d))"),
        ("not a == b", "(not (a == b))"),
        ("not not a", "(not (not a))"),
        ("a or b and not c", "(a or (b and (not c)))"),
        ("a and b or c", "((a and b) or c)"),
        ("x |> f |> g", "((x |> f) |> g)"),
        ("f >> g >> h", "((f >> g) >> h)"),
        ("x |> f >> g", "(x |> (f >> g))"),
        ("x + 1 |> f", "((x + 1) |> f)"),
        ("a < b", "(a < b)"),
        ("a >= b", "(a >= b)"),
        ("f >> g > h", "(f >> (g > h))"),
        ("(a + b) * c", "((a + b) * c)"),
        ("f(x)(y).T[0]", "f(x)(y).T[0]"),
        ("f()", "f()"),
        ("f(a, b = 1,)", "f(a, b=1)"),
        ("x[1, 2:, :, ::2, a:b, :c:]", "x[1, 2::none, ::none, ::2, a:b:none, :c:none]"),
        ("x[-1]", "x[(- 1)]"),
        ("(a, b)", "(a, b,)"),
        ("(a,)", "(a,)"),
        ("[a, b,]", "[a, b]"),
        ("[]", "[]"),
        ("[*s, 1]", "[*s, 1]"),
        ("if a { b } else { c }", "if a {b} else {c}"),
        ("if a { b } else if c { d } else { e }", "if a {b} else {if c {d} else {e}}"),
        ("if a { if b { c } else { d } } else { e }", "if a {if b {c} else {d}} else {e}"),
        ("heads h over q, k { q @ k.T }", "heads h over q, k {(q @ k.T)}"),
        ("heads (d / 64) over q { q }", "heads (d / 64) over q {q}"),
        ("heads 8 over q { q } |> f", "(heads 8 over q {q} |> f)"),
        ("f(if a { 1 } else { 2 }, g = next h)", "f(if a {1} else {2}, g=next h)"),
        ("true and false == none", "(True and (False == none))"),
        (r'"a \"b\" \\ \n {c}"', repr('a "b" \\ \n {c}')),
    ],
)
def test_expressions(text: str, expected: str) -> None:
    assert expression(text).replace(":none", ":") == expected.replace(":none", ":")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("0", 0), ("1_000", 1000), (".5", 0.5), ("1.", 1.0), ("1e-5", 1e-5), ("2.5E+3", 2500.0), ("1e3", 1000.0),
     ("9223372036854775807", 2**63 - 1), ("0.1e-300", 1e-301), ("007", 7)],
)  # fmt: skip
def test_numbers(text: str, value: float) -> None:
    node = parse_expression(Source("a.net", text), text, 0)
    assert isinstance(node, syntax.Number)
    assert node.value == value
    assert type(node.value) is type(value)


# --- Statements and declarations -------------------------------------------------------------------------------------


def test_assignments() -> None:
    first, second, third, fourth, fifth = body("a = 1\nq, k, v = x, y, z\nlet f, g = h\nconst c = 2\nnext s = s + 1")
    assert isinstance(first, syntax.Assign)
    assert (first.keyword, first.targets[0].name) == (None, "a")
    assert isinstance(second, syntax.Assign)
    assert [t.name for t in second.targets] == ["q", "k", "v"]
    assert show(second.value) == "(x, y, z,)"
    assert isinstance(third, syntax.Assign)
    assert (third.keyword, len(third.targets)) == ("let", 2)
    assert isinstance(fourth, syntax.Assign)
    assert fourth.keyword == "const"
    assert isinstance(fifth, syntax.SetNext)
    assert (fifth.targets[0].name, fifth.targets[0].span.text) == ("s", "s")


def test_lines_that_set_and_bind() -> None:
    (mixed,) = body("next h, y, next c = f(x)")
    assert isinstance(mixed, syntax.SetNext)
    kinds = [(type(target), target.name, target.span.text) for target in mixed.targets]
    assert kinds == [(syntax.Next, "h", "h"), (syntax.Name, "y", "y"), (syntax.Next, "c", "c")]
    assert [name.name for name in syntax.bound_names(mixed)] == ["y"]


def test_where_weights_come_from() -> None:
    (first, second, third) = tree(
        """
        ## As published.
        pretrained A, B { "x.*" -> "y.*"; ignore "z", "w"; "q", "k" -> "qk" }
        pretrained C "a.safetensors", "b.safetensors"
        pretrained D "c" {}
        """
    ).declarations
    assert isinstance(first, syntax.Pretrained)
    assert ([m.name for m in first.models], first.files, first.doc) == (["A", "B"], (), "As published.")
    rules = [(r.word and r.word.name, [s.value for s in r.sources], [t.value for t in r.targets]) for r in first.rules]
    assert rules == [(None, ["x.*"], ["y.*"]), ("ignore", ["z", "w"], []), (None, ["q", "k"], ["qk"])]
    assert isinstance(second, syntax.Pretrained) and isinstance(third, syntax.Pretrained)
    assert ([f.value for f in second.files], second.rules) == (["a.safetensors", "b.safetensors"], ())
    assert ([f.value for f in third.files], third.rules) == (["c"], ())


def test_what_training_varies() -> None:
    (train,) = tree("train N { augment { x = f(x) }; augment\n{ x = g(x) } }").declarations
    assert isinstance(train, syntax.Train)
    assert all(isinstance(statement, syntax.Augment) for statement in train.body.statements)
    assert [show(s.value) for s in body("augment = 3; y = augment") if isinstance(s, syntax.Assign)] == ["3", "augment"]


def test_declared_variables() -> None:
    source = "@frozen @no_decay param w: f32[2 * n, *s] ~ normal(0.02)\n@frozen\nstate m: f32 ~ zeros()"
    param, state = body(source)
    assert isinstance(param, syntax.Declare)
    assert (param.keyword, param.name.name, show(param.type)) == ("param", "w", "f32[(2 * n), *s]")
    assert [a.name for a in param.annotations] == ["frozen", "no_decay"]
    assert [a.span.text for a in param.annotations] == ["@frozen", "@no_decay"]
    assert isinstance(state, syntax.Declare)
    assert (state.keyword, show(state.init), state.type.dims) == ("state", "zeros()", None)
    assert [a.name for a in state.annotations] == ["frozen"]


def test_control() -> None:
    first, second, third, fourth = body(
        "if a { x = 1 } else if b { x = 2 }\n"
        "when training { x = 3 } else { x = 4 }\n"
        "repeat n as i { x = f(x) }\n"
        'assert x > 0 : "x is {x}"'
    )
    assert isinstance(first, syntax.If)
    assert first.otherwise is not None
    inner = first.otherwise.statements[0]
    assert isinstance(inner, syntax.If)
    assert inner.otherwise is None
    assert isinstance(second, syntax.WhenTraining)
    assert second.otherwise is not None
    assert isinstance(third, syntax.Repeat)
    assert third.index is not None
    assert third.index.name == "i"
    assert isinstance(fourth, syntax.Assert)
    assert fourth.message is not None
    assert fourth.message.value == "x is {x}"


def value(statement: syntax.Statement) -> syntax.Expr:
    assert isinstance(statement, syntax.Assign | syntax.Return)
    return statement.value


def test_scan() -> None:
    full, bare, chosen = map(value, body(
        "y = scan a in x, b in -z along t backward lengths n\n"
        "carry h = 1, c = g(x) { next h, next c = c, h; emit h, a; keep c }\n"
        "y = scan a in x along -1 { emit a }\n"
        "return scan a in x along 0 backward if n > 1 { emit a }"
    ))  # fmt: skip
    assert isinstance(full, syntax.Scan)
    assert [(s.name.name, show(s.value)) for s in full.sequences] == [("a", "x"), ("b", "(- z)")]
    assert (show(full.along), show(full.backward), show(full.lengths)) == ("t", "True", "n")
    assert [(c.name.name, show(c.value)) for c in full.carries] == [("h", "1"), ("c", "g(x)")]
    following, emit, keep = full.body.statements
    assert isinstance(following, syntax.SetNext)
    assert [(n.name, n.span.text) for n in following.targets] == [("h", "h"), ("c", "c")]
    assert isinstance(emit, syntax.Emit)
    assert [show(item) for item in emit.values] == ["h", "a"]
    assert isinstance(keep, syntax.Keep)
    assert [name.name for name in keep.names] == ["c"]
    assert isinstance(bare, syntax.Scan)
    assert (show(bare.along), bare.backward, bare.lengths, bare.carries) == ("(- 1)", None, None, ())
    assert isinstance(chosen, syntax.Scan)
    assert show(chosen.backward) == "(n > 1)"


def test_loop() -> None:
    up, down, condition = map(value, body(
        "y = loop i from 1 to n + 1 while y > 0 carry y = 1 { next y = i }\n"
        "y = loop i from n - 1 down to -1 { emit i }\n"
        "return 2 * loop while y > 0 carry y = if a { 1 } else { 2 } { next y = y }"
    ))  # fmt: skip
    assert isinstance(up, syntax.Loop)
    assert up.range is not None
    assert (up.range.name.name, show(up.range.first), show(up.range.last)) == ("i", "1", "(n + 1)")
    assert (up.range.down, show(up.condition)) == (False, "(y > 0)")
    assert isinstance(down, syntax.Loop)
    assert down.range is not None
    assert (show(down.range.first), show(down.range.last), down.range.down) == ("(n - 1)", "(- 1)", True)
    assert (down.condition, down.carries) == (None, ())
    assert isinstance(condition, syntax.Binary)
    assert isinstance(condition.right, syntax.Loop)
    assert condition.right.range is None
    assert show(condition.right.carries[0].value) == "if a {1} else {2}"


def test_what_recompute_marks() -> None:
    module = tree(
        "## A layer.\n@recompute\nlayer f()(x: f32) {\n@recompute y = x\n@recompute\nrepeat 3 { y = -y }\nreturn y }\n"
        "fn g(x: f32) { return x } custom_grad(a, b) { return a }"
    )
    layer, function = module.declarations
    assert isinstance(layer, syntax.Definition)
    assert (layer.recompute, layer.doc, layer.gradient) == (True, "A layer.", None)
    first, second, third = layer.body.statements
    assert isinstance(first, syntax.Recompute)
    assert isinstance(first.statement, syntax.Assign)
    assert isinstance(second, syntax.Recompute)
    assert isinstance(second.statement, syntax.Repeat)
    assert isinstance(third, syntax.Return)
    assert isinstance(function, syntax.Definition)
    assert not function.recompute
    assert function.gradient is not None
    assert [name.name for name in function.gradient.names] == ["a", "b"]


@pytest.mark.parametrize("word", ["in", "backward", "lengths", "keep", "training"])
def test_words_with_a_place_of_their_own_are_names_elsewhere(word: str) -> None:
    text = f"{word} = x\ny, {word} = {word}({word} = {word}, {word})\n{word}\nreturn {word} + {word}[{word}] |> {word}"
    tree(f"fn f({word}: f32[{word}], a: f32) {{\n{text.replace(f', {word})', ')')}\n}}")
    tree(
        f"fn f() {{ return scan {word} in {word} along {word} backward lengths {word} carry {word} = 1 {{ emit 1 }} }}"
    )


def test_an_if_is_a_statement_where_one_begins_and_a_value_at_the_end_of_a_value() -> None:
    statement, assignment = body("if a { 1 } else { 2 }\ny = if a { z = 3; if b { z } else { 4 } } else { 5 }")
    assert isinstance(statement, syntax.If)
    assert isinstance(assignment, syntax.Assign)
    assert isinstance(assignment.value, syntax.Conditional)
    last = assignment.value.then.statements[-1]
    assert isinstance(last, syntax.ExpressionStatement)
    assert show(last) == "if b {z} else {4}"
    (piped,) = body("if a { 1 } else { 2 } |> f")
    assert show(piped) == "(if a {1} else {2} |> f)"


def test_training_block() -> None:
    source = """train Net(beta: float = 1.0,) {
  in label: i64[batch]
  fit image: resize
  minimize f(label), 1
}"""
    with pytest.raises(DiagnosticError):
        tree(source)
    (train,) = tree(
        source.replace(", 1", "").replace("}", "  report a, b = c\n  optimizer adam(1e-3)\n  clip 1\n}")
    ).declarations
    assert isinstance(train, syntax.Train)
    assert train.model.name == "Net"
    assert [p.name for p in train.parameters] == ["beta"]
    kinds = [type(statement).__name__ for statement in train.body.statements]
    assert kinds == ["Input", "Fit", "Minimize", "Report", "Optimizer", "Clip"]
    report = train.body.statements[3]
    assert isinstance(report, syntax.Report)
    assert [item.name for item in report.items] == [None, "b"]


def test_definitions() -> None:
    module = tree(
        'use std.layers: linear, conv2d as conv\nuse "./blocks.net": stem\nconst base = 10000\n'
        'fn f(x: f32[b, _], y: (f32, f32) = none) -> (f32[b], f32) where b > 1 : "{b}", b < 9 { return x }\n'
        "model M { let f = g; entry a(x: f32) -> f32 { return f(x) }\nentry b(y: f32) { return y } }\n"
        "model N(n: int)(x: f32) { return x }\nlayer l(body: layer)(x: f32) { return body(x) }"
    )
    use, path, const, fn, model, second, layer = module.declarations
    assert isinstance(use, syntax.Use)
    assert (use.module, use.is_path) == ("std.layers", False)
    assert [(n.name, n.alias) for n in use.names] == [("linear", None), ("conv2d", "conv")]
    assert isinstance(path, syntax.Use)
    assert (path.module, path.is_path) == ("./blocks.net", True)
    assert isinstance(const, syntax.Const)
    assert isinstance(fn, syntax.Definition)
    assert [show(p.type) for p in fn.parameters[0]] == ["f32[b, _]", "(f32, f32)"]
    assert show(fn.result) == "(f32[b], f32)"
    assert [show(w.condition) for w in fn.where] == ["(b > 1)", "(b < 9)"]
    assert [w.message is None for w in fn.where] == [False, True]
    assert isinstance(model, syntax.Definition)
    assert (model.kind, model.parameters, len(model.body.statements)) == ("model", (), 1)
    assert [e.name.name for e in model.entries] == ["a", "b"]
    assert isinstance(second, syntax.Definition)
    assert [len(group) for group in second.parameters] == [1, 1]
    assert isinstance(layer, syntax.Definition)
    assert show(layer.parameters[0][0].type) == "layer"


def test_documentation() -> None:
    module = tree(
        "## The file.\n## Second line.\n\n# an aside\n"
        "## A layer.\n##\n##  Indented.\nlayer f()(x: f32) { return x }\n\n"
        "model M {\n  ## An entry.\n  entry a(x: f32) { return x }\n}\n## no\n\nconst c = 1\n## Of d.\nconst d = 2"
    )
    assert module.doc == "The file.\nSecond line."
    layer, model, first, second = module.declarations
    assert isinstance(layer, syntax.Definition)
    assert layer.doc == "A layer.\n\n Indented."
    assert isinstance(model, syntax.Definition)
    assert model.entries[0].doc == "An entry."
    assert isinstance(first, syntax.Const)
    assert isinstance(second, syntax.Const)
    assert (first.doc, second.doc) == ("", "Of d.")
    assert tree("## Doc of f.\nfn f(x: f32) { return x }").doc == ""


# --- Lines and words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "y = x\n  |> f\n  |> g",
        "y = x |>\n f |>\n g",
        "y = x   # comment\n # another\n\n  |> f |> g",
        "y =\n  x |> f\n  |> g",
        "y = x |> f |> g;",
        ";;y = x |> f |> g;;",
        "y = (x\n|>\nf\n)\n|> g",
        "y = x\r\n  |> f\r\n  |> g\r\n",
        "\ty = x\t|> f\n\t|> g",
    ],
)
def test_where_lines_go_on(text: str) -> None:
    (statement,) = body(text)
    assert isinstance(statement, syntax.Assign)
    assert show(statement.value) == "((x |> f) |> g)"


def test_where_lines_end() -> None:
    assert len(body("a = b\n(c)")) == 2
    assert len(body("a = b\n[c]")) == 2
    assert len(body("a = b\n-c")) == 2
    assert len(body("a = f(b,\n\n  c\n)\nd = e")) == 2
    inside_parentheses = body("a = f(if c {\n d = 1\n d\n} else { e })")
    assert show(inside_parentheses[0].value.arguments[0].value.then.statements[1]) == "d"  # type: ignore[union-attr]
    split = tree('layer f()(x: f32)\n  -> f32\n  where x > 0 :\n    "no"\n{\n  if a { b = 1 }\n  else { b = 2 }\n}')
    assert len(split.declarations) == 1


def test_words_that_are_names_outside_their_construct() -> None:
    fit, _ = body("in = clip(report, optimizer = fit, next = 1, if = 2)\ny = x.layer.train.model")
    assert isinstance(fit, syntax.Assign)
    assert (fit.targets[0].name, show(fit.value)) == ("in", "clip(report, optimizer=fit, next=1, if=2)")
    assert show(tree("layer f(in: int, training: bool = true)(x: f32) { return x }").declarations[0].result) == "none"  # type: ignore[union-attr]
    (train,) = tree("train N { y = clip(x, 1); clip 2; clip (3) }").declarations
    assert isinstance(train, syntax.Train)
    assert [type(s).__name__ for s in train.body.statements] == ["Assign", "Clip", "Clip"]
    assert tree("use std.train.in: a").declarations[0].module == "std.train.in"  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "\ufeff# byte order mark\n", "## doc\n"])
def test_files_without_declarations(text: str) -> None:
    assert tree(text).declarations == ()


# --- Spans -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_spans_cover_what_they_name_and_lie_within_their_parents(path: Path) -> None:
    module = parse(Source(path.name, path.read_text("utf-8")))
    seen = 0
    for declaration in module.declarations:
        for node in syntax.walk(declaration):
            seen += 1
            assert declaration.span.start <= node.span.start < node.span.end <= declaration.span.end
            if isinstance(node, syntax.Name):
                assert node.span.text == node.name
            if isinstance(node, syntax.Binary):
                assert node.operator_span.text == node.operator
                assert node.span.start <= node.left.span.start < node.operator_span.start < node.right.span.end
            if isinstance(node, syntax.Attribute):
                assert node.name_span.text == node.name
            if isinstance(node, syntax.Number):
                assert float(node.span.text) == node.value
    assert seen > 20


def test_parentheses_belong_to_the_span_around_them_only() -> None:
    text = "(a + b) * c"
    node = parse_expression(Source("a.net", text), text, 0)
    assert isinstance(node, syntax.Binary)
    assert (node.span.text, node.left.span.text) == ("(a + b) * c", "a + b")


# --- Parts -----------------------------------------------------------------------------------------------------------


def test_signatures() -> None:
    matmul = parse_signature("matmul(x: f[*B, m, k], w: f[*B, k, n]) -> f[*B, m, n]")
    assert (matmul.kind, matmul.name.name) == ("fn", "matmul")
    assert [(p.name, show(p.type)) for p in matmul.parameters[0]] == [("x", "f[*B, m, k]"), ("w", "f[*B, k, n]")]
    assert show(matmul.result) == "f[*B, m, n]"
    assert matmul.body.statements == ()
    norm = parse_signature("layer_norm(x: f[*s, d], eps: float = 1e-5) -> (f[*s, d], f[*s, 1])")
    assert show(norm.parameters[0][1].default) == "1e-05"
    assert show(norm.result) == "(f[*s, d], f[*s, 1])"
    with pytest.raises(DiagnosticError, match="expected a type after `:`, found `,`"):
        parse_signature("f(x: , y: f) -> f")


def test_an_expression_knows_its_place() -> None:
    source = Source("a.net", 'assert x : "bad {a + b}"')
    node = parse_expression(source, "a + b", 17)
    assert str(node.span) == "a.net:1:18"
    assert node.span.text == "a + b"
    with pytest.raises(DiagnosticError) as error:
        parse_expression(Source("a.net", "12345+"), "+", 5)
    assert str(error.value.diagnostics[0].primary.span) == "a.net:1:6"  # type: ignore[union-attr]


def test_templates() -> None:
    (statement,) = body(r'assert x : "{h} of \"{d + 1}\" {{braces}}\n"')
    assert isinstance(statement, syntax.Assert)
    assert statement.message is not None
    parts = parse_template(statement.message)
    assert [part if isinstance(part, str) else show(part) for part in parts] == [
        "h",
        ' of "',
        "(d + 1)",
        '" {braces}\n',
    ]
    assert not isinstance(parts[2], str)
    assert parts[2].span.text == "d + 1"


# --- Faults ----------------------------------------------------------------------------------------------------------


def test_every_declaration_reports_its_first_fault() -> None:
    text = "fn f(x: f32) { return x + }\nfn g(x: f32) { return x }\n\nlayer h(x: f32) { a b; c d }\n"
    text += 'const k = "open\nmodel M(x: f32) { return (x }\n'
    with pytest.raises(DiagnosticError) as error:
        tree(text)
    places = [(d.code, d.primary.span.line) for d in error.value.diagnostics if d.primary]
    assert places == [
        ("syntax-error", 1), ("syntax-error", 4), ("unterminated-string", 5), ("unclosed-bracket", 6),
    ]  # fmt: skip


HOSTILE = {
    "open brackets": ("fn f(x: f32) { return " + "(" * 100_000, "nesting-too-deep"),
    "nested lists": ("const a = " + "[" * 101 + "]" * 101, "nesting-too-deep"),
    "long sum": ("const a = 1" + "+ 1" * 2000, "nesting-too-deep"),
    "minus signs": ("const a = " + "-" * 20_000 + "1", "nesting-too-deep"),
    "else if": ("fn f(x: f32) { if a { } " + "else if a { }" * 2000 + "}", "nesting-too-deep"),
    "pipeline": ("const a = b" + " |> c" * 5000, "nesting-too-deep"),
    "many tokens": ("fn f(x: f32) { " + "a = b;" * 60_000 + "}", "file-too-large"),
    "many characters": ("#" * 2_000_001, "file-too-large"),
    "null": ("const a = 1\0", "invalid-character"),
    "escape sequence": ("# \x1b[31m", "invalid-character"),
    "direction override": ("# \u202e", "invalid-character"),
    "lone surrogate": ("# \ud800", "invalid-character"),
    "carriage returns only": ("const a = 1\rconst b = 2", "invalid-character"),
    "unclosed string": ("const a = " + '"' * 99_999, "unterminated-string"),
    "digits": ("const a = " + "9" * 100_000, "invalid-number"),
    "exponent": ("const a = 1e" + "9" * 10_000, "invalid-number"),
    "underflow": ("const a = 1e-400", "invalid-number"),
    "underscores": ("const a = 1__0", "invalid-number"),
    "two points": ("const a = 1.2.3", "invalid-number"),
    "many faults": ("const a = ?\n" * 5000, "invalid-character"),
    "many errors": ("const a = b c\n" * 5000, "syntax-error"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_gives_a_diagnostic_soon(name: str) -> None:
    text, code = HOSTILE[name]
    started = time.perf_counter()
    with pytest.raises(DiagnosticError) as error:
        tree(text)
    assert time.perf_counter() - started < 30
    assert code in {diagnostic.code for diagnostic in error.value.diagnostics}
    assert len(error.value.diagnostics) <= 20


def test_nesting_up_to_the_limit_is_read() -> None:
    assert expression("(" * 100 + "x" + ")" * 100) == "x"
    assert expression(" + ".join(["x"] * 190)).count("+") == 189
