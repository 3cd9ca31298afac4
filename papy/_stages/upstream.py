"""What a step reads: the entries that leave the step before it, or those of the source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from threading import Lock
from typing import Any, Protocol

from numap import (
    IMap,
    ItemError,
    NextTimeout,
    NumapError,
    SourceError,
    StateError,
    TaskIterator,
    TooManyFailures,
    WorkerStartError,
)
from numap.interop import RemoteTraceback
from papy._stages.accounting import RunState, Throughput
from papy._stages.bounds import BoundedQueue
from papy._stages.entries import Entry, ErrorFile, Failed, Lost, Meta, Skipped


class Upstream(Protocol):
    """A stream of entries for a map, which reads it in a thread of its own.

    The source of a pipeline is read by maps only: it may block for ever, and they can be stopped meanwhile.
    """

    @property
    def passed(self) -> int:
        """Entries that were given out so far."""
        ...

    def __iter__(self) -> Iterator[Entry | Meta]: ...


class StageOutput(ABC):
    """The entries that leave a step. One thread reads them: a map by iteration, an iterator step by `take`.

    Args:
        state: Of the run.

    Attributes:
        passed: Entries that were given out so far.
        fallen: Entries that did not pass, for whatever reason.
    """

    def __init__(self, state: RunState) -> None:
        self.passed = 0
        self.fallen = 0
        self.throughput = Throughput(state)

    def __iter__(self) -> Iterator[Entry | Meta]:
        take = self.take
        with suppress(StopIteration):
            while True:
                yield take()

    def _passing(self, entry: Any) -> Entry | Meta:
        """The entry, counted: it is given out now."""
        self.passed += 1
        if self.throughput.wanted:
            self.throughput.add(entry)
        return entry  # type: ignore[no-any-return]

    @abstractmethod
    def take(self, timeout: float | None = None) -> Entry | Meta:
        """The next entry; raises StopIteration behind the last, NextTimeout if none came in so many seconds."""


class NumberedEntries:
    """What a map reads, and the numbers of the entries that it holds: it knows them by their places only.

    Args:
        upstream: The entries.
        most: How many it holds at most.
    """

    def __init__(self, upstream: Upstream, most: int) -> None:
        self._upstream = upstream
        self._entries: deque[Entry | Meta] = deque(maxlen=most)
        self._came = 0

    def __iter__(self) -> Iterator[Entry | Meta]:
        for entry in self._upstream:
            # Only its number: the value is the map's.
            self._entries.append((entry[0], None) if type(entry) is tuple else entry)
            self._came += 1
            yield entry
            del entry

    def at(self, place: int | None) -> Entry | Meta | None:
        """The entry of a place, without its value; None: it can't be told any more."""
        if place is None or not 0 <= place - self._came + len(self._entries) < len(self._entries):
            return None
        return self._entries[place - self._came]


class FromMap(StageOutput):
    """The results of the map of a function step, without those that were dropped. A failed one ends the run, or is counted.

    Args:
        imap: The map.
        task: Its task.
        state: Of the run.
        name: The step's.
        error_file: Where its worker processes put what went wrong at their start.
        numbered: What the map reads; None: what its items raise is dealt with where they run.
    """

    def __init__(
        self,
        imap: IMap[Any],
        task: TaskIterator[Any],
        state: RunState,
        name: str,
        error_file: ErrorFile | None = None,
        numbered: NumberedEntries | None = None,
    ) -> None:
        super().__init__(state)
        self._error_file = error_file
        self._numbered = numbered
        self._imap = imap
        self.task = task
        self._state = state
        self._name = name
        self._skips = state.skip_count()

    def __iter__(self) -> Iterator[Entry | Meta]:
        """The same as `take` again and again, without a call for each entry."""
        while True:
            try:
                for entry in self.task:
                    if type(entry) is tuple or type(entry) is Meta:
                        self.passed += 1
                        if self.throughput.wanted:
                            self.throughput.add(entry)
                        yield entry
                    else:
                        self.drop(entry)
                return
            except Exception as error:  # an interrupt of the reader is the reader's
                if not self.lost(error):
                    return

    def take(self, timeout: float | None = None) -> Entry | Meta:
        """See `StageOutput`."""
        while True:
            try:
                entry = next(self.task) if timeout is None else self._imap.next(timeout)
            except (StopIteration, NextTimeout):
                raise
            except Exception as error:  # an interrupt of the reader is the reader's
                if self.lost(error):
                    continue
                raise StopIteration from None
            if type(entry) is tuple or type(entry) is Meta:
                return self._passing(entry)
            self.drop(entry)

    def drop(self, entry: type[Skipped | Lost] | Failed) -> None:
        """What came was no entry; also for a reader of `task`."""
        if isinstance(entry, Failed):
            entry.error.__cause__ = RemoteTraceback(f"\n{entry.trace}")
            self._state.fail_entry(entry.error, None, self._name)
        elif entry is Skipped:
            self._skips.skipped += 1
        self.fallen += 1

    def lost(self, error: BaseException) -> bool:
        """The map raised this in place of a result; returns whether there may be others."""
        state = self._state
        if isinstance(error, SourceError | StateError | WorkerStartError | TooManyFailures):
            if state.reason is None or not isinstance(error, StateError):
                self._fail(error)
            return False
        entry = self._numbered.at(error.index) if self._numbered is not None and isinstance(error, NumapError) else None
        state.fail_entry(error, entry, self._name)
        self.fallen += 1
        return state.reason is None

    def _fail(self, error: Exception) -> None:
        """The map has ended."""
        where = f"raised by step {self._name!r}"
        errors = self._error_file.open() if isinstance(error, WorkerStartError) and self._error_file is not None else []
        for hook, found in errors[:1]:
            if isinstance(found, Exception) and not isinstance(
                found, ItemError
            ):  # that stands for one that can't be sent
                # The other one tells the traceback in the worker.
                found.__cause__ = error
                error, where = found, f"raised by {hook} of step {self._name!r} in a worker process"
        self._state.fail(error, where, entries=0)


class FromQueue(StageOutput):
    """The entries that the threads of an iterator step hand over."""

    def __init__(self, queue: BoundedQueue, state: RunState) -> None:
        super().__init__(state)
        self._queue = queue

    def __iter__(self) -> Iterator[Entry | Meta]:
        while entries := self._queue.take_all():
            while entries:
                yield self._passing(entries.popleft()[0])

    def take(self, timeout: float | None = None) -> Entry | Meta:
        """See `StageOutput`."""
        return self._passing(self._queue.take(timeout))


class Shared:
    """Lets several threads take from one upstream."""

    def __init__(self, upstream: StageOutput) -> None:
        self._upstream = upstream
        self._lock = Lock()

    def take(self, timeout: float | None = None) -> Entry | Meta:
        """See `StageOutput`."""
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            raise NextTimeout("no entry came in time")
        try:
            return self._upstream.take(timeout)
        finally:
            self._lock.release()
