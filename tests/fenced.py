"""The fenced blocks of Markdown documents whose programs, texts and results are tested."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```([^\n`]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Fence:
    """One block: what stands behind its opening fence, what it holds, and where that is in the document."""

    kind: str
    text: str
    start: int
    end: int


def fences(document: str) -> list[Fence]:
    """Every block of a document that says what it is, in order."""
    return [Fence(found[1], found[2], found.start(2), found.end(2)) for found in _FENCE.finditer(document)]


def blocks(path: Path, kind: str) -> list[str]:
    """What the blocks of one kind of a document hold."""
    return [fence.text for fence in fences(path.read_text("utf-8")) if fence.kind == kind]


def broken_links(path: Path) -> list[str]:
    """Links of a document, code apart, to files of the project, or headings in them, that are not there."""
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", _prose(path)))
    return [target for target in targets if not target.startswith("http") and not _leads_somewhere(path, target)]


def _prose(path: Path) -> str:
    """A document without its blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def _leads_somewhere(path: Path, target: str) -> bool:
    name, _, heading = target.partition("#")
    page = path.parent / name if name else path
    return page.exists() and (not heading or heading in _headings(page))


def _headings(page: Path) -> set[str]:
    """The headings of a document, as links call them."""
    titles = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def replaced(document: str, fence: Fence, text: str) -> str:
    """The document with another text in one of its blocks."""
    return document[: fence.start] + text + document[fence.end :]
