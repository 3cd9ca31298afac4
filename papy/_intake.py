"""Intake: where the entries of a pipeline are put, and from where its first step gets them."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, Full, SimpleQueue
from threading import RLock, get_ident
from typing import Any

from numap import StateError
from papy._books import Books, Drained
from papy._entries import Entry, Meta

__all__ = ["Intake", "Reading"]


#: What a queue that was shut down raises, from Python 3.13 on; before, something that doesn't come up where it is expected.
ShutDown: Any = getattr(queue, "ShutDown", Full)


class _Many:
    """An iterable that was put in the queue, to be read entry by entry."""

    __slots__ = ("entries",)

    def __init__(self, entries: Iterator[Any]) -> None:
        self.entries = entries


class _End:
    """Stands in the queue, as the class itself, behind the last entry: classes also get through queues that pickle."""


class _Wake:
    """Stands in the queue, as the class itself, for who waits there in vain."""


class Intake:
    """A queue of entries, iterables and meta entries.

    Args:
        given: The queue of the user's, which others put into; None: one of our own, without limit.
    """

    def __init__(self, given: Any = None) -> None:
        self.foreign = given is not None
        self._queue: Any = SimpleQueue() if given is None else given
        # A signal handler may call `finish` while this very thread is in here.
        self._lock = RLock()
        #: The thread that has the lock in order to put something.
        self._putting = 0
        self.finished = False
        #: The end is still to be put in the queue, which was full.
        self._pending = False
        self.iterables = 0
        self._run: Books | None = None

    def put(self, entry: Any, call: str) -> None:
        """Adds an entry, for a call of this name.

        Raises:
            StateError: The end has been put already.
        """
        if self.foreign:
            # May wait, as its owner wanted: not under a lock.
            self._check(call)
            self._queue.put(entry)
            return
        me = get_ident()
        with self._lock:
            # No call on the way into the `try`: a signal handler comes before or in it.
            before, self._putting = self._putting, me
            try:
                self._check(call)
                self._queue.put(entry)
            finally:
                self._putting = before

    def put_iterable(self, iterable: Iterable[Any]) -> None:
        """Adds all entries of an iterable, to be taken as the steps go on."""
        entries = iter(iterable)
        with self._lock:
            self._check("put_iterable")
            self.iterables += 1
        self._queue.put(_Many(entries))

    def begin(self, books: Books) -> None:
        """A run begins to read."""
        with self._lock:
            self._run = books

    def finish(self, run: Books | None = None) -> None:
        """Adds the end; again is no error.

        Args:
            run: The end is for this run; if that is over already, there is nothing to do.
        """
        with self._lock:
            if self.finished or (run is not None and run is not self._run):
                return
            self.finished = self._pending = True
            self._put_end()

    def _put_end(self) -> None:
        """Puts the end, if it is still to be put and there is room; else who reads makes room, and comes here again."""
        with self._lock, suppress(Full, ShutDown):  # shut down: that is the end
            if self._pending:
                self._queue.put_nowait(_End)
                self._pending = False

    def is_putting(self) -> bool:
        """Whether the thread that asks is in `put`, so that a signal handler in it may not wait for the end of a run."""
        return self._putting == get_ident()

    def _check(self, call: str) -> None:
        if self.finished:
            raise StateError(f"{call}: not allowed after finish(); the entry would be lost")

    def finish_if_empty(self) -> bool:
        """Ends, unless there is something left: for a run that needs no `finish`."""
        with self._lock:
            if not self._queue.empty():
                return False
            self.finished = True
            return True

    def wake(self) -> None:
        """Wakes who waits for an entry."""
        with suppress(Full, ShutDown):  # then nobody waits
            self._queue.put_nowait(_Wake)

    def discard(self, books: Books) -> None:
        """Takes what nobody will take any more, and counts it as taken; then the next run can begin."""
        with self._lock:
            while not self.foreign and not self._queue.empty():
                books.taken += _is_entry(self._queue.get())
            self.finished = self._pending = False
            self.iterables = 0
            self._run = None

    def drain(self, drained: Drained, left: SimpleQueue[None] | None) -> None:
        """Takes whatever producers put into the user's queue after a run that ended before its input, until it is released.

        They wait for room, perhaps, and know nothing of the end. What they put is taken, and thus skipped.

        Args:
            drained: What is taken is counted there.
            left: Told when the reader has left the queue, if it is still there: what wakes it is not for us.
        """
        drained.waits = True
        if left is not None and not drained.released:
            left.get()
        while not drained.released:
            drained.waits = True
            # In this order: who releases says so first, and then looks whether we wait.
            try:
                entry = _Wake if drained.released else self._queue.get()
            except Exception:  # nobody can be waiting for room in a queue that is broken
                return
            drained.waits = False
            drained.taken += _is_entry(entry)

    def release(self, drained: Drained) -> None:
        """Ends `drain`."""
        drained.released = True
        if drained.waits:
            self.wake()

    def get(self, block: bool) -> Any:
        """The next thing in the queue; _End: none will come, Empty: there is none now."""
        if self._pending:
            self._put_end()
        if not block and self._queue.empty():
            raise Empty
        return self._queue.get(block)


def _is_entry(it: Any) -> bool:
    return it is not _End and it is not _Wake and type(it) is not _Many


class Reading:
    """An iterator over the numbered entries of an intake, for one run and one thread.

    Args:
        intake: What to read.
        books: Where entries are counted.
        forever: Iterables that end don't end it.
    """

    def __init__(self, intake: Intake, books: Books, forever: bool) -> None:
        self._intake = intake
        self._books = books
        self._forever = forever
        self._iterables: deque[Iterator[Any]] = deque()
        self._ending = False
        #: The thread in which an iterable is asked, while it is.
        self.asked_in = 0
        #: Whether the queue is waited for; then `Intake.wake` is needed to end it.
        self._waits = False
        #: Whether something is being taken from the queue, whether that may mean to wait or not.
        self._at_queue = False
        #: Told by who has left the queue for good.
        self._left: SimpleQueue[None] = SimpleQueue()

    def __iter__(self) -> Reading:
        return self

    def __next__(self) -> Entry | Meta:
        books = self._books
        try:
            while books.reason is None:
                found = self._find()
                if found is not _Wake and books.reason is None:
                    return found  # type: ignore[no-any-return]
        except StopIteration:
            pass
        except BaseException as error:
            books.fail(error, f"raised by the source of the pipeline after {books.taken} entries", entries=0)
        raise StopIteration

    @property
    def at_end(self) -> bool:
        """Whether it has come to the end of the input."""
        return self._ending

    def drop(self) -> None:
        """Lets go of the iterables; when nobody reads any more."""
        self._iterables.clear()

    def leave_queue(self) -> SimpleQueue[None] | None:
        """Has the reader leave the queue, with what it took there counted; when the run has a reason to end.

        What is put in the queue later belongs to the next run.

        Returns:
            Where it is told that the reader has left a queue of the user's: there somebody else may take what would wake
            it, so it is not waited for. None: it is not there.
        """
        if self._waits:
            self._intake.wake()
        if not self._at_queue:
            return None
        if self._intake.foreign:
            return self._left
        self._left.get()
        return None

    def _counted(self, entry: Any) -> Entry | Meta:
        books = self._books
        counted = entry if type(entry) is Meta else (books.taken, entry)
        books.taken += 1
        return counted

    def _find(self) -> Any:
        """An entry with its number, or _Wake to be asked again."""
        try:
            found = self._get(block=not self._iterables and not self._ending)
        except Empty:
            if self._iterables:
                return self._from_iterables()
            raise StopIteration from None
        if found is _End:
            self._ending = True
            return _Wake
        if type(found) is _Many:
            self._iterables.append(found.entries)
            return _Wake
        return found

    def _get(self, block: bool) -> Any:
        self._waits = block
        self._at_queue = True
        try:
            # In this order: who ends the run gives the reason first, and then looks whether we are here.
            if self._books.reason is not None:
                return _Wake
            found = self._intake.get(block)
            return self._counted(found) if _is_entry(found) else found
        except ShutDown:
            return _End
        finally:
            self._waits = self._at_queue = False
            if self._books.reason is not None:
                self._left.put(None)

    def _from_iterables(self) -> Any:
        self.asked_in = get_ident()
        try:
            for entry in self._iterables[0]:
                return self._counted(entry)
        finally:
            self.asked_in = 0
        self._iterables.popleft()
        if not self._iterables and not self._ending and not self._forever:
            self._ending = self._intake.finish_if_empty()
        return _Wake

