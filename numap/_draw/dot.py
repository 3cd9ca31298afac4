"""The language of Graphviz."""

from __future__ import annotations

from typing import Final

from .picture import Picture, Shape

_SHAPES: Final[dict[Shape, str]] = {
    "input": "shape=cds",
    "serial": "shape=box",
    "parallel": "shape=box, style=bold, peripheries=2",
    "output": "shape=oval",
}


def to_dot(picture: Picture) -> str:
    """A picture for ``dot``.

    >>> from .picture import Edge, Node
    >>> print(to_dot(Picture("a map", [Node(["xs"], "input"), Node(["len", "4 workers"], "parallel")], [Edge(0, 1)])))
    digraph "a map" {
      rankdir=LR;
      node [fontname="sans-serif"];
      n0 [label="xs", shape=cds];
      n1 [label="len\\n4 workers", shape=box, style=bold, peripheries=2];
      n0 -> n1;
    }
    """
    lines = [f"digraph {_quoted(picture.title)} {{", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    for number, node in enumerate(picture.nodes):
        label = r"\n".join(map(_escaped, node.lines))
        mark = ", color=red" if node.marked else ""
        lines.append(f'  n{number} [label="{label}", {_SHAPES[node.shape]}{mark}];')
    for edge in picture.edges:
        label = f" [label={_quoted(edge.label)}]" if edge.label else ""
        lines.append(f"  n{edge.start} -> n{edge.end}{label};")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", " ")
