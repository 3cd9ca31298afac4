"""Reads an iterable that may block, in a thread of its own: whatever waits for the pipeline must not wait for the iterable."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Condition, Lock, get_ident
from typing import Any

from papy._base.threads import ContextThread
from papy._stages.accounting import RunState
from papy._stages.bounds import SizeSampler


class IterableReader:
    """The entries of an iterator, which is asked only when it was asked for one here.

    Args:
        entries: The iterator.
        state: Of the run: entries that come too late for it are counted there.
        room: How many entries of so many bytes may be read, besides one that was asked for.
        notify: Called when there is something to `take` after there was nothing; not in the thread that takes.
    """

    def __init__(
        self, entries: Iterator[Any], state: RunState, room: Callable[[int], int], notify: Callable[[], object]
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
        lock = Lock()
        self._demand = Condition(lock)
        self._news = Condition(lock)

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
            with self._demand:
                self._asked = True
                self._demand.notify()
            return
        error, self._error = self._error, None
        try:
            raise StopIteration if error is None else error
        finally:
            del error  # it refers to this frame

    def wait(self, timeout: float | None) -> None:
        """Waits until it is ready, or so many seconds."""
        with self._news:
            self._news.wait_for(lambda: self.ready, timeout)

    def leave(self) -> None:
        """Reads nothing any more; what was read can still be had."""
        with self._demand:
            self._over = True
            self._demand.notify()
            self._news.notify()

    def drop(self) -> None:
        """As `leave`; what was read was for nothing."""
        self.leave()
        self._state.abort(self._read)

    def _serve(self) -> None:
        """The life of the thread."""
        self._ident = get_ident()
        while self._is_wanted() and self._next():
            while self._room(self._sampler.size) > len(self._read) and not self._over:
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
        with self._news:
            wanted = not self._over
            if wanted:
                self._read.append(entry)
                self._asked = False
                # A reader that waits has found nothing. If it has taken this one already, it doesn't wait.
                first = len(self._read) == 1
                self._news.notify()
        if not wanted:
            self._state.came_late()
        elif first:
            self._notify()
        return wanted
