"""From text to the tokens that the grammar reads: scanning, then layout (which line ends count, which words are names).

Scanning does not stop at a fault: it reports it and hands on the token that was most likely meant, so that one run
shows every fault of a file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from lark import Token

from netlang.diagnostics import Diagnostic, Label
from netlang.source import Source, Span

KEYWORDS = frozenset({
    "use", "const", "fn", "layer", "model", "entry", "train", "param", "state", "let", "next", "return", "if", "else",
    "when", "training", "repeat", "as", "assert", "in", "minimize", "report", "optimizer", "clip", "fit", "where",
    "heads", "over", "and", "or", "not", "true", "false", "none", "scan", "along", "backward", "lengths", "carry",
    "loop", "from", "to", "down", "while", "emit", "keep", "custom_grad", "aggregate", "phase", "updates", "repeats",
    "augment", "pretrained", "average",
})  # fmt: skip
DECLARATIONS = frozenset({"use", "const", "fn", "layer", "model", "train", "pretrained"})
TRAIN_WORDS = frozenset({"in", "minimize", "report", "optimizer", "clip", "average", "fit", "phase", "augment"})
"""Keywords where a statement of a `train` block begins; ordinary names everywhere else."""
HEAD_WORDS = frozenset({"in", "backward", "lengths", "updates", "repeats"})
"""Keywords behind an operand, in the head of a `scan`, an `aggregate` or a `phase`; ordinary names everywhere else."""

CARRIES_ON = frozenset({
    "|>", ">>", "->", "**", "//", "==", "!=", "<=", ">=", ",", ":", "=", "~", "@", "+", "-", "*", "/", "%", "<", ">",
    "and", "or", "not", "where", "else",
})  # fmt: skip
"""After these at its end, a line goes on in the next."""
CONTINUES = frozenset({"|>", ">>", "->", "else", "where", "along", "carry", "custom_grad", "{", "}"})
"""Before these at its start, a line continues the one above."""
CLOSING = {"(": ")", "[": "]", "{": "}"}
_DEEPER = dict.fromkeys(CLOSING, 1) | dict.fromkeys(CLOSING.values(), -1)
_BEFORE_HEAD_WORDS = frozenset({"NAME", "NUMBER", "STRING", ")", "]", "true", "false", "backward"})

MAX_CHARACTERS = 2_000_000
MAX_TOKENS = 200_000
MAX_BRACKETS = 100
MAX_FAULTS = 20
MAX_INTEGER = 2**63 - 1

_SCANNER = re.compile(
    r"""
      (?P<blank>    (?: [ \t\u00a0\ufeff] | \r(?=\n) | \n )+ | \#[^\n]* )
    | (?P<number>   \.?[0-9] (?: [eE][+-](?=[0-9]) | \.(?![A-Za-z_]) | [A-Za-z0-9_] )* )
    | (?P<word>     [^\W\d]\w* )
    | (?P<string>   " (?: \\. | [^"\\\n] )* "? )
    | (?P<operator> \|> | >> | -> | \*\* | // | == | != | <= | >= | [-+*/%()\[\]{},;:.=~@<>] )
    | (?P<foreign>  && | \|\| | ' (?: \\. | [^'\\\n] )* ' | . )
    """,
    re.VERBOSE,
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)")
_NUMBER = re.compile(r"(?=\.?[0-9])(?:[0-9](?:_?[0-9])*)?(?:\.(?:[0-9](?:_?[0-9])*)?)?(?:[eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(.?)")
_ESCAPED = {'"': '"', "\\": "\\", "n": "\n"}
_MEANT = {  # what is written elsewhere -> what it is here
    "&&": "and", "||": "or", "!": "not", "^": "**",
    "≤": "<=", "≥": ">=", "≠": "!=", "−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "→": "->",
}  # fmt: skip


def scan(source: Source, text: str | None = None, offset: int = 0) -> tuple[list[Token], list[Diagnostic]]:
    """The tokens of `text`, which stands at `offset` in `source` (by default all of it), and the faults in them.

    A token's `type` is NAME, NUMBER, STRING, the word or operator itself, or FOREIGN for what cannot be one.
    """
    text = source.text if text is None else text
    if len(text) > MAX_CHARACTERS:
        return [], [_too_large(f"more than {MAX_CHARACTERS:,} characters", None)]
    if control := _CONTROL.search(text):
        return [], [_control_fault(source, control[0], offset + control.start())]
    tokens: list[Token] = []
    faults: list[Diagnostic] = []
    line, depth = source.position(offset)[0], 0
    for match in _SCANNER.finditer(text):
        kind, value = match.lastgroup, match[0]
        if kind == "blank":  # line ends are nowhere else
            line += value.count("\n")
            continue
        start, end = offset + match.start(), offset + match.end()
        if kind == "operator":
            depth = max(0, depth + _DEEPER.get(value, 0))
        elif not (kind == "word" and value.isascii()):
            fault = _fault(kind, value, Span(source, start, end))
            faults += [] if fault is None else [fault]
        if depth > MAX_BRACKETS:
            faults.append(_depth_fault(Span(source, start, end)))
        if len(tokens) >= MAX_TOKENS:
            return [], [_too_large(f"more than {MAX_TOKENS:,} words and signs", Label(Span(source, start, end)))]
        if depth > MAX_BRACKETS or len(faults) >= MAX_FAULTS:
            break
        meant = _MEANT.get(value, value) if kind == "foreign" else value
        tokens.append(Token(_type(kind, meant), meant, start_pos=start, line=line, end_pos=end))
    return tokens, faults


def unescape(literal: str) -> str:
    """The text that a string literal, quotes included, stands for."""
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), literal[1:-1])


def number(literal: str) -> int | float:
    """The value of a number literal."""
    digits = literal.replace("_", "")
    return int(digits) if digits.isdigit() else float(digits)


def layout(tokens: Sequence[Token], start: int = 0) -> Iterator[Token]:
    """The tokens from `start` on as the grammar wants them: with `_NL` between statements, and words settled.

    `start` must be at the top level of a file. A line end or `;` separates statements only between braces or at the
    top level. A keyword is a plain name after `.`, as the name of an argument, and, where it is a word of `train` or
    of the head of a construct, away from the places that they have there.
    """
    brackets: list[str] = []
    previous: Token | None = None  # the last one handed on
    separator: Token | None = None  # a `;` since then
    in_train = False
    for i in range(start, len(tokens)):
        token = tokens[i]
        in_braces = not brackets or brackets[-1] == "{"
        if in_braces and token.type == ";":
            separator = token
            continue
        if in_braces and previous is not None and _separates(previous, separator, token):
            place = previous.end_pos
            previous = Token("_NL", separator or "", start_pos=place, line=previous.line, end_pos=place)
            yield previous
        separator = None
        begins = in_braces and (previous is None or previous.type in ("_NL", "{"))
        if begins and not brackets and token.type in DECLARATIONS:
            in_train = token.type == "train"
        following = tokens[i + 1] if i + 1 < len(tokens) else None
        if _is_name(token, previous, following, brackets, begins, in_train):
            token = token.update(type="NAME")
        if token.type in CLOSING:
            brackets.append(token.type)
        elif token.type in CLOSING.values() and brackets:
            brackets.pop()
        previous = token
        yield token


def _separates(previous: Token, separator: Token | None, token: Token) -> bool:
    """Whether a statement ends between two tokens of a block."""
    if previous.type == "{" or token.type == "}":
        return False
    if separator is not None:
        return True
    return token.line != previous.line and previous.type not in CARRIES_ON and token.type not in CONTINUES


def _is_name(
    token: Token, previous: Token | None, following: Token | None, brackets: list[str], begins: bool, in_train: bool
) -> bool:
    """Whether a word is an ordinary name where it stands."""
    word = token.type
    if word not in KEYWORDS:
        return False
    if previous is not None and previous.type == ".":
        return True
    if following is not None and following.type == "=" and brackets and brackets[-1] == "(":
        return True
    if word in HEAD_WORDS and previous is not None and previous.type in _BEFORE_HEAD_WORDS:
        return False
    if word == "keep":
        return not (begins and following is not None and following.type == "NAME" and following.line == token.line)
    if word in TRAIN_WORDS:
        return not (begins and in_train)
    return word in HEAD_WORDS or (word == "training" and (previous is None or previous.type != "when"))


def _type(kind: str | None, value: str) -> str:
    match kind:
        case "word":
            return value if value in KEYWORDS else "NAME"
        case "operator":
            return value
        case "number":
            return "NUMBER"
        case "string":
            return "STRING"
    if value.startswith("'"):
        return "STRING"
    return value if value in CARRIES_ON else "FOREIGN"


def _fault(kind: str | None, value: str, span: Span) -> Diagnostic | None:
    """What is wrong with a token that is no operator and no ASCII word, if anything."""
    match kind:
        case "number":
            return _number_fault(value, span)
        case "word":
            return _letter_fault(value, span)
        case "string":
            return _string_fault(value, span)
        case "foreign":
            return _foreign_fault(value, span)
    return None


def _number_fault(value: str, span: Span) -> Diagnostic | None:
    if not _NUMBER.fullmatch(value):
        title, way_out = f"`{value}` is not a number", "numbers look like `64`, `0.5`, `1e-3` or `1_000`"
        if re.fullmatch(r"[0-9]+[A-Za-z_]\w*", value):
            way_out = "a name begins with a letter; " + way_out
        return Diagnostic("invalid-number", title, Label(span), help=way_out)
    digits = value.replace("_", "")
    if digits.isdigit():
        if len(digits.lstrip("0")) > 19 or int(digits) > MAX_INTEGER:
            return Diagnostic(
                "invalid-number", f"this integer is larger than {MAX_INTEGER}", Label(span, "does not fit 64 bits")
            )
    elif float(digits) == float("inf"):
        return Diagnostic("invalid-number", f"`{value}` is larger than any 64-bit float", Label(span))
    elif float(digits) == 0 and re.search("[1-9]", re.split("[eE]", digits)[0]):
        return Diagnostic("invalid-number", f"`{value}` is so small that it rounds to zero", Label(span))
    return None


def _string_fault(value: str, span: Span) -> Diagnostic | None:
    if len(value) < 2 or not re.fullmatch(r'"(?:\\.|[^"\\])*"', value):
        return Diagnostic(
            "unterminated-string", 'this string has no closing `"`', Label(span), help="a string ends on its own line"
        )
    for escape in _ESCAPE.finditer(value):
        if escape[1] not in _ESCAPED:
            place = Span(span.source, span.start + escape.start(), span.start + escape.end())
            title = f"`{escape[0]}` is not an escape"
            return Diagnostic("invalid-escape", title, Label(place), help=r"the escapes are `\"`, `\\` and `\n`")
    return None


def _letter_fault(value: str, span: Span) -> Diagnostic:
    foreign = next(letter for letter in value if not letter.isascii())
    spelled = "".join(letter if letter.isascii() else _spell(letter) for letter in value)
    return Diagnostic(
        "invalid-character",
        f"`{foreign}` cannot be part of a name",
        Label(span),
        help=f"write `{spelled}`" if spelled.isidentifier() and spelled.isascii() else "names are ASCII: a-z A-Z 0-9 _",
    )


def _spell(letter: str) -> str:
    """`β` as `beta`; `?` for what has no customary spelling."""
    name = unicodedata.name(letter, "")
    match = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", name)
    if match is None:
        return "?"
    word = match[2].lower().replace("lamda", "lambda")
    return word if match[1] == "SMALL" else word.capitalize()


_INSTEAD = {
    **dict.fromkeys("“”„«»", 'strings are written in double quotes: `"…"`'),
    "&": "`and` joins conditions",
    "|": "`x |> f` applies f, and `or` joins conditions",
    "?": "`if c { a } else { b }` chooses between two values; a size that is not known has a name",
    "\\": "a line goes on in the next one inside brackets, and after an operator",
}


def _foreign_fault(value: str, span: Span) -> Diagnostic:
    if value.startswith("'") and len(value) > 1:
        return Diagnostic(
            "invalid-character", "strings are written in double quotes", Label(span), help=f'write "{value[1:-1]}"'
        )
    if value in _MEANT:
        return Diagnostic(
            "invalid-character", f"`{value}` is not an operator", Label(span), help=f"write `{_MEANT[value]}`"
        )
    described = "" if value.isascii() else f" ({unicodedata.name(value, f'U+{ord(value):04X}').lower()})"
    way_out = _INSTEAD.get(value)
    return Diagnostic("invalid-character", f"`{value}`{described} has no meaning here", Label(span), help=way_out)


def _control_fault(source: Source, character: str, offset: int) -> Diagnostic:
    name = (
        "a carriage return without a line feed"
        if character == "\r"
        else f"the control character U+{ord(character):04X}"
    )
    return Diagnostic(
        "invalid-character",
        f"the text contains {name}",
        Label(Span(source, offset, offset + 1)),
        help="is this a text file in UTF-8?",
    )


def _too_large(amount: str, place: Label | None) -> Diagnostic:
    way_out = "split it into files that `use` each other; weights and data belong in files of their own"
    return Diagnostic("file-too-large", f"the file has {amount}", place, help=way_out)


def _depth_fault(span: Span) -> Diagnostic:
    return Diagnostic(
        "nesting-too-deep",
        f"brackets are nested more than {MAX_BRACKETS} deep",
        Label(span),
        help="name parts of the expression with assignments, or repeat with `repeat`",
    )
