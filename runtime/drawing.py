"""Diagrams as text, as DOT (for Graphviz), and as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from netlang.types import TensorType

from ..compiler.diagram import Box, Diagram

Shown = Callable[[TensorType], str]
"""How a type is written."""

FILLS = {"input": "#dbe9f4", "layer": "#fbe8d3", "operator": "#ffffff", "output": "#dbe9f4"}
"""Colours of boxes by their kind."""

_LINE, _MARGIN, _GAP, _RISE, _LANE, _LETTER = 16, 10, 24, 36, 14, 7.2
"""Of the SVG, in pixels: a line's height; space in a box, between boxes, between rows, for a passing edge; a letter."""


def text(diagram: Diagram, shown: Shown) -> Iterator[str]:
    """A line for each box, and where what it takes comes from unless that is the line above."""
    names = _distinct(diagram)
    rows = [
        (name, "" if box.type is None else shown(box.type), _parameters(box))
        for name, box in zip(names, diagram.boxes, strict=True)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for number, row in enumerate(rows):
        sources = _sources(diagram, number)
        taken = "" if sources in ([], [number - 1]) else f"<- {', '.join(names[source] for source in sources)}"
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=True)), taken]).rstrip()


def dot(diagram: Diagram, shown: Shown) -> Iterator[str]:
    """A digraph for Graphviz: `dot -Tsvg`."""
    yield "digraph {"
    yield '  node [shape=box, style="rounded,filled", fontname="monospace", fontsize=10]'
    for number, box in enumerate(diagram.boxes):
        label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in _lines(box, shown))
        yield f'  n{number} [label="{label}", fillcolor="{FILLS[box.kind]}"]'
    for source, target in diagram.edges:
        yield f"  n{source} -> n{target}"
    yield "}"


def _lines(box: Box, shown: Shown) -> list[str]:
    return [box.name, *([] if box.type is None else [shown(box.type)]), *([_parameters(box)] if box.parameters else [])]


def _parameters(box: Box) -> str:
    return f"{box.parameters:,} parameters" if box.parameters else ""


def _sources(diagram: Diagram, number: int) -> list[int]:
    return [source for source, target in diagram.edges if target == number]


def _distinct(diagram: Diagram) -> list[str]:
    """The names of the boxes, with a number behind those that others have too."""
    seen: dict[str, int] = {}
    names: list[str] = []
    for box in diagram.boxes:
        seen[box.name] = count = seen.get(box.name, 0) + 1
        names.append(box.name if count == 1 else f"{box.name} ({count})")
    return names


# --- SVG -----------------------------------------------------------------------------------------------------------


@dataclass
class _Spot:
    """A box, or where an edge passes a row on its way further down. x, y: of the middle."""

    row: int
    width: float
    lines: list[str] = field(default_factory=list)
    fill: str = ""
    above: list[_Spot] = field(default_factory=list)
    x: float = 0
    y: float = 0

    @property
    def height(self) -> float:
        return _LINE * len(self.lines) + _MARGIN if self.lines else 0


def svg(diagram: Diagram, shown: Shown) -> Iterator[str]:
    """A picture: inputs above, each box below all that it takes from, edges around the boxes between."""
    rows = _rows(diagram, shown)
    width, height = _place(rows)
    size, style = f'width="{width:.0f}" height="{height:.0f}"', 'font-family="monospace" font-size="12"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>'
    for spot in (spot for row in rows for spot in row):
        yield from (_edge(other, spot) for other in spot.above)
    for spot in (spot for row in rows for spot in row if spot.lines):
        yield from _drawn(spot)
    yield "</svg>"


def _rows(diagram: Diagram, shown: Shown) -> list[list[_Spot]]:
    """The boxes by their distance from the inputs, with a spot wherever an edge passes a row."""
    spots: list[_Spot] = []
    for number, box in enumerate(diagram.boxes):
        lines = _lines(box, shown)
        row = max((spots[source].row + 1 for source in _sources(diagram, number)), default=0)
        spots.append(_Spot(row, max(map(len, lines)) * _LETTER + 2 * _MARGIN, lines, FILLS[box.kind]))
    rows: list[list[_Spot]] = [[] for _ in range(max(spot.row for spot in spots) + 1)]
    for spot in spots:
        rows[spot.row].append(spot)
    for source, target in diagram.edges:
        above = spots[source]
        for row in range(above.row + 1, spots[target].row):
            above = _Spot(row, _LANE, above=[above])
            rows[row].append(above)
        spots[target].above.append(above)
    return rows


def _place(rows: list[list[_Spot]]) -> tuple[float, float]:
    """Gives each spot its place, near what it takes from; width and height of all."""
    widths = [sum(spot.width for spot in row) + _GAP * (len(row) - 1) for row in rows]
    full, y = max(widths), float(_MARGIN)
    for row, width in zip(rows, widths, strict=True):
        row.sort(key=lambda spot: sum(other.x for other in spot.above) / len(spot.above) if spot.above else 0)
        x, height = _MARGIN + (full - width) / 2, max(spot.height for spot in row)
        for spot in row:
            spot.x, spot.y = x + spot.width / 2, y + height / 2
            x += spot.width + _GAP
        y += height + _RISE
    return full + 2 * _MARGIN, y - _RISE + _MARGIN


def _edge(source: _Spot, target: _Spot) -> str:
    start, end = source.y + source.height / 2, target.y - target.height / 2
    middle = (start + end) / 2
    path = (
        f"M{source.x:.1f},{start:.1f} C{source.x:.1f},{middle:.1f} {target.x:.1f},{middle:.1f} {target.x:.1f},{end:.1f}"
    )
    return f'<path d="{path}" fill="none" stroke="#777"/>'


def _drawn(spot: _Spot) -> Iterator[str]:
    left, top = spot.x - spot.width / 2, spot.y - spot.height / 2
    size = f'width="{spot.width:.1f}" height="{spot.height:.1f}"'
    yield f'<rect x="{left:.1f}" y="{top:.1f}" {size} rx="5" fill="{spot.fill}" stroke="#555"/>'
    for number, line in enumerate(spot.lines):
        weight = ' font-weight="bold"' if number == 0 else ""
        y = top + _LINE * (number + 1)
        yield f'<text x="{spot.x:.1f}" y="{y:.1f}" text-anchor="middle"{weight}>{escape(line)}</text>'
