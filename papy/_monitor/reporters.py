"""Reporters: how the figures of the steps of a pipeline are shown."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from numap.interop import checks
from papy._base.public import public


@public
@dataclass(frozen=True)
class Resources:
    """What one step has done and used so far. All times are in seconds.

    In a coroutine pipeline, times are those of the step alone, without the steps that it pulls from; CPU times and memory
    are looked at every hundredth of a second, and are the more exact the longer a step takes. In a `Pipeline` the runtime
    is that in ``process``, summed over the workers, and ``utime`` their CPU time in it, that in the system included; of worker
    processes, for entries that gave a result. Memory, queries and the rest can't be told apart there, and are 0.

    Attributes:
        count: Entries that it put out; the members of lists count one by one, also in a `Pipeline`.
        runtime: Time by the clock.
        utime: CPU time of this process in user mode.
        stime: CPU time of this process in the system.
        ctime: CPU time of ended child processes in user mode.
        cstime: CPU time of ended child processes in the system.
        rss: Bytes by which the memory of this process grew.
        queries: Queries, as the ``call_counter`` tells.
    """

    count: int = 0
    runtime: float = 0.0
    utime: float = 0.0
    stime: float = 0.0
    ctime: float = 0.0
    cstime: float = 0.0
    rss: int = 0
    queries: int = 0

    @property
    def throughput(self) -> float:
        """Entries per second of runtime."""
        return self.count / self.runtime if self.runtime else 0.0

    @property
    def runtime_per_entry(self) -> float:
        """Seconds per entry."""
        return self.runtime / self.count if self.count else 0.0

    @property
    def queries_per_entry(self) -> float:
        """Queries per entry."""
        return self.queries / self.count if self.count else 0.0


Info = Sequence[tuple[str, Resources]]


@public
class DebugReporter(ABC):
    """Shows the figures of a pipeline's steps; a base class for your own."""

    @abstractmethod
    def show(self, info: Info) -> None:
        """Shows them.

        Args:
            info: The name and the `Resources` of each step, the source first.
        """


@public
class CallbackReporter(DebugReporter):
    """Calls a function with the figures.

    >>> from papy import CallbackReporter, PipelineRuntimeDebugger, combine_pipeline, identity_step
    >>> def show(info):
    ...     print([(name, resources.count) for name, resources in info])
    >>> debugger = PipelineRuntimeDebugger([CallbackReporter(show)])
    >>> sum(combine_pipeline([1, 2, 3], [identity_step], debugger))
    [('source', 3), ('identity_step', 3)]
    6
    """

    def __init__(self, callback: Callable[[Info], object]) -> None:
        if not callable(callback):
            raise checks.wrong_type("callback", "callable", callback)
        self._callback = callback

    def show(self, info: Info) -> None:
        """See `DebugReporter`."""
        self._callback(info)


@public
class LoggingReporter(DebugReporter):
    """Writes one line for each step to a logger, below a line of dashes.

    Args:
        logger: A `logging.Logger`, or the name of one; None: ``papy.pipeline``.
        level: Of the messages; None: INFO.
    """

    def __init__(self, logger: Any = None, level: int | None = None) -> None:
        import logging

        check_logger(logger)
        self._logger = found_logger(logger, "papy.pipeline")
        self._level = logging.INFO if level is None else level

    def show(self, info: Info) -> None:
        """See `DebugReporter`."""
        if self._logger.isEnabledFor(self._level):
            lines = table(info)
            for line in ["-" * max(map(len, lines)), *lines]:
                self._logger.log(self._level, "%s", line)


@public
class TableReporter(DebugReporter):
    """Writes a table to a stream. On a terminal it takes the place of the one before.

    Args:
        stream: Where to; None: ``sys.stderr``, as it is when the table is written.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._lines = 0

    def show(self, info: Info) -> None:
        """See `DebugReporter`."""
        stream = sys.stderr if self._stream is None else self._stream
        lines = table(info)
        up = f"\x1b[{self._lines}F\x1b[J" if self._lines and stream.isatty() else ""
        stream.write(up + "\n".join(lines) + "\n")
        stream.flush()
        self._lines = len(lines)


def check_logger(logger: Any) -> None:
    """A logger, the name of one, or None."""
    if logger is not None and not isinstance(logger, str) and not callable(getattr(logger, "info", None)):
        raise checks.wrong_type("logger", "a logging.Logger, the name of one or None", logger)


def found_logger(logger: Any, name: str) -> Any:
    """The logger that is meant by what `check_logger` lets pass; None: that with the name."""
    import logging

    return logger if logger is not None and not isinstance(logger, str) else logging.getLogger(logger or name)


def table(info: Info) -> list[str]:
    """The figures as aligned lines, with a head."""
    head = ["step", "entries", "runtime", "entries/s", "ms/entry", "cpu", "children", "MB", "queries", "q/e"]
    rows = [
        [
            name,
            str(it.count),
            f"{it.runtime:.2f}",
            f"{it.throughput:.1f}",
            f"{1000 * it.runtime_per_entry:.3f}",
            f"{it.utime + it.stime:.2f}",
            f"{it.ctime + it.cstime:.2f}",
            f"{it.rss / 2**20:+.1f}",
            str(it.queries),
            f"{it.queries_per_entry:.2f}",
        ]
        for name, it in info
    ]
    return aligned([head, *rows])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines in which the columns stand below each other: the first one to the left, all others to the right.

    >>> aligned([["a", "1"], ["bc", "20"]])
    ['a    1', 'bc  20']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
