"""What a picture of a map or a pipeline shows: nodes with a few lines of text, and edges in the direction of the items.

The forms in which it is written (`dot`, `mermaid`, `svg`) know nothing of maps, and what makes a picture knows no form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

Shape = Literal["input", "serial", "parallel", "output"]

#: For readers of a legend or of the source: what stands for what.
SHAPES: Final[Mapping[Shape, str]] = {
    "input": "items come from here",
    "serial": "evaluated in the thread of the reader",
    "parallel": "evaluated by workers",
    "output": "results go to the reader",
}


class Node(NamedTuple):
    """One node.

    Attributes:
        lines: its name, then what else there is to say of it.
        shape: see `SHAPES`.
        marked: it is what limits the others.
    """

    lines: Sequence[str]
    shape: Shape = "serial"
    marked: bool = False


class Edge(NamedTuple):
    """Items go from one node to another.

    Attributes:
        start, end: places in the list of nodes.
        label: what is said of them.
    """

    start: int
    end: int
    label: str = ""


class Picture(NamedTuple):
    """Nodes and edges; the graph has no circle."""

    title: str
    nodes: Sequence[Node]
    edges: Sequence[Edge]
