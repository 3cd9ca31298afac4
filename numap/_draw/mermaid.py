"""The language of Mermaid, which READMEs and notebooks draw."""

from __future__ import annotations

from typing import Final

from .picture import Picture, Shape

_SHAPES: Final[dict[Shape, tuple[str, str]]] = {
    "input": ("[/", "/]"),
    "serial": ("[", "]"),
    "parallel": ("[[", "]]"),
    "output": ("([", "])"),
}
#: Characters that Mermaid or HTML would take for their own.
_CODES: Final = {ord(sign): f"#{ord(sign)};" for sign in '#"&<>`[]{}()|\\;'} | {ord("\n"): " "}


def to_mermaid(picture: Picture) -> str:
    """A picture as a flow chart of Mermaid.

    >>> from .picture import Edge, Node
    >>> print(to_mermaid(Picture("a map", [Node(["xs"], "input"), Node(["len"], "parallel")], [Edge(0, 1, "texts")])))
    flowchart LR
      n0[/"xs"/]
      n1[["len"]]
      n0 -->|"texts"| n1
    """
    lines = ["flowchart LR"]
    for number, node in enumerate(picture.nodes):
        before, behind = _SHAPES[node.shape]
        lines.append(f'  n{number}{before}"{"<br/>".join(map(_escaped, node.lines))}"{behind}')
    for edge in picture.edges:
        label = f'|"{_escaped(edge.label)}"|' if edge.label else ""
        lines.append(f"  n{edge.start} -->{label} n{edge.end}")
    marked = ",".join(f"n{number}" for number, node in enumerate(picture.nodes) if node.marked)
    if marked:
        lines += ["  classDef limit stroke:#c0392b,stroke-width:3px", f"  class {marked} limit"]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return text.translate(_CODES)
