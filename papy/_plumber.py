"""Plumber: a Dagger that runs in the background, and can be written to a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from os import PathLike
from time import perf_counter, time
from types import TracebackType
from typing import Any, ClassVar, Final, overload

from papy._caretaker import Caretaker
from papy._checks import check_seconds, limited, wrong_value
from papy._codefile import read, write
from papy._dagger import Dagger
from papy._driver import Driver
from papy._errors import PiperError, PlumberError
from papy._forks import FORKED
from papy._public import public
from papy._run import GraphRun, RunStatistics
from papy._terms import Terms

__all__ = ["Plumber"]

_ALIVE: Final = ("started", "running", "paused", "finished", "failed")

# The state, and a call that it allows, lead to the next state.
_MOVES: Final = {
    ("idle", "change"): "idle",
    ("idle", "connect"): "connected",
    ("idle", "disconnect"): "idle",
    ("idle", "results"): "being read",
    ("idle", "run(datas)"): "being read",
    ("idle", "start"): "started",
    ("idle", "stop"): "idle",
    ("connected", "disconnect"): "idle",
    ("connected", "start"): "started",
    ("connected", "stop"): "idle",
    ("being read", "stop"): "idle",
    ("started", "run"): "running",
    ("paused", "run"): "running",
    ("running", "pause"): "paused",
    ("finished", "pause"): "finished",
    ("failed", "pause"): "failed",
    ("running", "wait"): "running",
    ("finished", "wait"): "finished",
    ("failed", "wait"): "failed",
    **{(state, "stop"): "idle" for state in _ALIVE},
    (FORKED, "stop"): FORKED,
}


@public
class Plumber(Dagger):
    """A Dagger that runs in the background: `Dagger.start`, `run`, `pause`, `run` again, `wait`, `Dagger.stop`.

    While it runs, a thread takes the results and drops them, so the last pipers should store what they are given. They get
    each item once, also if the Plumber is paused, goes on, and is stopped (see `Dagger.stop`). What a
    Plumber has started ends when it is stopped, finished or dropped, and with the program. A call that is not allowed
    in a state is a `PlumberError` that names both, and changes nothing:

    ========================================  =============================================
    state                                     what can be done
    ========================================  =============================================
    idle                                      start, run(datas), results, and all changes
    started, paused                           run, stop
    running                                   pause, wait, stop
    finished, failed                          pause (without effect), wait, stop
    ========================================  =============================================

    What ended a run (an item that failed where ``on_error="raise"``, an input that raised) is raised by `wait`, else by the end of
    a ``with`` block. `Dagger.stop` raises nothing of the kind, whatever the state: who needs to know calls `wait` before it.

    Args:
        logger_options: Accepted, as long as there are none; logging is configured by ``papy.util.config``.
        pipers, pipes, xtras, on_error, retries, max_failures: As for a `Dagger`.

    >>> from papy import Piper
    >>> seen = []
    >>> plumber = Plumber(pipes=[(Piper(abs, unpack=True), Piper(seen.append, unpack=True))])
    >>> with plumber:
    ...     plumber.start([[1, -2, 3]])
    ...     plumber.run()
    ...     plumber.wait()
    True
    >>> seen, plumber.stats["results"]
    ([1, 2, 3], 3)
    """

    _moves: ClassVar[Mapping[tuple[str, str], str]] = _MOVES
    _error: ClassVar[type[Exception]] = PlumberError

    def __init__(self, logger_options: Mapping[str, Any] | None = None, **options: Any) -> None:
        if logger_options:
            needed = "none are needed, and pipers and pipes by their names"
            raise wrong_value("logger_options", needed, logger_options, PlumberError)
        self._driver: Driver | None = None
        self._began = 0.0  # by the clock of the machine
        self._timer = 0.0
        self._seconds: float | None = None
        super().__init__(**options)

    # its life --------------------------------------------------------------

    def _begin(self, call: str, begun: list[GraphRun], datas: Iterable[Iterable[Any]] | None, terms: Terms) -> None:
        began, timer = time(), perf_counter()
        super()._begin(call, begun, datas, terms)
        self._began, self._timer, self._seconds = began, timer, None

    def _look_after(self, run: GraphRun) -> None:
        # At its end nobody has to take care any more: an error that ended it leads to whoever was told of it,
        # and a thread that held the error would hold them, too.
        ends = ExitStack()
        driver = self._driver = Driver(run.rows(dropped=True), ends.close)
        self._caretaker = Caretaker(self, driver.stop, run.close)
        ends.callback(self._caretaker.release)
        ends.callback(run.close)
        self._caretaker.start()
        driver.start()

    @overload
    def run(self) -> None: ...

    @overload
    def run(
        self,
        datas: Iterable[Iterable[Any]],
        *,
        on_error: str | None = None,
        retries: int | None = None,
        max_failures: int | None = None,
    ) -> RunStatistics: ...

    def run(
        self,
        datas: Iterable[Iterable[Any]] | None = None,
        *,
        on_error: str | None = None,
        retries: int | None = None,
        max_failures: int | None = None,
    ) -> RunStatistics | None:
        """Go on in the background; or, with datas, start, wait and stop in one call.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.
            on_error: Only with datas: for this run, instead of what the Plumber was made with.
            retries, max_failures: As ``on_error``.

        Returns:
            With datas what was done, else None.

        Raises:
            PlumberError: If it has not been started (with datas: if it has), runs or has finished.
            DaggerError, PiperError, numap.NumapError: With datas: as `Dagger.run`.
        """
        if datas is not None:
            return super().run(datas, on_error=on_error, retries=retries, max_failures=max_failures)
        if Terms(on_error, retries, max_failures):
            raise PlumberError("run: on_error and retries are said at the start, and so is max_failures")
        with self._moving:
            state = self._allowed("run")
            assert self._driver is not None
            self._driver.run()
            self._state = state
        return None

    def pause(self) -> None:
        """Hold, after the item in hand, for which it waits a second at most; what the workers have in hand they finish.

        `run` goes on, and nothing is lost. In the state finished or failed there is nothing to hold.

        Raises:
            PlumberError: If it does not run.
        """
        with self._moving:
            state = self._allowed("pause")
            if state == "paused":
                assert self._driver is not None
                self._driver.pause()
                self._state = "running"  # and what has become of that the driver knows

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run has finished.

        Args:
            timeout: Seconds to wait at most; None: without limit.

        Returns:
            True when it has finished, False when the time ran out.

        Raises:
            PlumberError: If it does not run, or was stopped meanwhile.
            DaggerError, PiperError, numap.NumapError: What ended the run; see `Dagger.results`.
        """
        check_seconds("timeout", timeout, PlumberError)
        with self._moving:
            self._allowed("wait")
            driver = self._driver
        assert driver is not None
        outcome = driver.wait(limited(timeout))
        if outcome == "stopped":
            raise PlumberError("the Plumber was stopped while somebody waited for its end")
        if outcome == "failed" and driver.error is not None:
            driver.told = True
            raise driver.error
        return outcome is not None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Stop; raise what ended the run, or made it fail while it was stopped, unless `wait` has or the block itself raises."""
        driver = self._driver
        super().__exit__(kind, error, tb)
        if error is not None or driver is None or driver.error is None or driver.told:
            return
        # While a run is stopped inputs end where they are, so that one may seem to be shorter than another.
        if driver.state == "failed" or isinstance(driver.error, PiperError):
            driver.told = True
            raise driver.error

    def _driver_of(self, run: GraphRun) -> Driver:
        return super()._driver_of(run) if self._driver is None else self._driver

    def _close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.stop()
        super()._close()
        if driver is not None:
            driver.rest()
        if self._seconds is None and self._began:
            self._seconds = ((driver and driver.ended) or perf_counter()) - self._timer

    # its figures -----------------------------------------------------------

    @property
    def stats(self) -> dict[str, Any]:
        """The figures of the current or the last run, at this moment.

        - ``"start_time"``: when it was started, in seconds since the epoch; None before the first start
        - ``"run_time"``: seconds from the start to the end of the run; None as long as it has not ended
        - ``"pipers_tracked"``: for each piper with ``track=True`` what `Piper.tracked` gives
        - ``"results"``, ``"skipped"``, ``"items"``, ``"failures"``, ``"failed"``, ``"dead_letters"``: as in `RunStatistics`
        """
        run, driver, seconds = self._run, self._driver, self._seconds
        if driver is not None and driver.ended is not None:
            seconds = driver.ended - self._timer
        found: dict[str, Any] = {
            "start_time": self._began or None,
            "run_time": seconds,
            "pipers_tracked": {piper: piper.tracked for piper in self if piper.track},
        }
        figures = RunStatistics(0, 0.0, {}, {}) if run is None else run.statistics(seconds or 0.0)
        names = ("results", "skipped", "items", "failures", "failed", "dead_letters")
        return found | {name: getattr(figures, name) for name in names}

    # its file --------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Write the pipeline as Python source, which `load` reads.

        Functions and classes of modules are imported there, and loggers are asked for by their names (how logging was
        configured is not saved). Functions and classes of the main program are written down as they stand in its source, with
        what was set on them later and the globals that they refer to. What is loaded does the same; only that an object of
        the main program that two pipers have as an argument is two objects then.

        Args:
            path: The file, with the ending ``.py``; one that is there is replaced.

        Raises:
            PlumberError: If something can't be written as source: a lambda, a closure, an argument that is no plain value, a
                function that is no longer what its source says. Or if the file has another ending. Then no file is written.
        """
        write(self, path)

    def load(self, path: str | PathLike[str]) -> None:
        """Add the pipers and pipes of a file that `save` has written. It is run as a program: read only what you trust.

        Args:
            path: The file.

        Raises:
            PlumberError: If the Plumber is not idle, or this is not such a file; then nothing is added.
        """
        with self._moving:
            self._allowed("change", "load")
            read(self, path)

    def _current(self) -> str:
        driver = self._driver
        if driver is not None and self._state == "running":
            return driver.state
        return self._state
