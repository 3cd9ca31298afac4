"""Reading: what the first step of a run reads, entry by entry."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from threading import Lock, get_ident
from time import monotonic
from typing import Any

from papy._pipeline.input_queue import End, InputIterable, InputQueue, ShutDown, is_entry, log_left
from papy._pipeline.iterable_reader import IterableReader
from papy._stages.accounting import RunState, Throughput
from papy._stages.entries import Entry, Meta

__all__ = ["EntryReader"]


class EntryReader:
    """An iterator over the numbered entries of an intake, for one run and one thread.

    An iterable that may block is read by a `IterableReader`, as entries of the queue must not wait behind it, nor `stop`.

    Args:
        intake: What to read.
        books: Where entries are counted.
        forever: Iterables that end don't end it.

    Attributes:
        room: How many entries, of so many bytes each, more than it has given out may be in the run.
    """

    def __init__(self, intake: InputQueue, books: RunState, forever: bool) -> None:
        self._intake = intake
        self._books = books
        self._forever = forever
        self.weight = Throughput(books)
        self._iterables: deque[InputIterable] = deque()
        self._had_iterables = False
        self._ending = False
        #: Held by who is in the queue. The end of the run waits there: nobody may take what is put for the next one.
        self.gate = Lock()
        #: The thread in which an iterable is asked, while it is.
        self._asked_in = 0
        #: Reads the first of the iterables, if that may block.
        self._feeder: IterableReader | None = None
        #: What it has read.
        self._fed: deque[Any] = deque()
        #: Since the queue was empty last, what had been read before has been taken.
        self._queue_first = False
        self.room: Callable[[int], int] = lambda _: 0

    def __iter__(self) -> EntryReader:
        return self

    def __next__(self) -> Entry | Meta:
        books = self._books
        try:
            while books.reason is None:
                found: Entry | Meta | None = self._from_fed() if self._fed else self._find()
                if found is not None:
                    return found
        except StopIteration:
            pass
        except BaseException as error:
            books.fail(error, f"raised by the source of the pipeline after {books.taken} entries", entries=0)
        self._drop_feeder()  # made while the run ended, perhaps
        raise StopIteration

    @property
    def at_end(self) -> bool:
        """Whether it has come to the end of the input."""
        return self._ending

    def leave(self) -> None:
        """Has the reader leave the queue, as the run has ended."""
        self._drop_feeder()
        if self._intake.waits:
            self._intake.wake()
        if not self._intake.foreign:  # else somebody else may have taken what was to wake it
            self.gate.acquire()
            self.gate.release()

    def unread(self) -> int:
        """How many iterables have not been read to their end."""
        return len(self._iterables) + len(self._intake.unread)

    def drop(self) -> None:
        """Lets go of the iterables; when nobody reads any more."""
        self._iterables.clear()
        self._drop_feeder()

    def _drop_feeder(self) -> None:
        if self._feeder is not None:
            self._feeder.drop()
            self._books.abort(self._fed)

    def is_asked(self) -> bool:
        """Whether a thread is in an iterable that nobody else asks."""
        return self._asked_in != 0

    def is_held_up(self) -> bool:
        """Whether a thread is in an iterable that may be endless and that nobody else asks."""
        return self._asked_in != 0 and not all(many.finite for many in list(self._iterables)[:1])

    def is_asked_here(self) -> bool:
        """Whether the thread that asks is in an iterable."""
        feeder = self._feeder
        return self._asked_in == get_ident() or (feeder is not None and feeder.is_here())

    def _find(self) -> Entry | Meta | None:
        """An entry, or None to be asked again."""
        intake = self._intake
        if intake.unread:
            self._had_iterables = True
            while intake.unread:
                self._iterables.append(intake.unread.popleft())
        if intake.leave_at is not None and monotonic() >= intake.leave_at:
            self._leave_endless()
        if self._iterables:
            return self._from_iterables() if self._is_their_turn() else self._get(block=False)
        if self._had_iterables and not self._ending and not self._forever:
            self._ending = intake.finish_if_empty()
        return self._get(block=not self._ending)

    def _is_their_turn(self) -> bool:
        """Whether the iterables go before the queue: with what was read before that was put."""
        if self._intake.is_empty():
            self._queue_first = False
            return True
        if self._queue_first:
            return False
        self._queue_first = True
        return self._is_fed()

    def _leave_endless(self) -> None:
        self._intake.leave_at = None  # once is enough
        kept = deque(many for many in self._iterables if many.finite)
        if len(kept) < len(self._iterables):
            log_left()
        if self._feeder is not None:
            self._feeder.leave()
            kept.appendleft(self._iterables[0])  # until what was read of it is through
        self._iterables = kept

    def _get(self, block: bool) -> Entry | Meta | None:
        intake = self._intake
        with self.gate:
            intake.waits = block
            try:
                # In this order: who ends the run gives the reason first, and then looks whether we wait.
                if self._books.reason is not None or (block and (intake.unread or self._is_fed())):
                    return None
                found = intake.get(block)
            except Empty:
                if self._iterables:
                    return None
                raise StopIteration from None
            except ShutDown:
                found = End
            finally:
                intake.waits = False
            if found is End:
                self._ending = True
            return self._numbered(found) if is_entry(found) else None

    def _from_iterables(self) -> Entry | Meta | None:
        many = self._iterables[0]
        if self._feeder is None and (many.finite or self._intake.alone or not self._feed(many)):
            return self._from_iterable(many)
        return self._from_feeder()

    def _from_iterable(self, many: InputIterable) -> Entry | Meta | None:
        self._asked_in = get_ident()
        try:
            for entry in many.entries:
                return self._numbered(entry)
        finally:
            self._asked_in = 0
        self._iterables.popleft()
        return None

    def _feed(self, many: InputIterable) -> bool:
        """Has an iterable read by a feeder; False: the interpreter ends, and starts no thread."""
        feeder = IterableReader(
            many.entries, self._books, lambda size: self.room(size) - len(self._fed), self._intake.wake_before_end
        )
        with suppress(RuntimeError):
            feeder.start()
            self._feeder = feeder
        return self._feeder is not None

    def _is_fed(self) -> bool:
        return self._feeder is not None and self._feeder.ready

    def _from_feeder(self) -> Entry | Meta | None:
        feeder, fed = self._feeder, self._fed
        assert feeder is not None, "its iterable is the first one"
        try:
            feeder.take(fed)
        except StopIteration:
            self._feeder = None
            self._iterables.popleft()
            return None
        if fed:
            return self._from_fed()
        if not self._ending:
            return self._get(block=True)
        leave_at = self._intake.leave_at
        # Who ends the run gives the reason first, and then looks for a feeder.
        if self._books.reason is None:
            feeder.wait(None if leave_at is None else max(0.0, leave_at - monotonic()))
        return None

    def _from_fed(self) -> Entry | Meta | None:
        try:
            return self._numbered(self._fed.popleft())
        except IndexError:  # the run has ended, and its end has taken them
            return None

    def _numbered(self, found: Any) -> Entry | Meta | None:
        books = self._books
        if books.reason is not None:
            books.came_late()
            return None
        if self.weight.wanted:
            self.weight.add((0, found))
        number = books.taken
        books.taken = number + 1
        return found if type(found) is Meta else (number, found)
