"""Plumber: a Dagger that runs in the background, and can be written to a file.

Its state is that of the thread that takes the results, as soon as it runs: only that thread knows when they end. An error
of a run waits there for a caller, which is told once: by `wait`, by the end of a ``with`` block, or else by the log.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from os import PathLike
from time import perf_counter, time
from types import TracebackType
from typing import Any, ClassVar, Final, overload

from papy._base.checks import check_seconds, limited, refused_as, value_error
from papy._base.errors import DaggerError, PlumberError
from papy._base.forks import FORKED
from papy._base.misuse import unknown_option
from papy._base.public import public
from papy._dagger.background import STOP_TIMEOUT, BackgroundRunner
from papy._dagger.codefile import read, write
from papy._dagger.dagger import Dagger
from papy._dagger.forgotten import EXIT_TIMEOUT, ThreadedFinalizer, call_at_exit, log_failure, log_forgotten, untold
from papy._dagger.graph_run import GraphRun
from papy._dagger.run_statistics import RunStatistics
from papy._piper.lifecycles import PLUMBER
from papy._piper.own_map import MAP_OPTIONS
from papy._piper.piper import Piper
from papy._piper.run_options import RunOptions

_OPTIONS: Final = [*list(inspect.signature(Dagger.__init__).parameters)[1:-1], *MAP_OPTIONS]


@public
class Plumber(Dagger):
    """A Dagger that runs in the background: `Dagger.start`, `run`, `pause`, `run` again, `wait`, `Dagger.stop`.

    While it runs, a thread takes the results and drops them, so the last pipers should store what they are given. They get
    each item once, also if the Plumber is paused, goes on, and is stopped (see `Dagger.stop`). What a
    Plumber has started ends when it is stopped, finished or dropped. At the end of the program one that runs comes to the end of
    its inputs before; for five seconds at most, where it can't be known that they have an end. What was cut off, or dropped, is
    told in one warning of the logger ``papy``. A call that is not allowed
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
    a ``with`` block. `stop` raises nothing of the kind, but logs it: a caller that needs to know calls `wait` before.

    Args:
        logger_options: Accepted, as long as there are none; logging is configured by ``papy.util.config``.
        options: As for a `Dagger`, by their names.

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

    _states: ClassVar = PLUMBER
    _error: ClassVar[type[Exception]] = PlumberError

    def __init__(self, logger_options: Mapping[str, Any] | None = None, **options: Any) -> None:
        if logger_options:
            given: list[Any] = list(logger_options) if isinstance(logger_options, (list, tuple)) else []
            name = "pipes" if given and all(isinstance(it, (list, tuple)) for it in given) else "pipers"
            hint = f"; write Plumber({name}={given!r:.60})" if given else ""
            if isinstance(logger_options, Piper):
                hint = f"; write Plumber(pipers=[{logger_options!r:.60}])"
            elif isinstance(logger_options, Dagger):
                hint = "; its pipers are list(it): write Plumber(pipers=list(it)), and say its pipes again"
            text = (
                f"logger_options: {logger_options!r:.80} given; must be none, and pipers and pipes by their names{hint}"
            )
            raise value_error(PlumberError, text)
        unknown = [name for name in options if name not in _OPTIONS]
        if unknown:
            name = unknown[0]
            raise unknown_option(DaggerError, "Plumber.__init__", name, options[name], _OPTIONS)
        self._runner: BackgroundRunner | None = None
        self._raises = False  # what would be logged is about to be raised
        self._began = 0.0  # by the clock of the machine
        self._timer = 0.0
        self._seconds: float | None = None
        super().__init__(**options)

    # its life --------------------------------------------------------------

    def _begin(
        self, call: str, begun: list[GraphRun], datas: Iterable[Iterable[Any]] | None, options: RunOptions
    ) -> None:
        began, timer = time(), perf_counter()
        super()._begin(call, begun, datas, options)
        self._began, self._timer, self._seconds = began, timer, None

    def _look_after(self, run: GraphRun) -> None:
        ends: list[ThreadedFinalizer] = []

        def end(failed: bool) -> None:
            run.close()
            if not failed:  # else a caller has to be told, or the log
                ends[0].release()

        runner = self._runner = BackgroundRunner(run.rows(dropped=True), end)
        self._finalizer = ThreadedFinalizer(
            self, partial(log_forgotten, runner, run, "was dropped"), runner.stop, run.close
        )
        ends.append(self._finalizer)
        self._finalizer.start()
        runner.start()
        call_at_exit(self, runner, ends[0], EXIT_TIMEOUT)

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
        constants: Mapping[str, Any] | None = None,
        progress: Any = None,
    ) -> RunStatistics: ...

    def run(
        self,
        datas: Iterable[Iterable[Any]] | None = None,
        *,
        on_error: str | None = None,
        retries: int | None = None,
        max_failures: int | None = None,
        constants: Mapping[str, Any] | None = None,
        progress: Any = None,
    ) -> RunStatistics | None:
        """Go on in the background; or, with datas, start, wait and stop in one call.

        Args:
            datas: One iterable for each input, in the order of `get_inputs`.
            on_error: Only with datas: for this run, instead of what the Plumber was made with.
            retries, max_failures: As ``on_error``.
            constants: Values by their names: each function that has a parameter of such a name is given the value there, in
                each call of this run. They go to each worker once. What the piper itself says comes first.
            progress: Only with datas: True, a title, or a bar of tqdm or rich: show how far each piper is, see `numap.IMap`.

        Returns:
            With datas what was done, else None.

        Raises:
            PlumberError: If it has not been started (with datas: if it has), runs or has finished.
            DaggerError, PiperError, numap.NumapError: With datas: as `Dagger.run`.
        """
        options = RunOptions(on_error, retries, max_failures, constants, progress)
        if datas is not None:
            return self._run_through(datas, options)
        if options:
            raise PlumberError("run: on_error and retries are said at the start, and so are all other options")
        with self._moving:
            state = self._allowed("run")
            assert self._runner is not None
            self._runner.run()
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
                assert self._runner is not None
                self._runner.pause()
                self._state = "running"  # and what has become of that the runner knows

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
        with refused_as(PlumberError):
            check_seconds("timeout", timeout)
        with self._moving:
            self._allowed("wait")
            runner = self._runner
        assert runner is not None
        outcome = runner.wait(limited(timeout))
        if outcome == "stopped":
            raise PlumberError("the Plumber was stopped while its end was waited for")
        if outcome == "failed" and runner.error is not None:
            raise self._told(runner, runner.error)
        return outcome is not None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Stop; raise what ended the run, or made it fail while it was stopped, unless `wait` has or the block itself raises."""
        runner = self._runner
        self._raises = error is None
        try:
            self.stop(STOP_TIMEOUT if error is None else 0)
        finally:
            self._raises = False
        ended_by = None if runner is None or error is not None else untold(runner)
        if runner is not None and ended_by is not None:
            raise self._told(runner, ended_by)

    def stop(self, timeout: float | None = STOP_TIMEOUT) -> None:
        """Stop everything, soon, in any state and any number of times; see `Dagger.stop`.

        What ended the run, and was not raised by `wait`, is an error of the logger ``papy`` then.

        Args:
            timeout: Seconds that this may take, see `Dagger.stop`.

        Raises:
            PlumberError: If the timeout is none; also a TypeError.
        """
        runner = self._runner
        super().stop(timeout)
        if not self._raises:
            log_failure(runner)

    def _told(self, runner: BackgroundRunner, error: BaseException) -> BaseException:
        """The error that ended the run, to be raised to a caller; then the log need not tell."""
        runner.told = True
        # Its thread would hold the error, and this the frames of the caller.
        if self._finalizer is not None and self._runner is runner:
            self._finalizer.release()
        return error

    def at_exit(self) -> None:
        """The program ends, and the Plumber was forgotten: finish what it does, or tell how far it came."""
        runner, run, ended_by = self._runner, self._run, getattr(sys, "last_value", None)
        # After Ctrl-C there is nothing to tell. (The first import of `logging` would also change the exit code of CPython.)
        if runner is None or run is None or self._state == FORKED or isinstance(ended_by, KeyboardInterrupt):
            return
        left = run.left()
        # A program that an error has ended doesn't wait.
        timeout = 0 if left == inf or ended_by is not None else None if left is not None else EXIT_TIMEOUT
        with suppress(KeyboardInterrupt):
            if runner.state == "running":
                runner.wait(timeout)
        state = runner.state
        super().stop()
        if run.left() != 0 or runner.ended is None or untold(runner) is not None:
            log_forgotten(runner, run, "was left at the end of the program", state)

    def _runner_of(self, run: GraphRun) -> BackgroundRunner:
        return super()._runner_of(run) if self._runner is None else self._runner

    def _close(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.stop()
        super()._close()
        if runner is not None:
            runner.wait_for_rest()
        if self._seconds is None and self._began:
            self._seconds = ((runner and runner.ended) or perf_counter()) - self._timer

    # its figures -----------------------------------------------------------

    @property
    def stats(self) -> dict[str, Any]:
        """The figures of the current or the last run, at this moment.

        - ``"start_time"``: when it was started, in seconds since the epoch; None before the first start
        - ``"run_time"``: seconds from the start to the end of the run; None as long as it has not ended
        - ``"pipers_tracked"``: for each piper with ``track=True`` what `Piper.tracked` gives
        - ``"results"``, ``"skipped"``, ``"filtered"``, ``"items"``, ``"failures"``, ``"failed"``, ``"dead_letters"``: as in
          `RunStatistics`
        """
        run, runner, seconds = self._run, self._runner, self._seconds
        if runner is not None and runner.ended is not None:
            seconds = runner.ended - self._timer
        found: dict[str, Any] = {
            "start_time": self._began or None,
            "run_time": seconds,
            "pipers_tracked": {piper: piper.tracked for piper in self if piper.track},
        }
        figures = RunStatistics(0, 0.0, {}, {}) if run is None else run.statistics(seconds or 0.0)
        names = ("results", "skipped", "filtered", "items", "failures", "failed", "dead_letters")
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
        runner = self._runner
        if runner is not None and self._state == "running":
            return runner.state
        return self._state
