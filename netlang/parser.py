"""From source text to the syntax tree, or to every syntax error of the file.

The grammar is `grammar.lark`, of which `grammar_tables` has Lark's parser.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from lark import Token, UnexpectedToken

from netlang import syntax
from netlang.branches import Branch
from netlang.builder import Builder
from netlang.diagnostics import Diagnostic, DiagnosticError, fail
from netlang.grammar_tables import END, feed, grammar_parser
from netlang.mistake import Mistake
from netlang.mistakes import explain
from netlang.source import Source, Span
from netlang.tokens import DECLARATIONS, MAX_FAULTS, layout, scan, unescape

_TEMPLATE_PART = re.compile(r"\\.|\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}\\]+")


def parse(source: Source) -> syntax.Module:
    """The tree of a file.

    Raises DiagnosticError with every syntax error: after one, reading goes on with the next top-level declaration.
    """
    tokens, faults = scan(source)
    margin = [token.start_pos or 0 for token in tokens if _begins_declaration(source, token)]
    misspelled = {bisect_right(margin, _offset(fault)) for fault in faults}  # declarations, by their number
    builder = Builder(source)
    declarations: list[syntax.Declaration] = []
    start: int | None = 0 if tokens or not faults else None
    while start is not None and len(faults) < MAX_FAULTS:
        tree, fault, start = _read(source, tokens, start, "module", "end of file")
        if fault is not None and bisect_right(margin, _offset(fault)) not in misspelled:
            faults.append(fault)
        if tree is not None and not misspelled:
            declarations.extend(builder.build(tree) or ())
    faults.extend(builder.faults)
    for message in builder.messages:
        faults.extend(_template_faults(message))
    if faults:
        raise DiagnosticError(*sorted(faults, key=_offset))
    return syntax.Module(source, _module_doc(source), tuple(declarations))


def parse_expression(source: Source, text: str, offset: int) -> syntax.Expr:
    """The expression `text`, which stands at `offset` in `source`."""
    return _parse_part(source, text, offset, "expression", "end of expression")


def parse_signature(text: str) -> syntax.Definition:
    """An operator's signature, such as `"relu(x: f[*s]) -> f[*s]"`, as a `fn` with an empty body."""
    return _parse_part(Source("<signature>", text), text, 0, "signature", "end of signature")


def parse_template(message: syntax.String) -> tuple[str | syntax.Expr, ...]:
    """The parts of a message: text, and the expressions between its braces. `{{` and `}}` stand for `{` and `}`."""
    parts: list[str | syntax.Expr] = []
    source, start = message.span.source, message.span.start + 1
    for match in _TEMPLATE_PART.finditer(message.span.text[1:-1]):
        place = Span(source, start + match.start(), start + match.end())
        if match[1] is not None:
            parts.append(parse_expression(source, match[1], place.start + 1))
            continue
        if match[0] in ("{", "}"):
            way_out = f"a brace in a message is written twice: `{match[0] * 2}`"
            raise fail("invalid-message", f"this `{match[0]}` has no partner", place, help=way_out)
        text = match[0][0] if match[0] in ("{{", "}}") else unescape(f'"{match[0]}"')
        last = parts[-1] if parts else None
        if isinstance(last, str):
            parts[-1] = last + text
        else:
            parts.append(text)
    return tuple(parts)


def accepted_tokens(source: Source) -> list[Token]:
    """The tokens of a file that parses, as the grammar saw them (`_NL` between statements, soft words settled)."""
    return list(layout(scan(source)[0]))


def _read(
    source: Source, tokens: Sequence[Token], start: int, rule: str, end: str
) -> tuple[Branch | None, Diagnostic | None, int | None]:
    """The tree of the tokens from `start` on; or the first fault and the token from which to go on, if any."""
    parser = grammar_parser()
    state = parser.begin(rule)
    accepted: list[Token] = []
    token = None
    try:
        for token in layout(tokens, start):
            feed(state, token)
            accepted.append(token)
        place = tokens[-1].end_pos if tokens else 0
        token = Token(END, "", start_pos=place, end_pos=place, line=source.position(place or 0)[0])
        return feed(state, token), None, None
    except UnexpectedToken:
        assert token is not None
        found = bisect_left(tokens, token.start_pos or 0, key=lambda candidate: candidate.start_pos or 0)
        following = tokens[found + 1] if found + 1 < len(tokens) else None
        fault = explain(Mistake(source, accepted, token, following, parser.expected(state), end))
        later = range(max(found, start + 1), len(tokens))
        return None, fault, next((i for i in later if _begins_declaration(source, tokens[i])), None)


def _begins_declaration(source: Source, token: Token) -> bool:
    """Whether a token is where reading can start anew: the word of a declaration at the left margin."""
    place = token.start_pos or 0
    return token.type in DECLARATIONS and (place == 0 or source.text[place - 1] == "\n")


def _parse_part(source: Source, text: str, offset: int, rule: str, end: str):
    tokens, faults = scan(source, text, offset)
    if not faults:
        tree, fault, _ = _read(source, tokens, 0, rule, end)
        if tree is not None:
            builder = Builder(source)
            node = builder.build(tree)
            faults = builder.faults
            if not faults:
                return node
        elif fault is not None:
            faults = [fault]
    raise DiagnosticError(*faults)


def _template_faults(message: syntax.String) -> Sequence[Diagnostic]:
    try:
        parse_template(message)
    except DiagnosticError as error:
        return error.diagnostics
    return ()


def _offset(fault: Diagnostic) -> int:
    return fault.primary.span.start if fault.primary else 0


def _module_doc(source: Source) -> str:
    """The `##` comment at the top of a file that an empty line parts from what follows."""
    lines: list[str] = []
    for line in map(str.strip, source.text.split("\n")):
        if line.startswith("##"):
            lines.append(line[2:].removeprefix(" "))
        elif lines or (line and not line.startswith("#")):
            return "\n".join(lines) if not line else ""
    return "\n".join(lines)
