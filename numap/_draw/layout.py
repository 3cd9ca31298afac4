"""Places for the nodes of a graph without circles, in columns from left to right.

A node stands in the first column behind all that lead to it. An edge that passes over columns goes through a *bend* in each of
these, which has a place among the nodes there, so that no edge runs through a node. In a column, nodes are ordered by the middle
of their neighbours, a few times back and forth: the method of Sugiyama, Tagawa and Toda (1981) in its simplest form.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

#: More sweeps change nothing that one would see.
_SWEEPS = 8


class Layout:
    """Columns of nodes and bends.

    Args:
        count: how many nodes there are.
        edges: pairs of nodes.

    Attributes:
        columns: the nodes and bends of each column, from top to bottom; a bend has a number from ``count`` on.
        paths: for each edge what it passes: its start, bends, its end.

    >>> layout = Layout(4, [(0, 1), (1, 2), (2, 3), (0, 3)])
    >>> layout.columns, layout.paths[3]
    ([[0], [1, 4], [2, 5], [3]], [0, 4, 5, 3])
    """

    def __init__(self, count: int, edges: Sequence[tuple[int, int]]) -> None:
        depth = _depths(count, edges)
        self.columns: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
        for node, column in enumerate(depth):
            self.columns[column].append(node)
        self.paths: list[list[int]] = []
        for start, end in edges:
            bends = []
            for column in range(depth[start] + 1, depth[end]):
                bends.append(count)
                self.columns[column].append(count)
                count += 1
            self.paths.append([start, *bends, end])
        self._order()

    def _order(self) -> None:
        before: dict[int, list[int]] = {}
        behind: dict[int, list[int]] = {}
        for path in self.paths:
            for start, end in pairwise(path):
                behind.setdefault(start, []).append(end)
                before.setdefault(end, []).append(start)
        for sweep in range(_SWEEPS):
            forth = sweep % 2 == 0
            for fixed, column in pairwise(self.columns if forth else self.columns[::-1]):
                _sort(column, fixed, before if forth else behind)


def _sort(column: list[int], fixed: list[int], neighbours: dict[int, list[int]]) -> None:
    """Orders a column by the middle of the neighbours in the one beside it; what has none there stays about where it is."""
    place = {it: at for at, it in enumerate(fixed)}
    here = {it: at for at, it in enumerate(column)}

    def middle(it: int) -> float:
        found = [place[other] for other in neighbours.get(it, ()) if other in place]
        return sum(found) / len(found) if found else here[it]

    column.sort(key=middle)


def _depths(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """For each node the length of the longest way to it."""
    ahead: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for start, end in edges:
        ahead[start].append(end)
        missing[end] += 1
    depth = [0] * count
    ready = [node for node in range(count) if not missing[node]]
    for node in ready:  # it grows meanwhile
        for end in ahead[node]:
            depth[end] = max(depth[end], depth[node] + 1)
            missing[end] -= 1
            if not missing[end]:
                ready.append(end)
    return depth
