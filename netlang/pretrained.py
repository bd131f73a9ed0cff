"""`pretrained`: the patterns that its rules are made of, and what is wrong with a rule before any file is read."""

from __future__ import annotations

from collections.abc import Iterator

from netlang.diagnostics import Diagnostic, Label, did_you_mean
from netlang.source import Span
from netlang.syntax import Pretrained, Rule

WORDS = {
    "transpose": "swaps the last two axes",
    "reshape": "takes the shape of the weight that it fills",
    "ignore": "leaves out what the file has and the model has not",
    "new": "begins as the model says, whatever the file has",
}
"""Words before the patterns of a rule, and what each does. Without one, a rule renames, joins or splits."""


def matched(pattern: str, name: str) -> tuple[str, ...] | None:
    """What each `*` of a pattern stands for in a name, as little as possible from the left; None without a match."""
    first, *rest = pattern.split("*")
    if not rest:
        return () if pattern == name else None
    *middle, last = rest
    position, end = len(first), len(name) - len(last)
    if position > end or not name.startswith(first) or not name.endswith(last):
        return None
    stars: list[str] = []
    for part in middle:
        at = name.find(part, position, end)
        if at < 0:
            return None
        stars.append(name[position:at])
        position = at + len(part)
    return (*stars, name[position:end])


def filled(pattern: str, stars: tuple[str, ...]) -> str:
    """The name that a pattern makes where its stars stand for these texts."""
    first, *rest = pattern.split("*")
    return first + "".join(text + part for text, part in zip(stars, rest, strict=True))


def check_pretrained(declaration: Pretrained) -> Iterator[Diagnostic]:
    """The faults of a declaration that show without its files."""
    if len(declaration.models) > 1 and declaration.files:
        yield _bad("a file holds the weights of one model", declaration.files[0].span,
                   "several models can share rules, and each gets its file by `--weights`")  # fmt: skip
    for rule in declaration.rules:
        for pattern in (*rule.sources, *rule.targets):
            if not pattern.value:
                yield _bad(
                    "this pattern is empty", pattern.span, 'a name, such as `"fc.weight"`, or `"fc.*"` for several'
                )
        yield from _word(rule) if rule.word is not None else _arrow(rule)


def _word(rule: Rule) -> Iterator[Diagnostic]:
    word = rule.word
    assert word is not None
    if word.name not in WORDS:
        known = did_you_mean(word.name, WORDS) or f"the words are {', '.join(WORDS)}"
        way_out = 'write `"a" -> "b"`, without a word' if word.name in ("rename", "fuse", "join", "split") else known
        yield _bad(f"`{word.name}` is no word of a rule", word.span, way_out)
    elif rule.targets:
        yield _bad(f"`{word.name}` takes names and no `->`", rule.span, f"`{word.name}` {WORDS[word.name]}")


def _arrow(rule: Rule) -> Iterator[Diagnostic]:
    if not rule.targets:
        yield _bad("this rule does not say what to do", rule.span,
                   'rename with `"theirs" -> "ours"`, or leave out with `ignore "theirs"`')  # fmt: skip
    elif len(rule.sources) > 1 and len(rule.targets) > 1:
        yield _bad("a rule joins several into one, or splits one into several", rule.span, "write one rule for each")
    else:
        first, *others = (*rule.sources, *rule.targets)
        for other in others:
            if other.value.count("*") != first.value.count("*"):
                yield _bad("the patterns of a rule have equally many `*`", other.span,
                           "each stands for the text of the one at the same place on the other side")  # fmt: skip


def _bad(title: str, span: Span, way_out: str) -> Diagnostic:
    return Diagnostic("bad-rule", title, Label(span), help=way_out)
