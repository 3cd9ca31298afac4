"""The picture of a graph or of a row of steps: what comes in, what is done with it, what comes out."""

from __future__ import annotations

from collections.abc import Sequence

from numap.interop import checks, picture


def graph_picture(title: str, nodes: Sequence[picture.Node], ups: Sequence[Sequence[int]]) -> picture.Picture:
    """A picture with an input before each node that reads no other, and results behind each that no other reads.

    Args:
        title: Of the picture.
        nodes: Those of the graph.
        ups: For each of them the places of those that it reads.
    """
    found = list(nodes)
    edges = [picture.Edge(up, node) for node, reads in enumerate(ups) for up in reads]
    read = {up for reads in ups for up in reads}
    for node, reads in enumerate(ups):
        if not reads:
            edges.append(picture.Edge(len(found), node))
            found.append(picture.Node(["input"], "input"))
        if node not in read:
            edges.append(picture.Edge(node, len(found)))
            found.append(picture.Node(["results"], "output"))
    return picture.Picture(title, found, edges)


def row_picture(title: str, steps: Sequence[tuple[str, int, str, int]]) -> picture.Picture:
    """The picture of steps in a row; of each its name, the number and the type of its workers, and how much it has done."""
    nodes = []
    for name, number, kind, done in steps:
        workers = checks.counted(number, kind, "processes" if kind == "process" else "")
        nodes.append(picture.Node([name, workers, *progress(done, 0)], "parallel"))
    return graph_picture(title, nodes, [[] if at == 0 else [at - 1] for at in range(len(nodes))])


def progress(items: int, failed: int) -> list[str]:
    """What a node has done, in a line, if it has begun."""
    return [f"{items:,} done" + (f", {failed:,} failed" if failed else "")] if items else []
