"""Debuggers: they look at the steps of a pipeline while it runs, and tell reporters what each one does and uses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import Any, Final

from numap.interop import checks
from papy._base.public import public
from papy._monitor.reporters import DebugReporter, LoggingReporter, Resources
from papy.coroutines import is_iterable

# Seconds between two looks at CPU times and memory: they cost 40 microseconds, and must not be what is measured.
SAMPLED: Final = 0.010


@public
class Debugger:
    """Looks at the steps of a coroutine pipeline; a base class for your own.

    Override `do_track`, and `head` or `tail` if the source or the end need something else.
    """

    def combine(self, source: Iterable[Any], steps: Sequence[Callable[[Any], Any]]) -> Iterable[Any]:
        """Puts the steps around the source, and looks at what comes out of each."""
        made = self.head(source)
        for step in steps:
            name = getattr(step, "__name__", None)
            made = self.track(step(made), name if isinstance(name, str) else type(step).__name__)
        return self.tail(made)

    def head(self, source: Iterable[Any]) -> Iterable[Any]:
        """What the first step gets."""
        return self.track(source, "source")

    def tail(self, iterable: Iterable[Any]) -> Iterable[Any]:
        """What the user gets."""
        return iterable

    def track(self, iterable: Iterable[Any], name: str) -> Iterable[Any]:
        """What comes out of a step, under the debugger's eyes."""
        return self.do_track(iterable, name)

    def do_track(self, iterable: Iterable[Any], name: str) -> Iterator[Any]:
        """Yields what comes out of a step, and does what it likes with it."""
        return iter(iterable)

    def report(self, force: bool = False) -> None:
        """Tells what there is to tell, now and then or, with ``force``, now."""


class _Figures:
    """What was measured of one step."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        #: Seconds within its ``next``, that of the steps before it included.
        self.inside = 0.0
        self.used = [0.0] * 5
        self.queries = 0


@public
class PipelineRuntimeDebugger(Debugger):
    """Measures what each step of a pipeline does and uses, and tells reporters.

    It can be given to `combine_pipeline` and to `Pipeline`. Reporters are told at most every ``every`` seconds while
    entries come out, and once at the end.

    Args:
        reporters: `DebugReporter` objects; None: a `LoggingReporter`.
        call_counter: An object whose ``pop()`` returns the number of queries (of a database, for example) since the last call.
        every: Seconds.

    >>> import sys
    >>> from papy import PipelineRuntimeDebugger, TableReporter, chunk, combine_pipeline
    >>> debugger = PipelineRuntimeDebugger([TableReporter(sys.stdout)])
    >>> list(combine_pipeline("abc", [chunk(2)], debugger))
    step    entries  runtime  entries/s  ms/entry   cpu  children    MB  queries   q/e
    source        3     0.00 ...
    chunks        3     0.00 ...
    [['a', 'b'], ['c']]
    """

    def __init__(
        self, reporters: Iterable[DebugReporter] | None = None, call_counter: Any = None, every: float = 5.0
    ) -> None:
        if call_counter is not None and not callable(getattr(call_counter, "pop", None)):
            raise TypeError(f"call_counter: needs a method pop(), and a {type(call_counter).__name__} has none")
        checks.seconds("every", every, or_none=False)
        if reporters is not None and not is_iterable(reporters):
            raise checks.wrong_type("reporters", "a list of reporters or None", reporters)
        self._reporters: list[DebugReporter] = [LoggingReporter()] if reporters is None else list(reporters)
        for reporter in self._reporters:
            if not callable(getattr(reporter, "show", None)):
                raise TypeError(f"reporters: need a method show(info), and a {type(reporter).__name__} has none")
        self._call_counter = call_counter
        self._every = every
        self._figures: list[_Figures] = []
        self._reported = self._sampled = perf_counter()
        self._process: Any = None
        self._usage: list[float] = []

    def combine(self, source: Iterable[Any], steps: Sequence[Callable[[Any], Any]]) -> Iterable[Any]:
        """See `Debugger`."""
        self._figures = []
        self._reported = perf_counter()
        return super().combine(source, steps)

    def track(self, iterable: Iterable[Any], name: str) -> Iterable[Any]:
        """See `Debugger`."""
        self._figures.append(_Figures(name))
        return super().track(iterable, name)

    def tail(self, iterable: Iterable[Any]) -> Iterable[Any]:
        """See `Debugger`."""
        return self._reporting(iterable)

    def _reporting(self, iterable: Iterable[Any]) -> Iterator[Any]:
        self._usage = self._look()
        try:
            for entry in iterable:
                self.report()
                yield entry
        finally:
            self.report(force=True)

    def do_track(self, iterable: Iterable[Any], name: str) -> Iterator[Any]:
        """See `Debugger`."""
        return self._measured(iter(iterable), self._figures[-1])

    def _measured(self, entries: Iterator[Any], figures: _Figures) -> Iterator[Any]:
        while True:
            begin = perf_counter()
            try:
                entry = next(entries)
            except StopIteration:
                return
            finally:
                now = perf_counter()
                figures.inside += now - begin
                if self._call_counter is not None:
                    figures.queries += self._call_counter.pop()
                if now - self._sampled > SAMPLED:
                    self._sample(figures)
            figures.count += len(entry) if isinstance(entry, list) else 1
            yield entry

    def _sample(self, figures: _Figures) -> None:
        """Charges what was used since the last look to the step that has just been running."""
        usage = self._look()
        figures.used = [used + now - before for used, now, before in zip(figures.used, usage, self._usage, strict=True)]
        self._usage = usage
        self._sampled = perf_counter()

    def _look(self) -> list[float]:
        if self._process is None:
            import psutil

            self._process = psutil.Process()
        times = self._process.cpu_times()
        children = getattr(times, "children_user", 0.0), getattr(times, "children_system", 0.0)
        return [times.user, times.system, *children, self._process.memory_info().rss]

    def report(self, force: bool = False) -> None:
        """See `Debugger`."""
        if self.due(force):
            self.show(list(self._resources()))

    def due(self, force: bool = False) -> bool:
        """Whether it is time for a report; if so, the next one is due later."""
        now = perf_counter()
        if not force and now - self._reported <= self._every:
            return False
        self._reported = now
        return True

    def show(self, info: list[tuple[str, Resources]]) -> None:
        """Tells all reporters."""
        for reporter in self._reporters:
            reporter.show(info)

    def _resources(self) -> Iterator[tuple[str, Resources]]:
        before = 0.0
        for it in self._figures:
            utime, stime, ctime, cstime, rss = it.used
            runtime = max(0.0, it.inside - before)
            before = it.inside
            yield it.name, Resources(it.count, runtime, utime, stime, ctime, cstime, int(rss), it.queries)


def log_debugger() -> PipelineRuntimeDebugger | None:
    """What writes to the log, if that is read."""
    logging = sys.modules.get("logging")  # a program that has not imported it has not set a level
    if logging is None or not logging.getLogger("papy.pipeline").isEnabledFor(logging.DEBUG):
        return None
    return PipelineRuntimeDebugger([LoggingReporter(level=logging.DEBUG)], every=1.0)
