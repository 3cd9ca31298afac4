"""The lock of threads that may be interrupted at any moment: a token, moved by single C calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import chain, islice, repeat
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class LockTimeout(Exception):
    """Others had their turn all the time that was given."""


class InterruptSafeLock:
    """One thread at a time. An interrupt finds the token with its holder or back in its place, never in between.

    With an ordinary lock that is acquired in time or not, it could come between the acquisition and the ``try``.
    """

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._tokens.put(None)

    def run_locked(self, func: Callable[[], T], block: bool = True, timeout: float | None = None) -> T:
        """Returns what ``func`` returns; it runs when it is this thread's turn.

        A loop that an interrupt may leave belongs into ``func``. CPython 3.13 looks for signals at the jump back to the head
        of a loop, and that jump is in no ``try``.

        Raises:
            LockTimeout: it was not our turn in time.
        """
        token: list[None] = []
        # Twice, as CPython 3.10 looks for signals before the first instruction of a `finally`, where it protects nothing.
        try:
            try:
                try:
                    token.extend(islice(iter(partial(self._tokens.get, block, timeout), 0), 1))
                except Empty:
                    pass
                if not token:
                    raise LockTimeout
                return func()
            finally:
                self._give_back(token)
        finally:
            self._give_back(token)

    def _give_back(self, token: list[None]) -> None:
        any(map(self._tokens.put, islice(iter(token.pop, 0), len(token))))


class NotifyingLock(InterruptSafeLock):
    """An InterruptSafeLock for threads that may find what they want without it.

    Those that wait are told after each turn, and look again.

    To wait for the token itself is not enough. A thread that takes one turn after the other has the token back before another
    one wakes. What it found for that one in the first turn would not be seen until its second is over.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        super().__init__()
        self._waiters: deque[SimpleQueue[None]] = deque()

    def run_or_wait(self, func: Callable[[], object], look: Callable[[], bool]) -> None:
        """Runs ``func`` if no other thread has its turn, else returns when one has ended.

        ``look``: whether what is wanted is there; asked when we are sure to be told of the end of a turn that goes on.
        """
        for waiter in (None, SimpleQueue[None]()):
            if waiter is not None:
                self._waiters.append(waiter)
                if look():
                    return
            try:
                self.run_locked(func, block=False)
            except LockTimeout:
                if waiter is not None:
                    # The thread with the token tells us, as our waiter was there before.
                    waiter.get()
            else:
                return

    def _give_back(self, token: list[None]) -> None:
        if not token:
            return
        # One call, in this order: first the token, then those that wait. An interrupt comes before it, or after it.
        back = map(self._tokens.put, islice(iter(token.pop, 0), len(token)))
        told = map(SimpleQueue.put, iter(self._waiters.popleft, None), repeat(None))
        try:
            any(chain(back, told))
        except IndexError:  # all have been told
            return
