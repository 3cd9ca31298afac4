"""Reads an iterable that may block, in a thread of its own: whatever waits for the pipeline must not wait for the iterable."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Condition, get_ident
from typing import Any

from papy._base.threads import ContextThread
from papy._stages.accounting import RunState
from papy._stages.bounds import SizeSampler


class IterableReader:
    """The entries of an iterator, which is asked only when it was asked for one here.

    Args:
        entries: The iterator.
        state: Of the run: entries that come too late for it are counted there.
        room: How many entries more, of so many bytes, may be read, besides one that was asked for.
        notify: Called when there is something to `take` after there was nothing; not in the thread that takes.
        news: Told then, too. Readers share it.
    """

    def __init__(
        self,
        entries: Iterator[Any],
        state: RunState,
        room: Callable[[int], int],
        notify: Callable[[], object],
        news: Condition,
    ) -> None:
        self._entries: Iterator[Any] | None = entries
        self._state = state
        self._room = room
        self._notify = notify
        self._sampler = SizeSampler()
        self._read: deque[Any] = deque()
        self._asked = False
        self._over = False
        self._error: BaseException | None = None
        self._ident = 0
        self._demand = Condition()
        self._news = news

    def start(self) -> None:
        """Starts the thread; RuntimeError if that is not possible, as at the end of the interpreter."""
        ContextThread(self._serve, "papy-reader").start()

    def is_here(self) -> bool:
        """Whether the thread that asks is the one that reads."""
        return self._ident == get_ident()

    @property
    def ready(self) -> bool:
        """Whether `take` has something to tell."""
        return bool(self._read) or self._over

    def take(self, into: deque[Any]) -> None:
        """Moves the entries that were read into a deque; if there are none, they have yet to be read.

        Raises:
            StopIteration: There are no more.
            BaseException: What the iterator raised, once.
        """
        over = self._over  # looked at before: nothing comes behind it
        with suppress(IndexError):
            while True:
                into.append(self._read.popleft())
        if into:
            return
        if not over:
            if not self._asked:
                with self._demand:
                    self._asked = True
                    self._demand.notify()
            return
        error, self._error = self._error, None
        try:
            raise StopIteration if error is None else error
        finally:
            del error  # it refers to this frame

    def __len__(self) -> int:
        return len(self._read)

    def leave(self) -> bool:
        """Reads nothing any more; what was read can still be had. Returns whether there may have been more."""
        with self._demand:
            before, self._over = self._over, True
            self._demand.notify()
        with self._news:
            self._news.notify()
        return not before

    def drop(self) -> None:
        """As `leave`; what was read was for nothing."""
        self.leave()
        self._state.abort(self._read)

    def _serve(self) -> None:
        """The life of the thread."""
        self._ident = get_ident()
        while self._is_wanted() and self._next():
            while self._room(self._sampler.size) > 0 and not self._over:
                if not self._next():
                    break
        self._ident = 0  # another thread may get it
        self._entries = None

    def _is_wanted(self) -> bool:
        """Waits until an entry is asked for; False: none will be."""
        with self._demand:
            self._demand.wait_for(lambda: self._over or (self._asked and not self._read))
            return not self._over

    def _next(self) -> bool:
        """Reads one entry; False: it was the last."""
        assert self._entries is not None, "only its thread takes it away"
        try:
            for entry in self._entries:
                return self._hand_over(entry)
        except BaseException as error:
            self._error = error
        self.leave()
        self._notify()
        return False

    def _hand_over(self, entry: Any) -> bool:
        self._sampler.measure(entry)
        with self._demand:
            wanted = not self._over
            if wanted:
                self._read.append(entry)
                self._asked = False
                # A reader that waits has found nothing. If it has taken this one already, it doesn't wait.
                first = len(self._read) == 1
        if not wanted:
            self._state.came_late()
        elif first:
            with self._news:
                self._news.notify()
            self._notify()
        return wanted


class ReaderTurns:
    """The readers of a run, which take turns.

    Args:
        state: Of the run.
        notify: See `IterableReader`.

    Attributes:
        room: How many entries, of so many bytes each, more than have been taken may be in the run.
        taken: What has been read, and has its turn.
    """

    def __init__(self, state: RunState, notify: Callable[[], object]) -> None:
        self._state = state
        self._notify = notify
        self._readers: deque[IterableReader] = deque()
        self._news = Condition()
        self.taken: deque[Any] = deque()
        self.room: Callable[[int], int] = lambda _: 0

    def __len__(self) -> int:
        return len(self._readers)

    def begin(self, entries: Iterator[Any]) -> None:
        """Has an iterator read; RuntimeError where no thread can be started, as at the end of the interpreter."""
        reader = IterableReader(entries, self._state, self._room_left, self._notify, self._news)
        reader.start()
        self._readers.append(reader)

    def _room_left(self, size: int) -> int:
        return self.room(size) - len(self.taken) - sum(map(len, list(self._readers)))

    def is_here(self) -> bool:
        """Whether the thread that asks is one of the readers."""
        return any(reader.is_here() for reader in list(self._readers))

    @property
    def ready(self) -> bool:
        """Whether one of them has something to tell."""
        return any(reader.ready for reader in self._readers)

    def take(self) -> bool:
        """Takes what the next one has that has something, and asks those that have nothing; returns whether there was any.

        Raises:
            BaseException: What an iterator raised.
        """
        for reader in list(self._readers):
            self._readers.rotate(-1)
            try:
                reader.take(self.taken)
            except BaseException as error:
                self._readers.remove(reader)
                if not isinstance(error, StopIteration):
                    raise
            if self.taken:
                return True
        return False

    def wait(self, timeout: float | None) -> None:
        """Waits until one of them is ready or the run ends, or so many seconds."""
        # The end of the run gives the reason first, and then looks for readers.
        with self._news:
            self._news.wait_for(lambda: self._state.reason is not None or self.ready, timeout)

    def leave(self) -> bool:
        """They read nothing any more; what was read can still be had. Returns whether there may have been more."""
        return sum(reader.leave() for reader in self._readers) > 0

    def drop(self) -> None:
        """As `leave`; what was read was for nothing."""
        for reader in list(self._readers):
            reader.drop()
        self._state.abort(self.taken)
