"""The sending side of a worker: messages of several threads, one after the other.

Any thread of an item may log or warn, at any moment. It may even do so in a ``__del__`` that runs in the middle of another
message of the same thread, and would wait for itself there. So such a message is left for the thread that is sending, if there
is one.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque

from .channel import Channel
from .messages import FromWorker, to_wire


class Outbox:
    """What a worker says to its caller, in the order in which each thread says it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        #: The thread that holds it may write into the channel.
        self._lock = allocate_lock()
        self._posted: deque[FromWorker] = deque()

    @property
    def ended(self) -> bool:
        """The caller listens no more."""
        return self._channel.ended

    @property
    def is_busy(self) -> bool:
        """A thread is in the middle of a frame, perhaps this one."""
        return self._lock.locked()

    def send(self, message: FromWorker) -> None:
        """Returns when it is out."""
        with self._lock:
            self._send_posted()
            self._channel.send(to_wire(message))
        self._empty()

    def post(self, message: FromWorker) -> None:
        """Waits for no other thread: where one, or this one, is in the middle of a frame, that one sends it then."""
        self._posted.append(message)
        self._empty()

    def _empty(self) -> None:
        # The look at what is posted comes after the lock was let go: a thread that failed to get it has posted before.
        while self._posted and self._lock.acquire(False):
            try:
                self._send_posted()
            finally:
                self._lock.release()

    def _send_posted(self) -> None:
        while self._posted:
            self._channel.send(to_wire(self._posted.popleft()))
