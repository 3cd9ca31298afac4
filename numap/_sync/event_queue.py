"""What threads that run items tell the thread that waits for them. Knows nothing of what is told.

Finalizers may tell something, too, and they run anywhere. So to tell is one operation in C, which takes no lock of Python.
"""

from __future__ import annotations

import contextlib
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TypeVar

from .timed_queue import timed

T = TypeVar("T")


class EventQueue(SimpleQueue[T | None]):
    """A queue that any thread puts into and one thread listens to; None only wakes that one.

    The implementation in C: `put` is one operation under the interpreter lock, so finalizers may call it, too.
    """

    def __init__(self) -> None:
        super().__init__()  # gevent puts a class in the place of the one in C that needs it
        timed(self)
        #: What the last `listen` ended with.
        self._heard: list[T | None] = []

    def wake(self) -> None:
        """Ends a `listen`, now or the next one."""
        self.put(None)

    def listen(self, until: float) -> None:
        """Blocks until there is something or that moment of the monotonic clock has come; 0: does not block."""
        with contextlib.suppress(Empty):
            self._heard.append(self.get(True, None if until == NEVER else seconds_left(until)))

    def take(self) -> list[T]:
        """All that was told up to now, in order."""
        heard, self._heard = self._heard, []
        with contextlib.suppress(Empty):
            while True:
                heard.append(self.get(False))
        return [it for it in heard if it is not None]


#: The moment of the monotonic clock that does not come.
NEVER = float("inf")


def seconds_left(until: float) -> float | None:
    """Seconds up to that moment of the monotonic clock, 0 if it has passed; None: it is `NEVER`."""
    return None if until == NEVER else max(0.0, until - monotonic())
