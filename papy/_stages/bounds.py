"""How much may wait between two steps, in entries and in bytes; and the queue from the threads of one to those of the next."""

from __future__ import annotations

from collections import deque
from threading import Condition, Lock
from typing import Any, Final, NamedTuple

from numap import IMap, NextTimeout, sizeof
from numap.interop import share_bytes

# Bytes of all that is in a pipeline, if nothing else was said; the automatic bound of one map.
_AUTOMATIC: Final = 64 << 20
# Of so many small entries one is measured.
_EACH: Final = 8
# Bytes from which on each one is: to make so much takes longer.
_LARGE: Final = 16 << 10


class Room(NamedTuple):
    """The bytes of all that is in a pipeline, and how many queues share them: maps, and what lies between maps.

    Attributes:
        given: So many; None: automatic, and each worker has room for an entry, however large that is.
        queues: How many share them.
    """

    given: int | None
    queues: int

    @property
    def share(self) -> int:
        """Bytes in one queue."""
        return max(1, (_AUTOMATIC if self.given is None else self.given) // self.queues)

    def map(self, **options: Any) -> IMap[Any]:
        """A map with these options and its share of the room."""
        imap: IMap[Any] = IMap(buffer_bytes=None if self.given is None else self.share, **options)
        share_bytes(imap, self.queues)
        return imap


class SizeSampler:
    """Measures entries that pass, some of them for all, as to measure each would take longer than to pass it on.

    Attributes:
        size: Bytes of the last one that was measured.
    """

    def __init__(self) -> None:
        self.size = 0
        self._passed = 0

    def measure(self, entry: Any) -> int:
        """About how many bytes an entry has; several threads may ask."""
        if self.size > _LARGE or self._passed % _EACH == 0:
            self.size = sizeof(entry)
        self._passed += 1
        return self.size


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
