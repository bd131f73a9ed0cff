"""Syntax errors in `train` blocks: statements of other frameworks, and what they are here."""

from __future__ import annotations

from netlang.diagnostics import Diagnostic, Label
from netlang.mistake import Mistake
from netlang.tokens import TRAIN_WORDS

_ONE_VALUE = TRAIN_WORDS - {"in", "report", "fit", "phase", "augment"}
_RUN = "it is said when a training begins: `netlang train FILE --data SOURCE --epochs 10 --batch 64 --seed 0`"
_RATE = "the rate is the optimizer's: `optimizer adam(1e-3)`, or of a schedule `optimizer adam(cosine(1e-3))`"
_WORDS = {  # words that begin a line elsewhere -> how it is said here
    **dict.fromkeys(("epochs", "epoch", "steps", "batch", "batch_size", "data", "dataset", "seed", "device"), _RUN),
    **dict.fromkeys(("schedule", "scheduler", "lr", "learning_rate"), _RATE),
    **dict.fromkeys(("metric", "metrics", "log", "print"), "write `report …`"),
    **dict.fromkeys(("loss", "objective", "criterion"), "write `minimize …`"),
    "maximize": "write `minimize -…`",
    "target": "write `in target: f32[batch, d]`, or `i64[batch]` for labels",
    "label": "write `in label: i64[batch]`",
}


def train_mistake(mistake: Mistake) -> Diagnostic | None:
    """The fault of a statement of a `train` block, or of its head."""
    return _head(mistake) or _word(mistake) or _sign(mistake)


def _head(mistake: Mistake) -> Diagnostic | None:
    if mistake.previous is None or mistake.previous.type != "train" or mistake.found.type not in ("{", "(", ":"):
        return None
    return mistake.fault("`train` says which model it trains", "write `train NAME { … }`")


def _word(mistake: Mistake) -> Diagnostic | None:
    first = mistake.first_word
    if first is None or first.value not in _WORDS or mistake.found.type not in ("NAME", "NUMBER", "STRING", ":"):
        return None
    title = f"`{first}` is not a word of this language"
    return Diagnostic("syntax-error", title, Label(mistake.span(first)), help=_WORDS[first.value])


def _sign(mistake: Mistake) -> Diagnostic | None:
    """`minimize: a`, `clip norm = 1` and `minimize a, b`, where one value is wanted."""
    found, last_two = mistake.found.type, mistake.before[-2:]
    word = next((token for token in reversed(last_two) if token.type in _ONE_VALUE), None)
    if word is not None and found in (":", "="):
        return mistake.fault(f"`{word}` takes no `{found}`", f"write `{word} …`")
    if found == "," and "minimize" in mistake.statement_words():
        return mistake.fault("a loss is one number", "add the losses up: `minimize a + b`")
    return None
