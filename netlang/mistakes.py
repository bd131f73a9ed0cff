"""What to say about a syntax error: what was found, what would fit, and how the habits of other languages go here."""

from __future__ import annotations

from collections.abc import Callable

from lark import Token

from netlang.construct_mistakes import (
    augment_head,
    axis_pattern,
    graph_head,
    iteration_head,
    phase_head,
    pretrained,
    repeated_head,
)
from netlang.diagnostics import Diagnostic, Label, did_you_mean
from netlang.mistake import Mistake
from netlang.source import Source, Span
from netlang.tokens import CLOSING, DECLARATIONS, KEYWORDS, TRAIN_WORDS
from netlang.train_mistakes import train_mistake
from netlang.types import DTYPES

_INSIDE = frozenset({  # keywords that begin no statement
    "as", "and", "or", "not", "over", "true", "false", "none", "where", "along", "backward", "lengths", "carry", "from",
    "to", "down", "while", "custom_grad", "updates", "repeats",
})  # fmt: skip
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_ARITHMETIC = frozenset({"+", "-", "*", "/", "//", "%", "@", "**"})
_AFTER_VALUE = _COMPARISONS | _ARITHMETIC | {"and", "or", "|>", ">>", "(", "[", "."}
_DEFINE = "write `layer NAME(…)(x: …) -> … { … }`, or `fn` where there are no parameters to learn"
_USE = 'names of other files come with `use std.layers: linear` or `use "./blocks.net": stem`'
_ELSEWHERE = {  # words of other languages -> how it is said here
    **dict.fromkeys(("def", "function", "func", "fun", "lambda"), _DEFINE),
    **dict.fromkeys(("class", "module", "network", "struct"), "write `model NAME(…)(x: …) -> … { … }`, or `layer`"),
    **dict.fromkeys(("import", "include", "require"), _USE),
    **dict.fromkeys(
        ("for", "foreach"),
        "`loop i from 0 to n - 1 carry x = … { … }` counts at run time, `repeat n as i { … }` while compiling",
    ),
    **dict.fromkeys(("elif", "elseif"), "write `else if`"),
    "with": "write `stop_gradient(x)` for what has no gradient",
    "yield": "`emit …` adds to the results of each round of a `scan` or `loop`",
    **dict.fromkeys(("var", "val", "mut", "auto"), "write `x = …`, or `let f = …` for a layer that is used again"),
}


def explain(mistake: Mistake) -> Diagnostic:
    """The diagnostic for a syntax error: from the first rule that knows it, else what would fit and what was found."""
    for rule in _RULES:
        fault = rule(mistake)
        if fault is not None:
            return fault
    after = "" if mistake.begins_statement else f" after `{mistake.previous}`"
    return mistake.fault(f"expected {_what_fits(mistake)}{after}, found {mistake.describe()}")


def _what_fits(mistake: Mistake) -> str:
    expected = mistake.expected
    if "let" in expected:
        return "a statement"
    if "NUMBER" in expected:
        return "an expression"
    if "layer" in expected and "use" not in expected:
        return "a type"
    if "+" in expected:  # behind an expression: what ends it, an axis pattern apart
        expected = (
            expected - _AFTER_VALUE - ({":"} if ")" in expected else set()) - {"=" if expected & {",", "_NL"} else ""}
        )
        if expected & {"_NL", "$END"}:
            expected = expected - {","}
    choices = [word for token, word in _KINDS.items() if token in expected]
    rest = expected - _KINDS.keys() - {"$END", "}" if choices else ""}
    choices += [f"`{word}`" for word in sorted(rest, key=lambda word: (word != ",", word))]
    return ", ".join(choices[:-1]) + (" or " if choices[1:] else "") + choices[-1] if choices else mistake.end


_KINDS = {"NAME": "a name", "STRING": "a string", "_NL": "the end of the line"}


# --- Rules: each knows one mistake -----------------------------------------------------------------------------------


def _bracket(mistake: Mistake) -> Diagnostic | None:
    found, opened = mistake.found, mistake.open_brackets()
    in_braces = not opened or opened[-1].type == "{"
    if in_braces and found.type in CLOSING.values() and all(CLOSING[opener.type] != found.type for opener in opened):
        return mistake.fault(f"this `{found}` closes nothing", code="unopened-bracket")
    if not opened:
        return None
    opener, last = opened[-1], mistake.before[-1]
    wrong_closer = found.type in CLOSING.values() and found.type != CLOSING[opener.type]
    if not (found.type == "$END" or wrong_closer or _has_left(mistake, opener)):
        return None
    before = mistake.end if found.type == "$END" else f"`{found}`"
    if opener.type == "{":
        opener, last, before = _misindented(mistake) or (opener, last, before)
    end = mistake.span(last).end
    return Diagnostic(
        "unclosed-bracket",
        f"`{opener}` is not closed before {before}",
        Label(Span(mistake.source, end, end), f"expected `{CLOSING[opener.type]}`"),
        (Label(mistake.span(opener), "opened here"),),
    )


def _misindented(mistake: Mistake) -> tuple[Token, Token, str] | None:
    """The first `{` whose `}` is indented less than the line that opens it, and the token before that `}`."""
    opened: list[Token] = []
    for i, token in enumerate(mistake.before):
        if token.type == "{":
            opened.append(token)
        elif token.type == "}" and opened:
            opener = opened.pop()
            column, begins_line = _column(mistake.source, token)
            if begins_line and column < _indentation(mistake.source, opener):
                return opener, mistake.before[i - 1], "`}`"
    return None


def _indentation(source: Source, token: Token) -> int:
    line = source.line(token.line or 1)
    return len(line) - len(line.lstrip())


def _has_left(mistake: Mistake, opener: Token) -> bool:
    """Whether `found` begins a line that is indented too little to be inside `opener`."""
    found = mistake.found
    column, found_begins = _column(mistake.source, found)
    if not found_begins or found.line == opener.line:
        return False
    if opener.type == "{":
        return found.type in DECLARATIONS and column == 0
    return column <= _indentation(mistake.source, opener)


def _column(source: Source, token: Token) -> tuple[int, bool]:
    """Characters before a token in its line, and whether they are all blank."""
    start = token.start_pos or 0
    line_start = source.text.rfind("\n", 0, start) + 1
    return start - line_start, not source.text[line_start:start].strip()


def _other_language(mistake: Mistake) -> Diagnostic | None:
    could_begin = mistake.begins_statement or (mistake.previous is not None and mistake.previous.type == "}")
    inside = mistake.previous if mistake.found.type == "NAME" and mistake.previous == "lambda" else None
    for token in (mistake.found if could_begin else None, mistake.first_word, inside):
        if token is not None and token.type == "NAME" and token.value in _ELSEWHERE:
            title = f"`{token}` is not a word of this language"
            return Diagnostic("syntax-error", title, Label(mistake.span(token)), help=_ELSEWHERE[token.value])
        if token is not None and token.value == "from":
            return Diagnostic("syntax-error", "`from` does not begin a line", Label(mistake.span(token)), help=_USE)
    return None


def _reserved_word(mistake: Mistake) -> Diagnostic | None:
    found, first = mistake.found, mistake.first_word
    if found.type in ("=", ",", ".") and first is not None and first.type in KEYWORDS:
        if first.type in TRAIN_WORDS and found.type == "=":
            return mistake.fault(f"`{first}` takes no `=`", f"write `{first} …`")
        if first.type == "next":
            return mistake.fault("`next` says what it sets", "write `next h = …`, for a carry or a state called `h`")
        return _not_a_name(mistake, first)
    begins_line = mistake.begins_statement or _column(mistake.source, found)[1]
    if found.type in KEYWORDS and begins_line and mistake.following == "=":
        return _not_a_name(mistake, found)
    if found.type in KEYWORDS and "NAME" in mistake.expected and not (mistake.line_ended or mistake.begins_statement):
        return _not_a_name(mistake, found)
    return None


def _behind_comma(mistake: Mistake) -> Diagnostic | None:
    """`next h = a, emit h`."""
    if mistake.previous != "," or mistake.found.type not in _BEGIN or mistake.begins_statement:
        return None
    way_out = f"put `{mistake.found}` on a line of its own, or behind a `;`"
    return mistake.fault("statements are not separated by commas", way_out)


_BEGIN = frozenset({  # keywords that begin a statement, and are never part of an expression
    "emit", "keep", "return", "param", "state", "let", "assert", "repeat", "when", *TRAIN_WORDS,
}) - {"in"}  # fmt: skip


def _not_a_name(mistake: Mistake, word: Token) -> Diagnostic:
    title = f"`{word}` is a word of the language and cannot be a name"
    way_out = f"another name will do, such as `{word}_`"
    if mistake.following == "(":
        way_out = _CALLED.get(word, way_out)
    return Diagnostic("reserved-word", title, Label(mistake.span(word)), help=way_out)


_CALLED = {  # words that are functions elsewhere -> what is meant
    "where": "`select(condition, a, b)` chooses between elements",
    **dict.fromkeys(("param", "state"), "it is declared in a statement: `param scale: f32[8] ~ ones()`"),
}


def _type(mistake: Mistake) -> Diagnostic | None:
    """Faults of a type: `x: [b, d]` and `x: f32(b, d)`."""
    if mistake.found.type == "[" and mistake.previous == ":" and {"layer", "NAME"} <= mistake.expected:
        return mistake.fault(
            "a type begins with what its elements are", "write `f32[…]`, or `i64[…]` for whole numbers"
        )
    of_elements = mistake.previous is not None and mistake.previous.value in DTYPES
    if mistake.found.type == "(" and "[" in mistake.expected and of_elements:
        return mistake.fault("sizes stand in square brackets", f"write `{mistake.previous}[…]`")
    return None


def _when(mistake: Mistake) -> Diagnostic | None:
    if mistake.expected != {"training"}:
        return None
    return mistake.fault("`when` tells training from everything else", "write `when training { … } else { … }`")


def _same_line(mistake: Mistake) -> Diagnostic | None:
    """Two statements on one line."""
    found = mistake.found.type
    begins = found in KEYWORDS - _INSIDE - TRAIN_WORDS - {"if", "heads", "scan", "loop", "aggregate", "else", "next"}
    if not begins or "_NL" not in mistake.expected or mistake.begins_statement:
        return None
    title = f"expected the end of the line after `{mistake.previous}`, found {mistake.describe()}"
    return mistake.fault(title, "a statement begins on a line of its own, or behind a `;`")


def _misplaced(mistake: Mistake) -> Diagnostic | None:
    word = mistake.found.type
    first = mistake.first_word
    if first is not None and first.type == "NAME" and first.value in TRAIN_WORDS:
        title = f"`{first}` belongs in a `train` block"
        return Diagnostic("misplaced-statement", title, Label(mistake.span(first)))
    if word == "entry" and ("use" in mistake.expected or mistake.begins_statement):
        return mistake.fault("`entry` belongs in the braces of a `model`", code="misplaced-statement")
    if "use" in mistake.expected:
        title = f"expected a declaration, found {mistake.describe()}"
        way_out = "at its top level a file holds `use`, `const`, `fn`, `layer`, `model` and `train`"
        if word == "NAME" and mistake.following is not None and mistake.following.type == "NAME":
            way_out = did_you_mean(mistake.found, DECLARATIONS) or way_out
        if word == "NAME" and mistake.following == "=":
            way_out += "; a value is `const " + mistake.found + " = …`"
        return mistake.fault(title, way_out, code="misplaced-statement" if word in KEYWORDS else "syntax-error")
    if not mistake.begins_statement:
        return None
    if word in DECLARATIONS:
        title = f"`{word}` belongs at the top level of a file"
        way_out = "declarations do not nest: move it out of the braces, or close them first"
        return mistake.fault(title, way_out, code="misplaced-statement")
    return None


def _python_block(mistake: Mistake) -> Diagnostic | None:
    if mistake.found.type != ":" or not {"{", "->"} & mistake.expected:
        return None
    if "->" in mistake.expected and mistake.following is not None and mistake.following.line == mistake.found.line:
        return mistake.fault("the type of the result follows `->`", "write `->` in place of `:`")
    return mistake.fault("a block stands in braces", "write `{ … }` in place of `:` and indentation")


def _use_without_names(mistake: Mistake) -> Diagnostic | None:
    if mistake.found.type == "/" and "use" in mistake.statement_words():
        way_out = 'write `use std.layers: linear`; the path of a file is a string: `use "./blocks.net": stem`'
        return mistake.fault("the names of a module are joined by `.`", way_out)
    if mistake.expected != {".", ":"} or "use" not in mistake.statement_words():
        return None
    return mistake.fault("`use` says which names it takes", f"write `: name, name` after `{mistake.previous}`")


def _equals(mistake: Mistake) -> Diagnostic | None:
    previous = mistake.previous
    if mistake.found.type != "=" or previous is None:
        return None
    if previous.type in _ARITHMETIC and previous.end_pos == mistake.found.start_pos:
        operator = f"{previous}="
        place = mistake.span(previous).to(mistake.span(mistake.found))
        target = mistake.before[-2] if len(mistake.before) > 1 else "x"
        way_out = f"write `{target} = {target} {previous} …`"
        return Diagnostic("syntax-error", f"`{operator}` is not an operator", Label(place), help=way_out)
    if "~" in mistake.expected:
        return mistake.fault("the initial value follows `~`", "write `~` in place of `=`, as in `~ zeros()`")
    if {"if", "assert", "where", "not", "and", "or"} & mistake.statement_words():
        return mistake.fault("`=` does not compare", "write `==`")
    if "->" in mistake.expected or "where" in mistake.expected:
        return mistake.fault("the body stands in braces", "write `{ return … }`")
    return None


def _comparison_chain(mistake: Mistake) -> Diagnostic | None:
    if mistake.found.type not in _COMPARISONS or not {"and", "or"} & mistake.expected:
        return None
    return mistake.fault("comparisons do not chain", "write `a < b and b < c`")


def _result_without_arrow(mistake: Mistake) -> Diagnostic | None:
    if "->" not in mistake.expected or mistake.previous is None or mistake.previous.type != ")":
        return None
    if mistake.found.type == "NAME":
        return mistake.fault("the type of the result follows `->`", f"write `-> {mistake.found}`")
    return mistake.fault("the result's arrow is `->`") if mistake.found.type == "=" else None


def _definition_without_inputs(mistake: Mistake) -> Diagnostic | None:
    words = [token.value for token in mistake.before[-2:-1]]
    if mistake.expected != {"("} or words not in (["fn"], ["layer"], ["entry"]):
        return None
    name = mistake.previous
    return mistake.fault(f"`{name}` does not say what comes in", f"write `{words[0]} {name}(x: f32[b, d]) … {{ … }}`")


def _parameter_without_type(mistake: Mistake) -> Diagnostic | None:
    previous = mistake.previous
    stops = (",", ")", "=", "_NL", "}", "$END")
    if mistake.expected != {":"} or mistake.found.type not in stops or previous is None:
        return None
    way_out = f"write `{previous}: f32[b, d]` for a tensor, `: int` for a number, or `: layer` for a layer"
    if "in" in mistake.statement_words():
        way_out = f"write `in {previous}: f32[batch, d]`, or `i64[batch]` for labels"
    for word in {"param", "state"} & mistake.statement_words():
        way_out = f"write `{word} {previous}: f32[n] ~ zeros()`"
    return mistake.fault(f"the parameter `{previous}` has no type", way_out)


def _no_first_value(mistake: Mistake) -> Diagnostic | None:
    if "~" not in mistake.expected or mistake.found.type not in ("_NL", "}", "$END"):
        return None
    return mistake.fault("what is stored begins somewhere", "add `~ zeros()`, for example, behind the type")


def _python_expression(mistake: Mistake) -> Diagnostic | None:
    """What would be an expression in Python: `a if c else b`, `x[..., 0]`, `f"…"`, `use a: *`."""
    found, words = mistake.found.type, mistake.statement_words()
    if found == "if" and not mistake.begins_statement and "_NL" in mistake.expected:
        return mistake.fault("a condition stands before its values", "write `if c { a } else { b }`")
    if found == "." and mistake.previous is not None and mistake.previous.type in ("[", ","):
        return mistake.fault("`...` is not an index", "write `:` for each dimension that is taken as a whole")
    if found == "NAME" and mistake.following is not None and mistake.following.type == "STRING":
        return mistake.fault(f"a string has no `{mistake.found}` before it", "every message can hold `{values}`")
    if found == "*" and "use" in words:
        return mistake.fault("`use` says which names it takes", "write `use std.layers: linear, conv2d`")
    return None


def _annotated_name(mistake: Mistake) -> Diagnostic | None:
    first = mistake.first_word
    if "const" in mistake.statement_words() and mistake.expected == {"="}:
        return mistake.fault("a `const` is a name and its value", f"write `const {mistake.previous} = …`")
    if mistake.found.type != ":" or first is None or first.type != "NAME" or "=" not in mistake.expected:
        return None
    return mistake.fault("a name has the type of its value", f"write `{first} = …`")


def _message_after_comma(mistake: Mistake) -> Diagnostic | None:
    message_follows = mistake.following is not None and mistake.following.type == "STRING"
    if mistake.found.type != "," or not message_follows or "assert" not in mistake.statement_words():
        return None
    return mistake.fault("the message follows `:`", 'write `assert … : "message"`')


def _value_without_else(mistake: Mistake) -> Diagnostic | None:
    if "else" not in mistake.expected or mistake.previous is None or mistake.previous.type != "}":
        return None
    if mistake.expected - {"else"}:
        return None
    return mistake.fault("an `if` that is a value needs an `else`", "add `else { … }`", code="missing-else")


def _else_alone(mistake: Mistake) -> Diagnostic | None:
    if mistake.found.type != "else":
        return None
    return mistake.fault("this `else` follows no `if` and no `when`")


def _line_begins_with_operator(mistake: Mistake) -> Diagnostic | None:
    word = mistake.found.type
    if not mistake.begins_statement or mistake.previous is None or word not in _AFTER_VALUE - {"(", "["}:
        return None
    way_out = f"end the line above with `{word}`, or put the whole in parentheses"
    if word == "//":
        way_out = "a comment begins with `#`"
    return mistake.fault(f"a line cannot begin with `{word}`", way_out)


def _misspelled_word(mistake: Mistake) -> Diagnostic | None:
    first = mistake.first_word
    if first is None or first.type != "NAME" or mistake.found.type not in ("NAME", "NUMBER", "STRING", "{", *KEYWORDS):
        return None
    words = KEYWORDS - DECLARATIONS - _INSIDE
    way_out = did_you_mean(first, words)
    return mistake.fault(f"expected the end of the line after `{first}`, found {mistake.describe()}", way_out)


def _lonely_annotation(mistake: Mistake) -> Diagnostic | None:
    if not {"fn", "layer", "@"} <= mistake.expected or "use" in mistake.expected:
        return None
    title = f"an annotation stands before `fn`, `layer` or a statement, not before {mistake.describe()}"
    return mistake.fault(title)


_RULES: tuple[Callable[[Mistake], Diagnostic | None], ...] = (
    _bracket,
    train_mistake,
    _other_language,
    _use_without_names,
    augment_head,
    pretrained,
    _equals,
    _behind_comma,
    repeated_head,
    _reserved_word,
    _misplaced,
    iteration_head,
    graph_head,
    axis_pattern,
    phase_head,
    _python_block,
    _comparison_chain,
    _result_without_arrow,
    _definition_without_inputs,
    _parameter_without_type,
    _no_first_value,
    _python_expression,
    _annotated_name,
    _message_after_comma,
    _value_without_else,
    _else_alone,
    _line_begins_with_operator,
    _lonely_annotation,
    _misspelled_word,
    _type,
    _when,
    _same_line,
)
