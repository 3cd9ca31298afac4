"""PiperGraph: pipers and what each of them reads; a description that can be changed while nothing runs. Knows no runs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from numap.interop import checks
from papy._base.checks import (
    check_branch,
    check_flag,
    check_list,
    check_xtra,
    counted,
    refused_as,
    type_error,
    value_error,
)
from papy._base.errors import DaggerError, PiperError
from papy._dagger.nested import edges_of
from papy._piper.piper import Piper
from papy.graph import DictGraph


class PiperGraph(DictGraph[Piper]):
    """The pipers of a `papy.Dagger`; see there."""

    __hash__ = object.__hash__

    def __init__(
        self, pipers: Iterable[Any] = (), pipes: Iterable[Any] = (), xtras: Iterable[dict[str, Any]] | None = None
    ) -> None:
        self._by_id: dict[int, Piper] = {}
        super().__init__()
        self.add_pipers(pipers, xtras)
        self.add_pipes(pipes)

    def __eq__(self, other: object) -> bool:
        return self is other

    def add_node(self, node: Piper, xtra: dict[str, Any] | None = None, branch: object = None) -> bool:
        """Add a piper, see `DictGraph.add_node`; DaggerError if it is none."""
        self._changing("add_node")
        with refused_as(DaggerError):
            if not isinstance(node, Piper):
                raise checks.wrong_type("node", "a Piper", node)
            check_xtra("xtra", xtra)
            check_branch(branch)
        self._by_id[id(node)] = node
        return super().add_node(node, xtra, branch)

    def del_node(self, node: Piper) -> bool:
        """Delete a piper and all edges of it, see `DictGraph.del_node`."""
        self._changing("del_node")
        deleted = super().del_node(node)
        del self._by_id[id(node)]
        return deleted

    def add_edge(self, edge: tuple[Piper, Piper], double: bool = False) -> None:
        """Add an edge from a consumer to its producer, see `DictGraph.add_edge`; DaggerError if that makes a cycle."""
        self._changing("add_edge")
        with refused_as(DaggerError):
            if not isinstance(edge, (tuple, list)) or [isinstance(it, Piper) for it in edge] != [True, True]:
                raise checks.wrong_type("edge", "a pair of pipers, the consumer first", edge)
        _refuse_cycle(self, [*edge[::-1], edge[1]] if double else edge[::-1])
        super().add_edge(edge)

    def del_edge(self, edge: tuple[Piper, Piper], double: bool = False) -> None:
        """Delete an edge, see `DictGraph.del_edge`."""
        self._changing("del_edge")
        super().del_edge(edge, double)

    def resolve(self, piper: Any, forgive: bool = False) -> Piper | None:
        """Find a piper of the graph.

        Args:
            piper: A piper, or its ``id()``.
            forgive: Return None where there is no such piper.

        Raises:
            DaggerError: If there is no such piper.
        """
        if isinstance(piper, Piper) and piper in self:
            return piper
        if isinstance(piper, int) and piper in self._by_id:
            return self._by_id[piper]
        if forgive:
            return None
        raise DaggerError(f"not in this Dagger: {piper!r}")

    def add_piper(
        self, piper: Any, xtra: dict[str, Any] | None = None, create: bool = True, branch: Any = None
    ) -> tuple[bool, Piper]:
        """Add a piper; one that is already here is left as it is.

        Args:
            piper: A piper, the ``id()`` of one that is here, or anything that a piper can be made of.
            xtra: Anything that is to be kept with the piper.
            create: False: only find it.
            branch: The branch of the piper; None: its own.

        Returns:
            Whether it was added, and the piper.

        Raises:
            DaggerError: If no piper can be made of it, or ``create`` is False and it is not here.
        """
        self._changing("add_piper")
        with refused_as(DaggerError):
            check_flag("create", create)
        known = self.resolve(piper, forgive=create)
        if known is not None:
            return False, known
        made = self._made(piper)
        return self.add_node(made, xtra, branch), made

    def add_pipers(self, pipers: Iterable[Any], xtras: Iterable[dict[str, Any]] | None = None) -> None:
        """Add pipers, each with its own dictionary of extras.

        Raises:
            DaggerError: If there are more or fewer dictionaries than pipers, or no piper can be made of one; then nothing
                is added.
        """
        self._changing("add_pipers")
        added = [self.resolve(it, forgive=True) or self._made(it) for it in _pipers_in("pipers", pipers)]
        with refused_as(DaggerError):
            check_list("xtras", "one dictionary for each of the pipers", () if xtras is None else xtras, dict)
        extras = [None] * len(added) if xtras is None else list(xtras)
        with refused_as(DaggerError):
            for xtra in extras:
                check_xtra("xtras", xtra)
            if len(extras) != len(added):
                raise ValueError(f"xtras: {len(extras)} given; must be one for each of {counted(len(added), 'piper')}")
        for piper, xtra in zip(added, extras, strict=True):
            self.add_node(piper, xtra)

    def add_pipe(self, pipe: Iterable[Any], branch: Any = None) -> None:
        """Add pipers and the edges between them; a pipe that is refused changes nothing.

        Args:
            pipe: Pipers (or what `add_piper` takes) in the order in which the data flows. A Dagger stands for its pipers: they
                run as a part of this one, as often as this one does; what is changed in it later is not changed here.
            branch: The branch of those pipers that are new.

        Raises:
            DaggerError: If the pipe is empty, or closes a cycle, or no piper can be made of something in it, or a Dagger in it
                says what its runs are to do with failures.
        """
        self._changing("add_pipe")
        with refused_as(DaggerError):
            check_branch(branch)
        parts = [
            it if isinstance(it, PiperGraph) else self.resolve(it, forgive=True) or self._made(it)
            for it in _pipers_in("pipe", pipe)
        ]
        if not parts:
            raise value_error(DaggerError, "pipe: none given; must be at least one piper")
        pipers = [it for it in parts if isinstance(it, Piper)]
        if len(pipers) < len(parts):
            self._add_nested(parts, branch)
            return
        _refuse_cycle(self, pipers)
        for piper in pipers:
            self.add_node(piper, branch=branch)
        for up, down in pairwise(pipers):
            super().add_edge((down, up))

    def _add_nested(self, parts: list[Any], branch: Any) -> None:
        edges = edges_of(self, parts)
        for it in parts:
            if isinstance(it, Piper):
                self.add_node(it, branch=branch)
                continue
            for piper, node in it.items():
                self.add_node(piper, node.xtra or None, node.branch if branch is None else branch)
        for edge in edges:
            super().add_edge(edge)

    def add_pipes(self, pipes: Iterable[Iterable[Any]], branch: Any = None) -> None:
        """Add pipes one after the other, see `add_pipe`."""
        for pipe in _pipes_in(pipes):
            self.add_pipe(pipe, branch)

    def del_piper(self, piper: Any, forced: bool = False) -> None:
        """Delete a piper (or the one with this ``id()``).

        Raises:
            DaggerError: If it is not here, or, unless ``forced``, if it feeds others.
        """
        self._changing("del_piper")
        with refused_as(DaggerError):
            check_flag("forced", forced)
        found = self.resolve(piper)
        assert found is not None
        if self.incoming_edges(found) and not forced:
            raise DaggerError(f"{found.name} feeds other pipers; forced=True deletes it all the same")
        self.del_node(found)

    def del_pipers(self, pipers: Iterable[Any], forced: bool = False) -> None:
        """Delete pipers, the last one first, see `del_piper`."""
        with refused_as(DaggerError):
            check_flag("forced", forced)
        for piper in list(_pipers_in("pipers", pipers))[::-1]:
            self.del_piper(piper, forced)

    def del_pipe(self, pipe: Iterable[Any], forced: bool = False) -> None:
        """Delete the edges of a pipe, and those of its pipers that feed nothing afterwards (``forced``: all of them).

        Raises:
            DaggerError: If the pipe is empty or not here; then nothing is deleted.
        """
        self._changing("del_pipe")
        with refused_as(DaggerError):
            check_flag("forced", forced)
        pipers = [found for found in map(self.resolve, _pipers_in("pipe", pipe)) if found is not None]
        if not pipers:
            raise value_error(DaggerError, "pipe: none given; must be at least one piper")
        edges = [(down, up) for up, down in pairwise(pipers)]
        for down, up in edges:
            if up not in self[down]:
                raise DaggerError(f"not in this Dagger: a pipe from {up.name} to {down.name}")
        self.del_edges(edges)
        for piper in pipers[::-1]:
            if forced or not self.incoming_edges(piper):
                self.del_node(piper)

    def del_pipes(self, pipes: Iterable[Iterable[Any]], forced: bool = False) -> None:
        """Delete pipes one after the other, see `del_pipe`."""
        with refused_as(DaggerError):
            check_flag("forced", forced)
        for pipe in _pipes_in(pipes):
            self.del_pipe(pipe, forced)

    def get_inputs(self) -> list[Piper]:
        """The pipers that read no other: they read the data."""
        return self.by_branch(piper for piper in self if not self[piper])

    def get_outputs(self) -> list[Piper]:
        """The pipers that no other reads: their results are those of the Dagger."""
        return self.by_branch(piper for piper in self if not self.incoming_edges(piper))

    def _made(self, piper: Any) -> Piper:
        if isinstance(piper, Piper):
            return piper
        try:
            return Piper(piper)
        except PiperError as error:
            several = isinstance(piper, (list, tuple)) and any(isinstance(it, Piper) for it in piper)
            hint = "; pipers in a row are a pipe: pipes=[...], or add_pipe(...)" if several else ""
            raise type_error(DaggerError, f"no Piper can be made of {piper!r:.80}: {error}{hint}") from error

    def inbox_order(self, piper: Piper) -> list[Piper]:
        """The pipers that one reads in the order of its inbox: by branch, then by pipe, each before those it depends on."""
        ups = self.by_branch(self[piper])
        if len(ups) < 2:
            return ups
        order: DictGraph[Piper] = DictGraph()
        for up in ups:
            order.add_node(up, branch=self[up].branch)
        for up in ups:
            order.add_edges((older, up) for older in self.deep_nodes(up) if older in order)
        return order.postorder()

    def children_after_parents(self, piper1: Piper, piper2: Piper) -> int:
        """1 if the first piper is upstream of the second, -1 if it is downstream, 0 if neither feeds the other.

        Raises:
            DaggerError: If one of them is not here.
        """
        first, second = self.resolve(piper1), self.resolve(piper2)
        assert first is not None and second is not None
        if first in self.deep_nodes(second):
            return 1
        return -1 if second in self.deep_nodes(first) else 0

    def _changing(self, call: str) -> None:
        """Something will be changed; a DaggerError if it must not be now."""


def _pipers_in(what: str, pipers: Any) -> Iterable[Any]:
    with refused_as(DaggerError):
        if isinstance(pipers, PiperGraph):
            hint = f"its pipers are list(it): write {what}=list(it), and say its pipes again"
        elif isinstance(pipers, Piper) or (callable(pipers) and not hasattr(pipers, "__iter__")):
            hint = f"write [{pipers!r:.60}]"
        else:
            return check_list(what, "a list of pipers", pipers, ())
        raise TypeError(f"{checks.wrong_type(what, 'a list of pipers', pipers)}; {hint}")


def _pipes_in(pipes: Any) -> list[Any]:
    """The pipes, all of which can be ones."""
    with refused_as(DaggerError):
        check_list("pipes", "a list of pipes", pipes, Piper)
    found = list(pipes)
    needed = "a list of pipes, each of them a list of pipers"
    with refused_as(DaggerError):
        for pipe in found:
            if isinstance(pipe, Piper) or (callable(pipe) and not hasattr(pipe, "__iter__")):
                raise TypeError(
                    f"{checks.wrong_type('pipes', needed, pipe)}; if they are one pipe, write pipes=[(...)]"
                )
            check_list("pipes", needed, pipe, Piper)
    return found


def _refuse_cycle(graph: DictGraph[Piper], pipe: Iterable[Piper]) -> None:
    """Raise a DaggerError if the pipe together with the graph has a cycle."""
    pipers = list(pipe)
    seen: set[Piper] = set()
    for piper in pipers:
        if piper in seen:
            raise DaggerError(f"a cycle: {piper.name} would feed itself")
        seen.add(piper)
    # Whatever feeds one of the pipe must not stand later in it. What feeds nothing yet can't be met on the way.
    later = {piper for piper in pipers[1:] if piper in graph and graph.incoming_edges(piper)}
    seen.clear()
    for piper in pipers:
        if not later:
            return
        later.discard(piper)
        ahead = [piper]
        while ahead:
            for up in graph.get(ahead.pop(), ()):
                if up in later:
                    raise DaggerError(f"a cycle: {up.name} feeds {piper.name} already")
                if up not in seen:
                    seen.add(up)
                    ahead.append(up)
