"""The picture of a map: its inputs, its tasks, and which of them read which."""

from __future__ import annotations

from collections.abc import Sequence

from .._base.checks import counted
from .._base.statistics import Statistics, TaskStatistics
from .picture import Edge, Node, Picture


def map_picture(
    title: str, workers: str, figures: Statistics, inputs: Sequence[Sequence[int]], lengths: Sequence[int | None]
) -> Picture:
    """The picture of a map at one moment.

    Args:
        title: of the picture.
        workers: how many of which kind, in words.
        figures: of the map.
        inputs: for each task the tasks that it reads; none: it has an input of its own.
        lengths: for each task how many items it will have, where that is known.
    """
    nodes: list[Node] = []
    edges: list[Edge] = []
    place: dict[int, int] = {}
    for task, own in enumerate(figures.tasks):
        if not inputs[task]:
            length = lengths[task]
            nodes.append(Node(["input"] if length is None else ["input", counted(length, "item")], "input"))
        place[task] = len(nodes)
        nodes.append(Node([own.label, workers, *_progress(own, figures.state)], "parallel"))
        edges += [Edge(place[up], place[task]) for up in inputs[task]] or [Edge(place[task] - 1, place[task])]
    read = {up for ups in inputs for up in ups}
    for task in range(len(figures.tasks)):
        if task not in read:
            edges.append(Edge(place[task], len(nodes)))
            nodes.append(Node(["results"], "output"))
    return Picture(title, nodes, edges)


def _progress(task: TaskStatistics, state: str) -> list[str]:
    if state == "idle":
        return []
    failed = f", {task.failed:,} failed" if task.failed else ""
    return [f"{task.done:,} done{failed}", f"{task.waiting:,} waiting, {task.inside:,} inside"]
