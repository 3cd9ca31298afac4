"""One run of a graph of pipers: connects them, and counts what comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from threading import Event
from typing import Any, Final
from weakref import finalize

from numap import IMap, tee
from papy._errors import DaggerError, PiperError, failures_in, origins
from papy._flow import Source
from papy._piper import Piper, Run
from papy._running import end_of
from papy._worker import Worker
from papy.graph import DictGraph

__all__ = ["FORK_LIMIT", "Counted", "RunStatistics", "begin", "data_sources"]

# Consumers of one piper may be so many items apart. What one has read and another has not is kept, so this bounds
# the memory. Pipers on IMaps stay within their buffers, far below; who reads outputs one by one can get here.
FORK_LIMIT: Final = 2**15


@dataclass(frozen=True)
class RunStatistics:
    """What a finished run has done.

    Attributes:
        results: How many results (or failures in their places) came out.
        seconds: How long the run took, starting and stopping included.
        items: For each piper, on how many items it evaluated its functions.
        failures: For each piper, how many of these failed there.
    """

    results: int
    seconds: float
    items: Mapping[Piper, int]
    failures: Mapping[Piper, int]


class Counted:
    """Counts results, and finds out from the failures among them what each piper did.

    Every failure comes out at an output, and no piper behind it evaluates that item; so nothing has to be counted
    on the way.
    """

    def __init__(self, graph: DictGraph[Piper]) -> None:
        self._graph = graph
        self._pipers = {piper.number: piper for piper in graph}
        self._results = 0
        self._failed: Counter[frozenset[Piper]] = Counter()

    def add(self, row: Iterable[Any]) -> None:
        """Count one result: what the outputs gave for one item."""
        self._results += 1
        failures = failures_in(row)
        if failures:
            numbers = {origin.number for failure in failures for origin in origins(failure)}
            self._failed[frozenset(self._pipers[number] for number in numbers if number in self._pipers)] += 1

    def statistics(self, seconds: float) -> RunStatistics:
        """What was counted in a run of so many seconds."""
        items = dict.fromkeys(self._graph, self._results)
        failures = dict.fromkeys(self._graph, 0)
        for where, times in self._failed.items():
            passed = set(where)  # where it failed, and what only passed that on
            for piper in self._graph.postorder():
                if not passed.isdisjoint(self._graph[piper]):
                    passed.add(piper)
                    items[piper] -= times
            for piper in where:
                failures[piper] += times
        return RunStatistics(self._results, seconds, items, failures)


def data_sources(inputs: list[Piper], datas: Iterable[Iterable[Any]]) -> dict[Piper, Source]:
    """Give each input its data; DaggerError unless there are as many datas as inputs, and all are iterable."""
    # One more tells "too many" of an iterable that never ends.
    given = list(islice(datas, len(inputs) + 1))
    if len(given) != len(inputs):
        got = str(len(given)) if len(given) < len(inputs) else "more"
        names = ", ".join(piper.name for piper in inputs)
        raise DaggerError(f"datas: one iterable for each of {len(inputs)} inputs ({names}) is needed, got {got}")
    for piper, data in zip(inputs, given, strict=True):
        if not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
            raise DaggerError(f"datas: an iterable is needed for {piper.name}, got {data!r}")
    return {piper: Source(data, f"the data of {piper.name}") for piper, data in zip(inputs, given, strict=True)}


def begin(graph: DictGraph[Piper], datas: Mapping[Piper, Source], undo: ExitStack) -> None:
    """Connect all pipers and start their IMaps; what has been done so far is undone by closing the stack.

    Args:
        graph: The pipers; those that nothing reads become readable.
        datas: What the inputs read.
        undo: Gets what is to be done to end the run.

    Raises:
        DaggerError: If a piper or its IMap is in use elsewhere.
    """
    pipes: dict[tuple[Piper, Piper], Source] = {}
    imaps: list[IMap[Any]] = []
    outputs = [piper for piper in graph if not graph.incoming_edges(piper)]
    # Programs that work for the pipers end with the run: behind the IMaps, or a thread would start the next one; and
    # also where the graph is dropped without a stop, or the interpreter exits.
    owners = [owner for piper in graph for owner in owners_of(piper.worker)]
    undo.callback(finalize(graph, end_of, owners))
    run = Run(len(outputs) > 1 or any(len(ups) > 1 for ups in graph.values()), Event())
    for piper in graph.postorder():
        sources = [pipes.pop((up, piper)) for up in inbox_order(graph, piper)] or [datas[piper]]
        try:
            output = piper.connect_to(sources, run)
        except PiperError as error:
            raise DaggerError(str(error)) from error
        undo.callback(piper.disconnect)
        if piper.imap is not None and not any(piper.imap is imap for imap in imaps):
            imaps.append(piper.imap)
            undo.callback(piper.imap.stop)
        consumers = [down for down, _ in graph.incoming_edges(piper)]
        if not consumers:
            piper.read_from(output)
        for down, branch in zip(consumers, _branches(output, len(consumers)), strict=True):
            pipes[piper, down] = branch
    undo.callback(run.started.set)  # if the start fails, who waits for it finds a stopped IMap
    for imap in imaps:
        imap.start()
    run.started.set()


def owners_of(worker: Worker) -> Iterator[object]:
    """What a program that works for a worker may be known by: its functions and their constant arguments."""
    for function, args, kwargs in zip(worker.task, worker.args, worker.kwargs, strict=True):
        yield function
        yield from args
        yield from kwargs.values()


def inbox_order(graph: DictGraph[Piper], piper: Piper) -> list[Piper]:
    """The upstream pipers in the order of the inbox: by branch, then by pipe, but each before those it depends on."""
    ups = graph.by_branch(graph[piper])
    if len(ups) < 2:
        return ups
    order: DictGraph[Piper] = DictGraph()
    for up in ups:
        order.add_node(up, branch=graph[up].branch)
    for up in ups:
        order.add_edges((older, up) for older in graph.deep_nodes(up) if older in order)
    return order.postorder()


def _branches(output: Source, consumers: int) -> list[Source]:
    """Split what a piper puts out between its consumers."""
    if consumers < 2:
        return [output] * consumers
    return [output._replace(stream=branch) for branch in tee(output.stream, consumers, limit=FORK_LIMIT)]
