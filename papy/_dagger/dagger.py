"""Dagger: a graph of pipers, and one run of it after the other."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Mapping
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Any

from numap import IMap, StateError
from papy._base.checks import check_flag, check_seconds, counted, limited, refused_as
from papy._base.errors import DaggerError, PiperError, TooManyFailed
from papy._base.forks import FORKED
from papy._base.misuse import known_options
from papy._base.public import public
from papy._dagger.background import STOP_TIMEOUT
from papy._dagger.datas import check_datas, data_sources
from papy._dagger.forgotten import EXIT_TIMEOUT, ThreadedFinalizer, call_at_exit, log_unread
from papy._dagger.graph_run import GraphRun
from papy._dagger.run_statistics import RunStatistics
from papy._dagger.runnable_graph import RunnableGraph
from papy._piper.own_map import MAP_OPTIONS, own_map
from papy._piper.run_options import RunOptions
from papy._streams.base import NOTHING


@public
class Dagger(RunnableGraph):
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

    A run belongs to the process that started it. In a child that is forked meanwhile all calls are refused, but `stop`, which
    does nothing there; another Dagger can be made there.

    Args:
        pipers: Pipers to add.
        pipes: Pipes to add.
        xtras: One dictionary for each of the pipers.
        on_error: What is done with items that fail on pipers that don't say it themselves, see `Piper`.
        retries: How often an item is evaluated again on pipers that don't say it themselves, see `Piper`.
        max_failures: How many items may fail in a run; one more ends it with a `numap.TooManyFailures`, which is a DaggerError
            here. None: any number.
        parallel: What evaluates the pipers that don't say it themselves: an IMap, a number of workers, or a word, as for a `Piper`.
            They share it. None or False: they are linear.
        map_options: Options of an IMap to be made for them, see `Piper`.

    A run in which items failed says so once, at its end, in a warning of the logger ``papy`` that names the pipers; unless the
    failures were raised.

    Raises:
        DaggerError: If they can't be added, or another argument is not allowed.

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

    @known_options(DaggerError, MAP_OPTIONS)
    def __init__(
        self,
        pipers: Iterable[Any] = (),
        pipes: Iterable[Any] = (),
        xtras: Iterable[dict[str, Any]] | None = None,
        *,
        on_error: str | None = None,
        retries: int | None = None,
        max_failures: int | None = None,
        parallel: IMap[Any] | int | str | None = None,
        **map_options: Any,
    ) -> None:
        with refused_as(self._error):
            imap = own_map(parallel, map_options, None) or None
        super().__init__(pipers, pipes, xtras, RunOptions(on_error, retries, max_failures), imap)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({counted(len(self), 'piper')}, {counted(len(self.edges()), 'pipe')}, {self._current()})"

    def __str__(self) -> str:
        lines = [repr(self), *(f"  {piper!r}" for piper in self.postorder())]
        return "\n".join([*lines, *(f"  {up.name} >>> {down.name}" for down, up in self.edges(self.postorder()))])

    def __enter__(self) -> Dagger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # An error of the block is not to wait for results that it makes useless.
        self.stop(STOP_TIMEOUT if error is None else 0)

    # the run, step by step -------------------------------------------------

    def connect_inputs(self, datas: Iterable[Iterable[Any]]) -> None:
        """Say what the inputs are to read, for a `connect` or `start` without datas.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.

        Raises:
            DaggerError: If there are more or fewer datas than inputs, or the Dagger is connected or runs.
        """
        self._allowed("connect", "connect_inputs")
        self._datas = data_sources(self.get_inputs(), datas, "connect_inputs", True)

    def connect(
        self,
        datas: Iterable[Iterable[Any]] | None = None,
        *,
        on_error: str | None = None,
        retries: int | None = None,
        max_failures: int | None = None,
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        """Connect everything; nothing is read yet. Failed, it leaves no trace.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.
            on_error: For this run, instead of what the Dagger was made with.
            retries, max_failures: As ``on_error``.
            constants: Values by their names: each function that has a parameter of such a name is given the value there, in
                each call of this run. They go to each worker once. What the piper itself says comes first.

        Raises:
            DaggerError: If the Dagger is connected already or has no pipers; if there are more or fewer datas than
                inputs; if a piper or IMap is in use elsewhere; or if what a piper gives is not what the next one takes.
        """
        with self._moving:
            state = self._allowed("connect")
            run = self._made_run(datas, RunOptions(on_error, retries, max_failures, constants), True, "connect")
            try:
                self._take(run, state)
            except BaseException:
                run.close()
                raise

    def start(
        self,
        datas: Iterable[Iterable[Any]] | None = None,
        *,
        on_error: str | None = None,
        retries: int | None = None,
        max_failures: int | None = None,
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        """Connect everything and start the IMaps, which work as far as their buffers allow. Failed, it leaves no trace.

        Then the outputs can be iterated over; those of a `Plumber` are read when it is told to `run`.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`; only if the Dagger is not connected.
            on_error: For this run, instead of what the Dagger was made with.
            retries, max_failures: As ``on_error``.
            constants: Values by their names: each function that has a parameter of such a name is given the value there, in
                each call of this run. They go to each worker once. What the piper itself says comes first.

        Raises:
            DaggerError: If the Dagger runs already (a `Plumber`: `PlumberError`), or can't be connected, see `connect`.
            numap.WorkerStartError, numap.SerializationError: As `results` does; what goes wrong in the workers later is raised to
                the reader of the outputs.

        >>> triple = Piper(lambda x: 3 * x, unpack=True)
        >>> with Dagger([triple]) as dagger:
        ...     dagger.start([[1, 2]])
        ...     next(triple), next(triple)
        (3, 6)
        """
        options = RunOptions(on_error, retries, max_failures, constants)
        begun: list[GraphRun] = []
        try:
            with self._moving:
                self._begin("start", begun, datas, options)
                self._look_after(begun[0])
        except BaseException:
            self._end(begun)
            raise

    def _look_after(self, run: GraphRun) -> None:
        """A run was started: have it end if it is forgotten."""
        if run.parallel:
            self._finalizer = ThreadedFinalizer(self, partial(log_unread, run, "was dropped"), run.close)
            self._finalizer.start()
        call_at_exit(self, run, self._finalizer, EXIT_TIMEOUT)

    def at_exit(self) -> None:
        """The program ends: tell what was started and not read, unless an error or Ctrl-C has ended it."""
        run = self._run
        if run is not None and self._state == "running" and getattr(sys, "last_value", None) is None:
            log_unread(run, "was left at the end of the program")

    def stop(self, timeout: float | None = STOP_TIMEOUT) -> None:
        """Stop everything, soon, in any state and any number of times.

        After a `start` nothing more is taken from the inputs, and what was taken flows through to the last pipers before
        they are stopped; results are dropped. A thread that reads `results` or is in ``run(datas)`` gets an error at once.

        Args:
            timeout: Seconds that this may take; what is not through by then is lost. 0: nothing flows any more; None:
                however long it takes.

        Raises:
            DaggerError: If the timeout is none; also a TypeError.
        """
        with refused_as(self._error):
            check_seconds("timeout", timeout)
        with self._moving:
            state = self._allowed("stop")
            if state == FORKED:
                return
            runner = None
            try:
                run = None if timeout == 0 or self._state == "connected" else self._run
                if run is not None and run.report.close_inputs():
                    runner = self._runner_of(run)
                    runner.finish(limited(timeout))
            finally:
                if runner is not None:
                    runner.stop()
                self._close()
                self._state = state
            if runner is not None:
                runner.wait_for_rest()

    def disconnect(self, forced: bool = False) -> None:
        """Let go of all inputs.

        Args:
            forced: Stop the Dagger first, if it runs.

        Raises:
            DaggerError: If the Dagger runs, and ``forced`` is False.
        """
        with refused_as(self._error):
            check_flag("forced", forced)
        if not forced:
            self._allowed("disconnect")
        self.stop(0)
        self._datas = None

    # the run in one go -----------------------------------------------------

    def results(
        self,
        datas: Iterable[Iterable[Any]],
        *,
        on_error: str | None = None,
        retries: int | None = None,
        max_failures: int | None = None,
        constants: Mapping[str, Any] | None = None,
        progress: Any = None,
    ) -> Generator[Any, None, None]:
        """Run lazily: start at the first ``next``, stop everything when the loop ends for whatever reason.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.
            on_error: For this run, instead of what the Dagger was made with.
            retries, max_failures: As ``on_error``.
            constants: Values by their names: each function that has a parameter of such a name is given the value there, in
                each call of this run. They go to each worker once. What the piper itself says comes first.
            progress: True, a title, or a bar of tqdm or rich: show how far each piper is, see `numap.IMap`.

        Yields:
            The results of the output, or tuples with one result of each output in the order of `get_outputs`. A
            `PiperError` stands in the place of a result that failed.

        Raises:
            DaggerError: If the run can't be started (see `start`), an input raised (this is the ``__cause__``), or
                inputs are of unequal length, or one output gives more results than another.
            PiperError: If an item failed, where ``on_error="raise"``.
            numap.TooManyFailures: If more items failed than ``max_failures`` allows; also a DaggerError.
            numap.WorkerStartError, numap.SerializationError: If the workers of an IMap can't be started, or a function can't be
                sent to them; a note names the pipers.
        """
        check_datas(datas, "results", len(self.get_inputs()))
        return self._results("results", datas, RunOptions(on_error, retries, max_failures, constants, progress))

    def _results(self, call: str, datas: Iterable[Iterable[Any]], options: RunOptions) -> Generator[Any, None, None]:
        begun: list[GraphRun] = []
        try:
            self._begin(call, begun, datas, options)
            run = begun[0]
            single, report = len(run.outputs) == 1, run.report
            for row in run.rows():
                if row is not NOTHING:
                    yield row if single else tuple(row)
                if report.over:
                    break
            if report.over:
                raise self._stopped()
        except (StateError, PiperError, TooManyFailed) as error:
            raise self._to_raise(error, begun) from error.__cause__
        finally:
            self._end(begun)

    def run(
        self,
        datas: Iterable[Iterable[Any]],
        *,
        on_error: str | None = None,
        retries: int | None = None,
        max_failures: int | None = None,
        constants: Mapping[str, Any] | None = None,
        progress: Any = None,
    ) -> RunStatistics:
        """Start, drop all results, stop.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.
            on_error: For this run, instead of what the Dagger was made with.
            retries, max_failures: As ``on_error``.
            constants: Values by their names: each function that has a parameter of such a name is given the value there, in
                each call of this run. They go to each worker once. What the piper itself says comes first.
            progress: True, a title, or a bar of tqdm or rich: show how far each piper is, see `numap.IMap`.

        Raises:
            DaggerError, PiperError, numap.NumapError: As `results` does.

        >>> inverse = Piper(lambda x: 1 / x, unpack=True)
        >>> statistics = Dagger([inverse]).run([[1, 0, 2]])
        >>> statistics.results, statistics.items[inverse], statistics.failures[inverse]
        (3, 3, 1)
        """
        return self._run_through(datas, RunOptions(on_error, retries, max_failures, constants, progress))

    def _run_through(self, datas: Iterable[Iterable[Any]], options: RunOptions) -> RunStatistics:
        began = perf_counter()
        begun: list[GraphRun] = []
        try:
            self._begin("run(datas)", begun, datas, options)
            run = begun[0]
            report = run.report
            for _ in run.rows(dropped=True):
                if report.over:
                    break
            if report.over:
                raise self._stopped()
        except (StateError, PiperError, TooManyFailed) as error:
            raise self._to_raise(error, begun) from error.__cause__
        finally:
            self._end(begun)
        return run.statistics(perf_counter() - began)
