"""Wrong programs by the thousand: valid ones with some words exchanged, and random expressions."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

from netlang.compiler.op import AttributeParameter
from netlang.compiler.ops import OPS

from netlang.source import Source
from netlang.tokens import scan

ROOT = Path(__file__).parents[2]


def _words(text: str) -> list[str]:
    return text.split()


_NUMBERS = _words("0 1 2 -1 3 7 0.5 1e9 1e-9 50 4611686018427387904 100 2.0")
_NAMES = _words(
    """x none true relu sum split reshape concat linear conv2d identity uniform normal batch product rank iota full
    expand transpose gather take_along softmax mse f32 i64 bool argmax cos maximum ops residual attention adam
    cosine int layer forward select dropout embedding zeros grad vjp jvp lstm h t rearrange einsum augment"""
)
_SIGNS = _words(
    """+ - * / // % ** @ |> >> == < and or . = , ( ) [ ] : { } ~ not -> if else next return heads repeat scan loop along
    carry emit keep while from to down backward lengths in custom_grad @recompute augment pretrained"""
)


def corpus() -> list[str]:
    """The library (but for its large models), the examples, and the programs of tests/errors."""
    large = {"gpt.net", "resnet.net", "prelude.net"}
    files = sorted(path for folder in ("stdlib", "examples") for path in (ROOT / folder).rglob("*.net"))
    texts = [path.read_text("utf-8") for path in files if path.name not in large]
    for document in sorted((ROOT / "tests/errors/programs").glob("*.md")):
        texts += re.findall(r"^```net [\w.]+\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return texts


def mutate(text: str, random: Random) -> str:
    """`text` with one to three words deleted, doubled, exchanged or replaced; names and numbers most often."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        tokens = [(t.type, t.start_pos or 0, t.end_pos or 0) for t in scan(Source("mutant.net", text))[0]]
        if not tokens:
            break
        plain = [token for token in tokens if token[0] in ("NAME", "NUMBER")]
        kind, start, end = random.choice(plain if plain and random.random() < 0.8 else tokens)
        choice = random.random()
        if kind == "NUMBER" and choice < 0.7:
            text = text[:start] + random.choice(_NUMBERS) + text[end:]
        elif kind == "NAME" and choice < 0.7:
            other = random.choice(plain)
            text = text[:start] + random.choice([text[other[1] : other[2]], random.choice(_NAMES)]) + text[end:]
        elif choice < 0.8:
            text = text[:start] + text[end:]
        elif choice < 0.85:
            text = text[:end] + " " + text[start:end] + text[end:]
        elif choice < 0.95:
            text = _exchanged(text, (start, end), random.choice(tokens)[1:])
        else:
            text = text[:start] + random.choice(_SIGNS + _NAMES + _NUMBERS) + " " + text[start:]
    return text


def _exchanged(text: str, one: tuple[int, int], other: tuple[int, int]) -> str:
    (a, b), (c, d) = sorted((one, other))
    return text if a == c else text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]


# --- Random expressions ----------------------------------------------------------------------------------------------

_TENSORS = _words("x n m v c img w")
_LEAVES = _words(
    """x n m v c img w x 1 0 -1 2 0.5 3 true none "a" relu linear b d x.T x[0] f32 i64 identity zeros 1e30 -b f
    mean reshape [1,2] [b,4] [] (x,x) b*4 b-1 b//2 split(2)"""
)
_OPERATORS = _words("+ - * / // % ** @ == < >= and or |> >>")
_FUNCTIONS = [
    name
    for name, op in OPS.items()
    if name not in ("slice", "pad")  # written as indices
    and all(attribute.type not in ("graph", "constant") for attribute in op.signature.attributes)
]
_OTHERS = _words(
    """identity product rank uniform normal uniform_like normal_like bernoulli_like softmax log_softmax flatten
    residual silu mse cross_entropy bce_with_logits accuracy top_k_accuracy mae lower_triangle f32 i64 bool
    linear(4) conv2d(2,3) batch_norm() layer_norm() dropout(0.5) embedding(5,3) max_pool2d(2) avg_pool2d(2)
    attention(2) linear f ops.softmax sgd cosine global_avg_pool"""
)
_VALUES = {
    "int": ["0", "1", "2", "-1", "3", "-5", "b", "1.5"],
    "ints": ["0", "[1, 2]", "[]", "-1", "[0, 0]", "[1]", "[2, 2]", "[0, 1, 2]", "b", "[1, 1, 1, 1]"],
    "size": ["b", "3", "0", "-2", "b * 2"],
    "sizes": ["[b, 4]", "[4]", "[]", "[2, 2]", "0", "[-1]", "[b, 2, 2]", "[b * 4]", "[1, 1, 1, 1]"],
    "float": ["0.5", "1", "none", "1e9", "b"],
    "bool": ["true", "false", "1"],
    "dtype": ["f32", "i64", "bool", "f16", "f64", "i8", "relu"],
    "str": ['"a"'],
}


def program_of(expression: str) -> str:
    """A program that computes and trains on an expression of tensors of several types."""
    return f"""\
use std.layers: linear, conv2d, batch_norm, layer_norm, dropout, embedding, max_pool2d, avg_pool2d, global_avg_pool
use std.attention: attention
fn f(z: f32[*s, d]) -> f32[*s, d] {{ return z * 2 }}
model M(d: int = 4)(x: f32[b, d], n: i64[b], m: bool[b, d], v: f32[d], c: f32, img: f32[b, 2, 6, 6]) {{
  param w: f32[4, 4] ~ ones()
  y = {expression}
  return y, sum(w)
}}
train M {{
  y, z = forward(x, n, m, v, c, img)
  minimize mean(f32(y)) + z
  optimizer adam(0.1)
}}
"""


def expression(random: Random, depth: int) -> str:
    """A random expression; about one in six means something."""
    choice = random.random()
    if depth == 0 or choice < 0.25:
        return random.choice(_LEAVES)
    if choice < 0.75:
        return _call(random, depth)
    if choice < 0.9:
        return f"({expression(random, depth - 1)} {random.choice(_OPERATORS)} {expression(random, depth - 1)})"
    inner, other = expression(random, depth - 1), expression(random, depth - 1)
    item = random.choice(["0", "-1", "1:", "::2", "b:", "n", ":, 0", "none", "0.5", "[0]"])
    return random.choice([
        f"({inner})[{item}]",
        f"if {inner} {{ {other} }} else {{ {inner} }}",
        f"(heads {random.choice(_LEAVES)} over x {{ {inner} }})",
        f"(not {inner})",
        f"[{inner}, {other}]",
    ])  # fmt: skip


def _call(random: Random, depth: int) -> str:
    if random.random() < 0.4:
        arguments = [expression(random, depth - 1) for _ in range(random.choice((0, 1, 1, 1, 2, 3)))]
        return f"{random.choice(_OTHERS)}({', '.join(arguments)})"
    name = random.choice(_FUNCTIONS)
    signature = OPS[name].signature
    arguments = [
        expression(random, depth - 1) if random.random() < 0.4 else random.choice(_TENSORS) for _ in signature.tensors
    ]
    arguments += [_attribute(random, attribute) for attribute in signature.attributes if random.random() < 0.75]
    return f"{name}({', '.join(arguments)})"


def _attribute(random: Random, attribute: AttributeParameter) -> str:
    return f"{attribute.name} = {random.choice(_VALUES[attribute.type])}"
