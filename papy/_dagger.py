"""Dagger: a graph of pipers, and one run of it after the other."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import ExitStack, closing
from itertools import pairwise
from time import perf_counter
from types import TracebackType
from typing import Any, Final

from papy._errors import DaggerError, PiperError
from papy._flow import in_step
from papy._piper import Piper
from papy._run import Counted, RunStatistics, begin, data_sources
from papy.graph import DictGraph

__all__ = ["Dagger"]

# The state, and a call that it allows, lead to the next state.
_MOVES: Final = {
    ("idle", "change"): "idle",
    ("idle", "start"): "running",
    ("idle", "stop"): "idle",
    ("running", "stop"): "idle",
}


class Dagger(DictGraph[Piper]):
    """A directed acyclic graph of pipers: a description, until it is started.

    A *pipe* is a sequence of pipers in the order in which the data flows; together the pipes make the graph. In the
    graph itself an edge goes from the consumer to the producer: it is a dependency. A piper may feed several others
    (each gets every item) and read several others (its inbox holds one item of each). Whatever is not a piper becomes
    one: ``add_pipe((read, parse))`` works with functions that take an inbox.

    The inbox of a piper with several upstream pipers is in the order of their branches, then in that in which the
    pipes to it were added; but a piper comes before those that it depends on itself.

    A Dagger can be run any number of times, and changed between runs. With several inputs and outputs their order is
    that of the branches, then that of adding. Consumers of one piper may be 32,768 items apart; the one that is further
    ahead gets a `numap.StateError`.

    Args:
        pipers: Pipers to add.
        pipes: Pipes to add.
        xtras: One dictionary for each of the pipers.

    Raises:
        DaggerError: If they can't be added.

    >>> read = Piper(str.split, unpack=True)
    >>> longest = Piper(lambda words: max(words, key=len), unpack=True)
    >>> count = Piper(len, unpack=True)
    >>> report = Piper(lambda n, word: f"{n} words, longest: {word}", unpack=True)
    >>> dagger = Dagger(pipes=[(read, count, report), (read, longest, report)])
    >>> for line in dagger.results([["to be or not", "that is the question"]]):
    ...     print(line)
    4 words, longest: not
    4 words, longest: question
    """

    __hash__ = object.__hash__

    def __init__(
        self, pipers: Iterable[Any] = (), pipes: Iterable[Any] = (), xtras: Iterable[dict[str, Any]] | None = None
    ) -> None:
        self._state = "idle"
        self._undo = ExitStack()  # of the run: a new one each time, which also tells the runs apart
        super().__init__()
        self.add_pipers(pipers, xtras)
        self.add_pipes(pipes)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"Dagger({len(self)} pipers, {len(self.edges())} pipes, {self._state})"

    def __str__(self) -> str:
        lines = [repr(self), *(f"  {piper!r}" for piper in self.postorder())]
        return "\n".join([*lines, *(f"  {up.name} >>> {down.name}" for down, up in self.edges(self.postorder()))])

    def __enter__(self) -> Dagger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    # the graph -------------------------------------------------------------

    def add_node(self, node: Piper, xtra: dict[str, Any] | None = None, branch: object = None) -> bool:
        """Add a piper, see `DictGraph.add_node`; DaggerError if it is none."""
        self._allowed("change")
        if not isinstance(node, Piper):
            raise DaggerError(f"a Piper is needed, got {node!r}")
        return super().add_node(node, xtra, branch)

    def del_node(self, node: Piper) -> bool:
        """Delete a piper and all edges of it, see `DictGraph.del_node`."""
        self._allowed("change")
        return super().del_node(node)

    def add_edge(self, edge: tuple[Piper, Piper], double: bool = False) -> None:
        """Add an edge from a consumer to its producer, see `DictGraph.add_edge`; DaggerError if that makes a cycle."""
        self._allowed("change")
        _refuse_cycle(self, [*edge[::-1], edge[1]] if double else edge[::-1])
        super().add_edge(edge)

    def del_edge(self, edge: tuple[Piper, Piper], double: bool = False) -> None:
        """Delete an edge, see `DictGraph.del_edge`."""
        self._allowed("change")
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
        if isinstance(piper, int):
            for known in self:
                if id(known) == piper:
                    return known
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
        self._allowed("change")
        known = self.resolve(piper, forgive=create)
        if known is not None:
            return False, known
        made = self._made(piper)
        return self.add_node(made, xtra, branch), made

    def add_pipers(self, pipers: Iterable[Any], xtras: Iterable[dict[str, Any]] | None = None) -> None:
        """Add pipers, each with its own dictionary of extras; DaggerError unless there are as many of these."""
        added = list(pipers)
        extras = [None] * len(added) if xtras is None else list(xtras)
        if len(extras) != len(added):
            raise DaggerError(f"xtras: one for each of {len(added)} pipers is needed, got {len(extras)}")
        for piper, xtra in zip(added, extras, strict=True):
            self.add_piper(piper, xtra)

    def add_pipe(self, pipe: Iterable[Any], branch: Any = None) -> None:
        """Add pipers and the edges between them; a pipe that is refused changes nothing.

        Args:
            pipe: Pipers (or what `add_piper` takes) in the order in which the data flows.
            branch: The branch of those pipers that are new.

        Raises:
            DaggerError: If the pipe is empty, or closes a cycle, or no piper can be made of something in it.
        """
        self._allowed("change")
        pipers = [self.resolve(piper, forgive=True) or self._made(piper) for piper in pipe]
        if not pipers:
            raise DaggerError("a pipe needs at least one piper")
        _refuse_cycle(self, pipers)
        for piper in pipers:
            self.add_node(piper, branch=branch)
        for up, down in pairwise(pipers):
            super().add_edge((down, up))

    def add_pipes(self, pipes: Iterable[Iterable[Any]], branch: Any = None) -> None:
        """Add pipes one after the other, see `add_pipe`."""
        for pipe in pipes:
            self.add_pipe(pipe, branch)

    def del_piper(self, piper: Any, forced: bool = False) -> None:
        """Delete a piper (or the one with this ``id()``).

        Raises:
            DaggerError: If it is not here, or, unless ``forced``, if it feeds others.
        """
        found = self.resolve(piper)
        assert found is not None
        if self.incoming_edges(found) and not forced:
            raise DaggerError(f"{found.name} feeds other pipers; forced=True deletes it all the same")
        self.del_node(found)

    def del_pipers(self, pipers: Iterable[Any], forced: bool = False) -> None:
        """Delete pipers, the last one first, see `del_piper`."""
        for piper in list(pipers)[::-1]:
            self.del_piper(piper, forced)

    def del_pipe(self, pipe: Iterable[Any], forced: bool = False) -> None:
        """Delete the edges of a pipe, and those of its pipers that feed nothing afterwards (``forced``: all of them).

        Raises:
            DaggerError: If the pipe is not here; then nothing is deleted.
        """
        self._allowed("change")
        pipers = [found for found in map(self.resolve, pipe) if found is not None]
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
        for pipe in pipes:
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
            raise DaggerError(f"no Piper can be made of {piper!r}: {error}") from error

    # the run ---------------------------------------------------------------

    def start(self, datas: Iterable[Iterable[Any]] | None = None) -> None:
        """Connect everything and start the IMaps; then the outputs can be iterated over. Failed, it leaves no trace.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.

        Raises:
            DaggerError: If the Dagger runs already or has no pipers, there are more or fewer datas than inputs, or a
                piper or IMap is in use elsewhere.

        >>> triple = Piper(lambda x: 3 * x, unpack=True)
        >>> with Dagger([triple]) as dagger:
        ...     dagger.start([[1, 2]])
        ...     next(triple), next(triple)
        (3, 6)
        """
        state = self._allowed("start")
        if not self:
            raise DaggerError("there are no pipers to start")
        sources = data_sources(self.get_inputs(), () if datas is None else datas)
        with ExitStack() as undo:
            begin(self, sources, undo)
            self._undo = undo.pop_all()
        self._state = state

    def stop(self) -> None:
        """Stop everything, soon and in any state; what was taken from the inputs and not yet read is lost."""
        self._state = self._allowed("stop")
        undo, self._undo = self._undo, ExitStack()
        undo.close()

    def results(self, datas: Iterable[Iterable[Any]]) -> Generator[Any, None, None]:
        """Run lazily: start at the first ``next``, stop everything when the loop ends for whatever reason.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.

        Yields:
            The results of the output, or tuples with one result of each output in the order of `get_outputs`. A
            `PiperError` stands in the place of a result that failed.

        Raises:
            DaggerError: If the run can't be started (see `start`), an input raised (this is the ``__cause__``), or
                inputs are of unequal length.
        """
        single = len(self.get_outputs()) == 1
        with closing(self._rows(datas)) as rows:
            for row in rows:
                yield row[0] if single else tuple(row)

    def run(self, datas: Iterable[Iterable[Any]]) -> RunStatistics:
        """Start, drop all results, stop.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.

        Raises:
            DaggerError: As `results` does.

        >>> inverse = Piper(lambda x: 1 / x, unpack=True)
        >>> statistics = Dagger([inverse]).run([[1, 0, 2]])
        >>> statistics.results, statistics.items[inverse], statistics.failures[inverse]
        (3, 3, 1)
        """
        began = perf_counter()
        counted = Counted(self)
        for row in self._rows(datas):
            counted.add(row)
        return counted.statistics(perf_counter() - began)

    def _rows(self, datas: Iterable[Iterable[Any]]) -> Generator[list[Any], None, None]:
        """Run, and yield what the outputs give for each item."""
        self.start(datas)
        run = self._undo
        try:
            outputs = self.get_outputs()
            for row in in_step(outputs, [piper.name for piper in outputs], "the outputs are of unequal length"):
                yield row
                if self._undo is not run:
                    raise DaggerError("the Dagger was stopped while its results were read")
        finally:
            if self._undo is run:  # and not one that was started since
                self.stop()

    def _allowed(self, call: str) -> str:
        """The state that a call leads to; DaggerError if it is not allowed now."""
        if (self._state, call) not in _MOVES:
            raise DaggerError(f"{call} is not possible while the Dagger is {self._state}")
        return _MOVES[self._state, call]


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
