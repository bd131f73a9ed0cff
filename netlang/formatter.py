"""The canonical text of a file: same tokens, same comments, settled spaces, indentation and line breaks.

The author's line breaks stay where they are allowed, as do single empty lines; a block with more than one statement
gets a line for each. A line that is too long is broken at its outermost possible place: before the operators of a
chain, then around blocks, before `where`, in brackets, and behind operators. Because what this module writes has all
the breaks that it would add, formatting twice changes nothing. Operators that the author lined up in the lines of a
chain stay lined up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from netlang.parser import accepted_tokens, parse
from netlang.source import Source
from netlang.tokens import CLOSING

WIDTH = 120
INDENT = 2

_CHAIN = ("|>", ">>")
_CLAUSES = ("where", "carry", "along")
_LOOSENESS = (
    (":",), ("and", "or"), ("==", "!=", "<", "<=", ">", ">="), ("+", "-"), ("*", "/", "//", "%", "@"), ("=",),
)  # fmt: skip
_SHORT = 16  # brackets with less text than this stay together
_GAP_PART = re.compile(r"#[^\r\n]*|\n")


def format_source(source: Source) -> str:
    """The canonical text. Raises DiagnosticError where the source has syntax errors."""
    parse(source)
    return _Layout(source).text()


@dataclass(slots=True)
class _Comment:
    text: str
    blank_before: bool


@dataclass(slots=True)
class _Piece:
    """A token and what the source has around it."""

    kind: str
    text: str
    begins: bool  # a statement or declaration begins here (other than the first in a block)
    broken: bool  # stands first on its line
    blank_before: bool
    prefix: bool  # an operator with one operand, the `*` of a pack, or the `@` of an annotation
    place: tuple[int, int]  # line and column in the source
    comments: list[_Comment] = field(default_factory=list)  # on lines of their own above
    trailing: str = ""  # comment behind it
    inside: str = ""  # the innermost bracket around it
    partner: int = -1  # of a bracket: where the other one is
    expanded: bool = False  # of a `{`: its statements have lines of their own
    padding: int = 0  # extra spaces before it
    axis: bool = False  # stands among the axes of a pattern such as `b t (h k) -> b h t k`


@dataclass(frozen=True, slots=True)
class _Open:
    """An open bracket while lines are indented."""

    kind: str
    content: int  # indentation of lines inside
    close: int  # of a closing bracket on a line of its own
    statement: int  # of the statement around it


class _Layout:
    """Decides line breaks and writes the text."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.pieces, self.footer = _pieces(source)
        self._pair_brackets()
        self._mark_axes()
        for i, piece in enumerate(self.pieces):
            if piece.kind == "{" and self._has_lines(i):
                self._expand(i)
        self._keep_breaks()

    def text(self) -> str:
        while self._break_long_lines():
            pass
        self._align_chains()
        out: list[str] = []
        for line, indent, above in self._lines():
            first, last = self.pieces[line[0]], self.pieces[line[-1]]
            _write_comments(out, first.comments, above)
            out += [""] * (first.blank_before and bool(out))
            out.append(" " * indent + self._joined(line) + (f"  {last.trailing}" if last.trailing else ""))
        _write_comments(out, self.footer, 0)
        return "".join(line + "\n" for line in out)

    # --- Breaks that the source asks for -----------------------------------------------------------------------------

    def _pair_brackets(self) -> None:
        opened: list[int] = []
        for i, piece in enumerate(self.pieces):
            if piece.kind in CLOSING.values():
                piece.partner = opened.pop()
                self.pieces[piece.partner].partner = i
            piece.inside = self.pieces[opened[-1]].kind if opened else ""
            if piece.kind in CLOSING:
                opened.append(i)

    def _mark_axes(self) -> None:
        """Marks what stands behind the `:` of `rearrange(x: b t -> t b)`: in brackets with a `:`, and then a `->`."""
        opened: list[tuple[int, int]] = []  # brackets: where they open, and their `:`
        for i, piece in enumerate(self.pieces):
            if piece.kind in CLOSING:
                opened.append((i, 0))
            elif piece.kind in CLOSING.values():
                opened.pop()
            elif piece.kind == ":" and opened and self.pieces[opened[-1][0]].kind == "(":
                opened[-1] = (opened[-1][0], i)
            elif piece.kind == "->" and opened and opened[-1][1]:
                for inner in self.pieces[opened[-1][1] + 1 : self.pieces[opened[-1][0]].partner]:
                    inner.axis = True
                    inner.prefix = inner.kind == "*"

    def _has_lines(self, opener: int) -> bool:
        """Whether a block cannot stay on one line: it has several statements, a comment, or a line break within."""
        closer = self.pieces[opener].partner
        if closer == opener + 1:
            return bool(self.pieces[closer].comments or self.pieces[opener].trailing)
        return any(piece.broken or piece.begins for piece in self.pieces[opener + 1 : closer + 1])

    def _expand(self, opener: int) -> None:
        """Gives the block at `opener` lines of its own, and with it the other branches of an `if`."""
        piece = self.pieces[opener]
        if piece.expanded or (piece.partner == opener + 1 and not self._has_lines(opener)):
            return
        piece.expanded = True
        self.pieces[opener + 1].broken = self.pieces[piece.partner].broken = True
        for branch in self._branches(opener):
            self._expand(branch)

    def _branches(self, opener: int) -> Iterator[int]:
        """The blocks on the other sides of the `else` before and after the block at `opener`."""
        pieces = self.pieces
        after = pieces[opener].partner + 1
        if after < len(pieces) and pieces[after].kind == "else":
            after += 1
            while pieces[after].kind != "{":
                after = pieces[after].partner + 1 if pieces[after].kind in ("(", "[") else after + 1
            yield after
        before = opener - 1
        while before > 0 and pieces[before].kind not in ("else", "{", "}", "(", "[") and not pieces[before].begins:
            before = pieces[before].partner - 1 if pieces[before].kind in (")", "]") else before - 1
        if pieces[before].kind == "else":
            yield pieces[before - 1].partner

    def _keep_breaks(self) -> None:
        """Settles `broken`: the breaks that blocks and comments need, and those of the author that are allowed."""
        for previous, piece in zip([None, *self.pieces], self.pieces, strict=False):
            forced = bool(piece.comments or (previous and previous.trailing))
            if piece.kind in ("{", "else", "custom_grad", ",") or (previous is not None and previous.kind == "else"):
                piece.broken = forced
            elif piece.kind == "}":
                piece.broken = self.pieces[piece.partner].expanded
            elif previous is not None and previous.kind in _CHAIN and piece.broken and not forced:
                piece.broken = False
                previous.broken = True  # a chain is broken before its operators
            else:
                piece.broken = piece.broken or piece.begins or forced

    # --- Breaks for the width ----------------------------------------------------------------------------------------

    def _break_long_lines(self) -> bool:
        """Breaks each line that is too long at its best place; whether there was one to break."""
        changed = False
        for line, indent, _ in list(self._lines()):
            if indent + len(self._joined(line)) > WIDTH:
                changed = self._break_line(line, indent) or changed
        return changed

    def _break_line(self, line: range, indent: int) -> bool:
        """Breaks a line at the best place outside most brackets; whether there is one."""
        depths = self._depths(line)
        for depth in sorted(set(depths)):
            level = [i for i, d in zip(line, depths, strict=True) if d == depth and i != line.start]
            if self._before(_CHAIN, level) or self._at_blocks(level) or self._before(_CLAUSES, level):
                return True
            if self._behind((",",), level, line, indent) or self._in_bracket(level) or self._before(("->",), level):
                return True
            if any(self._behind(words, level, line, indent) for words in _LOOSENESS):
                return True
        return False

    def _depths(self, line: range) -> list[int]:
        """How many of the brackets around each piece were opened on its line."""
        depths: list[int] = []
        depth = 0
        for i in line:
            depth -= self.pieces[i].kind in CLOSING.values()
            depths.append(depth)
            depth += self.pieces[i].kind in CLOSING
        return depths

    def _before(self, words: Sequence[str], level: Sequence[int]) -> bool:
        """Breaks before all of the first of `words` that there is."""
        return any(self._break_before([i for i in level if self.pieces[i].kind == word]) for word in words)

    def _at_blocks(self, level: Sequence[int]) -> bool:
        blocks = [i for i in level if self.pieces[i].kind == "{" and not self.pieces[i].expanded]
        for i in blocks:
            self._expand(i)
        return any(self.pieces[i].expanded for i in blocks)

    def _in_bracket(self, level: Sequence[int]) -> bool:
        """Breaks behind the opening and before the closing of the longest bracket."""
        lengths = {
            i: len(self._joined(range(i, self.pieces[i].partner)))
            for i in level
            if self.pieces[i].kind in ("(", "[") and not self.pieces[i + 1].broken
        }
        longest = max(lengths, key=lambda i: lengths[i], default=None)
        if longest is None or lengths[longest] < _SHORT:
            return False
        return self._break_before([longest + 1, self.pieces[longest].partner])

    def _behind(self, words: Sequence[str], level: Sequence[int], line: range, indent: int) -> bool:
        """Breaks behind `words` so that each part fills the width as far as it can."""
        places = [i + 1 for i in level if self._ends_with(words, i) and i + 1 in line]
        if words == (",",):  # not between the targets of an assignment
            assigned = [i for i in level if self.pieces[i].kind == "=" and self.pieces[i].inside in ("", "{")]
            places = [i for i in places if i > max(assigned, default=0)]
        if not places:
            return False
        first = self.pieces[line.start]
        hanging = 2 * INDENT if first.inside in ("", "{") and first.begins else 0
        ends = self._ends(line)
        start, room, breaks = line.start, WIDTH - indent, []
        for place, following in zip(places, [*places[1:], line.stop], strict=True):
            consumed = ends[start - line.start - 1] if start > line.start else 0
            if ends[following - line.start - 1] - consumed > room:  # the part up to the next place would not fit
                breaks.append(place)
                start, room = place, WIDTH - indent - hanging
        return self._break_before(breaks)

    def _ends(self, line: range) -> list[int]:
        """Column behind each piece, were the line written without its indentation."""
        ends: list[int] = []
        width = 0
        for i in line:
            width += len(self.pieces[i].text)
            width += i > line.start and self._space_between(self.pieces[i - 1], self.pieces[i], i)
            ends.append(width)
        return ends

    def _ends_with(self, words: Sequence[str], i: int) -> bool:
        """Whether one of `words` stands at `i`, as an operator between two things or a `:` before a message."""
        piece = self.pieces[i]
        if piece.kind not in words or piece.prefix:
            return False
        return piece.kind != ":" or self.pieces[i + 1].kind == "STRING"

    def _break_before(self, places: Sequence[int]) -> bool:
        for i in places:
            self.pieces[i].broken = True
        return bool(places)

    # --- Columns -----------------------------------------------------------------------------------------------------

    def _align_chains(self) -> None:
        """Lines up the operators of chains where they were lined up in the source."""
        group: list[list[int]] = []
        indents: list[int] = []
        for line, indent, _ in [*self._lines(), (range(0), 0, 0)]:
            chain = [
                i for i, d in zip(line, self._depths(line), strict=True) if d == 0 and self.pieces[i].kind in _CHAIN
            ]
            goes_on = bool(chain) and chain[0] == line.start and not self.pieces[line.start].comments
            if group and not (goes_on and indent == indents[-1]):
                self._align(group)
                group, indents = [], []
            if goes_on:
                group.append([*chain, line.stop])
                indents.append(indent)

    def _align(self, lines: Sequence[Sequence[int]]) -> None:
        """Aligns the second operators of `lines` (each: places of operators, then the end), then the third, …"""
        for column in range(1, max(map(len, lines)) - 1):
            members = [line for line in lines if len(line) > column + 1]
            offsets = {self._source_offset(line[0], line[column]) for line in members}
            if len(members) < 2 or len(offsets) > 1 or None in offsets:
                return
            widths = [len(self._joined(range(line[0], line[column]))) for line in members]
            for line, width in zip(members, widths, strict=True):
                self.pieces[line[column]].padding = max(widths) - width
            if any(len(self._joined(range(line[0], line[-1]))) > WIDTH - 4 * INDENT for line in members):
                for line in members:
                    self.pieces[line[column]].padding = 0
                return

    def _source_offset(self, first: int, second: int) -> int | None:
        """Columns between two pieces in the source; None where they are on different lines."""
        (line, column), (other_line, other_column) = self.pieces[first].place, self.pieces[second].place
        return other_column - column if line == other_line else None

    # --- Lines -------------------------------------------------------------------------------------------------------

    def _lines(self) -> Iterator[tuple[range, int, int]]:
        """The pieces of each line, its indentation, and that of comments above it."""
        opened: list[_Open] = []
        start = statement = indent = above = 0
        for i, piece in enumerate(self.pieces):
            if piece.broken and i:
                yield range(start, i), indent, above
                first = self.pieces[i - 1].kind == "{"
                start = i
                indent = self._indentation(piece, first, opened, statement)
                above = opened[-1].content if opened and piece.kind in CLOSING.values() else indent
                statement = indent if piece.begins or first else statement
            if piece.kind in CLOSING.values():
                statement = opened.pop().statement
            elif piece.kind in CLOSING:
                base = statement if piece.kind == "{" and piece.inside in ("", "{") else indent
                opened.append(_Open(piece.kind, base + INDENT, base, statement))
        if self.pieces:
            yield range(start, len(self.pieces)), indent, above

    def _indentation(self, piece: _Piece, first: bool, opened: Sequence[_Open], statement: int) -> int:
        if opened and piece.kind in CLOSING.values():
            return opened[-1].close
        if opened and (first or piece.begins or opened[-1].kind != "{"):
            return opened[-1].content
        if piece.begins or piece.kind in ("else", "custom_grad", "{"):
            return statement
        return statement + (INDENT if piece.kind in _CHAIN else 2 * INDENT)  # apart from a block that may follow

    def _joined(self, line: range) -> str:
        """The text of pieces on one line."""
        parts: list[str] = []
        for i in line:
            if i > line.start and self._space_between(self.pieces[i - 1], self.pieces[i], i):
                parts.append(" " * (1 + self.pieces[i].padding))
            parts.append(self.pieces[i].text)
        return "".join(parts)

    def _space_between(self, left: _Piece, right: _Piece, i: int) -> bool:
        if left.prefix or "." in (left.kind, right.kind) or left.kind in ("(", "[") or right.kind in (",", ")", "]"):
            return False
        if right.kind == ":":
            return left.kind == "," if right.inside == "[" else self.pieces[i + 1].kind == "STRING"
        if left.kind == ":":
            return left.inside != "["
        if right.kind in ("(", "["):
            return right.axis or not _ends_operand(left.kind)
        return not (left.kind == "{" and right.kind == "}")


def _ends_operand(kind: str) -> bool:
    """Whether something stands left of an operator, bracket or `.` behind a token of this kind."""
    return kind in ("NAME", "NUMBER", "STRING", ")", "]", "}", "true", "false", "none", "custom_grad")


def _write_comments(out: list[str], comments: Sequence[_Comment], indent: int) -> None:
    for comment in comments:
        out += [""] * (comment.blank_before and bool(out))
        out.append(" " * indent + comment.text)


# --- Pieces ----------------------------------------------------------------------------------------------------------


def _pieces(source: Source) -> tuple[list[_Piece], list[_Comment]]:
    """The tokens of a file with their comments, and the comments behind the last of them."""
    pieces: list[_Piece] = []
    begins, end = True, 0
    tokens = accepted_tokens(source)
    for token in tokens:
        if token.type == "_NL":
            begins = True
            continue
        start = token.start_pos or 0
        previous = pieces[-1] if pieces else None
        trailing, comments, blank = _comments(source.text[end:start])
        if previous is not None and trailing:
            previous.trailing = trailing
        elif trailing:
            comments.insert(0, _Comment(trailing, False))
        annotated = len(pieces) > 1 and pieces[-2].kind == "@" and pieces[-2].prefix
        operand_ended = previous is not None and not begins and not annotated and _ends_operand(previous.kind)
        prefix = token.type in ("-", "*", "@") and not operand_ended
        text, broken = source.text[start : token.end_pos], "\n" in source.text[end:start]
        piece = _Piece(token.type, text, begins, broken, blank, prefix, source.position(start), comments)
        _settle_blanks(piece, previous)
        pieces.append(piece)
        begins, end = False, token.end_pos or 0
    trailing, footer, _ = _comments(source.text[end:])
    if trailing and pieces:
        pieces[-1].trailing = trailing
    elif trailing:
        footer.insert(0, _Comment(trailing, False))
    return pieces, footer


def _comments(gap: str) -> tuple[str, list[_Comment], bool]:
    """Of the text between two tokens: the comment on the first line, those on the next, an empty line at the end."""
    trailing = ""
    own: list[_Comment] = []
    newlines = 0
    for match in _GAP_PART.finditer(gap):
        if match[0] == "\n":
            newlines += 1
            continue
        text = re.sub(r"^(#+)(?=[^#!\s])", r"\1 ", match[0].rstrip())
        if newlines == 0 and not own and not trailing:
            trailing = text
        else:
            own.append(_Comment(text, newlines > 1))
        newlines = 0
    return trailing, own, newlines > 1


def _settle_blanks(piece: _Piece, previous: _Piece | None) -> None:
    """Keeps empty lines between statements, and drops those at the ends of blocks and inside statements."""
    begins_block = previous is None or previous.kind == "{"
    if piece.kind == "}" or not (piece.begins or begins_block):
        piece.blank_before = False
    if begins_block:
        piece.blank_before = piece.blank_before and bool(piece.comments)
    for i, comment in enumerate(piece.comments):
        within = not (piece.begins or begins_block or piece.kind == "}")
        comment.blank_before = comment.blank_before and not within and not (begins_block and i == 0)
