"""Wrong sources and the exact text that each gives."""

from __future__ import annotations

import pytest

from netlang.codes import EXPLANATIONS
from netlang.diagnostics import Diagnostic, DiagnosticError
from netlang.parser import parse
from netlang.render import render
from netlang.source import Source

CASES: dict[str, tuple[str, str]] = {
    "misspelled statement": (
        """\
fn f(x: f32) -> f32 {
  retrun x
}
""",
        """\
error[syntax-error]: expected the end of the line after `retrun`, found `x`
 --> a.net:2:10
2 |   retrun x
  |          ^
  = help: did you mean `return`?
""",
    ),
    "misspelled declaration": (
        """\
modle M { }
""",
        """\
error[syntax-error]: expected a declaration, found `modle`
 --> a.net:1:1
1 | modle M { }
  | ^^^^^
  = help: did you mean `model`?
""",
    ),
    "block closed too early": (
        """\
fn f(x: f32) -> f32 {
  repeat 3 {
    if a {
      x = g(x)
  }
  return x
}

const c = 1
""",
        """\
error[unclosed-bracket]: `{` is not closed before `}`
 --> a.net:4:15
4 |       x = g(x)
  |               ^ expected `}`
 ::: a.net:3:10
3 |     if a {
  |          - opened here
""",
    ),
    "function of another language": (
        """\
def f(x):
  return x
""",
        """\
error[syntax-error]: `def` is not a word of this language
 --> a.net:1:1
1 | def f(x):
  | ^^^
  = help: write `layer NAME(…)(x: …) -> … { … }`, or `fn` where there are no parameters to learn
""",
    ),
    "class of another language": (
        """\
class Net {
}
""",
        """\
error[syntax-error]: `class` is not a word of this language
 --> a.net:1:1
1 | class Net {
  | ^^^^^
  = help: write `model NAME(…)(x: …) -> … { … }`, or `layer`
""",
    ),
    "import of another language": (
        """\
import std.layers
""",
        """\
error[syntax-error]: `import` is not a word of this language
 --> a.net:1:1
1 | import std.layers
  | ^^^^^^
  = help: names of other files come with `use std.layers: linear` or `use "./blocks.net": stem`
""",
    ),
    "from import": (
        """\
from std.layers import linear
""",
        """\
error[syntax-error]: `from` does not begin a line
 --> a.net:1:1
1 | from std.layers import linear
  | ^^^^
  = help: names of other files come with `use std.layers: linear` or `use "./blocks.net": stem`
""",
    ),
    "loop of another language": (
        """\
fn f(x: f32) -> f32 {
  for i in range(3) { x = g(x) }
  return x
}
""",
        """\
error[syntax-error]: `for` is not a word of this language
 --> a.net:2:3
2 |   for i in range(3) { x = g(x) }
  |   ^^^
  = help: `loop i from 0 to n - 1 carry x = … { … }` counts at run time, `repeat n as i { … }` while compiling
""",
    ),
    "elif": (
        """\
fn f(x: f32) -> f32 {
  if a { x = 1 } elif b { x = 2 }
  return x
}
""",
        """\
error[syntax-error]: `elif` is not a word of this language
 --> a.net:2:18
2 |   if a { x = 1 } elif b { x = 2 }
  |                  ^^^^
  = help: write `else if`
""",
    ),
    "use without names": (
        """\
use std.layers
""",
        """\
error[syntax-error]: `use` says which names it takes
 --> a.net:1:15
1 | use std.layers
  |               ^
  = help: write `: name, name` after `layers`
""",
    ),
    "statement at the top of a file": (
        """\
x = 3
""",
        """\
error[syntax-error]: expected a declaration, found `x`
 --> a.net:1:1
1 | x = 3
  | ^
  = help: at its top level a file holds `use`, `const`, `fn`, `layer`, `model` and `train`; a value is `const x = …`
""",
    ),
    "keyword statement at the top of a file": (
        """\
let f = linear(3)
""",
        """\
error[misplaced-statement]: expected a declaration, found `let`
 --> a.net:1:1
1 | let f = linear(3)
  | ^^^
  = help: at its top level a file holds `use`, `const`, `fn`, `layer`, `model` and `train`
""",
    ),
    "entry outside a model": (
        """\
entry run(x: f32) -> f32 { return x }
""",
        """\
error[misplaced-statement]: `entry` belongs in the braces of a `model`
 --> a.net:1:1
1 | entry run(x: f32) -> f32 { return x }
  | ^^^^^
""",
    ),
    "layer inside a model": (
        """\
model M {
  layer f(x: f32) { return x }
}
""",
        """\
error[misplaced-statement]: `layer` belongs at the top level of a file
 --> a.net:2:3
2 |   layer f(x: f32) { return x }
  |   ^^^^^
  = help: declarations do not nest: move it out of the braces, or close them first
""",
    ),
    "minimize outside train": (
        """\
fn f(x: f32) -> f32 {
  minimize x
}
""",
        """\
error[misplaced-statement]: `minimize` belongs in a `train` block
 --> a.net:2:3
2 |   minimize x
  |   ^^^^^^^^
""",
    ),
    "nothing after =": (
        """\
fn f(x: f32) -> f32 {
  y =
  return y
}
""",
        """\
error[syntax-error]: expected an expression after `=`, found end of line
 --> a.net:2:6
2 |   y =
  |      ^
""",
    ),
    "nothing after = and ;": (
        """\
fn f(x: f32) -> f32 {
  y = ; return y
}
""",
        """\
error[syntax-error]: expected an expression after `=`, found `;`
 --> a.net:2:6
2 |   y = ; return y
  |      ^
""",
    ),
    "nothing after return": (
        """\
fn f(x: f32) -> f32 {
  return
}
""",
        """\
error[syntax-error]: expected an expression after `return`, found end of line
 --> a.net:2:9
2 |   return
  |         ^
""",
    ),
    "missing operand": (
        """\
fn f(x: f32) -> f32 { return x + }
""",
        """\
error[syntax-error]: expected an expression after `+`, found `}`
 --> a.net:1:34
1 | fn f(x: f32) -> f32 { return x + }
  |                                  ^
""",
    ),
    "two expressions": (
        """\
fn f(x: f32) -> f32 {
  return x y
}
""",
        """\
error[syntax-error]: expected the end of the line after `x`, found `y`
 --> a.net:2:12
2 |   return x y
  |            ^
""",
    ),
    "missing comma": (
        """\
fn f(x: f32) -> f32 {
  return g(x y)
}
""",
        """\
error[syntax-error]: expected `,` or `)` after `x`, found `y`
 --> a.net:2:14
2 |   return g(x y)
  |              ^
""",
    ),
    "= in a condition": (
        """\
fn f(x: f32) -> f32 {
  if x = 3 { y = 1 }
  return x
}
""",
        """\
error[syntax-error]: `=` does not compare
 --> a.net:2:8
2 |   if x = 3 { y = 1 }
  |        ^
  = help: write `==`
""",
    ),
    "python block": (
        """\
fn f(x: f32) -> f32 {
  if x == 3:
    y = 2
  return y
}
""",
        """\
error[syntax-error]: a block stands in braces
 --> a.net:2:12
2 |   if x == 3:
  |            ^
  = help: write `{ … }` in place of `:` and indentation
""",
    ),
    "python function header": (
        """\
fn f(x: f32):
  return x
""",
        """\
error[syntax-error]: a block stands in braces
 --> a.net:1:13
1 | fn f(x: f32):
  |             ^
  = help: write `{ … }` in place of `:` and indentation
""",
    ),
    "result after colon": (
        """\
fn f(x: f32): f32 { return x }
""",
        """\
error[syntax-error]: the type of the result follows `->`
 --> a.net:1:13
1 | fn f(x: f32): f32 { return x }
  |             ^
  = help: write `->` in place of `:`
""",
    ),
    "result without arrow": (
        """\
fn f(x: f32) f32 { return x }
""",
        """\
error[syntax-error]: the type of the result follows `->`
 --> a.net:1:14
1 | fn f(x: f32) f32 { return x }
  |              ^^^
  = help: write `-> f32`
""",
    ),
    "missing result type": (
        """\
fn f(x: f32) -> { return x }
""",
        """\
error[syntax-error]: expected a type after `->`, found `{`
 --> a.net:1:17
1 | fn f(x: f32) -> { return x }
  |                 ^
""",
    ),
    "body after =": (
        """\
fn f(x: f32) -> f32 = x
""",
        """\
error[syntax-error]: the body stands in braces
 --> a.net:1:21
1 | fn f(x: f32) -> f32 = x
  |                     ^
  = help: write `{ return … }`
""",
    ),
    "parameter without type": (
        """\
fn f(x, y: f32) -> f32 { return x }
""",
        """\
error[syntax-error]: the parameter `x` has no type
 --> a.net:1:7
1 | fn f(x, y: f32) -> f32 { return x }
  |       ^
  = help: write `x: f32[b, d]` for a tensor, or `x: int` for a number
""",
    ),
    "missing parameter list": (
        """\
layer f {
  return x
}
""",
        """\
error[syntax-error]: `f` does not say what comes in
 --> a.net:1:9
1 | layer f {
  |         ^
  = help: write `layer f(x: f32[b, d]) … { … }`
""",
    ),
    "+=": (
        """\
fn f(x: f32) -> f32 {
  x += 1
  return x
}
""",
        """\
error[syntax-error]: `+=` is not an operator
 --> a.net:2:5
2 |   x += 1
  |     ^^
  = help: write `x = x + …`
""",
    ),
    "initial value after =": (
        """\
fn f(x: f32) -> f32 {
  param w: f32[3] = zeros()
  return x
}
""",
        """\
error[syntax-error]: the initial value follows `~`
 --> a.net:2:19
2 |   param w: f32[3] = zeros()
  |                   ^
  = help: write `~` in place of `=`, as in `~ zeros()`
""",
    ),
    "annotation on an assignment": (
        """\
fn f(x: f32) -> f32 {
  @frozen y = x
  return y
}
""",
        """\
error[unknown-attribute]: `@frozen` stands before `param` or `state`
 --> a.net:2:3
2 |   @frozen y = x
  |   ^^^^^^^
  = help: before a layer, a `fn` or a statement there can be `@recompute`
""",
    ),
    "chained comparison": (
        """\
fn f(x: f32) -> f32 {
  assert 0 < x < 3
  return x
}
""",
        """\
error[syntax-error]: comparisons do not chain
 --> a.net:2:16
2 |   assert 0 < x < 3
  |                ^
  = help: write `a < b and b < c`
""",
    ),
    "message after comma": (
        """\
fn f(x: f32) -> f32 {
  assert x > 0, "positive"
  return x
}
""",
        """\
error[syntax-error]: the message follows `:`
 --> a.net:2:15
2 |   assert x > 0, "positive"
  |               ^
  = help: write `assert … : "message"`
""",
    ),
    "line beginning with an operator": (
        """\
fn f(x: f32) -> f32 {
  y = x
    + 1
  return y
}
""",
        """\
error[syntax-error]: a line cannot begin with `+`
 --> a.net:3:5
3 |     + 1
  |     ^
  = help: end the line above with `+`, or put the whole in parentheses
""",
    ),
    "comment of another language": (
        """\
fn f(x: f32) -> f32 {
  // twice
  return x
}
""",
        """\
error[syntax-error]: a line cannot begin with `//`
 --> a.net:2:3
2 |   // twice
  |   ^^
  = help: a comment begins with `#`
""",
    ),
    "if without else as a value": (
        """\
fn f(x: f32) -> f32 {
  y = if x > 0 { x }
  return y
}
""",
        """\
error[missing-else]: an `if` that is a value needs an `else`
 --> a.net:2:21
2 |   y = if x > 0 { x }
  |                     ^
  = help: add `else { … }`
""",
    ),
    "else without if": (
        """\
fn f(x: f32) -> f32 {
  else { x = 1 }
  return x
}
""",
        """\
error[syntax-error]: this `else` follows no `if` and no `when`
 --> a.net:2:3
2 |   else { x = 1 }
  |   ^^^^
""",
    ),
    "let without =": (
        """\
fn f(x: f32) -> f32 {
  let g linear(3)
  return g(x)
}
""",
        """\
error[syntax-error]: expected `,` or `=` after `g`, found `linear`
 --> a.net:2:9
2 |   let g linear(3)
  |         ^^^^^^
""",
    ),
    "unclosed parenthesis": (
        """\
fn f(x: f32) -> f32 {
  y = g(x
  return y
}
""",
        """\
error[unclosed-bracket]: `(` is not closed before `return`
 --> a.net:2:10
2 |   y = g(x
  |        - ^ expected `)`
  |        opened here
""",
    ),
    "unclosed brace": (
        """\
fn f(x: f32) -> f32 {
  return x


fn g(x: f32) -> f32 { return x }
""",
        """\
error[unclosed-bracket]: `{` is not closed before `fn`
 --> a.net:2:11
2 |   return x
  |           ^ expected `}`
 ::: a.net:1:21
1 | fn f(x: f32) -> f32 {
  |                     - opened here
""",
    ),
    "unclosed at the end of the file": (
        """\
fn f(x: f32) -> f32 {
  if a {
    return x
}
""",
        """\
error[unclosed-bracket]: `{` is not closed before `}`
 --> a.net:3:13
3 |     return x
  |             ^ expected `}`
 ::: a.net:2:8
2 |   if a {
  |        - opened here
""",
    ),
    "wrong closing bracket": (
        """\
fn f(x: f32) -> f32 {
  return g(x]
}
""",
        """\
error[unclosed-bracket]: `(` is not closed before `]`
 --> a.net:2:13
2 |   return g(x]
  |           - ^ expected `)`
  |           opened here
""",
    ),
    "bracket closed twice": (
        """\
fn f(x: f32) -> f32 {
  return g(x))
}
""",
        """\
error[unopened-bracket]: this `)` closes nothing
 --> a.net:2:14
2 |   return g(x))
  |              ^
""",
    ),
    "brace closed twice": (
        """\
fn f(x: f32) -> f32 {
  return x
}
}
""",
        """\
error[unopened-bracket]: this `}` closes nothing
 --> a.net:3:2
3 | }
  |  ^
""",
    ),
    "keyword as a name": (
        """\
fn f(x: f32) -> f32 {
  let state = 3
  return state
}
""",
        """\
error[reserved-word]: `state` is a word of the language and cannot be a name
 --> a.net:2:7
2 |   let state = 3
  |       ^^^^^
  = help: another name will do, such as `state_`
""",
    ),
    "keyword assigned": (
        """\
fn f(x: f32) -> f32 {
  model = 3
  return model
}
""",
        """\
error[reserved-word]: `model` is a word of the language and cannot be a name
 --> a.net:2:3
2 |   model = 3
  |   ^^^^^
  = help: another name will do, such as `model_`
""",
    ),
    "word of a construct as a name": (
        """\
fn f(x: f32) -> f32 {
  loop = 3
  return loop
}
""",
        """\
error[reserved-word]: `loop` is a word of the language and cannot be a name
 --> a.net:2:3
2 |   loop = 3
  |   ^^^^
  = help: another name will do, such as `loop_`
""",
    ),
    "word of a declaration": (
        """\
fn f(x: f32) -> f32 {
  pretrained = 3
  return pretrained
}
""",
        """\
error[reserved-word]: `pretrained` is a word of the language and cannot be a name
 --> a.net:2:3
2 |   pretrained = 3
  |   ^^^^^^^^^^
  = help: another name will do, such as `pretrained_`
""",
    ),
    "optimizer with =": (
        """\
train N {
  optimizer = adam(1e-3)
}
""",
        """\
error[syntax-error]: `optimizer` takes no `=`
 --> a.net:2:13
2 |   optimizer = adam(1e-3)
  |             ^
  = help: write `optimizer …`
""",
    ),
    "self": (
        """\
fn f(x: f32) -> f32 {
  self.w = 3
  return x
}
""",
        """\
error[invalid-target]: this cannot stand left of `=`
 --> a.net:2:3
2 |   self.w = 3
  |   ^^^^^^
  = help: a layer has no `self`: write `let w = …`, or `param w: … ~ …`
""",
    ),
    "assignment to an element": (
        """\
fn f(x: f32) -> f32 {
  x[0] = 3
  return x
}
""",
        """\
error[invalid-target]: this cannot stand left of `=`
 --> a.net:2:3
2 |   x[0] = 3
  |   ^^^^
  = help: only names can be assigned; to change a tensor, make a new one
""",
    ),
    "positional after named": (
        """\
fn f(x: f32) -> f32 {
  return g(a = 1, x)
}
""",
        """\
error[positional-after-named]: an argument without a name follows `a = …`
 --> a.net:2:19
2 |   return g(a = 1, x)
  |            -----  ^ has no name
  |            named
  = help: write the arguments without names first, or name this one too
""",
    ),
    "foreign operators": (
        """\
fn f(x: f32) -> f32 {
  return x^2 && !x
}
""",
        """\
error[invalid-character]: `^` is not an operator
 --> a.net:2:11
2 |   return x^2 && !x
  |           ^
  = help: write `**`

error[invalid-character]: `&&` is not an operator
 --> a.net:2:14
2 |   return x^2 && !x
  |              ^^
  = help: write `and`

error[invalid-character]: `!` is not an operator
 --> a.net:2:17
2 |   return x^2 && !x
  |                 ^
  = help: write `not`
""",
    ),
    "single quotes": (
        """\
use './blocks.net': stem
""",
        """\
error[invalid-character]: strings are written in double quotes
 --> a.net:1:5
1 | use './blocks.net': stem
  |     ^^^^^^^^^^^^^^
  = help: write "./blocks.net"
""",
    ),
    "unknown character": (
        """\
fn f(x: f32) -> f32 {
  return x ? 1 : 2
}
""",
        """\
error[invalid-character]: `?` has no meaning here
 --> a.net:2:12
2 |   return x ? 1 : 2
  |            ^
  = help: `if c { a } else { b }` chooses between two values; a size that is not known has a name
""",
    ),
    "greek letter": (
        """\
fn f(x: f32) -> f32 {
  return β * x
}
""",
        """\
error[invalid-character]: `β` cannot be part of a name
 --> a.net:2:10
2 |   return β * x
  |          ^
  = help: write `beta`
""",
    ),
    "typeset operator": (
        """\
fn f(x: f32) -> f32 where x ≤ 3 { return x }
""",
        """\
error[invalid-character]: `≤` is not an operator
 --> a.net:1:29
1 | fn f(x: f32) -> f32 where x ≤ 3 { return x }
  |                             ^
  = help: write `<=`
""",
    ),
    "unterminated string": (
        """\
use "./blocks.net: stem
""",
        """\
error[unterminated-string]: this string has no closing `"`
 --> a.net:1:5
1 | use "./blocks.net: stem
  |     ^^^^^^^^^^^^^^^^^^^
  = help: a string ends on its own line
""",
    ),
    "unknown escape": (
        """\
use ".\\blocks.net": stem
""",
        """\
error[invalid-escape]: `\\b` is not an escape
 --> a.net:1:7
1 | use ".\\blocks.net": stem
  |       ^^
  = help: the escapes are `\\"`, `\\\\` and `\\n`
""",
    ),
    "number with letters": (
        """\
const n = 10k
""",
        """\
error[invalid-number]: `10k` is not a number
 --> a.net:1:11
1 | const n = 10k
  |           ^^^
  = help: a name begins with a letter; numbers look like `64`, `0.5`, `1e-3` or `1_000`
""",
    ),
    "hexadecimal number": (
        """\
const n = 0xff
""",
        """\
error[invalid-number]: `0xff` is not a number
 --> a.net:1:11
1 | const n = 0xff
  |           ^^^^
  = help: a name begins with a letter; numbers look like `64`, `0.5`, `1e-3` or `1_000`
""",
    ),
    "integer too large": (
        """\
const n = 99999999999999999999
""",
        """\
error[invalid-number]: this integer is larger than 9223372036854775807
 --> a.net:1:11
1 | const n = 99999999999999999999
  |           ^^^^^^^^^^^^^^^^^^^^ does not fit 64 bits
""",
    ),
    "float too large": (
        """\
const n = 1e999
""",
        """\
error[invalid-number]: `1e999` is larger than any 64-bit float
 --> a.net:1:11
1 | const n = 1e999
  |           ^^^^^
""",
    ),
    "float too small": (
        """\
const n = 1e-999
""",
        """\
error[invalid-number]: `1e-999` is so small that it rounds to zero
 --> a.net:1:11
1 | const n = 1e-999
  |           ^^^^^^
""",
    ),
    "brace without partner in a message": (
        """\
fn f(x: f32) -> f32 where x > 0 : "{x is bad" { return x }
""",
        """\
error[invalid-message]: this `{` has no partner
 --> a.net:1:36
1 | fn f(x: f32) -> f32 where x > 0 : "{x is bad" { return x }
  |                                    ^
  = help: a brace in a message is written twice: `{{`
""",
    ),
    "fault inside a message": (
        """\
fn f(x: f32) -> f32 where x > 0 : "{x +} is bad" { return x }
""",
        """\
error[syntax-error]: expected an expression after `+`, found end of expression
 --> a.net:1:40
1 | fn f(x: f32) -> f32 where x > 0 : "{x +} is bad" { return x }
  |                                        ^
""",
    ),
    "control character": (
        "const n = 1\x00\n",
        """\
error[invalid-character]: the text contains the control character U+0000
 --> a.net:1:12
1 | const n = 1�
  |            ^
  = help: is this a text file in UTF-8?
""",
    ),
    "deep nesting": (
        "const n = " + "(" * 101 + "\n",
        """\
error[nesting-too-deep]: brackets are nested more than 100 deep
 --> a.net:1:111
1 | const n = (((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((
  |                                                                                                               ^
  = help: name parts of the expression with assignments, or repeat with `repeat`
""",
    ),
}


def faults(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(DiagnosticError) as error:
        parse(Source("a.net", text))
    return error.value.diagnostics


@pytest.mark.parametrize("name", CASES)
def test_text(name: str) -> None:
    source, expected = CASES[name]
    assert render(faults(source)) + "\n" == expected


@pytest.mark.parametrize("name", CASES)
def test_codes_are_explained(name: str) -> None:
    assert {fault.code for fault in faults(CASES[name][0])} <= EXPLANATIONS.keys()
