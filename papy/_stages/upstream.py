"""What a step reads: the entries that leave the step before it, or those of the source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
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
from papy._stages.dead_letters import DeadLetter
from papy._stages.entries import Entry, ErrorFile, Failed, Lost, Meta, Returned, Skipped


class Upstream(Protocol):
    """A stream of entries for a map, which reads it in a thread of its own.

    The source of a pipeline is read by maps only: it may block for ever, and they can be stopped meanwhile.
    """

    @property
    def passed(self) -> int:
        """Entries that were given out so far."""
        ...

    def __iter__(self) -> Iterator[Entry | Meta | Returned]: ...


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

    def __iter__(self) -> Iterator[Entry | Meta | Returned]:
        take = self.take
        with suppress(StopIteration):
            while True:
                yield take()

    def _passing(self, entry: Any) -> Entry | Meta | Returned:
        """The entry, counted: it is given out now."""
        self.passed += type(entry) is not Returned
        if self.throughput.wanted:
            self.throughput.add(entry)
        return entry  # type: ignore[no-any-return]

    @abstractmethod
    def take(self, timeout: float | None = None) -> Entry | Meta | Returned:
        """The next entry; raises StopIteration behind the last, NextTimeout if none came in so many seconds."""


class NumberedEntries:
    """What a map reads, and the numbers of the entries that it holds: it knows them by their places only.

    Args:
        upstream: The entries.
        most: How many it holds at most.
        whole: Keep the entries themselves, as a failed one is to be told whole, until `restored` or `settle` is told that they have
            come out; and send them with their places as numbers.
    """

    def __init__(self, upstream: Upstream, most: int, whole: bool) -> None:
        self._upstream = upstream
        self._whole = whole
        self._entries: deque[Entry | Meta] = deque(maxlen=most)
        self._came = 0
        #: By their places, as those that come out in any order are to be found, and numbers need not be the only ones.
        self._held: dict[int | None, Any] = {}

    def __iter__(self) -> Iterator[Entry | Meta | Returned]:
        for entry in self._upstream:
            place, sent = self._came, entry
            self._came += 1
            if self._whole and type(entry) is not Meta:
                # Neither its number is sent, which knows its source, nor a failure.
                self._held[place] = entry
                sent = (place, entry[1]) if isinstance(entry, tuple) else Returned(place)
            elif not isinstance(entry, Returned):
                # Only its number: the value is the map's.
                self._entries.append(entry if isinstance(entry, Meta) else (entry[0], None))
            del entry
            yield sent
            del sent

    @property
    def restores(self) -> Callable[[Any], Entry] | None:
        """`restored`, if it is to be called for each entry that comes out."""
        return self.restored if self._whole else None

    def restored(self, entry: Any) -> Entry:
        """What has come out, with the number that its entry had before."""
        return self._held.pop(entry[0])[0], *entry[1:]  # seconds may stand behind the value

    def settle(self, place: int | None) -> Any:
        """What came in at this place has come out in another way; None: that can't be told."""
        return self._held.pop(place, None)

    def at(self, place: int | None) -> Entry | Meta | None:
        """The entry of a place, for which the map has raised; without its value, if these are not kept; None: as above."""
        if self._whole:
            found = self.settle(place)
            return found if type(found) is tuple else None
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
        policy: Its ``on_error``.
        attempts: How often an entry was tried when its map raises for it.
        error_file: Where its worker processes put what went wrong at their start.
        numbered: What the map reads; None: what its items raise is dealt with where they run.
    """

    def __init__(
        self,
        imap: IMap[Any],
        task: TaskIterator[Any],
        state: RunState,
        name: str,
        policy: str = "raise",
        attempts: int = 1,
        error_file: ErrorFile | None = None,
        numbered: NumberedEntries | None = None,
    ) -> None:
        super().__init__(state)
        self._policy = policy
        self._attempts = attempts
        self._error_file = error_file
        self._numbered = numbered
        self._imap = imap
        self.task = task
        self._state = state
        self._name = name
        self._skips = state.skip_count()
        #: Called with each entry that has come out, for what it is to be; or None.
        self.restore = None if numbered is None else numbered.restores

    def __iter__(self) -> Iterator[Entry | Meta | Returned]:
        """The same as `take` again and again, without a call for each entry."""
        while True:
            try:
                for entry in self.task:
                    if type(entry) is tuple or type(entry) is Meta:
                        self.passed += 1
                        if self.restore is not None and type(entry) is tuple:
                            entry = self.restore(entry)
                        if self.throughput.wanted:
                            self.throughput.add(entry)
                        yield entry
                    elif (returned := self.drop(entry)) is not None:
                        yield returned
                return
            except Exception as error:  # an interrupt of the reader is the reader's
                instead = self.lost(error)
                if isinstance(instead, Returned):
                    yield instead
                elif not instead:
                    return

    def take(self, timeout: float | None = None) -> Entry | Meta | Returned:
        """See `StageOutput`."""
        while True:
            try:
                entry = next(self.task) if timeout is None else self._imap.next(timeout)
            except (StopIteration, NextTimeout):
                raise
            except Exception as error:  # an interrupt of the reader is the reader's
                instead = self.lost(error)
                if isinstance(instead, Returned):
                    return instead
                if instead:
                    continue
                raise StopIteration from None
            if type(entry) is tuple or type(entry) is Meta:
                if self.restore is not None and type(entry) is tuple:
                    entry = self.restore(entry)
                return self._passing(entry)
            returned = self.drop(entry)
            if returned is not None:
                return returned

    def drop(self, entry: type[Skipped | Lost] | Skipped | Failed | Returned) -> Returned | None:
        """What came was no entry; also for a reader of `task`. Returns what is to be passed on instead, if anything is."""
        if type(entry) is Returned:
            if self._numbered is not None:  # it was sent as its place, or comes from `lost`
                sent = isinstance(entry.letter, int)
                return self._numbered.settle(entry.letter) if sent else entry  # type: ignore[arg-type]
            # What has failed in a step before this one was counted there.
            self.fallen += isinstance(entry.letter, DeadLetter) and entry.letter.step == self._name
            return entry
        instead: type[Lost] | Returned = Lost
        if isinstance(entry, Failed):
            entry.error.__cause__ = RemoteTraceback(f"\n{entry.trace}")
            found = None if self._numbered is None else self._numbered.settle(entry.number)
            if found is None and self.restore is not None:
                found = Meta(None)  # all others have a number
            instead = self._state.fail_entry(entry.error, found, self._name, self._policy, entry.attempts)
        elif entry is Skipped:
            self._skips.skipped += 1
        elif isinstance(entry, Skipped) and self._numbered is not None:
            self._numbered.settle(entry.number)
            self._skips.skipped += 1
        self.fallen += 1
        return instead if isinstance(instead, Returned) else None

    def lost(self, error: BaseException) -> Returned | bool:
        """The map raised this in place of a result; returns what is to be passed on instead, or whether there may be others."""
        state = self._state
        if isinstance(error, SourceError | StateError | WorkerStartError | TooManyFailures):
            if state.reason is None or not isinstance(error, StateError):
                self._fail(error)
            return False
        entry = self._numbered.at(error.index) if self._numbered is not None and isinstance(error, NumapError) else None
        instead = state.fail_entry(error, entry, self._name, self._policy, self._attempts)
        self.fallen += 1
        return instead if isinstance(instead, Returned) else state.reason is None

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

    def __iter__(self) -> Iterator[Entry | Meta | Returned]:
        while entries := self._queue.take_all():
            while entries:
                yield self._passing(entries.popleft()[0])

    def take(self, timeout: float | None = None) -> Entry | Meta | Returned:
        """See `StageOutput`."""
        return self._passing(self._queue.take(timeout))


class Shared:
    """Lets several threads take from one upstream."""

    def __init__(self, upstream: StageOutput) -> None:
        self._upstream = upstream
        self._lock = Lock()

    def take(self, timeout: float | None = None) -> Entry | Meta | Returned:
        """See `StageOutput`."""
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            raise NextTimeout("no entry came in time")
        try:
            return self._upstream.take(timeout)
        finally:
            self._lock.release()
