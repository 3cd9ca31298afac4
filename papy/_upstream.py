"""What a step reads: the entries that leave the step before it, or those of the source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any, Protocol

from numap import IMap, NextTimeout, SourceError, StateError, TaskIterator, WorkerStartError
from papy._books import Books, Weight
from papy._entries import Entry, Failed, Meta, RemoteTraceback, Skipped
from papy._handover import Handover
from papy._letterbox import Letterbox

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

    def __init__(self, entries: Iterable[Entry | Meta], books: Books) -> None:
        self._entries = entries
        self._books = books

    def __iter__(self) -> Iterator[Entry | Meta]:
        return iter(self._entries)

    @property
    def passed(self) -> int:
        """See `Upstream`."""
        return self._books.taken


class FromMap:
    """The results of the map of a function step, without those that were dropped. A failed one ends the run.

    Args:
        imap: The map.
        task: Its task.
        books: Of the run.
        name: The step's.
        letterbox: Where its worker processes put what went wrong at their start.
    """

    def __init__(
        self, imap: IMap[Any], task: TaskIterator[Any], books: Books, name: str, letterbox: Letterbox | None = None
    ) -> None:
        self._letterbox = letterbox
        self._imap = imap
        self.task = task
        self._books = books
        self._name = name
        self.passed = 0
        self.weight = Weight(books)
        self._tally = books.tally()

    def __iter__(self) -> Iterator[Entry | Meta]:
        try:
            for entry in self.task:
                if entry is Skipped or type(entry) is Failed:
                    self.drop(entry)
                else:
                    self.passed += 1
                    if self.weight.wanted:
                        self.weight.add(entry)
                    yield entry
        except Exception as error:  # an interrupt of whoever reads is theirs
            self.lost(error)

    def take(self, timeout: float | None = None) -> Entry | Meta:
        """See `Upstream`."""
        while True:
            try:
                entry = next(self.task) if timeout is None else self._imap.next(timeout)
            except (StopIteration, NextTimeout):
                raise
            except Exception as error:
                self.lost(error)
                raise StopIteration from None
            if entry is Skipped or type(entry) is Failed:
                self.drop(entry)
            else:
                self.passed += 1
                if self.weight.wanted:
                    self.weight.add(entry)
                return entry  # type: ignore[no-any-return]

    @property
    def skipped(self) -> int:
        """Entries that were dropped."""
        return self._tally.skipped

    def drop(self, entry: type[Skipped] | Failed) -> None:
        """What came was no entry; also for who has read it past this object."""
        if isinstance(entry, Failed):
            entry.error.__cause__ = RemoteTraceback(f"\n{entry.trace}")
            self.lost(entry.error)
        else:
            self._tally.skipped += 1

    def lost(self, error: BaseException) -> None:
        """The map raised this in place of a result."""
        if self._books.reason is None or not isinstance(error, StateError):
            entries = 0 if isinstance(error, SourceError | StateError | WorkerStartError) else 1
            where = f"raised by step {self._name!r}"
            if isinstance(error, WorkerStartError) and self._letterbox is not None:
                for hook, found in self._letterbox.open()[:1]:
                    if isinstance(found, Exception):
                        # The other one tells the traceback in the worker.
                        found.__cause__ = error
                        error, where = found, f"raised by {hook} of step {self._name!r} in a worker process"
            self._books.fail(error, where, entries)


class FromHandover:
    """The entries that the threads of an iterator step hand over."""

    def __init__(self, handover: Handover, books: Books) -> None:
        self._handover = handover
        self.passed = 0
        self.weight = Weight(books)

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
