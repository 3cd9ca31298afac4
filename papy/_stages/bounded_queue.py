"""A bounded queue from the threads of one step to the threads of the next."""

from __future__ import annotations

from collections import deque
from threading import Condition, Lock
from typing import Any

from numap import NextTimeout
from papy._stages.byte_bounds import SizeSampler


class BoundedQueue:
    """A bounded queue that ends when its producers are done, and can be closed.

    Iterator steps need it: how many entries they make of how many is theirs to decide, so no map can pair items with
    results for them.

    Args:
        limit: Entries that wait here at most.
        room: Bytes that they have at most; one has room in any case.
        producers: How many threads put entries in.
        joined: The reader calls `task_done` for each entry, and until then may add more of them.
    """

    def __init__(self, limit: int, room: int, producers: int, joined: bool = False) -> None:
        self._limit = limit
        self._free = room
        self._sampler = SizeSampler()
        self._producers = producers
        self._joined = joined
        self._unfinished = 0
        #: Each with its bytes.
        self._entries: deque[tuple[Any, int]] = deque()
        #: How many `take_all` has given last, and their bytes: they have their room until the next call.
        self._given = self._given_bytes = 0
        self._closed = False
        lock = Lock()
        self._not_full = Condition(lock)
        self._not_empty = Condition(lock)

    def put(self, entry: Any) -> bool:
        """Waits for room and adds an entry; False: the queue is closed."""
        size = self._sampler.measure(entry)
        with self._not_full:
            while not (self._has_room(size) or self._closed):
                self._not_full.wait()
            if self._closed:
                return False
            self._append(entry, size)
            return True

    def _has_room(self, size: int) -> bool:
        held = len(self._entries) + self._given
        return held == 0 or (held < self._limit and size <= self._free)

    def add(self, entry: Any) -> None:
        """Adds an entry without waiting for room: the readers make that, so they must not wait for it."""
        size = self._sampler.measure(entry)
        with self._not_full:
            self._append(entry, size)

    def _append(self, entry: Any, size: int) -> None:
        self._entries.append((entry, size))
        self._free -= size
        self._unfinished += self._joined
        self._not_empty.notify()

    def task_done(self) -> None:
        """An entry that was taken will not lead to others any more."""
        with self._not_empty:
            self._unfinished -= 1
            if self._unfinished == 0:
                self._not_empty.notify_all()

    def producer_done(self) -> None:
        """One producer less; after the last one the queue ends behind what is in it."""
        with self._not_empty:
            self._producers -= 1
            if self._producers == 0:
                self._not_empty.notify_all()

    def close(self) -> None:
        """No entry is put or taken any more; threads that wait go on."""
        with self._not_full:
            self._closed = True
            self._entries.clear()
            self._not_full.notify_all()
            self._not_empty.notify_all()

    def take(self, timeout: float | None = None) -> Any:
        """Waits for the next entry.

        Args:
            timeout: Seconds to wait at most; None: without limit.

        Raises:
            StopIteration: There is none any more.
            NextTimeout: There was none in time.
        """
        with self._not_empty:
            if not self._not_empty.wait_for(self._is_ready, timeout):
                raise NextTimeout("no entry came in time")
            if not self._entries:
                raise StopIteration
            entry, size = self._entries.popleft()
            self._free += size
            self._not_full.notify()
            return entry

    def take_all(self) -> deque[tuple[Any, int]]:
        """Waits for entries, and takes all that there are, each with its bytes; none: there are none any more.

        They count as here until the next call, so that the bounds hold. A reader of all entries needs less time so.
        """
        with self._not_empty:
            self._free += self._given_bytes
            self._given = self._given_bytes = 0
            self._not_full.notify_all()
            self._not_empty.wait_for(self._is_ready)
            found, self._entries = self._entries, deque()
            self._given, self._given_bytes = len(found), sum(size for _, size in found)
            return found

    def _is_ready(self) -> bool:
        return bool(self._entries) or self._closed or (self._producers == 0 and self._unfinished == 0)
