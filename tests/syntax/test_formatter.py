"""The formatter: exact results, and for random programs: the same tree, the same comments, and nothing left to do."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netlang import syntax
from netlang.diagnostics import DiagnosticError
from netlang.formatter import WIDTH, format_source
from netlang.parser import parse
from netlang.source import Source

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.net"))


def formatted(text: str) -> str:
    return format_source(Source("a.net", text))


def shape(node: object) -> object:
    """A tree without its places."""
    if isinstance(node, syntax.Node | syntax.Module):
        kept = [f.name for f in fields(node) if not f.name.endswith("span") and f.name != "source"]
        return type(node).__name__, *(shape(getattr(node, name)) for name in kept)
    if isinstance(node, tuple):
        return tuple(map(shape, node))
    return type(node).__name__, node


def check(text: str) -> str:
    """The canonical text of `text`, after making sure that it means the same and is final."""
    result = formatted(text)
    assert shape(parse(Source("a.net", result))) == shape(parse(Source("a.net", text)))
    assert formatted(result) == result
    comments = [re.sub(r"[#\s]", "", c) for c in re.findall(r"#[^\n]*", text)]
    assert [re.sub(r"[#\s]", "", c) for c in re.findall(r"#[^\n]*", result)] == comments
    assert not re.search(r"[ \t\r]\n|\n\n\n", result)
    return result


# --- Exact results ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_canonical_programs_stay_as_they_are(path: Path) -> None:
    text = path.read_text("utf-8")
    assert check(text) == text


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_canonical_programs_come_back_from_a_mess(path: Path) -> None:
    """Spaces and indentation carry nothing; line breaks and the columns of chains do."""
    text = path.read_text("utf-8")
    if path.stem == "lenet5":  # its columns are lined up by hand
        text = re.sub(r"(?<=\S)  +(?=\|>)", " ", text)
    lines = [line.strip() for line in text.splitlines()]
    mess = "\n".join(line if re.search('[#"]', line) else re.sub(r"(?<=[(\[,=+*/]) ", "   ", line) for line in lines)
    assert formatted(mess) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("const a=1+2*-3**2", "const a = 1 + 2 * -3 ** 2\n"),
        ("const a = f( x , y=[ 1,2 ] ) [ 0 , 1:2 , : , ::2 ]", "const a = f(x, y = [1, 2])[0, 1:2, :, ::2]\n"),
        ("const a = x.T . weight", "const a = x.T.weight\n"),
        ("const a = not(b)and-c@d", "const a = not (b) and -c @ d\n"),
        ("const a = 1e-5 + 1_000 + .5 + 1.", "const a = 1e-5 + 1_000 + .5 + 1.\n"),
        (r'use "./a \"b\" \\.net"  :c  as d', r'use "./a \"b\" \\.net": c as d' + "\n"),
        ("\ufeffconst a = 1\r\nconst b = 2\r\n", "const a = 1\nconst b = 2\n"),
        ("", ""),
        ("\n\n", ""),
        ("#only", "# only\n"),
        ("#!run\n##doc\n\n\n\n###", "#!run\n## doc\n\n###\n"),
        ("const a = (b)\n\n\n\nconst c=d;;const e = f;", "const a = (b)\n\nconst c = d\nconst e = f\n"),
        ("fn f(x:f32[*s,_,4*d])->(f32,f32[b])where b>1:\"m\",b<9{return x,y}",
         "fn f(x: f32[*s, _, 4 * d]) -> (f32, f32[b]) where b > 1 : \"m\", b < 9 { return x, y }\n"),
        ("fn f(x:f32,)->f32\n{\n\n\nreturn x\n\n\n}", "fn f(x: f32,) -> f32 {\n  return x\n}\n"),
        ("fn f(x: f32) { a = b; return a }", "fn f(x: f32) {\n  a = b\n  return a\n}\n"),
        ("model M {\n\n}", "model M {}\n"),
        ("model M { # why\n}", "model M {  # why\n}\n"),
        ("layer f(b:layer)(x:f32){@frozen@no_decay param w:f32[d]~zeros()\n@frozen\nstate m:f32~ones()\n"
         "next m=b(next m)}",
         "layer f(b: layer)(x: f32) {\n  @frozen @no_decay param w: f32[d] ~ zeros()\n  @frozen\n"
         "  state m: f32 ~ ones()\n  next m = b(next m)\n}\n"),
        ("train N(a:int=1){in x:i64[b];fit x:pad;report y,z=w;clip 1;optimizer sgd(.1)}",
         "train N(a: int = 1) {\n  in x: i64[b]\n  fit x: pad\n  report y, z = w\n  clip 1\n  optimizer sgd(.1)\n}\n"),
        ("fn f(x: f32) {\nif a{b=1}\nelse\nif c{b=2}else{b=3}\nreturn b}",
         "fn f(x: f32) {\n  if a { b = 1 } else if c { b = 2 } else { b = 3 }\n  return b\n}\n"),
        ("fn f(x: f32) {\nif a {\nb=1}else{b=3}\nreturn b}",
         "fn f(x: f32) {\n  if a {\n    b = 1\n  } else {\n    b = 3\n  }\n  return b\n}\n"),
        ("fn f(x: f32) {\nrepeat (n)as i{when training{x=g(x)}}\nassert x>0:\"m\"\nreturn heads (h) over q,k{q}}",
         "fn f(x: f32) {\n  repeat (n) as i { when training { x = g(x) } }\n  assert x > 0 : \"m\"\n"
         "  return heads (h) over q, k { q }\n}\n"),
        ("fn f(x:f32)->f32{return x}\ncustom_grad (g,h){return-g}",
         "fn f(x: f32) -> f32 { return x } custom_grad(g, h) { return -g }\n"),
        ("@recompute fn f(x: f32) { return x }", "@recompute fn f(x: f32) { return x }\n"),
        ("fn f(x:f32){return scan a in-x,c in y along-1 backward if(b)lengths n carry h=-1,k=2{next h,next k=k,h;emit a"
         ",h;keep k}}",
         "fn f(x: f32) {\n  return scan a in -x, c in y along -1 backward if (b) lengths n carry h = -1, k = 2 {\n"
         "    next h, next k = k, h\n    emit a, h\n    keep k\n  }\n}\n"),
    ],
)  # fmt: skip
def test_spacing_and_blocks(text: str, expected: str) -> None:
    assert check(text) == expected


def test_chains_keep_the_lines_of_the_author() -> None:
    text = """
fn f(x: f32) {
    y = x |> a
         |> b |>
      c
    z = d >> e
    >> g  # last
    return y
}
"""
    assert (
        check(text)
        == """\
fn f(x: f32) {
  y = x |> a
    |> b
    |> c
  z = d >> e
    >> g  # last
  return y
}
"""
    )


def test_columns_that_were_lined_up_stay_lined_up() -> None:
    text = """\
fn f(x: f32) {
  return x
    |> conv(6,5)   |> tanh |> pool(2)
    |> conv(16, 5) |> tanh |> pool(2)
    |> flatten     |> tanh
}
"""
    assert check(text) == text.replace("6,5)   |>", "6, 5)  |>")
    assert "|> flatten |> tanh" in check(text.replace("flatten     |>", "flatten |>"))


def test_comments_stay_where_they_are() -> None:
    text = """\
## About the file.

# above
fn f(x: f32) {  # behind the brace
    # first
    a = g(  # behind the bracket
            # inside
        b,  # behind b

        c
        # before the end
    )
    # between

    # after an empty line
    d = a
    # in a chain
      |> e
    return d  # behind
  # at the end
} # last
# footer
"""
    assert (
        check(text)
        == """\
## About the file.

# above
fn f(x: f32) {  # behind the brace
  # first
  a = g(  # behind the bracket
    # inside
    b,  # behind b
    c
    # before the end
  )
  # between

  # after an empty line
  d = a
    # in a chain
    |> e
  return d  # behind
  # at the end
}  # last
# footer
"""
    )


LONG = "something_rather_long"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"return x |> {LONG}(1) |> {LONG}(2) |> {LONG}(3) |> {LONG}(4) |> {LONG}(5)",
         f"return x\n    |> {LONG}(1)\n    |> {LONG}(2)\n    |> {LONG}(3)\n    |> {LONG}(4)\n    |> {LONG}(5)"),
        (f"a = if b {{ {LONG}({LONG}) }} else {{ {LONG}({LONG}, {LONG}) }}",
         f"a = if b {{\n    {LONG}({LONG})\n  }} else {{\n    {LONG}({LONG}, {LONG})\n  }}"),
        (f"a = f({LONG}, {LONG}, {LONG}, {LONG}, {LONG})",
         f"a = f(\n    {LONG}, {LONG}, {LONG}, {LONG}, {LONG}\n  )"),
        (f"a = f({LONG}, {LONG}, {LONG}, {LONG}, {LONG}, {LONG})",
         f"a = f(\n    {LONG}, {LONG}, {LONG}, {LONG}, {LONG},\n    {LONG}\n  )"),
        (f"a = {LONG} * {LONG} + {LONG} * {LONG} + {LONG} * {LONG}",
         f"a = {LONG} * {LONG} + {LONG} * {LONG} +\n      {LONG} * {LONG}"),
        (f"assert {LONG} > 0 : \"{LONG} {LONG} {LONG} {LONG}\"",
         f"assert {LONG} > 0 :\n      \"{LONG} {LONG} {LONG} {LONG}\""),
        (f"a, b, c = {LONG}, {LONG}, {LONG}, {LONG}, {LONG}",
         f"a, b, c = {LONG}, {LONG}, {LONG}, {LONG},\n      {LONG}"),
    ],
)  # fmt: skip
def test_lines_that_are_too_long(text: str, expected: str) -> None:
    result = check(f"fn f(x: f32) {{\n  {text}\n}}")
    assert result == f"fn f(x: f32) {{\n  {expected}\n}}\n"
    assert max(map(len, result.splitlines())) <= WIDTH


def test_long_headers() -> None:
    head = f"layer f({LONG}: int = 1, b: int)({LONG}: f32[b, c, height, width, e]) -> f32[b]"
    clause = 'where b > 1 : "the batch has {b} elements"'
    assert check(f"{head} {clause} {{ return x }}") == f"{head} {{\n  return x\n}}\n".replace(
        " {\n", f"\n    {clause} {{\n"
    )
    assert check(f"{head.replace('int)', 'int, c: bool = true)')} {{\n  return x\n}}") == (
        "layer f(\n"
        f"  {LONG}: int = 1, b: int, c: bool = true\n"
        f")({LONG}: f32[b, c, height, width, e]) -> f32[b] {{\n  return x\n}}\n"
    )
    imports = ", ".join(f"name_{i}" for i in range(20))
    assert check(f"use std.layers: {imports}").splitlines() == [
        "use std.layers: " + ", ".join(f"name_{i}" for i in range(12)) + ",",
        "    " + ", ".join(f"name_{i}" for i in range(12, 20)),
    ]


def test_what_does_not_parse_is_not_formatted() -> None:
    with pytest.raises(DiagnosticError):
        formatted("fn f(x: f32) { return x + }")


# --- Random programs -------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "xs", "width", "a_rather_long_name", "in_", "_", "report", "clip"])
SPACE = st.sampled_from([" ", " ", "  ", ""])
BREAK = st.sampled_from([" ", " ", "\n", " # why\n  ", "\n\n", "\r\n\t"])


def spaced(*parts: str | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map("".join)


def separated(item: st.SearchStrategy[str], least: int = 0, most: int = 3) -> st.SearchStrategy[str]:
    """Items with commas, broken anywhere: only for the inside of ( ) and [ ]."""
    one = st.tuples(BREAK, item, BREAK).map("".join)
    return st.lists(one, min_size=least, max_size=most).map(",".join)


def expressions() -> st.SearchStrategy[str]:
    numbers = st.sampled_from(["1", "0.5", "1e-5", "1_000", ".25", "7."])
    strings = st.sampled_from(['"text"', r'"a \"quote\" \\ and \n"', '"{x}"'])
    atoms = NAMES | numbers | strings | st.sampled_from(["true", "false", "none", "next h", "[]"])

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "@", "**", "and", "or", "|>", ">>"])
        argument = inner | spaced(NAMES, " =", BREAK, inner)
        item = inner | st.sampled_from([":", "1:", ":2", "1:2", "::2", "u->v", "*s"]).filter(lambda text: text != "*s")
        block = st.tuples(BREAK, st.lists(spaced("v = ", inner, "\n"), max_size=2).map("".join), inner, BREAK)
        return st.one_of(
            spaced("(", BREAK, inner, BREAK, ")"),
            spaced("(", BREAK, inner, ",", BREAK, inner, BREAK, ")"),
            spaced(inner, " ", operators, BREAK, inner).map(lambda text: f"({text})"),
            spaced(inner, BREAK, st.sampled_from(["|>", ">>"]), SPACE, inner).map(lambda text: f"({text})"),
            spaced("(not", BREAK, inner, ")"),
            spaced("(-", SPACE, inner, ")"),
            spaced(NAMES, SPACE, "(", separated(argument), ")").map(lambda text: text.replace("= clip", "= (clip)")),
            spaced("(", inner, ")", SPACE, "[", separated(item, 1), "]"),
            spaced("[", separated(inner), "]"),
            spaced("x.", st.sampled_from(["T", "weight", "in", "model"])),
            spaced("if x > 1 {", block.map("".join), "}", BREAK, "else", BREAK, "{", block.map("".join), "}"),
            spaced("rearrange(", inner, SPACE, ":", BREAK, "b  t(h k)*s ->", BREAK, "(b 1 h) t *s)"),
            spaced("heads h over q,", BREAK, "k {", block.map("".join), "}"),
            spaced("aggregate sum over (u", SPACE, "->", BREAK, "v) in ", inner, " {", block.map("".join), "}"),
        )

    return st.recursive(atoms, larger, max_leaves=12)


def named_first(call: str) -> bool:
    """Whether the parser refuses this text, for arguments out of order."""
    try:
        parse(Source("a.net", call))
    except DiagnosticError as error:
        return any(fault.code == "positional-after-named" for fault in error.diagnostics)
    return False


def programs() -> st.SearchStrategy[str]:
    value = expressions()
    simple = st.one_of(
        spaced(NAMES, SPACE, "=", BREAK, value),
        spaced("a, b", SPACE, "=", value, ",", BREAK, value),
        spaced("let f =", BREAK, value),
        spaced("return ", value),
        spaced("@frozen", BREAK, "param w: f32[2*n, *s] ~", SPACE, value),
        spaced("assert ", value, SPACE, ':"{x} is wrong"'),
        spaced("next h =", value),
    )

    def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        block = st.lists(spaced(inner, st.sampled_from(["\n", ";", " # note\n", "\n\n\n"])), max_size=3).map("".join)
        return st.one_of(
            spaced("if ", value, " {", block, "}"),
            spaced("if x {", block, "}", BREAK, "else if y {", block, "} else {", block, "}"),
            spaced("repeat n", BREAK.filter(str.isspace).filter(lambda text: "\n" not in text), "as i {", block, "}"),
            spaced("when training {", BREAK, block, "}"),
        )

    statement = st.recursive(simple, nested, max_leaves=4)
    end = st.sampled_from(["\n", ";", "\n\n\n", "  # note\n", "\n# own line\n", "\n#tight\n\n"])
    body = st.lists(spaced(statement, end), min_size=1, max_size=4).map("".join)
    header = st.sampled_from([
        "fn f(x: f32[b,*s])", "## Doc.\nlayer g(n:int=3)( x : f32 )->f32",
        "layer h(n: int)(x: f32)\n->f32 where n>1:\"no\"", "fn f(x: f32) where x > 1,\n x < 3",
        "model M(n: int)(x: f32) # the model\n",
    ])  # fmt: skip
    definition = spaced(header, BREAK, "{", BREAK, body, "}")
    other = st.sampled_from(
        ["const c = 1 ;const d=2", "use std.layers:a,\n b as c", "# comment", "train N { in x:f32\nclip 1 }",
         'train N { phase p updates a,"b.*"repeats 2 {clip 1 ;optimizer b} }', "train N {augment{x=f( x )}}",
         'pretrained N,M"a.b" {"x.*"->"y.*";ignore "z" , "w"\n"q","k"->\n"qk" }', 'pretrained N "a",\n"b"']
    )  # fmt: skip
    pieces = st.lists(definition | other, min_size=1, max_size=3)
    return pieces.map("\n\n\n".join).filter(lambda text: not named_first(text))


@settings(max_examples=80, deadline=None)
@given(programs())
def test_random_programs(text: str) -> None:
    check(text)


@settings(max_examples=40, deadline=None)
@given(st.lists(expressions(), min_size=2, max_size=6), st.sampled_from([" |> ", " + ", ", ", " and ", " >> "]))
def test_random_long_lines(parts: list[str], separator: str) -> None:
    flat = separator.join(re.sub(r"\s*#[^\n]*\n\s*|\s*\n\s*", " ", part) for part in parts)
    text = f"layer f()(x: f32) {{ some_name = {flat} }}"
    if "v = " in text or named_first(text):
        return  # several statements on a line need their `;`
    check(text)
