"""One run of a graph of pipers: wires them, and reads what comes out.

What a run has taken (pipers, IMaps, inputs) it has to give back, whenever it is interrupted, and from any thread. So the
undoing of each step is noted before the step is done, and may be done twice. `close` works through these notes from the
last to the first. The run holds no Dagger: a Dagger that was dropped must not live on in what runs for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from math import gcd, inf, lcm
from threading import Lock
from typing import Any

from numap import IMap
from numap.interop import Look, follow
from papy._base.checks import counted, did_you_mean, value_error
from papy._base.dead_letters import DeadLetters
from papy._base.errors import POLICIES, DaggerError, PiperError
from papy._base.external_programs import end_of
from papy._dagger.failure_summary import advice, summary_of
from papy._dagger.outlets import Outlets
from papy._dagger.piper_graph import PiperGraph
from papy._dagger.run_statistics import RunStatistics, rows_of
from papy._evaluate.counts import evaluations, filtered
from papy._piper.piper import Piper
from papy._piper.run_options import RunOptions
from papy._piper.wiring import Run, start_imap
from papy._streams.base import NOTHING
from papy._streams.memory import Memory
from papy._streams.results import DaggerResults
from papy._streams.routes import Selected
from papy._streams.source import StreamSource
from papy._streams.streams import InputStream, branches, items_of


class GraphRun:
    """One run: its pipers are connected and started later; until then it is without effect.

    Args:
        graph: The pipers.
        datas: What the inputs read.
        options: What is to be done with items that fail.
        imap: What evaluates pipers that don't say it themselves; None: they are linear.

    Attributes:
        outputs: The pipers that no other reads.
        report: The figures.
    """

    def __init__(
        self, graph: PiperGraph, datas: Mapping[Piper, StreamSource], options: RunOptions, imap: IMap[Any] | None
    ) -> None:
        self._pipers = graph.postorder()
        self._imap = imap
        self._imaps: list[IMap[Any]] = []
        self.outputs = graph.get_outputs()
        by_place = len(self.outputs) > 1 or any(len(ups) > 1 and not piper.merge for piper, ups in graph.items())
        self._run = Run(
            by_place,
            options.on_error or POLICIES[0],
            options.retries,
            routes=_routes(graph),
            constants=_constants(options, self._pipers),
        )
        self.report = self._run.report
        self.report.limit = options.max_failures
        self.report.advise = partial(advice, workers={piper.number: piper.worker for piper in self._pipers})
        self._progress = options.progress
        self._lengths = {piper: source.length() for piper, source in datas.items()} if options.progress else {}
        self._closable: list[InputStream] = []
        #: Its failures have been logged, or need not be.
        self._logged = False
        #: What `connect` needs. The graph may be the Dagger, which is not to be kept alive by what runs for it.
        self._plan: tuple[PiperGraph, Mapping[Piper, StreamSource]] | None = (graph, datas)
        #: What is to be done at the end, the last first; each may be done again.
        self._undo: list[Callable[[], object]] = []
        self._closing = Lock()
        self._shares = _shares(graph, self._pipers, self.outputs)
        self._inputs = [{piper, *graph.deep_nodes(piper)} & set(graph.get_inputs()) for piper in self.outputs]
        self._behind = {piper: frozenset(graph[piper]) for piper in self._pipers}
        self._outlets: Outlets | None = None
        self._results: list[DaggerResults] = []

    @property
    def parallel(self) -> bool:
        """Whether there are IMaps."""
        return bool(self._imaps)

    def connect(self) -> None:
        """Connect all pipers; whatever comes of it, `close` undoes it.

        Raises:
            DaggerError: If a piper or its IMap is in use elsewhere, or pipers don't fit.
        """
        # What runs for the pipers outside of here ends with the run; behind the IMaps, or a thread would start the next.
        self._undo.append(partial(end_of, [owner for piper in self._pipers for owner in piper.worker.owners()]))
        assert self._plan is not None, "it is connected once"
        graph, datas = self._plan
        given = self._connect(graph, datas)
        self._undo.append(self._run.started.set)  # if the start fails, a reader that waits for it finds a stopped IMap
        self.report.inputs = self._closable = [
            source.stream
            for source in datas.values()
            if isinstance(source.stream, InputStream) and source.stream.closable
        ]
        self._outlets = Outlets([given[piper] for piper in self.outputs], self._shares, self._inputs)
        inputs = {piper.number: source for piper, source in datas.items()}
        self.report.sources_of = Memory(inputs, self._outlets.counted, self._run.descents, not self._imaps)
        self._plan = None

    def _connect(self, graph: PiperGraph, datas: Mapping[Piper, StreamSource]) -> dict[Piper, StreamSource]:
        """Connect all pipers, and return what the outputs give."""
        pipes: dict[tuple[Piper, Piper], StreamSource] = {}
        given: dict[Piper, StreamSource] = {}
        for piper in self._pipers:
            sources = tuple(pipes.pop((up, piper)) for up in graph.inbox_order(piper)) or (datas[piper],)
            # First the undoing, or an interrupt could come between.
            self._undo.append(partial(piper.detach, self._run))
            imap = piper.imap_in(self._imap)
            if imap is not None and not any(imap is it for it in self._imaps):
                if _is_free(piper.name, imap):  # else the piper will say why it isn't
                    self._undo.append(imap.stop)
                self._imaps.append(imap)
            try:
                output = piper.attach(sources, self._run, imap)
            except PiperError as error:
                raise DaggerError(str(error)) from error
            consumers = [down for down, _ in graph.incoming_edges(piper)]
            if not consumers:
                given[piper] = output
            for down, branch in zip(consumers, branches(output, len(consumers)), strict=True):
                pipes[piper, down] = self._sent(graph, piper, down, branch)
        return given

    def _sent(self, graph: PiperGraph, piper: Piper, down: Piper, output: StreamSource) -> StreamSource:
        """What one piper gets of another: all, or what that sends to its branch."""
        if not piper.route:
            return output
        place = self._run.routes[piper.number].index(graph[down].branch)
        return output._replace(stream=Selected(items_of(output), place, piper.number))

    def start(self) -> None:
        """Start all IMaps; from then on each output can be iterated over, or all of them by `rows`."""
        self._undo.insert(0, self._run.leave)  # the last of all, when no program makes a file any more
        self._run.enter()
        for imap in self._imaps:
            names = ", ".join(piper.name for piper in self._pipers if piper.imap is imap)
            try:
                start_imap(imap, names)
            except ValueError as error:
                raise DaggerError(f"the IMap of {names} can't be started: {error}") from error
        assert self._outlets is not None
        skips = any((piper.on_error or self._run.policy) == "skip" for piper in self._pipers)
        self._results = self._outlets.single(self.report, skips)
        outputs = dict(zip(self.outputs, self._results, strict=True))
        for piper in self._pipers:
            piper.run(outputs.get(piper))
        self._run.started.set()
        follower = follow(self._look, self._progress)
        if follower is not None:
            self._undo.append(follower.end)

    def _look(self) -> Look:
        return Look(rows_of(self.statistics(0.0), self._behind, self._lengths), self.report.over)

    def close(self) -> None:
        """Stop everything; in any state, from any thread, any number of times."""
        self.report.over = True
        with self._closing:  # a second caller waits until all is stopped
            with ExitStack() as all_of_it:
                for undo in self._undo:
                    all_of_it.callback(undo)
            # Not before all is done: after an interrupt it can be closed again.
            self._undo, self._plan = [], None
            self._outlets, self._results, self.report.inputs = None, [], []
        self._log_failures()  # at last, as handlers of logs may do anything

    def _log_failures(self) -> None:
        """Say once that items failed, unless that was raised."""
        logged, self._logged = self._logged, True
        # When the interpreter is being taken down, results that were left in a global are closed; then nothing can be logged.
        if logged or self.report.failed <= self.report.raised or sys.is_finalizing():
            return
        import logging

        figures = self.statistics(0.0)
        assert figures.first_failure is not None
        logging.getLogger("papy").warning("%s", summary_of(figures.items, figures.failures, figures.first_failure))

    def after_fork(self) -> None:
        """In a child that the user forked, where nothing of this runs."""
        self.report.over = self._logged = True
        for piper in self._pipers:
            piper.after_fork()

    def left(self) -> float | None:
        """How many items of its inputs are left: the most of one, perhaps infinitely many; None: that is not known."""
        left = [data.left() for data in self._closable]
        return inf if inf in left else None if None in left else max(filter(None, left), default=0)

    def state_text(self) -> str:
        """How far it has come, in words; also when it was closed."""
        left = self.left()
        ahead = (
            "its inputs were not at their end"
            if left in (None, inf)
            else f"{counted(int(left), 'item')} of its inputs had not been taken"
        )
        return f"{counted(self.report.results, 'result')} had come out, and {ahead}"

    def is_read(self) -> bool:
        """Whether the reader of the outputs has come to the end of each."""
        return all(piper.finished for piper in self.outputs)

    def rest(self) -> Iterator[Any]:
        """What comes out when the inputs are closed, one result of each output in turn; errors end nothing but themselves."""
        ahead = list(self._results)
        while ahead and not self.report.over:
            for results in list(ahead):
                try:
                    next(results)
                except PiperError:
                    pass
                except Exception:  # whatever ends it, the others go on
                    ahead.remove(results)
                yield NOTHING

    def rows(self, dropped: bool = False) -> Iterator[Any]:
        """What comes out: of one output its items, of several rows with one item of each; ``NOTHING`` for what is dropped.

        Args:
            dropped: They are not looked at. Then there may be more results of one output than of another, and a row has
                more of these.

        Raises:
            DaggerError: If the results of outputs don't belong together, as there are more of one than of another.
        """
        # Another thread may have stopped it.
        return iter(()) if self._outlets is None else self._outlets.rows(self.report, dropped)

    def statistics(self, seconds: float) -> RunStatistics:
        """What was done so far, in so many seconds."""
        report = self.report
        times = evaluations(
            {piper.number: [up.number for up in ups] for piper, ups in self._behind.items()}, self._run.counts
        )
        items = {piper: times[piper.number] for piper in self._pipers}
        failures = {piper: report.failures[piper.number] for piper in self._pipers}
        dropped = {piper: filtered(piper.number, self._run.counts) for piper in self._pipers}
        letters = DeadLetters(report.dead_letters.copy())
        return RunStatistics(report.results, seconds, items, failures, report.skipped, letters, report.first, dropped)


def _is_free(name: str, imap: IMap[Any]) -> bool:
    """Whether an IMap is not in use; DaggerError if it has tasks of others, which would be started and ended with the run."""
    figures = imap.statistics()
    if figures.state == "idle" and figures.tasks:
        raise DaggerError(
            f"the IMap of {name} has tasks already, which are not of this Dagger; give it another IMap, or stop() this one first"
        )
    return figures.state in ("idle", "stopped")


def _routes(graph: PiperGraph) -> dict[int, tuple[Any, ...]]:
    """For each piper that routes the branches that it can send an item to."""
    found: dict[int, tuple[Any, ...]] = {}
    for piper in graph:
        if piper.route:
            branches: list[Any] = []
            for down in graph.by_branch(down for down, _ in graph.incoming_edges(piper)):
                if graph[down].branch not in branches:
                    branches.append(graph[down].branch)
            found[piper.number] = tuple(branches)
    return found


def _constants(options: RunOptions, pipers: list[Piper]) -> dict[str, Any]:
    """What functions are given by name; DaggerError if no function takes one."""
    given = dict(options.constants or {})
    taken = {name for piper in pipers for name in piper.worker.parameters()} if given else set[str]()
    for name in given:
        if name not in taken:
            raise value_error(
                DaggerError, f"constants: no function has a parameter {name!r}{did_you_mean(name, sorted(taken))}"
            )
    return given


def _shares(graph: PiperGraph, pipers: list[Piper], outputs: list[Piper]) -> list[int]:
    """How many results of each output there are for the same number of items of the inputs."""
    given: dict[Piper, tuple[int, int]] = {}
    for piper in pipers:
        results, items = next((given[up] for up in graph[piper]), (1, 1))
        if piper.flatten or piper.numbers.batched or (piper.merge and len(graph[piper]) > 1):
            results, items = 1, 1
        given[piper] = results * piper.produce, items * piper.consume
    least = lcm(*(given[piper][1] for piper in outputs))
    shares = [given[piper][0] * least // given[piper][1] for piper in outputs]
    return [share // gcd(*shares) for share in shares]
