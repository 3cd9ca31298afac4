"""A picture as SVG, with nothing but Python: it stands in a notebook or a page as it is, in light and in dark."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from unicodedata import east_asian_width

from .layout import Layout
from .picture import Node, Picture, Shape

#: In pixels: what a browser's 13 px sans-serif takes, with something to spare.
_CHARACTER, _LINE, _PADDING = 7.4, 18, 12
_BETWEEN_COLUMNS, _BETWEEN_ROWS, _MARGIN = 64, 26, 14
_BEND_HEIGHT = 10.0
#: Of a line of text.
_MOST_CHARACTERS = 40

_STYLE = """
.numap-picture { font: 13px system-ui, sans-serif; color: #24292f; background: transparent; max-width: 100%; height: auto }
.numap-picture text { fill: currentColor; text-anchor: middle }
.numap-picture .more { font-size: 12px; opacity: .7 }
.numap-picture .shape { fill: #f6f8fa; stroke: #57606a; stroke-width: 1.2 }
.numap-picture .parallel .shape { fill: #ddf4ff; stroke: #0969da }
.numap-picture .marked .shape { stroke: #cf222e; stroke-width: 3 }
.numap-picture .edge { fill: none; stroke: #57606a; stroke-width: 1.4 }
.numap-picture .head { fill: #57606a }
@media (prefers-color-scheme: dark) {
  .numap-picture { color: #e6edf3 }
  .numap-picture .shape { fill: #161b22; stroke: #8b949e }
  .numap-picture .parallel .shape { fill: #121d2f; stroke: #4493f8 }
  .numap-picture .marked .shape { stroke: #f85149 }
  .numap-picture .edge { stroke: #8b949e }
  .numap-picture .head { fill: #8b949e }
}
"""


class _Box:
    """What a node or a bend takes: its middle, and how wide and high it is."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.x = self.y = 0.0

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        return self.y - self.height / 2


def to_svg(picture: Picture) -> str:
    """A picture as SVG.

    >>> from .picture import Edge, Node
    >>> text = to_svg(Picture("a map", [Node(["xs"], "input"), Node(["len"], "parallel")], [Edge(0, 1)]))
    >>> text.startswith("<svg"), text.count("<path")
    (True, 2)
    """
    layout = Layout(len(picture.nodes), [(edge.start, edge.end) for edge in picture.edges])
    boxes = [_box(node) for node in picture.nodes]
    boxes += [_Box(0, _BEND_HEIGHT) for _ in range(sum(map(len, layout.columns)) - len(boxes))]
    width, height = _spread(layout, boxes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="numap-picture" role="img" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<title>{escape(picture.title)}</title>",
        f"<style>{_STYLE}</style>",
    ]
    for edge, path in zip(picture.edges, layout.paths, strict=True):
        parts += _edge([boxes[it] for it in path], edge.label)
    for node, box in zip(picture.nodes, boxes, strict=False):
        parts += _node(node, box)
    return "\n".join([*parts, "</svg>"])


def _short(line: str) -> str:
    return line if len(line) <= _MOST_CHARACTERS else f"{line[: _MOST_CHARACTERS - 1]}…"


def _width(line: str) -> float:
    return _CHARACTER * sum(2 if east_asian_width(sign) in "WF" else 1 for sign in _short(line))


def _box(node: Node) -> _Box:
    return _Box(max(map(_width, node.lines)) + 2 * _PADDING + 6, len(node.lines) * _LINE + 2 * _PADDING - 6)


def _spread(layout: Layout, boxes: list[_Box]) -> tuple[float, float]:
    """Give all boxes their places; the size of the whole."""
    heights = [sum(boxes[it].height for it in column) + _BETWEEN_ROWS * (len(column) - 1) for column in layout.columns]
    highest = max(heights, default=0.0)
    x = float(_MARGIN)
    for column, height in zip(layout.columns, heights, strict=True):
        widest = max(boxes[it].width for it in column)
        y = _MARGIN + (highest - height) / 2
        for it in column:
            boxes[it].x, boxes[it].y = x + widest / 2, y + boxes[it].height / 2
            y += boxes[it].height + _BETWEEN_ROWS
        x += widest + _BETWEEN_COLUMNS
    return max(x - _BETWEEN_COLUMNS, _MARGIN) + _MARGIN, highest + 2 * _MARGIN


def _edge(boxes: list[_Box], label: str) -> list[str]:
    at = boxes[0]
    line = f"M{at.right:.1f} {at.y:.1f}"
    for start, end in pairwise(boxes):
        middle = (start.right + end.left) / 2
        line += f" C{middle:.1f} {start.y:.1f} {middle:.1f} {end.y:.1f} {end.left:.1f} {end.y:.1f}"
    tip = boxes[-1]
    head = f"{tip.left:.1f},{tip.y:.1f} {tip.left - 8:.1f},{tip.y - 4:.1f} {tip.left - 8:.1f},{tip.y + 4:.1f}"
    parts = [f'<path class="edge" d="{line}"/>', f'<polygon class="head" points="{head}"/>']
    if label:
        second = boxes[1]
        x, y = (at.right + second.left) / 2, (at.y + second.y) / 2 - 6
        parts.append(f'<text class="more" x="{x:.1f}" y="{y:.1f}">{escape(_short(label))}</text>')
    return parts


def _node(node: Node, box: _Box) -> list[str]:
    kinds = f"{node.shape} marked" if node.marked else node.shape
    parts = [f'<g class="{kinds}">', f"<title>{escape(chr(10).join(node.lines))}</title>", _outline(node.shape, box)]
    for number, line in enumerate(node.lines):
        y = box.y + (number - (len(node.lines) - 1) / 2) * _LINE + 4.5
        kind = ' class="more"' if number else ""
        parts.append(f'<text{kind} x="{box.x:.1f}" y="{y:.1f}">{escape(_short(line))}</text>')
    return [*parts, "</g>"]


def _outline(shape: Shape, box: _Box) -> str:
    left, top, right, bottom = box.left, box.top, box.right, box.top + box.height
    if shape == "input":
        slant = 9
        points = [(left + slant, top), (right, top), (right - slant, bottom), (left, bottom)]
        corners = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        return f'<path class="shape" d="M{corners} Z"/>'
    radius = box.height / 2 if shape == "output" else 6
    lines = [
        f'<rect class="shape" x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{radius:.1f}"/>'
    ]
    if shape == "parallel":  # a second sheet behind it
        lines.insert(
            0,
            f'<rect class="shape" x="{left + 4:.1f}" y="{top + 4:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
            f'rx="{radius:.1f}"/>',
        )
    return "".join(lines)
