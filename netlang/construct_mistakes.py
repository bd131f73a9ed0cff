"""Syntax errors in the heads of constructs: `scan`, `loop`, `heads`, `aggregate`, axis patterns, `pretrained`, …."""

from __future__ import annotations

from collections.abc import Sequence

from lark import Token

from netlang.diagnostics import Diagnostic, Label
from netlang.mistake import Mistake


def iteration_head(mistake: Mistake) -> Diagnostic | None:
    """Faults between `scan` or `loop` and the `{` of its body."""
    found, expected = mistake.found, mistake.expected
    if found.type == "while" and mistake.begins_statement:
        return mistake.fault("a `while` stands in the head of a `loop`", "write `loop while … carry x = … { … }`")
    if not {"scan", "loop"} & mistake.statement_words():
        return None
    if "in" in expected:
        way_out = "write `scan x_t in x along t …`"
        if found.type == ",":
            way_out += "; a counter is a carry: `carry i = 0`, and `next i = i + 1` in the body"
        return mistake.fault("a `scan` names an element of each of its sequences", way_out)
    if "along" in expected:
        way_out = "write `scan x_t in x along t …`, where `t` is a dimension of `x`"
        return mistake.fault("a `scan` says along which dimension it runs", way_out)
    if expected & {"from", "to"} or (expected == {"NAME", "while"} and mistake.previous == "loop"):
        way_out = "write `loop i from 1 to n …`, `loop i from n down to 1 …` or `loop while … …`"
        return mistake.fault("a `loop` says how far it runs", way_out)
    if found.type in ("lengths", "backward", "along") and "carry" in mistake.statement_words():
        return mistake.fault(f"`{found}` stands before `carry`", _SCAN_HEAD)
    if expected == {"="}:
        way_out = f"write `carry {mistake.previous} = …`, with what it is before the first round"
        return mistake.fault(f"the carry `{mistake.previous}` has no value to begin with", way_out)
    if found.value in ("step", "by") and "carry" in expected:
        return mistake.fault("a `loop` counts by 1", "multiply where the number is used: `2 * i`")
    if "backward" in expected and found.type == "NAME":
        return mistake.fault(f"expected the rest of the head of a `scan`, found `{found}`", _SCAN_HEAD)
    return None


def repeated_head(mistake: Mistake) -> Diagnostic | None:
    """Faults between `heads` or `repeat` and the `{` of its body."""
    words = mistake.statement_words()
    if mistake.previous == "heads" and mistake.found.type == "over":
        return mistake.fault("a `heads` says how many there are", "write `heads 4 over q, k, v { … }`")
    if mistake.previous == "over" and "heads" in words:
        return mistake.fault("the tensors of a `heads` stand without brackets", "write `heads h over q, k, v { … }`")
    if "heads" in words and ("over" in mistake.expected or mistake.expected == {",", "{"}):
        way_out = "write `heads h over q, k, v { … }`, with names of tensors"
        return mistake.fault("a `heads` says what it splits", way_out)
    if "repeat" in words and mistake.found.type == "in":
        return mistake.fault("a `repeat` says how often", "write `repeat n { … }`, or `repeat n as i { … }`")
    return None


def graph_head(mistake: Mistake) -> Diagnostic | None:
    """Faults between `aggregate` and the `{` of its body, and in the brackets that name an edge."""
    if mistake.found.type == "->" and mistake.previous is not None and "]" in mistake.expected:
        return mistake.fault("an edge in brackets is two names", "write `alpha[u -> v]`")
    if [token.value for token in mistake.before[-3:-1]] == ["over", "("]:
        return mistake.fault("an edge goes from one node to another", _AGGREGATE_HEAD)
    if "aggregate" not in mistake.statement_words() and mistake.previous != "aggregate":
        return None
    if mistake.expected & {"over", "->", "NAME"} == mistake.expected or mistake.expected == {"("}:
        return mistake.fault("an `aggregate` says what it does over which edges", _AGGREGATE_HEAD)
    if "in" in mistake.expected:
        return mistake.fault("an `aggregate` says where its edges are", _AGGREGATE_HEAD)
    return None


_AGGREGATE_HEAD = "write `aggregate sum over (u -> v) in edges { … }`; or `mean`, `max`, `min`, `softmax`"


def axis_pattern(mistake: Mistake) -> Diagnostic | None:
    """Faults in the parentheses of `rearrange(x: b t d -> b d t)`, before and behind the `:`."""
    opened = mistake.open_brackets()
    if not opened or opened[-1].type != "(":
        return None
    start = place(mistake, opened[-1])
    inside = {token.type for token in mistake.before[start:]}
    if start and mistake.before[start - 1].value in ("rearrange", "einsum"):
        if ":" not in inside and _is_second_name(mistake):
            return mistake.fault("the names of axes stand behind a `:`", _PATTERN)
        if "->" in inside and mistake.found.type == ",":
            way_out = "a size is known by its name: write `h = 4` in a line before"
            return mistake.fault("an axis pattern ends with the axes of the result", way_out)
    if not {"->", ","} <= mistake.expected:
        return None
    if mistake.found.type == "STRING" and mistake.previous == ":":
        return mistake.fault("the names of axes stand without quotes", _PATTERN)
    if mistake.found.type == ")" and ":" in inside:
        return mistake.fault("an axis pattern says what the axes become", _PATTERN)
    return None


def _is_second_name(mistake: Mistake) -> bool:
    """Whether a name follows a name."""
    return mistake.previous is not None and mistake.previous.type == mistake.found.type == "NAME"


_PATTERN = "write `rearrange(x: b t d -> b d t)`, or `x |> rearrange(: b t d -> b d t)`"


def augment_head(mistake: Mistake) -> Diagnostic | None:
    if mistake.expected != {"{"} or mistake.previous is None or mistake.previous.type != "augment":
        return None
    return mistake.fault("what `augment` does stands in braces", "write `augment { image = image |> … }`")


def pretrained(mistake: Mistake) -> Diagnostic | None:
    """Faults in the head of `pretrained`, and in the rules between its braces."""
    if mistake.previous is not None and mistake.previous.type == "pretrained":
        way_out = 'write `pretrained NAME "file.safetensors"`, with the name of a model'
        return mistake.fault("`pretrained` says which model it is for", way_out)
    opened = mistake.open_brackets()
    before = mistake.before[: place(mistake, opened[-1])] if opened else ()
    words = {token.type for token in before[_last_line(before) :]}
    if "pretrained" not in words:
        return None
    if mistake.found.type == "=":
        return mistake.fault("a rule has an arrow", 'write `"theirs" -> "ours"`')
    first = mistake.first_word
    if "STRING" in mistake.expected and first is not None and first.type == "NAME":
        return Diagnostic("syntax-error", "names of weights stand in quotes", Label(mistake.span(first)), help=_RULE)
    return None


_RULE = 'write `"fc.weight" -> "linear.weight"`, or `ignore "fc.bias"`'


def place(mistake: Mistake, token: Token) -> int:
    """Where among the accepted tokens one of them is."""
    return next(i for i, other in enumerate(mistake.before) if other is token)


def _last_line(tokens: Sequence[Token]) -> int:
    """Where the last statement or declaration of `tokens` begins."""
    return max((i + 1 for i, token in enumerate(tokens) if token.type == "_NL"), default=0)


def phase_head(mistake: Mistake) -> Diagnostic | None:
    """Faults between `phase` and the `{` of its body."""
    if mistake.expected == {"updates"}:
        name = mistake.previous if mistake.previous != "updates" else "NAME"
        way_out = f"write `phase {name} updates encoder, decoder {{ … }}`"
        return mistake.fault("a phase says what it updates", way_out)
    return None


_SCAN_HEAD = "after `along t` there can be `backward`, `lengths n` and `carry h = …`, in this order; then `{ … }`"
