"""A Dagger in a pipe: its pipers stand in its place, so that they are started, bounded and stopped with the others."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any, Final

from papy._base.errors import DaggerError
from papy._piper.piper import Piper
from papy.graph import DictGraph

#: What is said about a run, and not about its pipers.
_OF_RUN: Final = ("on_error", "retries", "max_failures")


def edges_of(graph: DictGraph[Piper], pipe: Sequence[Piper | DictGraph[Piper]]) -> list[tuple[Piper, Piper]]:
    """The edges of a pipe with graphs in it, theirs included.

    What comes before a graph feeds all its inputs, and all its outputs feed what follows.

    Raises:
        DaggerError: A graph is empty or the one itself, says something about a run, or there would be a cycle.
    """
    edges: list[tuple[Piper, Piper]] = []
    for it in pipe:
        if not isinstance(it, Piper):
            _check(graph, it)
            edges += it.edges()
    for up, down in pairwise(pipe):
        ups = [up] if isinstance(up, Piper) else up.by_branch(it for it in up if not up.incoming_edges(it))
        downs = [down] if isinstance(down, Piper) else down.by_branch(it for it in down if not down[it])
        edges += [(one, other) for other in ups for one in downs]
    _refuse_cycle(graph, edges)
    return edges


def _check(graph: DictGraph[Piper], inner: DictGraph[Piper]) -> None:
    if inner is graph:
        raise DaggerError("a cycle: the Dagger would feed itself")
    if not inner:
        raise DaggerError("pipe: a Dagger in it has no pipers")
    said = [name for name in _OF_RUN if getattr(inner, name, None) is not None]
    if said:
        raise DaggerError(
            f"pipe: a Dagger in it says {' and '.join(said)} for a run, and its pipers are to run with those of this one; "
            f"say it here, or to its pipers"
        )


def _refuse_cycle(graph: DictGraph[Piper], edges: list[tuple[Piper, Piper]]) -> None:
    sorter: TopologicalSorter[Any] = TopologicalSorter()
    for down, up in (*graph.edges(), *edges):
        sorter.add(down, up)
    try:
        sorter.prepare()
    except CycleError as error:
        raise DaggerError(f"a cycle: {' feeds '.join(piper.name for piper in error.args[1])}") from None
