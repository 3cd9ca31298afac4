"""What a step reads: the entries that leave the step before it, or those of the source."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any, Protocol

from numap import (
    IMap,
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
from papy._stages.bounded_queue import BoundedQueue
from papy._stages.entries import Entry, Failed, Lost, Meta, Skipped
from papy._stages.error_file import ErrorFile

__all__ = ["FromHandover", "FromMap", "FromSource", "Shared", "Upstream"]


class Upstream(Protocol):
    """A stream of entries. One thread reads it, in one of two ways."""

    #: Entries that were given out so far.
    passed: int

    def __iter__(self) -> Iterator[Entry | Meta]:
        """For a map, which reads in a thread of its own."""
        ...

    def take(self, timeout: float | None = None) -> Entry | Meta:
        """The next entry; raises StopIteration behind the last, NextTimeout if none came in so many seconds."""
        ...


class FromSource:
    """The entries of the source, which only maps read: it may block for ever, and they can be stopped meanwhile."""

    def __init__(self, entries: Iterable[Entry | Meta], books: RunState) -> None:
        self._entries = entries
        self._books = books

    def __iter__(self) -> Iterator[Entry | Meta]:
        return iter(self._entries)

    @property
    def passed(self) -> int:
        """See `Upstream`."""
        return self._books.taken


class Numbered:
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


class FromMap:
    """The results of the map of a function step, without those that were dropped. A failed one ends the run, or is counted.

    Args:
        imap: The map.
        task: Its task.
        books: Of the run.
        name: The step's.
        letterbox: Where its worker processes put what went wrong at their start.
        numbered: What the map reads; None: what its items raise is dealt with where they run.
    """

    def __init__(
        self,
        imap: IMap[Any],
        task: TaskIterator[Any],
        books: RunState,
        name: str,
        letterbox: ErrorFile | None = None,
        numbered: Numbered | None = None,
    ) -> None:
        self._letterbox = letterbox
        self._numbered = numbered
        self._imap = imap
        self.task = task
        self._books = books
        self._name = name
        self.passed = 0
        #: Entries that did not pass, for whatever reason.
        self.fallen = 0
        self.weight = Throughput(books)
        self._tally = books.tally()

    def __iter__(self) -> Iterator[Entry | Meta]:
        while True:
            try:
                for entry in self.task:
                    if entry is Skipped or entry is Lost or type(entry) is Failed:
                        self.drop(entry)
                    else:
                        self.passed += 1
                        if self.weight.wanted:
                            self.weight.add(entry)
                        yield entry
                return
            except Exception as error:  # an interrupt of whoever reads is theirs
                if not self.lost(error):
                    return

    def take(self, timeout: float | None = None) -> Entry | Meta:
        """See `Upstream`."""
        while True:
            try:
                entry = next(self.task) if timeout is None else self._imap.next(timeout)
            except (StopIteration, NextTimeout):
                raise
            except Exception as error:
                if self.lost(error):
                    continue
                raise StopIteration from None
            if entry is Skipped or entry is Lost or type(entry) is Failed:
                self.drop(entry)
            else:
                self.passed += 1
                if self.weight.wanted:
                    self.weight.add(entry)
                return entry  # type: ignore[no-any-return]

    def drop(self, entry: type[Skipped | Lost] | Failed) -> None:
        """What came was no entry; also for who has read it past this object."""
        if isinstance(entry, Failed):
            entry.error.__cause__ = RemoteTraceback(f"\n{entry.trace}")
            self._books.fail_entry(entry.error, None, self._name)
        elif entry is Skipped:
            self._tally.skipped += 1
        self.fallen += 1

    def lost(self, error: BaseException) -> bool:
        """The map raised this in place of a result; returns whether there may be others."""
        books = self._books
        if isinstance(error, SourceError | StateError | WorkerStartError | TooManyFailures):
            if books.reason is None or not isinstance(error, StateError):
                self._fail(error)
            return False
        entry = self._numbered.at(error.index) if self._numbered is not None and isinstance(error, NumapError) else None
        books.fail_entry(error, entry, self._name)
        self.fallen += 1
        return books.reason is None

    def _fail(self, error: Exception) -> None:
        """The map has ended."""
        where = f"raised by step {self._name!r}"
        letters = self._letterbox.open() if isinstance(error, WorkerStartError) and self._letterbox is not None else []
        for hook, found in letters[:1]:
            if isinstance(found, Exception):
                # The other one tells the traceback in the worker.
                found.__cause__ = error
                error, where = found, f"raised by {hook} of step {self._name!r} in a worker process"
        self._books.fail(error, where, entries=0)


class FromHandover:
    """The entries that the threads of an iterator step hand over."""

    def __init__(self, handover: BoundedQueue, books: RunState) -> None:
        self._handover = handover
        self.passed = 0
        self.weight = Throughput(books)

    def __iter__(self) -> Iterator[Entry | Meta]:
        while True:
            try:
                entry = self.take()
            except StopIteration:
                return
            yield entry

    def take(self, timeout: float | None = None) -> Entry | Meta:
        """See `Upstream`."""
        entry: Entry | Meta = self._handover.take(timeout)
        self.passed += 1
        if self.weight.wanted:
            self.weight.add(entry)
        return entry


class Shared:
    """Lets several threads take from one upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._lock = Lock()

    def take(self, timeout: float | None = None) -> Entry | Meta:
        """See `Upstream`."""
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            raise NextTimeout("no entry came in time")
        try:
            return self._upstream.take(timeout)
        finally:
            self._lock.release()
