"""Dagger: a graph of pipers, and one run of it after the other."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from functools import partial
from threading import RLock
from time import perf_counter
from types import TracebackType
from typing import Any, ClassVar, Final

from numap import StateError
from numap.interop import StateTable
from papy._base.checks import check_flag, check_seconds, limited
from papy._base.errors import DaggerError, PiperError, TooManyFailed
from papy._base.forks import FORKED, live
from papy._base.misuse import known_options
from papy._base.public import public
from papy._dagger.background import PATIENCE, BackgroundRunner
from papy._dagger.finalizer import ThreadedFinalizer
from papy._dagger.graph_run import GraphRun, RunStatistics, check_datas, data_sources
from papy._dagger.piper import Piper
from papy._dagger.piper_graph import PiperGraph
from papy._dagger.run_options import Terms
from papy._streams.base import NOTHING
from papy._streams.source import Source

__all__ = ["WORDING", "Dagger"]

# The state, and a call that it allows, lead to the next state.
_MOVES: Final = {
    ("idle", "change"): "idle",
    ("idle", "connect"): "connected",
    ("idle", "disconnect"): "idle",
    ("idle", "results"): "running",
    ("idle", "run(datas)"): "running",
    ("idle", "start"): "running",
    ("idle", "stop"): "idle",
    ("connected", "disconnect"): "idle",
    ("connected", "start"): "running",
    ("connected", "stop"): "idle",
    ("running", "stop"): "idle",
    (FORKED, "stop"): FORKED,
}
WORDING: Final = "{call} is not possible while {subject} is {state}"


def _nothing(failed: bool) -> None:
    """Nobody has to be told that the items are at their end."""


def _tell_dropped(run: GraphRun) -> None:
    if not run.is_read():
        import logging

        logging.getLogger("papy").warning(
            "a Dagger was dropped before its results were read to their end, and what its workers had begun is lost; "
            "stop(), or a with block, says that nothing more is wanted"
        )


@public
class Dagger(PiperGraph):
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

    A run in which items failed says so once, at its end, in a warning of the logger ``papy`` that names the pipers; unless the
    failures were raised.

    Raises:
        DaggerError: If they can't be added, or one of the last three is not allowed.

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

    _states: ClassVar = StateTable(_MOVES, WORDING, DaggerError)
    _error: ClassVar[type[Exception]] = DaggerError

    @known_options(DaggerError, "Piper(function, ")
    def __init__(
        self,
        pipers: Iterable[Any] = (),
        pipes: Iterable[Any] = (),
        xtras: Iterable[dict[str, Any]] | None = None,
        *,
        on_error: str | None = None,
        retries: int | None = None,
        max_failures: int | None = None,
    ) -> None:
        Terms(on_error, retries, max_failures)
        self.on_error = on_error
        self.retries = retries
        self.max_failures = max_failures
        self._state = "idle"
        self._moving = RLock()  # for as long as a call leads from one state to another
        self._run: GraphRun | None = None
        self._caretaker: ThreadedFinalizer | None = None
        self._datas: dict[Piper, Source] | None = None
        super().__init__(pipers, pipes, xtras)
        live.add(self)

    def after_fork(self) -> None:
        """In a child that the user forked: a run goes on in the parent, and this is no handle for it."""
        self._moving = RLock()
        if self._state != "idle":
            self._state = FORKED
            if self._run is not None:
                self._run.after_fork()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} pipers, {len(self.edges())} pipes, {self._current()})"

    def __str__(self) -> str:
        lines = [repr(self), *(f"  {piper!r}" for piper in self.postorder())]
        return "\n".join([*lines, *(f"  {up.name} >>> {down.name}" for down, up in self.edges(self.postorder()))])

    def __reduce__(self) -> Any:
        kind = type(self).__name__
        raise TypeError(
            f"a {kind} can't be pickled or copied: it runs where it was made; give its pipers to another {kind}"
        )

    def __enter__(self) -> Dagger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        # An error of the block is not to wait for what nobody will look at.
        self.stop(PATIENCE if error is None else 0)

    @property
    def dead_letters(self) -> list[PiperError]:
        """The failures that came out of the current or the last run, each as it happened; the last 1,000."""
        return [] if self._run is None else list(self._run.report.dead_letters)

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
    ) -> None:
        """Connect everything; nothing is read yet. Failed, it leaves no trace.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.
            on_error: For this run, instead of what the Dagger was made with.
            retries, max_failures: As ``on_error``.

        Raises:
            DaggerError: If the Dagger is connected already or has no pipers, there are more or fewer datas than inputs,
                a piper or IMap is in use elsewhere, or what a piper gives is not what the next one takes.
        """
        with self._moving:
            state = self._allowed("connect")
            run = self._made_run(datas, Terms(on_error, retries, max_failures), True, "connect")
            try:
                self._take(run, state)
            except BaseException:
                run.close()
                raise

    def _take(self, run: GraphRun, state: str) -> None:
        """Connect a run, and have it as ours."""
        run.connect()
        self._run, self._datas, self._state = run, None, state

    def _made_run(self, datas: Iterable[Iterable[Any]] | None, terms: Terms, doors: bool, call: str) -> GraphRun:
        """A run that is to be connected."""
        if not self:
            raise DaggerError("there are no pipers to start")
        if datas is None and self._datas is not None:
            sources = self._datas
            if list(sources) != self.get_inputs():
                raise DaggerError("the inputs are others than those that were given their data; give the datas again")
        else:
            sources = data_sources(self.get_inputs(), () if datas is None else datas, call, doors)
        return GraphRun(self, sources, terms.over(Terms(self.on_error, self.retries, self.max_failures)))

    def start(
        self,
        datas: Iterable[Iterable[Any]] | None = None,
        *,
        on_error: str | None = None,
        retries: int | None = None,
        max_failures: int | None = None,
    ) -> None:
        """Connect everything and start the IMaps, which work as far as their buffers allow. Failed, it leaves no trace.

        Then the outputs can be iterated over; those of a `Plumber` are read when it is told to `run`.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`; only if the Dagger is not connected.
            on_error: For this run, instead of what the Dagger was made with.
            retries, max_failures: As ``on_error``.

        Raises:
            DaggerError: If the Dagger runs already (a `Plumber`: `PlumberError`), or can't be connected, see `connect`.
            numap.WorkerStartError, numap.SerializationError: As `results` does; what goes wrong in the workers later is raised to
                whoever reads the outputs.

        >>> triple = Piper(lambda x: 3 * x, unpack=True)
        >>> with Dagger([triple]) as dagger:
        ...     dagger.start([[1, 2]])
        ...     next(triple), next(triple)
        (3, 6)
        """
        terms = Terms(on_error, retries, max_failures)
        begun: list[GraphRun] = []
        try:
            with self._moving:
                self._begin("start", begun, datas, terms)
                self._look_after(begun[0])
        except BaseException:
            self._end(begun)
            raise

    def _look_after(self, run: GraphRun) -> None:
        """A run was started: have it end if it is forgotten."""
        if run.parallel:
            self._caretaker = ThreadedFinalizer(self, partial(_tell_dropped, run), run.close)
            self._caretaker.start()

    def _begin(self, call: str, begun: list[GraphRun], datas: Iterable[Iterable[Any]] | None, terms: Terms) -> None:
        """Connect and start a run. It is in the list before anything happens: whoever calls has to `_end` what is there."""
        with self._moving:
            state = self._allowed(call)
            if self._state == "connected":
                if datas is not None or terms:
                    raise self._error(f"{self._who} is connected: start it without arguments, or disconnect it first")
                assert self._run is not None
                begun.append(self._run)
            else:
                # Doors cost time; a run in one go is never stopped but by who leaves it.
                begun.append(self._made_run(datas, terms, call == "start", call.partition("(")[0]))
                self._take(begun[0], "connected")
            begun[0].start()
            self._state = state

    def stop(self, timeout: float | None = PATIENCE) -> None:
        """Stop everything, soon, in any state and any number of times.

        After a `start` nothing more is taken from the inputs, and what was taken flows through to the last pipers before
        they are stopped; results are dropped. Who reads `results` or waits for ``run(datas)`` in another thread gets an
        error at once.

        Args:
            timeout: Seconds that this may take; what is not through by then is lost. 0: nothing flows any more; None:
                however long it takes.

        Raises:
            DaggerError: If the timeout is none; also a TypeError.
        """
        check_seconds("timeout", timeout, self._error)
        with self._moving:
            state = self._allowed("stop")
            if state == FORKED:
                return
            driver = None
            try:
                if timeout != 0 and self._run is not None and self._state != "connected" and self._run.shut():
                    driver = self._driver_of(self._run)
                    driver.finish(limited(timeout))
            finally:
                if driver is not None:
                    driver.stop()
                self._close()
                self._state = state
            if driver is not None:
                driver.rest()

    def _driver_of(self, run: GraphRun) -> BackgroundRunner:
        """Who pulls what is left of a run."""
        return BackgroundRunner(run.rest(), _nothing)

    def _close(self) -> None:
        """Stop everything at once."""
        if self._caretaker is not None:
            self._caretaker.release()
            self._caretaker = None
        if self._run is not None:
            self._run.close()

    def disconnect(self, forced: bool = False) -> None:
        """Let go of all inputs.

        Args:
            forced: Stop the Dagger first, if it runs.

        Raises:
            DaggerError: If the Dagger runs, and ``forced`` is False.
        """
        check_flag("forced", forced, self._error)
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
    ) -> Generator[Any, None, None]:
        """Run lazily: start at the first ``next``, stop everything when the loop ends for whatever reason.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.
            on_error: For this run, instead of what the Dagger was made with.
            retries, max_failures: As ``on_error``.

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
        return self._results("results", datas, Terms(on_error, retries, max_failures))

    def _results(self, call: str, datas: Iterable[Iterable[Any]], terms: Terms) -> Generator[Any, None, None]:
        begun: list[GraphRun] = []
        try:
            self._begin(call, begun, datas, terms)
            run = begun[0]
            single, report = len(run.outputs) == 1, run.report
            for row in run.rows():
                if row is not NOTHING:
                    yield row if single else tuple(row)
                if report.over:
                    break
            if report.over:
                raise self._stopped()
        except StateError as error:  # of an IMap that was stopped while we waited for it
            raise (self._stopped() if begun and begun[0].report.over else error) from None
        except (PiperError, TooManyFailed) as error:  # without the frames of ours in which it was found
            raise error.with_traceback(None) from error.__cause__
        finally:
            self._end(begun)

    def run(
        self,
        datas: Iterable[Iterable[Any]],
        *,
        on_error: str | None = None,
        retries: int | None = None,
        max_failures: int | None = None,
    ) -> RunStatistics:
        """Start, drop all results, stop.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.
            on_error: For this run, instead of what the Dagger was made with.
            retries, max_failures: As ``on_error``.

        Raises:
            DaggerError, PiperError, numap.NumapError: As `results` does.

        >>> inverse = Piper(lambda x: 1 / x, unpack=True)
        >>> statistics = Dagger([inverse]).run([[1, 0, 2]])
        >>> statistics.results, statistics.items[inverse], statistics.failures[inverse]
        (3, 3, 1)
        """
        terms = Terms(on_error, retries, max_failures)
        began = perf_counter()
        begun: list[GraphRun] = []
        try:
            self._begin("run(datas)", begun, datas, terms)
            run = begun[0]
            report = run.report
            for _ in run.rows(dropped=True):
                if report.over:
                    break
            if report.over:
                raise self._stopped()
        except StateError as error:
            raise (self._stopped() if begun and begun[0].report.over else error) from None
        except (PiperError, TooManyFailed) as error:  # without the frames of ours in which it was found
            raise error.with_traceback(None) from error.__cause__
        finally:
            self._end(begun)
        return run.statistics(perf_counter() - began)

    def _end(self, begun: list[GraphRun]) -> None:
        """Stop this run, if there is one, and not one that was started since."""
        for run in begun:
            if self._run is run:
                self.stop(0)
            else:  # it was interrupted before it was ours
                run.close()

    def _stopped(self) -> Exception:
        what = f"is {FORKED}" if self._state == FORKED else "was stopped while its results were read"
        return self._error(f"{self._who} {what}")

    def _changing(self, call: str) -> None:
        self._allowed("change", call)

    def _allowed(self, move: str, call: str | None = None) -> str:
        """The state that a move leads to; an error if it is not allowed now, which names the call, if it is another."""
        return self._states.after(self._current(), move, self._who, call)

    def _current(self) -> str:
        return self._state

    @property
    def _who(self) -> str:
        return f"the {type(self).__name__}"
