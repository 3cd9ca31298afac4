"""Which task reads which, and what follows from that; it does not change while a map runs."""

from __future__ import annotations

from collections.abc import Sequence


class TaskGraph:
    """The tasks of one run.

    A *root* is a task that reads an outer input, an *end* one whose results leave the map. Each root leads to exactly
    one end, through chained and joined tasks.

    Args:
        inputs: for each task the tasks it reads, in order; none: it is a root.

    Attributes:
        reader: by task, the one that reads it; -1: it is an end.
        depth: by task, how many others stand between it and the farthest input that leads to it.
        end_of: by task, the end that it leads to.
        roots_of: by end, the roots that lead to it.
        members: by end, all tasks that lead to it, the deepest first.

    >>> graph = TaskGraph([[], [0], []])
    >>> graph.roots, graph.ends, graph.end_of
    ([0, 2], [1, 2], [1, 1, 2])
    """

    def __init__(self, inputs: Sequence[Sequence[int]]) -> None:
        self.inputs = inputs
        count = len(inputs)
        self.reader = [-1] * count
        self.depth = [0] * count
        for task, sources in enumerate(inputs):
            for source in sources:
                self.reader[source] = task
                self.depth[task] = max(self.depth[task], self.depth[source] + 1)
        self.roots = [task for task in range(count) if not inputs[task]]
        self.ends = [task for task in range(count) if self.reader[task] < 0]
        self.end_of = list(range(count))
        for task in range(count)[::-1]:  # what reads a task was added after it
            if self.reader[task] >= 0:
                self.end_of[task] = self.end_of[self.reader[task]]
        self.roots_of = {end: [root for root in self.roots if self.end_of[root] == end] for end in self.ends}
        self.members = {
            end: sorted((task for task in range(count) if self.end_of[task] == end), key=lambda task: -self.depth[task])
            for end in self.ends
        }
